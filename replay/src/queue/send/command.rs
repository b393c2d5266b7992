//! `replay send`

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use crate::queue::description::QueueDescription;
use shared::text::{plural, printable};
use crate::queue::send::{Checkpoint, Delivery, Rules, check, send};
use crate::interrupt::{Interrupted, StopSignal};
use shared::time::Clock;

use crate::error::InvalidInput;
use crate::options::ChangeOptions;
use crate::output;
use crate::progress::Progress;

const EXAMPLES: &str = "\
Examples:
  replay send letters.ndjson --to user-events
  replay send letters.ndjson --to user-events --rate 100 --yes";

/// Lines that are told of, where they cannot be sent.
const LINES_TOLD: usize = 10;

/// Send the messages of a file that `replay save` wrote, edited or not.
///
/// The whole file is checked before anything is sent: each line is a message that SQS takes, and each body an event that
/// user-stats takes (events/schema/event.json, not older than 30 days). Attributes, message group and trace header are sent
/// too, the reason (error.type, error.message) is not. FILE.checkpoint tells which lines were sent: run it again wherever it
/// was cut off, and where lines were refused and are mended now.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Send {
    /// The file.
    file: PathBuf,
    /// The queue, by name, ARN or URL.
    #[arg(long, value_name = "QUEUE")]
    to: String,
    /// Send bodies that are no events, too.
    #[arg(long)]
    any_body: bool,
    /// At most so many messages; the next run goes on with the rest.
    #[arg(long, value_name = "N")]
    max: Option<usize>,
    /// At most so many messages a second. [default: as many as SQS takes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Send {
    /// Checks the file, and sends it.
    pub async fn run(self) -> Result<()> {
        let account = self.change.open().await?;
        let (url, sqs) = (account.queue_url(&self.to).await?, account.sqs());
        let queue = QueueDescription::read(&sqs, &url).await.context("--to")?;
        let clock = Clock::system();
        let name = self.file.display().to_string();
        let rules = Rules { any_body: self.any_body, is_fifo: queue.is_fifo };
        let checked = match check(&self.file, rules, &clock) {
            Ok(checked) => checked,
            Err(error) => return InvalidInput::err(format!("{name}: {error}")),
        };
        for (line, reason) in checked.invalid.iter().take(LINES_TOLD) {
            writeln!(output::stdout(), "{name}: line {line}: {}", printable(reason))?;
        }
        if let Some(more) = checked.invalid.len().checked_sub(LINES_TOLD).filter(|more| *more > 0) {
            writeln!(output::stdout(), "and {more} more")?;
        }
        if !checked.invalid.is_empty() {
            let lines = plural(checked.invalid.len(), "line");
            let is_no_event =
                |(_, reason): &(usize, String)| reason.starts_with("body: the body is not JSON");
            let hint = match checked.invalid.iter().all(is_no_event) {
                true => " (--any-body sends bodies that are no events)",
                false => "",
            };
            return InvalidInput::err(format!("{name}: nothing was sent: {lines} cannot be sent{hint}"));
        }
        let checkpoint = match Checkpoint::open(&self.file, &queue, self.change.yes, &clock) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return InvalidInput::err(shared::telemetry::chain(error.as_ref())),
        };
        writeln!(output::stdout(), "{} to {}", plural(checked.messages, "message"), queue.name())?;
        for (event_type, count) in &checked.by_type {
            writeln!(output::stdout(), "{count:>7}  {event_type}")?;
        }
        let (before, in_doubt) = (checkpoint.accepted(&checked), checkpoint.in_doubt(&checked));
        if before > 0 {
            writeln!(output::stdout(), "{before} were sent before, says {}", checkpoint.path().display())?;
        }
        if in_doubt > 0 {
            writeln!(
                output::stdout(),
                "{in_doubt} were under way when it was cut off; they are sent again, and may come twice"
            )?;
        }
        let left = checked.messages - before;
        let left = self.max.map_or(left, |max| max.min(left));
        if left == 0 {
            let again = if before > 0 { " Without the checkpoint, all of it is sent again." } else { "" };
            return output::not_done(&format!("Nothing to send.{again}"));
        }
        if !self.change.yes {
            return output::not_done("Nothing was sent. With --yes it is.");
        }
        let (progress, stop) = (Progress::new("sent", Some(left)), StopSignal::on_signals());
        let shown = |count| progress.set(count);
        let delivery =
            send((&sqs, &queue), (checked, checkpoint), (self.max, self.rate), &stop, &shown).await;
        drop(progress);
        tell(&delivery, left, &stop)
    }
}

fn tell(delivery: &Delivery, left: usize, stop: &StopSignal) -> Result<()> {
    let Delivery { sent, in_doubt, refused, error } = delivery;
    for (reason, count) in refused {
        writeln!(output::stdout(), "{count} refused by SQS: {reason}")?;
    }
    if *in_doubt > 0 {
        writeln!(
            output::stdout(),
            "{in_doubt} in doubt: SQS did not say whether it took them; they are sent again"
        )?;
    }
    if *sent == left {
        return output::done_ignoring_broken_pipe(&format!("{} sent.", plural(*sent, "message")));
    }
    let sent = format!("{sent} of {left} were sent");
    if let Some(error) = error {
        let cause = shared::telemetry::chain(error.as_ref());
        bail!("{sent}: {cause}; when that is mended, run it again for the rest");
    }
    if stop.is_requested() {
        return Err(Interrupted(format!("{sent}; run it again for the rest")).into());
    }
    bail!("{sent}; run it again for the rest");
}
