//! The door of the decoder: where access units are counted, held back, and the stream's facts are read.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use gst::prelude::*;
use gstreamer as gst;

use super::{Shared, SharedAccessUnits, guarded, lock};
use crate::access_units::Fate;
use crate::encoded::{self, Framing, NalCodec};
use crate::lead_in::LeadIn;

/// What is listened to and set on the decoder of a stream.
#[derive(Clone)]
pub(super) struct Tap {
    pub(super) units: SharedAccessUnits,
    pub(super) learned: Shared,
    pub(super) keyframes_only: bool,
    /// It may be joined between two keyframes.
    pub(super) live: bool,
    /// Look into each access unit, for [`encoded::reference`].
    pub(super) looks_into: bool,
    /// 0 lets the decoder choose.
    pub(super) threads: u32,
    /// Hardware was tried in vain.
    pub(super) in_software: bool,
}

impl Tap {
    /// Attaches to a video decoder before it gets its first access unit.
    pub(super) fn attach(&self, decoder: &gst::Element) {
        if let Some(factory) = decoder.factory() {
            lock(&self.learned).decoder = Some(factory.name().to_string());
        }
        if decoder.has_property("max-threads") {
            decoder.set_property("max-threads", self.threads as i32);
        }
        let Some(pad) = decoder.static_pad("sink") else { return };
        let tap = self.clone();
        let lead_in = Mutex::new(if self.live { LeadIn::Begins } else { LeadIn::Over });
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(kinds, move |_, info| {
            guarded(&tap.learned, gst::PadProbeReturn::Ok, || tap.probe(info, &lead_in))
        });
        let Some(behind) = decoder.static_pad("src") else { return };
        let learned = self.learned.clone();
        behind.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
                let pts = buffer.pts().map(|pts| pts.nseconds());
                lock(&learned).decode_times.left(pts, Instant::now());
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn probe(&self, info: &gst::PadProbeInfo<'_>, lead_in: &Mutex<LeadIn>) -> gst::PadProbeReturn {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let delta = buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                let held =
                    lead_in.lock().unwrap_or_else(PoisonError::into_inner).holds(!delta, Instant::now());
                let unwanted = held || (self.keyframes_only && delta);
                let fate = if unwanted { Fate::Undecoded } else { Fate::Decoding };
                let pts = buffer.pts().map(|pts| pts.nseconds());
                let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
                units.arrived(pts, fate);
                units.note_time(pts, SystemTime::now);
                drop(units);
                self.learn(buffer, pts, !delta);
                if fate == Fate::Decoding {
                    lock(&self.learned).decode_times.entered(pts, Instant::now());
                }
                match fate {
                    Fate::Decoding => gst::PadProbeReturn::Ok,
                    // Not `Drop`: the binding (0.25.4) leaves GStreamer nothing to free then, and it complains each time.
                    Fate::Undecoded | Fate::Lost => gst::PadProbeReturn::Handled,
                }
            }
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Caps(caps) = event.view() {
                    self.read_caps(caps.caps());
                }
                gst::PadProbeReturn::Ok
            }
            _ => gst::PadProbeReturn::Ok,
        }
    }

    fn learn(&self, buffer: &gst::BufferRef, pts: Option<u64>, keyframe: bool) {
        let mut learned = lock(&self.learned);
        learned.last_unit = Some(Instant::now());
        let reference = match learned.nal {
            Some((codec, framing)) if self.looks_into => {
                buffer.map_readable().ok().and_then(|bytes| encoded::reference(&bytes, framing, codec))
            }
            _ => None,
        };
        learned.encoded.add(pts, buffer.size(), keyframe, reference);
    }

    fn read_caps(&self, caps: &gst::CapsRef) {
        let Some(structure) = caps.structure(0) else { return };
        let mut learned = lock(&self.learned);
        learned.saw_video = true;
        learned.codec = Some(codec_name(structure));
        learned.colour_signalled = structure.has_field("colorimetry");
        let word = |field: &str| structure.get::<String>(field).ok();
        learned.profile = word("profile").map(|profile| match word("level") {
            Some(level) => format!("{profile} {level}"),
            None => profile,
        });
        learned.nal = nal_codec(structure);
    }
}

/// How NAL units stand in the access units of these caps.
fn nal_codec(structure: &gst::StructureRef) -> Option<(NalCodec, Framing)> {
    // Where the size of the length stands in avcC and hvcC (ISO/IEC 14496-15 §5.3.3.1 and §8.3.3.1).
    let (codec, at) = match structure.name().as_str() {
        "video/x-h264" => (NalCodec::H264, 4),
        "video/x-h265" => (NalCodec::H265, 21),
        _ => return None,
    };
    if structure.get::<&str>("stream-format") == Ok("byte-stream") {
        return Some((codec, Framing::StartCodes));
    }
    let codec_data = structure.get::<gst::Buffer>("codec_data").ok()?;
    let bytes = codec_data.map_readable().ok()?;
    Some((codec, Framing::Lengths(usize::from(bytes.get(at)? & 3) + 1)))
}

/// The codec as people call it.
fn codec_name(structure: &gst::StructureRef) -> String {
    match structure.name().as_str() {
        "video/x-h264" => "h264".into(),
        "video/x-h265" => "h265".into(),
        "image/jpeg" => "mjpeg".into(),
        "video/mpeg" => match structure.get::<i32>("mpegversion") {
            Ok(version) => format!("mpeg{version}"),
            Err(_) => "mpeg".into(),
        },
        other => other.trim_start_matches("video/x-").trim_start_matches("video/").to_owned(),
    }
}

/// Whether an element turns encoded video into frames.
pub(super) fn is_video_decoder(element: &gst::Element) -> bool {
    let Some(factory) = element.factory() else { return false };
    let class = factory.metadata("klass").unwrap_or_default();
    // `decodebin3` and friends are "Generic/Bin/Decoder"; parsers and demuxers are neither.
    class.contains("Decoder")
        && (class.contains("Video") || class.contains("Image"))
        && !class.contains("Bin")
}
