//! `replay redrive`: options and the order of the steps.

use clap::Args;
use shared::time::Clock;

use crate::account::Account;
use crate::aws_error::describe;
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::ChangeOptions;
use crate::output::{self, counted};
use crate::progress::Progress;
use crate::queue::filter::Filter;
use crate::queue::inspect::command::reject_no_match;
use crate::queue::move_task::{CANCELLED, MoveTask};
use crate::queue::redrive::copy::move_one_by_one;
use crate::queue::redrive::destination::{Destination, DestinationOptions};
use crate::queue::redrive::move_task::run_move_task;
use crate::queue::redrive::plan::{Method, Plan};
use crate::queue::redrive::report::{QueueReport, RedriveReport};
use crate::queue::redrive::summary::RedriveSummary;
use crate::queue::redrive::text::{participle, render_plan, render_summary};
use crate::queue::redrive::{RedriveOptions, Route};

const EXAMPLES: &str = "\
Examples:
  replay redrive --from user-events-dead-letters
  replay redrive --from user-events-dead-letters --error unknown_type --newer-than 2d --rate 100 --yes
  replay redrive --all --stack cognito-user-events --yes
  replay redrive --from user-events-dead-letters --to user-events --to-profile staging --keep --max 10 --yes";

/// Messages that a redrive can never move.
const UNSENDABLE: &str = "some of the messages stayed, because SQS rejects them as they are. Correct them in a file \
                          (see `replay help save`)";

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
    #[arg(long, value_name = "QUEUE", required_unless_present = "all")]
    from: Option<String>,
    /// Every dead-letter queue of the stack. A failure in one does not stop the others.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    all: bool,
    #[command(flatten)]
    destination: DestinationOptions,
    #[command(flatten)]
    filter: Filter,
    /// Move at most this many messages. With --all: of each queue.
    #[arg(long, value_name = "N", help_heading = "Message selection")]
    max: Option<usize>,
    /// Maximum number of messages per second. [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Copy messages, and delete none. A second run copies them again.
    #[arg(long)]
    keep: bool,
    /// Send the old deduplication ids to a FIFO queue, and not new ones. SQS drops a message whose
    /// id it has seen in the last five minutes.
    #[arg(long)]
    keep_deduplication_ids: bool,
    /// Copy and delete messages one by one, and never use a move task.
    #[arg(long)]
    by_entry: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// A dead-letter queue, and what became of it so far.
struct Job {
    /// Name for people.
    name: String,
    planned: Option<(Route, Plan)>,
    report: QueueReport,
    error: Option<CommandError>,
}

/// How the messages of a queue were moved.
enum Outcome {
    MoveTask(MoveTask),
    OneByOne(RedriveSummary),
}

impl Redrive {
    pub async fn run(self) -> Result<()> {
        let account = self.change.open().await?;
        let queues = self.queues(&account).await?;
        let options = RedriveOptions {
            filter: self.filter.clone(),
            max: self.max,
            rate: self.rate,
            keep_deduplication_ids: self.keep_deduplication_ids,
            one_by_one: self.by_entry,
            keeps: self.keep,
        };
        let (clock, stop) = (Clock::system(), StopSignal::on_signals());
        let mut jobs = Vec::new();
        for (name, url, to) in queues {
            let planned = plan(&account, &url, to, &options, &clock, &stop).await;
            if stop.is_requested() {
                return Err(CommandError::interrupted("nothing was sent"));
            }
            let job = match planned {
                Ok((route, plan)) => {
                    let report = QueueReport::of(&route, &plan);
                    Job { name, planned: Some((route, plan)), report, error: None }
                }
                // The only queue: its error is that of the command.
                Err(error) if !self.all => return Err(error),
                Err(error) => {
                    let report = QueueReport {
                        from: name.clone(),
                        error: Some(error.to_string()),
                        ..QueueReport::default()
                    };
                    Job { name, planned: None, report, error: Some(error) }
                }
            };
            self.print(|| self.render_job(&job))?;
            jobs.push(job);
        }
        let to_move: usize =
            jobs.iter().filter_map(|job| Some(job.planned.as_ref()?.1.to_move.messages)).sum();
        if to_move == 0 {
            self.not_done(&format!("{}Nothing to move.", self.gap()))?;
        } else if !self.change.yes {
            let (messages, verb) = (counted(to_move, "message"), if self.keep { "copy" } else { "move" });
            let gap = self.gap();
            self.not_done(&format!("{gap}Dry run: nothing was sent. Add --yes to {verb} {messages}."))?;
        } else {
            for job in &mut jobs {
                self.execute(job, &options, &clock, &stop).await?;
            }
        }
        // With messages to move, each queue has its own error.
        let plans: Vec<&Plan> = jobs.iter().filter_map(|job| Some(&job.planned.as_ref()?.1)).collect();
        let error = if to_move == 0 { self.nothing_moves(&plans).err() } else { None };
        if let (Some(error), [job]) = (&error, jobs.as_mut_slice()) {
            job.report.error = Some(error.to_string());
        }
        self.finish(jobs, error)
    }

