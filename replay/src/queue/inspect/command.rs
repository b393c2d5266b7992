//! `replay inspect`

use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;
use crate::account::AccountOptions;
use crate::queue::filter::Filter;
use crate::queue::inspect::Inspection;
use crate::queue::description::QueueDescription;
use crate::interrupt::StopSignal;
use shared::time::Clock;

use crate::output;
use crate::progress::Progress;

const EXAMPLES: &str = "\
Examples:
  replay inspect user-events-dlq
  replay inspect user-events-dlq --error invalid_data --sample 3
  replay inspect user-events-dlq --json | jq .byReason";

/// Count what lies in a dead-letter queue, by type, reason, age and subject, without taking anything out.
///
/// Each message is received once, which its receive count tells, and is visible again right after. A queue that has a
/// dead-letter queue of its own is refused.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// The queue, by name, ARN or URL.
    queue: String,
    /// Show so many bodies of each reason, with personal data masked.
    #[arg(long, value_name = "N", default_value_t = 0)]
    sample: usize,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    account: AccountOptions,
}

impl Inspect {
    /// Counts.
    pub async fn run(self) -> Result<()> {
        let account = self.account.open().await?;
        let (url, sqs) = (account.queue_url(&self.queue).await?, account.sqs());
        let queue = QueueDescription::read(&sqs, &url).await.with_context(|| self.queue.clone())?;
        let progress = Progress::new("seen", Some(queue.visible));
        let (clock, stop) = (Clock::system(), StopSignal::on_signals());
        let seen = |count| progress.set(count);
        let found =
            Inspection::of_queue((&sqs, &queue), &self.filter, self.sample, &clock, &stop, &seen).await;
        drop(progress);
        // An interruption is one, whatever was looked at.
        let found = found.map_err(|error| match error.is::<crate::interrupt::Interrupted>() {
            true => error,
            false => error.context(self.queue.clone()),
        })?;
        if self.json {
            return output::json(&found.json());
        }
        write!(output::stdout(), "{}", found.text())?;
        Ok(())
    }
}
