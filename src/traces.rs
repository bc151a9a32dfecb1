//! `--otlp` and `--trace-sample`, read.

use prometheus_client::registry::Registry as Prometheus;
use sightline_service::trace::{Collector, Resource, Sending, Share, Tracer};

use crate::cli::TraceArgs;
use crate::consume::process;
use crate::exit::Failure;

/// What is traced where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsaid {
    /// Nothing: frames and requests begin here.
    Nothing,
    /// All that is sampled already: by whoever wrote what is read here.
    Sampled,
}

/// Where sampled work of this process goes. Sends while the second one lives, which is none where nothing is traced.
pub(crate) fn start(
    args: &TraceArgs,
    service: &'static str,
    unsaid: Unsaid,
    prometheus: &mut Prometheus,
) -> Result<(Tracer, Option<Sending>), Failure> {
    let Some(otlp) = &args.otlp else {
        // Of a consumer it may stand in a file for all.
        if unsaid == Unsaid::Nothing && args.trace_sample.is_some_and(|share| share > 0.0) {
            return Err(Failure::usage(
                "--trace-sample: where should traces go? give --otlp http://HOST:4318, or leave it out",
            ));
        }
        return Ok((Tracer::default(), None));
    };
    let collector = Collector::new(otlp).map_err(Failure::usage)?;
    let share = match unsaid {
        Unsaid::Nothing => 0.0,
        Unsaid::Sampled => 1.0,
    };
    let share = args.trace_sample.unwrap_or(share);
    let resource = Resource { service, instance: process() };
    let (tracer, sending) =
        Tracer::to(collector, Share::new(share), &resource, prometheus).map_err(Failure::failed)?;
    tracing::info!(collector = otlp, share, "tracing");
    Ok((tracer, Some(sending)))
}
