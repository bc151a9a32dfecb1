//! How the command ends: an exit code that scripts hang on, and a sentence.

use std::fmt;

/// Exit codes. 0 is all done; 130 and 143 are signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// The control-plane build has no model, no device and no inputs.
#[cfg_attr(not(feature = "pipeline"), allow(dead_code))]
pub(crate) enum Code {
    /// An input, a camera or a check failed.
    Failed = 1,
    /// The command was called wrongly.
    Usage = 2,
    /// The model can't be used.
    ModelRefused = 3,
    /// The device asked for does not run the model, or the decoder asked for is not here.
    DeviceRefused = 4,
    /// An output can't be written.
    CannotWrite = 5,
    /// Ended by Ctrl-C.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

/// Why the command ends without being done. An empty message was told already.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Code::Usage, message)
    }

    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Code::Failed, message)
    }

    /// Everything was said already.
    pub(crate) fn silent(code: Code) -> Self {
        Self::new(code, "")
    }
}

pub(crate) type Outcome = Result<(), Failure>;
