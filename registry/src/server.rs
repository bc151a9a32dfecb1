//! The port of the API: plain, or by TLS with certificate files that are read again when they change.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use sightline_service::files::Watched;
use sightline_service::shutdown::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::api::{App, answer};

/// A client that does not shake hands by then is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes that are done and not taken yet.
const WAITING: usize = 64;
/// How long a stop waits for answers on their way; streams of events never end by themselves.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// Certificate and key, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    #[error("cannot listen on {0}: the port is taken; choose another with --listen, or --listen 127.0.0.1:0")]
    Taken(SocketAddr),
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{}: {why}; --tls-cert takes a certificate chain and --tls-key its key, both in PEM", path.display())]
    Tls { path: PathBuf, why: String },
    #[error("cannot start the server: {0}")]
    Start(io::Error),
}

/// A port that is ours, not answering yet.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    local_addr: SocketAddr,
    tls: Option<TlsFiles>,
}

impl Server {
    pub fn bind(address: SocketAddr, tls: Option<TlsFiles>) -> Result<Self, ServerError> {
        let listener = std::net::TcpListener::bind(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServerError::Taken(address),
            _ => ServerError::Listen { address, source },
        })?;
        let local_addr = listener.local_addr().map_err(ServerError::Start)?;
        listener.set_nonblocking(true).map_err(ServerError::Start)?;
        Ok(Self { listener, local_addr, tls })
    }

    /// With the port that was really taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Answers on threads of its own until `shutdown`.
    pub(crate) fn start(self, app: App, shutdown: Shutdown) -> Result<JoinHandle<()>, ServerError> {
        let tls = self.tls.map(certificates).transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("api")
            .enable_all()
            .build()
            .map_err(ServerError::Start)?;
        let listener = self.listener;
        let serve = move || {
            let (stop, stopped) = oneshot::channel();
            let waiting = shutdown.clone();
            let watcher = std::thread::Builder::new().name("api stop".to_owned()).spawn(move || {
                waiting.wait();
                // The server may have ended by itself.
                let _ = stop.send(());
            });
            if let Err(error) = runtime.block_on(run(listener, tls, app, stopped)) {
                tracing::error!(%error, "the API's server ended");
                shutdown.set(sightline_service::shutdown::Cause::Finished);
            }
            runtime.shutdown_background();
            // A thread that could not be started can't be waited for.
            let _ = watcher.map(JoinHandle::join);
        };
        std::thread::Builder::new().name("api".to_owned()).spawn(serve).map_err(ServerError::Start)
    }
}

async fn run(
    listener: std::net::TcpListener,
    tls: Option<Certificates>,
    app: App,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let router = Router::new().fallback(answer).with_state(app);
    let (draining, drain) = oneshot::channel::<()>();
    let stopping = async {
        // Whether told or dropped: it is over.
        let _ = stopped.await;
        let _ = draining.send(());
    };
    let deadline = async {
        let _ = drain.await;
        tokio::time::sleep(STOP_DEADLINE).await;
    };
    let server = async {
        match tls {
            None => axum::serve(listener, router).with_graceful_shutdown(stopping).await,
            Some(certificates) => {
                let listener = TlsListener::start(listener, certificates)?;
                axum::serve(listener, router).with_graceful_shutdown(stopping).await
            }
        }
    };
    tokio::select! {
        served = server => served,
        () = deadline => Ok(()),
    }
}

/// The two files as one thing that changes: a certificate without its key is none.
struct Certificates {
    certificate: Watched<()>,
    key: Watched<()>,
    files: TlsFiles,
    config: Arc<ServerConfig>,
    stale: Arc<Mutex<bool>>,
}

impl Certificates {
    /// The newest that could be read.
    fn current(&mut self) -> Arc<ServerConfig> {
        self.certificate.get();
        self.key.get();
        let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *stale) {
            match config(&self.files) {
                Ok(config) => self.config = config,
                // One file may be ahead of the other: tried again at the next connection.
                Err(error) => {
                    *stale = true;
                    tracing::warn!("{error}; the certificate read before stays in use");
                }
            }
        }
        self.config.clone()
    }
}

fn certificates(files: TlsFiles) -> Result<Certificates, ServerError> {
    let config = config(&files)?;
    let stale = Arc::new(Mutex::new(false));
    let watch = |path: &Path| {
        let stale = stale.clone();
        Watched::open(path.to_owned(), move |_: &Path| {
            *stale.lock().unwrap_or_else(PoisonError::into_inner) = true;
            Ok::<_, ServerError>(())
        })
    };
    let (certificate, key) = (watch(&files.certificate)?, watch(&files.key)?);
    // The first look was no change.
    *stale.lock().unwrap_or_else(PoisonError::into_inner) = false;
    Ok(Certificates { certificate, key, files, config, stale })
}

fn config(files: &TlsFiles) -> Result<Arc<ServerConfig>, ServerError> {
    let wrong = |path: &Path, why: String| ServerError::Tls { path: path.to_owned(), why };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(&files.certificate, "holds no certificate".to_owned()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| wrong(&files.certificate, error.to_string()))?;
    Ok(Arc::new(config))
}

/// Shakes hands beside each other, so that a client that takes its time holds nobody up.
struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    local_addr: SocketAddr,
}

impl TlsListener {
    fn start(listener: TcpListener, mut certificates: Certificates) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            loop {
                let (stream, from) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    // Out of file descriptors, mostly: it passes.
                    Err(error) => {
                        tracing::warn!(%error, "a connection can't be taken");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let acceptor = TlsAcceptor::from(certificates.current());
                let sender = sender.clone();
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        // Nobody takes it any more when the server stops.
                        Ok(Ok(stream)) => drop(sender.send((stream, from)).await),
                        Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS"),
                        Err(_) => tracing::debug!(%from, "no TLS in time"),
                    }
                });
            }
        });
        Ok(Self { ready, local_addr })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The task that accepts never ends before the server.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.local_addr)
    }
}
