//! Checks a whole file before anything is sent.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use jiff::Timestamp;
use shared::events::{Event, InvalidEvent};
use shared::time::Clock;

use crate::error::Result;
use crate::queue::cloudtrail::CloudTrailEvent;
use crate::queue::description::QueueDescription;
use crate::queue::envelope::Envelope;
use crate::queue::message::{QueuedMessage, Unsendable};
use crate::queue::message_file::{InvalidLine, Lines, parse_line};
use crate::queue::send::input;
use crate::queue::send::message_key::{MessageKey, MessageKeys};

#[derive(Debug)]
pub struct CheckedFile {
    /// Number of messages.
    pub messages: usize,
    pub by_type: BTreeMap<String, usize>,
    /// Lines that cannot be sent, by line number, with the reason.
    pub invalid: Vec<(usize, LineError)>,
    /// Key of each message.
    pub keys: Vec<MessageKey>,
    /// The open file, so that the checked file is the one that is sent.
    pub file: File,
}

/// Requirements for a line.
#[derive(Clone, Copy, Debug)]
pub struct LineRules<'a> {
    /// Accepts any body. Otherwise each body must be an event that belongs on the queue, valid for
    /// events/schema/event.json, and not older than 30 days. Some workers accept it for a shorter time. For
    /// account-activities, it must be an event of CloudTrail.
    pub any_body: bool,
    /// Accepts events of types that this version of `replay` does not know.
    pub any_type: bool,
    /// The destination. In a FIFO queue, each message needs a group.
    pub queue: &'a QueueDescription,
}

/// Why a line cannot be sent. The text quotes nothing of the line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error(transparent)]
    InvalidLine(#[from] InvalidLine),
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
    #[error("attributes.MessageGroupId: missing, but a FIFO queue needs it")]
    NoGroup,
    #[error("body: {0}")]
    InvalidEvent(#[from] InvalidEvent),
    #[error("body: {}. Take it out with jq: see \"Envelopes\" in docs/replay.md", .0.description())]
    Envelope(Envelope),
}

/// Reads a whole file.
pub fn check(path: &Path, rules: LineRules<'_>, clock: &Clock) -> Result<CheckedFile> {
    let file = input::open(path)?;
    let (mut messages, mut by_type, mut invalid) = (0, BTreeMap::new(), Vec::new());
    let (mut message_keys, mut keys) = (MessageKeys::default(), Vec::new());
    let now = clock.now();
    let mut lines = Lines::new(file.try_clone()?);
    while let Some((number, line)) = lines.next()? {
        let message = match sendable_message(&line, rules) {
            Ok(Some(message)) => message,
            Ok(None) => continue,
            Err(error) => {
                invalid.push((number, error));
                continue;
            }
        };
        if !rules.any_body
            && let Err(error) = check_event(&message, rules, now)
        {
            invalid.push((number, Envelope::of(&message.body).map_or(error, LineError::Envelope)));
        }
        *by_type.entry(message.type_name()).or_default() += 1;
        messages += 1;
        keys.push(message_keys.next(&message));
    }
    Ok(CheckedFile { messages, by_type, invalid, keys, file })
}

fn check_event(message: &QueuedMessage, rules: LineRules<'_>, now: Timestamp) -> Result<(), LineError> {
    // An event of CloudTrail is not an event of this project. It belongs on account-activities.
    if CloudTrailEvent::of(&message.body).is_none() {
        match Event::parse(&message.body) {
            Err(InvalidEvent::UnknownType) if rules.any_type => {}
            event => event?.check_time(now)?,
        }
    }
    Ok(Unsendable::check_queue(message, rules.queue)?)
}

/// The message of a line if SQS accepts it. `None` for an empty line.
fn sendable_message(line: &[u8], rules: LineRules<'_>) -> Result<Option<QueuedMessage>, LineError> {
    let Some(message) = parse_line(line)? else { return Ok(None) };
    Unsendable::check_length(&message.to_message(None)?, rules.queue)?;
    if rules.queue.is_fifo && message.group_id().is_none() {
        return Err(LineError::NoGroup);
    }
    Ok(Some(message))
}
