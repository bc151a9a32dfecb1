//! One example of each message, as in the design's own.

use std::collections::BTreeMap;

use sightline_schema::{
    Anchor, Audit, AuditAction, Base, BestSight, Box2d, Camera, CameraState, Checkpoint, Clock, Credentials,
    DetectSettings, DetectionRecord, Direction, ErrorCode, Event, EventType, FrameResult, Gap, GapAfter,
    GapBefore, GapReason, Job, JobCancel, JobProgress, JobSpec, JobState, JobStatus, LastResult, Line, Mask,
    ModelFacts, ModelRef, Placement, Pod, Point, Role, Sampling, Skipped, SpecRecord, Status, StatusError,
    StreamRecord, StreamSpec, StreamState, Tick, Timestamp, TrackRef, TrackState, VideoFacts, Zone,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn polygon<const N: usize>(points: [(f32, f32); N]) -> Vec<Point> {
    points.into_iter().map(|(x, y)| Point { x, y }).collect()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

fn dock() -> Zone {
    Zone {
        id: "dock".into(),
        name: "Dock".into(),
        polygon: polygon([(0.1, 0.5), (0.6, 0.5), (0.6, 0.9), (0.1, 0.9)]),
        classes: texts(["person"]),
        dwell_s: Some(30.0),
    }
}

fn entrance() -> Line {
    Line {
        id: "entrance".into(),
        name: "Entrance".into(),
        from: Point { x: 0.2, y: 0.4 },
        to: Point { x: 0.8, y: 0.4 },
        classes: texts(["person"]),
    }
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("site".to_owned(), "hq".to_owned())])
}

pub(crate) fn camera() -> Camera {
    let main = StreamSpec { role: Role::Main, ..StreamSpec::detect("rtsp://10.0.0.5/stream1") };
    Camera {
        generation: 4,
        name: "North gate".into(),
        streams: vec![StreamSpec::detect("rtsp://10.0.0.5/stream2"), main],
        credentials: Some(Credentials::Secret { secret: "gate-3".into() }),
        sampling: Sampling::Fps { fps: 5.0 },
        detect: DetectSettings {
            classes: texts(["person", "car"]),
            class_confidence: BTreeMap::from([("car".to_owned(), 0.4)]),
            min_area: Some(0.0005),
            max_area: Some(0.9),
            ..DetectSettings::default()
        },
        masks: vec![Mask { id: "tree".into(), polygon: polygon([(0.0, 0.0), (0.2, 0.0), (0.2, 0.3)]) }],
        privacy: vec![Mask { id: "window".into(), polygon: polygon([(0.8, 0.0), (1.0, 0.0), (1.0, 0.2)]) }],
        zones: vec![dock()],
        lines: vec![entrance()],
        labels: labels(),
        ..Camera::new("gate-3", "")
    }
}

pub(crate) fn frame() -> FrameResult {
    FrameResult {
        camera: "gate-3".into(),
        epoch: 1827,
        seq: 90211,
        captured_at: at("2026-11-23T18:40:12.033Z"),
        pts_us: 3_007_033_000,
        width: 1920,
        height: 1080,
        skipped: Skipped { sampling: 5, ..Skipped::default() },
        detections: vec![DetectionRecord {
            class_id: 0,
            label: "person".into(),
            confidence: 0.8741,
            box2d: Box2d { x_min: 0.4112, y_min: 0.3021, x_max: 0.457, y_max: 0.5188 },
            track: Some(TrackRef { id: 57, state: TrackState::Confirmed, age_s: 12.4 }),
        }],
    }
}

pub(crate) fn spec() -> SpecRecord {
    SpecRecord {
        camera: "gate-3".into(),
        epoch: 1827,
        generation: 4,
        zones: vec![dock()],
        lines: vec![entrance()],
        anchor: Anchor::BottomCenter,
        model: ModelFacts {
            name: "yolo26n".into(),
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
            head: "end2end".into(),
            input: [384, 640],
            classes: texts(["person", "bicycle", "car"]),
        },
        labels: labels(),
    }
}

