//! `sandbox costs`: its options and output.

use std::io::Write;
use std::path::PathBuf;

use super::assumptions::ORIGIN_DOLLARS_PER_MILLION;
use super::day::Model;
use super::{account_events, day_tables, pays_tables, plot, settings_table, tables};
use anyhow::{Context, Result};
use clap::Args;

/// Sizes of the pools without `--users`.
const SIZES: [u32; 2] = [10_000, 1_000_000];

/// Print what a day of users costs under each policy of caching and invalidation, and how stale the pages
/// are: the tables of docs/costs.md.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo sandbox costs --users 50000 --active-percent 50\n  cargo sandbox costs --months\n  cargo sandbox costs --pays\n  cargo sandbox costs --plot docs/images"
)]
pub struct Costs {
    /// Users in the pool. Default: a table for 10,000 users and one for a million.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    users: Option<u32>,
    /// Percentage of users who are active on a day.
    #[arg(long, value_name = "N", default_value_t = Model::default().active_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
    active_percent: u32,
    /// Percentage of users that a job changes at night.
    #[arg(long, value_name = "N", default_value_t = Model::default().job_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
    job_percent: u32,
    /// Dollars for a million pages that the origin renders.
    #[arg(long, value_name = "DOLLARS", default_value_t = ORIGIN_DOLLARS_PER_MILLION, value_parser = dollars)]
    origin_dollars_per_million: f64,
    /// Print the use and cost of every service in a month instead, from ten thousand to a hundred
    /// million users: the tables of docs/capacity.md.
    #[arg(long, conflicts_with = "users")]
    months: bool,
    /// Print the effect of single settings instead: the table that the defaults were chosen from.
    #[arg(long, conflicts_with_all = ["users", "months"])]
    settings: bool,
    /// Print for which pages and which workloads caching and invalidations pay instead: the tables of
    /// docs/when-caching-pays.md.
    #[arg(long, conflicts_with_all = ["users", "months", "settings", "origin_dollars_per_million"])]
    pays: bool,
    /// Print what failed sign-ins cost with account events instead: the table of
    /// docs/account-events.md.
    #[arg(long, conflicts_with_all = ["users", "months", "settings", "pays", "active_percent", "job_percent", "origin_dollars_per_million"])]
    account_events: bool,
    /// Write two SVG pictures into this folder: dollars over users, and staleness over dollars.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["users", "months", "settings", "pays", "account_events"])]
    plot: Option<PathBuf>,
}

fn dollars(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(dollars) if (0.0..=1e9).contains(&dollars) => Ok(dollars),
        _ => Err("is not a number from 0 to 1000000000".to_owned()),
    }
}

impl Costs {
    pub fn run(self) -> Result<()> {
        let Self { active_percent, job_percent, origin_dollars_per_million: origin_dollars, .. } = self;
        let model = Model { active_percent, job_percent, ..Model::default() };
        if let Some(folder) = &self.plot {
            for (name, picture) in plot::pictures(&model, origin_dollars) {
                let path = folder.join(name);
                std::fs::write(&path, picture).with_context(|| path.display().to_string())?;
                writeln!(std::io::stdout(), "{}", path.display())?;
            }
            return Ok(());
        }
        let text = if self.months {
            tables::months(&model, origin_dollars)
        } else if self.settings {
            settings_table::settings(&model, origin_dollars)
        } else if self.pays {
            pays_tables::report(&model)
        } else if self.account_events {
            account_events::report()
        } else {
            let sizes = self.users.map_or(SIZES.to_vec(), |users| vec![users]);
            day_tables::report(&model, &sizes, origin_dollars)
        };
        write!(std::io::stdout(), "{text}")?;
        Ok(())
    }
}
