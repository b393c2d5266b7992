//! The messages to send, in any form in which people have them, as lines with one message each.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::Deserializer;
use serde_json::value::RawValue;

use crate::error::{CommandError, Result};
use crate::queue::message_file::{InvalidLine, Lines, ReadLineError, parse_line, parse_message};

/// The path that means standard input.
pub const STDIN: &str = "-";
/// Longest document, in bytes. A file with one message per line has no limit.
const MAX_DOCUMENT_BYTES: u64 = 512 * 1024 * 1024;

/// Opens a file, or standard input. A file of `replay save` is returned as it is. Anything else is
/// converted into a temporary file: records of a Lambda event, output of `aws sqs receive-message`, and
/// events, one after the other or in a list, on any number of lines.
pub fn open(path: &Path) -> Result<File> {
    if path.as_os_str() == STDIN {
        return convert(std::io::stdin().lock());
    }
    let mut file = File::open(path)?;
    // The file is read twice, which is not possible with a pipe.
    if !file.metadata()?.is_file() {
        return convert(file);
    }
    let has_lines = has_one_message_per_line(Lines::new(file.try_clone()?))?;
    // The clone shares its position.
    file.seek(SeekFrom::Start(0))?;
    if has_lines { Ok(file) } else { convert(file) }
}

/// True if the first line with text is a message, or is no beginning of a document.
fn has_one_message_per_line(mut lines: Lines) -> std::io::Result<bool> {
    loop {
        let line = match lines.next() {
            Ok(Some((_, line))) => line,
            Ok(None) => return Ok(true),
            Err(ReadLineError::TooLong(_)) => return Ok(false),
            Err(ReadLineError::Io(error)) => return Err(error),
        };
        match parse_line(&line) {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(true),
            Err(InvalidLine::Incomplete | InvalidLine::TextAfterMessage | InvalidLine::NotAMessage) => {
                return Ok(false);
            }
            Err(_) => return Ok(true),
        }
    }
}

/// Writes each message of a document on a line of a temporary file.
fn convert(document: impl Read) -> Result<File> {
    let mut text = String::new();
    let bytes = document.take(MAX_DOCUMENT_BYTES).read_to_string(&mut text)?;
    if bytes as u64 == MAX_DOCUMENT_BYTES {
        let text = "more than 512 MiB. Write one message per line (jq -c '.Messages[]')";
        return Err(CommandError::invalid_input(text));
    }
    let mut file = BufWriter::new(tempfile::tempfile()?);
    let mut number = 0;
    for value in Deserializer::from_str(text.trim_start_matches('\u{feff}')).into_iter::<Box<RawValue>>() {
        let value = value.map_err(|error| {
            CommandError::invalid_input(format!(
                "not JSON at line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        for message in messages(&value) {
            number += 1;
            let message = parse_message(message.get())
                .map_err(|error| CommandError::invalid_input(format!("message {number}: {error}")))?;
            serde_json::to_writer(&mut file, &message)?;
            file.write_all(b"\n")?;
        }
    }
    let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// The messages of a value: the elements of a list, of `Records` or of `Messages`, or the value itself.
fn messages(value: &RawValue) -> Vec<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    enum Batch {
        Records(Vec<Box<RawValue>>),
        Messages(Vec<Box<RawValue>>),
    }
    if let Ok(Batch::Records(messages) | Batch::Messages(messages)) = serde_json::from_str(value.get()) {
        return messages;
    }
    serde_json::from_str(value.get()).unwrap_or_else(|_| vec![value.to_owned()])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EVENT: &str = r#"{"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed", "subject": "ana", "time": "2026-03-02T09:00:00Z", "data": {"order_id": "1", "amount": "1.00", "currency": "EUR"}}"#;

    fn bodies(document: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), document).unwrap();
        let lines = std::io::read_to_string(open(file.path()).unwrap()).unwrap();
        lines.lines().filter_map(|line| Some(parse_line(line.as_bytes()).unwrap()?.body)).collect()
    }

    #[test]
    fn every_form_has_the_same_messages() {
        let record = json!({"messageId": "1", "body": EVENT});
        let received = json!({"MessageId": "1", "Body": EVENT, "ReceiptHandle": "r"});
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
        for document in [
            format!("{record}\n{record}\n"),
            format!("\n{EVENT}\n\n{EVENT}"),
            format!("{EVENT}{EVENT}"),
            format!("[{EVENT},\n{EVENT}]"),
            json!({"Records": [record, record]}).to_string(),
            pretty(&json!({"Records": [record, record]})),
            json!({"Messages": [received, received]}).to_string(),
            format!(
                "{}\n{}",
                pretty(&json!({"Messages": [received]})),
                pretty(&json!({"Messages": [received]}))
            ),
            format!("\u{feff}{}", pretty(&json!([record, received]))),
        ] {
            assert_eq!(bodies(&document), [EVENT, EVENT], "{document}");
        }
        assert!(bodies("").is_empty() && bodies("{\"Messages\": []}").is_empty());
        let event: Value = serde_json::from_str(EVENT).unwrap();
        let body = bodies(&pretty(&event)).remove(0);
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), event);
    }

    #[test]
    fn error_names_the_message_and_quotes_nothing() {
        let error = |document: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), document).unwrap();
            open(file.path()).unwrap_err().to_string()
        };
        for (document, expected) in [
            ("{\"Messages\": [{\"MessageId\": \"1\"}]}", "message 1: not a message"),
            ("[\n{\"secret\": 1}]", "message 1: not a message"),
            ("{\n\"specversion\": }", "not JSON at line 2, column "),
        ] {
            let error = error(document);
            assert!(error.starts_with(expected) && !error.contains("secret"), "{error}");
        }
    }
}
