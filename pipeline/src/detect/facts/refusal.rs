//! Why a model is not taken, in sentences for the person who gave it.

use super::names::NamesError;
use super::{Element, Head, ImageSize};

/// Each says what was found and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the model's task is {task}; only detection models are read: export one with task=detect")]
    Task { task: String },
    #[error("the model has no input for pictures, [batch, 3, height, width]; its inputs are {inputs}")]
    NoPictureInput { inputs: String },
    #[error(
        "the model's input {input} takes {channels} channels; pictures have 3, in the order [batch, 3, height, \
         width]"
    )]
    Channels { input: String, channels: u64 },
    #[error("the model's input {input} is of type {element}; float32 or float16 is needed")]
    InputElement { input: String, element: Element },
    #[error("the model has an input that nothing is known to fill: {input}")]
    UnknownInput { input: String },
    #[error("the model's output {output} may be that of a {candidates} model; name it with --head")]
    AmbiguousHead { output: String, candidates: String },
    #[error("no known head has such outputs: {outputs}; if it is a variant of one, name it with --head")]
    UnknownHead { outputs: String },
    #[error("--head {head} does not fit the model: {reason}; leave it out, or name another")]
    HeadDoesNotFit { head: Head, reason: String },
    #[error("it can't be run: {reason}; name its head with --head")]
    CannotRun { reason: String },
    #[error("the {head} model names no classes; give them with --names FILE")]
    NoNames { head: Head },
    #[error("the class names in the model's metadata can't be read: {0}; give them with --names FILE")]
    Names(NamesError),
    #[error(
        "there are {names} class names, but the model tells {classes} classes apart ({output}); give the right \
         ones with --names FILE"
    )]
    NamesCount { names: usize, classes: u64, output: String },
    #[error(
        "--imgsz {asked} was asked for, but the model's input is fixed at {model}; leave --imgsz out, or export \
         with dynamic=True"
    )]
    StaticInput { asked: ImageSize, model: String },
    #[error(
        "--imgsz {side} is no multiple of the model's stride {stride}; {} would be",
        .side.div_ceil(*.stride).saturating_mul(*.stride)
    )]
    NotOfStride { side: u32, stride: u32 },
}
