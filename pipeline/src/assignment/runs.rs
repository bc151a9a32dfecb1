//! The runs of this pod: begun, held, handed over, ended.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{Camera, CameraState, ErrorCode, GapReason, Sampling, Status, StatusError, Timestamp};
use sightline_service::kafka::Held;
use sightline_service::shutdown::Shutdown;

use super::claims::Claim;
use super::reconcile::{OwnRun, Phase};
use super::view::{RunSeen, View};
use crate::handover::{Awake, Release, RunControl};
use crate::metrics::PipelineMetrics;
use crate::predecessors::Predecessor;
use crate::reach::Reach;
use crate::run::{Claimed, Ready, Runner};

/// Neither of two runs waits longer for the other.
const PATIENCE: Duration = Duration::from_secs(10);
/// A predecessor whose pod was not heard of lately is waited for this long: it may have been out of the group, and be
/// back.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// What can't run says so this often, and is tried again.
const REPEAT: Duration = Duration::from_secs(30);
pub(super) struct Runs {
    runner: Runner,
    runs: BTreeMap<Arc<str>, Run>,
    awake: Awake,
    /// Where registered cameras may lead.
    reach: Reach,
    /// Said of cameras that nobody should open, with their generation.
    disabled: HashSet<(Arc<str>, u64)>,
}

struct Run {
    claim: Claim,
    /// As it was claimed or last updated.
    camera: Arc<Camera>,
    phase: Phase,
    kind: RunKind,
    /// Ends because nobody wants it any more.
    unwanted: bool,
    handing_over: Option<Instant>,
    /// When another's newer claim was seen.
    superseded: Option<Instant>,
    began: Instant,
}

enum RunKind {
    Stream {
        control: RunControl,
        thread: JoinHandle<()>,
    },
    /// Claimed, but it can't be opened as it is written: says so, and is tried again.
    Refused {
        error: StatusError,
        said: Instant,
        since: Timestamp,
    },
}

impl Runs {
    pub(super) fn new(runner: Runner, awake: Awake, reach: Reach) -> Self {
        Self { runner, runs: BTreeMap::new(), awake, reach, disabled: HashSet::new() }
    }

    pub(super) fn metrics(&self) -> &PipelineMetrics {
        &self.runner.metrics
    }

