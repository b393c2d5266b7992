//! The commands for users.

pub mod erase;
pub mod import;
pub mod show;
pub mod suspension;

use clap::Subcommand;

use crate::error::Result;
use erase::command::Erase;
use import::command::Import;
use show::command::Show;
use suspension::command::{Reinstate, Suspend};

/// Show, suspend, reinstate, erase or import users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    Show(Show),
    Suspend(Suspend),
    Reinstate(Reinstate),
    Erase(Erase),
    Import(Import),
}

impl UserCommand {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Show(command) => command.run().await,
            Self::Suspend(command) => command.run().await,
            Self::Reinstate(command) => command.run().await,
            Self::Erase(command) => command.run().await,
            Self::Import(command) => command.run().await,
        }
    }

    /// Whether the command changes the account, so that an early end is an error.
    pub fn changes_account(&self) -> bool {
        match self {
            Self::Show(_) => false,
            Self::Suspend(command) => command.options.change.yes,
            Self::Reinstate(command) => command.options.change.yes,
            Self::Erase(command) => command.change.yes,
            Self::Import(command) => command.change.yes,
        }
    }
}
