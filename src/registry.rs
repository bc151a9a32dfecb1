//! `sightline registry`: the API over the topics of registrations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry as Prometheus;
use sightline_registry::auth::{Auth, new_token};
use sightline_registry::{Options, Registry, RegistryError, Server, TlsFiles, api};
use sightline_schema::Topics;
use sightline_service::health::{Condition, Health};
use sightline_service::http::HttpServer;
use sightline_service::kafka::{FaultKind, KafkaSettings, require};
use sightline_service::seal::new_key_line;
use sightline_service::shutdown::Shutdown;
use sightline_service::uri_policy::UriPolicy;

use crate::cli::{PolicyArgs, RegistryAction, RegistryArgs, ServeArgs};
use crate::exit::{Failure, Outcome};
use crate::kafka;
use crate::traces::{self, Unsaid};

/// Why Kafka can't be used yet is said this often.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// One attempt to ask a broker for its topics.
const ATTEMPT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) fn run(args: RegistryArgs) -> Outcome {
    match args.action {
        Some(RegistryAction::Token(args)) => {
            let (token, line) = new_token(&args.name, args.role).ok_or_else(|| {
                Failure::usage(format!("{:?}: write 1 to 63 of a-z, 0-9 and - . _", args.name))
            })?;
            // The token alone on standard output, so that a script can keep it.
            println!("{token}");
            eprintln!("its line for the tokens file:\n{line}");
            Ok(())
        }
        Some(RegistryAction::Key(args)) => {
            let line = new_key_line(&args.id).ok_or_else(|| {
                Failure::usage(format!("{:?}: write 1 to 63 of a-z, 0-9, - and .", args.id))
            })?;
            println!("{line}");
            Ok(())
        }
        Some(RegistryAction::Openapi) => {
            println!("{:#}", api::openapi::document());
            Ok(())
        }
        None => serve(args.serve),
    }
}

fn serve(args: ServeArgs) -> Outcome {
    let auth = match (args.tokens, args.insecure_no_auth) {
        (Some(tokens), _) => Auth::by_tokens(tokens).map_err(Failure::usage)?,
        (None, true) => Auth::Nobody,
        (None, false) => {
            return Err(Failure::usage(
                "who may use it? give --tokens FILE (`sightline registry token NAME --role ROLE` prints its lines), or \
                 --insecure-no-auth to let everybody",
            ));
        }
    };
    let bootstrap = args.kafka.ok_or_else(|| Failure::usage("which Kafka? give --kafka HOST:PORT"))?;
    let settings = kafka::settings(&bootstrap, &args.settings)?;
    let topics = kafka::topics(&args.settings);
    let tls = args.tls_cert.zip(args.tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
    if tls.is_none() && !args.listen.ip().is_loopback() {
        tracing::warn!(
            "tokens and passwords travel in the clear to {}; give --tls-cert and --tls-key",
            args.listen
        );
    }
    let server = Server::bind(args.listen, tls).map_err(Failure::failed)?;
    let probes = HttpServer::bind(&args.http.http.to_string()).map_err(Failure::failed)?;
    let shutdown = Shutdown::new();
    shutdown.install_signals().map_err(Failure::failed)?;
    let health = Health::new(&["kafka", "registry"]);
    let (scheme, address) = (server.scheme(), server.local_addr());
    let mut prometheus = Prometheus::default();
    let (tracer, _sending) =
        traces::start(&args.traces, "sightline-registry", Unsaid::Nothing, &mut prometheus)?;
    let options = Options {
        auth,
        seal_keys: args.seal_keys,
        policy: policy(args.policy),
        database: args.database.settings("sightline registry")?,
        keep_jobs: args.keep_jobs.0,
        probe: probe(),
        tracer,
    };
    let registry = Registry::start(server, options, &mut prometheus, &shutdown).map_err(refused)?;
    let http = probes.start(Arc::new(prometheus), health.clone()).map_err(Failure::failed)?;
    tracing::info!(http = %http.local_addr(), api = format!("{scheme}://{address}"), "starting");
    if !wait_for_kafka(&settings, &topics, &health, &shutdown)? {
        return Ok(());
    }
    registry.work(&settings, &topics, &health).map_err(refused)?;
    tracing::info!("ended");
    Ok(())
}

pub(crate) fn policy(args: PolicyArgs) -> UriPolicy {
    UriPolicy::new(args.allow_network, args.allow_file_root).with_buckets(args.allow_bucket)
}

/// This very command, where it can probe.
fn probe() -> Option<std::path::PathBuf> {
    if cfg!(feature = "pipeline") { std::env::current_exe().ok() } else { None }
}

fn refused(error: RegistryError) -> Failure {
    match error {
        RegistryError::Keys(_) | RegistryError::Server(sightline_registry::ServerError::Tls { .. }) => {
            Failure::usage(error)
        }
        error => Failure::failed(error),
    }
}

/// Waits until a broker answers and the topics are there. A missing topic is a refusal; an absent broker, or one that lets
/// nobody in, is waited for, and said. `false` when the process is stopped meanwhile.
pub(crate) fn wait_for_kafka(
    settings: &KafkaSettings,
    topics: &Topics,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<bool, Failure> {
    let names = [
        topics.cameras(),
        topics.placements(),
        topics.camera_status(),
        topics.pods(),
        topics.audit(),
        topics.dead_letter(),
    ];
    wait_for_topics(&names, settings, topics, health, shutdown)
}

/// The same for these topics.
pub(crate) fn wait_for_topics(
    names: &[String],
    settings: &KafkaSettings,
    topics: &Topics,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<bool, Failure> {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut said: Option<Instant> = None;
    while !shutdown.is_set() {
        match require(settings, &names, ATTEMPT) {
            Ok(()) => {
                health.set("kafka", Condition::Ready);
                return Ok(true);
            }
            Err(fault) if kafka::may_pass(&fault) => {
                health.set("kafka", Condition::NotReady(fault.to_string()));
                if said.is_none_or(|at| at.elapsed() + PAUSE >= SAY_AGAIN) {
                    said = Some(Instant::now());
                    tracing::warn!(code = fault.kind.code(), "{fault}; trying again");
                }
                shutdown.wait_timeout(PAUSE);
            }
            Err(fault) if fault.kind == FaultKind::UnknownTopic => {
                return Err(Failure::failed(format!("{fault}{}", kafka::prefix_flag(topics))));
            }
            Err(fault) => return Err(Failure::failed(fault)),
        }
    }
    Ok(false)
}
