//! A network that loses, reorders and repeats packets: what stands between a camera and its reader over UDP.
//!
//! Requests are relayed over TCP, with the ports of their `Transport` headers replaced by the relay's own.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What happens to the RTP packets of the camera. RTCP passes as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loss {
    /// The same seed, the same packets.
    pub seed: u64,
    /// So many pass before anything is lost: the keyframe, without which there is nothing to see, may be among them.
    pub first: u64,
    /// Which part of them never arrives: 0.05 is one in twenty.
    pub lost: f64,
    /// Which part of them arrives late …
    pub late: f64,
    /// … behind so many that were sent after it.
    pub by: usize,
    /// Which part of them arrives twice.
    pub twice: f64,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub sent: AtomicU64,
    pub lost: AtomicU64,
    pub late: AtomicU64,
    pub twice: AtomicU64,
}

/// Relays RTSP with its media over UDP to one port of this machine.
pub struct LossyRelay {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    to: u16,
    loss: Mutex<Loss>,
    counts: Counts,
    closed: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

/// The pair of sockets of one media, for both sides: who sent a packet tells where it goes.
struct Pair {
    sockets: [UdpSocket; 2],
    client: Mutex<Option<u16>>,
    camera: Mutex<Option<u16>>,
}

impl LossyRelay {
    pub fn to(port: u16, loss: Loss) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            to: port,
            loss: Mutex::new(loss),
            counts: Counts::default(),
            closed: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let of = shared.clone();
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of.closed.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(camera) = TcpStream::connect(("127.0.0.1", of.to)) {
                    Shared::relay(&of, client, camera);
                }
            }
        });
        Self { port: own, shared, accepting: Some(accepting) }
    }

    /// A camera's address by way of the relay.
    pub fn uri(&self, of_camera: &str) -> String {
        of_camera.replace(&format!(":{}/", self.shared.to), &format!(":{}/", self.port))
    }

    /// From now on.
    pub fn set(&self, loss: Loss) {
        *self.shared.loss.lock().unwrap() = loss;
    }

    /// RTP packets so far.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }
}

impl Drop for LossyRelay {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        for stream in self.shared.connections.lock().unwrap().drain(..) {
            // Closed already, maybe.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // It waits for a client: here is one.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn relay(self: &Arc<Self>, client: TcpStream, camera: TcpStream) {
        let second = |stream: &TcpStream| stream.try_clone().unwrap();
        self.connections.lock().unwrap().extend([second(&client), second(&camera)]);
        // One media: Sightline asks for video alone.
        let pair = Arc::new(Pair { sockets: pair(), client: Mutex::default(), camera: Mutex::default() });
        for (from, to, by_client) in [(second(&client), second(&camera), true), (camera, client, false)] {
            let pair = pair.clone();
            std::thread::spawn(move || messages(from, to, |head| pair.rewrite(head, by_client)));
        }
        for index in [0, 1] {
            let (shared, pair) = (self.clone(), pair.clone());
            std::thread::spawn(move || shared.packets(&pair, index));
        }
    }

    /// Until the relay is dropped.
    fn packets(&self, pair: &Pair, index: usize) {
        let socket = &pair.sockets[index];
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut bytes = [0; 65_536];
        let mut chance = Chance(self.loss.lock().unwrap().seed);
        // Packets that wait, each with how many are to pass before it.
        let mut held: Vec<(usize, Vec<u8>)> = Vec::new();
        while !self.closed.load(Ordering::SeqCst) {
            // A refusal of what was sent before comes back as an error, too.
            let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
            let packet = &bytes[..length];
            let of_pair = |side: &Mutex<Option<u16>>| side.lock().unwrap().map(|port| port + index as u16);
            let (client, camera) = (of_pair(&pair.client), of_pair(&pair.camera));
            let send = |packet: &[u8], to: Option<u16>| {
                if let Some(to) = to {
                    // Nobody may be there any more.
                    let _ = socket.send_to(packet, ("127.0.0.1", to));
                }
            };
            if client == Some(from.port()) {
                send(packet, camera);
                continue;
            }
            if index == 1 {
                send(packet, client);
                continue;
            }
            let loss = *self.loss.lock().unwrap();
            let count = |of: &AtomicU64| of.fetch_add(1, Ordering::SeqCst);
            count(&self.counts.sent);
            if self.counts.sent.load(Ordering::SeqCst) > loss.first && chance.happens(loss.lost) {
                count(&self.counts.lost);
            } else if chance.happens(loss.late) {
                count(&self.counts.late);
                held.push((loss.by, packet.to_vec()));
                continue;
            } else {
                send(packet, client);
                if chance.happens(loss.twice) {
                    count(&self.counts.twice);
                    send(packet, client);
                }
            }
            held.iter_mut().for_each(|(left, _)| *left = left.saturating_sub(1));
            held.retain(|(left, packet)| {
                if *left == 0 {
                    send(packet, client);
                }
                *left > 0
            });
        }
    }
}

impl Pair {
    /// A message's head with the relay's ports in place of the other side's.
    fn rewrite(&self, head: &str, by_client: bool) -> String {
        let own = self.sockets[0].local_addr().unwrap().port();
        let lines = head.split_inclusive("\r\n").map(|line| {
            if !line.to_ascii_lowercase().starts_with("transport:") {
                return line.to_owned();
            }
            let fields = line.trim_end().split(';').map(|field| {
                let Some((name, ports)) = field.split_once('=') else { return field.to_owned() };
                let first = ports.split('-').next().and_then(|port| port.parse().ok());
                let pair = |port: u16| format!("{name}={port}-{}", port + 1);
                match (name, first) {
                    ("client_port", Some(port)) if by_client => {
                        *self.client.lock().unwrap() = Some(port);
                        pair(own)
                    }
                    ("client_port", Some(_)) => self.client.lock().unwrap().map_or(field.to_owned(), pair),
                    ("server_port", Some(port)) => {
                        *self.camera.lock().unwrap() = Some(port);
                        pair(own)
                    }
                    _ => field.to_owned(),
                }
            });
            fields.collect::<Vec<_>>().join(";") + "\r\n"
        });
        lines.collect()
    }
}

/// Relays RTSP messages until one side is done.
fn messages(from: TcpStream, mut to: TcpStream, rewrite: impl Fn(&str) -> String) {
    let mut reader = BufReader::new(from);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let start = head.len();
            match reader.read_line(&mut head) {
                Ok(read) if read > 0 => {}
                _ => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
            }
            let line = head[start..].trim_end().to_ascii_lowercase();
            if let Some(given) = line.strip_prefix("content-length:") {
                length = given.trim().parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        let mut message = rewrite(&head).into_bytes();
        let start = message.len();
        message.resize(start + length, 0);
        if reader.read_exact(&mut message[start..]).is_err() || to.write_all(&message).is_err() {
            return;
        }
    }
}

/// Two ports, one behind the other, the first an even one.
fn pair() -> [UdpSocket; 2] {
    for _ in 0..1000 {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(second) = UdpSocket::bind(("127.0.0.1", port + 1))
        {
            return [first, second];
        }
    }
    panic!("no two ports in a row");
}

/// Chances that come out the same each time: SplitMix64.
struct Chance(u64);

impl Chance {
    fn happens(&mut self, with: f64) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z >> 11) as f64) / ((1u64 << 53) as f64) < with
    }
}
