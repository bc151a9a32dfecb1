//! One worker's session: a frame in, detections out. The only place where pixels are touched.

use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::TensorRef;
use sightline_schema::Camera;

use super::facts::{Element, ModelPlan, Outputs};
use super::filter::Thresholds;
use super::head;
use super::model::ModelError;
use super::nms::{Candidate, keep_best, suppress};
use crate::cpu::{StageTime, Stopwatch};
use crate::detection::Detection;
use crate::frame::{Colour, HostPlanes, PixelFormat, PlaneData, Planes};
use crate::lane::DetectTimes;
use crate::letterbox::{InputSize, Letterbox};

/// Detections a frame, at most.
const MAX_DETECTIONS: usize = 300;
/// Letterboxes kept: a worker serves many streams, of few sizes.
const LETTERBOXES: usize = 16;

/// A session with its buffers. One thread at a time.
pub struct DetectSession {
    session: Session,
    plan: Arc<ModelPlan>,
    letterboxes: Vec<Letterbox>,
    /// `[3, H, W]` of the frame at hand, planar.
    tensor: Vec<f32>,
    half: Vec<f16>,
    /// An output that came as fp16, widened.
    widened: Vec<f32>,
    candidates: Vec<Candidate>,
}

impl DetectSession {
    pub(super) fn new(session: Session, plan: Arc<ModelPlan>) -> Self {
        Self {
            session,
            plan,
            letterboxes: Vec::new(),
            tensor: Vec::new(),
            half: Vec::new(),
            widened: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// What is in a frame, best first: at or above the thresholds' floor, of wanted classes, not masked.
    pub fn detect(
        &mut self,
        planes: &Planes,
        thresholds: &Thresholds,
    ) -> Result<(Vec<Detection>, DetectTimes), ModelError> {
        let Planes::Host(planes) = planes else {
            return Err(ModelError::Internal(
                "a frame in device memory came to a session on the host".into(),
            ));
        };
        let source = (planes.width, planes.height);
        let input = self.plan.input_for(source);
        let mut stopwatch = Stopwatch::start();
        let letterbox = self.letterbox(planes, input)?;
        let lettered = stopwatch.lap();
        let (session, detections) = self.infer(letterbox, source, input, thresholds, &mut stopwatch)?;
        let times = DetectTimes { letterbox: lettered, session, head: stopwatch.lap() };
        Ok((detections, times))
    }

    /// Runs once on nothing in particular, so that an output that the head can't be read from is known at the start.
    pub(super) fn prove(&mut self) -> Result<(), ModelError> {
        const SIDE: u32 = 64;
        let planes = HostPlanes {
            format: PixelFormat::Gray8,
            colour: Colour::unsignalled(SIDE),
            width: SIDE,
            height: SIDE,
            strides: [SIDE as usize, 0, 0],
            data: Arc::new(Grey([114; (SIDE * SIDE) as usize])),
        };
        let thresholds = Thresholds::of(&Camera::new("model", "model"), &self.plan.classes, false)
            .map_err(|error| ModelError::Internal(error.to_string()))?;
        self.detect(&Planes::Host(planes), &thresholds).map(drop)
    }

    /// Runs the session `times` on whatever the buffer holds: what a bench calls a bare session.
    pub fn run_bare(&mut self, input: InputSize, times: u64) -> Result<(), ModelError> {
        self.tensor.resize(tensor_len(input), 0.5);
        if self.plan.element == Element::F16 {
            self.half.resize(self.tensor.len(), f16::ZERO);
            self.half.convert_from_f32_slice(&self.tensor);
        }
        for _ in 0..times {
            let source = (input.width, input.height);
            let outputs = run(&mut self.session, &self.plan, &self.tensor, &self.half, input, source)?;
            drop(outputs);
        }
        Ok(())
    }

    /// Fills the tensor from the planes. Gives the place of the letterbox that did.
    fn letterbox(&mut self, planes: &HostPlanes, input: InputSize) -> Result<usize, ModelError> {
        let known = self.letterboxes.iter().position(|letterbox| letterbox.matches(planes, input));
        let index = match known {
            Some(index) => index,
            None => {
                if self.letterboxes.len() == LETTERBOXES {
                    self.letterboxes.remove(0);
                }
                let source = (planes.width, planes.height);
                self.letterboxes.push(Letterbox::new(
                    source,
                    planes.format,
                    planes.colour,
                    input,
                    self.plan.preprocess,
                ));
                self.letterboxes.len() - 1
            }
        };
        self.tensor.resize(tensor_len(input), 0.0);
        if let Some(letterbox) = self.letterboxes.get_mut(index) {
            letterbox
                .write(planes, &mut self.tensor)
                .map_err(|error| ModelError::Internal(error.to_string()))?;
        }
        if self.plan.element == Element::F16 {
            self.half.resize(self.tensor.len(), f16::ZERO);
            self.half.convert_from_f32_slice(&self.tensor);
        }
        Ok(index)
    }

    fn infer(
        &mut self,
        letterbox: usize,
        source: (u32, u32),
        input: InputSize,
        thresholds: &Thresholds,
        stopwatch: &mut Stopwatch,
    ) -> Result<(StageTime, Vec<Detection>), ModelError> {
        let Self { session, plan, tensor, half, widened, candidates, letterboxes, .. } = self;
        let outputs = run(session, plan, tensor, half, input, source)?;
        let session_time = stopwatch.lap();
        candidates.clear();
        let floor = thresholds.floor();
        let classes = plan.classes.len();
        let decoded = match &plan.outputs {
            Outputs::Detr { labels, boxes, scores } => {
                let labels = self::labels(&outputs, labels)?;
                let boxes = values(&outputs, boxes, widened)?.1.to_vec();
                let scores = values(&outputs, scores, widened)?.1;
                head::decode_detr(labels, &boxes, scores, classes, floor, candidates)
            }
            Outputs::One(name) => {
                let (shape, values) = values(&outputs, name, widened)?;
                // Without the batch axis.
                let shape = shape.get(1..).unwrap_or_default();
                head::decode(plan.head, values, shape, classes, input, floor, candidates)
            }
        };
        decoded.map_err(|error| ModelError::Internal(error.to_string()))?;
        drop(outputs);
        candidates.retain(|candidate| thresholds.wants_class(candidate.class_id));
        if plan.head.needs_suppression() {
            suppress(candidates, thresholds.iou(), thresholds.is_agnostic(), MAX_DETECTIONS);
        } else {
            keep_best(candidates, MAX_DETECTIONS);
        }
        let geometry = letterboxes.get(letterbox).map(Letterbox::geometry);
        let (width, height) = (source.0 as f32, source.1 as f32);
        let detections = candidates.iter().map(|candidate| Detection {
            class_id: candidate.class_id,
            confidence: candidate.confidence.min(1.0),
            box2d: match geometry {
                // A DETR graph gives pixels of the original picture itself.
                Some(geometry) if plan.original_size.is_none() => geometry.to_frame(candidate.xyxy),
                _ => {
                    let [x_min, y_min, x_max, y_max] = candidate.xyxy;
                    sightline_schema::Box2d {
                        x_min: x_min / width,
                        y_min: y_min / height,
                        x_max: x_max / width,
                        y_max: y_max / height,
                    }
                    .clip()
                }
            },
        });
        Ok((session_time, detections.filter(|detection| thresholds.keeps(detection)).collect()))
    }
}

struct Grey<const N: usize>([u8; N]);

impl<const N: usize> PlaneData for Grey<N> {
    fn plane(&self, _: usize) -> &[u8] {
        &self.0
    }
}

fn tensor_len(input: InputSize) -> usize {
    3 * input.height as usize * input.width as usize
}

/// One run. Inputs are views of the buffers: nothing is copied on the way in.
fn run<'s>(
    session: &'s mut Session,
    plan: &ModelPlan,
    tensor: &[f32],
    half: &[f16],
    input: InputSize,
    source: (u32, u32),
) -> Result<SessionOutputs<'s>, ModelError> {
    let failed = |error: ort::Error| ModelError::Internal(format!("the session failed: {error}"));
    let shape = [1usize, 3, input.height as usize, input.width as usize];
    let image: SessionInputValue<'_> = match plan.element {
        Element::F16 => TensorRef::from_array_view((shape, half)).map_err(failed)?.into(),
        _ => TensorRef::from_array_view((shape, tensor)).map_err(failed)?.into(),
    };
    let Some(size_name) = &plan.original_size else {
        return session.run(vec![(plan.images.as_str(), image)]).map_err(failed);
    };
    // `orig_target_sizes`: width, height.
    let size = [i64::from(source.0), i64::from(source.1)];
    let size = TensorRef::from_array_view(([1usize, 2], size.as_slice())).map_err(failed)?;
    session.run(vec![(plan.images.as_str(), image), (size_name.as_str(), size.into())]).map_err(failed)
}

/// An output as f32, whatever it came as.
fn values<'o>(
    outputs: &'o SessionOutputs<'_>,
    name: &str,
    widened: &'o mut Vec<f32>,
) -> Result<(Vec<usize>, &'o [f32]), ModelError> {
    let missing = || ModelError::Internal(format!("the session gave no output {name}"));
    let output = outputs.get(name).ok_or_else(missing)?;
    let usual = |shape: &[i64]| shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect();
    if let Ok((shape, values)) = output.try_extract_tensor::<f32>() {
        return Ok((usual(shape), values));
    }
    let (shape, values) = output
        .try_extract_tensor::<f16>()
        .map_err(|_| ModelError::Internal(format!("output {name} is neither fp32 nor fp16")))?;
    widened.resize(values.len(), 0.0);
    values.convert_to_f32_slice(widened);
    Ok((usual(shape), widened))
}

fn labels<'o>(outputs: &'o SessionOutputs<'_>, name: &str) -> Result<&'o [i64], ModelError> {
    let labels = outputs.get(name).and_then(|output| output.try_extract_tensor::<i64>().ok());
    labels
        .map(|(_, labels)| labels)
        .ok_or_else(|| ModelError::Internal(format!("output {name} holds no labels")))
}
