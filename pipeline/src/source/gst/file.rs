//! Files, objects and HTTP: whatever `decodebin3` opens, the first video stream of it.
//!
//! `uridecodebin3` is not used: it starts its source before its decoder is ready (GStreamer 1.22). And a file is read by
//! `filesrc` alone, since `urisourcebin` looks at the first bytes on a thread of its own, whose word may come when all is
//! read already. Either way a short file gives no picture, or no end, on a busy machine.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use sightline_schema::ErrorCode;

use super::decoder::{Tap, is_video_decoder};
use super::object::{self, Closing};
use super::{GstOptions, Kind, guarded, lock, make};

/// The element's name.
const FETCH: &str = "fetch";

pub(super) fn build(
    pipeline: &gst::Pipeline,
    options: &GstOptions,
    sink: &gst_app::AppSink,
    tap: Tap,
    closing: &Closing,
) -> Result<(), String> {
    let file = options.address.path();
    // Whether its one pad is there from the beginning.
    let (fetch, is_direct) = match (&file, options.address.kind()) {
        (Some(path), _) => {
            let made = gst::ElementFactory::make("filesrc").property("location", path).name(FETCH).build();
            (made.map_err(|error| error.to_string())?, true)
        }
        (None, Kind::Object | Kind::WebFile) => (object::source(options, &tap, closing, FETCH)?, true),
        (None, _) => {
            let uri = options.address.uri();
            let made = gst::ElementFactory::make("urisourcebin").property("uri", uri).name(FETCH).build();
            (made.map_err(|error| error.to_string())?, false)
        }
    };
    fetch.set_locked_state(true);
    let decode = make("decodebin3")?;
    // Passes through untouched what the letterbox reads as it is: the common case costs nothing.
    let convert = make("videoconvert")?;
    pipeline.add_many([&fetch, &decode, &convert, sink.upcast_ref()]).map_err(|error| error.to_string())?;
    convert.link(sink).map_err(|error| error.to_string())?;
    select_video(&decode, &tap);
    if is_direct {
        fetch.link(&decode).map_err(|error| error.to_string())?;
    } else {
        set_up_source(&fetch, options, &tap);
        let learned = tap.learned.clone();
        let entrance = decode.static_pad("sink").ok_or("decodebin3 has no sink")?;
        fetch.connect_pad_added(move |_, pad| {
            guarded(&learned, (), || {
                // A pad that can't be linked says so by an error on the bus.
                if !entrance.is_linked() {
                    let _ = pad.link(&entrance);
                }
            });
        });
    }
    let decoders = tap.clone();
    decode.downcast_ref::<gst::Bin>().ok_or("decodebin3 is no bin")?.connect_deep_element_added(
        move |_, _, element| {
            guarded(&decoders.learned, (), || {
                if is_video_decoder(element) {
                    decoders.attach(element);
                }
            });
        },
    );
    let convert = convert.downgrade();
    decode.connect_pad_added(move |_, pad| {
        guarded(&tap.learned, (), || {
            let target = convert.upgrade().and_then(|convert| convert.static_pad("sink"));
            let Some(target) = target.filter(|target| !target.is_linked()) else { return };
            // By its name, video_0: what it will carry is not settled yet when a decoder is slow to say.
            if pad.name().starts_with("video") {
                lock(&tap.learned).saw_video = true;
                if pad.link(&target).is_err() {
                    lock(&tap.learned).error = Some((
                        ErrorCode::CodecUnsupported,
                        "the decoded video can't be read here".to_owned(),
                    ));
                }
            }
        });
    });
    Ok(())
}

/// Lets the bytes come, now that all behind is ready for them.
pub(super) fn start(pipeline: &gst::Pipeline) -> bool {
    let Some(fetch) = pipeline.by_name(FETCH) else { return true };
    fetch.set_locked_state(false);
    fetch.sync_state_with_parent().is_ok()
}

/// Only the first video stream is decoded: sound and subtitles would cost time for nothing.
fn select_video(decode: &gst::Element, tap: &Tap) {
    let learned = tap.learned.clone();
    decode.connect("select-stream", false, move |values| {
        let skip = Some(0i32.to_value());
        guarded(&learned, skip.clone(), || {
            let collection = values.get(1)?.get::<gst::StreamCollection>().ok()?;
            let stream = values.get(2)?.get::<gst::Stream>().ok()?;
            let video = |stream: &gst::Stream| stream.stream_type().contains(gst::StreamType::VIDEO);
            if !video(&stream) {
                let name = stream.stream_type().to_string();
                let other = if name.contains("audio") { "audio".to_owned() } else { name };
                let mut learned = lock(&learned);
                if !collection.iter().any(|stream| video(&stream)) {
                    // Nothing is selected, so neither a picture nor an end would come.
                    learned.error = Some((ErrorCode::NoVideo, format!("no video, only {other}")));
                }
                learned.saw_other = Some(other);
                return skip;
            }
            lock(&learned).saw_video = true;
            let first = collection.iter().find(video).and_then(|first| first.stream_id());
            Some(i32::from(first == stream.stream_id()).to_value())
        })
    });
}

/// HTTP passwords are properties of the source, so that no location carries them.
fn set_up_source(fetch: &gst::Element, options: &GstOptions, tap: &Tap) {
    let (credentials, stays) = (options.address.credentials().cloned(), options.stays);
    let learned = tap.learned.clone();
    fetch.connect("source-setup", false, move |values| {
        guarded(&learned, None, || {
            let source = values.get(1)?.get::<gst::Element>().ok()?;
            if stays && source.has_property("automatic-redirect") {
                source.set_property("automatic-redirect", false);
            }
            let credentials = credentials.as_ref()?;
            for (property, value) in [("user-id", &credentials.user), ("user-pw", &credentials.password)] {
                if source.has_property(property) {
                    source.set_property(property, value);
                }
            }
            None
        })
    });
}
