//! `replay recover`: options and output.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use shared::queues::{Message, batches};
use shared::time::Clock;

use crate::aws_error::{Service, describe, explain};
use crate::error::{CommandError, Result};
use crate::options::ChangeOptions;
use crate::output::{self, counted, number};
use crate::queue::recover::{RecoveredEvents, SkipReason, decompress};
use crate::queue::sending::send_with_retries;

const EXAMPLES: &str = "\
Examples:
  replay recover --log unsent.log
  replay recover --log unsent.log --yes
  aws logs tail /aws/lambda/cognito-user-events-pre-sign-up | replay recover --log -";

/// The first bytes of a compressed file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Maximum number of incomplete events that are shown.
const MAX_INCOMPLETE: usize = 10;

/// Find the events in logs that triggers could not publish, and send them to user-events.
///
/// Reads logs of triggers in any form: lines as Lambda writes them, output of the AWS CLI as text, JSON
/// or YAML, CSV of Logs Insights, payloads of a log subscription, and exports, also compressed (gzip).
/// You can run the command several times: each event counts once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Recover {
    /// Log files, or - for standard input.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    log: Vec<PathBuf>,
    /// Queue user-events, by name, ARN or URL. [default: USER_EVENTS_QUEUE_URL]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Recover {
    pub async fn run(self) -> Result<()> {
        let mut recovered = RecoveredEvents::default();
        for path in &self.log {
            recovered.read(&name(path), &read(path)?, Clock::system().now());
        }
        output::print(&render(&recovered))?;
        let count = recovered.events.len();
        if count == 0 {
            output::not_done("No events to send.")?;
        } else if self.change.yes {
            self.send(&recovered).await?;
        } else {
            let events = counted(count, "event");
            output::not_done(&format!("Dry run: nothing was sent. Add --yes to send {events}."))?;
        }
        match (recovered.masked.len(), recovered.incomplete.len()) {
            (0, 0) => Ok(()),
            (0, count) => Err(CommandError::failed(format!(
                "{} could not be read. Look for a complete log",
                counted(count, "unsent event")
            ))),
            (masked, incomplete) => Err(CommandError::failed(format!(
                "{} masked by a data protection policy{}. Read the log with --unmask (aws logs filter-log-events)",
                if masked == 1 {
                    "1 unsent event is".to_owned()
                } else {
                    format!("{} unsent events are", number(masked))
                },
                if incomplete == 0 {
                    String::new()
                } else {
                    format!(", and {} could not be read", number(incomplete))
                },
            ))),
        }
    }

    async fn send(&self, recovered: &RecoveredEvents) -> Result<()> {
        let user_events =
            self.change.open().await?.user_events(self.queue.as_deref()).await?.without_retries();
        let (count, mut accepted, mut reason) = (recovered.events.len(), 0, None);
        for batch in batches(recovered.events.iter().map(Message::from).collect()) {
            match send_with_retries(&user_events, batch).await {
                Ok(sent) => {
                    accepted += sent.accepted.len();
                    let code = sent.refused.into_values().next();
                    reason = code.map(|code| explain(Some(Service::Sqs), &code, None)).or(reason);
                }
                Err(error) => {
                    reason = Some(describe(&error));
                    break;
                }
            }
        }
        if accepted < count {
            return Err(CommandError::failed(format!(
                "{} of {} were not sent: {}. Run the command again: each event counts once",
                number(count - accepted),
                counted(count, "event"),
                reason.unwrap_or_default()
            )));
        }
        output::done(&format!("{} sent.", counted(accepted, "event")))
    }
}

fn render(recovered: &RecoveredEvents) -> String {
    let mut text = String::new();
    for (event_type, count) in recovered.by_type() {
        text += &format!("{:>7}  {event_type}\n", number(count));
    }
    for (reason, count) in &recovered.skipped {
        let reason = match reason {
            SkipReason::GroupsMapped => "user.groups_mapped, which the user's next token publishes again",
            SkipReason::TooOld => "more than 30 days old, which user-stats rejects",
        };
        text += &format!("{:>7}  skipped: {reason}\n", number(*count));
    }
    for (log, line) in recovered.masked.iter().take(MAX_INCOMPLETE) {
        text += &format!("skipped: {log}: line {line} has masked values\n");
    }
    for (log, line) in recovered.incomplete.iter().take(MAX_INCOMPLETE) {
        text += &format!(
            "skipped: {log}: line {line} is not a complete event (truncated log, or written by a newer release)\n"
        );
    }
    if let Some(more) = recovered.incomplete.len().checked_sub(MAX_INCOMPLETE).filter(|more| *more > 0) {
        text += &format!("and {} more\n", number(more));
    }
    text
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn read(path: &Path) -> Result<String> {
    let name = name(path);
    let mut bytes = Vec::new();
    let read = match is_stdin(path) {
        true => std::io::stdin().read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    // A path is wrong if it cannot be read: nothing was done.
    read.map_err(|error| CommandError::invalid_input(format!("{name}: {error}")))?;
    let log = match bytes.starts_with(&GZIP) {
        true => decompress(&bytes).map_err(|error| {
            CommandError::invalid_input(format!("{name}: cannot be decompressed: {error}. Fetch it again"))
        })?,
        false => String::from_utf8(bytes).unwrap_or_else(|_| "\0".to_owned()),
    };
    if log.contains('\0') {
        return Err(CommandError::invalid_input(format!(
            "{name}: not UTF-8 text. Unpack or convert it first"
        )));
    }
    Ok(log)
}
