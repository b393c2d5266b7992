//! Moves dead letters back to a queue.
//!
//! [`plan`] shows which messages would move, and how. Then either SQS moves them in a
//! [`move_task`], or [`copy`] copies and deletes them one by one. A message is deleted only after
//! SQS has accepted its copy. So wherever a run stops, each message is in at least one of the
//! queues. Between copy and deletion it is in both.

pub mod command;
pub mod copy;
pub mod destination;
pub mod move_task;
pub mod plan;
pub mod report;
pub mod summary;
pub mod text;

use aws_sdk_sqs::Client;
use shared::queues::Message;

use crate::aws_error::{Service, aws_error};
use crate::error::{CommandError, Result};
use crate::queue::description::QueueDescription;
use crate::queue::filter::Filter;
use crate::queue::message::{QueuedMessage, Unsendable};
use crate::queue::move_task::{MoveTask, list};
use crate::queue::redrive::destination::Destination;

/// The queues that messages move between.
#[derive(Clone, Debug)]
pub struct Route {
    /// For calls about `from`.
    pub sqs: Client,
    /// For calls about `to`, which can be in another account or region.
    pub to_sqs: Client,
    /// The dead-letter queue.
    pub from: QueueDescription,
    /// The destination.
    pub to: QueueDescription,
    pub move_tasks: MoveTasks,
}

/// What is known about move tasks of the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveTasks {
    /// SQS can start one.
    Possible,
    /// One is running. SQS runs one at a time, and it takes every message that becomes visible.
    Running(MoveTask),
    /// The destination is in another account or region.
    Elsewhere,
    /// No queue uses `from` as its dead-letter queue, or the operator may not list such queues.
    NotADeadLetterQueue,
    /// SQS refused to list them.
    Refused,
}

#[derive(Clone, Debug, Default)]
pub struct RedriveOptions {
    pub filter: Filter,
    /// Maximum number of messages to move.
    pub max: Option<usize>,
    /// Maximum number of messages per second.
    pub rate: Option<u32>,
    /// Sends the old deduplication ids to a FIFO queue, and not new ones.
    pub keep_deduplication_ids: bool,
    /// Copies and deletes one by one, even if SQS could move the messages in a task.
    pub one_by_one: bool,
    /// Copies messages, and deletes none.
    pub keeps: bool,
}

impl Route {
    /// Describes both queues, and rejects pairs that cannot work. Without `to`, the destination is
    /// the only queue whose dead-letter queue is `from`.
    pub async fn new(sqs: Client, from: &str, to: Option<Destination>) -> Result<Self> {
        let from = QueueDescription::read(&sqs, from).await.map_err(|error| error.context("--from"))?;
        from.reject_source_queue().map_err(|error| error.context("--from"))?;
        let call = sqs.list_dead_letter_source_queues().queue_url(&from.url).send().await;
        let sources = call
            .map(|output| output.queue_urls)
            .map_err(aws_error(Service::Sqs, "ListDeadLetterSourceQueues"));
        let mut is_dead_letter_queue = sources.as_ref().is_ok_and(|sources| !sources.is_empty());
        let to = match to {
            Some(to) => to,
            None => {
                let url = match sources {
                    Ok(sources) => only_source(&from, sources)?,
                    Err(error) => match source_by_name(&sqs, &from).await {
                        Some(url) => {
                            is_dead_letter_queue = true;
                            url
                        }
                        None => return Err(error.context("the destination is unknown, so pass --to").into()),
                    },
                };
                Destination { sqs: sqs.clone(), url, is_elsewhere: false }
            }
        };
        let Destination { sqs: to_sqs, url, is_elsewhere } = to;
        let to = QueueDescription::read(&to_sqs, &url).await.map_err(|error| error.context("--to"))?;
        if from.arn == to.arn {
            return Err(CommandError::invalid_input("--to: the same queue as --from"));
        }
        if from.is_fifo != to.is_fifo {
            return Err(CommandError::invalid_input(format!(
                "--to: {} is a {} queue, but {} is a {} queue",
                to.name(),
                to.kind(),
                from.name(),
                from.kind()
            )));
        }
        // Also in the same account, a running task takes messages while this redrive copies them.
        let move_tasks = match MoveTasks::read(&sqs, &from).await {
            MoveTasks::Running(task) => MoveTasks::Running(task),
            _ if !is_dead_letter_queue => MoveTasks::NotADeadLetterQueue,
            _ if is_elsewhere || place(&from.arn) != place(&to.arn) => MoveTasks::Elsewhere,
            move_tasks => move_tasks,
        };
        Ok(Self { sqs, to_sqs, from, to, move_tasks })
    }

    /// The copy to send of a message, if the destination accepts it.
    pub fn message(
        &self,
        message: &QueuedMessage,
        deduplication_id: Option<String>,
    ) -> Result<Message, Unsendable> {
        Unsendable::check_queue(message, &self.to)?;
        let message = message.to_message(deduplication_id)?;
        Unsendable::check_length(&message, &self.to)?;
        Ok(message)
    }

    /// Rejects a dead-letter queue with a running move task: the task and this redrive would take each
    /// other's messages.
    pub fn reject_running_task(&self) -> Result<()> {
        match &self.move_tasks {
            MoveTasks::Running(task) => Err(CommandError::failed(self.running_task_error(task))),
            _ => Ok(()),
        }
    }

    fn running_task_error(&self, task: &MoveTask) -> String {
        let name = self.from.name();
        format!(
            "nothing was sent, because a move task of {name} is running ({}). Wait for it with `replay move-task \
             follow {name}`, or end it with `replay move-task cancel {name} --yes`",
            task.progress()
        )
    }
}

impl MoveTasks {
    /// An error counts as a refusal: without a list, a task could not be followed.
    async fn read(sqs: &Client, queue: &QueueDescription) -> Self {
        match list(sqs, &queue.arn, 1).await {
            Ok(tasks) => tasks.into_iter().find(MoveTask::is_running).map_or(Self::Possible, Self::Running),
            Err(_) => Self::Refused,
        }
    }
}

/// Partition, region and account of a queue: its ARN without the name.
fn place(arn: &str) -> &str {
    arn.rsplit_once(':').map_or(arn, |(place, _)| place)
}

/// The queue that the template gives this dead-letter queue, for a role that may not list the sources. Its
/// own redrive policy says that it is one.
async fn source_by_name(sqs: &Client, from: &QueueDescription) -> Option<String> {
    let source = QueueDescription::read(sqs, from.url.strip_suffix("-dead-letters")?).await.ok()?;
    (source.dead_letter_queue.as_deref() == Some(&*from.arn)).then_some(source.url)
}

fn only_source(from: &QueueDescription, sources: Vec<String>) -> Result<String> {
    let problem = match <[String; 1]>::try_from(sources) {
        Ok([source]) => return Ok(source),
        Err(sources) if !sources.is_empty() => "several queues use",
        Err(_) if from.denies_sources => "the RedriveAllowPolicy is denyAll, so no queue can use",
        Err(_) => "no queue uses",
    };
    Err(CommandError::invalid_input(format!(
        "{problem} {} as a dead-letter queue. Pass --to to name the destination",
        from.name()
    )))
}
