//! A redrive in a move task.

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::aws_error::{Service, aws_error, explain};
use crate::interrupt::StopSignal;
use crate::queue::move_task::{CANCELLED, MoveTask, POLL_INTERVAL, latest};
use crate::queue::redrive::Route;

/// Polls that may pass before SQS lists a task that was started.
const MAX_POLLS_UNLISTED: u32 = 60;
/// Polls that look for the task after the call to start it failed.
const MAX_POLLS_AFTER_ERROR: u32 = 3;

/// Starts a move task and polls its counts until it ends. If a stop is requested, it cancels the
/// task. Returns the task as it ended: COMPLETED, or CANCELLED after the request. It always names the
/// destination: SQS does not know where the messages came from that workers dead-lettered.
pub async fn run_move_task(
    route: &Route,
    rate: Option<u32>,
    stop: &StopSignal,
    progress: &dyn Fn(usize, Option<usize>),
) -> Result<MoveTask> {
    let latest_task = || latest(&route.sqs, &route.from.arn);
    let earlier = latest_task().await.context("nothing was moved")?.map(|task| task.started_millis);
    let call = route.sqs.start_message_move_task().source_arn(&route.from.arn);
    let call = call.destination_arn(&route.to.arn);
    let call = call.set_max_number_of_messages_per_second(rate.and_then(|rate| i32::try_from(rate).ok()));
    if let Err(error) = call.send().await.map_err(aws_error(Service::Sqs, "StartMessageMoveTask")) {
        // SQS may have started the task, and its answer was lost.
        let is_ours = |task: &MoveTask| {
            Some(task.started_millis) != earlier && task.destination.as_ref() == Some(&route.to.arn)
        };
        let mut polls = 0;
        loop {
            let Ok(task) = latest_task().await else {
                let name = route.from.name();
                return Err(error.context(format!(
                    "a move task may be running: look with `replay move-task list {name}`"
                )));
            };
            if task.as_ref().is_some_and(is_ours) {
                break;
            }
            polls += 1;
            if polls == MAX_POLLS_AFTER_ERROR {
                return Err(match task.filter(MoveTask::is_running) {
                    Some(task) => error.context(route.running_task_error(&task)),
                    None => error
                        .context("nothing was moved. Pass --by-entry to move messages without a move task"),
                });
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
        let task = latest_task().await.context("the move task continues in SQS, but its state is unknown")?;
        // SQS lists the latest task first: ours, once it is listed.
        let Some(mut task) = task.filter(|task| Some(task.started_millis) != earlier) else {
            polls_unlisted += 1;
            if polls_unlisted > MAX_POLLS_UNLISTED {
                bail!("SQS started the move task, but does not list it. Inspect both queues");
            }
            continue;
        };
        if let (true, Some(handle)) = (is_canceled, &task.handle) {
            // The call fails if the task has ended. The list of tasks shows that.
            let _ = route.sqs.cancel_message_move_task().task_handle(handle).send().await;
        }
        moved = task.moved.max(moved);
        task.moved = moved;
        progress(moved, task.to_move);
        match task.status.as_str() {
            _ if task.is_running() => {}
            "COMPLETED" => return Ok(task),
            CANCELLED if is_canceled => return Ok(task),
            status => {
                let reason = task.failure_reason.as_deref().unwrap_or("SQS gives no reason");
                let reason = explain(Some(Service::Sqs), reason, None);
                bail!("the move task ended as {status} after about {moved} messages: {reason}");
            }
        }
    }
}
