//! The JSON of `replay save`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::queue::inspect::report::UnseenReport;

/// What was saved of a queue. In a dry run, which only --delete has, what would be saved and deleted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SaveReport {
    /// True if nothing was saved or deleted, because --delete is there and --yes is missing.
    pub dry_run: bool,
    /// ARN of the queue.
    pub queue: String,
    /// Path of the file.
    pub file: String,
    /// Number of messages that were written to the file.
    pub saved: usize,
    /// Number of messages that the file had before, with --resume.
    pub already_in_file: usize,
    /// Number of messages that the options do not select.
    pub others: usize,
    /// The same, by event type.
    pub others_by_type: BTreeMap<String, usize>,
    /// Number of messages that were deleted from the queue.
    pub deleted: usize,
    /// Number of messages in the file that may still be in the queue although --delete is there.
    pub perhaps_not_deleted: usize,
    /// Number of messages that stay invisible for up to 15 minutes, because they could not be released.
    pub still_invisible: usize,
    /// Messages that were not received.
    pub unseen: UnseenReport,
}
