//! Disposable email domains: anyone can receive mail there without an account. The source of the
//! list is in `triggers/data/README.md`.

use shared::email_domain::Domain;

/// One domain per line, sorted by byte. The search runs on this text, because building a set would
/// slow down every cold start.
const LIST: &str = include_str!("../../data/disposable-domains.txt");

/// Finds the entry of the list that is `domain` or one of its parent domains.
pub fn find_entry(domain: &Domain) -> Option<&str> {
    let mut name = domain.as_str();
    loop {
        if contains_line(LIST, name) {
            return Some(name);
        }
        name = name.split_once('.')?.1;
    }
}

/// Whether a sorted text contains `line`. Binary search.
fn contains_line(text: &str, line: &str) -> bool {
    // The part of the text that is left to search. It always consists of complete lines.
    let (mut from, mut to) = (0, text.len());
    while from < to {
        let middle = from + (to - from) / 2;
        let start = text[from..middle].rfind('\n').map_or(from, |before| from + before + 1);
        let end = text[start..to].find('\n').map_or(to, |after| start + after);
        match text[start..end].cmp(line) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => from = end + 1,
            std::cmp::Ordering::Greater => to = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_a_domain_and_is_found() {
        let lines: Vec<&str> = LIST.lines().collect();
        assert!(
            lines.len() > 5_000 && lines.is_sorted_by(|a, b| a < b),
            "sorted by byte, without duplicates"
        );
        for line in lines {
            let domain = Domain::parse(line).unwrap_or_else(|_| panic!("{line}"));
            assert_eq!(domain.as_str(), line, "an A-label in lower case");
            assert!(contains_line(LIST, line), "{line}");
        }
    }

    #[test]
    fn subdomain_of_a_disposable_domain_is_disposable() {
        let entry_of = |name: &str| find_entry(&Domain::parse(name).unwrap()).map(str::to_owned);
        assert_eq!(entry_of("mailinator.com").as_deref(), Some("mailinator.com"));
        assert_eq!(entry_of("a.b.mailinator.com").as_deref(), Some("mailinator.com"));
        for name in ["evilmailinator.com", "mailinator.com.example.com", "example.com", "gmail.com"] {
            assert_eq!(entry_of(name), None, "{name}");
        }
    }

    #[test]
    fn line_is_found_in_texts_of_every_size() {
        for (text, line, found) in [
            ("", "a", false),
            ("a", "a", true),
            ("a\nb\nc\n", "a", true),
            ("a\nb\nc\n", "c", true),
            ("a\nb\nc", "c", true),
            ("a\nbb\nc\n", "b", false),
            ("b\n", "a", false),
            ("b\n", "c", false),
        ] {
            assert_eq!(contains_line(text, line), found, "{text:?} {line}");
        }
    }
}
