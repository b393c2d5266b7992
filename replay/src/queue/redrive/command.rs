//! `replay redrive`

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use crate::queue::filter::Filter;
use crate::queue::redrive::{Method, Redriven, Route, RedriveOptions};
use shared::text::plural;
use crate::interrupt::{Interrupted, StopSignal};
use shared::time::Clock;

use crate::options::ChangeOptions;
use crate::output;
use crate::progress::Progress;

const EXAMPLES: &str = "\
Examples:
  replay redrive --from user-events-dlq
  replay redrive --from user-events-dlq --yes
  replay redrive --from user-events-dlq --error unknown_type --newer-than 2d --rate 100 --yes
  replay redrive --from user-events-dlq --to user-events-copy --type order.placed --max 1 --yes";

/// Bring dead letters back to their queue, all or some of them.
///
/// Shows what would go, and how; with --yes it goes. Attributes, message group and trace header stay with a
/// message; the reason (error.type, error.message) is taken off. A message is deleted only once SQS has accepted its copy,
/// entry by entry: wherever it is cut off, run it again. Where all messages are meant as they are, SQS moves them by itself
/// (StartMessageMoveTask).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Redrive {
    /// The dead-letter queue, by name, ARN or URL.
    #[arg(long, value_name = "QUEUE")]
    from: String,
    /// Where to. [default: the queue whose dead letters these are]
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// At most so many messages.
    #[arg(long, value_name = "N", help_heading = "Which messages")]
    max: Option<usize>,
    /// At most so many messages a second. [default: as many as SQS takes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// FIFO queues: send the old deduplication ids, and not fresh ones. SQS swallows a message whose id it has seen in the
    /// last five minutes.
    #[arg(long)]
    keep_deduplication_ids: bool,
    /// Copy and delete entry by entry, also where SQS could move all by itself.
    #[arg(long)]
    by_entry: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Redrive {
    /// Shows the plan, and carries it out.
    pub async fn run(self) -> Result<()> {
        let account = self.change.open().await?;
        let from = account.queue_url(&self.from).await?;
        let to = match &self.to {
            Some(to) => Some(account.queue_url(to).await?),
            None => None,
        };
        let route = Route::new(account.sqs(), &from, to.as_deref()).await?;
        let terms = RedriveOptions {
            filter: self.filter,
            max: self.max,
            planned: None,
            rate: self.rate,
            keep_deduplication_ids: self.keep_deduplication_ids,
            by_entry: self.by_entry,
        };
        let (clock, stop) = (Clock::system(), StopSignal::on_signals());
        let looking = Progress::new("seen", Some(route.from.visible));
        let plan = route.plan(&terms, &clock, &stop, &|seen| looking.set(seen)).await?;
        drop(looking);
        if stop.is_requested() {
            return Err(Interrupted("nothing was sent".to_owned()).into());
        }
        write!(output::stdout(), "{}", plan.text(&route))?;
        if plan.goes.messages == 0 {
            output::not_done("\nNothing to send.")?;
            if self.change.yes && plan.has_unseen {
                bail!("not all could be seen; run it again when the others are visible");
            }
            return Ok(());
        }
        if !self.change.yes {
            return output::not_done("\nNothing was sent. With --yes it is.");
        }
        let planned = plan.planned(&route);
        let count = terms.max.unwrap_or(usize::MAX).min(planned.goes);
        let moving = Progress::new("moved", Some(count));
        if plan.method == Method::MoveTask {
            let moved = route.by_move_task(terms.rate, &stop, &|moved, of| moving.set_of(moved, of)).await?;
            drop(moving);
            let moved = format!("{} moved, by SQS's count", plural(moved, "message"));
            return if stop.is_requested() {
                Err(Interrupted(format!("the task was cancelled, {moved}")).into())
            } else {
                output::done_ignoring_broken_pipe(&format!("\n{moved}."))
            };
        }
        let terms = RedriveOptions { planned: Some(planned), ..terms };
        let redriven = route.by_entry(&terms, &clock, &stop, &|moved| moving.set(moved)).await;
        drop(moving);
        tell(&redriven, &stop)
    }
}

fn tell(redriven: &Redriven, stop: &StopSignal) -> Result<()> {
    let text = redriven.text();
    if let Some(error) = &redriven.error {
        write!(output::stdout(), "\n{text}")?;
        bail!(
            "not all was moved: {}; run it again when that is mended",
            shared::telemetry::chain(error.as_ref())
        );
    }
    if redriven.is_complete() && !stop.is_requested() {
        return output::done_ignoring_broken_pipe(&format!("\n{}", text.trim_end()));
    }
    write!(output::stdout(), "\n{text}")?;
    if stop.is_requested() {
        return Err(Interrupted("run it again to move the rest".to_owned()).into());
    }
    bail!("not all was moved: run it again");
}
