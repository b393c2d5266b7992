//! Deserialization of JSON with errors that are safe to log.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, Visitor};
use serde_json::value::RawValue;

use super::limits::MAX_ID_CHARS;

/// Why a JSON document cannot be read. The texts quote nothing of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// The document violates the grammar of JSON. The text is the place.
    NotJson(String),
    /// The document is JSON. The text names the field and what was expected there.
    Field(String),
}

/// Reads a JSON object. Nothing may follow it. Errors name fields below `parent`.
///
/// A field that `T` does not have may hold any JSON, also what a string of Rust cannot hold: half of
/// a surrogate pair, or a number of any size.
pub fn from_json<'a, T: Deserialize<'a>>(parent: &str, json: &'a str) -> Result<T, JsonError> {
    // serde would also read the fields of a struct from a list, in their order.
    if !json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return Err(not_json(json).unwrap_or_else(|| JsonError::Field(join(parent, ".", EXPECTED_OBJECT))));
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let reason = reason(error.inner());
        not_json(json).unwrap_or_else(|| JsonError::Field(join(parent, &error.path().to_string(), &reason)))
    })?;
    deserializer.end().map_err(|error| JsonError::NotJson(place(&error)))?;
    Ok(value)
}

const EXPECTED_OBJECT: &str = "expected an object";

/// The error if the document violates the grammar of JSON.
fn not_json(json: &str) -> Option<JsonError> {
    if json.is_empty() {
        return Some(JsonError::NotJson("it is empty".to_owned()));
    }
    serde_json::from_str::<IgnoredAny>(json).err().map(|error| JsonError::NotJson(place(&error)))
}

fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

/// The text about a document that is JSON: what was expected.
///
/// serde's own text quotes the value that it found, which must not reach a log or a message
/// attribute. Only the part after the last "expected" comes from the types of this crate.
fn reason(error: &serde_json::Error) -> String {
    if error.is_syntax() {
        // The document is JSON, but a string of Rust cannot hold the value.
        let text = error.to_string();
        let is_surrogate = text.contains("surrogate") || text.contains("hex escape");
        // serde_json expects any value if an enum, which is a string here, is neither string nor object.
        return if is_surrogate { LONE_SURROGATE } else { "expected a string" }.to_owned();
    }
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    match text.rsplit_once("expected ") {
        Some((_, expected)) if expected.starts_with("struct ") => EXPECTED_OBJECT.to_owned(),
        Some((_, expected)) => format!("expected {expected}"),
        None => text.to_owned(),
    }
}

const LONE_SURROGATE: &str = r"expected text, found half of a surrogate pair (an escape such as \ud83d)";

fn join(parent: &str, path: &str, reason: &str) -> String {
    match (parent, path) {
        ("", ".") => reason.to_owned(),
        ("", path) => format!("{path}: {reason}"),
        (parent, ".") => format!("{parent}: {reason}"),
        (parent, path) => format!("{parent}.{path}: {reason}"),
    }
}

/// A time with an offset, for `#[serde(deserialize_with)]`.
pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    struct Time;

    impl Visitor<'_> for Time {
        type Value = Timestamp;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time with an offset, such as 2026-03-02T10:15:00Z")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
            text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Other("text"), &self))
        }
    }

    deserializer.deserialize_str(Time)
}

/// A time that may be missing or null, for `#[serde(deserialize_with)]`.
pub fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    struct Time(#[serde(deserialize_with = "time")] Timestamp);

    Ok(Option::<Time>::deserialize(deserializer)?.map(|Time(time)| time))
}

/// A Boolean, or its text: `"true"` or `"false"`. CloudEvents 1.0.2, 3.1 (type system) defines both, and a
/// message that was converted from HTTP headers has the text. `null` counts as `false`.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Flag;

    impl Visitor<'_> for Flag {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }

        fn visit_bool<E: Error>(self, flag: bool) -> Result<bool, E> {
            Ok(flag)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
            text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Other("text"), &self))
        }

        fn visit_unit<E: Error>(self) -> Result<bool, E> {
            Ok(false)
        }
    }

    deserializer.deserialize_any(Flag)
}

/// The id of something in a producer's system: 1 to [`MAX_ID_CHARS`] characters. For
/// `#[serde(deserialize_with)]`.
pub fn identifier<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Identifier;

    impl Visitor<'_> for Identifier {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a string of 1 to {MAX_ID_CHARS} characters")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            if (1..=MAX_ID_CHARS).contains(&text.chars().take(MAX_ID_CHARS + 1).count()) {
                Ok(text.to_owned())
            } else {
                Err(E::invalid_value(serde::de::Unexpected::Other("text"), &self))
            }
        }
    }

    deserializer.deserialize_str(Identifier)
}

/// The type and the subject that a message body states, whether or not it is a valid event.
///
/// A body that [`Event::parse`](super::Event::parse) accepts has both. They are missing if the body
/// cannot be read in the same way, or if they are not text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StatedAttributes {
    #[serde(default, rename = "type", deserialize_with = "text")]
    pub event_type: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub subject: Option<String>,
}

impl StatedAttributes {
    pub fn read(body: &str) -> Self {
        from_json("", body).unwrap_or_default()
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let json = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(json.get()).ok())
}
