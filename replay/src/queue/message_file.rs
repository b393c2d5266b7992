//! Files with one [`QueuedMessage`] per line, as `replay save` writes them.

use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::bail;

use crate::error::CommandError;
use crate::queue::message::QueuedMessage;

/// Longest line. SQS allows 1 MiB for a message, and JSON can escape every character.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;
const FIELDS: [&str; 8] = [
    "messageId",
    "attributes",
    "messageAttributes",
    "body",
    "MessageId",
    "Attributes",
    "MessageAttributes",
    "Body",
];

/// The lines of a file with their numbers, from 1, and their line breaks. Memory holds one line at
/// a time.
pub struct Lines {
    reader: BufReader<File>,
    number: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadLineError {
    #[error("line {0}: more than 16 MiB. Is this a file of replay save?")]
    TooLong(usize),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<ReadLineError> for CommandError {
    fn from(error: ReadLineError) -> Self {
        match error {
            ReadLineError::TooLong(_) => Self::invalid_input(error.to_string()),
            ReadLineError::Io(error) => error.into(),
        }
    }
}

impl Lines {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self::new(File::open(path)?))
    }

    pub fn new(file: File) -> Self {
        Self { reader: BufReader::new(file), number: 0 }
    }

    #[expect(clippy::should_implement_trait, reason = "it can fail")]
    pub fn next(&mut self) -> Result<Option<(usize, Vec<u8>)>, ReadLineError> {
        let mut line = Vec::new();
        let bytes = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        self.number += 1;
        if bytes as u64 == MAX_LINE_BYTES {
            return Err(ReadLineError::TooLong(self.number));
        }
        Ok((bytes > 0).then_some((self.number, line)))
    }
}

/// Why a line is not a message. The text quotes nothing of the line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLine {
    #[error("not UTF-8 text")]
    NotText,
    #[error("incomplete JSON. Write one message per line (jq -c)")]
    Incomplete,
    #[error("invalid JSON at column {0}")]
    NotJson(usize),
    #[error("{0}: not in the format of replay save")]
    InvalidField(&'static str),
    #[error(
        "not a message: expected an event, or messageId, attributes, messageAttributes and body as in a file of \
         replay save"
    )]
    NotAMessage,
    #[error("unexpected text after the message")]
    TextAfterMessage,
}

/// Parses a line of a file. Returns `None` for an empty line.
pub fn parse_line(line: &[u8]) -> Result<Option<QueuedMessage>, InvalidLine> {
    let text = std::str::from_utf8(line).map_err(|_| InvalidLine::NotText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if text.is_empty() {
        return Ok(None);
    }
    parse_message(text).map(Some)
}

/// Parses a message in one of the forms in which people have it: a line of `replay save`, a record of
/// Lambda's SQS event, a message of `aws sqs receive-message`, or a bare event.
pub fn parse_message(text: &str) -> Result<QueuedMessage, InvalidLine> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let message: Result<QueuedMessage, _> = serde_path_to_error::deserialize(&mut deserializer);
    let message = message.map_err(|error| {
        use serde_json::error::Category;
        match error.inner().classify() {
            Category::Eof => InvalidLine::Incomplete,
            Category::Syntax | Category::Io => InvalidLine::NotJson(error.inner().column()),
            // Only the field is named. The rest of the path can be a key with personal data.
            Category::Data => match field(&error.path().to_string()) {
                Some(field) => InvalidLine::InvalidField(field),
                None => InvalidLine::NotAMessage,
            },
        }
    });
    match message {
        Err(InvalidLine::NotAMessage) => QueuedMessage::of_event(text).ok_or(InvalidLine::NotAMessage),
        Err(error) => Err(error),
        Ok(message) => {
            deserializer.end().map_err(|_| InvalidLine::TextAfterMessage)?;
            Ok(message)
        }
    }
}

/// The field of a message that a path such as `attributes.MessageGroupId` begins with.
fn field(path: &str) -> Option<&'static str> {
    let first = path.split(['.', '[']).next().unwrap_or_default();
    FIELDS.into_iter().find(|field| *field == first)
}

/// Locks a file, so that only one process writes to it. Does nothing on a file system without
/// locks.
pub fn lock(file: &File) -> anyhow::Result<()> {
    match file.try_lock() {
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => bail!("another replay process uses this file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_line_gets_a_reason() {
        let reason = |line: &[u8]| parse_line(line).unwrap_err().to_string();
        let incomplete = "incomplete JSON. Write one message per line (jq -c)";
        assert_eq!(reason(br#"{"messageId":"1","body":{"a""#), incomplete);
        assert_eq!(reason(b"a,b,c"), "invalid JSON at column 1");
        assert!(reason(br#"{"Messages": []}"#).starts_with("not a message: "));
        assert!(reason(br#"{"body": {}}"#).starts_with("not a message: "));
        assert_eq!(reason(br#"{"messageId":"1","body":7}"#), "body: not in the format of replay save");
        assert_eq!(reason(br#"{"messageId":"1","body":{}} {}"#), "unexpected text after the message");
        assert_eq!(reason(&[0x1f, 0x8b]), "not UTF-8 text");
        let unknown = br#"{"messageId":"1","messageAttribute":{},"body":{}}"#;
        assert!(reason(unknown).starts_with("not a message: "));
        assert_eq!(parse_line(b" \r\n"), Ok(None));
    }
}
