//! `replay simulate`

use std::io::Write;

use anyhow::Result;
use clap::Args;
use replay::simulate::{self, Model};

use crate::output;

/// Tell what a day of users costs under each policy, as tables in Markdown: those of docs/costs.md.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  replay simulate --users 10000 --active-percent 50")]
pub struct Simulate {
    /// Users of the pool.
    #[arg(long, value_name = "N", default_value_t = Model::default().users)]
    users: u32,
    /// Of a hundred users, so many come on a day.
    #[arg(long, value_name = "N", default_value_t = Model::default().active_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
    active_percent: u32,
    /// Of a hundred users, so many are changed by a job at night.
    #[arg(long, value_name = "N", default_value_t = Model::default().job_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
    job_percent: u32,
}

impl Simulate {
    /// Tells it.
    pub fn run(self) -> Result<()> {
        let Self { users, active_percent, job_percent } = self;
        let model = Model { users, active_percent, job_percent, ..Model::default() };
        write!(output::stdout(), "{}", simulate::report(&model))?;
        Ok(())
    }
}
