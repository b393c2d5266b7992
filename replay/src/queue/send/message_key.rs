//! Keys that identify the messages of a file by their content.

use std::collections::HashMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::queue::message::QueuedMessage;

/// The first 16 bytes of a SHA-256. An edited message gets another key. A message whose JSON was
/// only formatted differently, by jq or an editor, keeps its key.
pub type MessageKey = u128;

/// Computes the keys of a file's messages, in the order of the file. Equal messages get different
/// keys.
#[derive(Default)]
pub struct MessageKeys {
    /// Number of occurrences so far.
    occurrences: HashMap<MessageKey, u32>,
}

impl MessageKeys {
    pub fn next(&mut self, message: &QueuedMessage) -> MessageKey {
        let body =
            serde_json::from_str::<Value>(&message.body).unwrap_or_else(|_| message.body.clone().into());
        let QueuedMessage { message_id, attributes, message_attributes, .. } = message;
        let content = json!([message_id, attributes, message_attributes, body]).to_string();
        let occurrences = self.occurrences.entry(hash(&content, 0)).or_default();
        *occurrences += 1;
        hash(&content, *occurrences)
    }
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
}