    pub(super) fn pod(&self) -> String {
        self.runner.options.pod.clone()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.runs.keys()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many cameras run here, and how many frames a second they want detected.
    pub(super) fn load(&self) -> (u32, f64) {
        let here = self.runs.values().filter(|run| run.phase == Phase::Running);
        here.fold((0, 0.0), |(count, fps), run| (count + 1, fps + run.camera.wanted_fps(None)))
    }

    /// How far this pod's run of a camera is, compared with what is registered now.
    pub(super) fn own(&self, id: &str, view: &View) -> Option<OwnRun> {
        let run = self.runs.get(id)?;
        let generation = view.generation(id);
        let (same_source, same_settings) = match generation {
            Some(generation) if generation == run.camera.generation => (true, true),
            _ => match view.read(id) {
                Some(now) => (same_source(&run.camera, &now), false),
                None => (true, true),
            },
        };
        Some(OwnRun { epoch: run.claim.epoch, phase: run.phase, same_source, same_settings })
    }

    /// Runs a camera that was claimed.
    pub(super) fn begin(&mut self, claim: Claim, view: &View, now: Instant) {
        let Some(camera) = view.read(&claim.camera) else { return };
        let id = claim.camera.clone();
        let before: Vec<_> = view.before(&id, claim.epoch).collect();
        let pod = self.pod();
        let waits = before.iter().any(|run| !run.is_over() && *run.pod != *pod);
        let alive = before.last().is_some_and(|run| *run.pod != *pod && view.is_heard(&run.pod, now));
        let lost = lost(&before, alive);
        let predecessor = predecessor(&before);
        let camera = Arc::new(camera);
        let kind = match Ready::of_runner(&self.runner, &camera) {
            Ok(ready) => {
                let control = RunControl::new(
                    Shutdown::new(),
                    Some(self.awake.clone()),
                    (*camera).clone(),
                    ready.thresholds.clone(),
                );
                // Until this very claim was read, others that began before it may not have been. A recording may be over
                // before that.
                if waits || ready.is_live() {
                    control.hold();
                    control.join(before.iter().any(|run| has_results(run, view, &pod, now)));
                }
                let claimed = Claimed {
                    epoch: claim.epoch,
                    slot: Some(claim.slot),
                    placement: Some(claim.placement),
                    predecessor,
                    lost,
                    reach: self.reach.clone(),
                };
                match spawn(&self.runner, ready, claimed, &control) {
                    Ok(thread) => RunKind::Stream { control, thread },
                    Err(error) => {
                        tracing::error!(camera = %id, %error, "no thread for a camera");
                        return;
                    }
                }
            }
            Err(refused) => {
                let error = StatusError { code: ErrorCode::ModelMissing, message: refused.to_string() };
                tracing::error!(camera = %id, "{refused}; it is tried again when it changes");
                let since = Timestamp::from_system_time(SystemTime::now());
                RunKind::Refused { error, said: now.checked_sub(REPEAT).unwrap_or(now), since }
            }
        };
        let run = Run {
            claim,
            camera,
            phase: Phase::Running,
            kind,
            unwanted: false,
            handing_over: None,
            superseded: None,
            began: now,
        };
        self.runs.insert(id, run);
    }

    /// Follows what other pods say of the cameras that run here: who has taken over, who has ended. `sure`: it is known
    /// which slots this pod holds and who claimed what, after the process slept so often.
    pub(super) fn follow(&mut self, view: &View, sure: Option<u64>, now: Instant) {
        let pod = self.pod();
        for (id, run) in &mut self.runs {
            run.follow_successor(id, view, &pod, now);
            run.follow_predecessors(id, view, &pod, now);
            if let Some(sleeps) = sure {
                run.go_on_after_sleep(id, view, sleeps);
            }
            run.say_refusal(&self.runner, now);
        }
    }

    /// Takes out what has ended, and gives the cameras.
    pub(super) fn ended(&mut self) -> Vec<Arc<str>> {
        let over = |run: &Run| match &run.kind {
            RunKind::Stream { thread, .. } => thread.is_finished(),
            RunKind::Refused { .. } => run.phase == Phase::Ending,
        };
        let ended: Vec<_> = self.runs.iter().filter(|(_, run)| over(run)).map(|(id, _)| id.clone()).collect();
        for id in &ended {
            let Some(run) = self.runs.remove(id) else { continue };
            if let RunKind::Stream { thread, .. } = run.kind {
                // A panic inside was caught and told.
                let _ = thread.join();
            }
            self.runner.metrics.camera(id).gone();
            if run.unwanted {
                // It is registered no longer: nothing is left to say of it.
                self.runner.publisher.forget(id);
            }
        }
        ended
    }

    /// Other settings that need no new run.
    pub(super) fn update(&mut self, id: &Arc<str>, view: &View) {
        let (Some(run), Some(camera)) = (self.runs.get_mut(id), view.read(id)) else { return };
        match &run.kind {
            // What could not run is tried anew.
            RunKind::Refused { .. } => run.phase = Phase::Ending,
            RunKind::Stream { control, .. } => match Ready::of_runner(&self.runner, &camera) {
                Ok(ready) => {
                    control.update(camera.clone(), ready.thresholds);
                    run.camera = Arc::new(camera);
                }
                Err(_) => run.end(),
            },
        }
    }

    /// Another pod takes it over; until then it runs on.
    pub(super) fn hand_over(&mut self, id: &Arc<str>, now: Instant) {
        if let Some(run) = self.runs.get_mut(id) {
            run.hand_over(now);
        }
    }

    pub(super) fn hand_all_over(&mut self, now: Instant) {
        self.runs.values_mut().filter(|run| run.phase == Phase::Running).for_each(|run| run.hand_over(now));
    }

    /// It came back before anybody took it.
    pub(super) fn resume(&mut self, id: &Arc<str>) {
        if let Some(run) = self.runs.get_mut(id) {
            run.phase = Phase::Running;
            (run.handing_over, run.superseded) = (None, None);
            if let RunKind::Stream { control, .. } = &run.kind {
                control.resume();
            }
        }
    }

    pub(super) fn end(&mut self, id: &Arc<str>, is_registered: bool) {
        if let Some(run) = self.runs.get_mut(id) {
            run.unwanted |= !is_registered;
            run.end();
        }
    }

    /// Ends what is left, and waits for nothing: whoever stops the fleet joins the threads.
    pub(super) fn end_all(&mut self) {
        self.runs.values_mut().for_each(Run::end);
    }

    /// Threads that still run after `end_all`.
    pub(super) fn into_threads(self) -> Vec<JoinHandle<()>> {
        let thread = |run: Run| match run.kind {
            RunKind::Stream { thread, .. } => Some(thread),
            RunKind::Refused { .. } => None,
        };
        self.runs.into_values().filter_map(thread).collect()
    }

    /// Says of cameras that belong here and should not be opened that this is known.
    pub(super) fn say_disabled(&mut self, view: &View, pool: &str, held: &Held) {
        for (id, place) in view.of_pool(pool) {
            if view.is_enabled(id) || !held.slots.contains(&place.slot) || self.runs.contains_key(id) {
                continue;
            }
            let Some(generation) = view.generation(id) else { continue };
            if self.disabled.insert((id.clone(), generation)) {
                self.runner.say_disabled(id, generation);
            }
        }
    }
}

impl Run {
    fn hand_over(&mut self, now: Instant) {
        self.phase = Phase::HandingOver;
        self.handing_over.get_or_insert(now);
        if let RunKind::Refused { .. } = self.kind {
            self.phase = Phase::Ending;
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Ending;
        if let RunKind::Stream { control, .. } = &self.kind {
            control.end();
        }
    }

    /// Ends when the successor has its first result, and publishes up to that.
    fn follow_successor(&mut self, id: &str, view: &View, pod: &str, now: Instant) {
        if self.phase != Phase::HandingOver {
            return;
        }
        let RunKind::Stream { control, .. } = &self.kind else { return };
        let successor = view.newest(id).filter(|run| run.epoch > self.claim.epoch && *run.pod != *pod);
        let since = match successor {
            None => self.handing_over,
            Some(successor) => {
                let seen = *self.superseded.get_or_insert(now);
                let own = view.run(id, self.claim.epoch);
                let refused = successor.error == Some(ErrorCode::Rejected);
                if refused {
                    tracing::info!(
                        camera = id,
                        "it allows one session only, and is let go before another has it"
                    );
                }
                let runs = own.is_some_and(|own| own.state == CameraState::Running);
                if refused || !runs && successor.state != CameraState::Claimed {
                    return self.end();
                }
                if let Some(first) = successor.first {
                    control.end_after(first);
                    let last = own.and_then(|own| own.last);
                    if last.is_some_and(|last| last.captured_at > first) {
                        return self.end();
                    }
                }
                Some(seen)
            }
        };
        if since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE) {
            tracing::warn!(camera = id, "nobody took it over within {} s", PATIENCE.as_secs());
            self.end();
        }
    }