    /// The dead-letter queues: name, URL and destination, if it is given.
    async fn queues(&self, account: &Account) -> Result<Vec<(String, String, Option<Destination>)>> {
        if self.all {
            let stack = account.stack().await?;
            let queues = stack.dead_letter_queues();
            let queues = queues.map(|(_, url)| (name_in(url).to_owned(), url.to_owned(), None));
            let queues: Vec<_> = queues.collect();
            if queues.is_empty() {
                let text = format!("--stack {}: the stack has no dead-letter queues", stack.name);
                return Err(CommandError::invalid_input(text));
            }
            return Ok(queues);
        }
        let from = self.from.as_deref().unwrap_or_default();
        let url = account.queue_url(from).await?;
        let to = self.destination.open(&self.change.account, account).await?;
        Ok(vec![(from.to_owned(), url, to)])
    }

    /// Moves the messages of a queue, and prints what happened.
    async fn execute(
        &self,
        job: &mut Job,
        options: &RedriveOptions,
        clock: &Clock,
        stop: &StopSignal,
    ) -> Result<()> {
        let Some((route, plan)) = &job.planned else { return Ok(()) };
        if plan.to_move.messages == 0 {
            job.error = Self::cannot_move(&[plan]).err();
            job.report.error = job.error.as_ref().map(ToString::to_string);
            return Ok(());
        }
        if stop.is_requested() {
            let error = CommandError::interrupted("run the command again to move the rest");
            job.report.error = Some(error.to_string());
            job.error = Some(error);
            return Ok(());
        }
        let heading = if self.all { format!("{}: ", job.name) } else { self.gap().to_owned() };
        let outcome = move_messages(route, plan, options, clock, stop).await;
        let result = match outcome {
            Ok(Outcome::MoveTask(task)) => {
                job.report.result = Some((&task).into());
                let moved = format!("{} moved, according to SQS", counted(task.moved, "message"));
                let result = check_task(&task, &moved);
                if result.is_ok() {
                    self.done(&format!("{heading}{moved}."))?;
                }
                result
            }
            Ok(Outcome::OneByOne(summary)) => {
                job.report.result = Some((&summary).into());
                let text = format!("{heading}{}", render_summary(&summary, self.keep));
                let is_complete = summary.is_complete();
                if is_complete && plan.unsendable_count() == 0 {
                    self.done(text.trim_end())?;
                } else if !self.json {
                    output::result(&text)?;
                }
                check_summary(summary, plan.unsendable_count(), self.keep, stop)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            let text = error.to_string();
            // The error of the command names one of several queues.
            if self.all && !error.is_interruption() {
                self.print(|| format!("{heading}{text}\n"))?;
            }
            job.report.error = Some(text);
            job.error = Some(error);
        }
        Ok(())
    }

    /// An error if nothing of these plans can be moved although there are messages.
    fn nothing_moves(&self, plans: &[&Plan]) -> Result<()> {
        if plans.iter().any(|plan| plan.unsendable_count() > 0) {
            return Err(CommandError::failed(UNSENDABLE));
        }
        // An option with a typing error looks like an empty queue otherwise.
        if !self.filter.is_empty() {
            let types = plans.iter().flat_map(|plan| plan.to_stay.by_type.clone()).collect();
            let reasons = plans.iter().flat_map(|plan| plan.to_stay.by_reason.clone()).collect();
            reject_no_match(&types, &reasons)?;
        }
        if self.change.yes { Self::cannot_move(plans) } else { Ok(()) }
    }

    /// An error if messages that the options select cannot be moved, or were not seen.
    fn cannot_move(plans: &[&Plan]) -> Result<()> {
        if plans.iter().any(|plan| plan.unsendable_count() > 0) {
            return Err(CommandError::failed(UNSENDABLE));
        }
        if plans.iter().any(|plan| !plan.unseen.is_empty()) {
            return Err(CommandError::failed(
                "not all messages were seen. Run the command again when the others are visible",
            ));
        }
        Ok(())
    }

    /// Prints the document, and returns the error of the command: that of its queue, or one that names the
    /// queues that failed.
    fn finish(&self, jobs: Vec<Job>, error: Option<CommandError>) -> Result<()> {
        let count = jobs.len();
        let (reports, errors): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.report, job.error.map(|error| (job.name, error)))).unzip();
        if self.json {
            output::json(&RedriveReport { dry_run: !self.change.yes, queues: reports })?;
        }
        let mut failures: Vec<(String, CommandError)> = errors.into_iter().flatten().collect();
        if let Some(place) = failures.iter().position(|(_, error)| error.is_interruption()) {
            return Err(failures.swap_remove(place).1);
        }
        let failed = failures.len();
        match failures.into_iter().next() {
            None => error.map_or(Ok(()), Err),
            Some((_, error)) if !self.all => Err(error),
            Some((name, error)) => Err(CommandError::failed(format!(
                "{failed} of {} not redriven completely. {name}: {error}",
                counted(count, "queue")
            ))),
        }
    }

    fn render_job(&self, job: &Job) -> String {
        let end = if self.all { "\n" } else { "" };
        match &job.planned {
            Some((_, plan)) if self.all && plan.is_empty() => format!("{}: empty\n{end}", job.name),
            Some((route, plan)) => render_plan(plan, route, self.change.yes, self.keep) + end,
            None => format!("{}: {}\n{end}", job.name, job.report.error.as_deref().unwrap_or_default()),
        }
    }

    /// The empty line after a plan. The plans of several queues end with one.
    fn gap(&self) -> &'static str {
        if self.all { "" } else { "\n" }
    }

    fn print(&self, text: impl FnOnce() -> String) -> Result<()> {
        if self.json { Ok(()) } else { output::print(&text()) }
    }

    fn done(&self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { output::done_ignoring_broken_pipe(text) }
    }

    fn not_done(&self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { output::not_done(text) }
    }
}

