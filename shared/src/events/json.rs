//! Deserialization of JSON with errors that are safe to log.

use serde::Deserialize;

pub type JsonError = serde_path_to_error::Error<serde_json::Error>;

/// Reads a JSON document. Nothing may follow it.
pub fn from_json<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer)?;
    // Callers use only the line and column of this error.
    deserializer.end().map_err(|error| JsonError::new(serde_path_to_error::Track::new().path(), error))?;
    Ok(value)
}

/// The field below `parent`, and what was expected there.
///
/// serde's own text quotes the value that it found, which must not reach a log or a message
/// attribute. Only the part after the last "expected" comes from the types of this crate.
pub fn describe(parent: &str, error: &JsonError) -> String {
    let text = error.inner().to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let reason = match text.rsplit_once("expected ") {
        Some((_, expected)) => format!("expected {}", expected.split(" but ").next().unwrap_or_default()),
        None => text.to_owned(),
    };
    match (parent, error.path().to_string().as_str()) {
        ("", ".") => reason,
        ("", path) => format!("{path}: {reason}"),
        (parent, ".") => format!("{parent}: {reason}"),
        (parent, path) => format!("{parent}.{path}: {reason}"),
    }
}
