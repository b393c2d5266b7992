//! The commands for stored statistics.

pub mod backfill;
pub mod rebuild;

use clap::Subcommand;

use crate::error::Result;
use backfill::command::Backfill;
use rebuild::command::Rebuild;

/// Rebuild statistics from stored events, or apply events that are too old for user-stats.
#[derive(Debug, Subcommand)]
pub enum StatisticsCommand {
    Rebuild(Rebuild),
    Backfill(Backfill),
}

impl StatisticsCommand {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Rebuild(command) => command.run().await,
            Self::Backfill(command) => command.run().await,
        }
    }

    /// Whether the command changes the account, so that an early end is an error.
    pub fn changes_account(&self) -> bool {
        match self {
            Self::Rebuild(command) => command.change.yes,
            Self::Backfill(command) => command.change.yes,
        }
    }
}
