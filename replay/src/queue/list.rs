//! The state of queues: how many messages they have, how old the oldest one is, and what to do next.

pub mod command;
pub mod report;

use anyhow::Result;
use aws_sdk_sqs::Client;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use shared::function_id::FunctionId;
use shared::time::minus_seconds;

use crate::aws_error::{Service, aws_error, describe};
use crate::cloudwatch::{MetricData, MetricQuery, whole};
use crate::error::CommandError;
use crate::output::{counted, duration};
use crate::queue::description::QueueDescription;
use crate::queue::list::report::{MoveTaskReport, NextStep, QueueReport};
use crate::queue::move_task;
use crate::stack::Stack;

/// Queues that are read at once.
const CONCURRENCY: usize = 8;
/// SQS sends its metrics to CloudWatch each minute. After a quiet time, it takes up to 15 minutes until
/// it begins. Source: Amazon SQS Developer Guide, *Available CloudWatch metrics for Amazon SQS*.
const METRIC_SECONDS: i64 = 15 * 60;
/// Age of the oldest message of a source queue from which on it is worth a look. The alarms on the age
/// of messages have 15 or 30 minutes.
pub const LATE_SECONDS: u64 = 15 * 60;
/// Dead letters that expire in less time are saved first.
const SAVE_FIRST_SECONDS: u64 = 24 * 3600;

/// Queues, and what could not be read about them.
#[derive(Debug, Default)]
pub struct Queues {
    pub queues: Vec<QueueReport>,
    /// Why the ages of the oldest messages could not be read.
    pub ages_error: Option<String>,
}

/// Reads the state of the queues at `urls`, in this order. A queue that cannot be read has an error in
/// its report.
pub async fn read_queues(
    sqs: &Client,
    cloudwatch: &aws_sdk_cloudwatch::Client,
    urls: &[String],
    now: Timestamp,
) -> Queues {
    let described: Vec<(QueueReport, Option<String>)> =
        stream::iter(urls).map(|url| read_queue(sqs, url)).buffered(CONCURRENCY).collect().await;
    let (mut queues, arns): (Vec<QueueReport>, Vec<Option<String>>) = described.into_iter().unzip();
    let mut ages_error = None;
    for queue in &mut queues {
        queue.is_dead_letter_queue |= arns.contains(&Some(queue.name.clone()));
    }
    match read_ages(cloudwatch, &queues, now).await {
        Ok(ages) => {
            for (queue, age) in queues.iter_mut().zip(ages) {
                queue.set_age(age);
            }
        }
        Err(error) => ages_error = Some(describe(error.as_ref())),
    }
    Queues { queues, ages_error }
}

/// The report of one queue, and the name of its dead-letter queue.
async fn read_queue(sqs: &Client, url: &str) -> (QueueReport, Option<String>) {
    let mut report = QueueReport::unread(url);
    let description = match QueueDescription::read(sqs, url).await {
        Ok(description) => description,
        Err(CommandError::Failed(error)) => {
            report.error = Some(describe(error.as_ref()));
            return (report, None);
        }
        Err(error) => {
            report.error = Some(error.to_string());
            return (report, None);
        }
    };
    let arn = description.arn.clone();
    let target = description.dead_letter_queue.clone();
    report.read(description);
    if target.is_none() {
        // Only a dead-letter queue can have a move task. If a queue is one is worth no error: the counts
        // are there already.
        report.is_dead_letter_queue =
            report.name.ends_with("-dead-letters") || has_sources(sqs, url).await.unwrap_or(false);
        let task = move_task::latest(sqs, &arn).await.ok().flatten();
        report.move_task = task.filter(|task| task.is_running()).map(|task| MoveTaskReport::of(&task));
    }
    (report, target.map(|arn| arn.rsplit(':').next().unwrap_or_default().to_owned()))
}

/// True if a queue has this one as its dead-letter queue.
async fn has_sources(sqs: &Client, url: &str) -> Result<bool> {
    let call = sqs.list_dead_letter_source_queues().queue_url(url).into_paginator().items().send();
    let sources = call.try_collect().await;
    let sources: Vec<String> = sources.map_err(aws_error(Service::Sqs, "ListDeadLetterSourceQueues"))?;
    Ok(!sources.is_empty())
}

/// The age of each queue's oldest message in seconds. `None` if CloudWatch has no value.
async fn read_ages(
    cloudwatch: &aws_sdk_cloudwatch::Client,
    queues: &[QueueReport],
    now: Timestamp,
) -> Result<Vec<Option<u64>>> {
    let metrics: Vec<MetricQuery> = queues.iter().map(|queue| oldest_message(&queue.name)).collect();
    if metrics.is_empty() {
        return Ok(Vec::new());
    }
    let data = MetricData::read(cloudwatch, &metrics, (minus_seconds(now, METRIC_SECONDS), now), 60).await?;
    Ok(metrics.iter().map(|metric| data.latest(metric).map(whole)).collect())
}

