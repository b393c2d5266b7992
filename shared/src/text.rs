//! Text for the terminal.

use std::error::Error;
use std::fmt::Write;
use std::io::ErrorKind;

use jiff::Timestamp;
use serde_json::Value;

/// Writes a user's statistics, one line for each that is not zero.
pub fn write_statistics(out: &mut String, indent: &str, statistics: &Value) -> std::fmt::Result {
    let fields = statistics.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, value)| *name != "recent" && **value != 0) {
        writeln!(out, "{indent}{name:20} {}", format_value(name, value))?;
    }
    for activity in statistics.get("recent").and_then(Value::as_array).into_iter().flatten() {
        let field =
            |name: &str| activity.get(name).map(|value| format_value(name, value)).unwrap_or_default();
        let line = format!("{indent}{:20} {}  {} {}", "recent", field("at"), field("type"), field("detail"));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// `1 message`, `2 messages`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Puts a comma before every third digit from the right: `4,120`.
pub fn group_digits(digits: &str) -> String {
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// True if the error or one of its sources is a closed pipe: the reader has read enough.
pub fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Replaces control characters with spaces. Much of the text comes from producers, and a terminal
/// would interpret its control characters.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Formats a value of the statistics. Times are RFC 3339, strings have no quotes.
pub fn format_value(name: &str, value: &Value) -> String {
    let time = |value: &Value| Timestamp::from_millisecond(value.as_i64()?).ok();
    match value {
        Value::String(text) => printable(text),
        Value::Number(_) if name == "expiresAt" => value
            .as_i64()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .map_or_else(|| value.to_string(), |time| time.to_string()),
        Value::Number(_) if name == "at" || name.ends_with("At") => {
            time(value).map_or_else(|| value.to_string(), |time| time.to_string())
        }
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name} {}", format_value(name, value))).collect();
            fields.join(", ")
        }
        other => other.to_string(),
    }
}
