use serde_json::{Value, json};

use super::*;

struct Log {
    view: View,
    topics: Topics,
    now: Instant,
}

impl Log {
    fn new() -> Self {
        let topics = Topics::default();
        Self { view: View::new(&topics, 8), topics, now: Instant::now() }
    }

    fn take(&mut self, topic: &str, key: &str, partition: i32, offset: i64, value: Option<&[u8]>) {
        let key = Some(key.as_bytes());
        let record = Tailed::bare(topic, (partition, offset), Some(1_000), key, value);
        self.view.take(&record, self.now, Timestamp::from_micros(1_000_000));
    }

    fn camera(&mut self, id: &str, more: Value) {
        let mut camera = json!({"id": id, "source": "rtsp://10.0.0.5/1"});
        camera.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let topic = self.topics.cameras();
        self.take(&topic, id, 0, 0, Some(camera.to_string().as_bytes()));
    }

    fn place(&mut self, id: &str, offset: i64, to: Option<(&str, u32)>) {
        let value = to.map(|(pool, slot)| {
            json!({"schema": "placement/1", "camera": id, "pool": pool, "slot": slot}).to_string()
        });
        let topic = self.topics.placements();
        self.take(&topic, id, 0, offset, value.as_deref().map(str::as_bytes));
    }

    fn status(&mut self, id: &str, partition: i32, offset: i64, more: Value) {
        let mut status = json!({
            "schema": "status/1", "camera": id, "generation": 1, "pod": "a", "since": "2026-11-23T18:40:11.120Z",
        });
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let topic = self.topics.camera_status();
        self.take(&topic, id, partition, offset, Some(status.to_string().as_bytes()));
    }

    fn epochs(&self, id: &str) -> Vec<u64> {
        self.view.before(id, u64::MAX).map(|run| run.epoch).collect()
    }
}

fn claim(pod: &str) -> Value {
    json!({"state": "claimed", "pod": pod, "slot": 1, "placement": -1})
}

#[test]
fn a_camera_belongs_where_its_placement_says_else_to_the_pool_it_names() {
    let mut log = Log::new();
    log.place("gate", 3, Some(("west", 5)));
    assert_eq!(log.view.place("gate"), None, "it is not registered");
    log.camera("gate", json!({"pool": "east"}));
    let place = log.view.place("gate").unwrap();
    assert_eq!((&*place.pool, place.slot, place.offset, place.read), ("west", 5, 3, 3));
    log.place("gate", 9, None);
    let place = log.view.place("gate").unwrap();
    assert_eq!((&*place.pool, place.slot), ("east", slot_of("gate", 8)));
    assert_eq!((place.offset, place.read), (-1, 9), "that it was taken back was read");
    assert_eq!(log.view.of_pool("east").count(), 1);
    assert_eq!(log.view.of_pool("west").count(), 0);
    assert_eq!(log.view.take_changed().len(), 1);
    assert!(log.view.take_changed().is_empty());
}

