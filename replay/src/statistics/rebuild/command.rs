//! `replay statistics rebuild`

use std::io::Write;

use anyhow::{Result, bail};
use clap::{ArgGroup, Args};
use crate::statistics::rebuild::{Finding, Summary, RebuildMode, rebuild, rebuild_all};
use crate::interrupt::StopSignal;
use serde_json::json;
use shared::store::Partition;

use crate::options::{ChangeOptions, TableOptions, check_sub};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay statistics rebuild --user 7d8ca528-4931-4254-9273-ea5ee853f271
  replay statistics rebuild --user 7d8ca528-4931-4254-9273-ea5ee853f271 --yes
  replay statistics rebuild --all --json > differences.json";

/// Work statistics out anew from the stored events, and show where they differ.
///
/// Shows each figure that differs, and writes with --yes, also while user-stats is at work. Events expire after
/// EVENT_RETENTION_DAYS, so that a user or domain of whom a figure would fall is refused, unless --lower is given. Users
/// who were erased are left.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("what").args(["user", "all"]).required(true)))]
pub struct Rebuild {
    /// One user, by sub.
    #[arg(long, value_name = "SUB")]
    user: Option<String>,
    /// All users and all domains: reads the whole table.
    #[arg(long)]
    all: bool,
    /// Also where figures fall.
    #[arg(long)]
    lower: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Rebuild {
    /// Shows the differences, and mends them.
    pub async fn run(self) -> Result<()> {
        if let Some(sub) = &self.user {
            check_sub(sub)?;
        }
        let store = self.change.open().await?.store(self.table.table.as_deref())?;
        let treatment = RebuildMode { write: self.change.yes, lower: self.lower };
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
                StopSignal::on_signals().or(rebuild_all(&store, treatment, &mut tell), then).await?;
            }
        }
        if self.json {
            writeln!(out, "\n  ],\n  \"summary\": {}\n}}", json!(summary))?;
        } else {
            writeln!(out, "{}", summary.text())?;
            if !self.change.yes && summary.differing > summary.refused {
                output::not_done("Nothing was changed. With --yes it is done.")?;
            }
        }
        match summary.trouble() {
            None => Ok(()),
            Some(trouble) => bail!("{trouble}"),
        }
    }
}
