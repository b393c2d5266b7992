//! `replay move-task`: options and output.

use clap::{Args, Subcommand};
use shared::text::printable;
use tokio::time::Instant;

use crate::account::AccountOptions;
use crate::aws_error::{Service, aws_error, explain};
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::ChangeOptions;
use crate::output;
use crate::progress::Progress;
use crate::queue::description::QueueDescription;
use crate::queue::move_task::report::{CancelReport, MoveTaskReport, MoveTasksReport, QueueTasksReport};
use crate::queue::move_task::{CANCELLED, MoveTask, POLL_INTERVAL, latest, list};

const EXAMPLES: &str = "\
Examples:
  replay move-task list --stack cognito-user-events
  replay move-task follow user-events-dead-letters
  replay move-task cancel user-events-dead-letters --yes";

/// SQS lists at most this many tasks of a queue.
const MAX_LISTED: i32 = 10;

/// List, follow or cancel the move tasks of a dead-letter queue.
///
/// In a move task (StartMessageMoveTask), SQS itself moves all messages of a dead-letter queue.
/// `replay redrive`, the AWS console and the AWS CLI start such tasks. SQS runs one task at a time for
/// each queue, and all of its counts are approximations.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum MoveTaskCommand {
    List(List),
    Follow(Follow),
    Cancel(Cancel),
}

/// List the latest move tasks of a queue, at most ten, or of every dead-letter queue of a stack.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  replay move-task list user-events-dead-letters\n  \
    replay move-task list --stack cognito-user-events\n  \
    replay move-task list user-events-dead-letters --json | jq .queues[0].tasks[0].status")]
pub struct List {
    /// Dead-letter queue, by name, ARN or URL. Without it, the dead-letter queues of the stack.
    queue: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    account: AccountOptions,
}

/// Wait until the latest move task of a queue has ended, and show its progress.
///
/// The exit code is 0 if the task moved all messages. If you interrupt the command, the task continues.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  replay move-task follow user-events-dead-letters\n  \
    replay move-task follow user-events-dead-letters && replay inspect user-events-dead-letters")]
pub struct Follow {
    /// Dead-letter queue, by name, ARN or URL.
    queue: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    account: AccountOptions,
}

/// Cancel the running move task of a queue.
///
/// Messages that were moved stay moved. The others stay in the dead-letter queue. The command waits until
/// the task has ended.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  replay move-task cancel user-events-dead-letters\n  \
    replay move-task cancel user-events-dead-letters --yes")]
pub struct Cancel {
    /// Dead-letter queue, by name, ARN or URL.
    queue: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl MoveTaskCommand {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(command) => command.run().await,
            Self::Follow(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
        }
    }

    /// True if the command changes the account.
    pub fn changes_account(&self) -> bool {
        matches!(self, Self::Cancel(command) if command.change.yes)
    }
}

/// A dead-letter queue and the client to call it.
struct Tasks {
    sqs: aws_sdk_sqs::Client,
    queue: QueueDescription,
}

impl Tasks {
    async fn of(account: &crate::account::Account, name: &str) -> Result<Self> {
        let (url, sqs) = (account.queue_url(name).await?, account.sqs());
        let queue = QueueDescription::read(&sqs, &url).await.map_err(|error| error.context(name))?;
        Ok(Self { sqs, queue })
    }

    async fn latest(&self) -> Result<MoveTask> {
        let task = latest(&self.sqs, &self.queue.arn).await?;
        task.ok_or_else(|| CommandError::failed(format!("SQS lists no move task of {}", self.queue.name())))
    }

