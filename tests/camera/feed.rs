//! Gives a session's source an access unit each time it asks for one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer_rtsp_server::gst;

use crate::clip::Clip;
use crate::faults::Fault;
use crate::{Camera, say};

pub(crate) struct Feed {
    source: gst::glib::WeakRef<gst::Element>,
    camera: Arc<Camera>,
    at: Mutex<At>,
}

/// How far it is. Times are those of the clips, in ns: `--speed` comes at the very end.
struct At {
    clip: usize,
    unit: usize,
    round: u64,
    /// Where the clip's own times begin.
    base: f64,
    /// The highest pts given.
    last: f64,
    given: u64,
    /// Something was wrong since the last unit of the clip: it goes on at a keyframe.
    astray: bool,
    /// The source asked and was given nothing.
    starved: bool,
    over: bool,
}

impl Feed {
    pub(crate) fn start(source: &gst::Element, camera: &Arc<Camera>) {
        let clip = camera.programme.on();
        source.set_property("caps", &camera.programme.now().caps);
        let (unit, pts) = camera.programme.now().key_from(camera.options.from_s);
        let at = At {
            clip,
            unit,
            round: 0,
            base: -(pts.nseconds() as f64),
            last: 0.0,
            given: 0,
            astray: false,
            starved: false,
            over: false,
        };
        let feed = Arc::new(Self { source: source.downgrade(), camera: camera.clone(), at: Mutex::new(at) });
        camera.programme.add(feed.clone());
        source.connect("need-data", false, move |_| {
            feed.give();
            None
        });
    }

    pub(crate) fn is_open(&self) -> bool {
        self.source.upgrade().is_some()
    }

    /// Something changed: who waits may get something now.
    pub(crate) fn wake(&self) {
        let starved = std::mem::take(&mut self.at.lock().unwrap_or_else(PoisonError::into_inner).starved);
        if starved {
            self.give();
        }
    }

    fn give(&self) {
        let Some(source) = self.source.upgrade() else { return };
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let programme = &self.camera.programme;
        let fault = self.camera.faults.fault();
        if at.over || (fault == Fault::Stall && at.given > 0) {
            // The first is for the server, which does not answer DESCRIBE without.
            at.starved = !at.over;
            at.astray = true;
            return;
        }
        if programme.on() > at.clip && !self.change(&mut at, programme.on()) {
            return;
        }
        let Some(mut clip) = programme.clip(at.clip) else { return };
        if at.astray && matches!(fault, Fault::None | Fault::Garbage | Fault::Die | Fault::RefuseSessions) {
            self.find_the_way(&mut at, clip, &source);
        }
        if at.unit == clip.units.len() {
            at.unit = 0;
            at.round += 1;
            at.base += clip.length.nseconds() as f64;
            let loops = self.camera.options.loops;
            if loops > 0 && at.round >= loops {
                let next = at.clip + 1;
                if programme.clip(next).is_none() {
                    at.over = true;
                    say(&format!("sent {}", at.given));
                    let _ = source.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]);
                    return;
                }
                programme.advance(next);
                if !self.change(&mut at, next) {
                    return;
                }
                clip = programme.clip(next).expect("it was there");
            }
        }
        let period = clip.period.nseconds() as f64;
        let (mut buffer, pts, dts) = match fault {
            Fault::Freeze | Fault::Black => {
                at.astray = true;
                let key = (0..=at.unit).rfind(|unit| clip.is_key(*unit)).unwrap_or(0);
                let unit = match fault {
                    Fault::Black => {
                        clip.black().map_or(&clip.units[key], |black| &black[(at.given % 2) as usize])
                    }
                    _ => &clip.units[key],
                };
                let pts = at.last + period;
                (unit.copy(), Some(pts), Some(pts))
            }
            _ => {
                let unit = &clip.units[at.unit];
                let base = at.base;
                let moved = |time: gst::ClockTime| base + time.nseconds() as f64;
                let buffer = if fault == Fault::Garbage { clip.garbage(at.unit) } else { unit.copy() };
                at.unit += 1;
                (buffer, unit.pts().map(moved), unit.dts().map(moved))
            }
        };
        at.given += 1;
        at.last = at.last.max(pts.unwrap_or_default());
        let speed = self.camera.options.speed;
        let scaled = |time: f64| gst::ClockTime::from_nseconds((time.max(0.0) / speed).round() as u64);
        let writable = buffer.make_mut();
        writable.set_pts(pts.map(scaled));
        writable.set_dts(dts.map(scaled));
        let _ = source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]);
    }

    /// Goes on to another clip; false where that takes another session.
    fn change(&self, at: &mut At, to: usize) -> bool {
        let programme = &self.camera.programme;
        let (Some(before), Some(clip)) = (programme.clip(at.clip), programme.clip(to)) else { return false };
        if clip.codec != before.codec {
            at.over = true;
            say(&format!("sent {}", at.given));
            self.camera.launch();
            self.hang_up_after(at.last + before.period.nseconds() as f64);
            return false;
        }
        at.base = if at.given == 0 { 0.0 } else { at.last + before.period.nseconds() as f64 };
        at.clip = to;
        at.unit = 0;
        at.round = 0;
        at.astray = false;
        true
    }

    /// The connections end when what was given has been sent.
    fn hang_up_after(&self, time: f64) {
        let time = gst::ClockTime::from_nseconds((time / self.camera.options.speed) as u64);
        let now = self.source.upgrade().and_then(|source| source.current_running_time());
        let left = time.saturating_sub(now.unwrap_or_default());
        let door = self.camera.door.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from(left));
            door.hang_up();
        });
    }

    /// To the next keyframe, at the time it is now where nothing was given for a while.
    fn find_the_way(&self, at: &mut At, clip: &Clip, source: &gst::Element) {
        at.astray = false;
        if let Some(key) = (at.unit..clip.units.len()).find(|unit| clip.is_key(*unit)) {
            at.unit = key;
        } else {
            at.unit = 0;
            at.round += 1;
        }
        let now = source.current_running_time().map_or(0.0, |now| now.nseconds() as f64);
        let target = (at.last + clip.period.nseconds() as f64).max(now * self.camera.options.speed);
        at.base = target - clip.units[at.unit].pts().map_or(0.0, |pts| pts.nseconds() as f64);
    }
}
