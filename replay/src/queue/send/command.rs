//! `replay send`: options and output.

use std::path::PathBuf;

use clap::Args;
use shared::events::InvalidEvent;
use shared::text::printable;
use shared::time::Clock;

use crate::aws_error::{Service, describe, explain};
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::ChangeOptions;
use crate::output::{self, counted, number};
use crate::progress::Progress;
use crate::queue::description::QueueDescription;
use crate::queue::send::check::{CheckedFile, LineError, LineRules, check};
use crate::queue::send::checkpoint::SendCheckpoint;
use crate::queue::send::input::STDIN;
use crate::queue::send::report::SendReport;
use crate::queue::send::{SendSummary, send};
use crate::queue::sending::is_about_message;

const EXAMPLES: &str = "\
Examples:
  replay send letters.ndjson --to user-events
  aws sqs receive-message --queue-url $URL --attribute-names All | replay send - --to user-events
  replay send letters.ndjson --to user-events --rate 100 --yes";

/// Maximum number of invalid lines that are shown.
const MAX_INVALID_LINES: usize = 10;

/// Send the messages of a file: of `replay save`, edited or not, or in another form.
///
/// Other forms are records of Lambda's SQS event, output of `aws sqs receive-message`, and bare events,
/// as lines, as a list or one after the other.
/// The whole file is checked before anything is sent: SQS must accept each message, and
/// each body must be a valid event of this queue (events/schema/event.json), not older than 30 days. Attributes, message
/// group and trace header are sent, but the reason (error.type, error.message) is not.
/// FILE.checkpoint records which messages were sent. Run the command again after an interruption,
/// or after you corrected lines that were rejected: it sends the rest. Standard input has no checkpoint,
/// so a second run sends all messages again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Send {
    /// File to send, or - for standard input.
    file: PathBuf,
    /// Destination queue, by name, ARN or URL.
    #[arg(long, value_name = "QUEUE")]
    to: String,
    /// Accept bodies that are not events.
    #[arg(long)]
    any_body: bool,
    /// Accept events of types that this version of `replay` does not know, and check everything else.
    #[arg(long)]
    any_type: bool,
    /// Send at most this many messages. The next run sends the rest.
    #[arg(long, value_name = "N")]
    max: Option<usize>,
    /// Maximum number of messages per second. [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Send {
    pub async fn run(self) -> Result<()> {
        let account = self.change.open().await?;
        let (url, sqs) = (account.queue_url(&self.to).await?, account.sqs());
        let queue = QueueDescription::read(&sqs, &url).await.map_err(|error| error.context("--to"))?;
        let clock = Clock::system();
        let rules = LineRules { any_body: self.any_body, any_type: self.any_type, queue: &queue };
        let file = check(&self.file, rules, &clock)
            .map_err(|error| error.context(self.file.display()).into_invalid_input())?;
        let names = (self.file.display().to_string(), queue.arn.clone());
        let mut report = SendReport::of(&file, names, !self.change.yes);
        if !file.invalid.is_empty() {
            self.print(|| self.render_invalid_lines(&file), &report)?;
            return Err(self.invalid_lines(&file));
        }
        // Standard input has no name that a second run could find. Its checkpoint is temporary.
        let folder = tempfile::tempdir()?;
        let is_stdin = self.file.as_os_str() == STDIN;
        let named = if is_stdin { folder.path().join("stdin") } else { self.file.clone() };
        let checkpoint = SendCheckpoint::open(&named, &queue, !self.change.yes, &clock)
            .map_err(CommandError::into_invalid_input)?;
        if !self.json {
            output::print(&render_plan(&file, &queue, &checkpoint))?;
        }
        let sent_before = checkpoint.accepted(&file.keys);
        report.sent_before = sent_before;
        report.in_progress_before = checkpoint.in_doubt(&file.keys);
        let pending = file.messages - sent_before;
        let pending = self.max.map_or(pending, |max| max.min(pending));
        if pending == 0 || !self.change.yes {
            report.sent = pending;
            if self.json {
                return output::json(&report);
            }
            if pending > 0 {
                let messages = counted(pending, "message");
                return output::not_done(&format!(
                    "Dry run: nothing was sent. Add --yes to send {messages}."
                ));
            }
            let hint = if sent_before > 0 { " To send the file again, remove the checkpoint." } else { "" };
            return output::not_done(&format!("Nothing to send.{hint}"));
        }
        let (progress, stop) = (Progress::new("sent", Some(pending)), StopSignal::on_signals());
        let done = |count| progress.set(count);
        let summary = send((&sqs, &queue), (file, checkpoint), (self.max, self.rate), &stop, &done).await;
        drop(progress);
        report.add(&summary);
        self.print(|| render_summary(&summary), &report)?;
        if summary.sent == pending && summary.error.is_none() {
            if self.json {
                return Ok(());
            }
            return output::done_ignoring_broken_pipe(&format!("{} sent.", counted(summary.sent, "message")));
        }
        Err(incomplete(summary, pending, &stop))
    }

    fn print(&self, text: impl FnOnce() -> String, report: &SendReport) -> Result<()> {
        if self.json { output::json(report) } else { output::print(&text()) }
    }

    fn render_invalid_lines(&self, file: &CheckedFile) -> String {
        let name = self.file.display();
        let mut text = String::new();
        for (line, error) in file.invalid.iter().take(MAX_INVALID_LINES) {
            text += &format!("{name}: line {line}: {}\n", printable(&error.to_string()));
        }
        if let Some(more) = file.invalid.len().checked_sub(MAX_INVALID_LINES).filter(|more| *more > 0) {
            text += &format!("and {} more\n", number(more));
        }
        text
    }

    fn invalid_lines(&self, file: &CheckedFile) -> CommandError {
        let lines = counted(file.invalid.len(), "line");
        let is_not_json = |(_, error): &(usize, LineError)| {
            matches!(error, LineError::InvalidEvent(InvalidEvent::NotJson(_)))
        };
        let next_step = match file.invalid.iter().all(is_not_json) {
            true => "Pass --any-body to send bodies that are not events",
            false => "Correct them and run the command again",
        };
        CommandError::invalid_input(format!(
            "{}: nothing was sent, because {lines} cannot be sent. {next_step}",
            self.file.display()
        ))
    }
}