/// The name in the URL of a queue.
fn name_in(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

async fn plan(
    account: &Account,
    url: &str,
    to: Option<Destination>,
    options: &RedriveOptions,
    clock: &Clock,
    stop: &StopSignal,
) -> Result<(Route, Plan)> {
    let route = Route::new(account.sqs(), url, to).await?;
    route.reject_running_task()?;
    let progress = Progress::new("seen", Some(route.from.visible));
    let plan = Plan::read(&route, options, clock, stop, &|seen| progress.set(seen)).await?;
    Ok((route, plan))
}

async fn move_messages(
    route: &Route,
    plan: &Plan,
    options: &RedriveOptions,
    clock: &Clock,
    stop: &StopSignal,
) -> Result<Outcome> {
    let planned = plan.counts(route);
    let total = options.max.unwrap_or(usize::MAX).min(planned.to_move);
    let progress = Progress::new(participle(options.keeps), Some(total));
    match plan.method {
        Method::MoveTask => {
            let polled = |moved, total| progress.set_of(moved, total);
            Ok(Outcome::MoveTask(run_move_task(route, options.rate, stop, &polled).await?))
        }
        Method::OneByOne(_) => {
            let done = |moved| progress.set(moved);
            let summary = move_one_by_one(route, options, Some(planned), clock, stop, &done).await;
            Ok(Outcome::OneByOne(summary))
        }
    }
}

/// The error of a move task that did not move all messages.
fn check_task(task: &MoveTask, moved: &str) -> Result<()> {
    if task.left_behind() > 0 {
        return Err(CommandError::failed(format!(
            "the move task ended as COMPLETED, but only {}, according to SQS. Run `replay inspect` to see what stayed",
            task.progress()
        )));
    }
    if task.status == CANCELLED {
        return Err(CommandError::interrupted(format!("the move task was canceled, {moved}")));
    }
    Ok(())
}

/// The error of a redrive that did not move all selected messages.
fn check_summary(summary: RedriveSummary, unsendable: usize, keeps: bool, stop: &StopSignal) -> Result<()> {
    // A stop after the last message changes nothing.
    let (is_complete, is_final) = (summary.is_complete(), summary.is_final());
    if is_complete && unsendable == 0 {
        return Ok(());
    }
    let participle = participle(keeps);
    // Without a deletion, the next run cannot know what this run has copied.
    let again = if keeps { "Run the command again, which copies all again" } else { "Run the command again" };
    if let Some(error) = summary.error {
        let cause = describe(error.as_ref());
        let again =
            if keeps { "run the command again, which copies all again" } else { "run the command again" };
        return Err(CommandError::failed(format!(
            "not all messages were {participle}: {cause}. Correct this, then {again}"
        )));
    }
    if stop.is_requested() {
        let next_step =
            if keeps { "some of the messages were copied" } else { "run the command again to move the rest" };
        return Err(CommandError::interrupted(next_step));
    }
    if summary.still_invisible > 0 {
        return Err(CommandError::failed(
            "some messages stay invisible for up to 15 minutes. Check that your role may change the visibility of \
             messages",
        ));
    }
    if is_complete || is_final {
        return Err(CommandError::failed(UNSENDABLE));
    }
    Err(CommandError::failed(format!("not all messages were {participle}. {again}")))
}
