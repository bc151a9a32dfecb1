//! What the registry counts. `docs/METRICS.md` lists it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use sightline_schema::JobState;
use sightline_service::database::DatabaseFaultKind;

use crate::api::pods;
use crate::api::types::Scaling;
use crate::jobs::{JobsView, Outcome as JobOutcome};
use crate::state;
use crate::view::View;
use crate::wish::Outcome;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    reason: &'static str,
}

/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    writes: Family<WriteLabels, Counter>,
    job_writes: Family<WriteLabels, Counter>,
    /// Jobs that were added and are not acknowledged by their queue yet.
    pub(crate) jobs_unqueued: Gauge,
    pub(crate) evened: Counter,
    pub(crate) dead_letters: Counter,
    pub(crate) view_lag: Histogram,
    pub(crate) request_seconds: Histogram,
    pub(crate) event_watchers: Gauge,
    pub(crate) event_watchers_slow: Counter,
    pub(crate) events_sent: Counter,
    pub(crate) history_seconds: Histogram,
    history_failures: Family<FailureLabels, Counter>,
}

impl Metrics {
    /// Registers all, and what is counted in the view when it is asked for.
    pub(crate) fn register(registry: &mut Registry, view: View, jobs: JobsView) -> Self {
        const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
        let metrics = Self {
            requests: Family::default(),
            writes: Family::default(),
            job_writes: Family::default(),
            jobs_unqueued: Gauge::default(),
            evened: Counter::default(),
            dead_letters: Counter::default(),
            view_lag: Histogram::new(SECONDS),
            request_seconds: Histogram::new(SECONDS),
            event_watchers: Gauge::default(),
            event_watchers_slow: Counter::default(),
            events_sent: Counter::default(),
            history_seconds: Histogram::new(SECONDS),
            history_failures: Family::default(),
        };
        for outcome in [Outcome::Created, Outcome::Changed, Outcome::Deleted, Outcome::Moved] {
            // A series that is there from the beginning.
            drop(metrics.writes.get_or_create(&WriteLabels { outcome: name(outcome) }));
        }
        for outcome in [JobOutcome::Added, JobOutcome::Cancelled, JobOutcome::Retried] {
            drop(metrics.job_writes.get_or_create(&WriteLabels { outcome: job_name(outcome) }));
        }
        metrics.register_events(registry);
        registry.register(
            "sightline_registry_job_writes",
            "Accepted changes of jobs, by what they did",
            metrics.job_writes.clone(),
        );
        registry.register(
            "sightline_registry_jobs_unqueued",
            "Jobs that were added and are not in their queue yet",
            metrics.jobs_unqueued.clone(),
        );
        registry.register(
            "sightline_registry_requests",
            "Requests answered, by route, method and status",
            metrics.requests.clone(),
        );
        registry.register(
            "sightline_registry_request_seconds",
            "Time from a request's head to its answer's",
            metrics.request_seconds.clone(),
        );
        registry.register(
            "sightline_registry_writes",
            "Accepted changes, by what they did",
            metrics.writes.clone(),
        );
        registry.register(
            "sightline_registry_evened",
            "Cameras moved to even out the load of a pool's pods",
            metrics.evened.clone(),
        );
        registry.register(
            "sightline_registry_dead_letters",
            "Records of registrations that can't be read",
            metrics.dead_letters.clone(),
        );
        registry.register(
            "sightline_registry_view_lag_seconds",
            "From a transaction's beginning to the view showing it",
            metrics.view_lag.clone(),
        );
        registry.register_collector(Box::new(Known { view: Arc::new(view), jobs }));
        metrics
    }

    fn register_events(&self, registry: &mut Registry) {
        for kind in DatabaseFaultKind::ALL {
            drop(self.history_failures.get_or_create(&FailureLabels { reason: kind.as_str() }));
        }
        registry.register(
            "sightline_registry_event_watchers",
            "Streams of events that are open",
            self.event_watchers.clone(),
        );
        registry.register(
            "sightline_registry_event_watchers_slow",
            "Streams of events that ended because they were not read fast enough",
            self.event_watchers_slow.clone(),
        );
        registry.register(
            "sightline_registry_events_sent",
            "Events sent in streams",
            self.events_sent.clone(),
        );
        registry.register(
            "sightline_registry_history_seconds",
            "Time of a question to the database",
            self.history_seconds.clone(),
        );
        registry.register(
            "sightline_registry_history_failures",
            "Questions that the database did not answer, by why",
            self.history_failures.clone(),
        );
    }

    pub(crate) fn history_failed(&self, kind: DatabaseFaultKind) {
        self.history_failures.get_or_create(&FailureLabels { reason: kind.as_str() }).inc();
    }

