//! A model, understood once, from which each worker gets a session.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{TensorElementType, ValueType};
use sha2::{Digest as _, Sha256};
use sightline_schema::ModelFacts;

use super::device::{Device, DeviceChoice};
use super::engines::{EngineCache, EngineFacts, Engines};
use super::facts::{
    Element, ImageSize, ModelDescription, ModelPlan, Overrides, Refusal, TensorFacts, understand,
};
use super::head::Head;
use super::inspect::Inspection;
use super::runtime::{self, RuntimeError};
use super::session::DetectSession;
use crate::letterbox::InputSize;

/// How a model is opened.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    pub path: PathBuf,
    pub head: Option<Head>,
    pub names: Option<Vec<String>>,
    pub imgsz: Option<ImageSize>,
    pub device: DeviceChoice,
    /// The ONNX Runtime library, where it is not in its usual places.
    pub runtime: Option<PathBuf>,
    /// Where TensorRT's engines are kept; of no use to other devices.
    pub engine_cache: Option<EngineCache>,
}

/// Why a model can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("model {path}: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("model {path}: {refusal}")]
    Refused { path: String, refusal: Refusal },
    #[error("device {device}: {reason}")]
    Device { device: String, reason: String },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("{0}")]
    Internal(String),
}

/// A model that can be used, on the device that runs it. Cheap to clone.
#[derive(Clone)]
pub struct Model {
    environment: &'static Environment,
    path: PathBuf,
    plan: Arc<ModelPlan>,
    facts: ModelFacts,
    classes: Arc<[String]>,
    device: Device,
    /// Where TensorRT's engines lie.
    engines: Option<PathBuf>,
}

impl Model {
    /// Reads a model, tells its head, and proves that the device runs it.
    pub fn open(options: &ModelOptions) -> Result<Self, ModelError> {
        let bytes = read(&options.path)?;
        let environment = runtime::environment(options.runtime.as_deref())?;
        let mut engines = options.engines(&bytes);
        let (session, device) = first_session(environment, options, &mut engines)?;
        let description = describe(&session);
        let plan = understand_and_prove(session, &description, options)
            .map_err(|refusal| ModelError::Refused { path: options.path.display().to_string(), refusal })?;
        let engines = engines.map(|mut engines| {
            engines.settle();
            engines.place().to_owned()
        });
        // Where streams decide, the square stands for them.
        let shown = plan.fixed_input().unwrap_or_else(|| plan.input_for((1, 1)));
        let facts = ModelFacts {
            name: options
                .path
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            sha256: Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
            head: plan.head.as_str().to_owned(),
            input: [shown.height, shown.width],
            classes: plan.classes.clone(),
        };
        let classes = plan.classes.clone().into();
        Ok(Self { environment, path: options.path.clone(), plan, facts, classes, device, engines })
    }

    /// What a model says of itself, usable or not.
    pub fn inspect(options: &ModelOptions) -> Result<Inspection, ModelError> {
        let bytes = read(&options.path)?;
        let environment = runtime::environment(options.runtime.as_deref())?;
        let (session, device) = first_session(environment, options, &mut None)?;
        let description = describe(&session);
        let understood = understand_and_prove(session, &description, options);
        Ok(Inspection::new(&options.path, bytes.len() as u64, description, understood, device))
    }

    pub fn facts(&self) -> ModelFacts {
        self.facts.clone()
    }

    /// Class names by id.
    pub fn classes(&self) -> Arc<[String]> {
        self.classes.clone()
    }

    pub fn device(&self) -> Device {
        self.device
    }

    /// The tensor shape for a stream of this size.
    pub fn input_for(&self, source: (u32, u32)) -> InputSize {
        self.plan.input_for(source)
    }

    /// A session for one worker: one thread, so that workers and not operators share the cores.
    pub fn session(&self) -> Result<DetectSession, ModelError> {
        let session = build(self.environment, &self.path, self.device, self.engines.as_deref())?;
        Ok(DetectSession::new(session, self.plan.clone()))
    }
}

/// An output without a shape says nothing against any head: one run does.
/// Tells the head; where a model does not say the shapes of its outputs, by running it.
fn understand_and_prove(
    session: Session,
    description: &ModelDescription,
    options: &ModelOptions,
) -> Result<Arc<ModelPlan>, Refusal> {
    let plan = Arc::new(understand(description, &overrides(options))?);
    // Engines of a model whose input has no fixed shape are built when it runs first.
    let builds = options.engine_cache.is_some();
    if builds || !description.outputs.iter().all(TensorFacts::is_shaped) {
        DetectSession::new(session, plan.clone()).prove().map_err(|error| {
            let reason = error.to_string();
            match options.head {
                Some(head) => Refusal::HeadDoesNotFit { head, reason },
                None => Refusal::CannotRun { reason },
            }
        })?;
    }
    Ok(plan)
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    let unreadable = |reason: String| ModelError::Unreadable { path: path.display().to_string(), reason };
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => unreadable("there is no such file; check the path".into()),
        _ => unreadable(format!("it can't be read: {error}; name an ONNX file")),
    })?;
    if bytes.is_empty() {
        return Err(unreadable("the file is empty; copy or export it again".into()));
    }
    Ok(bytes)
}

