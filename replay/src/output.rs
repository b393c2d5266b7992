//! Standard output. Colors appear only on a terminal, and never if NO_COLOR is set.

use std::io::{ErrorKind, StdoutLock, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use shared::text::group_digits;

use crate::error::Result;

pub fn stdout() -> AutoStream<StdoutLock<'static>> {
    anstream::stdout().lock()
}

/// Columns of the terminal on standard output, or 80 if there is none.
pub fn width() -> usize {
    terminal_size::terminal_size_of(std::io::stdout()).map_or(80, |(width, _)| width.0.into()).max(20)
}

/// Writes text that ends with its own line break.
pub fn print(text: &str) -> Result<()> {
    Ok(stdout().write_all(text.as_bytes())?)
}

/// Writes one JSON document.
pub fn json(value: &impl Serialize) -> Result<()> {
    Ok(writeln!(stdout(), "{}", serde_json::to_string_pretty(value)?)?)
}

/// Writes a yellow line: nothing was changed.
pub fn not_done(text: &str) -> Result<()> {
    Ok(line(AnsiColor::Yellow, text)?)
}

/// Writes a green line: the change was made.
pub fn done(text: &str) -> Result<()> {
    Ok(line(AnsiColor::Green, text)?)
}

/// The same, after a change that a closed pipe cannot undo.
pub fn done_ignoring_broken_pipe(text: &str) -> Result<()> {
    match line(AnsiColor::Green, text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn line(color: AnsiColor, text: &str) -> std::io::Result<()> {
    let style = Style::new().fg_color(Some(color.into()));
    let (empty_lines, text) = text.split_at(text.len() - text.trim_start_matches('\n').len());
    writeln!(stdout(), "{empty_lines}{style}{text}{style:#}")
}

/// A count with thousands separators: `4,120`.
pub fn number(count: usize) -> String {
    group_digits(&count.to_string())
}

/// `1 message`, `4,120 messages`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_thousands_separators() {
        let counts = [0, 1, 999, 1_000, 120_000, 1_234_567];
        assert_eq!(counts.map(number), ["0", "1", "999", "1,000", "120,000", "1,234,567"]);
        assert_eq!([1, 4_120].map(|count| counted(count, "message")), ["1 message", "4,120 messages"]);
    }
}
