//! What was given is wrong: the command line, a file, a name.

use anyhow::Result;

/// What was given is wrong, and nothing was done. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidInput(String);

impl InvalidInput {
    /// The error.
    pub fn told<T>(text: impl Into<String>) -> Result<T> {
        Err(Self(text.into()).into())
    }
}
