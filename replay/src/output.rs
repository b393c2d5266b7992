//! Standard output. Colors appear only on a terminal, and never if NO_COLOR is set.

use std::io::{ErrorKind, StdoutLock, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use shared::config::Environment;
use shared::text::group_digits;

use crate::error::{CommandError, Result};

pub fn stdout() -> AutoStream<StdoutLock<'static>> {
    anstream::stdout().lock()
}

/// Columns of the terminal on standard output. If there is none: COLUMNS, or 80.
pub fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0.into());
    let variable = || Environment::from_process().optional("COLUMNS")?.parse().ok();
    terminal.or_else(variable).unwrap_or(80).max(20)
}

/// Writes text that ends with its own line break.
pub fn print(text: &str) -> Result<()> {
    Ok(stdout().write_all(text.as_bytes())?)
}

/// The same, for a step of a longer task.
pub fn write(text: &str) -> std::io::Result<()> {
    stdout().write_all(text.as_bytes())
}

/// Writes one JSON document, the result of a command. A closed pipe is no error, because it cannot undo what
/// the command did.
pub fn json(value: &impl Serialize) -> Result<()> {
    result(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Writes the result of a command, as text that ends with its own line break. A closed pipe is no error.
pub fn result(text: &str) -> Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CommandError::failed(format!(
            "the result could not be written: {error}. The changes of the command stay"
        ))),
        Ok(()) => Ok(()),
    }
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

/// A time span in at most two units: `45s`, `22m`, `1h 5m`, `12d 22h`.
pub fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut parts = Vec::new();
    let mut rest = seconds;
    for (length, unit) in UNITS {
        if rest >= length || (!parts.is_empty() && parts.len() < 2) {
            parts.push((rest / length, unit));
        }
        rest %= length;
    }
    // Seconds say nothing if there are minutes.
    let parts =
        parts.into_iter().take(2).filter(|(count, unit)| *count > 0 && (*unit != "s" || seconds < 60));
    let text = parts.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ");
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Breaks a paragraph into lines of at most `width` characters. All lines but the first have `indent`
/// spaces in front. A word that is too long has a line of its own. A duration such as `1d 2h` stays on one
/// line.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match words.last_mut().filter(|last| is_unit(last) && is_unit(word.trim_end_matches([',', '.', ':'])))
        {
            Some(last) => *last += &format!(" {word}"),
            None => words.push(word.to_owned()),
        }
    }
    let (mut out, mut column) = (String::new(), 0);
    for word in &words {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out += &format!("\n{}", " ".repeat(indent));
            column = indent;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += length;
    }
    out
}

/// True for a part of a duration, such as `12d`.
fn is_unit(word: &str) -> bool {
    let count = word.strip_suffix(['d', 'h', 'm', 's']);
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A command to type, in color. It stays on one line, so that it can be copied.
pub fn command(command: &str) -> String {
    let style = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
    format!("{style}{command}{style:#}")
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
    #[test]
    fn durations_have_two_units() {
        let seconds = [0, 45, 60, 61, 1_320, 3_600, 3_900, 86_400, 93_600, 1_115_999];
        let expected = ["0s", "45s", "1m", "1m", "22m", "1h", "1h 5m", "1d", "1d 2h", "12d 21h"];
        assert_eq!(seconds.map(duration), expected);
    }

    #[test]
    fn paragraphs_are_wrapped_at_spaces() {
        for (text, width, expected) in [
            ("", 10, ""),
            ("one two", 10, "one two"),
            ("one two three", 8, "one two\n  three"),
            ("oldest 12d 21h, now", 12, "oldest\n  12d 21h,\n  now"),
            ("one https://example.com two", 8, "one\n  https://example.com\n  two"),
        ] {
            assert_eq!(wrap(text, width, 2), expected);
        }
    }
}