pub(crate) fn stream() -> StreamRecord {
    StreamRecord {
        camera: "gate-3".into(),
        epoch: 1827,
        state: StreamState::Started,
        clock: Clock::Ntp,
        at: at("2026-11-23T18:39:58.200Z"),
        complete: None,
    }
}

pub(crate) fn gap() -> Gap {
    Gap {
        camera: "gate-3".into(),
        epoch: 1827,
        after: Some(GapAfter { epoch: 1790, seq: 8812, captured_at: at("2026-11-23T18:39:41.040Z") }),
        before: Some(GapBefore { seq: 0, captured_at: at("2026-11-23T18:39:58.200Z") }),
        frames: None,
        reason: GapReason::PodLost,
    }
}

/// The other end: counted, and nothing known on either side.
pub(crate) fn counted_gap() -> Gap {
    Gap { after: None, before: None, frames: Some(412), reason: GapReason::SpoolFull, ..gap() }
}

pub(crate) fn tick() -> Tick {
    Tick {
        camera: "gate-3".into(),
        epoch: 1827,
        at: at("2026-11-23T18:41:20.500Z"),
        state: CameraState::Retrying,
        error: Some(ErrorCode::Unreachable),
    }
}

pub(crate) fn status() -> Status {
    Status {
        camera: "gate-3".into(),
        epoch: Some(1827),
        generation: 4,
        pod: "pipeline-2".into(),
        slot: Some(17),
        placement: Some(4410),
        state: CameraState::Running,
        error: None,
        since: at("2026-11-23T18:40:11.120Z"),
        retry_at: None,
        first: Some(at("2026-11-23T18:39:58.200Z")),
        last: Some(LastResult { seq: 90211, captured_at: at("2026-11-23T18:40:12.033Z") }),
        video: Some(VideoFacts {
            codec: "h264".into(),
            width: 1920,
            height: 1080,
            fps: 30.0,
            keyframe_interval_s: Some(2.0),
            decoder: "avdec_h264".into(),
            plan: "all".into(),
        }),
        clock: Some(Clock::Ntp),
        clock_offset_ms: Some(12),
    }
}

/// The other ends: a claim, and a camera that fails.
pub(crate) fn more_statuses() -> [Status; 2] {
    let claimed = Status {
        epoch: None,
        slot: None,
        placement: None,
        state: CameraState::Claimed,
        first: None,
        last: None,
        video: None,
        clock: None,
        clock_offset_ms: None,
        ..status()
    };
    let retrying = Status {
        state: CameraState::Retrying,
        error: Some(StatusError {
            code: ErrorCode::AuthFailed,
            message: "the camera at rtsp://10.0.0.5/stream2 refused user or password".into(),
        }),
        retry_at: Some(at("2026-11-23T18:40:21.120Z")),
        ..status()
    };
    [claimed, retrying]
}

pub(crate) fn placement() -> Placement {
    Placement { camera: "gate-3".into(), pool: "default".into(), slot: 17 }
}

pub(crate) fn pod() -> Pod {
    Pod {
        pod: "pipeline-2".into(),
        instance: "5f0c2d1e".into(),
        pool: "default".into(),
        slots: vec![1, 17, 33],
        device: "cpu".into(),
        capacity_fps: 46.8,
        wanted_fps: 40.0,
        cameras: 8,
        version: "0.1.0".into(),
        since: at("2026-11-23T18:39:41.040Z"),
        model: spec().model,
    }
}

pub(crate) fn base() -> Base {
    Base { base: 41_000 }
}

pub(crate) fn audit() -> Audit {
    Audit {
        who: "ops".into(),
        at: at("2026-11-23T18:39:41.040Z"),
        action: AuditAction::Changed,
        camera: "gate-3".into(),
        generation: Some(4),
        fields: texts(["credentials", "zones"]),
        placement: None,
    }
}

