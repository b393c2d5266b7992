//! `replay save`

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use crate::queue::filter::Filter;
use crate::queue::inspect::Inspection;
use crate::queue::description::QueueDescription;
use shared::text::plural;
use crate::queue::save::{Saved, Target, save};
use crate::interrupt::{Interrupted, StopSignal};
use shared::time::Clock;

use crate::error::InvalidInput;
use crate::options::ChangeOptions;
use crate::output;
use crate::progress::Progress;

const EXAMPLES: &str = "\
Examples:
  replay save user-events-dlq --out letters.ndjson
  replay save user-events-dlq --error invalid_data --out letters.ndjson --delete --yes
  replay save user-events-dlq --out - | jq -c .body
Then edit the file, and:
  replay send letters.ndjson --to user-events --yes";

/// Write the messages of a queue to a file, whole, a line for each.
///
/// The lines have the shape of a record of Lambda's SQS event: messageId, attributes (SentTimestamp, MessageGroupId and
/// others), messageAttributes (with the reason, error.type), body. They hold personal data. The messages stay in the queue;
/// with --delete and --yes each is deleted once its line is on the disk.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Save {
    /// The queue, by name, ARN or URL.
    queue: String,
    /// The file; - for standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Go on with a file of an earlier run: what it has is not written again.
    #[arg(long)]
    resume: bool,
    /// Delete each message from the queue once its line is on the disk.
    #[arg(long)]
    delete: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Save {
    /// Saves them.
    pub async fn run(self) -> Result<()> {
        let account = self.change.open().await?;
        let (url, sqs) = (account.queue_url(&self.queue).await?, account.sqs());
        let queue = QueueDescription::read(&sqs, &url).await.with_context(|| self.queue.clone())?;
        queue.refuse_source_queue()?;
        let is_stdout = self.out.as_os_str() == "-";
        if is_stdout && (self.delete || self.resume) {
            return InvalidInput::err("--out -: goes without --delete and --resume, which want a file");
        }
        let (clock, stop) = (Clock::system(), StopSignal::on_signals());
        if self.delete && !self.change.yes {
            let looking = Progress::new("seen", Some(queue.visible));
            let seen = |count| looking.set(count);
            let found = Inspection::of_queue((&sqs, &queue), &self.filter, 0, &clock, &stop, &seen).await;
            drop(looking);
            write!(output::stdout(), "{}", found?.text())?;
            return output::not_done(
                "\nNothing was saved or deleted. With --yes each of these is saved, and then deleted from the queue.",
            );
        }
        let name = || self.out.display().to_string();
        let target = match (is_stdout, self.resume) {
            (true, _) => Ok(Target::stdout()),
            (false, true) => Target::resume(&self.out),
            (false, false) => Target::create(&self.out),
        };
        let target = target.with_context(name)?;
        let (before, cut_off) = (target.before, target.cut_off.clone());
        if target.is_fleeting() && self.delete {
            return InvalidInput::err(format!("--delete: {} is no file", name()));
        }
        let progress = Progress::new("saved", Some(queue.visible));
        let filter = &self.filter;
        let shown = |count| progress.set(count);
        let saved = save((&sqs, &queue), (target, self.delete), filter, &clock, &stop, &shown).await;
        drop(progress);
        // Standard output has the messages.
        let mut text = String::new();
        if let Some(beside) = cut_off {
            text += &format!("the last line of the file was cut off; it lies in {}\n", beside.display());
        }
        text += &told(&saved, before);
        if is_stdout {
            write!(std::io::stderr(), "{text}")?;
        } else {
            write!(output::stdout(), "{text}")?;
        }
        if let Some(error) = saved.error {
            if is_stdout && output::is_broken_pipe(&error) {
                return Err(error);
            }
            let cause = shared::telemetry::chain(error.as_ref());
            bail!("not all was saved: {cause}; when that is mended, go on with --resume");
        }
        if stop.is_requested() {
            return Err(Interrupted("go on with --resume".to_owned()).into());
        }
        if !saved.unseen_text.is_empty() {
            bail!("not all could be seen: go on with --resume when the others are visible");
        }
        Ok(())
    }
}

fn told(saved: &Saved, before: usize) -> String {
    let mut text = format!("{} saved\n", plural(saved.saved, "message"));
    let mut line = |count: usize, what: &str| {
        if count > 0 {
            text += &format!("{count} {what}\n");
        }
    };
    line(before, "were in the file before");
    line(saved.others, "were not meant, and stayed");
    line(saved.deleted, "deleted from the queue");
    line(
        saved.undeleted,
        "saved, and perhaps not deleted from the queue; a rerun with --resume --delete deletes them",
    );
    line(saved.still_invisible, "are invisible in the queue for up to 15 minutes");
    text + &saved.unseen_text
}
