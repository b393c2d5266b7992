//! `replay redrive`: options and output.

use clap::Args;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::ChangeOptions;
use crate::output::{self, counted, number};
use crate::progress::Progress;
use crate::queue::filter::Filter;
use crate::queue::inspect::command::{reject_no_match, render_tables, render_unseen};
use crate::queue::move_task::MoveTask;
use crate::queue::redrive::copy::move_one_by_one;
use crate::queue::redrive::move_task::run_move_task;
use crate::queue::redrive::plan::{Method, OneByOneReason, Plan};
use crate::queue::redrive::summary::RedriveSummary;
use crate::queue::redrive::{RedriveOptions, Route};

const EXAMPLES: &str = "\
Examples:
  replay redrive --from user-events-dlq
  replay redrive --from user-events-dlq --yes
  replay redrive --from user-events-dlq --error unknown_type --newer-than 2d --rate 100 --yes
  replay redrive --from user-events-dlq --to user-events-copy --type order.placed --max 1 --yes";

/// Move dead letters back to their queue, all or some of them.
///
/// A dry run shows which messages would move, and how. A message keeps its attributes, message
/// group and trace header. Its reason (error.type, error.message) is removed. Each message is
/// deleted only after SQS has accepted its copy, so you can run the command again wherever it
/// stopped. If all messages would move unchanged, SQS moves them in a move task
/// (StartMessageMoveTask).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Redrive {
    /// Dead-letter queue, by name, ARN or URL.
    #[arg(long, value_name = "QUEUE")]
    from: String,
    /// Destination queue. [default: the queue whose dead-letter queue is --from]
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Move at most this many messages.
    #[arg(long, value_name = "N", help_heading = "Message selection")]
    max: Option<usize>,
    /// Maximum number of messages per second. [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Send the old deduplication ids to a FIFO queue, and not new ones. SQS drops a message whose
    /// id it has seen in the last five minutes.
    #[arg(long)]
    keep_deduplication_ids: bool,
    /// Copy and delete messages one by one, and never use a move task.
    #[arg(long)]
    by_entry: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Redrive {
    pub async fn run(self) -> Result<()> {
        let account = self.change.open().await?;
        let from = account.queue_url(&self.from).await?;
        let to = match &self.to {
            Some(to) => Some(account.queue_url(to).await?),
            None => None,
        };
        let route = Route::new(account.sqs(), &from, to.as_deref()).await?;
        let options = RedriveOptions {
            filter: self.filter,
            max: self.max,
            rate: self.rate,
            keep_deduplication_ids: self.keep_deduplication_ids,
            one_by_one: self.by_entry,
        };
        route.reject_running_task()?;
        let (clock, stop) = (Clock::system(), StopSignal::on_signals());
        let progress = Progress::new("seen", Some(route.from.visible));
        let plan = Plan::read(&route, &options, &clock, &stop, &|seen| progress.set(seen)).await?;
        drop(progress);
        if stop.is_requested() {
            return Err(CommandError::interrupted("nothing was sent"));
        }
        output::print(&render_plan(&plan, &route, self.change.yes))?;
        if plan.to_move.messages == 0 {
            output::not_done("\nNothing to move.")?;
            reject_mistyped_options(&options.filter, &plan)?;
            if plan.unsendable_count() > 0 {
                return Err(CommandError::failed(UNSENDABLE));
            }
            if self.change.yes && !plan.unseen.is_empty() {
                return Err(CommandError::failed(
                    "not all messages were seen. Run the command again when the others are visible",
                ));
            }
            return Ok(());
        }
        if !self.change.yes {
            let messages = counted(plan.to_move.messages, "message");
            return output::not_done(&format!("\nDry run: nothing was sent. Add --yes to move {messages}."));
        }
        let planned = plan.counts(&route);
        let progress = Progress::new("moved", Some(options.max.unwrap_or(usize::MAX).min(planned.to_move)));
        match plan.method {
            Method::MoveTask => {
                let polled = |moved, total| progress.set_of(moved, total);
                let task = run_move_task(&route, options.rate, &stop, &polled).await?;
                drop(progress);
                report_move_task(&task, &stop)
            }
            Method::OneByOne(_) => {
                let done = |moved| progress.set(moved);
                let summary = move_one_by_one(&route, &options, Some(planned), &clock, &stop, &done).await;
                drop(progress);
                report(summary, plan.unsendable_count(), &stop)
            }
        }
    }
}

/// Messages that a redrive can never move.
const UNSENDABLE: &str = "some of the messages stayed, because SQS rejects them as they are. Correct them in a file \
                          (see `replay help save`)";

/// An option with a typing error looks like an empty queue otherwise.
fn reject_mistyped_options(filter: &Filter, plan: &Plan) -> Result<()> {
    match filter.is_empty() || plan.unsendable_count() > 0 {
        true => Ok(()),
        false => reject_no_match(&plan.to_stay.by_type),
    }
}

