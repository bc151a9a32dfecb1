//! A receiver of webhooks: real HTTP on loopback, and as bad as a test wants it.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::certificates::Certificate;

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

/// Shows whatever certificate is there when a client comes.
type Shown = Arc<Mutex<Arc<ServerConfig>>>;
type Decide = dyn Fn(&Request, usize) -> Way + Send + Sync;

/// Lives as long as the process.
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    tls: Option<Shown>,
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
        Self::start_as(decide, None)
    }

    /// Takes all, by TLS.
    pub(crate) fn start_tls(certificate: &Certificate) -> Self {
        Self::start_as(|_, _| Way::Take, Some(Arc::new(Mutex::new(shown(certificate)))))
    }

    /// Its next clients see another certificate.
    pub(crate) fn show(&self, certificate: &Certificate) {
        *self.tls.as_ref().unwrap().lock().unwrap() = shown(certificate);
    }

    fn start_as(decide: impl Fn(&Request, usize) -> Way + Send + Sync + 'static, tls: Option<Shown>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let (kept, decide): (_, Arc<Decide>) = (Arc::clone(&seen), Arc::new(decide));
        let by = tls.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (seen, decide) = (Arc::clone(&kept), Arc::clone(&decide));
                let tls = by.as_ref().map(|by| Arc::clone(&by.lock().unwrap()));
                // Whoever asked may be gone, or may not want to speak to this one.
                std::thread::spawn(move || match tls {
                    None => serve(client, &seen, &*decide).ok(),
                    Some(tls) => {
                        let tls = ServerConnection::new(tls).unwrap();
                        serve(StreamOwned::new(tls, client), &seen, &*decide).ok()
                    }
                });
            }
        });
        Self { address, seen, tls }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }

    pub(crate) fn taken(&self) -> Vec<Request> {
        self.seen.lock().unwrap().taken.clone()
    }
}

fn shown(certificate: &Certificate) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&certificate.certificate).unwrap().map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain.collect(), key).unwrap())
}

fn serve(client: impl Read + Write, seen: &Mutex<Seen>, decide: &Decide) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
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
        let client = reader.get_mut();
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

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
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
