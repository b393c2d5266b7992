//! Keys that identify the messages of a file by their content.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::queue::body_field::RawFields;
use crate::queue::message::QueuedMessage;

/// The first 16 bytes of a SHA-256. An edited message gets another key. A message whose JSON has only
/// other white space, another order of names or other escapes, from jq or an editor, keeps its key. Numbers
/// are compared as they are written, because workers do not read 4.0 as 4, and no number is too large.
pub type MessageKey = u128;

/// Objects and lists nested deeper are compared as they are written.
const MAX_DEPTH: usize = 64;

/// Computes the keys of a file's messages, in the order of the file. Equal messages get different
/// keys.
#[derive(Default)]
pub struct MessageKeys {
    /// Number of occurrences so far.
    occurrences: HashMap<MessageKey, u32>,
}

impl MessageKeys {
    pub fn next(&mut self, message: &QueuedMessage) -> MessageKey {
        let QueuedMessage { message_id, attributes, message_attributes, body, .. } = message;
        let body = match serde_json::from_str::<&RawValue>(body) {
            Ok(json) if json.get().starts_with(['{', '[']) => canonical(json, 0),
            _ => json_text(body),
        };
        let content = format!(
            "[{},{},{},{body}]",
            json_text(message_id),
            json_text(attributes),
            json_text(message_attributes)
        );
        let occurrences = self.occurrences.entry(hash(&content, 0)).or_default();
        *occurrences += 1;
        hash(&content, *occurrences)
    }
}

/// JSON without white space, and with the fields of each object in the order of their names. A name that an
/// object has twice stays there twice.
fn canonical(json: &RawValue, depth: usize) -> String {
    let text = json.get();
    match text.as_bytes().first() {
        Some(b'{') if depth < MAX_DEPTH => {
            let Ok(RawFields(fields)) = serde_json::from_str(text) else { return text.to_owned() };
            let mut fields: Vec<(String, String)> = fields
                .into_iter()
                .map(|(name, value)| (canonical(name, depth), canonical(value, depth + 1)))
                .collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            let fields: Vec<String> =
                fields.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
            format!("{{{}}}", fields.join(","))
        }
        Some(b'[') if depth < MAX_DEPTH => {
            let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(text) else { return text.to_owned() };
            let values: Vec<String> = values.into_iter().map(|value| canonical(value, depth + 1)).collect();
            format!("[{}]", values.join(","))
        }
        // Half of a surrogate pair is not text.
        Some(b'"') => {
            serde_json::from_str::<String>(text).map_or_else(|_| text.to_owned(), |text| json_text(&text))
        }
        _ => text.to_owned(),
    }
}

fn json_text(value: &(impl Serialize + ?Sized)) -> String {
    // Strings and maps of strings can always be written.
    serde_json::to_string(value).unwrap_or_default()
}

fn hash(content: &str, occurrence: u32) -> MessageKey {
    let hash = Sha256::new().chain_update(occurrence.to_le_bytes()).chain_update(content).finalize();
    hash.iter().take(16).fold(0, |key, byte| key << 8 | MessageKey::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(line: &str) -> QueuedMessage {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn key_depends_on_content_and_occurrence_only() {
        let first = |line: &str| MessageKeys::default().next(&message(line));
        let key = first(r#"{"messageId":"1","body":{"a":1,"b":2}}"#);
        assert_eq!(first(r#"{"body": {"b": 2, "a": 1}, "messageId": "1"}"#), key, "formatted differently");
        assert_ne!(first(r#"{"messageId":"1","body":{"a":1,"b":3}}"#), key, "edited");
        let mut keys = MessageKeys::default();
        let line = message(r#"{"messageId":"1","body":{"a":1,"b":2}}"#);
        assert_eq!(keys.next(&line), key);
        assert_ne!(keys.next(&line), key, "second occurrence");
    }

    #[test]
    fn every_correction_changes_the_key_and_no_formatting_does() {
        let key = |body: &str| {
            MessageKeys::default().next(&message(&format!(r#"{{"messageId":"1","body":{body}}}"#)))
        };
        for (body, corrected) in [
            ("{\"n\":100000000000000000001}", "{\"n\":100000000000000000002}"),
            ("{\"n\":0.1000000000000000000001}", "{\"n\":0.1000000000000000000002}"),
            ("{\"n\":4.0}", "{\"n\":4}"),
            ("{\"a\":1,\"a\":2}", "{\"a\":2}"),
            ("{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}"),
            ("{\"a\":\"\\ud83d\"}", "{\"a\":\"\\ud83e\"}"),
            ("{\"\\ud83d\":1}", "{\"\\ud83d\":2}"),
            ("\"\\\"x\\\"\"", "\"x\""),
            ("{\"a\":[1,2]}", "{\"a\":[12]}"),
        ] {
            assert_ne!(key(body), key(corrected), "{body}");
        }
        for (body, formatted) in [
            ("{\"a\":[1,{\"c\":2,\"b\":\"é/\"}]}", "{ \"a\" : [1, {\"b\": \"\\u00e9\\/\", \"c\": 2}] }"),
            ("{\"a\":100000000000000000001}", "{\"\\u0061\": 100000000000000000001}"),
        ] {
            assert_eq!(key(body), key(formatted), "{body}");
        }
        let deep = "[".repeat(20_000) + &"]".repeat(20_000);
        assert_ne!(key(&format!("{{\"a\":{deep}}}")), key("{\"a\":[]}"));
    }
}
