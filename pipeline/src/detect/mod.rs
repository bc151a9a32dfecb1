//! Frames → detections: letterbox, session, head, suppression.

mod device;
mod engines;
pub mod facts;
mod filter;
pub mod head;
mod inspect;
mod model;
pub mod nms;
mod runtime;
mod session;

pub use device::{Device, DeviceChoice};
pub use engines::{EngineCache, EngineFacts};
pub use facts::{ImageSize, NamesError, Refusal, parse_names_file};
pub use filter::{Thresholds, UnknownClass};
pub use head::Head;
pub use inspect::Inspection;
pub use model::{Model, ModelError, ModelOptions};
pub use session::DetectSession;
