#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;

use prometheus_client::registry::Registry;
use sightline_schema::{Sampling, VideoFacts};

use super::*;
use crate::batch::WhenFull;
use crate::metrics::PipelineMetrics;
use crate::testing::planes;

/// Gives frames of these numbers, 1 ms apart, then ends. From a number on the camera says when it took them: number 0 then.
struct Frames {
    seqs: VecDeque<u64>,
    reports: Option<(u64, Timestamp)>,
}

impl Source for Frames {
    fn pull(&mut self, _: Duration) -> Result<Pulled, StreamError> {
        let Some(seq) = self.seqs.pop_front() else { return Ok(Pulled::End) };
        let taken = |(from, began): (u64, Timestamp)| (seq >= from).then(|| after(began, seq));
        Ok(Pulled::Frame(SourceFrame {
            arrived: None,
            planes: planes(),
            pts_us: Some(seq as i64 * 1_000),
            camera_time: self.reports.and_then(taken),
            decode_time: None,
            seq,
            skipped: Skipped::default(),
        }))
    }

    fn video(&self) -> VideoFacts {
        VideoFacts {
            codec: "h264".into(),
            width: 1,
            height: 1,
            fps: 1_000.0,
            keyframe_interval_s: None,
            decoder: "none".into(),
            plan: "all".into(),
        }
    }

    fn is_live(&self) -> bool {
        true
    }

    fn duration_us(&self) -> Option<i64> {
        None
    }
}

fn after(began: Timestamp, ms: u64) -> Timestamp {
    Timestamp::from_micros(began.as_micros() + ms as i64 * 1_000)
}

struct Setting {
    slots: Arc<Slots>,
    reader: Reader,
    /// From which frame on the camera says when it took them, and when it took number 0.
    reports: Option<(u64, Timestamp)>,
    /// A run before still has results.
    joined: bool,
}

impl Setting {
    fn new(sampling: &Sampling) -> Self {
        let slots = Arc::new(Slots::default());
        let slot = slots.add(WhenFull::Block);
        let metrics = PipelineMetrics::register(&mut Registry::default()).camera("gate");
        let reader = Reader::new(
            slots.clone(),
            slot,
            metrics,
            Gate::new(sampling),
            CaptureClock::new(Clock::Arrival, 0),
            GapReason::PodLost,
        );
        Self { slots, reader, reports: None, joined: false }
    }

    /// What is handed on of these frames, as few as a slot holds.
    fn read(&mut self, frames: impl IntoIterator<Item = u64>) -> Vec<StreamItem> {
        let mut source = Frames { seqs: frames.into_iter().collect(), reports: self.reports };
        let (count, mut read) = (source.seqs.len(), 0);
        let joined = self.joined;
        let stopped = self.reader.run_joined(&mut source, &|| false, &|| joined, &mut |_| read += 1).unwrap();
        assert_eq!((stopped, read), (Stopped::SourceEnded, count));
        self.slots.close();
        let items = std::iter::from_fn(|| self.slots.take()).map(|work| work.item).collect();
        let slots = Arc::new(Slots::default());
        self.reader.slot = slots.add(WhenFull::Block);
        self.reader.slots = slots.clone();
        self.slots = slots;
        items
    }
}

fn frames(items: &[StreamItem]) -> Vec<&Frame> {
    items
        .iter()
        .filter_map(|item| if let StreamItem::Frame(frame) = item { Some(frame) } else { None })
        .collect()
}

#[test]
fn a_source_is_announced_before_its_first_frame_and_again_after_a_loss() {
    let mut setting = Setting::new(&Sampling::EveryFrame);
    for seqs in [0..2, 2..4] {
        let items = setting.read(seqs);
        assert!(
            matches!(
                items[..],
                [StreamItem::Mark(Mark::Started { .. }), StreamItem::Frame(_), StreamItem::Frame(_)]
            ),
            "{items:?}"
        );
        setting.reader.reopened(None, Some(GapReason::Disconnected));
    }
}

