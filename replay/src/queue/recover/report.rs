//! What `replay recover` prints.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::queue::recover::{Place, RecoveredEvents, SkipReason};

/// The unsent events in logs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoverReport {
    /// True if nothing was sent, because --yes is missing.
    pub dry_run: bool,
    /// The log files or log groups that were read.
    pub logs: Vec<String>,
    /// Begin of the time range in log groups. Null for files.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub since: Option<String>,
    /// End of the time range in log groups. Null for files.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub until: Option<String>,
    /// Number of events for user-events, each counted once.
    pub events: usize,
    /// Number of these events by type.
    pub by_type: BTreeMap<String, usize>,
    /// Number of events that are not sent by reason: groups_mapped (the user's next token publishes them again) or too_old.
    pub skipped: BTreeMap<String, usize>,
    /// Events with values that a data protection policy has masked.
    pub masked: Vec<Place>,
    /// Events that are truncated, or that user-stats would reject.
    pub incomplete: Vec<Place>,
    /// Log groups that could not be read, each with the reason.
    pub unread: Vec<String>,
    /// Number of events that SQS accepted.
    pub sent: usize,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Sources {
    pub logs: Vec<String>,
    /// Log groups that could not be read, each with the reason.
    pub unread: Vec<String>,
    /// The time range in log groups.
    pub range: Option<(Timestamp, Timestamp)>,
}

impl RecoverReport {
    pub fn of(recovered: &RecoveredEvents, sources: Sources, is_dry_run: bool) -> Self {
        let Sources { logs, unread, range } = sources;
        let by_type = recovered.by_type().into_iter();
        let skipped = recovered.skipped.iter();
        Self {
            dry_run: is_dry_run,
            logs,
            unread,
            since: range.map(|(since, _)| format!("{since:.0}")),
            until: range.map(|(_, until)| format!("{until:.0}")),
            events: recovered.events.len(),
            by_type: by_type.map(|(event_type, count)| (event_type.to_owned(), count)).collect(),
            skipped: skipped.map(|(reason, count)| (code(*reason).to_owned(), *count)).collect(),
            masked: recovered.masked.clone(),
            incomplete: recovered.incomplete.clone(),
            sent: 0,
        }
    }
}

fn code(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::GroupsMapped => "groups_mapped",
        SkipReason::TooOld => "too_old",
    }
}