fn render_plan(plan: &Plan, route: &Route, will_move: bool) -> String {
    let mut text = format!("from  {}\nto    {}\n", route.from.arn, route.to.arn);
    match plan.method {
        Method::MoveTask => text += "how   moved by SQS in a move task\n",
        Method::OneByOne(reason) => {
            text += &format!("how   copied and deleted one by one: {}\n", explain(reason));
        }
    }
    let verb = if will_move { "will" } else { "would" };
    text += &format!("\n{} {verb} move", counted(plan.to_move.messages, "message"));
    if plan.to_stay.messages > 0 {
        text += &format!(", {} {verb} stay", number(plan.to_stay.messages));
    }
    text += &format!("\n{}", render_unseen(&plan.unseen));
    for (reason, count) in &plan.unsendable {
        text += &format!("{} of these {verb} stay, because SQS rejects them: {reason}\n", number(*count));
    }
    let rejected = plan.rejected_again();
    if rejected > 0 {
        text += &format!(
            "{} of these {verb} become dead letters again. Correct them in a file (see `replay help save`)\n",
            number(rejected)
        );
    }
    if plan.to_move.messages > 0 || plan.to_stay.messages == 0 {
        return text + &render_tables(&plan.to_move);
    }
    text + "\nMessages that stay\n" + &render_tables(&plan.to_stay)
}

fn explain(reason: OneByOneReason) -> &'static str {
    match reason {
        OneByOneReason::Requested => "--by-entry",
        OneByOneReason::Filter => "only some messages match",
        OneByOneReason::Max => "--max",
        OneByOneReason::Rate => "a move task moves at most 500 messages a second",
        OneByOneReason::KeepDeduplicationIds => "--keep-deduplication-ids",
        OneByOneReason::Reasons => "the reasons of dead letters must be removed",
        OneByOneReason::Unseen => "not all messages were seen",
        OneByOneReason::Unsendable => "SQS rejects some of the messages",
        OneByOneReason::MoveTasksRefused => "SQS does not list move tasks, or your role may not list them",
        OneByOneReason::NotADeadLetterQueue => {
            "no queue uses --from as its dead-letter queue, or your role may not list such queues"
        }
    }
}

fn report_move_task(task: &MoveTask, stop: &StopSignal) -> Result<()> {
    let moved = format!("{} moved, according to SQS", counted(task.moved, "message"));
    if task.left_behind() > 0 {
        return Err(CommandError::failed(format!(
            "the move task ended as COMPLETED, but only {}, according to SQS. Run `replay inspect` to see what stayed",
            task.progress()
        )));
    }
    if stop.is_requested() {
        return Err(CommandError::interrupted(format!("the move task was canceled, {moved}")));
    }
    output::done_ignoring_broken_pipe(&format!("\n{moved}."))
}

fn report(summary: RedriveSummary, unsendable: usize, stop: &StopSignal) -> Result<()> {
    let text = render_summary(&summary);
    let is_complete = summary.is_complete() && !stop.is_requested();
    if is_complete && unsendable == 0 {
        return output::done_ignoring_broken_pipe(&format!("\n{}", text.trim_end()));
    }
    output::print(&format!("\n{text}"))?;
    if let Some(error) = summary.error {
        let cause = crate::aws_error::describe(error.as_ref());
        return Err(CommandError::failed(format!(
            "not all messages were moved: {cause}. Correct this, then run the command again"
        )));
    }
    if stop.is_requested() {
        return Err(CommandError::interrupted("run the command again to move the rest"));
    }
    if is_complete || summary.is_final() {
        return Err(CommandError::failed(UNSENDABLE));
    }
    Err(CommandError::failed("not all messages were moved. Run the command again"))
}

/// One line for each result that an operator needs to know.
fn render_summary(summary: &RedriveSummary) -> String {
    let stayed = match summary.stayed {
        _ if summary.is_stopped_early => ", the others stayed".to_owned(),
        0 => String::new(),
        stayed => format!(", {} stayed", number(stayed)),
    };
    let mut text = format!("{} moved{stayed}\n", counted(summary.moved, "message"));
    let mut line = |count: usize, what: &str| {
        if count > 0 {
            text += &format!("{} {what}\n", number(count));
        }
    };
    line(
        summary.in_both,
        "sent, but perhaps not deleted. The next run sends those that are still there again",
    );
    line(summary.in_doubt, "in doubt: still there, and perhaps sent. The next run sends them again");
    for (code, count) in &summary.rejected {
        line(*count, &format!("stayed, rejected by SQS: {code}"));
    }
    for (reason, count) in &summary.not_sent {
        line(*count, &format!("stayed, not sent: {reason}"));
    }
    line(summary.still_invisible, "of those that stayed are invisible for up to 15 minutes");
    text + &render_unseen(&summary.unseen)
}
