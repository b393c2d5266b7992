//! A move task: SQS moves all messages of a dead-letter queue.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::types::ListMessageMoveTasksResultEntry;
use tokio::time::{Instant, sleep};

use crate::aws_error::{Service, aws_error, explain};
use crate::interrupt::StopSignal;
use crate::queue::redrive::Route;

/// SQS: a task moves at most this many messages per second.
pub const MAX_RATE: u32 = 500;
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Polls that may pass before SQS lists a task that was started.
const MAX_POLLS_UNLISTED: u32 = 60;
/// Polls that look for the task after the call to start it failed.
const MAX_POLLS_AFTER_ERROR: u32 = 3;

/// Starts a move task and polls its counts until it ends. If a stop is requested, it cancels the
/// task. Returns the number of moved messages according to SQS. It always names the destination:
/// SQS does not know where the messages came from that workers dead-lettered.
pub async fn run_move_task(
    route: &Route,
    rate: Option<u32>,
    stop: &StopSignal,
    progress: &dyn Fn(usize, Option<usize>),
) -> Result<usize> {
    let earlier = latest_task(route).await.context("nothing was moved")?.map(|task| task.started_timestamp());
    let call = route.sqs.start_message_move_task().source_arn(&route.from.arn);
    let call = call.destination_arn(&route.to.arn);
    let call = call.set_max_number_of_messages_per_second(rate.and_then(|rate| i32::try_from(rate).ok()));
    if let Err(error) = call.send().await.map_err(aws_error(Service::Sqs, "StartMessageMoveTask")) {
        // SQS may have started the task, and its answer was lost.
        let is_ours = |task: &ListMessageMoveTasksResultEntry| {
            Some(task.started_timestamp()) != earlier && task.destination_arn() == Some(&route.to.arn)
        };
        let mut polls = 0;
        while !latest_task(route).await?.is_some_and(|task| is_ours(&task)) {
            polls += 1;
            if polls == MAX_POLLS_AFTER_ERROR {
                return Err(
                    error.context("nothing was moved. Pass --by-entry to move messages without a move task")
                );
            }
            sleep(POLL_INTERVAL).await;
        }
    }
    let (mut moved, mut is_canceled, mut polls_unlisted) = (0, false, 0);
    loop {
        if is_canceled {
            sleep(POLL_INTERVAL).await;
        } else {
            is_canceled = !stop.sleep_until(Instant::now() + POLL_INTERVAL).await;
        }
        let task =
            latest_task(route).await.context("the move task continues in SQS, but its state is unknown")?;
        // SQS lists the latest task first: ours, once it is listed.
        let Some(task) = task.filter(|task| Some(task.started_timestamp()) != earlier) else {
            polls_unlisted += 1;
            if polls_unlisted > MAX_POLLS_UNLISTED {
                bail!("SQS started the move task, but does not list it. Inspect both queues");
            }
            continue;
        };
        if let (true, Some(handle)) = (is_canceled, task.task_handle()) {
            // The call fails if the task has ended. The list of tasks shows that.
            let _ = route.sqs.cancel_message_move_task().task_handle(handle).send().await;
        }
        moved = to_usize(task.approximate_number_of_messages_moved()).max(moved);
        progress(moved, task.approximate_number_of_messages_to_move().map(to_usize));
        match task.status().unwrap_or_default() {
            "RUNNING" | "CANCELLING" => {}
            "COMPLETED" => return Ok(moved),
            "CANCELLED" if is_canceled => return Ok(moved),
            status => {
                let reason = task.failure_reason().unwrap_or("SQS gives no reason");
                let reason = explain(Some(Service::Sqs), reason, None);
                bail!("the move task ended as {status} after about {moved} messages: {reason}");
            }
        }
    }
}

/// The move task of the dead-letter queue that was started last.
async fn latest_task(route: &Route) -> Result<Option<ListMessageMoveTasksResultEntry>> {
    let call = route.sqs.list_message_move_tasks().source_arn(&route.from.arn).max_results(1);
    let output = call.send().await.map_err(aws_error(Service::Sqs, "ListMessageMoveTasks"))?;
    Ok(output.results.unwrap_or_default().into_iter().next())
}

fn to_usize(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}