pub(crate) fn event() -> Event {
    let confidence = 0.8741;
    let box2d = Box2d { x_min: 0.41120, y_min: 0.30210, x_max: 0.45700, y_max: 0.51880 };
    Event {
        id: "gate-3/1827/90211/57/line_crossed/entrance".into(),
        kind: EventType::LineCrossed,
        camera: "gate-3".into(),
        epoch: 1827,
        seq: 90211,
        generation: 4,
        at: at("2026-11-23T18:40:12.033Z"),
        track_key: Some("gate-3/1827/57".into()),
        class_id: Some(0),
        label: Some("person".into()),
        confidence: Some(confidence),
        line: Some("entrance".into()),
        direction: Some(Direction::Forward),
        zone: None,
        duration_s: None,
        appeared: false,
        vanished: false,
        box2d: Some(box2d),
        first_seen: None,
        last_seen: None,
        path: Vec::new(),
        best: None,
        error: None,
        model: Some(ModelRef { name: "yolo26n".into(), sha256: "9f".repeat(32) }),
        labels: BTreeMap::from([("site".to_owned(), "hq".to_owned())]),
        snapshot: None,
    }
}

/// With all that the first one has not.
pub(crate) fn more_events() -> [Event; 2] {
    let best = BestSight {
        epoch: 1827,
        seq: 90144,
        at: at("2026-11-23T18:40:09.353Z"),
        confidence: 0.9312,
        box2d: Box2d { x_min: 0.38, y_min: 0.28, x_max: 0.43, y_max: 0.51 },
    };
    let left = Event {
        id: "gate-3/1827/90240/57/zone_left/dock".into(),
        kind: EventType::ZoneLeft,
        line: None,
        direction: None,
        zone: Some("dock".into()),
        duration_s: Some(12.48),
        appeared: true,
        vanished: true,
        ..event()
    };
    let ended = Event {
        id: "gate-3/1827/90240/57/track_ended".into(),
        kind: EventType::TrackEnded,
        line: None,
        direction: None,
        first_seen: Some(at("2026-11-23T18:39:59.553Z")),
        last_seen: Some(at("2026-11-23T18:40:13.193Z")),
        path: vec![Point { x: 0.4, y: 0.5 }, Point { x: 0.43, y: 0.52 }],
        best: Some(best),
        ..event()
    };
    [left, ended]
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint {
        of: "events/gate-3".into(),
        offset: 88_120,
        epoch: 1827,
        captured_at: Some(at("2026-11-23T18:40:12.033Z")),
        heard_at: Some(at("2026-11-23T18:40:12.191Z")),
        state: "AQID".into(),
    }
}

const JOB: &str = "job-1f0c9a62be4471d05e83";

pub(crate) fn job() -> Job {
    Job {
        id: JOB.into(),
        uri: "s3://footage/gate/20261123_184000.mp4".into(),
        pool: "default".into(),
        start: at("2026-11-23T18:40:00.000Z"),
        spec: JobSpec { zones: vec![dock()], lines: vec![entrance()], ..JobSpec::default() },
        labels: BTreeMap::from([("camera".to_owned(), "gate-3".to_owned())]),
        attempt: 2,
        not_before: Some(at("2026-11-24T08:00:10.000Z")),
    }
}

pub(crate) fn job_status() -> JobStatus {
    let (added, since) = (at("2026-11-24T07:58:00.000Z"), at("2026-11-24T08:00:12.450Z"));
    JobStatus {
        epoch: Some(512),
        pod: Some("worker-1".into()),
        progress: Some(JobProgress { at_s: 120.5, of_s: Some(600.0), frames: 3012 }),
        ..JobStatus::of(&job(), JobState::Running, added, since)
    }
}

/// The other ends: just added, and failed for good.
pub(crate) fn more_job_statuses() -> [JobStatus; 2] {
    let added = at("2026-11-24T07:58:00.000Z");
    let bare =
        Job { spec: JobSpec::default(), labels: BTreeMap::new(), attempt: 1, not_before: None, ..job() };
    let failed = JobStatus {
        error: Some(StatusError {
            code: ErrorCode::NoVideo,
            message: "s3://footage/gate/20261123_184000.mp4 holds no video".into(),
        }),
        state: JobState::Failed,
        attempt: 3,
        progress: None,
        ..job_status()
    };
    [JobStatus::of(&bare, JobState::Queued, added, added), failed]
}

pub(crate) fn job_cancel() -> JobCancel {
    JobCancel { job: JOB.into(), at: at("2026-11-24T08:01:00.000Z"), who: "ops".into() }
}
