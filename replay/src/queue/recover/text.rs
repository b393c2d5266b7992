//! Finds events in text, wherever they are and however often they were quoted. Pure.
//!
//! A trigger logs an unsent event as a string. Tools quote the log line again: Lambda's JSON log
//! format, the output of `aws logs`, exports, CSV and YAML. So the beginning of an event is searched
//! for, the quoting is read from the characters around its first word, and undone.

use std::ops::Range;

use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::yaml::{self, Quotes, Scalar};

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
    let names: Vec<Option<Beginning>> =
        text.match_indices(FIRST_NAME).map(|(name, _)| beginning(text, name)).collect();
    let ends = ends(&names, text.len());
    let scalars = yaml::scalars(text);
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(name) = names.get(index) {
        let end = ends.get(index).copied().unwrap_or(text.len());
        index += 1;
        let Some(Beginning { start, quoting }) = *name else { continue };
        let end = end.min(text.floor_char_boundary(start.saturating_add(MAX_QUOTED_BYTES)));
        let json = quoting.undo(text, start..end, yaml::scalar_at(&scalars, start));
        // A value of the event can look like the beginning of an event.
        index += json.as_ref().map_or(0, |json| json.matches(FIRST_NAME).count() - 1);
        found.push(Found { start, json });
    }
    found
}

/// The ends of the texts that can belong to the events: the next event in as many strings, or in fewer. An
/// event in a value of another one is in more strings. So each byte belongs to few texts, however many
/// events are incomplete.
fn ends(names: &[Option<Beginning>], text_length: usize) -> Vec<usize> {
    let mut following: Vec<Beginning> = Vec::new();
    let mut ends = vec![text_length; names.len()];
    for (end, name) in ends.iter_mut().zip(names).rev() {
        let Some(name) = name else { continue };
        while following.pop_if(|next| next.quoting.strings > name.quoting.strings).is_some() {}
        *end = following.last().map_or(text_length, |next| next.start);
        following.push(*name);
    }
    ends
}

/// Positions of `first` and `second` with white space between them. YAML can have a line break there.
pub fn find_words(text: &str, first: &str, second: &str) -> Vec<usize> {
    let is_followed = |at: &usize| text[at + first.len()..].trim_start().starts_with(second);
    text.match_indices(first).map(|(at, _)| at).filter(is_followed).collect()
}

/// Where an event begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beginning {
    /// Position of its brace.
    start: usize,
    quoting: Quoting,
}

/// How an event is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quoting {
    /// Number of strings with backslashes around the event.
    strings: u32,
    /// The event is in a field of a CSV file, in which quotation marks are doubled.
    is_csv: bool,
}

/// The brace before the name at `name`, and how the quotation mark between the two is quoted. `None`
/// if the name is not the first one of an object.
fn beginning(text: &str, name: usize) -> Option<Beginning> {
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
    Some(Beginning { start, quoting: Quoting { strings, is_csv } })
}

impl Quoting {
    /// The event at the beginning of `range`. `None` if it is not complete: only YAML breaks the lines of
    /// a string, so elsewhere a string with a line break is one that was cut off or wrapped.
    fn undo(self, text: &str, range: Range<usize>, scalar: Option<&Scalar>) -> Option<String> {
        let start = range.start;
        match scalar {
            Some(scalar) => {
                let quoted = &text[start..range.end.min(scalar.end)];
                match scalar.quotes {
                    Quotes::Single => self.unquote(&yaml::unfold(quoted).replace("''", "'")),
                    Quotes::Double if quoted.contains('\n') => {
                        self.unquote(&yaml::unfold(&yaml::unfold_escaped(quoted)))
                    }
                    Quotes::Double => self.unquote(quoted),
                }
            }
            None => {
                let quoted = &text[range];
                let quoted = match self.strings {
                    // JSON has line breaks between its tokens.
                    0 => quoted,
                    _ => quoted.split('\n').next().unwrap_or_default(),
                };
                // The apostrophes of a string in other forms of YAML could be doubled or not.
                self.unquote(quoted).filter(|json| !json.contains("''") || !is_single_quoted(&text[..start]))
            }
        }
    }

    fn unquote(self, quoted: &str) -> Option<String> {
        if self.strings == 0 && !self.is_csv {
            return first_json(quoted);
        }
        let text = if self.is_csv { undouble(quoted) } else { quoted.to_owned() };
        first_json(&(0..self.strings).try_fold(text, |text, _| unescape(&text))?)
    }
}

