//! The queue against a broker, a disk and a life that do what they like: what a reader finds is whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sightline_schema::GapAfter;

use super::*;

const CAMERAS: [&str; 3] = ["a", "b", "c"];
const PARTITIONS: usize = 2;

fn partition(camera: &str) -> usize {
    usize::from(camera == "b")
}

/// A record as it arrived: its camera, and a `frame/1` (as a header) or a `gap/1`.
#[derive(Clone, Debug)]
enum Told {
    Frame { camera: String, epoch: u64, at: FrameAt },
    Gap(Gap),
    Mark,
}

/// What a record is, in the tests' payload.
fn told(outgoing: &Outgoing) -> Told {
    if outgoing.kind == Kind::Gap {
        return Told::Gap(serde_json::from_slice(&outgoing.payload).unwrap());
    }
    let text = std::str::from_utf8(&outgoing.payload).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().unwrap());
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(epoch), Some(seq), Some(skipped)) => {
            let at =
                FrameAt { seq, skipped, captured_at: Timestamp::from_micros(seq as i64), sampled: false };
            Told::Frame { camera: outgoing.camera.to_string(), epoch, at }
        }
        _ => Told::Mark,
    }
}

/// The reader's rules, and the sum.
#[derive(Default)]
struct Reader {
    /// Epoch, and the access unit up to which all is accounted for.
    lasts: BTreeMap<String, (u64, i64)>,
    /// Frames accepted, and access units in gaps, by camera and epoch.
    frames: BTreeMap<(String, u64), Vec<u64>>,
    gaps: BTreeMap<(String, u64), Vec<std::ops::Range<i64>>>,
}

impl Reader {
    fn read(&mut self, told: &Told) {
        match told {
            Told::Mark => {}
            Told::Gap(gap) => {
                let Some(last) = self.current(&gap.camera, gap.epoch) else { return };
                let frames = gap.frames.expect("nothing was damaged: all is counted") as i64;
                let from = match gap.after {
                    Some(GapAfter { epoch, seq, .. }) if epoch == gap.epoch => seq as i64 + 1,
                    _ => 0,
                };
                // Another one of before.
                if from + frames - 1 <= last {
                    return;
                }
                // After a kill it may begin before that: what it counts had arrived, unnoticed.
                assert!(from <= last + 1, "{last}: something is missing before a gap: {gap:?}");
                self.lasts.insert(gap.camera.clone(), (gap.epoch, from + frames - 1));
                self.gaps.entry((gap.camera.clone(), gap.epoch)).or_default().push(from..from + frames);
            }
            Told::Frame { camera, epoch, at } => {
                let Some(last) = self.current(camera, *epoch) else { return };
                if at.seq as i64 <= last {
                    return;
                }
                assert_eq!(at.seq as i64, last + 1 + at.skipped as i64, "{camera} epoch {epoch}: the sum");
                self.lasts.insert(camera.clone(), (*epoch, at.seq as i64));
                self.frames.entry((camera.clone(), *epoch)).or_default().push(at.seq);
            }
        }
    }

    /// The last seq of the epoch; `None` where it is older than the newest.
    fn current(&mut self, camera: &str, epoch: u64) -> Option<i64> {
        let (newest, last) = self.lasts.get(camera).copied().unwrap_or((0, -1));
        if epoch > newest {
            self.lasts.insert(camera.to_owned(), (epoch, -1));
            return Some(-1);
        }
        (epoch == newest).then_some(last)
    }
}

#[derive(Default)]
struct Camera {
    epoch: u64,
    seq: u64,
    owed: u64,
    /// Accepted, by epoch.
    accepted: BTreeMap<u64, Vec<u64>>,
}

/// One process after the other on the same directory.
struct World<'a> {
    folder: &'a Path,
    max: u64,
    log: Option<Log>,
    queue: Queue,
    now: Instant,
    in_flight: [VecDeque<Outgoing>; PARTITIONS],
    partitions: [Vec<Told>; PARTITIONS],
    cameras: [Camera; 3],
    epochs: u64,
    evicted: u64,
}

