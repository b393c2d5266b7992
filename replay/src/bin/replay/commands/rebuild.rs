//! `replay rebuild`

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};
use replay::late::{self, Counted, LateEvents};
use replay::rebuild::{Finding, Summary, Treatment, rebuild, rebuild_all};
use replay::report::plural;
use replay::save::Lines;
use replay::stop::Stop;
use serde_json::json;
use shared::store::Partition;
use shared::time::Clock;

use super::{ActOptions, InvalidInput, TableOptions, check_sub};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay rebuild --user 7d8ca528-4931-4254-9273-ea5ee853f271
  replay rebuild --user 7d8ca528-4931-4254-9273-ea5ee853f271 --yes
  replay rebuild --all --json > differences.json
  replay save user-events-dlq --error too_old --out late.ndjson --delete --yes
  replay rebuild --events late.ndjson --event-retention-days 90";

/// Work statistics out anew from the stored events, and show where they differ.
///
/// Shows each figure that differs, and writes with --yes, also while user-stats is at work. Events expire after
/// EVENT_RETENTION_DAYS, so that a user or domain of whom a figure would fall is refused, unless --lower is given. Users
/// who were erased are left.
///
/// With --events, counts the events of a file of `replay save` that user-stats takes no more, because they are older than 30
/// days. Each counts once: the marker of one that was counted is there for EVENT_RETENTION_DAYS; older ones are refused. So are
/// those of users of whom the table knows nothing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("what").args(["user", "all", "events"]).required(true)))]
pub struct Rebuild {
    /// One user, by sub.
    #[arg(long, value_name = "SUB")]
    user: Option<String>,
    /// All users and all domains: reads the whole table.
    #[arg(long)]
    all: bool,
    /// The events of this file, which are too old for user-stats.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// With --events: EVENT_RETENTION_DAYS, the lowest value that it ever had. With a higher one, events would count twice.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(32..=3650), requires = "events")]
    event_retention_days: Option<u32>,
    /// Also where figures fall.
    #[arg(long, conflicts_with = "events")]
    lower: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub act: ActOptions,
}

impl Rebuild {
    /// Shows the differences, and mends them.
    pub async fn run(self) -> Result<()> {
        if let Some(sub) = &self.user {
            check_sub(sub)?;
        }
        if let Some(file) = &self.events {
            let Some(days) = self.event_retention_days else {
                return InvalidInput::told(
                    "--events: wants --event-retention-days, the lowest value of EVENT_RETENTION_DAYS ever",
                );
            };
            return self.count_late(file, days).await;
        }
        let store = self.act.open().await?.store(self.table.table.as_deref())?;
        let treatment = Treatment { write: self.act.yes, lower: self.lower };
        let mut out = output::stdout();
        let mut summary = Summary::default();
        if self.json {
            write!(out, "{{\n  \"partitions\": [")?;
        }
        // Partition by partition, so that a large table needs no memory.
        let mut separator = "";
        let mut tell = |partition: &Partition, finding: &Finding| -> Result<()> {
            summary.add(partition, finding);
            if self.all && !finding.is_news() {
                return Ok(());
            }
            if self.json {
                write!(out, "{separator}\n    {}", finding.json(partition))?;
                separator = ",";
            } else {
                write!(out, "{}", finding.text(partition))?;
            }
            Ok(())
        };
        match self.user {
            Some(sub) => {
                let partition = Partition::User(sub);
                tell(&partition, &rebuild(&store, &partition, treatment).await?)?;
            }
            None => {
                let then = "what was written is whole; run it again for the rest";
                Stop::on_signals().or(rebuild_all(&store, treatment, &mut tell), then).await?;
            }
        }
        if self.json {
            writeln!(out, "\n  ],\n  \"summary\": {}\n}}", json!(summary))?;
        } else {
            writeln!(out, "{}", summary.text())?;
            if !self.act.yes && summary.differing > summary.refused {
                output::not_done("Nothing was changed. With --yes it is done.")?;
            }
        }
        match summary.trouble() {
            None => Ok(()),
            Some(trouble) => bail!("{trouble}"),
        }
    }

    /// Counts the events of a file, all of which is read before anything is written.
    async fn count_late(&self, file: &Path, event_retention_days: u32) -> Result<()> {
        let name = file.display().to_string();
        let mut late = LateEvents::default();
        let mut lines = Lines::open(file).with_context(|| name.clone())?;
        while let Some((number, line)) = lines.next().with_context(|| name.clone())? {
            if let Err(reason) = late::read(&mut late, &line, event_retention_days, &Clock::system()) {
                return InvalidInput::told(format!("{name}: line {number}: {reason}; nothing was counted"));
            }
        }
        let LateEvents { of: events, of_unknown_users, .. } = late;
        let store = self.act.open().await?.store(self.table.table.as_deref())?;
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
        if !self.act.yes {
            return output::not_done(
                "Nothing was counted. With --yes they are, except those that were before.",
            );
        }
        let mut sum = Counted::default();
        for (partition, events) in &events {
            let counted = late::count(&store, partition, events, event_retention_days).await;
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
