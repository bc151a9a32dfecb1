//! `/metrics`, `/livez`, `/readyz`: a small HTTP server on a thread of its own.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

use crate::health::Health;
use crate::process::ProcessCollector;

/// Where it listens when nothing else is said.
pub const DEFAULT_HTTP: &str = "127.0.0.1:9464";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a stop waits for answers on their way.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    #[error("{0:?} is no address to listen on; give --http HOST:PORT, for example --http {DEFAULT_HTTP}")]
    Address(String),
    #[error("cannot listen on {0}: the port is taken; choose another with --http, or --http 127.0.0.1:0")]
    Taken(String),
    #[error("cannot listen on {address}: {source}; choose another address with --http")]
    Listen { address: String, source: io::Error },
    #[error("cannot start the HTTP server: {0}")]
    Start(io::Error),
}

/// A port that is ours, not yet answering: bound early, so that a taken one is a refusal before any work begins.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl HttpServer {
    /// HOST:PORT, or :PORT for this machine alone; port 0 means any free one.
    pub fn bind(address: &str) -> Result<HttpServer, HttpError> {
        let full = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() };
        let candidates: Vec<SocketAddr> =
            full.to_socket_addrs().map_err(|_| HttpError::Address(address.to_owned()))?.collect();
        let listener = TcpListener::bind(&candidates[..]).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => HttpError::Taken(full.clone()),
            _ => HttpError::Listen { address: full.clone(), source },
        })?;
        let local_addr = listener.local_addr().map_err(HttpError::Start)?;
        listener.set_nonblocking(true).map_err(HttpError::Start)?;
        Ok(HttpServer { listener, local_addr })
    }

    /// The address with the port that was really taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers from now on, on a thread of its own. Everything that is measured is registered by now.
    pub fn start(self, registry: Arc<Registry>, health: Health) -> Result<HttpHandle, HttpError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HttpError::Start)?;
        let local_addr = self.local_addr;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            let served = runtime.block_on(serve(self.listener, router(registry, health), stopped));
            if let Err(error) = served {
                tracing::error!(%error, "http server ended");
            }
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("http".to_owned()).spawn(serve).map_err(HttpError::Start)?;
        Ok(HttpHandle { local_addr, stop: Some(stop), thread: Some(thread) })
    }
}

/// A server that answers until it is stopped or dropped.
#[derive(Debug)]
pub struct HttpHandle {
    local_addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpHandle {
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Takes no more requests, waits up to 2 s for those being answered.
    pub fn stop(self) {}
}

impl Drop for HttpHandle {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, router: Router, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (draining, drain) = oneshot::channel::<()>();
    let stopping = async {
        let _ = stopped.await;
        let _ = draining.send(());
    };
    let server = async { axum::serve(listener, router).with_graceful_shutdown(stopping).await };
    let deadline = async {
        let _ = drain.await;
        tokio::time::sleep(STOP_DEADLINE).await;
    };
    tokio::select! {
        served = server => served,
        () = deadline => Ok(()),
    }
}

#[derive(Clone)]
struct Shared {
    registry: Arc<Registry>,
    process: Arc<Registry>,
    health: Health,
}

fn router(registry: Arc<Registry>, health: Health) -> Router {
    let mut process = Registry::default();
    process.register_collector(Box::new(ProcessCollector));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .with_state(Shared { registry, process: Arc::new(process), health })
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let mut text = String::new();
    let encoded = encode_registry(&mut text, &shared.registry)
        .and_then(|()| encode_registry(&mut text, &shared.process))
        .and_then(|()| encode_eof(&mut text));
    match encoded {
        Ok(()) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// 200 or 503; a line per reason, or JSON where the client asks for it.
async fn readyz(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let reasons = shared.health.reasons();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("application/json") {
        let reasons: serde_json::Map<_, _> =
            reasons.into_iter().map(|(name, reason)| (name.to_owned(), reason.into())).collect();
        let body = serde_json::json!({ "ready": status == StatusCode::OK, "reasons": reasons });
        return (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    }
    if reasons.is_empty() {
        return (status, "ready\n").into_response();
    }
    (status, reasons.iter().map(|(name, reason)| format!("{name}: {reason}\n")).collect::<String>())
        .into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::health::Condition;

    fn ask(address: SocketAddr, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn metrics_and_health_are_answered_and_follow_what_happens() {
        let frames = Counter::<u64>::default();
        let mut registry = Registry::default();
        registry.register("sightline_pipeline_frames", "Frames.", frames.clone());
        let health = Health::new(&["kafka"]);
        let server = HttpServer::bind(":0").unwrap();
        assert_eq!(server.local_addr().ip().to_string(), "127.0.0.1");
        let server = server.start(Arc::new(registry), health.clone()).unwrap();
        let address = server.local_addr();

        frames.inc_by(41);
        let answer = ask(address, "/metrics", "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains(OPENMETRICS) && answer.contains("sightline_pipeline_frames_total 41"),
            "{answer}"
        );
        assert!(answer.ends_with("# EOF\n"), "{answer}");
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/METRICS.md")).unwrap();
        let documented: Vec<_> =
            page.lines().filter_map(|line| line.strip_prefix("| `process_")?.split('`').next()).collect();
        let shown = answer.lines().filter_map(|line| line.strip_prefix("process_")?.split(' ').next());
        assert_eq!(shown.collect::<Vec<_>>(), documented, "code, then docs/METRICS.md");

        assert!(ask(address, "/livez", "").starts_with("HTTP/1.1 200"));
        health.set("kafka", Condition::NotReady("no broker answers at k:9092".to_owned()));
        let answer = ask(address, "/readyz", "");
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.ends_with("kafka: no broker answers at k:9092\n")
        );
        let answer = ask(address, "/readyz", "Accept: application/json\r\n");
        let json = r#"{"ready":false,"reasons":{"kafka":"no broker answers at k:9092"}}"#;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with(json), "{answer}");
        health.set("kafka", Condition::Ready);
        assert!(ask(address, "/readyz", "").starts_with("HTTP/1.1 200"));
        assert!(ask(address, "/nothing", "").starts_with("HTTP/1.1 404"));

        server.stop();
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    }

    #[test]
    fn a_client_that_never_finishes_does_not_hold_the_stop() {
        let server = HttpServer::bind("127.0.0.1:0").unwrap();
        let server = server.start(Arc::new(Registry::default()), Health::default()).unwrap();
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
        // The server has seen this client once a later one is answered.
        ask(server.local_addr(), "/livez", "");
        let stopping = std::time::Instant::now();
        server.stop();
        assert!(stopping.elapsed() < STOP_DEADLINE + Duration::from_secs(10));
    }

    #[test]
    fn an_address_that_cannot_be_had_is_a_sentence() {
        let taken = HttpServer::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().to_string();
        assert_eq!(
            HttpServer::bind(&address).unwrap_err().to_string(),
            format!(
                "cannot listen on {address}: the port is taken; choose another with --http, or --http 127.0.0.1:0"
            )
        );
        assert!(HttpServer::bind("9464").unwrap_err().to_string().contains("give --http HOST:PORT"));
        // An address of the documentation's network, which no machine has.
        let error = HttpServer::bind("192.0.2.1:9464").unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on 192.0.2.1:9464: "), "{error}");
    }
}
