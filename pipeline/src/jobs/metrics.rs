//! What a worker counts, for Prometheus. `docs/METRICS.md` spells it out.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

/// What became of an attempt, or of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    /// For good.
    Failed,
    /// To be tried again.
    Retried,
    Cancelled,
    /// Left to another worker, since this one stops.
    Left,
    /// Another worker claimed it.
    Superseded,
}

impl Ended {
    const ALL: [Self; 6] =
        [Self::Done, Self::Failed, Self::Retried, Self::Cancelled, Self::Left, Self::Superseded];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
            Self::Left => "left",
            Self::Superseded => "superseded",
        }
    }
}

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct WorkerMetrics {
    ended: Family<ByOutcome, Counter>,
    video: Counter<f64, AtomicU64>,
    in_work: Gauge,
    waiting: Gauge,
    time_left: Gauge<f64, AtomicU64>,
}

impl WorkerMetrics {
    /// Registers everything under `sightline_worker`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let r = registry.sub_registry_with_prefix("sightline_worker");
        r.register("jobs", "Attempts at jobs that ended, by outcome", metrics.ended.clone());
        r.register_with_unit("video", "Video of jobs that are done", Unit::Seconds, metrics.video.clone());
        r.register("jobs_in_work", "Jobs that this worker is at", metrics.in_work.clone());
        r.register(
            "records_waiting",
            "Records that this worker has read and not begun",
            metrics.waiting.clone(),
        );
        r.register_with_unit(
            "time_left",
            "Until the last of the jobs in work ends, as it goes now",
            Unit::Seconds,
            metrics.time_left.clone(),
        );
        for outcome in Ended::ALL {
            drop(metrics.ended.get_or_create(&ByOutcome { outcome: outcome.as_str() }));
        }
        metrics
    }

    pub(super) fn ended(&self, ended: Ended) {
        self.ended.get_or_create(&ByOutcome { outcome: ended.as_str() }).inc();
    }

    /// So many seconds of video are done.
    pub(super) fn video(&self, seconds: f64) {
        self.video.inc_by(seconds);
    }

    pub(super) fn now(&self, in_work: usize, waiting: usize, time_left_s: f64) {
        self.in_work.set(i64::try_from(in_work).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.time_left.set(time_left_s);
    }
}
