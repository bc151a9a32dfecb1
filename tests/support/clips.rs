//! Short clips, cut from real ones without decoding.
// A module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use gstreamer::prelude::*;

/// The first `frames` pictures of an H.264 file, as they are.
pub fn cut(clip: &Path, frames: u64, to: &Path) {
    gstreamer::init().expect("GStreamer");
    let launch = format!(
        "filesrc location=\"{}\" ! qtdemux ! h264parse ! identity eos-after={} ! mp4mux ! filesink location=\"{}\"",
        clip.display(),
        frames + 1,
        to.display()
    );
    let pipeline = gstreamer::parse::launch(&launch).expect("a pipeline");
    pipeline.set_state(gstreamer::State::Playing).expect("it plays");
    let bus = pipeline.bus().expect("a bus");
    let message = bus.timed_pop_filtered(
        gstreamer::ClockTime::from_seconds(60),
        &[gstreamer::MessageType::Eos, gstreamer::MessageType::Error],
    );
    let message = message.expect("an end within a minute");
    assert_eq!(message.type_(), gstreamer::MessageType::Eos, "{message:?}");
    pipeline.set_state(gstreamer::State::Null).expect("it stops");
}
