//! The packets of an RTSP stream on their way to the depayloader: which access units the camera sent, and when by its
//! own clock.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;
use sightline_schema::Timestamp;

use super::decoder::Tap;
use super::{Reported, guarded, lock};
use crate::rtp::{Begins, Packet, PacketClock, Payload, SentUnits};

/// Counts the access units whose packets come through `pad`, in the order of their numbers, and dates the packets by the
/// camera's own clock.
pub(super) fn watch(pad: &gst::Pad, caps: Option<&gst::StructureRef>, encoding: &str, tap: &Tap) {
    // As the camera's answer to PLAY said it.
    let base = caps.and_then(|caps| {
        let sequence = u16::try_from(caps.get::<u32>("seqnum-base").ok()?).ok()?;
        Some((sequence, caps.get::<u32>("clock-base").ok()?))
    });
    let tap = tap.clone();
    let rate = caps.and_then(|caps| caps.get::<i32>("clock-rate").ok()).unwrap_or(0);
    let watched = Watched {
        units: SentUnits::new(Payload::of(&encoding.to_ascii_uppercase()), base),
        clock: PacketClock::new(rate.unsigned_abs()),
    };
    let watched = Mutex::new(watched);
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
        guarded(&tap.learned, (), || {
            let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => watched.arrived(buffer.make_mut(), &tap),
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.make_mut().foreach_mut(|mut buffer, _| {
                        watched.arrived(buffer.make_mut(), &tap);
                        ControlFlow::Continue(Some(buffer))
                    });
                }
                _ => {}
            }
        });
        gst::PadProbeReturn::Ok
    });
}

struct Watched {
    units: SentUnits,
    clock: PacketClock,
}

impl Watched {
    fn arrived(&mut self, buffer: &mut gst::BufferRef, tap: &Tap) {
        let Some((begins, timestamp)) = self.read(buffer) else { return };
        let pts = buffer.pts().map(|pts| self.clock.pts_ns(timestamp, pts.nseconds()));
        buffer.set_pts(pts.map(gst::ClockTime::from_nseconds));
        if begins.unit {
            tap.units.lock().unwrap_or_else(PoisonError::into_inner).sent(pts, begins.lost);
            if let (Some(pts), Some(camera_time)) = (pts, camera_time(buffer)) {
                lock(&tap.learned).reported = Some(Reported { pts, camera_time });
            }
        }
    }

    fn read(&mut self, buffer: &gst::BufferRef) -> Option<(Begins, u32)> {
        let bytes = buffer.map_readable().ok()?;
        let packet = Packet::parse(&bytes)?;
        Some((self.units.packet(&packet), packet.timestamp))
    }
}

/// From 1900, where NTP counts from, to 1970 (RFC 5905 §6).
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

/// The wall time of the capture by the camera's last sender report.
fn camera_time(buffer: &gst::BufferRef) -> Option<Timestamp> {
    let ntp = |meta: &gst::MetaRef<'_, gst::ReferenceTimestampMeta>| {
        meta.reference().structure(0).is_some_and(|reference| reference.name() == "timestamp/x-ntp")
    };
    let meta = buffer.iter_meta::<gst::ReferenceTimestampMeta>().find(ntp)?;
    let since_1900_us = i64::try_from(meta.timestamp().useconds()).ok()?;
    Some(Timestamp::from_micros(since_1900_us - NTP_TO_UNIX_S * 1_000_000))
}