    pub(crate) fn requested(&self, route: &'static str, method: &'static str, status: u16, begun: Instant) {
        self.requests.get_or_create(&RequestLabels { route, method, status }).inc();
        self.request_seconds.observe(begun.elapsed().as_secs_f64());
    }

    pub(crate) fn wrote_job(&self, outcome: JobOutcome) {
        self.job_writes.get_or_create(&WriteLabels { outcome: job_name(outcome) }).inc();
    }

    pub(crate) fn wrote(&self, outcome: Outcome) {
        self.writes.get_or_create(&WriteLabels { outcome: name(outcome) }).inc();
    }
}

const fn job_name(outcome: JobOutcome) -> &'static str {
    match outcome {
        JobOutcome::Added => "added",
        JobOutcome::Cancelled => "cancelled",
        JobOutcome::Retried => "retried",
        JobOutcome::Unchanged => "unchanged",
    }
}

pub(crate) fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Created => "created",
        Outcome::Changed => "changed",
        Outcome::Unchanged => "unchanged",
        Outcome::Deleted => "deleted",
        Outcome::Moved => "moved",
    }
}

/// Counted in the view at each scrape, so that no count can drift.
struct Known {
    view: Arc<View>,
    jobs: JobsView,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

impl Known {
    fn encode_jobs(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let jobs = self.jobs.read(|known| {
            let mut jobs = JobState::ALL.map(|state| (state, 0_i64));
            for (_, _, status) in known.all() {
                if let Some((_, count)) = jobs.iter_mut().find(|(state, _)| *state == status.state) {
                    *count += 1;
                }
            }
            jobs
        });
        let mut family = encoder.encode_descriptor(
            "sightline_registry_jobs",
            "Jobs that are known, by state",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for (state, count) in jobs {
            let labels = [("state", state.as_str())];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Of each pool that a camera or a pod names.
fn scaling(known: &state::State, now: Instant) -> Vec<Scaling> {
    let of_cameras = known.registered().filter_map(|(_, camera)| camera.pool());
    let pools: BTreeSet<&str> = of_cameras.chain(known.capacities.keys().map(String::as_str)).collect();
    pools.into_iter().map(|pool| pods::of_pool(known, pool, now)).collect()
}

fn encode_pools(pools: &[Scaling], encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    type Figure = fn(&Scaling) -> f64;
    let figures: [(&str, &str, Figure); 4] = [
        ("sightline_registry_pool_pods", "Pods of a pool that are alive", |pool| pool.pods as f64),
        ("sightline_registry_pool_pods_wanted", "Pods that a pool should have", |pool| pool.pods_wanted),
        ("sightline_registry_pool_wanted_fps", "Frames a second that a pool's cameras want", |pool| {
            pool.wanted_fps
        }),
        (
            "sightline_registry_pool_capacity_fps",
            "Frames a second that a pool's live pods can detect",
            |pool| pool.capacity_fps_per_pod * pool.pods as f64,
        ),
    ];
    for (name, help, figure) in figures {
        let gauge = prometheus_client::metrics::MetricType::Gauge;
        let mut family = encoder.encode_descriptor(name, help, None, gauge)?;
        for pool in pools {
            let labels = [("pool", pool.pool.as_str())];
            ConstGauge::new(figure(pool)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

impl Collector for Known {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let now = Instant::now();
        let (cameras, pods, unreadable, pools) = self.view.read(|known| {
            let mut cameras: Vec<_> = state::states().map(|state| (state, 0_i64)).collect();
            for (_, camera) in known.registered() {
                let state = camera.state();
                if let Some((_, count)) = cameras.iter_mut().find(|(name, _)| *name == state) {
                    *count += 1;
                }
            }
            let pools = scaling(known, now);
            (cameras, known.live_pods(now).count() as i64, known.unreadable.len() as i64, pools)
        });
        let mut family = encoder.encode_descriptor(
            "sightline_registry_cameras",
            "Registered cameras, by the state of their newest run",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for (state, count) in cameras {
            let labels = [("state", state)];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        self.encode_jobs(&mut encoder)?;
        encode_pools(&pools, &mut encoder)?;
        for (name, help, value) in [
            ("sightline_registry_pods", "Pods that are alive", pods),
            (
                "sightline_registry_cameras_unreadable",
                "Cameras whose newest record can't be read",
                unreadable,
            ),
        ] {
            let gauge = ConstGauge::new(value);
            let encoder =
                encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?;
            gauge.encode(encoder)?;
        }
        Ok(())
    }
}
