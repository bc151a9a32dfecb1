//! What every Sightline process shares: Kafka clients, the HTTP server with metrics and health, telemetry, shutdown,
//! backoff. Threads, not async: what is async inside a library stays behind a blocking call here.

pub mod backoff;
pub mod bucket_uri;
#[cfg(feature = "database")]
pub mod database;
pub mod files;
pub mod health;
pub mod http;
pub mod kafka;
#[cfg(feature = "objects")]
pub mod objects;
pub mod percent;
mod process;
pub mod seal;
pub mod shutdown;
pub mod telemetry;
pub mod trace;
pub mod uri_policy;
