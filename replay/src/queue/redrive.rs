//! Moves dead letters back to a queue.
//!
//! [`plan`] shows which messages would move, and how. Then either SQS moves them in a
//! [`move_task`], or [`copy`] copies and deletes them one by one. A message is deleted only after
//! SQS has accepted its copy. So wherever a run stops, each message is in at least one of the
//! queues. Between copy and deletion it is in both.

pub mod command;
pub mod copy;
pub mod move_task;
pub mod plan;
pub mod summary;

use anyhow::Context;
use aws_sdk_sqs::Client;

use crate::aws_error::{Service, aws_error};
use crate::error::{CommandError, Result};
use crate::queue::description::QueueDescription;
use crate::queue::filter::Filter;

/// The queues that messages move between.
#[derive(Clone, Debug)]
pub struct Route {
    pub sqs: Client,
    /// The dead-letter queue.
    pub from: QueueDescription,
    /// The destination.
    pub to: QueueDescription,
    /// Whether `from` is the dead-letter queue of any queue. Move tasks need that.
    pub is_dead_letter_queue: bool,
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
}

impl Route {
    /// Describes both queues, and rejects pairs that cannot work. Without `to`, the destination is
    /// the only queue whose dead-letter queue is `from`.
    pub async fn new(sqs: Client, from: &str, to: Option<&str>) -> Result<Self> {
        let from = QueueDescription::read(&sqs, from).await.map_err(|error| error.context("--from"))?;
        from.reject_source_queue().map_err(|error| error.context("--from"))?;
        let call = sqs.list_dead_letter_source_queues().queue_url(&from.url).send().await;
        let sources = call
            .map(|output| output.queue_urls)
            .map_err(aws_error(Service::Sqs, "ListDeadLetterSourceQueues"));
        let is_dead_letter_queue = sources.as_ref().is_ok_and(|sources| !sources.is_empty());
        let to = match to {
            Some(to) => to.to_owned(),
            None => only_source(&from, sources.context("the destination is unknown, so pass --to")?)?,
        };
        let to = QueueDescription::read(&sqs, &to).await.map_err(|error| error.context("--to"))?;
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
        Ok(Self { sqs, from, to, is_dead_letter_queue })
    }
}

fn only_source(from: &QueueDescription, sources: Vec<String>) -> Result<String> {
    let problem = match <[String; 1]>::try_from(sources) {
        Ok([source]) => return Ok(source),
        Err(sources) if sources.is_empty() => "no queue uses",
        Err(_) => "several queues use",
    };
    Err(CommandError::invalid_input(format!(
        "{problem} {} as a dead-letter queue. Pass --to to name the destination",
        from.name()
    )))
}
