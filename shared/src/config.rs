//! Environment variables. No other file reads them. Every error names the variable and what is
//! expected.
//!
//! Each trigger and worker fills its own typed configuration from an [`Environment`] once, at
//! startup.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_path_to_error::{Path, Segment};

/// A variable that is missing or has an invalid value. It stops the startup of a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct ConfigError {
    /// The environment variable.
    pub name: String,
    /// What is wrong, and what is expected. Quotes no secret: for the AWS credentials it only says
    /// that they are missing.
    pub reason: String,
}

impl ConfigError {
    pub fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into() }
    }
}

/// A value of a variable as an error may quote it. An email address in the wrong place must not reach
/// the log.
pub fn quotable(value: &str) -> &str {
    // U+FF20 is the full-width sign, which domains are normalized from.
    if value.contains(['@', '\u{ff20}']) { "(an email address)" } else { value }
}

/// Environment variables of the process or of a test. An empty value counts as not set, because
/// CloudFormation cannot leave a variable out.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: HashMap<String, String>,
    /// Shared with clones.
    names_read: Arc<Mutex<BTreeSet<String>>>,
}

impl Environment {
    /// The variables of this process. Names and values that are not UTF-8 are left out.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn from_process() -> Self {
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        std::env::vars_os().filter_map(text).collect()
    }

    /// The names of the variables that were read so far, whether they are set or not. Tests compare
    /// them with the template and the documentation.
    pub fn names_read(&self) -> BTreeSet<String> {
        self.names_read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The value of `name`, or `None` if it is not set.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.names_read.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The variables whose names begin with `prefix`, with their unchanged values.
    pub fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        variables.filter(move |(name, _)| name.starts_with(prefix))
    }

    pub fn required(&self, name: &str) -> Result<String, ConfigError> {
        self.optional(name)
            .map(str::to_owned)
            .ok_or_else(|| ConfigError::new(name, "is required but not set"))
    }

    /// A comma-separated list. Empty if `name` is not set.
    pub fn list(&self, name: &str) -> Vec<String> {
        let items = self.optional(name).unwrap_or_default().split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, ConfigError> {
        self.choice(name, default, &[("true", true), ("false", false)])
    }

    /// A whole number within `range`.
    pub fn number(&self, name: &str, default: u32, range: RangeInclusive<u32>) -> Result<u32, ConfigError> {
        let Some(value) = self.optional(name) else { return Ok(default) };
        value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let (from, to) = range.into_inner();
            ConfigError::new(name, format!("\"{value}\" is not a whole number from {from} to {to}"))
        })
    }

    /// MAX_CACHE_LIFETIME_SECONDS: the longest time for which CloudFront keeps a page.
    pub fn max_cache_lifetime_seconds(&self) -> Result<u32, ConfigError> {
        self.number("MAX_CACHE_LIFETIME_SECONDS", 60, 0..=31_536_000)
    }

    /// TOKEN_VALIDITY_MINUTES: the longest validity of a token among all app clients.
    pub fn token_validity_minutes(&self) -> Result<u32, ConfigError> {
        self.number("TOKEN_VALIDITY_MINUTES", 60, 5..=1440)
    }

    /// One of the values in `choices`.
    pub fn choice<T: Copy>(&self, name: &str, default: T, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let Some(value) = self.optional(name) else { return Ok(default) };
        choices.iter().find(|(text, _)| *text == value).map(|(_, choice)| *choice).ok_or_else(|| {
            let texts: Vec<&str> = choices.iter().map(|(text, _)| *text).collect();
            ConfigError::new(name, format!("\"{value}\" is not one of: {}", texts.join(", ")))
        })
    }

    /// A JSON value, or the default of its type if `name` is not set. Errors show `example`.
    pub fn json<T: DeserializeOwned + Default>(&self, name: &str, example: &str) -> Result<T, ConfigError> {
        self.parse_json(name, "item", example)
    }

    /// A JSON list. Errors call its items `item` and number them from 1: `rule 2`.
    pub fn json_list<T: DeserializeOwned>(
        &self,
        name: &str,
        item: &str,
        example: &str,
    ) -> Result<Vec<T>, ConfigError> {
        self.parse_json(name, item, example)
    }

    fn parse_json<T: DeserializeOwned + Default>(
        &self,
        name: &str,
        item: &str,
        example: &str,
    ) -> Result<T, ConfigError> {
        let Some(value) = self.optional(name) else { return Ok(T::default()) };
        let invalid = |place: &str, reason: &serde_json::Error| {
            let reason = reason.to_string();
            // serde quotes the value before the word "expected".
            let reason = match reason.rsplit_once(", expected ") {
                Some((found, expected)) if quotable(found) != found => format!("expected {expected}"),
                _ => quotable(&reason).to_owned(),
            };
            ConfigError::new(name, format!("{place}{reason}; expected JSON such as {example}"))
        };
        let mut deserializer = serde_json::Deserializer::from_str(value);
        let parsed = serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| invalid(&place(error.path(), item), error.inner()))?;
        deserializer.end().map_err(|error| invalid("", &error))?;
        Ok(parsed)
    }
}