#[test]
fn pts_go_on_by_the_time_that_passed_however_often_it_failed_in_between() {
    let mut setting = Setting::new(&Sampling::EveryFrame);
    let begun = Instant::now();
    let before = frames(&setting.read(0..2))[1].pts_us;
    for attempt in 1..=3 {
        while begun.elapsed() < Duration::from_millis(30) * attempt {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        setting.reader.reopened(None, Some(GapReason::Disconnected));
    }
    let gap = frames(&setting.read(2..3))[0].pts_us - before;
    let passed = i64::try_from(begun.elapsed().as_micros()).unwrap();
    assert!((80_000..=passed + 1_000).contains(&gap), "{gap} µs, while {passed} µs passed");
}

#[test]
fn what_sampling_leaves_out_is_on_the_account_of_the_next_frame() {
    let mut setting = Setting::new(&Sampling::Fps { fps: 250.0 });
    let items = setting.read(0..9);
    let mut previous = None;
    for frame in frames(&items) {
        let skipped = frame.skipped.get(SkipReason::Sampling);
        assert_eq!(frame.seq, previous.map_or(skipped, |seq: u64| seq + 1 + skipped));
        previous = Some(frame.seq);
    }
    let (_, owed) = setting.reader.close();
    assert_eq!(previous.unwrap() + owed.get(SkipReason::Sampling), 8);
}

fn marks(items: &[StreamItem]) -> Vec<&Mark> {
    items
        .iter()
        .filter_map(|item| if let StreamItem::Mark(mark) = item { Some(mark) } else { None })
        .collect()
}

#[test]
fn a_stream_that_runs_says_so_again_for_readers_that_come_later() {
    let mut setting = Setting::new(&Sampling::EveryFrame);
    setting.read(0..2);
    assert_eq!(marks(&setting.read(2..4)), Vec::<&Mark>::new(), "not a minute is over");
    setting.reader.pace.repeat = Duration::ZERO;
    let items = setting.read(4..5);
    assert!(matches!(items[..], [StreamItem::Mark(Mark::Running { .. }), StreamItem::Frame(_)]), "{items:?}");
}

#[test]
fn what_may_be_missing_is_said_once_with_its_reason() {
    let mut setting = Setting::new(&Sampling::Fps { fps: 4.0 });
    let lost = |items: &[StreamItem]| match marks(items)[..] {
        [Mark::Started { lost, interval_us, .. }] => (*lost, *interval_us),
        ref other => panic!("{other:?}"),
    };
    // Before its first frame an epoch misses what came since its predecessor, however often it was tried.
    setting.reader.reopened(None, Some(GapReason::Disconnected));
    assert_eq!(lost(&setting.read(0..2)), (Some(GapReason::PodLost), 250_000));
    setting.reader.reopened(None, Some(GapReason::Corrupt));
    assert_eq!(lost(&setting.read(2..3)), (Some(GapReason::Corrupt), 250_000));
    // Another round of a file.
    setting.reader.reopened(Some(Duration::from_secs(1)), None);
    assert_eq!(lost(&setting.read(3..4)).0, None);
}

#[test]
fn another_size_begins_the_stream_anew_in_its_epoch() {
    let mut setting = Setting::new(&Sampling::EveryFrame);
    setting.read(0..2);
    setting.reader.size = Some((1920, 1080));
    let items = setting.read(2..4);
    assert!(
        matches!(
            items[..],
            [StreamItem::Mark(Mark::Started { lost: None, .. }), StreamItem::Frame(_), StreamItem::Frame(_)]
        ),
        "{items:?}"
    );
    assert_eq!(frames(&items).iter().map(|frame| frame.seq).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn what_is_not_surely_dated_is_the_predecessors_while_there_is_one() {
    let mut setting = Setting::new(&Sampling::EveryFrame);
    // It arrives a second late.
    let began = Timestamp::from_micros(now().as_micros() - 1_000_000);
    setting.reports = Some((5, began));
    setting.joined = true;
    let items = setting.read(0..7);
    let [
        StreamItem::Mark(Mark::Started { clock, at, lost, .. }),
        StreamItem::Frame(first),
        StreamItem::Frame(_),
    ] = &items[..]
    else {
        panic!("{items:?}")
    };
    assert_eq!((*clock, *at, *lost), (Clock::Ntp, after(began, 5), Some(GapReason::PodLost)));
    assert_eq!((first.seq, first.captured_at), (5, after(began, 5)));
    assert_eq!(first.skipped.get(SkipReason::Overlap), 5);
}

#[test]
fn a_camera_that_does_not_report_is_not_waited_for_long() {
    let mut setting = Setting::new(&Sampling::EveryFrame);
    setting.joined = true;
    assert_eq!(
        frames(&setting.read(0..1_502)).iter().map(|frame| frame.seq).collect::<Vec<_>>(),
        [1_500, 1_501]
    );
}

#[test]
fn without_a_predecessor_no_frame_waits_for_the_clock() {
    let mut setting = Setting::new(&Sampling::EveryFrame);
    setting.joined = true;
    assert!(setting.read(0..3).is_empty());
    // It died meanwhile.
    setting.joined = false;
    let items = setting.read(3..5);
    assert_eq!(frames(&items)[0].skipped.get(SkipReason::Overlap), 3);
    assert_eq!(frames(&items).len(), 2);
}
