//! The JSON of `replay redrive`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::queue::inspect::report::UnseenReport;
use crate::queue::move_task::MoveTask;
use crate::queue::redrive::Route;
use crate::queue::redrive::plan::{Method, Plan};
use crate::queue::redrive::summary::RedriveSummary;
use crate::queue::redrive::text::explain;

/// What a redrive would move, and what it moved.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RedriveReport {
    /// True if nothing was sent, because --yes is missing.
    pub dry_run: bool,
    /// The dead-letter queues: one, or with --all those of the stack.
    pub queues: Vec<QueueReport>,
}

/// A dead-letter queue.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueueReport {
    /// Name or ARN of the dead-letter queue.
    pub from: String,
    /// ARN of the destination. Null if it is unknown because of an error.
    pub to: Option<String>,
    /// What would move. Null if the queue could not be read.
    pub plan: Option<PlanReport>,
    /// What was moved. Null in a dry run, and if nothing was moved.
    pub result: Option<ResultReport>,
    /// Why not all messages could be moved, and what to do.
    pub error: Option<String>,
}

/// The messages of a dead-letter queue before a redrive.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanReport {
    /// True if SQS moves the messages in a move task. Otherwise they are copied and deleted one by one.
    pub move_task: bool,
    /// Why the messages are not moved in a move task, in words.
    pub one_by_one_reason: Option<String>,
    /// Number of messages that would move.
    pub to_move: usize,
    /// Number of messages that would stay.
    pub to_stay: usize,
    /// Number of messages among those that stay that the destination would reject, by reason.
    pub unsendable: BTreeMap<String, usize>,
    /// Number of messages to move that a worker would dead-letter again, by their reasons.
    pub dead_letters_again: usize,
    /// Number of messages to move by event type.
    pub by_type: BTreeMap<String, usize>,
    /// Number of messages to move by reason.
    pub by_reason: BTreeMap<String, usize>,
    /// Number of messages that would stay by event type.
    pub staying_by_type: BTreeMap<String, usize>,
    /// Messages that were not received.
    pub unseen: UnseenReport,
}

/// What happened to the messages of a dead-letter queue.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResultReport {
    /// Number of messages that were moved, or copied with --keep. After a move task, SQS's approximation.
    pub moved: usize,
    /// Number of messages that stay because the options do not select them, or because the run stopped.
    pub stayed: usize,
    /// Number of messages that were sent, but perhaps not deleted.
    pub perhaps_not_deleted: usize,
    /// Number of messages that are still there and were perhaps sent, because SQS's answer is missing.
    pub perhaps_sent: usize,
    /// Number of messages that SQS rejected, by SQS's error code.
    pub rejected: BTreeMap<String, usize>,
    /// Number of messages that were not sent because SQS would reject or drop them, by reason.
    pub not_sent: BTreeMap<String, usize>,
    /// Number of messages that stay invisible for up to 15 minutes, because they could not be released.
    pub still_invisible: usize,
}

impl QueueReport {
    pub fn of(route: &Route, plan: &Plan) -> Self {
        let reason = match plan.method {
            Method::MoveTask => None,
            Method::OneByOne(reason) => Some(explain(reason).to_owned()),
        };
        let plan = PlanReport {
            move_task: reason.is_none(),
            one_by_one_reason: reason,
            to_move: plan.to_move.messages,
            to_stay: plan.to_stay.messages,
            unsendable: plan.unsendable.clone(),
            dead_letters_again: plan.rejected_again_count(),
            by_type: plan.to_move.by_type.clone(),
            by_reason: plan.to_move.by_reason.clone(),
            staying_by_type: plan.to_stay.by_type.clone(),
            unseen: (&plan.unseen).into(),
        };
        let (from, to) = (route.from.arn.clone(), Some(route.to.arn.clone()));
        Self { from, to, plan: Some(plan), ..Self::default() }
    }
}

impl From<&RedriveSummary> for ResultReport {
    fn from(summary: &RedriveSummary) -> Self {
        Self {
            moved: summary.moved,
            stayed: summary.stayed,
            perhaps_not_deleted: summary.in_both,
            perhaps_sent: summary.in_doubt,
            rejected: summary.rejected.clone(),
            not_sent: summary.not_sent.clone(),
            still_invisible: summary.still_invisible,
        }
    }
}

impl From<&MoveTask> for ResultReport {
    fn from(task: &MoveTask) -> Self {
        Self { moved: task.moved, ..Self::default() }
    }
}
