//! `replay save`: options and output.

use std::io::Write;
use std::path::{Path, PathBuf};

use aws_sdk_sqs::Client;
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
use crate::queue::save::report::SaveReport;
use crate::queue::save::target::SaveTarget;
use crate::queue::save::{SaveSummary, save};

const EXAMPLES: &str = "\
Examples:
  replay save user-events-dead-letters --out letters.ndjson
  replay save user-events-dead-letters --error invalid_data --out letters.ndjson --delete --yes
  replay save user-events-dead-letters --where data.order_id=42 --out - | jq -c .body
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
    /// Print one JSON document about what was saved. Not with --out -.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Save {
    pub async fn run(self) -> Result<()> {
        let is_stdout = self.out.as_os_str() == "-";
        if is_stdout && (self.delete || self.resume || self.json) {
            let text = "--out -: --delete, --resume and --json need a file";
            return Err(CommandError::invalid_input(text));
        }
        let account = self.change.open().await?;
        let (url, sqs) = (account.queue_url(&self.queue).await?, account.sqs());
        let queue = QueueDescription::read(&sqs, &url).await.map_err(|error| error.context(&self.queue))?;
        queue.reject_source_queue()?;
        let (clock, stop) = (Clock::system(), StopSignal::on_signals());
        if self.delete && !self.change.yes {
            return self.show_deletion((&sqs, &queue), &clock, &stop).await;
        }
        let file = self.out.display();
        let target = match (is_stdout, self.resume) {
            (true, _) => Ok(SaveTarget::stdout()),
            (false, true) => SaveTarget::resume(&self.out),
            (false, false) => SaveTarget::create(&self.out),
        };
        let mut target = target.map_err(|error| error.context(file).into_invalid_input())?;
        if target.is_stream() && self.delete {
            return Err(not_a_file(&self.out));
        }
        let mut text = String::new();
        if let Some(moved_to) = &target.incomplete_line {
            text += &format!(
                "The last line of the file was incomplete. It was moved to {}\n",
                moved_to.display()
            );
        }
        let saved_before = target.saved_before;
        let progress = Progress::new("saved", Some(queue.visible));
        let done = |count| progress.set(count);
        let summary =
            save((&sqs, &queue), (&mut target, self.delete), &self.filter, &clock, &stop, &done).await;
        drop(progress);
        text += &render_summary(&summary, saved_before);
        match (self.json, is_stdout) {
            (true, _) => output::json(&self.report(&queue, &summary, saved_before))?,
            // Standard output contains the messages.
            (false, true) => write!(std::io::stderr(), "{text}")?,
            (false, false) => output::result(&text)?,
        }
        if summary.error.is_none() && !stop.is_requested() && summary.saved + summary.already_saved == 0 {
            if summary.others > 0 {
                // The command can be run again with other options.
                target.remove_if_empty()?;
            }
            reject_no_match(&summary.others_by_type, &summary.others_by_reason)?;
        }
        result(summary, is_stdout, &stop)
    }

    /// The dry run of `--delete`: checks the file, and shows which messages would be deleted.
    async fn show_deletion(
        &self,
        (sqs, queue): (&Client, &QueueDescription),
        clock: &Clock,
        stop: &StopSignal,
    ) -> Result<()> {
        let saved = SaveTarget::check(&self.out, self.resume)
            .map_err(|error| error.context(self.out.display()).into_invalid_input())?;
        let progress = Progress::new("seen", Some(queue.visible));
        let seen = |count| progress.set(count);
        let inspection = inspect((sqs, queue), &self.filter, 0, clock, stop, &seen).await;
        drop(progress);
        let inspection = inspection?;
        if self.json {
            let summary = SaveSummary {
                saved: inspection.messages.saturating_sub(saved.len()),
                deleted: inspection.messages,
                others: inspection.others,
                others_by_type: inspection.others_by_type.clone(),
                unseen: inspection.unseen,
                ..SaveSummary::default()
            };
            output::json(&self.report(queue, &summary, saved.len()))?;
        } else {
            output::print(&render(&inspection))?;
        }
        if inspection.messages == 0 {
            reject_no_match(&inspection.others_by_type, &inspection.others_by_reason)?;
        }
        if self.json {
            return Ok(());
        }
        if inspection.messages == 0 {
            return output::not_done("\nNothing to save.");
        }
        let selected = counted(inspection.messages, "message");
        output::not_done(&format!(
            "\nDry run: nothing was saved or deleted. Add --yes to save and delete {selected}."
        ))
    }

    fn report(&self, queue: &QueueDescription, summary: &SaveSummary, saved_before: usize) -> SaveReport {
        SaveReport {
            dry_run: self.delete && !self.change.yes,
            queue: queue.arn.clone(),
            file: self.out.display().to_string(),
            saved: summary.saved,
            already_in_file: saved_before,
            others: summary.others,
            others_by_type: summary.others_by_type.clone(),
            deleted: summary.deleted,
            perhaps_not_deleted: summary.undeleted,
            still_invisible: summary.still_invisible,
            unseen: (&summary.unseen).into(),
        }
    }
}

fn not_a_file(path: &Path) -> CommandError {
    CommandError::invalid_input(format!("--delete: {} is not a file", path.display()))
}

fn result(summary: SaveSummary, is_stdout: bool, stop: &StopSignal) -> Result<()> {
    // Standard output cannot be continued.
    let again = if is_stdout { "run the command again" } else { "run the command again with --resume" };
    if let Some(error) = summary.error {
        if is_stdout && is_broken_pipe(error.as_ref()) {
            return Err(error.into());
        }
        let cause = crate::aws_error::describe(error.as_ref());
        return Err(CommandError::failed(format!(
            "not all messages were saved: {cause}. Correct this, then {again}"
        )));
    }
    if stop.is_requested() {
        return Err(CommandError::interrupted(again));
    }
    if summary.still_invisible > 0 {
        return Err(CommandError::failed(
            "some messages stay invisible in the queue for up to 15 minutes. Check that your role may change the \
             visibility of messages",
        ));
    }
    if !summary.unseen.is_empty() {
        return Err(CommandError::failed(format!(
            "not all messages were seen. When the others are visible, {again}"
        )));
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