const LIMITS: Limits = Limits { bytes: 4_000, records: 40 };

fn open(folder: &Path, max: u64) -> (Log, Queue) {
    let log = Log::open(folder, max).unwrap();
    let window = Limits { bytes: 2_000, ..LIMITS };
    let queue = Queue::new(LIMITS, window, Some(&log));
    (log, queue)
}

impl<'a> World<'a> {
    fn new(folder: &'a Path, max: u64) -> Self {
        let (log, queue) = open(folder, max);
        let mut world = Self {
            folder,
            max,
            log: Some(log),
            queue,
            now: Instant::now(),
            in_flight: Default::default(),
            partitions: Default::default(),
            cameras: Default::default(),
            epochs: 0,
            evicted: 0,
        };
        world.claim();
        world
    }

    fn claim(&mut self) {
        for camera in &mut self.cameras {
            self.epochs += 1;
            *camera = Camera {
                epoch: self.epochs,
                accepted: std::mem::take(&mut camera.accepted),
                ..Camera::default()
            };
        }
    }

    fn accept(&mut self, rng: &mut StdRng) {
        let at = rng.random_range(0..CAMERAS.len());
        let name = CAMERAS[at];
        let camera = &mut self.cameras[at];
        let skipped = rng.random_range(0..3_u64);
        camera.seq += skipped;
        let (seq, owed) = (camera.seq, camera.owed + skipped);
        camera.seq += 1;
        let size = rng.random_range(1..200_usize);
        let is_mark = rng.random_range(0..10) == 0;
        let text = if is_mark {
            " ".repeat(size)
        } else {
            format!("{} {seq} {owed}{}", camera.epoch, " ".repeat(size))
        };
        let frame =
            FrameAt { seq, skipped: owed, captured_at: Timestamp::from_micros(seq as i64), sampled: false };
        let given = Given {
            kind: if is_mark { Kind::Tick } else { Kind::Frame },
            camera: name.into(),
            epoch: camera.epoch,
            frame: (!is_mark).then_some(frame),
            payload: text.into_bytes().into(),
            live: false,
        };
        let taken = self.queue.accept(given, self.now, Timestamp::from_micros(0), false).is_ok();
        if taken && !is_mark {
            camera.accepted.entry(camera.epoch).or_default().push(seq);
            camera.owed = 0;
        } else {
            camera.owed = owed + 1;
        }
    }

    fn send(&mut self, most: usize) {
        for _ in 0..most {
            match self.queue.step(self.now) {
                Step::Send(outgoing) => {
                    self.queue.handed(outgoing.place);
                    self.in_flight[partition(&outgoing.camera)].push_back(outgoing);
                }
                Step::Load => self.queue.load(self.log.as_mut().unwrap(), self.now),
                Step::Reload => self.queue.reload(self.log.as_mut().unwrap()),
                Step::Wait => return,
            }
        }
    }

    fn acknowledge(&mut self, at: usize) {
        if let Some(outgoing) = self.in_flight[at].pop_front() {
            self.partitions[at].push(told(&outgoing));
            assert!(self.queue.reported(outgoing.place, Ok(()), self.now).known);
        }
    }

    /// A part of what is under way arrives, and nobody hears of it.
    fn arrive_unnoticed(&mut self, rng: &mut StdRng) {
        for at in 0..PARTITIONS {
            let count = rng.random_range(0..=self.in_flight[at].len());
            for outgoing in self.in_flight[at].iter().take(count) {
                self.partitions[at].push(told(outgoing));
            }
        }
    }

    /// The client can't go on.
    fn fail(&mut self, rng: &mut StdRng) {
        self.arrive_unnoticed(rng);
        for flight in &mut self.in_flight {
            for outgoing in flight.drain(..) {
                self.queue.reported(outgoing.place, Err(Refusal::Passing), self.now);
            }
        }
        self.queue.rewind(self.log.as_mut());
    }

