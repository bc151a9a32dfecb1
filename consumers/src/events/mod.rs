//! `detections` → `events`.

pub mod rules;
