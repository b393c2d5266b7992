//! The header `Cache-Control` (RFC 9111, 5.2). Pure.

/// A directive that has seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    SMaxage,
    MaxAge,
    StaleIfError,
    StaleWhileRevalidate,
}

impl Directive {
    pub const ALL: [Self; 4] = [Self::SMaxage, Self::MaxAge, Self::StaleIfError, Self::StaleWhileRevalidate];

    pub fn name(self) -> &'static str {
        match self {
            Self::SMaxage => "s-maxage",
            Self::MaxAge => "max-age",
            Self::StaleIfError => "stale-if-error",
            Self::StaleWhileRevalidate => "stale-while-revalidate",
        }
    }
}

/// Directives with which CloudFront keeps no copy of an answer if MinTTL is 0.
const UNCACHEABLE: [&str; 3] = ["no-store", "private", "no-cache"];
/// A larger number of seconds means this one (RFC 9111, 1.2.2).
const MAX_SECONDS: u64 = 1 << 31;

/// The directives of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// Names are in lower case.
    directives: Vec<(String, Option<Argument>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Argument {
    text: String,
    is_quoted: bool,
}

impl CacheControl {
    /// Several headers are one list.
    pub fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let parts = values.flat_map(split).filter(|part| !part.is_empty());
        Self { directives: parts.map(directive).collect() }
    }

    pub fn has(&self, name: &str) -> bool {
        self.directives.iter().any(|(found, _)| found == name)
    }

    /// The first directive because of which CloudFront keeps no copy.
    pub fn uncacheable(&self) -> Option<&'static str> {
        UNCACHEABLE.into_iter().find(|name| self.has(name))
    }

    /// The seconds of a directive. If it is there twice, the larger ones. `None` if it is missing or
    /// has no whole number.
    pub fn seconds(&self, directive: Directive) -> Option<u64> {
        self.arguments(directive).filter_map(|argument| argument.and_then(Argument::seconds)).max()
    }

    pub fn has_invalid_seconds(&self, directive: Directive) -> bool {
        self.arguments(directive).any(|argument| argument.and_then(Argument::seconds).is_none())
    }

    pub fn has_quoted_seconds(&self, directive: Directive) -> bool {
        self.arguments(directive).flatten().any(|argument| argument.is_quoted && argument.seconds().is_some())
    }

    pub fn is_repeated(&self, directive: Directive) -> bool {
        self.arguments(directive).count() > 1
    }

    fn arguments(&self, directive: Directive) -> impl Iterator<Item = Option<&Argument>> {
        let found = self.directives.iter().filter(move |(name, _)| name == directive.name());
        found.map(|(_, argument)| argument.as_ref())
    }
}

impl Argument {
    fn seconds(&self) -> Option<u64> {
        let is_number = !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than fit are a large number.
        is_number.then(|| self.text.parse().unwrap_or(MAX_SECONDS).min(MAX_SECONDS))
    }
}

/// The parts between the commas that are not in quotes.
fn split(value: &str) -> Vec<&str> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (index, c) in value.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                parts.push(value[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(value[start..].trim());
    parts
}

fn directive(part: &str) -> (String, Option<Argument>) {
    let Some((name, value)) = part.split_once('=') else { return (part.to_ascii_lowercase(), None) };
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    // A space around the equals sign stays in the value, which is not a number then. RFC 9111 has none.
    let has_space = name.ends_with(char::is_whitespace);
    let text = if has_space { format!(" {value}") } else { quoted.unwrap_or(value).to_owned() };
    (name.trim().to_ascii_lowercase(), Some(Argument { text, is_quoted: quoted.is_some() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> CacheControl {
        CacheControl::parse(values.iter().copied())
    }

    #[test]
    fn seconds_are_a_whole_number() {
        let large = Some(1 << 31);
        for (value, seconds, is_invalid) in [
            ("s-maxage=60", Some(60), false),
            ("S-MAXAGE=0", Some(0), false),
            ("public,s-maxage=007 , max-age=0", Some(7), false),
            ("s-maxage=\"60\"", Some(60), false),
            ("s-maxage=2147483649", large, false),
            ("s-maxage=99999999999999999999999", large, false),
            ("s-maxage", None, true),
            ("s-maxage=", None, true),
            ("s-maxage=\"\"", None, true),
            ("s-maxage=\"", None, true),
            ("s-maxage=60.5", None, true),
            ("s-maxage=-5", None, true),
            ("s-maxage=+5", None, true),
            ("s-maxage=1e3", None, true),
            ("s-maxage=60s", None, true),
            ("s-maxage=60; max-age=0", None, true),
            ("s-maxage = 60", None, true),
            ("s-maxage= 60", None, true),
            ("s-maxage=٣", None, true),
            ("s-maxage=60, s-maxage=soon", Some(60), true),
            ("max-age=60", None, false),
            ("x-s-maxage=60", None, false),
            ("private=\"s-maxage=60\"", None, false),
            ("private=\"a, s-maxage=60\"", None, false),
            ("ext=\"\\\", s-maxage=60\"", None, false),
            ("", None, false),
            (",,=,", None, false),
        ] {
            let control = parse(&[value]);
            let found =
                (control.seconds(Directive::SMaxage), control.has_invalid_seconds(Directive::SMaxage));
            assert_eq!(found, (seconds, is_invalid), "{value}");
        }
    }

    #[test]
    fn headers_are_one_list_in_which_the_largest_number_counts() {
        let control = parse(&["max-age=0, s-maxage=5", "S-Maxage=60"]);
        assert_eq!(control.seconds(Directive::SMaxage), Some(60));
        assert!(control.is_repeated(Directive::SMaxage) && !control.is_repeated(Directive::MaxAge));
        assert!(parse(&["s-maxage=\"5\""]).has_quoted_seconds(Directive::SMaxage));
        assert!(!parse(&["s-maxage=5"]).has_quoted_seconds(Directive::SMaxage));
    }

    #[test]
    fn directive_without_a_copy_is_found_with_and_without_fields() {
        for (value, expected) in [
            ("no-store", Some("no-store")),
            ("No-Cache", Some("no-cache")),
            ("private=\"set-cookie, x\", s-maxage=60", Some("private")),
            ("s-maxage=60, private, no-store", Some("no-store")),
            ("s-maxage=60", None),
            ("ext=\"no-store\"", None),
            ("ext=\"a, no-store\"", None),
        ] {
            assert_eq!(parse(&[value]).uncacheable(), expected, "{value}");
        }
    }
}
