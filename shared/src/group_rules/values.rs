//! The values of a user attribute, as Cognito stores them. Pure.
//!
//! If an identity provider sends several values, Cognito stores them in one string: `[a, b]`. It
//! URL form-encodes each value that contains anything but ASCII letters, digits and `. - * _`. It
//! stores one value as it is. Source: "Specifying identity provider attribute mappings for your
//! user pool" in the Cognito guide.

use std::borrow::Cow;

/// The values of one attribute. `None` is a value that cannot be decoded: it matches nothing, but
/// it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values<'a>(Vec<Option<Cow<'a, str>>>);

impl<'a> Values<'a> {
    /// Reads the values of an attribute:
    ///
    /// - `[a, b]` has the values between the commas, without white space around them, and
    ///   form-decoded.
    /// - A JSON list with a string in it has its strings. Other items cannot be decoded. Cognito's
    ///   own lists never contain a quotation mark, because Cognito encodes it.
    /// - Anything else is one value, commas and white space included. Brackets inside brackets and
    ///   unbalanced brackets do not make a list, because Cognito encodes brackets too.
    pub fn parse(attribute: &'a str) -> Self {
        Self(parse_list(attribute).unwrap_or_else(|| vec![Some(Cow::Borrowed(attribute))]))
    }

    /// Like [`parse`](Self::parse), but splits a single value at `separator`. White space around
    /// the parts is left out.
    pub fn split(attribute: &'a str, separator: char) -> Self {
        let parts = || attribute.split(separator).map(|part| Some(Cow::Borrowed(part.trim()))).collect();
        Self(parse_list(attribute).unwrap_or_else(parts))
    }

    /// True if one of the values matches.
    pub fn any(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.0.iter().flatten().any(|value| matches(value))
    }

    /// True if there is exactly one value, and it matches.
    pub fn is_one(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.0.len() == 1 && self.any(matches)
    }
}

/// True if an attribute with this text is a list.
pub fn is_list(attribute: &str) -> bool {
    parse_list(attribute).is_some()
}

/// The values of a list. `None` if the attribute is a single value.
fn parse_list(attribute: &str) -> Option<Vec<Option<Cow<'_, str>>>> {
    let list = attribute.trim();
    let inner = list.strip_prefix('[')?.strip_suffix(']')?;
    if inner.contains('"') {
        let items: Vec<serde_json::Value> = serde_json::from_str(list).ok()?;
        let text = |item| match item {
            serde_json::Value::String(text) => Some(Cow::Owned(text)),
            _ => None,
        };
        return Some(items.into_iter().map(text).collect());
    }
    if inner.contains(['[', ']']) {
        return None;
    }
    if inner.trim().is_empty() {
        return Some(Vec::new());
    }
    Some(inner.split(',').map(|value| form_decode(value.trim())).collect())
}

