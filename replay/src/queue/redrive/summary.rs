//! The result of copying and deleting messages one by one.

use std::collections::BTreeMap;

use crate::queue::reader::Unseen;

#[derive(Debug, Default)]
pub struct RedriveSummary {
    /// Messages that were copied and deleted, or only copied if the options say so.
    pub moved: usize,
    /// Messages that were copied, but perhaps not deleted: they may be in both queues.
    pub in_both: usize,
    /// Messages for whose copies SQS's answer is missing: they may be in both queues.
    pub in_doubt: usize,
    /// Messages that SQS rejected and that stay in the dead-letter queue, by SQS's error code.
    pub rejected: BTreeMap<String, usize>,
    /// Messages that were not sent, because SQS would reject or drop them, by reason.
    pub not_sent: BTreeMap<String, usize>,
    /// Some of `rejected` and `not_sent` can be sent as they are by a later run.
    pub can_send_later: bool,
    /// Messages that stay because the options do not select them, or because the run stopped early.
    pub stayed: usize,
    /// The run stopped early, so `stayed` does not count all messages.
    pub is_stopped_early: bool,
    /// Empty if the run stopped early or reached the maximum.
    pub unseen: Unseen,
    /// Messages that stay invisible for up to 15 minutes, because they could not be released.
    pub still_invisible: usize,
    /// The error that ended the run.
    pub error: Option<anyhow::Error>,
}

impl RedriveSummary {
    /// Returns `true` if all selected messages were moved.
    pub fn is_complete(&self) -> bool {
        let has_failures = !self.rejected.is_empty() || !self.not_sent.is_empty();
        let has_doubts = self.in_both > 0 || self.in_doubt > 0;
        self.error.is_none()
            && !self.is_stopped_early
            && !has_failures
            && !has_doubts
            && self.unseen.is_empty()
            && self.still_invisible == 0
    }

    /// True if the only messages that were not moved are those that SQS rejects as they are. Another run
    /// would change nothing.
    pub fn is_final(&self) -> bool {
        let has_failures = !self.rejected.is_empty() || !self.not_sent.is_empty();
        let rest = Self { rejected: BTreeMap::new(), not_sent: BTreeMap::new(), error: None, ..*self };
        has_failures && !self.can_send_later && self.error.is_none() && rest.is_complete()
    }
}