    /// Waits until a task has ended. An interruption leaves it running.
    async fn follow(&self, mut task: MoveTask, stop: &StopSignal) -> Result<MoveTask> {
        let progress = Progress::new("moved", task.to_move);
        while task.is_running() {
            progress.set_of(task.moved, task.to_move);
            if !stop.sleep_until(Instant::now() + POLL_INTERVAL).await {
                drop(progress);
                let text = format!("{}. The move task continues in SQS", task.progress());
                return Err(CommandError::interrupted(text));
            }
            let latest =
                self.latest().await.map_err(|error| error.context("the move task continues in SQS"))?;
            if latest.started_millis != task.started_millis {
                return Err(CommandError::failed(
                    "the move task has ended, and another one was started. Run the command again to follow it",
                ));
            }
            task = latest;
        }
        Ok(task)
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let account = self.account.open().await?;
        let names: Vec<String> = match &self.queue {
            Some(queue) => vec![queue.clone()],
            None => account.stack().await?.dead_letter_queues().map(|(_, url)| url.to_owned()).collect(),
        };
        let mut queues = Vec::new();
        for name in names {
            let Tasks { sqs, queue } = Tasks::of(&account, &name).await?;
            let listed = list(&sqs, &queue.arn, MAX_LISTED).await;
            let listed = listed.map_err(|error| CommandError::from(error).context(queue.name()))?;
            if !self.json {
                let lines: String = listed.iter().map(render).collect();
                let text = match (lines.as_str(), &self.queue) {
                    ("", _) => format!("{}: no move tasks\n", queue.name()),
                    (_, Some(_)) => lines,
                    (_, None) => format!("{}:\n{lines}", queue.name()),
                };
                output::print(&text)?;
            }
            let tasks = listed.iter().map(MoveTaskReport::from).collect();
            queues.push(QueueTasksReport { queue: queue.arn, tasks });
        }
        if self.json { output::json(&MoveTasksReport { queues }) } else { Ok(()) }
    }
}

impl Follow {
    async fn run(self) -> Result<()> {
        let tasks = Tasks::of(&self.account.open().await?, &self.queue).await?;
        let stop = StopSignal::on_signals();
        let task = tasks.follow(tasks.latest().await?, &stop).await?;
        match self.json {
            true => output::json(&MoveTaskReport::from(&task))?,
            false => output::print(&render(&task))?,
        }
        reject_incomplete(&task)
    }
}

impl Cancel {
    async fn run(self) -> Result<()> {
        let tasks = Tasks::of(&self.change.open().await?, &self.queue).await?;
        let task = tasks.latest().await?;
        self.print(&tasks, &task)?;
        let name = tasks.queue.name();
        if !task.is_running() {
            return Err(CommandError::failed(format!("no move task of {name} is running")));
        }
        let Some(handle) = &task.handle else {
            return Err(CommandError::failed(format!(
                "the move task of {name} is being canceled. Wait for it with `replay move-task follow {name}`"
            )));
        };
        if !self.change.yes {
            if self.json {
                return Ok(());
            }
            return output::not_done("Dry run: nothing was canceled. Add --yes to cancel the move task.");
        }
        let call = tasks.sqs.cancel_message_move_task().task_handle(handle);
        let canceled = call.send().await.map_err(aws_error(Service::Sqs, "CancelMessageMoveTask"));
        // The call fails if the task has ended meanwhile.
        if let Err(error) = canceled
            && tasks.latest().await?.is_running()
        {
            return Err(error.into());
        }
        let task = tasks.follow(task, &StopSignal::on_signals()).await.map_err(|error| match error {
            error if error.is_interruption() => CommandError::interrupted(format!(
                "the move task is being canceled. Look with `replay move-task list {name}`"
            )),
            error => error,
        })?;
        self.print_end(&tasks, &task)?;
        match task.status.as_str() {
            CANCELLED => Ok(()),
            status => Err(CommandError::failed(format!("the move task had ended as {status} before"))),
        }
    }

    /// The task before it is canceled. As JSON only if that is all.
    fn print(&self, tasks: &Tasks, task: &MoveTask) -> Result<()> {
        match self.json {
            true if self.change.yes && task.is_running() => Ok(()),
            true => self.print_end(tasks, task),
            false => output::print(&render(task)),
        }
    }

    fn print_end(&self, tasks: &Tasks, task: &MoveTask) -> Result<()> {
        if !self.json {
            return output::print(&render(task));
        }
        let queue = tasks.queue.arn.clone();
        output::json(&CancelReport { dry_run: !self.change.yes, queue, task: task.into() })
    }
}

/// The reason if a task did not move all messages.
fn reject_incomplete(task: &MoveTask) -> Result<()> {
    match task.status.as_str() {
        "COMPLETED" if task.left_behind() == 0 => Ok(()),
        status => Err(CommandError::failed(format!(
            "not all messages were moved, and the move task ended as {status}. Run `replay inspect` to see what stayed"
        ))),
    }
}

/// One line, and another one with SQS's reason for a failure.
fn render(task: &MoveTask) -> String {
    let started = task.started_at().map(|time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
    let started = started.unwrap_or_default();
    let mut text = format!("{started}  {:<10} {}\n", task.status, task.progress());
    if let Some(reason) = &task.failure_reason {
        text += &format!("  {}\n", printable(&explain(Some(Service::Sqs), reason, None)));
    }
    text
}
