//! Whether a camera's picture is worth anything: one that stands still to the bit, or is black, looks like a working
//! stream.

use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, Instant};

use crate::frame::{HostPlanes, Range};

/// One frame in this time is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The same picture to the bit for this long is no picture: a sensor has noise.
const FROZEN: Duration = Duration::from_secs(60);
/// Black for this long is no blink.
const BLACK: Duration = Duration::from_secs(10);
/// Above black, of 255: noise of a covered lens stays below.
const NEARLY_BLACK: u8 = 16;
/// Every so manieth pixel of every so manieth row is looked at for black.
const SPARSE: usize = 8;

/// What is wrong with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Fine,
    Frozen,
    Black,
}

/// Looks at the frames of one stream. Pure: time is passed in.
#[derive(Debug, Default)]
pub struct PictureWatch {
    looked: Option<Instant>,
    seen: Option<Seen>,
    black_since: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    luma: u64,
    since: Instant,
}

impl PictureWatch {
    /// Looks at a frame that came `now`. `None` where it is not yet time to look again.
    pub fn look(&mut self, planes: &HostPlanes, now: Instant) -> Option<Sight> {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK) {
            return None;
        }
        self.looked = Some(now);
        let luma = luma_hash(planes);
        if self.seen.as_ref().is_none_or(|seen| seen.luma != luma) {
            self.seen = Some(Seen { luma, since: now });
        }
        self.black_since = is_black(planes).then(|| self.black_since.unwrap_or(now));
        let lasts = |since: Instant, how_long| now.saturating_duration_since(since) >= how_long;
        // A covered lens of a camera that takes noise away is both.
        Some(if self.black_since.is_some_and(|since| lasts(since, BLACK)) {
            Sight::Black
        } else if self.seen.as_ref().is_some_and(|seen| lasts(seen.since, FROZEN)) {
            Sight::Frozen
        } else {
            Sight::Fine
        })
    }
}

/// The rows of luma without what pads them.
fn rows(planes: &HostPlanes) -> impl Iterator<Item = &[u8]> {
    let (width, height) = (planes.width as usize, planes.height as usize);
    let luma = planes.plane(0);
    let stride = planes.strides[0].max(1);
    luma.chunks(stride).take(height).map(move |row| &row[..width.min(row.len())])
}

fn luma_hash(planes: &HostPlanes) -> u64 {
    let mut hasher = DefaultHasher::new();
    rows(planes).for_each(|row| hasher.write(row));
    hasher.finish()
}

fn is_black(planes: &HostPlanes) -> bool {
    let black = match planes.colour.range {
        Range::Limited => 16,
        Range::Full => 0,
    };
    let (mut looked, mut bright) = (0u32, 0u32);
    for row in rows(planes).step_by(SPARSE) {
        for luma in row.iter().step_by(SPARSE) {
            looked += 1;
            bright += u32::from(*luma > black + NEARLY_BLACK);
        }
    }
    // A clock or a name may be drawn into the picture.
    bright * 50 <= looked
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::frame::{Colour, PixelFormat, PlaneData};

    struct Luma(Vec<u8>);

    impl PlaneData for Luma {
        fn plane(&self, _: usize) -> &[u8] {
            &self.0
        }
    }

    const WIDTH: usize = 64;
    const STRIDE: usize = 80;

    /// 64x36 pixels in rows of 80 bytes; what pads them is `padding`.
    fn picture(padding: u8, luma: impl Fn(usize, usize) -> u8) -> HostPlanes {
        let at = |i: usize| if i % STRIDE < WIDTH { luma(i % STRIDE, i / STRIDE) } else { padding };
        HostPlanes {
            format: PixelFormat::Gray8,
            colour: Colour::unsignalled(36),
            width: WIDTH as u32,
            height: 36,
            strides: [STRIDE, 0, 0],
            data: Arc::new(Luma((0..STRIDE * 36).map(at).collect())),
        }
    }

    /// What is seen over the seconds, one picture a second.
    fn watch(seconds: u64, picture: impl Fn(u64) -> HostPlanes) -> Vec<Sight> {
        let (mut watch, start) = (PictureWatch::default(), Instant::now());
        (0..seconds).filter_map(|s| watch.look(&picture(s), start + Duration::from_secs(s))).collect()
    }

    #[test]
    fn the_same_picture_for_a_minute_is_frozen_whatever_pads_its_rows() {
        let seen = watch(62, |second| picture(second as u8, |x, y| (x * 3 + y) as u8));
        assert_eq!(seen.iter().position(|sight| *sight == Sight::Frozen), Some(60));
        assert_eq!(seen[..60], [Sight::Fine; 60]);
    }

    #[test]
    fn one_grain_of_noise_is_life() {
        let seen = watch(200, |second| {
            picture(0, |x, y| if (x, y) == (63, 35) { 100 + (second / 59 % 2) as u8 } else { 99 })
        });
        assert_eq!(seen, [Sight::Fine; 200]);
    }

    #[test]
    fn a_covered_lens_is_black_with_its_noise_and_its_clock() {
        let covered = |second: u64| {
            picture(
                255,
                move |x, y| if y < 8 && x % 8 > 3 { 200 } else { 16 + ((x + second as usize) % 9) as u8 },
            )
        };
        let seen = watch(12, covered);
        assert_eq!(seen[..10], [Sight::Fine; 10]);
        assert_eq!(seen[10..], [Sight::Black; 2]);
        let night = watch(30, |_| picture(0, |x, _| if x % 16 == 0 { 60 } else { 20 }));
        assert_eq!(night, [Sight::Fine; 30]);
    }

    #[test]
    fn frames_in_between_are_not_looked_at() {
        let (mut watch, now) = (PictureWatch::default(), Instant::now());
        assert_eq!(watch.look(&picture(0, |_, _| 99), now), Some(Sight::Fine));
        assert_eq!(watch.look(&picture(0, |_, _| 98), now + LOOK / 2), None);
    }
}