/// The place of an error: `at rule 2, one_of, item 1: `. Items are numbered from 1. Empty if the value
/// itself is wrong.
fn place(path: &Path, item: &str) -> String {
    let mut names = Vec::new();
    for (depth, segment) in path.iter().enumerate() {
        names.push(match segment {
            Segment::Seq { index } => format!("{} {}", if depth == 0 { item } else { "item" }, index + 1),
            Segment::Map { key } => quotable(key).to_owned(),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        });
    }
    if names.is_empty() { String::new() } else { format!("at {}: ", names.join(", ")) }
}

/// Accepts only a JSON object. For a struct, serde would also accept a list of its fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, names_read: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(value: &str) -> Environment {
        Environment::from_iter([("NAME", value)])
    }

    #[test]
    fn empty_value_counts_as_not_set() {
        assert_eq!(environment(" ").optional("NAME"), None);
        assert_eq!(environment("").flag("NAME", true), Ok(true));
        assert_eq!(
            environment("").required("NAME").unwrap_err().to_string(),
            "NAME: is required but not set"
        );
    }

    #[test]
    fn error_quotes_no_email_address() {
        let example = "[1]";
        for value in
            ["\"ana@example.com\"", "[\"ana@example.com\"]", "[1] ana@example.com", "ana\u{ff20}example.com"]
        {
            let error = environment(value).json::<Vec<u8>>("NAME", example).unwrap_err().to_string();
            assert!(error.starts_with("NAME: ") && !error.contains("ana"), "{error}");
        }
        let by_name = environment("{\"ana@example.com\": \"x\"}");
        let error = by_name.json::<HashMap<String, u8>>("NAME", "{}").unwrap_err().to_string();
        assert!(!error.contains("ana"), "{error}");
        assert_eq!(quotable("example.com"), "example.com");
    }

    #[test]
    fn list_ignores_spaces_and_empty_items() {
        assert_eq!(environment("a, b ,,c,").list("NAME"), ["a", "b", "c"]);
    }

    #[test]
    fn error_names_the_variable_and_what_is_expected() {
        let error = environment("yes").flag("NAME", false).unwrap_err();
        assert_eq!(error.to_string(), "NAME: \"yes\" is not one of: true, false");
        let error = environment("7").number("NAME", 1, 1..=5).unwrap_err();
        assert_eq!(error.to_string(), "NAME: \"7\" is not a whole number from 1 to 5");
        let error = environment("[1, \"x\"]").json::<Vec<u8>>("NAME", "[1]").unwrap_err();
        assert!(error.to_string().starts_with("NAME: at item 2: invalid type"), "{error}");
        let error =
            environment("[[1], [1, \"x\"]]").json_list::<Vec<u8>>("NAME", "row", "[[1]]").unwrap_err();
        assert!(error.to_string().starts_with("NAME: at row 2, item 2: invalid type"), "{error}");
        for value in ["7", "[1] 2", "[1"] {
            let error = environment(value).json::<Vec<u8>>("NAME", "[1]").unwrap_err().to_string();
            assert!(error.starts_with("NAME: ") && error.ends_with("; expected JSON such as [1]"), "{error}");
        }
    }
}