    /// What a run has to say that slept is said where nobody has claimed its camera meanwhile.
    fn go_on_after_sleep(&self, id: &str, view: &View, sleeps: u64) {
        let RunKind::Stream { control, .. } = &self.kind else { return };
        let newest = view.newest(id).map_or(self.claim.epoch, |run| run.epoch);
        if self.phase == Phase::Running && newest == self.claim.epoch {
            control.goes_on(sleeps);
        }
    }

    /// Publishes when the runs before have ended.
    fn follow_predecessors(&self, id: &str, view: &View, pod: &str, now: Instant) {
        let RunKind::Stream { control, .. } = &self.kind else { return };
        if !control.is_held() {
            return;
        }
        let before: Vec<_> = view.before(id, self.claim.epoch).collect();
        let open: Vec<_> = before.iter().filter(|run| !run.is_over() && *run.pod != *pod).collect();
        let alive = open.iter().any(|run| view.is_heard(&run.pod, now));
        let ready = control.ready_since();
        let waited = |since: Instant, patience| now.saturating_duration_since(since) >= patience;
        let gives_up = match alive {
            true => ready.is_some_and(|since| waited(since, PATIENCE)),
            false => waited(self.began, SIGN_OF_LIFE),
        };
        control.join(before.iter().any(|run| has_results(run, view, pod, now)));
        let knows_all = view.run(id, self.claim.epoch).is_some();
        if knows_all && open.is_empty() || gives_up {
            control.release(Release {
                last: predecessor(&before).last,
                reason: lost(&before, alive),
                slept: false,
            });
        }
    }

