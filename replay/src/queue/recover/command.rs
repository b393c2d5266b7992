//! `replay recover`

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use crate::queue::description::with_advice;
use crate::queue::recover::Recovered;
use crate::queue::redrive::send_patiently;
use shared::queues::{Message, batches};
use shared::telemetry::chain;
use shared::time::Clock;

use crate::error::InvalidInput;
use crate::options::ChangeOptions;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay recover --log lost.log
  aws logs tail /aws/lambda/cognito-user-events-pre-sign-up --since 1d | replay recover --log - --yes";

/// Find the events in logs that triggers could not send, and send them to user-events.
///
/// Takes the log of the triggers in any form: lines as Lambda writes them, what `aws logs tail` or `aws logs
/// filter-log-events` prints, an export. Shows what it found, and sends it with --yes. Sending again does no harm: each
/// event counts once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Recover {
    /// A file with logs; - for standard input.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    log: Vec<PathBuf>,
    /// The queue user-events, by name or URL. [default: USER_EVENTS_QUEUE_URL]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Recover {
    /// Finds them, and sends them.
    pub async fn run(self) -> Result<()> {
        let mut found = Recovered::default();
        for path in &self.log {
            found.read(&read(path)?, Clock::system().now());
        }
        for (event_type, count) in found.by_type() {
            writeln!(output::stdout(), "{count:>7}  {event_type}")?;
        }
        for (reason, count) in &found.left {
            writeln!(output::stdout(), "{count:>7}  left: {reason}")?;
        }
        if found.events.is_empty() {
            output::not_done("No lost events to send.")?;
        } else if self.change.yes {
            self.send(&found).await?;
        } else {
            output::not_done("Nothing was sent. With --yes it is.")?;
        }
        match found.unreadable() {
            0 => Ok(()),
            count => bail!("{count} lost events could not be read from the log"),
        }
    }

    async fn send(&self, found: &Recovered) -> Result<()> {
        let user_events = self.change.open().await?.user_events(self.queue.as_deref()).await?.without_retries();
        let (count, mut accepted, mut reason) = (found.events.len(), 0, None);
        for batch in batches(found.events.iter().map(Message::from).collect()) {
            match send_patiently(&user_events, batch).await {
                Ok(sent) => {
                    accepted += sent.accepted.len();
                    reason = sent.refused.into_values().next().or(reason);
                }
                Err(error) => {
                    reason = Some(chain(&error));
                    break;
                }
            }
        }
        if accepted < count {
            let reason = with_advice(&reason.unwrap_or_default());
            bail!(
                "{} of {count} events were not sent: {reason}. Run it again, each event counts once",
                count - accepted
            );
        }
        output::done(&format!("Sent: {accepted}."))
    }
}

fn read(path: &Path) -> Result<String> {
    let name = path.display();
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.with_context(|| name.to_string())?;
    match String::from_utf8(bytes).ok().filter(|log| !log.contains('\0')) {
        Some(log) => Ok(log),
        None => InvalidInput::err(format!("{name}: is no text in UTF-8; unpack it first, or convert it")),
    }
}
