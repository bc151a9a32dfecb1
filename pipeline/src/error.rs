//! What goes wrong with a stream, in a form that a person, a status record and a metric label can share.

use std::fmt;

use sightline_schema::{ErrorCode, StatusError, without_queries};

/// Why a stream can't be read. Knows the camera and its address, never a secret.
#[derive(Clone, Debug)]
pub struct StreamError {
    code: ErrorCode,
    camera: String,
    message: String,
}

impl StreamError {
    /// `message` says what happened in a few words, without the camera and without a secret.
    pub fn new(code: ErrorCode, camera: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, camera: camera.into(), message: message.into() }
    }

    pub fn code(&self) -> ErrorCode {
        self.code
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn to_status(&self) -> StatusError {
        StatusError { code: self.code, message: format!("{}. {}", self.message, self.code.advice()) }
    }

    /// What is said of a job: a recording has no camera to look after, and what its link may be signed with is not said.
    pub fn to_job_status(&self) -> StatusError {
        let message = format!("{}. {}", without_queries(&self.message), self.code.recording_advice());
        StatusError { code: self.code, message }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}). {}", self.camera, self.message, self.code.as_str(), self.code.advice())
    }
}

impl std::error::Error for StreamError {}
