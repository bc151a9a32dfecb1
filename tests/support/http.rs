//! A small web server for files, with ranges.
// A module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Serves until the test process ends. 404 for what it doesn't have.
pub struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn serve(files: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Self {
        let files: Arc<HashMap<_, _>> = Arc::new(files.into_iter().collect());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (files, kept) = (files.clone(), kept.clone());
                // Whoever asked may be gone.
                std::thread::spawn(move || drop(answer(stream, &files, &kept)));
            }
        });
        Self { port, requests }
    }

    pub fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.host())
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    files: &HashMap<&'static str, Vec<u8>>,
    kept: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let head: Vec<String> =
        BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    kept.lock().unwrap().push(head.join("\n"));
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/");
    let Some(body) = files.get(path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let range = head.iter().find_map(|line| {
        let line = line.to_ascii_lowercase();
        let (from, to) = line.strip_prefix("range: bytes=")?.split_once('-')?;
        let from = from.parse::<usize>().ok().filter(|from| *from < body.len())?;
        Some((from, to.parse::<usize>().map_or(body.len(), |to| (to + 1).min(body.len()))))
    });
    let (from, to) = range.unwrap_or((0, body.len()));
    let status = match range {
        Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{}", to - 1, body.len()),
        None => "200 OK".to_owned(),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\r\n",
        to - from
    )?;
    stream.write_all(&body[from..to])
}