    fn write(&mut self, all: bool) {
        let log = self.log.as_mut().unwrap();
        loop {
            let due = self.queue.due(self.now, all);
            self.queue.settle(log);
            let mut written = 0;
            for due in &due {
                match log.append(&due.header, due.payload.as_deref()) {
                    Ok(()) => written += 1,
                    Err(super::super::log::AppendError::Full) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
            self.queue.wrote(log, &due[..written]);
            self.evicted += log.take_evicted();
            if written == 0 || written < due.len() {
                return;
            }
        }
    }

    /// `kill -9`, and a start on the same directory.
    fn kill(&mut self, rng: &mut StdRng) {
        self.arrive_unnoticed(rng);
        self.in_flight = Default::default();
        self.log = None;
        let (log, queue) = open(self.folder, self.max);
        (self.log, self.queue) = (Some(log), queue);
        self.claim();
    }

    fn drain(&mut self) {
        for _ in 0..100_000 {
            if self.queue.is_settled() && self.in_flight.iter().all(VecDeque::is_empty) {
                break;
            }
            self.send(10);
            (0..PARTITIONS).for_each(|at| self.acknowledge(at));
            self.write(false);
        }
        assert!(self.queue.is_settled(), "it does not come to an end: {:?}", self.queue);
        self.write(true);
        assert!(self.log.as_ref().unwrap().is_empty(), "{:?}", self.log);
        assert_eq!((self.queue.left(), self.queue.unwritten()), (0, 0));
        assert!(self.queue.entries.is_empty());
    }

    /// Every accepted frame is there, or in a gap, or at the end of an epoch that a kill cut off.
    fn check(&self, killed: bool) {
        let mut reader = Reader::default();
        for partition in &self.partitions {
            partition.iter().for_each(|told| reader.read(told));
        }
        let mut in_gaps = 0;
        for (name, camera) in CAMERAS.iter().zip(&self.cameras) {
            for (epoch, accepted) in &camera.accepted {
                let key = ((*name).to_owned(), *epoch);
                let found = reader.frames.get(&key).cloned().unwrap_or_default();
                let gaps = reader.gaps.get(&key).cloned().unwrap_or_default();
                let covered = |seq: &u64| gaps.iter().any(|gap| gap.contains(&(*seq as i64)));
                in_gaps += accepted.iter().filter(|seq| covered(seq)).count();
                let missing: Vec<_> =
                    accepted.iter().filter(|seq| !found.contains(seq) && !covered(seq)).collect();
                if killed && *epoch != camera.epoch {
                    let cut = &accepted[accepted.len() - missing.len()..];
                    assert_eq!(missing, cut.iter().collect::<Vec<_>>(), "{key:?}: only its end");
                } else {
                    assert!(missing.is_empty(), "{key:?}: {missing:?} of {accepted:?}, gaps {gaps:?}");
                }
            }
        }
        assert!(self.evicted > 0 || in_gaps == 0, "a gap without a loss");
    }
}

fn live(seed: u64, max: u64, kills: bool) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(folder.path(), max);
    let mut away = false;
    for _ in 0..rng.random_range(50..1_500) {
        world.now += Duration::from_millis(rng.random_range(0..60));
        match rng.random_range(0..1_000) {
            0..550 => world.accept(&mut rng),
            550..700 => world.send(5),
            700..850 if !away => (0..4).for_each(|at| world.acknowledge(at % PARTITIONS)),
            700..850 => {}
            850..960 => world.write(false),
            960..985 => away = !away,
            985..995 => world.fail(&mut rng),
            _ if kills => world.kill(&mut rng),
            _ => {}
        }
    }
    world.drain();
    world.check(kills);
    world.evicted
}

#[test]
fn whatever_the_broker_does_every_record_arrives_in_order() {
    for seed in 0..60 {
        assert_eq!(live(seed, 64 << 20, false), 0, "seed {seed}");
    }
}

#[test]
fn a_kill_costs_the_last_second_at_most_and_what_was_left_comes_before_the_new_epochs() {
    for seed in 0..60 {
        assert_eq!(live(seed, 64 << 20, true), 0, "seed {seed}");
    }
}

#[test]
fn a_spool_that_is_full_tells_exactly_what_went() {
    let mut evicted = 0;
    for seed in 0..60 {
        evicted += live(seed, 30_000, false);
    }
    assert!(evicted > 500, "{evicted}");
}

#[test]
fn a_full_spool_and_kills_together_still_close_the_sum() {
    let mut evicted = 0;
    for seed in 0..100 {
        evicted += live(seed, 30_000, true);
    }
    assert!(evicted > 500, "{evicted}");
}

/// Hands everything out that may go, acknowledging all but what `refuses` names.
fn settle_one_by_one(world: &mut World<'_>, refuses: impl Fn(&Outgoing) -> bool) {
    for _ in 0..1_000 {
        world.send(100);
        let Some(at) = (0..PARTITIONS).find(|at| !world.in_flight[*at].is_empty()) else { return };
        if !world.in_flight[at].iter().any(&refuses) {
            world.acknowledge(at);
            continue;
        }
        // All that were sent together fail with the one, and the client with them.
        for outgoing in world.in_flight.iter_mut().flat_map(|flight| flight.drain(..)) {
            world.queue.reported(outgoing.place, Err(Refusal::OfRecord), world.now);
        }
        world.queue.rewind(world.log.as_mut());
    }
}

fn gaps(world: &World<'_>) -> Vec<Gap> {
    let told = world.partitions.iter().flatten();
    told.filter_map(|told| if let Told::Gap(gap) = told { Some(gap.clone()) } else { None }).collect()
}

#[test]
fn a_record_that_is_refused_leaves_a_gap_and_takes_no_other_with_it() {
    for written in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new(folder.path(), 64 << 20);
        let mut rng = StdRng::seed_from_u64(3);
        (0..30).for_each(|_| world.accept(&mut rng));
        if written {
            world.write(true);
        }
        let accepted = |world: &World<'_>| world.cameras[0].accepted[&1].clone();
        let refused = accepted(&world)[2];
        let is_it = |outgoing: &Outgoing| matches!(told(outgoing), Told::Frame { camera, at, .. } if camera == "a" && at.seq == refused);
        settle_one_by_one(&mut world, is_it);
        let gaps = gaps(&world);
        assert_eq!(gaps.len(), 1, "written: {written}: {gaps:?}");
        let after = gaps[0].after.unwrap();
        assert_eq!((after.seq, gaps[0].reason), (accepted(&world)[1], GapReason::Refused));
        assert_eq!(after.seq + gaps[0].frames.unwrap(), refused);
        let mut reader = Reader::default();
        world.partitions.iter().flatten().for_each(|told| reader.read(told));
        let found = &reader.frames[&("a".to_owned(), 1)];
        assert_eq!(found.len(), accepted(&world).len() - 1);
        world.drain();
    }
}

