//! What `model inspect` says: the model's own facts, what follows from them, what would be refused.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::device::Device;
use super::facts::{ImageSize, ModelDescription, ModelPlan, Refusal, TensorFacts};

/// Values of metadata longer than this are cut: descriptions of training runs go on for pages.
const LONGEST_VALUE: usize = 100;

/// One model, looked at.
#[derive(Debug)]
pub struct Inspection {
    path: PathBuf,
    bytes: u64,
    description: ModelDescription,
    understood: Result<Arc<ModelPlan>, Refusal>,
    device: Device,
}

#[derive(Serialize)]
struct Json<'a> {
    model: String,
    bytes: u64,
    device: String,
    inputs: Vec<JsonTensor<'a>>,
    outputs: Vec<JsonTensor<'a>>,
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<&'a [String]>,
    /// Height, width; null where the stream decides.
    input_hw: [Option<u32>; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    r#type: String,
    shape: &'a [Option<u64>],
}

impl Inspection {
    pub(super) fn new(
        path: &Path,
        bytes: u64,
        description: ModelDescription,
        understood: Result<Arc<ModelPlan>, Refusal>,
        device: Device,
    ) -> Self {
        Self { path: path.to_owned(), bytes, description, understood, device }
    }

    /// Why the model would be refused, if it would.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.understood.as_ref().err()
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        fn tensors(tensors: &[TensorFacts]) -> Vec<JsonTensor<'_>> {
            tensors
                .iter()
                .map(|TensorFacts { name, element, dims }| JsonTensor {
                    name,
                    r#type: element.to_string(),
                    shape: dims,
                })
                .collect()
        }
        let plan = self.understood.as_ref().ok();
        let json = Json {
            model: self.path.display().to_string(),
            bytes: self.bytes,
            device: self.device.to_string(),
            inputs: tensors(&self.description.inputs),
            outputs: tensors(&self.description.outputs),
            metadata: &self.description.metadata,
            head: plan.map(|plan| plan.head.as_str()),
            classes: plan.map(|plan| plan.classes.as_slice()),
            input_hw: plan.map_or([None, None], |plan| [plan.fixed_height, plan.fixed_width]),
            refused: self.refusal().map(ToString::to_string),
        };
        // Strings and numbers alone: nothing in it can fail.
        serde_json::to_string(&json).unwrap_or_default()
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  {:.1} MB, runs on {}", self.path.display(), self.bytes as f64 / 1e6, self.device)?;
        for (what, tensors) in [("input ", &self.description.inputs), ("output", &self.description.outputs)] {
            for tensor in tensors {
                writeln!(f, "{what}    {tensor} {}", tensor.element)?;
            }
        }
        if self.description.metadata.is_empty() {
            writeln!(f, "metadata  none")?;
        }
        for (key, value) in &self.description.metadata {
            let line = value.replace('\n', " ");
            let cut: String = line.chars().take(LONGEST_VALUE).collect();
            let more = if cut.len() < line.len() { "…" } else { "" };
            writeln!(f, "metadata  {key}: {cut}{more}")?;
        }
        match &self.understood {
            Err(refusal) => writeln!(f, "refused   {refusal}"),
            Ok(plan) => {
                writeln!(f, "head      {}", plan.head)?;
                writeln!(f, "classes   {}: {}", plan.classes.len(), plan.classes.join(", "))?;
                let precision = &plan.element;
                match (plan.fixed_input(), plan.imgsz) {
                    (Some(size), _) => writeln!(f, "runs at   {size} (height x width), {precision}"),
                    (None, ImageSize::Longest(longest)) => writeln!(
                        f,
                        "runs at   {longest} on the longer side, the other by the stream in steps of {}, {precision}; \
                         1920x1080 gives {}",
                        plan.stride,
                        plan.input_for((1920, 1080))
                    ),
                    (None, ImageSize::Exact(size)) => writeln!(f, "runs at   {size}, {precision}"),
                }
            }
        }
    }
}
