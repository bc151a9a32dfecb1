//! The packets of an RTSP stream on their way to the depayloader: which access units the camera sent.

use std::sync::PoisonError;

use gst::prelude::*;
use gstreamer as gst;

use super::decoder::Tap;
use super::guarded;
use crate::rtp::{Packet, Payload, SentUnits};

/// Counts the access units whose packets come through `pad`, in the order of their numbers.
pub(super) fn watch(pad: &gst::Pad, caps: Option<&gst::StructureRef>, encoding: &str, tap: &Tap) {
    // As the camera's answer to PLAY said it.
    let base = caps.and_then(|caps| {
        let sequence = u16::try_from(caps.get::<u32>("seqnum-base").ok()?).ok()?;
        Some((sequence, caps.get::<u32>("clock-base").ok()?))
    });
    let tap = tap.clone();
    let units = std::sync::Mutex::new(SentUnits::new(Payload::of(&encoding.to_ascii_uppercase()), base));
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
        guarded(&tap.learned, (), || {
            let mut units = units.lock().unwrap_or_else(PoisonError::into_inner);
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => arrived(&mut units, buffer, &tap),
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.iter().for_each(|buffer| arrived(&mut units, buffer, &tap));
                }
                _ => {}
            }
        });
        gst::PadProbeReturn::Ok
    });
}

fn arrived(units: &mut SentUnits, buffer: &gst::BufferRef, tap: &Tap) {
    let Ok(bytes) = buffer.map_readable() else { return };
    let Some(packet) = Packet::parse(&bytes) else { return };
    let begins = units.packet(&packet);
    if begins.unit {
        let pts = buffer.pts().map(|pts| pts.nseconds());
        tap.units.lock().unwrap_or_else(PoisonError::into_inner).sent(pts, begins.lost);
    }
}
