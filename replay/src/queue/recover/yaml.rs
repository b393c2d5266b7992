//! The quoted strings of YAML in a text, which can have line breaks. Pure.

/// A quoted string that is the value of a key or an item of a list, and that ends in its line or in
/// the lines after it, which are indented more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// Position after the opening quotation mark.
    pub start: usize,
    /// Position of the closing quotation mark.
    pub end: usize,
    pub quotes: Quotes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// An apostrophe is doubled.
    Single,
    /// With backslashes, as in JSON.
    Double,
}

/// The strings of a text, in their order.
pub fn scalars(text: &str) -> Vec<Scalar> {
    let mut scalars = Vec::new();
    let mut from = 0;
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        let line = rest.split_once('\n').map_or(rest, |(line, _)| line);
        let scalar = opening(line).and_then(|(at, indentation, quotes)| {
            let start = from + at;
            let length = length(&rest[at..], indentation, quotes)?;
            Some(Scalar { start, end: start + length, quotes })
        });
        from = match scalar {
            Some(scalar) => text[scalar.end..].find('\n').map_or(text.len(), |at| scalar.end + at + 1),
            None => from + line.len() + 1,
        };
        scalars.extend(scalar);
    }
    scalars
}

/// The string around a position.
pub fn scalar_at(scalars: &[Scalar], at: usize) -> Option<&Scalar> {
    let after = scalars.partition_point(|scalar| scalar.start <= at);
    scalars[..after].last().filter(|scalar| at < scalar.end)
}

/// The start of a string in a line that has only dashes and a key before it, the indentation of the
/// string's block, and the quotes.
fn opening(line: &str) -> Option<(usize, usize, Quotes)> {
    let mut rest = line.trim_start_matches(' ');
    let mut indentation = line.len() - rest.len();
    let mut is_item = false;
    while let Some(item) = rest.strip_prefix("- ") {
        rest = item.trim_start_matches(' ');
        is_item = true;
        if !rest.starts_with(['\'', '"']) {
            indentation = line.len() - rest.len();
        }
    }
    let key = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_.@$/-".contains(c)).unwrap_or(rest.len());
    let value = match rest[key..].strip_prefix(": ") {
        Some(value) if key > 0 => value.trim_start_matches(' '),
        _ if is_item => rest,
        _ => return None,
    };
    let quotes = match value.chars().next()? {
        '\'' => Quotes::Single,
        '"' => Quotes::Double,
        _ => return None,
    };
    Some((line.len() - value.len() + 1, indentation, quotes))
}

/// Length of the inside of a string. `None` if the string has no end, if a line of it is not indented
/// more than its block, or if another text follows it.
fn length(text: &str, indentation: usize, quotes: Quotes) -> Option<usize> {
    let is_inside = |line: &str| line.len() - line.trim_start_matches(' ').len() > indentation;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\n' if !is_inside(&text[at + 1..]) => return None,
            b'\\' if quotes == Quotes::Double => {
                // A line break after a backslash is also one.
                let (_, escaped) = bytes.next()?;
                if escaped == b'\n' && !is_inside(&text[at + 2..]) {
                    return None;
                }
            }
            b'\'' if quotes == Quotes::Single && text[at + 1..].starts_with('\'') => drop(bytes.next()),
            b'\'' if quotes == Quotes::Single => return ends_line(&text[at + 1..]).then_some(at),
            b'"' if quotes == Quotes::Double => return ends_line(&text[at + 1..]).then_some(at),
            _ => {}
        }
    }
    None
}

/// True if nothing follows in the line but a comment.
fn ends_line(rest: &str) -> bool {
    let rest = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
    rest.trim_start().is_empty() || rest.starts_with(' ') && rest.trim_start().starts_with('#')
}

/// Joins the lines of a folded YAML string: a line break and the indentation are one space.
pub fn unfold(text: &str) -> String {
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
pub fn unfold_escaped(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn insides(text: &str) -> Vec<&str> {
        scalars(text).into_iter().map(|scalar| &text[scalar.start..scalar.end]).collect()
    }

    #[test]
    fn strings_of_keys_and_items_are_found() {
        for (text, expected) in [
            ("a: 'x'", vec!["x"]),
            ("- a: \"x\n    y\"\n  b: 'it''s'  # c\n", vec!["x\n    y", "it''s"]),
            ("- - \"x\\\"\\\n   y\"\r\n- 'z'", vec!["x\\\"\\\n   y", "z"]),
            ("'a': 'x'", vec![]),
            ("events: x 'y'", vec![]),
            ("{\"a\": \"x\"}", vec![]),
            ("  \"a\": \"x\",", vec![]),
            ("2026 a: 'x'", vec![]),
        ] {
            assert_eq!(insides(text), expected, "{text}");
        }
    }

    #[test]
    fn line_that_is_not_indented_is_not_in_a_string() {
        for text in
            ["a: 'x\ny'", "- a: \"x\n  y\"", "  a: \"x\\\n  y\"", "a: \"x", "a: 'x' y", "a: 'x'\u{e9}"]
        {
            assert!(insides(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn string_around_a_position_is_found() {
        let text = "a: 'xy'\nb: 'z'";
        let scalars = scalars(text);
        let at = |at| scalar_at(&scalars, at).map(|scalar| scalar.start);
        assert_eq!([3, 4, 5, 6, 11, 12].map(at), [None, Some(4), Some(4), None, None, Some(12)]);
    }
}
