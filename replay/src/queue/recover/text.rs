//! Finds events in text, wherever they are and however often they were quoted. Pure.
//!
//! A trigger logs an unsent event as a string. Tools quote the log line again: Lambda's JSON log
//! format, the output of `aws logs`, exports, CSV and YAML. So the beginning of an event is searched
//! for, the quoting is read from the characters around its first word, and undone.

use serde_json::Deserializer;
use serde_json::value::RawValue;

/// The first name in each event of this project.
const FIRST_NAME: &str = "specversion";
/// Longest quoted event that is looked at, in bytes. An event has less than 64 KiB, and each level of
/// quoting can double it.
const MAX_QUOTED_BYTES: usize = 1024 * 1024;

/// An event in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Position of its first byte.
    pub start: usize,
    /// The event as JSON. `None` if it is cut off, or quoted in an unknown way.
    pub json: Option<String>,
}

/// All events in a text, in their order.
pub fn find(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(name) = text[from..].find(FIRST_NAME).map(|at| from + at) {
        from = name + FIRST_NAME.len();
        let Some((start, quoting)) = beginning(text, name) else { continue };
        let end = text.floor_char_boundary(start.saturating_add(MAX_QUOTED_BYTES));
        let json = quoting.undo(&text[start..end]);
        // A value of the event can look like the beginning of an event.
        for _ in 0..json.as_ref().map_or(0, |json| json.matches(FIRST_NAME).count() - 1) {
            let next = text[from..].find(FIRST_NAME);
            from = next.map_or(text.len(), |at| from + at + FIRST_NAME.len());
        }
        found.push(Found { start, json });
    }
    found
}

/// Positions of `first` and `second` with white space between them. YAML can have a line break there.
pub fn find_words(text: &str, first: &str, second: &str) -> Vec<usize> {
    let is_followed = |at: &usize| text[at + first.len()..].trim_start().starts_with(second);
    text.match_indices(first).map(|(at, _)| at).filter(is_followed).collect()
}

/// How an event is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quoting {
    /// Number of strings with backslashes around the event.
    strings: u32,
    /// The event is in a field of a CSV file, in which quotation marks are doubled.
    is_csv: bool,
    /// The event is in a single-quoted string of YAML, in which apostrophes are doubled.
    is_single_quoted: bool,
}

/// The brace before the name at `name`, and how the quotation mark between the two is quoted. `None`
/// if the name is not the first one of an object.
fn beginning(text: &str, name: usize) -> Option<(usize, Quoting)> {
    let before = &text[..name];
    let marks = before.len() - before.trim_end_matches('"').len();
    let before = before.trim_end_matches('"');
    let backslashes = before.len() - before.trim_end_matches('\\').len();
    let before = before.trim_end_matches('\\').trim_end();
    let start = before.strip_suffix('{')?.len();
    // n strings around the event turn a quotation mark into 2^n - 1 backslashes and the mark.
    let strings = (backslashes + 1).is_power_of_two().then(|| (backslashes + 1).trailing_zeros())?;
    let is_csv = match marks {
        1 => false,
        2 => true,
        _ => return None,
    };
    Some((start, Quoting { strings, is_csv, is_single_quoted: is_single_quoted(&text[..start]) }))
}

/// True if the text ends within a single-quoted string of YAML.
fn is_single_quoted(before: &str) -> bool {
    let begin = before.ceil_char_boundary(before.len().saturating_sub(MAX_QUOTED_BYTES / 4));
    let before = &before[begin..];
    let opening = [": '", "- '"].into_iter().filter_map(|opening| before.rfind(opening)).max();
    let Some(opening) = opening else { return false };
    !before[opening + 3..].replace("''", "").contains('\'')
}

impl Quoting {
    /// The event at the beginning of a quoted text.
    fn undo(self, quoted: &str) -> Option<String> {
        let plain = |text: &str| {
            let text = if self.is_csv { undouble(text) } else { text.to_owned() };
            first_json(&(0..self.strings).try_fold(text, |text, _| unescape(&text))?)
        };
        if self.is_single_quoted {
            return plain(&unfold(quoted).replace("''", "'"));
        }
        // A double-quoted string of YAML can have line breaks.
        plain(quoted).or_else(|| plain(&unfold(&unfold_escaped(quoted))))
    }
}

/// The JSON value at the beginning of a text.
fn first_json(text: &str) -> Option<String> {
    let mut values = Deserializer::from_str(text).into_iter::<Box<RawValue>>();
    values.next()?.ok().map(|json| json.get().to_owned())
}

/// Undoes the doubled quotation marks of a CSV field, up to its end.
fn undouble(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        out.push_str(before);
        let Some(after) = after.strip_prefix('"') else { return out };
        out.push('"');
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Joins the lines of a folded YAML string: a line break and the indentation are one space.
fn unfold(text: &str) -> String {
    let mut lines = text.split('\n');
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        out.truncate(out.trim_end_matches(['\r', ' ']).len());
        out.push(' ');
        out.push_str(line.trim_start_matches(' '));
    }
    out
}