impl ModelOptions {
    /// The place of this model's engines; `None` where none are kept.
    fn engines(&self, model: &[u8]) -> Option<Engines> {
        let cache = self.engine_cache.as_ref()?;
        let shape = self.imgsz.map_or_else(String::new, |size| format!("{size:?}"));
        let facts = EngineFacts::of_this_machine(model, shape, self.runtime.as_deref());
        Some(cache.engines(&facts.key()))
    }
}

fn overrides(options: &ModelOptions) -> Overrides {
    Overrides { head: options.head, names: options.names.clone(), imgsz: options.imgsz }
}

/// A session on the wanted device; with `auto`, on the first that takes the model.
fn first_session(
    environment: &Environment,
    options: &ModelOptions,
    engines: &mut Option<Engines>,
) -> Result<(Session, Device), ModelError> {
    match options.device {
        DeviceChoice::Is(device) => {
            let place = engines.as_ref().map(Engines::place);
            match (build(environment, &options.path, device, place), &engines) {
                (Err(error), Some(kept)) if kept.were_there() => {
                    tracing::warn!(folder = %kept.place().display(), %error, "the engines kept are no use; building them anew");
                    kept.discard();
                    let key = kept.key();
                    *engines = options.engine_cache.as_ref().map(|cache| cache.engines(&key));
                    let place = engines.as_ref().map(Engines::place);
                    Ok((build(environment, &options.path, device, place)?, device))
                }
                (session, _) => Ok((session?, device)),
            }
        }
        DeviceChoice::Auto => {
            let cuda = Device::Cuda(0);
            if cuda.is_built_in() {
                match build(environment, &options.path, cuda, None) {
                    Ok(session) => return Ok((session, cuda)),
                    Err(error) => tracing::info!(%error, "not on cuda:0, so on the cpu"),
                }
            }
            Ok((build(environment, &options.path, Device::Cpu, None)?, Device::Cpu))
        }
    }
}

// ort gives the builder back inside the error, to go on with; once a session.
#[allow(clippy::result_large_err)]
fn build(
    environment: &Environment,
    path: &Path,
    device: Device,
    engines: Option<&Path>,
) -> Result<Session, ModelError> {
    let internal = |error: String| ModelError::Internal(format!("ONNX Runtime: {error}"));
    let mut builder = Session::builder(environment)
        .map_err(|error| internal(error.to_string()))?
        .with_optimization_level(GraphOptimizationLevel::All)
        .and_then(|builder| builder.with_intra_threads(1))
        .and_then(|builder| builder.with_inter_threads(1))
        .map_err(|error| internal(error.to_string()))?;
    if let Some(provider) = device.execution_provider(engines) {
        let refused = |reason: String| ModelError::Device { device: device.to_string(), reason };
        if !device.is_built_in() {
            return Err(refused(format!(
                "the loaded ONNX Runtime was built without it; install {} and name its library with --onnxruntime, \
                 or choose --device cpu",
                device.package()
            )));
        }
        builder = builder
            .with_config_entry("session.disable_cpu_ep_fallback", "1")
            .and_then(|builder| builder.with_execution_providers([provider]))
            .map_err(|error| refused(error.to_string()))?;
        return builder.commit_from_file(path).map_err(|error| {
            refused(format!("it does not run all of {}: {}", path.display(), short(&error.to_string())))
        });
    }
    builder.commit_from_file(path).map_err(|error| ModelError::Unreadable {
        path: path.display().to_string(),
        reason: format!(
            "it is no ONNX model that can be run, or it was cut off: {}; copy or export it again",
            short(&error.to_string()).trim_end_matches('.')
        ),
    })
}

/// ONNX Runtime's first sentence; the rest is its own source files.
fn short(message: &str) -> String {
    let line = message.lines().next().unwrap_or(message).trim();
    let mut text: String = line.chars().take(300).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}

fn describe(session: &Session) -> ModelDescription {
    let tensor = |name: &str, kind: &ValueType| {
        let element = match kind.tensor_type() {
            Some(TensorElementType::Float32) => Element::F32,
            Some(TensorElementType::Float16) => Element::F16,
            Some(TensorElementType::Int64) => Element::I64,
            other => Element::Other(other.map_or_else(|| "no tensor".to_owned(), |ty| ty.to_string())),
        };
        let dims =
            kind.tensor_shape().map(|shape| shape.iter().map(|dim| u64::try_from(*dim).ok()).collect());
        TensorFacts { name: name.to_owned(), element, dims: dims.unwrap_or_default() }
    };
    let metadata = session.metadata().ok();
    let metadata = metadata.as_ref().map(|metadata| {
        let keys = metadata.custom_keys().unwrap_or_default();
        keys.into_iter().filter_map(|key| Some((key.clone(), metadata.custom(&key)?))).collect()
    });
    ModelDescription {
        inputs: session.inputs().iter().map(|input| tensor(input.name(), input.dtype())).collect(),
        outputs: session.outputs().iter().map(|output| tensor(output.name(), output.dtype())).collect(),
        metadata: metadata.unwrap_or_default(),
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.path.display(), self.device)
    }
}