fn oldest_message(queue: &str) -> MetricQuery {
    MetricQuery::maximum("AWS/SQS", "ApproximateAgeOfOldestMessage", [("QueueName", queue.to_owned())])
}

/// What to do about a queue. `None` if nothing needs a look. `stack` knows the log of the queue's worker.
pub fn next_step(queue: &QueueReport, stack: Option<&Stack>) -> Option<NextStep> {
    let name = &queue.name;
    if let Some(error) = &queue.error {
        return Some(NextStep { reason: error.clone(), command: None });
    }
    if let Some(task) = &queue.move_task {
        return Some(NextStep {
            reason: format!("a move task runs: {}", task.progress),
            command: Some(format!("replay move-task follow {name}")),
        });
    }
    let dead_letters = queue.visible + queue.in_flight + queue.delayed;
    if queue.is_dead_letter_queue && dead_letters > 0 {
        let letters = counted(dead_letters, "dead letter");
        return Some(match queue.expires_in_at_most_seconds {
            Some(seconds) if seconds < SAVE_FIRST_SECONDS => NextStep {
                reason: format!(
                    "{letters}, and the oldest expires within {}: save them first",
                    duration(seconds)
                ),
                command: Some(format!("replay save {name} --out {name}.ndjson")),
            },
            _ => NextStep { reason: letters, command: Some(format!("replay inspect {name} --sample 3")) },
        });
    }
    let age =
        queue.oldest_message_seconds.filter(|age| *age >= LATE_SECONDS && !queue.is_dead_letter_queue)?;
    Some(NextStep {
        reason: format!("the oldest message has waited for {}", duration(age)),
        command: stack.and_then(|stack| Some(errors_in_log(&stack.log_group(worker_of(stack, name)?)?))),
    })
}

/// The function that consumes a queue of the stack.
fn worker_of(stack: &Stack, queue: &str) -> Option<FunctionId> {
    FunctionId::workers().find(|worker| worker.queue() == Some(stack.short_name(queue)))
}

/// The command that shows the errors in a log of the last hour.
pub fn errors_in_log(log_group: &str) -> String {
    format!("aws logs tail {log_group} --since 1h --filter-pattern '\"error_type\"'")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/shop-user-events";

    fn queue(visible: usize, age: Option<u64>) -> QueueReport {
        let mut queue = QueueReport { visible, retention_seconds: 14 * 86_400, ..QueueReport::unread(URL) };
        queue.set_age(age);
        queue
    }

    fn dead_letter_queue(visible: usize, age: Option<u64>) -> QueueReport {
        let mut queue = QueueReport { is_dead_letter_queue: true, ..queue(visible, None) };
        queue.set_age(age);
        queue
    }

    #[test]
    fn next_step_follows_from_the_state_of_a_queue() {
        let moving = MoveTaskReport {
            moved: 1,
            to_move: Some(2),
            progress: "1 of 2 messages moved to user-events".to_owned(),
        };
        for (queue, reason, command) in [
            (queue(0, None), None, None),
            (queue(70, Some(LATE_SECONDS - 1)), None, None),
            (queue(70, Some(3_600)), Some("the oldest message has waited for 1h"), None),
            // CloudWatch is some minutes late.
            (queue(0, Some(3_600)), None, None),
            (dead_letter_queue(0, None), None, None),
            (
                dead_letter_queue(1, Some(3_600)),
                Some("1 dead letter"),
                Some("replay inspect shop-user-events --sample 3"),
            ),
            (
                dead_letter_queue(6, Some(13 * 86_400 + 3_600)),
                Some("6 dead letters, and the oldest expires within 23h: save them first"),
                Some("replay save shop-user-events --out shop-user-events.ndjson"),
            ),
            (
                QueueReport { move_task: Some(moving), ..dead_letter_queue(6, None) },
                Some("a move task runs: 1 of 2 messages moved to user-events"),
                Some("replay move-task follow shop-user-events"),
            ),
            (
                QueueReport { error: Some("SQS GetQueueAttributes: AccessDenied".into()), ..queue(0, None) },
                Some("SQS GetQueueAttributes: AccessDenied"),
                None,
            ),
        ] {
            let expected = reason
                .map(|reason| NextStep { reason: reason.to_owned(), command: command.map(str::to_owned) });
            assert_eq!(next_step(&queue, None), expected, "{queue:?}");
        }
    }
}
