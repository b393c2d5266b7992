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

/// Replaces control characters, line separators and invisible characters with spaces. Much of the text
/// comes from producers. A terminal would interpret its control characters, and the marks of writing
/// directions would show it in another order.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c }).collect()
}

/// True for separators of lines, and for characters of Unicode's category Cf (format). Without those that
/// join letters and emoji (U+200C, U+200D), and the soft hyphen.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_that_changes_the_terminal_or_the_order_is_replaced() {
        for c in "\u{1b}\n\u{7f}\u{85}\u{61c}\u{200b}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}".chars() {
            assert_eq!(printable(&format!("a{c}b")), "a b", "U+{:04x}", u32::from(c));
        }
        for text in ["Zoë O'Neil, 山田", "\u{1f469}\u{200d}\u{1f4bb}", "می\u{200c}خواهم"] {
            assert_eq!(printable(text), text);
        }
    }
}
