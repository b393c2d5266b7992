//! Sentences of AWS and the SDK for a terminal.

use shared::text::printable;

/// Maximum length in characters.
const MAX_LENGTH: usize = 300;

/// A sentence without control characters, without email addresses, and with at most 300 characters. The
/// name of an operator's session is often an email address.
pub fn shorten(sentence: &str) -> String {
    let text = without_addresses(printable(sentence).trim());
    let text = text.strip_suffix('.').unwrap_or(&text);
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

/// `by ana@example.com` becomes `by [address]`.
fn without_addresses(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('@') {
        out += without_local_part(before);
        out += "[address]";
        rest = without_domain(after);
    }
    out + rest
}

/// The text before the local part at its end. A local part in quotation marks can have spaces.
fn without_local_part(text: &str) -> &str {
    let is_local_part = |c: char| c.is_alphanumeric() || "!#$%&*+-.^_`{|}~'".contains(c);
    if let Some(inner) = text.strip_suffix('"') {
        let is_escaped = |at: usize| {
            let before = &inner[..at];
            (before.len() - before.trim_end_matches('\\').len()) % 2 == 1
        };
        let opening = inner.rmatch_indices('"').map(|(at, _)| at).find(|at| !is_escaped(*at));
        return opening.map_or_else(|| without_local_part(inner), |at| &text[..at]);
    }
    let before = text.trim_end_matches(is_local_part);
    // An apostrophe at the beginning is a quotation mark.
    let quotes = text[before.len()..].len() - text[before.len()..].trim_start_matches('\'').len();
    &text[..before.len() + quotes]
}

/// The text after the domain, or the IP address in brackets, at its beginning.
fn without_domain(text: &str) -> &str {
    if let Some((_, after)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return after;
    }
    text.trim_start_matches(|c: char| c.is_alphanumeric() || "-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_is_cut_and_names_no_address() {
        let long = "é".repeat(MAX_LENGTH + 1);
        assert_eq!(shorten(&long), format!("{}…", "é".repeat(MAX_LENGTH)));
        assert_eq!(shorten(&"é".repeat(MAX_LENGTH)), "é".repeat(MAX_LENGTH));
        for (sentence, expected) in [
            ("Too many.\n", "Too many"),
            (
                "User: arn:aws:sts::123456789012:assumed-role/ops/ana.b+x@example.com is not authorized",
                "User: arn:aws:sts::123456789012:assumed-role/ops/[address] is not authorized",
            ),
            ("ana@example.com, ben@example.com", "[address], [address]"),
            ("a@b@c", "[address][address]"),
            ("@ and @", "[address] and [address]"),
            ("'é@example.com'", "'[address]'"),
            ("for o'neil@example.com", "for [address]"),
            ("for \"ana b\"@example.com, x", "for [address], x"),
            (r#"for "a\"b c"@example.com"#, "for [address]"),
            ("for x\"@example.com", "for [address]"),
            ("for ana@[10.0.0.1]", "for [address]"),
        ] {
            assert_eq!(shorten(sentence), expected);
        }
    }
}
