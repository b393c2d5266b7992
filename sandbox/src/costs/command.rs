//! `cargo sandbox costs`

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use super::day::{self, Model};
use super::{plot, tables};


/// Tell what a day of users costs under each policy, as tables in Markdown: those of docs/costs.md. Or a month of all
/// services, for pools of every size.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo sandbox costs --users 10000 --active-percent 50\n  cargo sandbox costs --months\n  cargo sandbox costs --plot docs/images/cost-by-policy.svg"
)]
pub struct Costs {
    /// Users of the pool.
    #[arg(long, value_name = "N", default_value_t = Model::default().users, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    users: u32,
    /// Of a hundred users, so many come on a day.
    #[arg(long, value_name = "N", default_value_t = Model::default().active_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
    active_percent: u32,
    /// Of a hundred users, so many are changed by a job at night.
    #[arg(long, value_name = "N", default_value_t = Model::default().job_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
    job_percent: u32,
    /// What a month takes of every service and costs, from ten thousand users to a hundred million: the tables of
    /// docs/performance.md.
    #[arg(long, conflicts_with = "users")]
    months: bool,
    /// Write a picture of that, in SVG: dollars a month over users, a line for each policy.
    #[arg(long, value_name = "FILE", conflicts_with = "users")]
    plot: Option<PathBuf>,
}

impl Costs {
    /// Tells it.
    pub fn run(self) -> Result<()> {
        let Self { users, active_percent, job_percent, months, plot } = self;
        let model = Model { users, active_percent, job_percent, ..Model::default() };
        if let Some(path) = &plot {
            let picture = plot::cost_by_policy(&model);
            std::fs::write(path, picture).with_context(|| path.display().to_string())?;
        }
        match (months, plot) {
            (true, _) => write!(std::io::stdout(), "{}", tables::scale(&model))?,
            (false, Some(path)) => writeln!(std::io::stdout(), "{}", path.display())?,
            (false, None) => write!(std::io::stdout(), "{}", day::report(&model))?,
        }
        Ok(())
    }
}
