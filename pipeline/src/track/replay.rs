//! The tracker alone, on detections that were made before: MOT text rows, or `frame/1` lines.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, Write};

use sightline_schema::{DetectionsRecord, FrameResult, RecordError, TrackState};

use super::{Tracker, TrackerConfig};
use crate::detection::Detection;
use crate::mot::{self, MotError, MotRow};

/// What MOT rows do not say of the video they belong to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Video {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Frames per second.
    pub fps: f64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames with detections (MOT rows), or `frame/1` lines.
    pub frames: usize,
    pub detections: usize,
    /// Detections that belong to a confirmed track.
    pub tracked: usize,
    /// Confirmed tracks.
    pub tracks: usize,
}

/// Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Mot(#[from] MotError),
    #[error("line {line}: {source}")]
    Record { line: usize, source: RecordError },
    #[error("line {line}: cannot be read: {source}")]
    Read { line: usize, source: std::io::Error },
    #[error("cannot write the tracks: {0}")]
    Write(#[source] std::io::Error),
    #[error("MOT rows say neither frame size nor rate; give both (--size WxH --fps N), above 0")]
    VideoNeeded,
}

/// Tracks the detections of `input` and writes the same kind to `output`, told by the first character.
///
/// - MOT rows, in any order: the rows that belong to confirmed tracks (the format has no word for tentative
///   ones), by frame, with the track's id and, as trackers' files do, its filtered box in place of the
///   detector's. `video` is needed. Frames without rows count as frames without detections.
/// - JSON lines: `frame/1` records with their tracks filled in anew, one tracker per camera and epoch; other
///   records pass unchanged. `video` is not looked at: each frame has its own size and pts.
pub fn track_rows(
    mut input: impl BufRead,
    output: impl Write,
    video: Option<Video>,
    config: TrackerConfig,
) -> Result<Summary, ReplayError> {
    let start = input.fill_buf().map_err(|source| ReplayError::Read { line: 1, source })?;
    if start.trim_ascii_start().first() == Some(&b'{') {
        track_records(input, output, config)
    } else {
        let usable =
            |video: &Video| video.size.0 > 0 && video.size.1 > 0 && video.fps > 0.0 && video.fps.is_finite();
        let video = video.filter(usable).ok_or(ReplayError::VideoNeeded)?;
        let mut rows = mot::read(input)?;
        let (tracked, summary) = track_mot(&mut rows, video, config);
        mot::write(output, &tracked)?;
        Ok(summary)
    }
}

fn track_mot(rows: &mut [MotRow], video: Video, config: TrackerConfig) -> (Vec<MotRow>, Summary) {
    rows.sort_by_key(|row| row.frame);
    let mut tracker = Tracker::new(config, video.size);
    let mut count = Count::default();
    let mut output = Vec::new();
    let mut next_frame = rows.first().map_or(0, |row| row.frame);
    let pts_us = |frame: u64| (frame as f64 * 1e6 / video.fps).round() as i64;

    for rows in rows.chunk_by(|a, b| a.frame == b.frame) {
        let frame = rows[0].frame;
        while next_frame < frame && !tracker.is_empty() {
            tracker.update(pts_us(next_frame), &[]);
            next_frame += 1;
        }
        next_frame = frame + 1;
        let detections: Vec<Detection> = rows
            .iter()
            .map(|row| Detection {
                class_id: row.class_id.unwrap_or(0),
                confidence: row.confidence as f32,
                box2d: row.box2d(video.size),
            })
            .collect();
        let refs = tracker.update(pts_us(frame), &detections);
        count.frame(refs.len());
        for (row, track) in rows.iter().zip(refs) {
            if let Some(track) = track.filter(|track| track.state == TrackState::Confirmed) {
                count.confirmed(0, track.id);
                let tracked = MotRow { id: Some(track.id), ..*row };
                output.push(match tracker.filtered_box(track.id) {
                    Some(box2d) => tracked.with_box(box2d, video.size),
                    None => tracked,
                });
            }
        }
    }
    (output, count.summary())
}

fn track_records(
    input: impl BufRead,
    mut output: impl Write,
    config: TrackerConfig,
) -> Result<Summary, ReplayError> {
    let mut trackers: HashMap<(String, u64), (usize, Tracker)> = HashMap::new();
    let mut count = Count::default();
    for (index, text) in input.lines().enumerate() {
        let line = index + 1;
        let text = text.map_err(|source| ReplayError::Read { line, source })?;
        if text.trim().is_empty() {
            continue;
        }
        match DetectionsRecord::parse(text.as_bytes()) {
            Ok(DetectionsRecord::Frame(mut frame)) => {
                let number = trackers.len();
                let (number, tracker) = trackers
                    .entry((frame.camera.clone(), frame.epoch))
                    .or_insert_with(|| (number, Tracker::new(config, (frame.width, frame.height))));
                track_frame(&mut frame, tracker);
                count.frame(frame.detections.len());
                for track in frame.detections.iter().filter_map(|detection| detection.track) {
                    if track.state == TrackState::Confirmed {
                        count.confirmed(*number, track.id);
                    }
                }
                serde_json::to_writer(&mut output, &frame)
                    .map_err(|source| ReplayError::Write(source.into()))?;
                output.write_all(b"\n").map_err(ReplayError::Write)?;
            }
            Ok(_) | Err(RecordError::UnknownSchema(_)) => {
                writeln!(output, "{text}").map_err(ReplayError::Write)?;
            }
            Err(source) => return Err(ReplayError::Record { line, source }),
        }
    }
    output.flush().map_err(ReplayError::Write)?;
    Ok(count.summary())
}

fn track_frame(frame: &mut FrameResult, tracker: &mut Tracker) {
    tracker.set_frame_size((frame.width, frame.height));
    let detections: Vec<Detection> = frame
        .detections
        .iter()
        .map(|record| Detection {
            class_id: record.class_id,
            confidence: record.confidence,
            box2d: record.box2d,
        })
        .collect();
    let refs = tracker.update(frame.pts_us, &detections);
    for (record, track) in frame.detections.iter_mut().zip(refs) {
        record.track = track;
    }
}

#[derive(Default)]
struct Count {
    summary: Summary,
    /// Number of the tracker, and id of the track.
    tracks: BTreeSet<(usize, u64)>,
}

impl Count {
    fn frame(&mut self, detections: usize) {
        self.summary.frames += 1;
        self.summary.detections += detections;
    }

    fn confirmed(&mut self, tracker: usize, id: u64) {
        self.summary.tracked += 1;
        self.tracks.insert((tracker, id));
    }

    fn summary(self) -> Summary {
        Summary { tracks: self.tracks.len(), ..self.summary }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
