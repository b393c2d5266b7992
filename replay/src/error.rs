//! Errors that decide a command's exit code.

use std::process::ExitCode;

use anyhow::Result;

use crate::interrupt::{INTERRUPTED, Interrupted};
use crate::queue::description::with_advice;

/// The command line, a file or a name is invalid, and nothing was changed. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidInput(String);

impl InvalidInput {
    pub fn err<T>(text: impl Into<String>) -> Result<T> {
        Err(Self(text.into()).into())
    }
}

/// The exit code that `replay --help` documents for an error.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match () {
        () if error.is::<Interrupted>() => INTERRUPTED,
        () if error.is::<InvalidInput>() => 2,
        () => 1,
    })
}

/// An error and its causes in one line, with the next step.
pub fn one_line(error: &anyhow::Error) -> String {
    with_advice(&shared::telemetry::chain(error.as_ref()))
}