/// Writes 40 records, damages the one of this frame of camera `a`, and starts again. Gives the gaps.
fn damaged(which: usize) -> (Vec<u64>, Vec<Gap>) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), 64 << 20);
    let mut rng = StdRng::seed_from_u64(5);
    (0..40).for_each(|_| world.accept(&mut rng));
    world.write(true);
    let accepted = world.cameras[0].accepted[&1].clone();
    world.log = None;
    let file = folder.path().join(format!("{:020}.log", 1));
    let mut bytes = std::fs::read(&file).unwrap();
    let needle = format!("\u{1}\u{0}a1 {} ", accepted[which]).into_bytes();
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at + needle.len()] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (log, queue) = open(folder.path(), 64 << 20);
    (world.log, world.queue) = (Some(log), queue);
    world.drain();
    (accepted, gaps(&world))
}

#[test]
fn a_damaged_record_is_a_gap_that_counts_what_can_be_counted() {
    let (accepted, gaps) = damaged(3);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!((gaps[0].reason, &*gaps[0].camera), (GapReason::Corrupt, "a"));
    assert_eq!(gaps[0].after.unwrap().seq, accepted[2]);
    assert_eq!(accepted[2] + gaps[0].frames.unwrap(), accepted[3]);
    assert_eq!(gaps[0].before.unwrap().seq, accepted[4]);
    // The first of its camera: what came before it is known by the beginning of its epoch.
    let (accepted, gaps) = damaged(0);
    assert_eq!((gaps.len(), gaps[0].after), (1, None), "{gaps:?}");
    assert_eq!(gaps[0].before.unwrap().seq, accepted[1]);
    assert_eq!(gaps[0].frames, None, "nobody knows what an earlier process had published");
}

