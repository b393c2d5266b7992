//! The error type of all commands. Its variant decides the exit code.

use std::fmt;
use std::process::ExitCode;

use shared::store::StoreError;
use shared::suspension_change::SuspensionError;
use shared::text::is_broken_pipe;

use crate::aws_error::describe;

/// Exit code of an interrupted command: 128 plus the number of SIGINT, as in a shell.
pub const INTERRUPTED: u8 = 130;

pub type Result<T, E = CommandError> = std::result::Result<T, E>;

/// Why a command ended early, or did only a part of its work.
///
/// It does not implement [`std::error::Error`]: otherwise `?` could turn it into an
/// [`anyhow::Error`], and the exit code would be lost.
#[derive(Debug)]
pub enum CommandError {
    /// The command line, a file or a name is invalid. Nothing was changed. Exit code 2.
    InvalidInput(String),
    /// A signal stopped the command. The text names the next step. Exit code 130.
    Interrupted(String),
    /// Every other error. Exit code 1.
    Failed(anyhow::Error),
}

impl CommandError {
    pub fn invalid_input(text: impl Into<String>) -> Self {
        Self::InvalidInput(text.into())
    }

    pub fn interrupted(text: impl Into<String>) -> Self {
        Self::Interrupted(text.into())
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed(anyhow::Error::msg(text.into()))
    }

    /// Names the file, queue or option that the error is about. An interruption is about none.
    pub fn context(self, subject: impl fmt::Display) -> Self {
        match self {
            Self::InvalidInput(text) => Self::InvalidInput(format!("{subject}: {text}")),
            Self::Interrupted(text) => Self::Interrupted(text),
            Self::Failed(error) => Self::Failed(error.context(subject.to_string())),
        }
    }

    /// The same error as [`Self::InvalidInput`], for a file that was only read.
    pub fn into_invalid_input(self) -> Self {
        Self::InvalidInput(self.to_string())
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::InvalidInput(_) => 2,
            Self::Interrupted(_) => INTERRUPTED,
            Self::Failed(_) => 1,
        })
    }

    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Interrupted(_))
    }

    /// Returns `true` if the reader of a pipe, for example `head`, has closed it.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Failed(error) if is_broken_pipe(error.as_ref()))
    }
}

/// One line: the error, its causes and the next step.
impl fmt::Display for CommandError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidInput(text) => out.write_str(text),
            Self::Interrupted(text) => write!(out, "interrupted: {text}"),
            Self::Failed(error) => out.write_str(&describe(error.as_ref())),
        }
    }
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

macro_rules! impl_from {
    ($($error:ty),*) => {
        $(impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::Failed(error.into())
            }
        })*
    };
}

impl_from!(std::io::Error, serde_json::Error, StoreError, SuspensionError);

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn context_keeps_the_kind_of_an_error() {
        let text = |error: CommandError| error.context("--from").to_string();
        assert_eq!(text(CommandError::invalid_input("not a queue")), "--from: not a queue");
        assert_eq!(text(CommandError::failed("no answer")), "--from: no answer");
        assert_eq!(text(CommandError::interrupted("run it again")), "interrupted: run it again");
        let codes =
            [CommandError::invalid_input(""), CommandError::failed(""), CommandError::interrupted("")]
                .map(|error| format!("{:?}", error.context("--from").exit_code()));
        assert_eq!(codes, [2, 1, 130].map(|code| format!("{:?}", ExitCode::from(code))));
    }

    #[test]
    fn closed_pipe_is_recognized_below_its_context() {
        let closed = std::io::Error::from(ErrorKind::BrokenPipe);
        assert!(CommandError::from(closed).context("letters.ndjson").is_broken_pipe());
        assert!(!CommandError::failed("broken pipe").is_broken_pipe());
    }
}