/// Decodes `application/x-www-form-urlencoded` text: `+` is a space, and `%XX` is a byte of UTF-8.
/// `None` if a `%` has no two hexadecimal digits after it, or if the result is not UTF-8.
fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['+', '%']) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values, with `?` for each one that cannot be decoded.
    fn shown(values: Values<'_>) -> Vec<String> {
        values.0.into_iter().map(|value| value.map_or_else(|| "?".to_owned(), Cow::into_owned)).collect()
    }

    #[test]
    fn attribute_is_read_as_cognito_stores_it() {
        let table: [(&str, &[&str]); 27] = [
            ("Engineering", &["Engineering"]),
            ("[Engineering]", &["Engineering"]),
            ("[Domain+Admins, Domain+Users]", &["Domain Admins", "Domain Users"]),
            ("[team%3Aplatform, team%3Asre]", &["team:platform", "team:sre"]),
            ("[Entwickler%2FK%C3%B6ln,a%2Cb]", &["Entwickler/Köln", "a,b"]),
            ("[a%2bb, 100%25, %5Bx%2C+admin%5D]", &["a+b", "100%", "[x, admin]"]),
            ("[Domain Admins, a.b-c*d_e]", &["Domain Admins", "a.b-c*d_e"]),
            // Numbers and null are names like others.
            ("[100, 200, null, true]", &["100", "200", "null", "true"]),
            // One value is not decoded and not split.
            ("Sales,Domain Admins", &["Sales,Domain Admins"]),
            ("Domain+Admins%2C", &["Domain+Admins%2C"]),
            (" a ", &[" a "]),
            ("", &[""]),
            // Empty lists, and empty values in lists.
            ("[]", &[]),
            ("[ ]", &[]),
            ("[a, , b]", &["a", "", "b"]),
            // Encoded white space belongs to the value.
            ("[+admin, admin%00]", &[" admin", "admin\0"]),
            // JSON lists.
            (r#"["admin", "editor"]"#, &["admin", "editor"]),
            (r#" ["a, b", 7, null, ["c"], "%41+"] "#, &["a, b", "?", "?", "?", "%41+"]),
            (r#"["a"], ["b"]"#, &[r#"["a"], ["b"]"#]),
            (r#"["a", b]"#, &[r#"["a", b]"#]),
            (r#"{"a": "b, admin"}"#, &[r#"{"a": "b, admin"}"#]),
            // Not a list of Cognito.
            ("[a, b", &["[a, b"]),
            ("a, b]", &["a, b]"]),
            ("[x, [admin, y]]", &["[x, [admin, y]]"]),
            ("[x], admin, [y]", &["[x], admin, [y]"]),
            // Invalid encoding spoils one value, not the others.
            ("[%, %4, %zz, %+41, admin%4, ok]", &["?", "?", "?", "?", "?", "ok"]),
            ("[%ff, %C3, %ED%A0%80, ok]", &["?", "?", "?", "ok"]),
        ];
        for (attribute, expected) in table {
            assert_eq!(shown(Values::parse(attribute)), expected, "{attribute}");
        }
    }

    #[test]
    fn separator_splits_only_a_single_value() {
        let table: [(&str, char, &[&str]); 6] = [
            ("red,blue", ',', &["red", "blue"]),
            (" red , dark blue,", ',', &["red", "dark blue", ""]),
            ("red;a,b", ';', &["red", "a,b"]),
            ("a%2Cb+c", ',', &["a%2Cb+c"]),
            ("[a%2Cb, c]", ',', &["a,b", "c"]),
            (r#"["a,b", "c"]"#, ',', &["a,b", "c"]),
        ];
        for (attribute, separator, expected) in table {
            assert_eq!(shown(Values::split(attribute, separator)), expected, "{attribute}");
        }
    }

    #[test]
    fn longest_attributes_are_read() {
        let percent = "%".repeat(2_048);
        assert_eq!(shown(Values::parse(&percent)), [percent.as_str()]);
        let in_brackets = format!("[{}]", "%".repeat(2_046));
        assert_eq!(shown(Values::parse(&in_brackets)), ["?"]);
        let nested = format!("{}{}", "[".repeat(1_024), "]".repeat(1_024));
        assert_eq!(shown(Values::parse(&nested)), [nested.as_str()]);
        let nested_json = format!("{}\"a\"{}", "[".repeat(1_022), "]".repeat(1_022));
        assert_eq!(shown(Values::parse(&nested_json)), [nested_json.as_str()]);
        let names: Vec<String> = (0..400).map(|n| format!("g{n}")).collect();
        let list = format!("[{}]", names.join(","));
        assert!(list.len() <= 2_048, "{}", list.len());
        assert_eq!(shown(Values::parse(&list)), names);
    }

    #[test]
    fn value_that_cannot_be_decoded_counts_but_matches_nothing() {
        let values = Values::parse("[admin, %zz]");
        assert!(values.any(|value| value == "admin"));
        assert!(!values.is_one(|value| value == "admin"));
        assert!(!Values::parse("[%zz]").any(|_| true));
        assert!(Values::parse("[admin]").is_one(|value| value == "admin"));
        assert!(!Values::parse("[]").is_one(|_| true));
    }
}
