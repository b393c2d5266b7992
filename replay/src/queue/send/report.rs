//! The JSON of `replay send`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::queue::send::SendSummary;
use crate::queue::send::check::CheckedFile;

/// What a file contains, and what was sent of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SendReport {
    /// True if nothing was sent, because --yes is missing.
    pub dry_run: bool,
    /// ARN of the destination.
    pub queue: String,
    /// Path of the file, or - for standard input.
    pub file: String,
    /// Number of messages in the file.
    pub messages: usize,
    /// The same, by event type, or not_an_event.
    pub by_type: BTreeMap<String, usize>,
    /// Lines that cannot be sent. If there are any, nothing was sent.
    pub invalid: Vec<InvalidLineReport>,
    /// Number of messages that earlier runs have sent, according to the checkpoint.
    pub sent_before: usize,
    /// Number of messages that were in progress when the last run stopped. They are sent again.
    pub in_progress_before: usize,
    /// Number of messages that SQS accepted. In a dry run: that would be sent.
    pub sent: usize,
    /// Number of messages that were perhaps sent, because SQS's answer is missing.
    pub perhaps_sent: usize,
    /// Number of messages that SQS rejected, by SQS's error code.
    pub rejected: BTreeMap<String, usize>,
}

/// A line that cannot be sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InvalidLineReport {
    /// Number of the line, from 1. In a document: number of the message.
    pub line: usize,
    /// Why it cannot be sent. Quotes nothing of the line.
    pub reason: String,
}

impl SendReport {
    /// The report before anything is sent.
    pub fn of(file: &CheckedFile, (path, queue): (String, String), is_dry_run: bool) -> Self {
        let invalid = file.invalid.iter();
        let invalid =
            invalid.map(|(line, error)| InvalidLineReport { line: *line, reason: error.to_string() });
        Self {
            dry_run: is_dry_run,
            queue,
            file: path,
            messages: file.messages,
            by_type: file.by_type.clone(),
            invalid: invalid.collect(),
            sent_before: 0,
            in_progress_before: 0,
            sent: 0,
            perhaps_sent: 0,
            rejected: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, summary: &SendSummary) {
        self.sent = summary.sent;
        self.perhaps_sent = summary.in_doubt;
        self.rejected.clone_from(&summary.rejected);
    }
}
