//! What the archive counts. `docs/METRICS.md` lists it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sightline_service::objects::Reason;

use super::rows::{Content, Kind};

/// Why a file may not be written.
const WRITING: [Reason; 5] = [Reason::Refused, Reason::Missing, Reason::Full, Reason::Away, Reason::Other];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    topic: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct As {
    topic: &'static str,
    r#as: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// Of one process, both topics.
pub struct Archived {
    files: Family<Of, Counter>,
    bytes: Family<Of, Counter>,
    records: Family<As, Counter>,
    open: Family<Of, Gauge>,
    pub(super) seconds: Histogram,
    failures: Family<Why, Counter>,
    removed: Family<Of, Counter>,
}

impl Archived {
    pub fn register(registry: &mut Registry) -> Self {
        const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
        let archived = Self {
            files: Family::default(),
            bytes: Family::default(),
            records: Family::default(),
            open: Family::default(),
            seconds: Histogram::new(SECONDS),
            failures: Family::default(),
            removed: Family::default(),
        };
        // A series that is there from the beginning shows its first increase.
        for topic in [Kind::Detections, Kind::Events].map(Kind::as_str) {
            drop(archived.files.get_or_create(&Of { topic }));
            drop(archived.bytes.get_or_create(&Of { topic }));
            drop(archived.open.get_or_create(&Of { topic }));
            drop(archived.removed.get_or_create(&Of { topic }));
            for r#as in ["message", "other", "raw"] {
                drop(archived.records.get_or_create(&As { topic, r#as }));
            }
        }
        for reason in WRITING {
            drop(archived.failures.get_or_create(&Why { reason: reason.as_str() }));
        }
        let registry = registry.sub_registry_with_prefix("sightline_archive");
        registry.register("files", "Files written", archived.files.clone());
        registry.register("bytes", "Bytes of files written", archived.bytes.clone());
        registry.register("records", "Records taken into files, by how", archived.records.clone());
        registry.register("open_bytes", "What open batches hold in memory", archived.open.clone());
        registry.register("write_seconds", "Writing one file", archived.seconds.clone());
        registry.register(
            "store_failures",
            "What the store did not do, by reason; it is tried again",
            archived.failures.clone(),
        );
        registry.register("files_removed", "Files that were kept long enough", archived.removed.clone());
        archived
    }

    pub(super) fn written(&self, kind: Kind, bytes: usize) {
        let of = Of { topic: kind.as_str() };
        self.files.get_or_create(&of).inc();
        self.bytes.get_or_create(&of).inc_by(bytes as u64);
    }

    pub(super) fn taken(&self, kind: Kind, content: &Content<'_>) {
        let r#as = match content {
            Content::Frame(_) | Content::Event(_) => "message",
            Content::Other | Content::Tombstone => "other",
            Content::Raw(..) => "raw",
        };
        self.records.get_or_create(&As { topic: kind.as_str(), r#as }).inc();
    }

    pub(super) fn open(&self, kind: Kind, bytes: usize) {
        self.open.get_or_create(&Of { topic: kind.as_str() }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn failed(&self, reason: Reason) {
        self.failures.get_or_create(&Why { reason: reason.as_str() }).inc();
    }

    pub(super) fn removed(&self, kind: Kind, files: u64) {
        self.removed.get_or_create(&Of { topic: kind.as_str() }).inc_by(files);
    }
}
