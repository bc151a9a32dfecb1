//! Where clients come in: every connection is accepted here, so that it can be left alone or broken.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer_rtsp_server as server;
use server::prelude::*;
use server::{gio, gst, gst_rtsp};

use crate::faults::{Fault, Faults};
use crate::say;

/// No RTSP, and not text either.
const NOISE: [u8; 64] = [0xA5; 64];

pub(crate) struct Door {
    listener: TcpListener,
    port: u16,
    clients: Mutex<Clients>,
}

#[derive(Default)]
struct Clients {
    last: u64,
    /// A second handle of each connection.
    open: Vec<(u64, TcpStream)>,
    /// Which of them have a session.
    seated: Vec<u64>,
    /// Accepted and not answered.
    ignored: Vec<TcpStream>,
    /// On its way to the server.
    arriving: Option<u64>,
}

impl Clients {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl Door {
    pub(crate) fn open(port: u16) -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let port = listener.local_addr()?.port();
        Ok(Arc::new(Self { listener, port, clients: Mutex::default() }))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets clients in, from now on. `within`: the server accepts there by itself, since it speaks TLS only with whom it
    /// accepted.
    pub(crate) fn welcome(
        self: &Arc<Self>,
        rtsp: &server::RTSPServer,
        faults: &Arc<Faults>,
        within: Option<u16>,
    ) {
        let (door, of) = (self.clone(), faults.clone());
        rtsp.connect_client_connected(move |_, client| {
            say("client");
            let mut clients = door.clients();
            let id = clients.arriving.take().unwrap_or_else(|| clients.number());
            drop(clients);
            door.attend(client, id, &of);
        });
        let (door, rtsp, faults) = (self.clone(), rtsp.clone(), faults.clone());
        std::thread::spawn(move || {
            for mut stream in door.listener.incoming().map_while(Result::ok) {
                match faults.fault() {
                    Fault::Silent => door.clients().ignored.push(stream),
                    Fault::Babble => {
                        // The client may be gone already.
                        let _ = stream.write_all(&NOISE);
                    }
                    _ => match within {
                        Some(port) => door.lead(stream, port),
                        None => door.hand_over(stream, &rtsp),
                    },
                }
            }
        });
    }

    fn hand_over(self: &Arc<Self>, stream: TcpStream, rtsp: &server::RTSPServer) {
        let (door, rtsp) = (self.clone(), rtsp.clone());
        gst::glib::MainContext::default().invoke(move || {
            let peer = stream.peer_addr().map_or(0, |peer| i32::from(peer.port()));
            let second = stream.try_clone().expect("a second handle");
            let mut clients = door.clients();
            let id = clients.number();
            clients.open.push((id, second));
            clients.arriving = Some(id);
            drop(clients);
            let socket = gio::Socket::from_fd(OwnedFd::from(stream)).expect("a socket");
            if rtsp.transfer_connection(socket, "127.0.0.1", peer, None).is_err() {
                door.forget(id);
            }
        });
    }

    /// To a server that accepts by itself.
    fn lead(self: &Arc<Self>, client: TcpStream, port: u16) {
        let server = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        let second = |stream: &TcpStream| stream.try_clone().expect("a second handle");
        let mut clients = self.clients();
        let id = clients.number();
        clients.open.push((id, second(&client)));
        drop(clients);
        for (mut from, mut to) in [(second(&client), second(&server)), (server, client)] {
            let door = self.clone();
            std::thread::spawn(move || {
                // An error is an end, too.
                let _ = std::io::copy(&mut from, &mut to);
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                door.forget(id);
            });
        }
    }

    fn attend(self: &Arc<Self>, client: &server::RTSPClient, id: u64, faults: &Arc<Faults>) {
        let door = self.clone();
        client.connect_closed(move |_| door.forget(id));
        let (door, faults) = (self.clone(), faults.clone());
        client.connect_pre_setup_request(move |_, _| {
            let taken = door.clients().seated.iter().any(|seated| *seated != id);
            match faults.fault() == Fault::RefuseSessions && taken {
                true => gst_rtsp::RTSPStatusCode::NotEnoughBandwidth,
                false => gst_rtsp::RTSPStatusCode::Ok,
            }
        });
        let door = self.clone();
        client.connect_setup_request(move |_, _| door.clients().seated.push(id));
        let door = self.clone();
        client.connect_teardown_request(move |_, _| door.clients().seated.retain(|seated| *seated != id));
    }

    /// The server closed its handle: the other one must not keep the connection up.
    fn forget(&self, id: u64) {
        let mut clients = self.clients();
        clients.open.retain(|(open, _)| *open != id);
        clients.seated.retain(|seated| *seated != id);
    }

    /// Breaks every connection off.
    pub(crate) fn reset(&self) {
        let mut clients = self.clients();
        let ignored = std::mem::take(&mut clients.ignored);
        for stream in clients.open.iter().map(|(_, stream)| stream).chain(&ignored) {
            // Sends RST whatever is still to be sent, and however many handles there are.
            let _ = rustix::net::connect_unspec(stream);
        }
    }

    /// Ends every connection as a process does that ends.
    pub(crate) fn hang_up(&self) {
        let mut clients = self.clients();
        let ignored = std::mem::take(&mut clients.ignored);
        for stream in clients.open.iter().map(|(_, stream)| stream).chain(&ignored) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
