//! `sandbox costs`: its options and output.

use std::io::Write;
use std::path::PathBuf;

use super::day::Model;
use super::{day_tables, plot, tables};
use anyhow::{Context, Result};
use clap::Args;

/// Print what a day of users costs under each invalidation policy: the tables of docs/costs.md.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo sandbox costs --users 10000 --active-percent 50\n  cargo sandbox costs --months\n  cargo sandbox costs --plot docs/images/cost-by-policy.svg"
)]
pub struct Costs {
    /// Users in the pool.
    #[arg(long, value_name = "N", default_value_t = Model::default().users, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    users: u32,
    /// Percentage of users who are active on a day.
    #[arg(long, value_name = "N", default_value_t = Model::default().active_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
    active_percent: u32,
    /// Percentage of users that a job changes at night.
    #[arg(long, value_name = "N", default_value_t = Model::default().job_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
    job_percent: u32,
    /// Print the use and cost of every service in a month instead, from ten thousand to a hundred
    /// million users: the tables of docs/capacity.md.
    #[arg(long, conflicts_with = "users")]
    months: bool,
    /// Write an SVG picture: dollars per month over users, with a line for each policy.
    #[arg(long, value_name = "FILE", conflicts_with = "users")]
    plot: Option<PathBuf>,
}

impl Costs {
    pub fn run(self) -> Result<()> {
        let Self { users, active_percent, job_percent, months, plot } = self;
        let model = Model { users, active_percent, job_percent, ..Model::default() };
        if let Some(path) = &plot {
            let picture = plot::cost_by_policy(&model);
            std::fs::write(path, picture).with_context(|| path.display().to_string())?;
        }
        match (months, plot) {
            (true, _) => write!(std::io::stdout(), "{}", tables::months(&model))?,
            (false, Some(path)) => writeln!(std::io::stdout(), "{}", path.display())?,
            (false, None) => write!(std::io::stdout(), "{}", day_tables::report(&model))?,
        }
        Ok(())
    }
}
