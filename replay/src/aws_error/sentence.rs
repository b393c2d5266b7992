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
    let is_local_part = |c: char| c.is_alphanumeric() || "!#$%&*+-.^_`{|}~".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || "-.".contains(c);
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('@') {
        out += before.trim_end_matches(is_local_part);
        out += "[address]";
        rest = after.trim_start_matches(is_domain);
    }
    out + rest
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
        ] {
            assert_eq!(shorten(sentence), expected);
        }
    }
}
