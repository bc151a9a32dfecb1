//! `test://PATTERN?size=WxH&fps=F&frames=N`: a picture made here, for trying out without a camera.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use url::Url;

use super::{GstOptions, make};

/// `videotestsrc`'s names for patterns, plus `junction`-free defaults: `smpte` when none is named.
pub(super) fn build(
    pipeline: &gst::Pipeline,
    options: &GstOptions,
    sink: &gst_app::AppSink,
) -> Result<(), String> {
    let uri = Url::parse(options.address.uri()).map_err(|error| format!("{}: {error}", options.address))?;
    let pattern = uri.host_str().unwrap_or("smpte");
    let (mut size, mut fps, mut frames) = ((1280, 720), 25, -1);
    for (key, value) in uri.query_pairs() {
        let bad = || {
            format!("{}: {key}={value} is not understood; give size=WxH, fps=N, frames=N", options.address)
        };
        match key.as_ref() {
            "size" => {
                let (w, h) = value.split_once('x').ok_or_else(bad)?;
                size = (w.parse::<i32>().map_err(|_| bad())?, h.parse::<i32>().map_err(|_| bad())?);
            }
            "fps" => fps = value.parse::<i32>().map_err(|_| bad())?,
            "frames" => frames = value.parse::<i32>().map_err(|_| bad())?,
            _ => return Err(bad()),
        }
    }
    if !(1..=16_384).contains(&size.0) || !(1..=16_384).contains(&size.1) || !(1..=240).contains(&fps) {
        return Err(format!("{}: size is 1..16384 each way, fps 1..240", options.address));
    }
    let source = make("videotestsrc")?;
    let class = glib_enum(&source, "pattern").ok_or("videotestsrc has no patterns")?;
    if class.value_by_nick(pattern).is_none() {
        let known: Vec<_> = class.values().iter().map(|value| value.nick().to_owned()).collect();
        return Err(format!("{}: no pattern {pattern}; there are {}", options.address, known.join(", ")));
    }
    source.set_property_from_str("pattern", pattern);
    source.set_property("num-buffers", frames);
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", size.0)
        .field("height", size.1)
        .field("framerate", gst::Fraction::new(fps, 1))
        .build();
    let filter = gst::ElementFactory::make("capsfilter")
        .property("caps", caps)
        .build()
        .map_err(|error| error.to_string())?;
    pipeline.add_many([&source, &filter, sink.upcast_ref()]).map_err(|error| error.to_string())?;
    gst::Element::link_many([&source, &filter, sink.upcast_ref()]).map_err(|error| error.to_string())
}

fn glib_enum(element: &gst::Element, property: &str) -> Option<gst::glib::EnumClass> {
    gst::glib::EnumClass::with_type(element.find_property(property)?.value_type())
}
