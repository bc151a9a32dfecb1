//! A network that is bad in ways a test chooses: what stands between a camera and its reader over TCP.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pieces that a direction holds while it waits.
const HELD: usize = 64;
const PIECE: usize = 4096;

/// Relays TCP to one port of this machine. Everything is as good as without, until told otherwise.
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    to: u16,
    network: Mutex<Network>,
    changed: Condvar,
}

#[derive(Default)]
struct Network {
    stalled: bool,
    refusing: bool,
    delay: Duration,
    bytes_per_second: Option<f64>,
    /// Bytes from the camera until all is cut.
    left: Option<usize>,
    from_camera: u64,
    connections: Vec<(TcpStream, TcpStream)>,
    connected: usize,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    ToCamera,
    FromCamera,
}

impl Relay {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { to: port, network: Mutex::default(), changed: Condvar::new() });
        let of = shared.clone();
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of.network().closed {
                    return;
                }
                Shared::relay(&of, client);
            }
        });
        Self { port: own, shared, accepting: Some(accepting) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A camera's address by way of the relay.
    pub fn uri(&self, of_camera: &str) -> String {
        of_camera.replace(&format!(":{}/", self.shared.to), &format!(":{}/", self.port))
    }

    /// Nothing passes any more, either way, and no connection ends: a cable is pulled.
    pub fn stall(&self) {
        self.change(|network| network.stalled = true);
    }

    /// What was held passes, and what comes.
    pub fn resume(&self) {
        self.change(|network| network.stalled = false);
    }

    /// Each byte takes so long, from now on.
    pub fn delay(&self, by: Duration) {
        self.change(|network| network.delay = by);
    }

    /// What the camera sends passes at this rate; none is none.
    pub fn throttle(&self, bytes_per_second: Option<f64>) {
        self.change(|network| network.bytes_per_second = bytes_per_second);
    }

    /// After so many more bytes from the camera its reader's connection ends, in the middle of whatever it is.
    pub fn cut_after(&self, bytes: usize) {
        self.change(|network| network.left = Some(bytes));
    }

    /// Breaks all connections off by RST, on both sides. New ones are made as before.
    pub fn reset(&self) {
        self.change(Network::reset);
    }

    /// New connections are closed at once by RST; those that are open stay.
    pub fn refuse(&self, refusing: bool) {
        self.change(|network| network.refusing = refusing);
    }

    /// Bytes that the camera's side sent, and that were passed on.
    pub fn passed(&self) -> u64 {
        self.shared.network().from_camera
    }

    /// Connections made so far.
    pub fn connected(&self) -> usize {
        self.shared.network().connected
    }

    fn change(&self, change: impl FnOnce(&mut Network)) {
        change(&mut self.shared.network());
        self.shared.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.change(|network| {
            network.closed = true;
            for (client, camera) in network.connections.drain(..) {
                // Closed already, maybe.
                let _ = (client.shutdown(Shutdown::Both), camera.shutdown(Shutdown::Both));
            }
        });
        // It waits for a client: here is one.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Network {
    fn reset(&mut self) {
        for (client, camera) in self.connections.drain(..) {
            reset(&client);
            reset(&camera);
        }
    }
}

/// Sends RST, however many handles the connection has.
fn reset(stream: &TcpStream) {
    let _ = rustix::net::connect_unspec(stream);
}

impl Shared {
    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap()
    }

    fn relay(self: &Arc<Self>, client: TcpStream) {
        if self.network().refusing {
            return reset(&client);
        }
        let Ok(camera) = TcpStream::connect(("127.0.0.1", self.to)) else { return reset(&client) };
        let second = |stream: &TcpStream| stream.try_clone().unwrap();
        let mut network = self.network();
        network.connected += 1;
        network.connections.push((second(&client), second(&camera)));
        drop(network);
        self.pump(second(&client), second(&camera), Direction::ToCamera);
        self.pump(camera, client, Direction::FromCamera);
    }

    /// Two threads that end with the connection.
    fn pump(self: &Arc<Self>, mut from: TcpStream, to: TcpStream, direction: Direction) {
        let (held, pieces) = sync_channel::<(Instant, Vec<u8>)>(HELD);
        std::thread::spawn(move || read(&mut from, &held));
        let shared = self.clone();
        std::thread::spawn(move || shared.write(to, &pieces, direction));
    }

    fn write(&self, mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>, direction: Direction) {
        let mut free = Instant::now();
        for (arrived, mut piece) in pieces {
            let Some(mut network) = self.wait_for_passage(arrived, free) else { return };
            let mut cut = false;
            if direction == Direction::FromCamera {
                if let Some(left) = &mut network.left {
                    cut = piece.len() >= *left;
                    piece.truncate(*left);
                    *left -= piece.len();
                }
                network.from_camera += piece.len() as u64;
                if let Some(rate) = network.bytes_per_second {
                    free = free.max(Instant::now()) + Duration::from_secs_f64(piece.len() as f64 / rate);
                }
            }
            drop(network);
            if to.write_all(&piece).is_err() {
                break;
            }
            if cut {
                // Before it ends for the reader: whoever connects then is not meant.
                let mut network = self.network();
                // By FIN to the reader: RST would take back what it has not read yet.
                let _ = to.shutdown(Shutdown::Both);
                network.left = None;
                network.reset();
                return;
            }
        }
        // The other side is done; so that this one learns of it not before a stall is over.
        if self.wait_for_passage(Instant::now(), free).is_some() {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Until a piece that came then may pass; nothing where the relay is closed.
    fn wait_for_passage(&self, arrived: Instant, free: Instant) -> Option<MutexGuard<'_, Network>> {
        let mut network = self.network();
        loop {
            if network.closed {
                return None;
            }
            let left = (arrived + network.delay).max(free).saturating_duration_since(Instant::now());
            if network.stalled {
                network = self.changed.wait(network).unwrap();
            } else if left.is_zero() {
                return Some(network);
            } else {
                network = self.changed.wait_timeout(network, left).unwrap().0;
            }
        }
    }
}

fn read(from: &mut TcpStream, held: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = [0; PIECE];
    // An error is an end: it was reset.
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || held.send((Instant::now(), buffer[..read].to_vec())).is_err() {
            return;
        }
    }
}