/// Joins the lines of a double-quoted YAML string that end with a backslash. A backslash at the begin of
/// the next line keeps the space after it.
fn unfold_escaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\\n") {
        out.push_str(before);
        let after = after.trim_start_matches(' ');
        rest = after.strip_prefix('\\').filter(|after| after.starts_with(' ')).unwrap_or(after);
    }
    out.push_str(rest);
    out
}

/// Decodes the inside of a string, up to its closing quotation mark or to the end of the text: the
/// escapes of JSON, and those of Rust's `Debug`. `None` for half of a surrogate pair.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                None => break,
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('b') => out.push('\u{8}'),
                Some('f') => out.push('\u{c}'),
                Some('0') => out.push('\0'),
                Some('u') => out.push(escaped_char(&mut chars)?),
                Some(other) => out.push(other),
            },
            other => out.push(other),
        }
    }
    Some(out)
}

/// The character after `\u`: `{7f}`, or four digits of JSON, or two times four for a surrogate pair.
fn escaped_char(chars: &mut std::str::Chars<'_>) -> Option<char> {
    if let Some(rest) = chars.as_str().strip_prefix('{') {
        let (digits, after) = rest.split_once('}')?;
        *chars = after.chars();
        return char::from_u32(u32::from_str_radix(digits, 16).ok()?);
    }
    let mut unit = || {
        let digits: String = chars.by_ref().take(4).collect();
        u16::from_str_radix(&digits, 16).ok()
    };
    let first = unit()?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(u32::from(first));
    }
    let rest = chars.as_str().strip_prefix("\\u")?;
    *chars = rest.chars();
    let digits: String = chars.by_ref().take(4).collect();
    let second = u16::from_str_radix(&digits, 16).ok()?;
    char::decode_utf16([first, second]).next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_that_looks_like_an_event_is_no_event() {
        let inner = quoted(r#"{"specversion": 1} specversion"#);
        let event = format!(r#"{{"specversion":"1.0","data":{{"name":{inner}}}}}"#);
        for text in [event.clone(), quoted(&event), format!("{event} {event}")] {
            assert!(found(&text).iter().all(|json| json.as_ref() == Some(&event)), "{text}");
        }
    }

    const EVENT: &str = r#"{"specversion":"1.0","id":"a","data":{"name":"Zoë \"Z\" O'Neil, \\ \u007f 😀"}}"#;

    fn found(text: &str) -> Vec<Option<String>> {
        find(text).into_iter().map(|found| found.json).collect()
    }

    fn quoted(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }

    /// Python's json.dumps escapes every character that is not ASCII.
    fn ascii(text: &str) -> String {
        let mut out = String::new();
        for unit in text.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte < 0x80 => out.push(byte.into()),
                _ => out.push_str(&format!("\\u{unit:04x}")),
            }
        }
        out
    }

    #[test]
    fn event_is_found_however_often_it_is_quoted() {
        let (mut text, mut as_ascii) = (EVENT.to_owned(), EVENT.to_owned());
        for depth in 0..5 {
            for (before, after) in
                [("", ""), ("{\"a\": ", "}"), ("x\t", " y {"), ("[[{\"[$LATEST]\":1}, ", "]]")]
            {
                let line = format!("{before}{text}{after}");
                assert_eq!(found(&line), [Some(EVENT.to_owned())], "{depth}: {line}");
                assert_eq!(found(&format!("{line} {line}\n{line}")).len(), 3, "{depth}: {line}");
                let csv = format!("2026,\"{}\",x\n", line.replace('"', "\"\""));
                assert_eq!(found(&csv), [Some(EVENT.to_owned())], "{depth}: {csv}");
                let yaml = format!("events:\n- message: '{}'\n  x: 1\n", line.replace('\'', "''"));
                assert_eq!(found(&yaml), [Some(EVENT.to_owned())], "{depth}: {yaml}");
            }
            let parsed: serde_json::Value = serde_json::from_str(EVENT).unwrap();
            let of_ascii = found(&as_ascii).remove(0).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&of_ascii).unwrap(), parsed, "{depth}");
            text = quoted(&text);
            as_ascii = ascii(&quoted(&as_ascii));
        }
    }

    #[test]
    fn debug_format_and_folded_yaml_are_undone() {
        let debug = format!("event={:?} cause=\"x\"", EVENT.replace("\\u007f", "\u{200b}"));
        assert_eq!(found(&debug), [Some(EVENT.replace("\\u007f", "\u{200b}"))]);
        let single = format!("- message: '{}'", EVENT.replace('\'', "''").replace(' ', "\n    "));
        assert_eq!(found(&single), [Some(EVENT.to_owned())]);
        let double = quoted(EVENT).replace("Zoë ", "Zoë\\\n    \\ ").replace("id", "i\\\n    d");
        assert_eq!(found(&format!("- message: {double}")), [Some(EVENT.to_owned())]);
    }

    #[test]
    fn beginning_without_an_end_is_found_without_json() {
        for text in [&EVENT[..40], &quoted(EVENT)[..40], r#"{\\"specversion"#, r#"x{"specversion"#] {
            let incomplete: Vec<Option<String>> = found(text);
            assert!(incomplete.iter().all(Option::is_none), "{text}: {incomplete:?}");
        }
        for text in ["", "specversion", r#"{"a":1,"specversion":"1.0"}"#, r#"["specversion"]"#] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