fn render_plan(file: &CheckedFile, queue: &QueueDescription, checkpoint: &SendCheckpoint) -> String {
    let mut text = format!("{} to {}\n", counted(file.messages, "message"), queue.name());
    for (event_type, count) in &file.by_type {
        text += &format!("{:>7}  {event_type}\n", number(*count));
    }
    let (sent_before, in_doubt) = (checkpoint.accepted(&file.keys), checkpoint.in_doubt(&file.keys));
    if sent_before > 0 {
        let checkpoint = checkpoint.path().display();
        text += &format!("{} already sent, according to {checkpoint}\n", number(sent_before));
    }
    if in_doubt > 0 {
        let count = number(in_doubt);
        text += &format!(
            "{count} in progress when the last run stopped: sent again, perhaps for the second time\n"
        );
    }
    text
}

fn render_summary(summary: &SendSummary) -> String {
    let mut text = String::new();
    for (code, count) in &summary.rejected {
        let reason = explain(Some(Service::Sqs), code, None);
        text += &format!("{} rejected by SQS: {reason}\n", number(*count));
    }
    if summary.in_doubt > 0 {
        let count = number(summary.in_doubt);
        text += &format!("{count} in doubt: SQS did not answer. The next run sends them again\n");
    }
    text
}

/// The error of a run that did not send all messages.
fn incomplete(summary: SendSummary, pending: usize, stop: &StopSignal) -> CommandError {
    let sent = format!("{} of {} sent", number(summary.sent), counted(pending, "message"));
    let rejected: usize = summary.rejected.values().sum();
    let are_final = summary.rejected.keys().all(|code| is_about_message(code));
    if let Some(error) = summary.error {
        let cause = describe(error.as_ref());
        return CommandError::failed(format!(
            "{sent}: {cause}. Correct this, then run the command again to send the rest"
        ));
    }
    if stop.is_requested() {
        return CommandError::interrupted(format!("{sent}. Run the command again to send the rest"));
    }
    if are_final && summary.sent + rejected == pending {
        let text = "SQS rejects the others as they are. Correct them in the file, then run the command again";
        return CommandError::failed(format!("{sent}. {text}"));
    }
    CommandError::failed(format!("{sent}. Run the command again to send the rest"))
}
