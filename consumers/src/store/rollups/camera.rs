//! One camera's minutes. Pure: the same records give the same rows.

use std::collections::BTreeMap;

use sightline_schema::{Job, StreamState};

use crate::codec::{Reader, StateError, Writer};
use crate::partition::{CameraMemory, Place, Taken, Time, is_new};
use crate::seen::{FrameView, Seen};

const MINUTE: i64 = 60_000;
/// No result is captured longer after it was written than a camera's clock may be believed to be ahead, in milliseconds.
const AHEAD: i64 = 10_000;

/// How much of a label a camera saw in a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinuteRow {
    /// Camera, label, and when the minute began in milliseconds since 1970.
    pub key: (String, String, i64),
    /// All of the camera's in this minute.
    pub frames: u64,
    pub detections: u64,
    /// In one frame.
    pub most: u64,
    /// Of confidences, in 1/10,000.
    pub sum: u64,
}

impl MinuteRow {
    /// 0..1.
    pub fn mean_confidence(&self) -> f64 {
        self.sum as f64 / 1e4 / self.detections.max(1) as f64
    }
}

/// What is remembered of a camera.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CameraRollups {
    /// The newest seen.
    epoch: u64,
    /// The last frame taken.
    last: Option<Place>,
    /// The earliest time from which on everything of this camera was read.
    since: Option<i64>,
    ended: Option<i64>,
    minute: Option<Minute>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Minute {
    begin: i64,
    /// It was read from its start.
    is_whole: bool,
    /// Its rows were given as they are now.
    is_given: bool,
    frames: u64,
    labels: BTreeMap<String, Count>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    detections: u64,
    most: u64,
    sum: u64,
}

impl CameraRollups {
    fn take_frame(&mut self, id: &str, frame: &FrameView<'_>, time: Time, out: &mut Vec<MinuteRow>) -> Taken {
        let place = (frame.epoch, frame.seq, frame.at);
        let taken = is_new(self.last, place);
        if taken != Taken::Accepted {
            return taken;
        }
        self.last = Some(place);
        self.pass(id, frame.at, out);
        let begin = frame.at - frame.at.rem_euclid(MINUTE);
        // Results of a minute are written after they are captured: who read on from before it began has them all.
        let was_there = time.since.is_none_or(|since| since + AHEAD <= begin);
        let is_whole = was_there || self.since.is_some_and(|since| since <= begin);
        self.since.get_or_insert(frame.at);
        let minute = self.minute.get_or_insert_with(|| Minute { begin, is_whole, ..Minute::default() });
        minute.see(frame);
        Taken::Accepted
    }

    /// Time goes on: a minute is over.
    fn pass(&mut self, id: &str, now: i64, out: &mut Vec<MinuteRow>) {
        if self.minute.as_ref().is_some_and(|minute| now >= minute.begin + MINUTE) {
            self.give(id, out);
            self.minute = None;
        }
    }

    fn give(&mut self, id: &str, out: &mut Vec<MinuteRow>) {
        let Some(minute) = &mut self.minute else { return };
        if minute.is_whole && !std::mem::replace(&mut minute.is_given, true) {
            out.extend(minute.labels.iter().map(|(label, count)| MinuteRow {
                key: (id.to_owned(), label.clone(), minute.begin),
                frames: minute.frames,
                detections: count.detections,
                most: count.most,
                sum: count.sum,
            }));
        }
    }
}

impl Minute {
    fn see(&mut self, frame: &FrameView<'_>) {
        self.frames += 1;
        self.is_given = false;
        let mut here: BTreeMap<&str, u64> = BTreeMap::new();
        for (label, confidence) in frame.labels() {
            if !self.labels.contains_key(label) {
                self.labels.insert(label.to_owned(), Count::default());
            }
            let Some(count) = self.labels.get_mut(label) else { continue };
            count.detections += 1;
            count.sum += u64::from(confidence);
            let here = here.entry(label).or_default();
            *here += 1;
            count.most = count.most.max(*here);
        }
    }

    fn write(&self, to: &mut Writer) {
        to.signed(self.begin);
        to.flag(self.is_whole);
        to.flag(self.is_given);
        to.number(self.frames);
        to.count(self.labels.len());
        for (label, count) in &self.labels {
            to.text(label);
            to.number(count.detections);
            to.number(count.most);
            to.number(count.sum);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let (begin, is_whole, is_given) = (from.signed()?, from.flag()?, from.flag()?);
        let (frames, labels) = (from.number()?, from.count()?);
        let mut read = || {
            let label = from.text()?;
            Ok((label, Count { detections: from.number()?, most: from.number()?, sum: from.number()? }))
        };
        let labels = (0..labels).map(|_| read()).collect::<Result<_, _>>()?;
        Ok(Self { begin, is_whole, is_given, frames, labels })
    }
}

impl CameraMemory for CameraRollups {
    type Out = MinuteRow;

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.ended = None;
    }

    fn take(&mut self, id: &str, record: &Seen<'_>, time: Time, out: &mut Vec<MinuteRow>) -> Taken {
        match record {
            Seen::Frame(frame) => return self.take_frame(id, frame, time, out),
            Seen::Tick(tick) => {
                let at = tick.at.as_micros().div_euclid(1000);
                self.pass(id, at, out);
                self.since.get_or_insert(at);
            }
            Seen::Gap(gap) => {
                if let Some(before) = gap.before {
                    self.pass(id, before.captured_at.as_micros().div_euclid(1000), out);
                }
            }
            Seen::Stream(stream) if stream.state == StreamState::Ended => {
                self.ended = Some(time.now);
                if stream.complete == Some(true) {
                    self.give(id, out);
                }
            }
            Seen::Stream(stream) => {
                self.ended = None;
                // A recording is captured whenever it was; who reads its beginning reads all of it.
                if stream.state == StreamState::Started && self.last.is_none() && Job::is_id(id) {
                    self.since = Some(i64::MIN);
                }
            }
            Seen::Spec(_) => {}
        }
        Taken::Accepted
    }

    fn ended(&self) -> Option<i64> {
        self.ended
    }

    /// Should it go on in the same minute after all, the rows are written again.
    fn settle(&mut self, id: &str, out: &mut Vec<MinuteRow>) {
        self.ended = None;
        self.give(id, out);
    }

    fn last(&self) -> Option<Place> {
        self.last
    }

    fn state(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.number(self.epoch);
        to.option(self.last, |to, (epoch, seq, at)| {
            to.number(epoch);
            to.number(seq);
            to.signed(at);
        });
        to.option(self.since, |to, at| to.signed(at));
        to.option(self.ended, |to, at| to.signed(at));
        to.option(self.minute.as_ref(), |to, minute| minute.write(to));
        to.finish()
    }

    fn restore(state: &[u8]) -> Result<Self, StateError> {
        let mut from = Reader::new(state)?;
        let epoch = from.number()?;
        let last = from.option(|from| Ok((from.number()?, from.number()?, from.signed()?)))?;
        let (since, ended) = (from.option(Reader::signed)?, from.option(Reader::signed)?);
        let minute = from.option(Minute::read)?;
        from.end()?;
        Ok(Self { epoch, last, since, ended, minute })
    }
}
