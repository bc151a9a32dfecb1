//! One programme for all clients, that goes on though nobody watches.

use gst::prelude::*;
use gstreamer_rtsp_server as server;
use server::gst;

use crate::faults::since_1970;
use crate::say;

/// A client of our own, since the server ends what nobody watches. With its end the camera ends: the programme would
/// begin anew.
pub(crate) fn watch(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let watcher = gst::parse::launch(&format!(
        "rtspsrc location=rtsp://127.0.0.1:{port}/cam protocols=tcp ! fakesink sync=false"
    ))?;
    std::thread::spawn(move || {
        let bus = watcher.bus().expect("a pipeline has a bus");
        watcher.set_state(gst::State::Playing).expect("it plays");
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let why = bus.timed_pop_filtered(gst::ClockTime::NONE, &ends);
        eprintln!("off the air: {why:?}");
        std::process::exit(1);
    });
    Ok(())
}

/// Sender reports say of each picture what time it was when the media's clock was at the picture's time. `skipped`: how
/// much of the first round is not played.
pub(crate) fn say_when_it_begins(source: &gst::Element, skipped: gst::ClockTime) {
    let said = std::sync::Once::new();
    source.connect("need-data", false, move |values| {
        let source = values[0].get::<gst::Element>().expect("the source");
        // Before it plays its clock is not yet set.
        if source.current_state() == gst::State::Playing
            && let Some(running) = source.current_running_time()
        {
            said.call_once(|| {
                let played = u128::from((running + skipped).useconds());
                let began = since_1970().as_micros().saturating_sub(played);
                say(&format!("began {began}"));
            });
        }
        None
    });
}
