//! `replay statistics backfill`: options and output.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use shared::store::Partition;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::{ChangeOptions, TableOptions};
use crate::output::{self, counted, number};
use crate::queue::message_file::Lines;
use crate::statistics::backfill::{BackfillCounts, BackfillEvents, apply_events};

const EXAMPLES: &str = "\
Examples:
  replay save user-events-dead-letters --error too_old --out old.ndjson --delete --yes
  replay statistics backfill old.ndjson --event-retention-days 90
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
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// What a backfill read and applied.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackfillReport {
    /// True if nothing was applied, because --yes is missing.
    pub dry_run: bool,
    /// Number of events in the file that change statistics.
    pub events: usize,
    /// Number of users that these events are about.
    pub users: usize,
    /// Number of domain shards that these events are about.
    pub domain_shards: usize,
    /// Number of events about a user name that the user pool did not know. They change no statistics.
    pub without_user: usize,
    /// Number of allowed sign-in attempts. They change no statistics.
    pub allowed_attempts: usize,
    /// Number of events that were applied.
    pub applied: usize,
    /// Number of events that were applied before.
    pub duplicates: usize,
    /// Number of events of users who were erased or are not in the table.
    pub dropped: usize,
}

impl BackfillReport {
    fn of(events: &BackfillEvents, is_dry_run: bool) -> Self {
        let (users, shards): (Vec<_>, Vec<_>) =
            events.by_partition.keys().partition(|partition| matches!(partition, Partition::User(_)));
        Self {
            dry_run: is_dry_run,
            events: events.by_partition.values().map(Vec::len).sum(),
            users: users.len(),
            domain_shards: shards.len(),
            without_user: events.without_user,
            allowed_attempts: events.allowed_attempts,
            ..Self::default()
        }
    }

    fn add(&mut self, counts: &BackfillCounts) {
        let BackfillCounts { applied, duplicates, dropped } = *counts;
        (self.applied, self.duplicates, self.dropped) = (applied, duplicates, dropped);
    }
}

impl Backfill {
    pub async fn run(self) -> Result<()> {
        let Self { file, event_retention_days, json, table, change } = self;
        let events = read_file(&file, event_retention_days)
            .map_err(|error| error.context(file.display()).into_invalid_input())?;
        let store = change.open().await?.store(table.table.as_deref()).await?;
        let mut report = BackfillReport::of(&events, !change.yes);
        if !json {
            output::print(&render_plan(&report))?;
        }
        let count = report.events;
        if !change.yes {
            if json {
                return output::json(&report);
            }
            return output::not_done(&format!(
                "Dry run: nothing was applied. Add --yes to apply {}. Each event counts once.",
                counted(count, "event")
            ));
        }
        let (mut counts, stop) = (BackfillCounts::default(), StopSignal::on_signals());
        for (partition, events) in &events.by_partition {
            if stop.is_requested() {
                if json {
                    output::json(&report)?;
                }
                let (applied, count) = (number(counts.applied), counted(count, "event"));
                return Err(CommandError::interrupted(format!(
                    "{applied} of {count} applied. Run the command again to apply the rest"
                )));
            }
            let applied = apply_events(&store, partition, events, event_retention_days, &mut counts).await;
            report.add(&counts);
            if let Err(error) = applied {
                if json {
                    output::json(&report)?;
                }
                return Err(CommandError::failed(format!(
                    "{} of {} applied: {}. Run the command again to apply the rest",
                    number(counts.applied),
                    counted(count, "event"),
                    crate::aws_error::describe(error.as_ref())
                )));
            }
        }
        if json {
            return output::json(&report);
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

fn render_plan(report: &BackfillReport) -> String {
    let mut text = format!(
        "{} of {} and {}\n",
        counted(report.events, "event"),
        counted(report.users, "user"),
        counted(report.domain_shards, "domain shard"),
    );
    if report.without_user > 0 {
        text += &format!(
            "{} skipped: about a user name that the user pool did not know\n",
            counted(report.without_user, "event")
        );
    }
    if report.allowed_attempts > 0 {
        text += &format!(
            "{} skipped: allowed sign-in attempts change no statistics\n",
            counted(report.allowed_attempts, "event")
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