#[test]
fn epochs_are_offsets_above_the_base_of_their_partition() {
    let mut log = Log::new();
    let topic = log.topics.camera_status();
    log.take(&topic, "_base", 2, 0, Some(br#"{"schema": "base/1", "base": 4000}"#));
    log.status("gate", 2, 7, claim("a"));
    log.status("door", 1, 7, claim("a"));
    assert_eq!((log.epochs("gate"), log.epochs("door")), (vec![4007], vec![7]));
    assert_eq!((log.view.epoch(2, 7), log.view.epoch(1, 7)), (4007, 7));
    assert!(log.view.place("_base").is_none() && log.epochs("_base").is_empty());
}

#[test]
fn a_status_is_of_its_epoch_whenever_it_comes() {
    let mut log = Log::new();
    log.status("gate", 0, 3, claim("a"));
    log.status("gate", 0, 5, json!({"state": "claimed", "pod": "b", "slot": 1, "placement": 12}));
    log.status("gate", 0, 6, json!({"state": "disabled"}));
    let last = json!({"seq": 40, "captured_at": "2026-11-23T18:40:12.033Z"});
    log.status("gate", 0, 7, json!({"state": "running", "epoch": 3, "last": last}));
    let newest = log.view.newest("gate").unwrap();
    assert_eq!((newest.epoch, &*newest.pod, newest.placement), (5, "b", 12));
    let old = log.view.run("gate", 3).unwrap();
    assert_eq!((old.state, old.last.map(|last| last.seq)), (CameraState::Running, Some(40)));
    assert!(!old.is_over(), "another pod's claim ends nothing by itself");
    log.status("gate", 0, 8, json!({"state": "ended", "epoch": 3}));
    let old = log.view.run("gate", 3).unwrap();
    assert!(old.is_over() && old.last.is_some(), "what it said of its last result is kept");
    // Of many runs the newest are remembered.
    (10..20).for_each(|offset| log.status("gate", 0, offset, claim("c")));
    assert_eq!(log.epochs("gate"), [16, 17, 18, 19]);
    log.status("gate", 0, 20, json!({"state": "running", "epoch": 3}));
    assert_eq!(log.epochs("gate"), [16, 17, 18, 19]);
}

/// A pod that was killed and started again under its name has one run: whoever takes over from it does not wait for the
/// other.
#[test]
fn a_pods_earlier_run_is_over_when_it_claims_again() {
    let mut log = Log::new();
    log.status("gate", 0, 3, claim("a"));
    log.status("gate", 0, 4, json!({"state": "running", "epoch": 3}));
    log.status("gate", 0, 5, claim("b"));
    log.status("gate", 0, 6, claim("a"));
    let over: Vec<_> =
        log.view.before("gate", u64::MAX).map(|run| (run.is_over(), run.has_ended())).collect();
    assert_eq!(over, [(true, false), (false, false), (false, false)]);
}

#[test]
fn tombstones_forget() {
    let mut log = Log::new();
    log.camera("gate", json!({}));
    log.status("gate", 0, 3, claim("a"));
    let [cameras, statuses] = [log.topics.cameras(), log.topics.camera_status()];
    log.take(&cameras, "gate", 0, 1, None);
    assert!(!log.view.is_registered("gate") && !log.view.is_enabled("gate"));
    assert_eq!(log.view.place("gate"), None);
    log.take(&statuses, "gate", 0, 4, None);
    assert!(log.view.newest("gate").is_none());
    log.camera("gate", json!({"enabled": false, "generation": 4}));
    assert!(log.view.is_registered("gate") && !log.view.is_enabled("gate"));
    assert_eq!(log.view.generation("gate"), Some(4));
}

#[test]
fn what_people_write_by_hand_stops_nobody() {
    let mut log = Log::new();
    log.camera("gate", json!({}));
    log.place("gate", 2, Some(("east", 1)));
    log.status("gate", 0, 3, claim("a"));
    let [cameras, placements, statuses] =
        [log.topics.cameras(), log.topics.placements(), log.topics.camera_status()];
    for junk in [&b""[..], b"hello", b"{}", b"\xff\xfe", br#"{"schema": "placement/9", "camera": "gate"}"#] {
        log.take(&placements, "gate", 0, 5, Some(junk));
        log.take(&statuses, "gate", 0, 5, Some(junk));
        log.take("elsewhere", "gate", 0, 5, Some(junk));
    }
    let place = log.view.place("gate").unwrap();
    assert_eq!((&*place.pool, place.offset), ("east", 2), "the last that can be read counts");
    assert_eq!(log.epochs("gate"), [3]);
    // A camera that can't be read is not run by what it was before.
    log.take(&cameras, "gate", 0, 6, Some(b"id: gate"));
    assert!(!log.view.is_registered("gate"));
    log.camera("gate", json!({}));
    log.take(&cameras, "gate", 0, 7, Some(br#"{"id": "door", "source": "rtsp://10.0.0.5/1"}"#));
    assert!(!log.view.is_registered("gate") && !log.view.is_registered("door"));
    let (key, value) = (Some(&b"\xff"[..]), Some(&b"{}"[..]));
    let record = Tailed::bare(&cameras, (0, 8), None, key, value);
    log.view.take(&record, log.now, Timestamp::from_micros(0));
}

#[test]
fn a_pod_is_as_old_as_its_record() {
    let mut log = Log::new();
    let topic = log.topics.pods();
    let value = include_bytes!("../../../schema/golden/pod-1.json");
    log.take(&topic, "a", 0, 0, Some(value));
    let (now, later) = (log.now, log.now + SILENT);
    assert!(log.view.is_heard("a", now) && !log.view.is_heard("a", later) && !log.view.is_heard("b", now));
    assert!(log.view.has_others("default", "b", later) && !log.view.has_others("west", "b", later));
    assert!(
        !log.view.has_others("default", "pipeline-2", now)
            && !log.view.has_others("default", "b", now + DEAD)
    );
    log.take(&topic, "a", 0, 1, None);
    assert!(!log.view.is_heard("a", now));
}

/// Counts the heap that each thread holds, as the allocator rounds it up.
struct Counting;

thread_local! {
    static HELD: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[allow(
    unsafe_code,
    reason = "what memory costs is known to the allocator alone; it calls that of the system"
)]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};

    use super::{Counting, HELD};

    /// What malloc writes before each piece.
    const HEAD: usize = 8;

    fn count(piece: *mut u8, sign: i64) {
        // SAFETY: the piece is the system allocator's, which is malloc's.
        let size = unsafe { libc::malloc_usable_size(piece.cast()) } + HEAD;
        // A thread that ends has no counter any more.
        let _ = HELD.try_with(|held| held.set(held.get() + sign * i64::try_from(size).unwrap_or(0)));
    }

    // SAFETY: all is done by the system's.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as the caller promises.
            let piece = unsafe { System.alloc(layout) };
            if !piece.is_null() {
                count(piece, 1);
            }
            piece
        }

        unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
            count(piece, -1);
            // SAFETY: as the caller promises.
            unsafe { System.dealloc(piece, layout) }
        }
    }
}

