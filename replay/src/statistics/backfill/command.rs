//! `replay statistics backfill`: its options and output.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use shared::store::Partition;
use shared::text::plural;
use shared::time::Clock;

use super::{BackfillEvents, Counted};
use crate::error::InvalidInput;
use crate::options::{ChangeOptions, TableOptions};
use crate::output;
use crate::queue::save::Lines;
use crate::statistics::backfill;

const EXAMPLES: &str = "\
Example:
  replay save user-events-dlq --error too_old --out old.ndjson --delete --yes
  replay statistics backfill old.ndjson --event-retention-days 90 --yes";

/// Apply events that are too old for user-stats (more than 30 days) to the statistics.
///
/// Reads a file of `replay save`. Each event counts once: the marker of a counted event stays for
/// EVENT_RETENTION_DAYS. Events that are older than that are refused, and so are events of users
/// that the table does not know.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Backfill {
    /// A file that `replay save` wrote.
    file: PathBuf,
    /// The lowest value that EVENT_RETENTION_DAYS ever had. A higher value counts events twice.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(32..=3650))]
    event_retention_days: u32,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Backfill {
    /// Counts the events of a file, all of which is read before anything is written.
    pub async fn run(self) -> Result<()> {
        let Self { file, event_retention_days, table, change } = self;
        let name = file.display().to_string();
        let mut backfill_events = BackfillEvents::default();
        let mut lines = Lines::open(&file).with_context(|| name.clone())?;
        while let Some((number, line)) = lines.next().with_context(|| name.clone())? {
            if let Err(reason) = backfill::read(&mut backfill_events, &line, event_retention_days, &Clock::system()) {
                return InvalidInput::err(format!("{name}: line {number}: {reason}; nothing was counted"));
            }
        }
        let BackfillEvents { of: events, of_unknown_users, .. } = backfill_events;
        let store = change.open().await?.store(table.table.as_deref())?;
        let count: usize = events.values().map(Vec::len).sum();

        let (users, domains): (Vec<_>, Vec<_>) =
            events.keys().partition(|partition| matches!(partition, Partition::User(_)));
        writeln!(
            output::stdout(),
            "{} of {} and {} of domains",
            plural(count, "event"),
            plural(users.len(), "user"),
            plural(domains.len(), "shard"),
        )?;
        if of_unknown_users > 0 {
            writeln!(output::stdout(), "{of_unknown_users} about users whom the pool did not know, left")?;
        }
        if !change.yes {
            return output::not_done(
                "Nothing was counted. With --yes they are, except those that were before.",
            );
        }
        let mut sum = Counted::default();
        for (partition, events) in &events {
            let counted = backfill::count(&store, partition, events, event_retention_days).await;
            let Counted { applied, duplicates, of_erased_users } = counted
                .with_context(|| format!("{} events were counted; run it again for the rest", sum.applied))?;
            sum.applied += applied;
            sum.duplicates += duplicates;
            sum.of_erased_users += of_erased_users;
        }
        output::done(&format!(
            "{} counted, {} counted before, {} of erased or unknown users dropped.",
            sum.applied, sum.duplicates, sum.of_erased_users
        ))
    }
}
