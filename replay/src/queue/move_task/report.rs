//! The JSON of `replay move-task`.

use serde::Serialize;

use crate::queue::move_task::MoveTask;

/// The latest move tasks of dead-letter queues.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MoveTasksReport {
    /// The dead-letter queues: one, or those of the stack.
    pub queues: Vec<QueueTasksReport>,
}

/// The latest move tasks of a dead-letter queue.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueueTasksReport {
    /// ARN of the dead-letter queue.
    pub queue: String,
    /// The tasks, the latest first.
    pub tasks: Vec<MoveTaskReport>,
}

/// A move task, as SQS lists it. All counts are SQS's approximations.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MoveTaskReport {
    /// RUNNING, COMPLETED, CANCELLING, CANCELLED or FAILED.
    pub status: String,
    /// Time at which the task was started.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub started_at: Option<String>,
    /// ARN of the destination. Null if SQS moves each message to the queue that it came from.
    pub destination: Option<String>,
    /// Number of messages that were moved.
    pub moved: usize,
    /// Number of messages in the queue when SQS began to move. Null before that.
    pub to_move: Option<usize>,
    /// SQS's reason why the task failed.
    pub failure_reason: Option<String>,
}

/// The move task of a queue, canceled or not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CancelReport {
    /// True if the task was not canceled, because --yes is missing.
    pub dry_run: bool,
    /// ARN of the dead-letter queue.
    pub queue: String,
    /// The latest task, as it is now.
    pub task: MoveTaskReport,
}

impl From<&MoveTask> for MoveTaskReport {
    fn from(task: &MoveTask) -> Self {
        Self {
            status: task.status.clone(),
            started_at: task.started_at().map(|time| time.to_string()),
            destination: task.destination.clone(),
            moved: task.moved,
            to_move: task.to_move,
            failure_reason: task.failure_reason.clone(),
        }
    }
}