/// What a pod pays for each camera that others run: at most 2 KiB.
#[test]
fn a_camera_that_others_run_costs_little() {
    const CAMERAS: i64 = 10_000;
    let golden: Value =
        serde_json::from_slice(include_bytes!("../../../schema/golden/camera-1.json")).unwrap();
    let mut log = Log::new();
    let before = HELD.get();
    let mut bytes = 0;
    for n in 0..CAMERAS {
        let (id, epoch) = (format!("building-{}-camera-{n}", n % 40), 8 * n + 6);
        let mut camera = golden.clone();
        camera["id"] = json!(id);
        let camera = camera.to_string();
        bytes += camera.len();
        let topic = log.topics.cameras();
        log.take(&topic, &id, 0, n, Some(camera.as_bytes()));
        log.place(&id, n, Some(("default", u32::try_from(n % 8).unwrap())));
        // It has been moved around for a while.
        (epoch - 6..=epoch).for_each(|at| log.status(&id, 0, at, claim(&format!("pipeline-{}", at % 12))));
        let last = json!({"seq": 40, "captured_at": "2026-11-23T18:40:12.033Z"});
        log.status(
            &id,
            0,
            epoch + 1,
            json!({"state": "running", "epoch": epoch, "last": last, "clock_offset_ms": 3}),
        );
    }
    drop(log.view.take_changed());
    let each = (HELD.get() - before) / CAMERAS;
    println!(
        "{each} bytes for each of {CAMERAS} cameras, whose records have {} bytes",
        bytes as i64 / CAMERAS
    );
    assert!(each <= 2_048, "{each} bytes");
    assert_eq!(log.view.of_pool("default").count(), 10_000);
}
