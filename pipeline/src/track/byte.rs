//! ByteTrack's association, class by class.

use sightline_schema::{Box2d, TrackRef, TrackState};

use super::geometry::{Extent, Plane, iou};
use super::kalman::{BoxFilter, Shape};
use super::{Pair, TrackerConfig, assign};
use crate::detection::Detection;

/// The time in which the filter's process noise is what ByteTrack adds per frame: its weights were tuned on
/// video of 30 frames/s. Time is counted in these steps, so that an object's movement and the doubt about it
/// grow with the time that passed and not with the number of frames that came: it does not become steadier by
/// being filmed less often. At 30 frames/s this is ByteTrack exactly; at others, where ByteTrack's noise per
/// second changes with the rate, nearly: against it, IDF1 is 1 at 25 frames/s and 0.997 at 10. How noise adds
/// up over a part or a multiple of a step: `kalman::Coordinate::predict`.
const STEP_US: f64 = 1e6 / 30.0;

/// A seen and a lost track this close (1 − IoU) are one object; the one with the longer history stays.
const DUPLICATE: f64 = 0.15;

/// The tracks of one stream.
#[derive(Debug)]
pub struct Tracker {
    config: TrackerConfig,
    plane: Plane,
    tracks: Vec<Track>,
    /// The next track's id; never goes back.
    next_id: u64,
    /// Time since the first frame, µs; stands still where the stream's clock steps back.
    now_us: i64,
    /// The last frame's pts and its distance from the frame before it, µs.
    last_at_us: Option<i64>,
    last_interval_us: i64,
}

#[derive(Debug)]
struct Track {
    id: u64,
    class_id: u32,
    filter: BoxFilter,
    life: Life,
    first_seen_us: i64,
    last_seen_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Seen once. Not seen in the next frame, it is forgotten.
    Tentative,
    /// Confirmed, and seen in the last frame.
    Seen,
    /// Confirmed, and not seen since.
    Lost,
}

/// A detection that may belong to a track.
struct Sighting {
    /// Its place in the frame's list.
    index: usize,
    class_id: u32,
    confidence: f32,
    shape: Shape,
    extent: Extent,
}

/// How a sighting's cost for a track is counted.
#[derive(Clone, Copy)]
enum Cost {
    Iou,
    IouTimesConfidence,
}

impl Tracker {
    /// `frame_size`: width and height in pixels.
    pub fn new(config: TrackerConfig, frame_size: (u32, u32)) -> Self {
        Self {
            config,
            plane: Plane::new(frame_size),
            tracks: Vec::new(),
            next_id: 1,
            now_us: 0,
            last_at_us: None,
            last_interval_us: 0,
        }
    }

    /// Width and height in pixels. Boxes are fractions of the frame, so tracks go on through a change of
    /// size.
    pub fn set_frame_size(&mut self, frame_size: (u32, u32)) {
        let plane = Plane::new(frame_size);
        let factor = plane.aspect / self.plane.aspect;
        if factor != 1.0 {
            self.tracks.iter_mut().for_each(|track| track.filter.scale_x(factor));
        }
        self.plane = plane;
    }

    /// Forgets all tracks. Ids go on, so that they stay unique within an epoch.
    pub fn reset(&mut self) {
        self.tracks.clear();
        self.last_at_us = None;
        self.last_interval_us = 0;
    }

    /// Whether no track is alive, seen or lost.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// Where the filter sees a living track, as fractions of the frame, not clipped: steadier than the
    /// detector's box, which it follows with a lag.
    pub fn filtered_box(&self, id: u64) -> Option<Box2d> {
        let track = self.tracks.iter().find(|track| track.id == id)?;
        Some(self.plane.box2d(track.filter.shape()))
    }

    /// Takes one frame's detections, at `at_us` on the stream's clock (pts, µs), and says for each which
    /// track it belongs to, if any. A frame without detections has to be given, too: in it, everything is out
    /// of sight. Never gives two detections of a frame the same track.
    pub fn update(&mut self, at_us: i64, detections: &[Detection]) -> Vec<Option<TrackRef>> {
        // As in ByteTrack, what the first frame shows needs no second sight.
        let first_frame = self.last_at_us.is_none();
        self.advance(at_us);

        let config = self.config;
        let mut high = self.sightings(detections, |confidence| confidence >= config.high);
        let mut low =
            self.sightings(detections, |confidence| (config.low..config.high).contains(&confidence));
        // Per detection, the index of its track.
        let mut owner = vec![None; detections.len()];
        let fused = if config.fuse_score { Cost::IouTimesConfidence } else { Cost::Iou };

        let confirmed = self.indices(|life| life != Life::Tentative);
        let left = self.associate(&confirmed, &mut high, fused, config.match_, &mut owner);
        let seen_before: Vec<usize> =
            left.into_iter().filter(|&track| self.tracks[track].life == Life::Seen).collect();
        let left = self.associate(&seen_before, &mut low, Cost::Iou, config.second, &mut owner);
        for track in left {
            self.tracks[track].life = Life::Lost;
            self.tracks[track].filter.hold_height();
        }
        let tentative = self.indices(|life| life == Life::Tentative);
        let gone = self.associate(&tentative, &mut high, fused, config.unconfirmed, &mut owner);

        let life = if first_frame { Life::Seen } else { Life::Tentative };
        for sighting in high.iter().filter(|sighting| sighting.confidence >= config.new) {
            owner[sighting.index] = Some(self.tracks.len());
            self.start(sighting, life);
        }

        let mut forgotten = vec![false; self.tracks.len()];
        for track in gone.into_iter().chain(self.duplicates()) {
            forgotten[track] = true;
        }
        let refs = owner
            .iter()
            .map(|track| {
                track.filter(|&track| !forgotten[track]).map(|track| self.track_ref(&self.tracks[track]))
            })
            .collect();
        let mut kept = forgotten.iter().map(|&forgotten| !forgotten);
        self.tracks.retain(|_| kept.next().unwrap_or(true));
        refs
    }

