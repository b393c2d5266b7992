//! Move tasks: SQS moves all messages of a dead-letter queue by itself.

pub mod command;
pub mod report;

use std::time::Duration;

use anyhow::Result;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::ListMessageMoveTasksResultEntry;
use jiff::Timestamp;

use crate::aws_error::sentence::shorten;
use crate::aws_error::{Service, aws_error};
use crate::output::{counted, number};

/// SQS: a task moves at most this many messages per second.
pub const MAX_RATE: u32 = 500;
/// Time between two looks at a running task.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Status of a task that was canceled.
pub const CANCELLED: &str = "CANCELLED";

/// A move task, as SQS lists it. All counts are SQS's approximations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoveTask {
    /// Names the task to cancel it. Only a running task has one.
    pub handle: Option<String>,
    /// RUNNING, COMPLETED, CANCELLING, CANCELLED or FAILED.
    pub status: String,
    /// Milliseconds since 1970. Tells the tasks of a queue apart.
    pub started_millis: i64,
    /// ARN of the destination. `None` if SQS moves each message to the queue that it came from.
    pub destination: Option<String>,
    pub moved: usize,
    /// Messages in the queue when SQS began to move. `None` before that.
    pub to_move: Option<usize>,
    pub failure_reason: Option<String>,
}

impl MoveTask {
    pub fn is_running(&self) -> bool {
        matches!(self.status.as_str(), "RUNNING" | "CANCELLING" | "")
    }

    pub fn started_at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.started_millis).ok()
    }

    /// Number of messages that SQS counted at the start and did not move, of a task that SQS reports as
    /// COMPLETED.
    pub fn left_behind(&self) -> usize {
        match self.status.as_str() {
            "COMPLETED" => self.to_move.unwrap_or_default().saturating_sub(self.moved),
            _ => 0,
        }
    }

    /// `25 of 300 messages moved to user-events`.
    pub fn progress(&self) -> String {
        let total =
            self.to_move.map(|total| format!("{} of ", number(self.moved)) + &counted(total, "message"));
        let moved = total.unwrap_or_else(|| counted(self.moved, "message"));
        let destination = self.destination.as_deref().and_then(|arn| arn.rsplit(':').next());
        match destination {
            Some(name) => format!("{moved} moved to {name}"),
            None => format!("{moved} moved to the queues that they came from"),
        }
    }
}

impl From<ListMessageMoveTasksResultEntry> for MoveTask {
    fn from(task: ListMessageMoveTasksResultEntry) -> Self {
        Self {
            started_millis: task.started_timestamp(),
            moved: to_usize(task.approximate_number_of_messages_moved()),
            to_move: task.approximate_number_of_messages_to_move().map(to_usize),
            handle: task.task_handle,
            status: task.status.unwrap_or_default(),
            destination: task.destination_arn,
            // A sentence of SQS can have anything in it.
            failure_reason: task.failure_reason.as_deref().map(shorten),
        }
    }
}

/// The move tasks of a dead-letter queue, the latest first. SQS lists at most ten.
pub async fn list(sqs: &Client, queue_arn: &str, max: i32) -> Result<Vec<MoveTask>> {
    let call = sqs.list_message_move_tasks().source_arn(queue_arn).max_results(max);
    let output = call.send().await.map_err(aws_error(Service::Sqs, "ListMessageMoveTasks"))?;
    Ok(output.results.unwrap_or_default().into_iter().map(MoveTask::from).collect())
}

/// The move task of a dead-letter queue that was started last.
pub async fn latest(sqs: &Client, queue_arn: &str) -> Result<Option<MoveTask>> {
    Ok(list(sqs, queue_arn, 1).await?.into_iter().next())
}

fn to_usize(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed_task_can_leave_messages_behind() {
        let task = |status: &str, moved, to_move| MoveTask {
            status: status.into(),
            moved,
            to_move,
            destination: Some("arn:aws:sqs:eu-central-1:123456789012:user-events".into()),
            ..MoveTask::default()
        };
        for (task, left_behind, progress) in [
            (task("COMPLETED", 2, Some(3)), 1, "2 of 3 messages moved to user-events"),
            (task("COMPLETED", 3, Some(3)), 0, "3 of 3 messages moved to user-events"),
            (task("COMPLETED", 4, Some(3)), 0, "4 of 3 messages moved to user-events"),
            (task("COMPLETED", 3, None), 0, "3 messages moved to user-events"),
            (task("RUNNING", 2, Some(1_000)), 0, "2 of 1,000 messages moved to user-events"),
            (task("CANCELLED", 2, Some(3)), 0, "2 of 3 messages moved to user-events"),
        ] {
            assert_eq!((task.left_behind(), task.progress().as_str()), (left_behind, progress));
        }
    }
}