#[test]
fn without_room_nothing_is_taken_and_the_room_comes_back() {
    let mut queue = Queue::new(LIMITS, LIMITS, None);
    let now = Instant::now();
    let given = Given {
        kind: Kind::Tick,
        camera: "a".into(),
        epoch: 1,
        frame: None,
        payload: [0; 100][..].into(),
        live: false,
    };
    let take = |queue: &mut Queue| queue.accept(given.clone(), now, Timestamp::from_micros(0), false);
    for _ in 0..40 {
        assert_eq!(take(&mut queue), Ok(()));
    }
    assert_eq!(take(&mut queue), Err(Full));
    let Step::Send(first) = queue.step(now) else { panic!("nothing to send") };
    queue.handed(first.place);
    assert_eq!(take(&mut queue), Err(Full), "it may have to be sent again");
    queue.reported(first.place, Ok(()), now);
    assert_eq!(take(&mut queue), Ok(()));
    assert_eq!((queue.left(), queue.unwritten()), (40, 40));
}

#[test]
fn a_record_that_is_sent_alone_stays_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), 64 << 20);
    let mut rng = StdRng::seed_from_u64(11);
    (0..4).for_each(|_| world.accept(&mut rng));
    world.send(100);
    let together: Vec<_> = world.in_flight.iter_mut().flat_map(|flight| flight.drain(..)).collect();
    assert!(!together.is_empty());
    for outgoing in together {
        world.queue.reported(outgoing.place, Err(Refusal::TooLarge), world.now);
    }
    world.queue.rewind(world.log.as_mut());
    (0..20).for_each(|_| world.accept(&mut rng));
    // What came later is not looked at alone, and joins none that is.
    let careful_to = world.queue.careful_to;
    loop {
        world.send(100);
        let under_way: Vec<_> =
            world.in_flight.iter().flatten().map(|outgoing| outgoing.place.number).collect();
        if under_way.iter().all(|number| *number >= careful_to) {
            break;
        }
        assert_eq!(under_way.len(), 1, "{under_way:?}, alone up to {careful_to}");
        (0..PARTITIONS).for_each(|at| world.acknowledge(at));
    }
    world.drain();
    assert!(gaps(&world).is_empty());
}

#[test]
fn a_gap_that_has_not_arrived_is_told_again_after_a_kill() {
    for seed in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(folder.path(), 30_000);
        while world.evicted < 50 {
            world.accept(&mut rng);
            world.send(1);
            world.write(true);
        }
        world.kill(&mut rng);
        let is_gap = |outgoing: &Outgoing| outgoing.kind == Kind::Gap;
        loop {
            world.send(1);
            if world.in_flight.iter().flatten().any(is_gap) {
                break;
            }
            (0..PARTITIONS).for_each(|at| world.acknowledge(at));
            world.write(false);
        }
        world.write(false);
        world.kill(&mut rng);
        (0..10).for_each(|_| world.accept(&mut rng));
        world.drain();
        world.check(true);
    }
}