    /// Moves time and all tracks on, and forgets those out of sight for too long.
    fn advance(&mut self, at_us: i64) {
        let interval_us = self.last_at_us.map_or(0, |last| at_us.saturating_sub(last).max(0));
        let memory_us = i64::try_from(self.config.memory.as_micros()).unwrap_or(i64::MAX);
        // A hole in the stream: nothing was watched for longer than anything is remembered. At less than a
        // frame per `memory` that is the rule, not a hole.
        let hole = interval_us > memory_us && interval_us > self.last_interval_us.saturating_mul(2);
        self.now_us = self.now_us.saturating_add(interval_us);
        let now_us = self.now_us;
        self.tracks
            .retain(|track| !hole && (track.life != Life::Lost || now_us - track.last_seen_us <= memory_us));
        for track in &mut self.tracks {
            track.filter.predict(interval_us as f64 / STEP_US);
        }
        self.last_interval_us = interval_us;
        self.last_at_us = Some(at_us);
    }

    fn sightings(&self, detections: &[Detection], wanted: impl Fn(f32) -> bool) -> Vec<Sighting> {
        let detections = detections.iter().enumerate();
        detections
            .filter(|(_, detection)| wanted(detection.confidence))
            .filter_map(|(index, detection)| {
                let shape = self.plane.shape(&detection.box2d)?;
                Some(Sighting {
                    index,
                    class_id: detection.class_id,
                    confidence: detection.confidence,
                    shape,
                    extent: self.plane.extent(shape),
                })
            })
            .collect()
    }

    fn indices(&self, wanted: impl Fn(Life) -> bool) -> Vec<usize> {
        (0..self.tracks.len()).filter(|&track| wanted(self.tracks[track].life)).collect()
    }

    /// Matches tracks with sightings of their class and gives each matched track its sighting, which leaves
    /// `sightings`. Returns the tracks left without one.
    fn associate(
        &mut self,
        tracks: &[usize],
        sightings: &mut Vec<Sighting>,
        cost: Cost,
        limit: f64,
        owner: &mut [Option<usize>],
    ) -> Vec<usize> {
        let mut pairs = Vec::new();
        for (row, &track) in tracks.iter().enumerate() {
            let track = &self.tracks[track];
            let predicted = self.plane.extent(track.filter.shape());
            for (column, sighting) in sightings.iter().enumerate() {
                if sighting.class_id != track.class_id {
                    continue;
                }
                let iou = iou(predicted, sighting.extent);
                let fit = match cost {
                    Cost::Iou => iou,
                    Cost::IouTimesConfidence => iou * f64::from(sighting.confidence),
                };
                if 1.0 - fit < limit {
                    pairs.push(Pair { row, column, cost: 1.0 - fit });
                }
            }
        }
        let column_of = assign(tracks.len(), sightings.len(), &pairs, limit);

        let mut left = Vec::new();
        let mut taken = vec![false; sightings.len()];
        for (&track, column) in tracks.iter().zip(column_of) {
            let Some(column) = column else {
                left.push(track);
                continue;
            };
            taken[column] = true;
            owner[sightings[column].index] = Some(track);
            let track = &mut self.tracks[track];
            track.filter.update(sightings[column].shape);
            track.life = Life::Seen;
            track.last_seen_us = self.now_us;
        }
        let mut taken = taken.into_iter();
        sightings.retain(|_| !taken.next().unwrap_or(false));
        left
    }

    fn start(&mut self, sighting: &Sighting, life: Life) {
        self.tracks.push(Track {
            id: self.next_id,
            class_id: sighting.class_id,
            filter: BoxFilter::new(sighting.shape),
            life,
            first_seen_us: self.now_us,
            last_seen_us: self.now_us,
        });
        self.next_id += 1;
    }

    /// Where a seen and a lost track of one class lie on each other, the one with the shorter history.
    fn duplicates(&self) -> Vec<usize> {
        let mut duplicates = Vec::new();
        let seen = self.indices(|life| life != Life::Lost);
        for lost in self.indices(|life| life == Life::Lost) {
            let lost_track = &self.tracks[lost];
            let lost_extent = self.plane.extent(lost_track.filter.shape());
            for &seen in &seen {
                let seen_track = &self.tracks[seen];
                if seen_track.class_id == lost_track.class_id
                    && 1.0 - iou(self.plane.extent(seen_track.filter.shape()), lost_extent) < DUPLICATE
                {
                    let lost_stays = seen_track.history_us() <= lost_track.history_us();
                    duplicates.push(if lost_stays { seen } else { lost });
                }
            }
        }
        duplicates
    }

    fn track_ref(&self, track: &Track) -> TrackRef {
        TrackRef {
            id: track.id,
            state: match track.life {
                Life::Tentative => TrackState::Tentative,
                Life::Seen | Life::Lost => TrackState::Confirmed,
            },
            age_s: (self.now_us - track.first_seen_us) as f64 / 1e6,
        }
    }
}

impl Track {
    fn history_us(&self) -> i64 {
        self.last_seen_us - self.first_seen_us
    }
}
