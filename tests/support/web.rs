//! A web server of one file behind Basic authentication, or behind none.
// A module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Web {
    address: SocketAddr,
}

impl Web {
    /// Serves `body` at every path, to who sends this `Authorization`. Lives as long as the process.
    pub fn serve(body: Vec<u8>, authorization: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new((body, authorization));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                // A client that goes away early is no concern of the server.
                std::thread::spawn(move || answer(client, &shared.0, shared.1.as_deref()).ok());
            }
        });
        Self { address }
    }

    /// At this address, answers each request with these bytes, whatever it asks for: `HTTP/1.1 …`. Says how often it was asked.
    pub fn answer(host: &str, answer: String) -> (Self, Arc<AtomicUsize>) {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let mut lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
                // A client that goes away early is no concern of the server.
                if lines.any(|line| line.is_empty()) {
                    let _ = client.write_all(answer.as_bytes());
                }
            }
        });
        (Self { address }, asked)
    }

    pub fn uri(&self, login: &str, path: &str) -> String {
        let at = if login.is_empty() { "" } else { "@" };
        format!("http://{login}{at}{}/{path}", self.address)
    }
}

fn answer(client: TcpStream, body: &[u8], authorization: Option<&str>) -> std::io::Result<()> {
    let (mut given, mut from) = (None, None);
    for line in BufReader::new(client.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => given = Some(value.trim().to_owned()),
            "range" => {
                from = value.trim().strip_prefix("bytes=").and_then(|r| r.split('-').next()?.parse().ok());
            }
            _ => {}
        }
    }
    let mut out = client;
    if authorization.is_some() && given.as_deref() != authorization {
        let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"cam\"\r\n";
        return write!(out, "{refusal}Content-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let (status, from): (_, usize) = from.map_or(("200 OK", 0), |from| ("206 Partial Content", from));
    let rest = body.get(from..).unwrap_or_default();
    write!(out, "HTTP/1.1 {status}\r\nContent-Type: video/mp4\r\nAccept-Ranges: bytes\r\n")?;
    if status.starts_with("206") {
        write!(out, "Content-Range: bytes {from}-{}/{}\r\n", body.len().saturating_sub(1), body.len())?;
    }
    write!(out, "Content-Length: {}\r\nConnection: close\r\n\r\n", rest.len())?;
    out.write_all(rest)
}
