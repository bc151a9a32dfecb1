//! camera → frames → detections → tracks → Kafka.
//!
//! One file per stage, each holding only its successor; `topology` alone knows them all. Modules without native
//! libraries, clocks or I/O are marked as pure in `docs/ARCHITECTURE.md` and are tested with plain values.

pub mod access_units;
pub mod annotate;
pub mod assignment;
pub mod batch;
pub mod bench;
pub mod capacity;
pub mod clock;
pub mod cpu;
pub mod detect;
pub mod detection;
pub mod encoded;
pub mod error;
pub mod evaluate;
pub mod frame;
pub mod gaps;
pub mod gate;
pub mod handover;
pub mod jobs;
pub mod lane;
pub mod lead_in;
pub mod letterbox;
pub mod metrics;
pub mod mot;
pub mod outlet;
pub mod picture_watch;
pub mod predecessors;
pub mod probe;
pub mod publish;
pub mod reach;
pub mod reader;
pub mod result;
pub mod rtp;
pub mod run;
mod say;
pub mod secrets;
pub mod sequence;
pub mod source;
pub mod spool;
pub mod status;
mod statuses;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod timeline;
pub mod topology;
pub mod trace;
pub mod track;
pub mod workers;
