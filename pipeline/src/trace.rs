//! What happens to sampled frames, told as spans (`docs/TRACES.md`). A frame that is not sampled carries nothing of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sightline_schema::{SkipReason, Timestamp};
use sightline_service::trace::{
    Context, Current, Entered, Known, Role, Seed, Span, SpanId, TraceId, Tracer, Value,
};

use crate::lane::DetectTimes;

/// A capture that lies further back was dated by a clock that is not ours.
const PLAUSIBLE: Duration = Duration::from_secs(60);

/// Which frames of one run of a camera are sampled.
#[derive(Clone, Debug, Default)]
pub struct StreamTrace(Option<Arc<Stream>>);

#[derive(Debug)]
struct Stream {
    tracer: Tracer,
    camera: Arc<str>,
    epoch: u64,
    seed: Seed,
}

impl StreamTrace {
    pub fn new(tracer: &Tracer, camera: &str, epoch: u64) -> Self {
        let stream = || Stream {
            tracer: tracer.clone(),
            camera: camera.into(),
            epoch,
            seed: Seed::new(camera, epoch),
        };
        Self(tracer.is_on().then(|| Arc::new(stream())))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub fn samples(&self, seq: u64) -> bool {
        self.0.as_ref().is_some_and(|stream| stream.tracer.samples(stream.seed.trace(seq)))
    }

    /// A frame begins its way, decoded, where it is sampled. `arrived` is when it came to the decoder's door, `captured_at`
    /// when it was captured, of a live camera.
    pub fn begin(
        &self,
        seq: u64,
        arrived: Option<SystemTime>,
        captured_at: Option<Timestamp>,
    ) -> Option<Arc<FrameTrace>> {
        if !self.samples(seq) {
            return None;
        }
        let stream = Arc::clone(self.0.as_ref()?);
        let decoded = SystemTime::now();
        let arrived = arrived.unwrap_or(decoded).min(decoded);
        let captured = captured_at.map(time).filter(|captured| {
            arrived.duration_since(*captured).is_ok_and(|before| before <= PLAUSIBLE && !before.is_zero())
        });
        let trace = stream.seed.trace(seq);
        let start = captured.unwrap_or(arrived);
        let state = Mutex::new(State { outcome: None, detections: None });
        let frame = FrameTrace { stream, trace, seq, start, decoded, state };
        if captured.is_some() {
            frame.child("capture", start, arrived, None);
        }
        frame.child("decode", arrived, decoded, None);
        Some(Arc::new(frame))
    }
}

/// A sampled frame on its way. When nobody has it any more, its way is told as a whole.
#[derive(Debug)]
pub struct FrameTrace {
    stream: Arc<Stream>,
    trace: TraceId,
    seq: u64,
    start: SystemTime,
    decoded: SystemTime,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What became of it, and when.
    outcome: Option<(&'static str, SystemTime)>,
    detections: Option<usize>,
}

impl FrameTrace {
    /// A detect worker takes it up.
    pub fn taken(&self) {
        self.child("queue", self.decoded, SystemTime::now(), None);
    }

    /// A detect worker is done with it; without `times` it failed.
    pub fn detected(&self, began: SystemTime, times: Option<&DetectTimes>) {
        let error = times.is_none().then(|| "the frame could not be detected".to_owned());
        let span = self.child("detect", began, SystemTime::now(), error);
        let mut at = began;
        let steps = times
            .map(|times| [("letterbox", times.letterbox), ("session", times.session), ("head", times.head)]);
        for (name, took) in steps.into_iter().flatten() {
            let end = at + took.wall;
            self.span(Some(span), SpanId::random(), name, at, end, None);
            at = end;
        }
    }

    /// It was tracked just now, and that took so long.
    pub fn tracked(&self, took: Duration, detections: usize) {
        let now = SystemTime::now();
        self.child("track", now.checked_sub(took).unwrap_or(now), now, None);
        self.state().detections = Some(detections);
    }

    /// Its result was taken by where results go.
    pub fn accepted(&self) {
        self.comes_to("accepted");
    }

    /// It goes no further.
    pub fn lost(&self, reason: SkipReason) {
        self.comes_to(reason.as_str());
    }

    /// What this thread logs belongs to it, until what is given is dropped.
    pub(crate) fn enter(&self) -> Entered {
        Current { context: self.context(), camera: Arc::clone(&self.stream.camera) }.enter()
    }

    fn context(&self) -> Context {
        Context { trace: self.trace, span: self.trace.span(Known::Frame) }
    }

    fn comes_to(&self, outcome: &'static str) {
        self.state().outcome.get_or_insert_with(|| (outcome, SystemTime::now()));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self, name: &'static str, start: SystemTime, end: SystemTime, error: Option<String>) -> SpanId {
        let id = SpanId::random();
        self.span(Some(self.context().span), id, name, start, end, error);
        id
    }

    fn span(
        &self,
        parent: Option<SpanId>,
        span: SpanId,
        name: &'static str,
        start: SystemTime,
        end: SystemTime,
        error: Option<String>,
    ) {
        let context = Context { trace: self.trace, span };
        let attributes = vec![("sightline.camera", Value::from(&*self.stream.camera))];
        self.stream.tracer.tell(Span {
            context,
            parent,
            name,
            role: Role::Internal,
            start,
            end,
            attributes,
            error,
        });
    }
}

impl Drop for FrameTrace {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // A stream that is taken off leaves what waits in its slot.
        let (outcome, end) = state.outcome.unwrap_or_else(|| ("dropped", SystemTime::now()));
        let mut attributes = vec![
            ("sightline.camera", Value::from(&*self.stream.camera)),
            ("sightline.epoch", self.stream.epoch.into()),
            ("sightline.seq", self.seq.into()),
            ("sightline.outcome", outcome.into()),
        ];
        attributes.extend(state.detections.map(|count| ("sightline.detections", Value::from(count as u64))));
        self.stream.tracer.tell(Span {
            context: self.context(),
            parent: None,
            name: "frame",
            role: Role::Internal,
            start: self.start,
            end,
            attributes,
            error: None,
        });
    }
}

/// Enters a frame's work, where it is sampled.
pub(crate) fn entered(trace: Option<&Arc<FrameTrace>>) -> Option<Entered> {
    trace.map(|trace| trace.enter())
}

pub(crate) fn time(at: Timestamp) -> SystemTime {
    let micros = at.as_micros();
    let since = Duration::from_micros(micros.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let at = if micros < 0 { epoch.checked_sub(since) } else { epoch.checked_add(since) };
    at.unwrap_or(epoch)
}