    fn say_refusal(&mut self, runner: &Runner, now: Instant) {
        let RunKind::Refused { error, said, since } = &mut self.kind else { return };
        if self.phase != Phase::Running || now.saturating_duration_since(*said) < REPEAT {
            return;
        }
        *said = now;
        let Claim { camera, epoch, slot, placement } = &self.claim;
        let pod = &runner.options.pod;
        let mut status = Status::bare(&**camera, self.camera.generation, pod, CameraState::Retrying, *since);
        (status.epoch, status.slot, status.placement) = (Some(*epoch), Some(*slot), Some(*placement));
        status.error = Some(error.clone());
        runner.publisher.status(&status);
        runner.metrics.camera(camera).state(CameraState::Retrying);
    }
}

/// Whether another pod's run goes on, as far as it is known.
fn has_results(run: &RunSeen, view: &View, pod: &str, now: Instant) -> bool {
    run.state == CameraState::Running && *run.pod != *pod && view.is_heard(&run.pod, now)
}

/// Why something may be missing after the runs before. `alive`: they are there to hand over.
fn lost(before: &[&RunSeen], alive: bool) -> GapReason {
    match before.last() {
        Some(run) if alive || run.has_ended() => GapReason::Moved,
        _ => GapReason::PodLost,
    }
}

/// What the runs before left, as far as their statuses tell it.
fn predecessor(before: &[&RunSeen]) -> Predecessor {
    Predecessor {
        last: before.iter().filter_map(|run| run.last).max_by_key(|last| (last.epoch, last.seq)),
        clock_offset_ms: before.iter().rev().find_map(|run| run.clock_offset_ms),
        claimed: !before.is_empty(),
        epoch: before.last().map_or(0, |run| run.epoch),
    }
}

fn spawn(
    runner: &Runner,
    ready: Ready,
    claimed: Claimed,
    control: &RunControl,
) -> std::io::Result<JoinHandle<()>> {
    let name = ready.camera.id.clone();
    let (runner, control) = (runner.clone(), control.clone());
    std::thread::Builder::new().name(format!("camera-{name}")).spawn(move || {
        let run = || runner.run(ready, claimed, &control);
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
            tracing::error!(camera = %name, "the camera's supervisor panicked; its other cameras go on");
        }
    })
}

/// Whether a run goes on with other settings: what it reads, and how, is the same.
fn same_source(a: &Camera, b: &Camera) -> bool {
    let keyframes = |camera: &Camera| camera.sampling == Sampling::Keyframes;
    a.streams == b.streams && a.credentials == b.credentials && keyframes(a) == keyframes(b)
}
