//! A receiver of webhooks: real HTTP on loopback, and as bad as a test wants it.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// What it does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Take,
    /// Holds the connection and says nothing.
    Hang,
    /// Answers so, with these lines in the head.
    Answer(u16, String),
    /// Closes in the middle of the head of the answer.
    Cut,
    /// Speaks something else.
    Babble,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn id(&self) -> &str {
        &self.headers["idempotency-key"]
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Decide = dyn Fn(&Request, usize) -> Way + Send + Sync;

/// Lives as long as the process.
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// All, in the order in which they came.
    requests: Vec<Request>,
    /// Those that were taken.
    taken: Vec<Request>,
    times: HashMap<String, usize>,
}

impl Receiver {
    /// `decide` is told how often an event came before.
    pub(crate) fn start(decide: impl Fn(&Request, usize) -> Way + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let (kept, decide): (_, Arc<Decide>) = (Arc::clone(&seen), Arc::new(decide));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (seen, decide) = (Arc::clone(&kept), Arc::clone(&decide));
                // Whoever asked may be gone.
                std::thread::spawn(move || serve(client, &seen, &*decide).ok());
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }

    pub(crate) fn taken(&self) -> Vec<Request> {
        self.seen.lock().unwrap().taken.clone()
    }
}

fn serve(client: TcpStream, seen: &Mutex<Seen>, decide: &Decide) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    while let Some(request) = read(&mut reader)? {
        let way = {
            let mut seen = seen.lock().unwrap();
            let id = request.headers.get("idempotency-key").cloned().unwrap_or_default();
            let times = seen.times.entry(id).or_default();
            *times += 1;
            let way = decide(&request, *times - 1);
            seen.requests.push(request.clone());
            if matches!(way, Way::Take) {
                seen.taken.push(request);
            }
            way
        };
        match way {
            Way::Take => client.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?,
            Way::Answer(status, lines) => {
                write!(client, "HTTP/1.1 {status} So\r\n{lines}Content-Length: 2\r\n\r\nno")?;
            }
            Way::Cut => return client.write_all(b"HTTP/1.1 200 O"),
            Way::Babble => return client.write_all(b"220 mail.example ESMTP S3CR3T-ANSWER\r\n"),
            Way::Hang => std::thread::sleep(Duration::from_secs(600)),
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let header = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: BTreeMap<String, String> = lines.iter().skip(1).filter_map(header).collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { head: lines.first().cloned().unwrap_or_default(), headers, body }))
}
