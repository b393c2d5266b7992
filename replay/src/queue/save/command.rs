//! `replay save`: options and output.

use std::path::PathBuf;

use clap::Args;
use shared::text::is_broken_pipe;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::ChangeOptions;
use crate::output::{self, counted, number};
use crate::progress::Progress;
use crate::queue::description::QueueDescription;
use crate::queue::filter::Filter;
use crate::queue::inspect::command::{reject_no_match, render, render_unseen};
use crate::queue::inspect::inspect;
use crate::queue::save::target::SaveTarget;
use crate::queue::save::{SaveSummary, save};

const EXAMPLES: &str = "\
Examples:
  replay save user-events-dlq --out letters.ndjson
  replay save user-events-dlq --error invalid_data --out letters.ndjson --delete --yes
  replay save user-events-dlq --out - | jq -c .body
Then edit the file and send it:
  replay send letters.ndjson --to user-events --yes";

/// Save the messages of a queue to a file, one message per line.
///
/// A line has the format of a record of Lambda's SQS event: messageId, attributes (SentTimestamp,
/// MessageGroupId and others), messageAttributes (with the reason, error.type) and body. The file
/// contains personal data. Messages stay in the queue, so --yes is not needed. With --delete and
/// --yes, each message is deleted once its line is on the disk.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Save {
    /// Queue, by name, ARN or URL.
    queue: String,
    /// File to write, or - for standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Continue the file of an earlier run. Messages that it contains are not written again.
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
    pub async fn run(self) -> Result<()> {
        let account = self.change.open().await?;
        let (url, sqs) = (account.queue_url(&self.queue).await?, account.sqs());
        let queue = QueueDescription::read(&sqs, &url).await.map_err(|error| error.context(&self.queue))?;
        queue.reject_source_queue()?;
        let is_stdout = self.out.as_os_str() == "-";
        if is_stdout && (self.delete || self.resume) {
            return Err(CommandError::invalid_input("--out -: --delete and --resume need a file"));
        }
        let (clock, stop) = (Clock::system(), StopSignal::on_signals());
        if self.delete && !self.change.yes {
            let progress = Progress::new("seen", Some(queue.visible));
            let seen = |count| progress.set(count);
            let inspection = inspect((&sqs, &queue), &self.filter, 0, &clock, &stop, &seen).await;
            drop(progress);
            let inspection = inspection?;
            output::print(&render(&inspection))?;
            if inspection.messages == 0 {
                reject_no_match(&inspection.others_by_type)?;
            }
            let selected = counted(inspection.messages, "message");
            return output::not_done(&format!(
                "\nDry run: nothing was saved or deleted. Add --yes to save and delete {selected}."
            ));
        }
        let file = self.out.display();
        let target = match (is_stdout, self.resume) {
            (true, _) => Ok(SaveTarget::stdout()),
            (false, true) => SaveTarget::resume(&self.out),
            (false, false) => SaveTarget::create(&self.out),
        };
        let target = target.map_err(|error| error.context(file))?;
        if target.is_stream() && self.delete {
            return Err(CommandError::invalid_input(format!(
                "--delete: {} is not a file",
                self.out.display()
            )));
        }
        let mut text = String::new();
        if let Some(moved_to) = &target.incomplete_line {
            text += &format!(
                "The last line of the file was incomplete. It was moved to {}\n",
                moved_to.display()
            );
        }
        let (saved_before, is_stream) = (target.saved_before, target.is_stream());
        let progress = Progress::new("saved", Some(queue.visible));
        let done = |count| progress.set(count);
        let summary = save((&sqs, &queue), (target, self.delete), &self.filter, &clock, &stop, &done).await;
        drop(progress);
        text += &render_summary(&summary, saved_before);
        if is_stdout {
            // Standard output contains the messages.
            use std::io::Write;
            write!(std::io::stderr(), "{text}")?;
        } else {
            output::print(&text)?;
        }
        if summary.error.is_none() && !stop.is_requested() && summary.saved + summary.already_saved == 0 {
            if !self.resume && !is_stream && summary.others > 0 {
                // The command can be run again with other options.
                std::fs::remove_file(&self.out)?;
            }
            reject_no_match(&summary.others_by_type)?;
        }
        result(summary, is_stdout, &stop)
    }
}

fn result(summary: SaveSummary, is_stdout: bool, stop: &StopSignal) -> Result<()> {
    if let Some(error) = summary.error {
        if is_stdout && is_broken_pipe(error.as_ref()) {
            return Err(error.into());
        }
        let cause = crate::aws_error::describe(error.as_ref());
        return Err(CommandError::failed(format!(
            "not all messages were saved: {cause}. Correct this, then run the command again with --resume"
        )));
    }
    if stop.is_requested() {
        return Err(CommandError::interrupted("run the command again with --resume"));
    }
    if !summary.unseen.is_empty() {
        return Err(CommandError::failed(
            "not all messages were seen. Run the command again with --resume when the others are visible",
        ));
    }
    Ok(())
}

fn render_summary(summary: &SaveSummary, saved_before: usize) -> String {
    let mut text = format!("{} saved\n", counted(summary.saved, "message"));
    let mut line = |count: usize, what: &str| {
        if count > 0 {
            text += &format!("{} {what}\n", number(count));
        }
    };
    line(saved_before, "already in the file");
    line(summary.others, "not selected, still in the queue");
    line(summary.deleted, "deleted from the queue");
    line(
        summary.undeleted,
        "saved, but perhaps not deleted from the queue: run again with --resume --delete",
    );
    line(summary.still_invisible, "invisible in the queue for up to 15 minutes");
    text + &render_unseen(&summary.unseen)
}
