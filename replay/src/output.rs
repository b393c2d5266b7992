//! What is written to standard output: colours on a terminal alone, and not where NO_COLOR is set.

use std::io::{ErrorKind, StdoutLock, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;

/// Standard output.
pub fn stdout() -> AutoStream<StdoutLock<'static>> {
    anstream::stdout().lock()
}

/// One JSON document.
pub fn json(value: &impl Serialize) -> Result<()> {
    writeln!(stdout(), "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// That nothing was done yet.
pub fn not_done(text: &str) -> Result<()> {
    line(AnsiColor::Yellow, text)
}

/// That it is done.
pub fn done(text: &str) -> Result<()> {
    line(AnsiColor::Green, text)
}

/// The same, where nobody may read any more: it is done all the same.
pub fn done_ignoring_broken_pipe(text: &str) -> Result<()> {
    match done(text) {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

/// Whether nobody reads any more.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn line(color: AnsiColor, text: &str) -> Result<()> {
    let style = Style::new().fg_color(Some(color.into()));
    let (lines, text) = text.split_at(text.len() - text.trim_start_matches('\n').len());
    writeln!(stdout(), "{lines}{style}{text}{style:#}")?;
    Ok(())
}
