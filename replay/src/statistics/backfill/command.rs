//! `replay statistics backfill`: options and output.

use std::path::{Path, PathBuf};

use clap::Args;
use shared::store::Partition;
use shared::telemetry::chain;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::options::{ChangeOptions, TableOptions};
use crate::output::{self, counted, number};
use crate::queue::message_file::Lines;
use crate::statistics::backfill::{BackfillCounts, BackfillEvents, apply_events};

const EXAMPLES: &str = "\
Examples:
  replay save user-events-dlq --error too_old --out old.ndjson --delete --yes
  replay statistics backfill old.ndjson --event-retention-days 90 --yes";

/// Apply events that are too old for user-stats (more than 30 days) to the statistics.
///
/// Reads a file of `replay save`. The whole file is checked before anything is applied. Each event
/// counts once, because the marker of an applied event stays for EVENT_RETENTION_DAYS. Events that
/// are older than that are rejected. Events of erased users, and of users that the table does not
/// know, are dropped. The command is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Backfill {
    /// File that `replay save` wrote.
    file: PathBuf,
    /// The lowest value that EVENT_RETENTION_DAYS ever had. With a higher value, events could count
    /// twice.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(32..=3650))]
    event_retention_days: u32,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Backfill {
    pub async fn run(self) -> Result<()> {
        let Self { file, event_retention_days, table, change } = self;
        let events = read_file(&file, event_retention_days).map_err(|error| error.context(file.display()))?;
        let store = change.open().await?.store(table.table.as_deref())?;
        output::print(&render_plan(&events))?;
        let count: usize = events.by_partition.values().map(Vec::len).sum();
        if !change.yes {
            return output::not_done(&format!(
                "Dry run: nothing was applied. Add --yes to apply {}. Each event counts once.",
                counted(count, "event")
            ));
        }
        let mut counts = BackfillCounts::default();
        for (partition, events) in &events.by_partition {
            let applied = apply_events(&store, partition, events, event_retention_days, &mut counts).await;
            applied.map_err(|error| {
                CommandError::failed(format!(
                    "{} of {} applied: {}. Run the command again to apply the rest",
                    number(counts.applied),
                    counted(count, "event"),
                    chain(error.as_ref())
                ))
            })?;
        }
        output::done(&render(&counts))
    }
}

fn read_file(path: &Path, event_retention_days: u32) -> Result<BackfillEvents> {
    let now = Clock::system().now();
    let mut events = BackfillEvents::default();
    let mut lines = Lines::open(path)?;
    while let Some((number, line)) = lines.next()? {
        events.add_line(&line, event_retention_days, now).map_err(|error| {
            CommandError::invalid_input(format!("line {number}: {error}. Nothing was applied"))
        })?;
    }
    Ok(events)
}

fn render_plan(events: &BackfillEvents) -> String {
    let count = events.by_partition.values().map(Vec::len).sum();
    let (users, shards): (Vec<_>, Vec<_>) =
        events.by_partition.keys().partition(|partition| matches!(partition, Partition::User(_)));
    let mut text = format!(
        "{} of {} and {}\n",
        counted(count, "event"),
        counted(users.len(), "user"),
        counted(shards.len(), "domain shard"),
    );
    if events.without_user > 0 {
        text += &format!(
            "{} skipped: about a user name that the user pool did not know\n",
            counted(events.without_user, "event")
        );
    }
    if events.allowed_attempts > 0 {
        text += &format!(
            "{} skipped: allowed sign-in attempts change no statistics\n",
            counted(events.allowed_attempts, "event")
        );
    }
    text
}

fn render(counts: &BackfillCounts) -> String {
    let BackfillCounts { applied, duplicates, dropped } = counts;
    format!(
        "{} applied, {} applied before, {} dropped (user erased or not in the table).",
        counted(*applied, "event"),
        number(*duplicates),
        number(*dropped)
    )
}