/// True if the text ends within a single-quoted string of YAML that began in the same line.
fn is_single_quoted(before: &str) -> bool {
    let begin = before.ceil_char_boundary(before.len().saturating_sub(MAX_QUOTED_BYTES / 4));
    let line = before[begin..].rsplit('\n').next().unwrap_or_default();
    let opening = [": '", "- '"].into_iter().filter_map(|opening| line.rfind(opening)).max();
    opening.is_some_and(|opening| !line[opening + 3..].replace("''", "").contains('\''))
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

/// Decodes the inside of a string, up to its closing quotation mark or to the end of the text: the
/// escapes of JSON, of Rust's `Debug`, and of YAML. `None` for half of a surrogate pair, and for other
/// escapes.
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
                Some('a') => out.push('\u{7}'),
                Some('v') => out.push('\u{b}'),
                Some('e') => out.push('\u{1b}'),
                Some('N') => out.push('\u{85}'),
                Some('_') => out.push('\u{a0}'),
                Some('L') => out.push('\u{2028}'),
                Some('P') => out.push('\u{2029}'),
                Some('x') => out.push(char::from_u32(hexadecimal(&mut chars, 2)?)?),
                Some('U') => out.push(char::from_u32(hexadecimal(&mut chars, 8)?)?),
                Some('u') => out.push(escaped_char(&mut chars)?),
                Some(other @ ('"' | '\\' | '/' | '\'' | ' ')) => out.push(other),
                Some(_) => return None,
            },
            other => out.push(other),
        }
    }
    Some(out)
}

fn hexadecimal(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<u32> {
    let digits: String = chars.by_ref().take(digits).collect();
    u32::from_str_radix(&digits, 16).ok()
}

/// The character after `\u`: `{7f}`, or four digits of JSON, or two times four for a surrogate pair.
fn escaped_char(chars: &mut std::str::Chars<'_>) -> Option<char> {
    if let Some(rest) = chars.as_str().strip_prefix('{') {
        let (digits, after) = rest.split_once('}')?;
        *chars = after.chars();
        return char::from_u32(u32::from_str_radix(digits, 16).ok()?);
    }
    let first = hexadecimal(chars, 4)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    let rest = chars.as_str().strip_prefix("\\u")?;
    *chars = rest.chars();
    let second = hexadecimal(chars, 4)?;
    let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    char::decode_utf16(units).next()?.ok()
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

    #[test]
    fn broken_line_in_a_string_makes_an_event_incomplete() {
        let (before, after) = EVENT.split_at(EVENT.find('\'').unwrap());
        for indentation in ["", " ", "    "] {
            let broken = format!("{before}\n{indentation}{after}");
            let debug = format!("{EVENT:?}").replace("O'", &format!("O\n{indentation}'"));
            let json = quoted(&quoted(EVENT)).replace("O'", &format!("O\\\n{indentation}'"));
            let csv = format!("a,\"{}\"\n", broken.replace('"', "\"\""));
            for text in [broken, format!("ERROR a: 1 event={debug}"), format!("{{\"message\": {json}}}"), csv]
            {
                assert_eq!(found(&text), [None], "{text}");
            }
        }
        // YAML indents the lines of a string.
        let yaml = format!("- message: '{}'", EVENT.replace('\'', "''").replace(' ', "\n  "));
        assert_eq!(found(&yaml), [None]);
        // Between the tokens of JSON, a line break has no meaning.
        assert_eq!(found(&EVENT.replace(",\"", ",\n  \"")).iter().flatten().count(), 1);
    }

    #[test]
    fn apostrophes_that_can_be_doubled_make_an_event_incomplete() {
        let doubled = EVENT.replace('\'', "''");
        assert_eq!(found(&format!("{{message: '{doubled}'}}")), [None]);
        assert_eq!(found(&doubled), [Some(doubled.clone())]);
    }

    #[test]
    fn escapes_are_decoded_or_refused() {
        for (text, expected) in [
            (r"\x41\u0042\u{43}\U00000044\e\N\_\L\P", Some("ABCD\u{1b}\u{85}\u{a0}\u{2028}\u{2029}")),
            (r#"\/\'\\\"x"y"#, Some("/'\\\"x")),
            (r"\ud83d\ude00", Some("\u{1f600}")),
            (r"\ud83d", None),
            (r"\xg", None),
            (r"\q", None),
        ] {
            assert_eq!(unescape(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn texts_of_incomplete_events_do_not_overlap() {
        let cut = quoted(&EVENT[..40]);
        for text in [cut.repeat(1000), EVENT[..40].repeat(1000), "{\"specversion\":".repeat(1000)] {
            let names: Vec<Option<Beginning>> =
                text.match_indices(FIRST_NAME).map(|(name, _)| beginning(&text, name)).collect();
            let texts = names.iter().zip(ends(&names, text.len()));
            let length: usize = texts.map(|(name, end)| end - name.unwrap().start).sum();
            assert!(length <= text.len(), "{length} of {}", text.len());
            assert_eq!(found(&text), vec![None; 1000]);
        }
    }
}
