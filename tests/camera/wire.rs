//! Packets on their way out: RTP and RTCP as they are rewritten, held back and cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gstreamer_rtsp_server as server;
use server::gst;
use server::prelude::*;

use crate::Camera;
use crate::faults::Fault;

/// RFC 3550, 6.4.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SENDER_INFO: usize = 20;

/// Far longer than a packet is held back by the clock (a period, 40 ms) and its way to the socket.
const TO_BE_SENT: Duration = Duration::from_millis(500);

/// Sees all packets of a client's media.
pub(crate) fn watch(media: &server::RTSPMedia, bin: &gst::Bin, camera: &Arc<Camera>) {
    let payloader = bin.by_name("pay0").expect("the media has its payloader");
    let drift = 1.0 + camera.options.drift_ppm / 1e6;
    if drift != 1.0 {
        let pad = payloader.static_pad("src").expect("it has a source");
        let start = Mutex::new(None);
        pad.add_probe(PACKETS, move |_, info| {
            rewrite(info, |packet| drift_timestamp(packet, &start, drift));
            gst::PadProbeReturn::Ok
        });
    }
    let of = camera.clone();
    // Only then there is all between the media and the sockets.
    media.connect_prepared(move |media| {
        let top = std::iter::successors(media.element().parent(), |object| object.parent()).last();
        let top = top.and_then(|top| top.downcast::<gst::Bin>().ok()).expect("the media is in a pipeline");
        let is_rtpbin = |element: &gst::Element| element.factory().is_some_and(|of| of.name() == "rtpbin");
        let rtpbin = top.iterate_recurse().into_iter().map_while(Result::ok).find(is_rtpbin);
        let rtpbin = rtpbin.expect("the media is sent by an rtpbin");
        if let Some(interval) = of.options.report_interval {
            let session = rtpbin.emit_by_name::<gst::glib::Object>("get-internal-session", &[&0u32]);
            session.set_property("rtcp-min-interval", interval.as_nanos() as u64);
        }
        for pad in rtpbin.pads() {
            if pad.name().starts_with("send_rtp_src") {
                send_pictures(&pad, &of);
            } else if pad.name().starts_with("send_rtcp_src") {
                send_reports(&pad, &of);
            }
        }
    });
}

const PACKETS: gst::PadProbeType = gst::PadProbeType::BUFFER.union(gst::PadProbeType::BUFFER_LIST);

fn send_pictures(pad: &gst::Pad, camera: &Arc<Camera>) {
    let faults = camera.faults.clone();
    // The RTP timestamp of the access unit that was cut short.
    let cut = AtomicU32::new(0);
    let is_cut = std::sync::atomic::AtomicBool::new(false);
    pad.add_probe(PACKETS, move |_, info| {
        match faults.fault() {
            Fault::Stall => return gst::PadProbeReturn::Drop,
            Fault::Die => {}
            _ => return gst::PadProbeReturn::Ok,
        }
        let first = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => Some(buffer.clone()),
            Some(gst::PadProbeData::BufferList(list)) => list.get_owned(0),
            _ => None,
        };
        let Some(first) = first else { return gst::PadProbeReturn::Ok };
        let (timestamp, ends) = header(&first);
        if is_cut.load(Ordering::SeqCst) {
            if timestamp != cut.load(Ordering::SeqCst) {
                // This pad comes before the clock and before the threads that send: what was
                // let through may still lie there.
                std::thread::sleep(TO_BE_SENT);
                std::process::exit(1);
            }
            return gst::PadProbeReturn::Drop;
        }
        if ends {
            // All in one packet.
            return gst::PadProbeReturn::Ok;
        }
        cut.store(timestamp, Ordering::SeqCst);
        is_cut.store(true, Ordering::SeqCst);
        if let Some(gst::PadProbeData::BufferList(list)) = &mut info.data {
            let list = list.make_mut();
            list.remove(1..list.len());
        }
        gst::PadProbeReturn::Ok
    });
}

/// Timestamp, and whether it is the last packet of its access unit.
fn header(packet: &gst::Buffer) -> (u32, bool) {
    let mut bytes = [0; 12];
    let _ = packet.copy_to_slice(0, &mut bytes);
    (u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]), bytes[1] & 0x80 != 0)
}

fn send_reports(pad: &gst::Pad, camera: &Arc<Camera>) {
    let camera = camera.clone();
    let drift = camera.options.drift_ppm / 1e6;
    let start = Mutex::new(None);
    pad.add_probe(PACKETS, move |_, info| {
        if camera.faults.fault() == Fault::Stall {
            return gst::PadProbeReturn::Drop;
        }
        rewrite(info, |packet| {
            if packet.len() < 8 + SENDER_INFO || packet[1] != SENDER_REPORT {
                return;
            }
            if !camera.options.sender_reports {
                let words = u16::from_be_bytes([packet[2], packet[3]]) - (SENDER_INFO / 4) as u16;
                packet[1] = RECEIVER_REPORT;
                packet[2..4].copy_from_slice(&words.to_be_bytes());
                packet.drain(8..8 + SENDER_INFO);
                return;
            }
            let field = packet[8..16].try_into().expect("eight bytes");
            // Seconds in 32.32 fixed point.
            let time = u64::from_be_bytes(field);
            let start = *start.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(time);
            let drifted = time.wrapping_sub(start) as f64 * drift;
            let ahead = camera.faults.clock_offset_s() * 4_294_967_296.0 + drifted;
            let time = time.wrapping_add_signed(ahead.round() as i64);
            packet[8..16].copy_from_slice(&time.to_be_bytes());
        });
        gst::PadProbeReturn::Ok
    });
}

/// Stretches the time since the first packet.
fn drift_timestamp(packet: &mut [u8], start: &Mutex<Option<(u32, u32, f64)>>, drift: f64) {
    let mut start = start.lock().unwrap_or_else(PoisonError::into_inner);
    let field = packet[4..8].try_into().expect("four bytes");
    let now = u32::from_be_bytes(field);
    // Unwrapped by the last one, as it may go back with B-frames.
    let (first, last, so_far) = start.get_or_insert((now, now, 0.0));
    *so_far += f64::from(now.wrapping_sub(*last).cast_signed());
    *last = now;
    let drifted = (*so_far * drift).round() as i64;
    let stamp = first.wrapping_add(drifted as u32);
    packet[4..8].copy_from_slice(&stamp.to_be_bytes());
}

/// Each packet's bytes as `change` makes them.
fn rewrite(info: &mut gst::PadProbeInfo<'_>, change: impl Fn(&mut Vec<u8>)) {
    let changed = |buffer: &gst::Buffer| {
        let mut bytes = buffer.map_readable().expect("a packet can be read").to_vec();
        change(&mut bytes);
        let mut new = gst::Buffer::from_mut_slice(bytes);
        let kinds =
            gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::META;
        buffer.copy_into(new.get_mut().expect("it is new"), kinds, ..).expect("it can be described");
        new
    };
    match &mut info.data {
        Some(gst::PadProbeData::Buffer(buffer)) => *buffer = changed(buffer),
        Some(gst::PadProbeData::BufferList(list)) => {
            *list = list.iter_owned().map(|buffer| changed(&buffer)).collect();
        }
        _ => {}
    }
}
