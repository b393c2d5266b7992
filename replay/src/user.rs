//! The commands for users.

pub mod create;
pub mod erase;
pub mod group;
pub mod import;
pub mod list;
pub mod password;
pub mod pool;
pub mod pool_account;
pub mod show;
pub mod suspension;

use clap::Subcommand;

use crate::error::Result;
use create::command::Create;
use erase::command::Erase;
use group::command::GroupCommand;
use import::command::Import;
use list::command::List;
use password::command::Password;
use show::command::Show;
use suspension::command::{Reinstate, Suspend};

/// Show, list, create, suspend, reinstate, erase or import users, and change passwords and groups.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    Show(Show),
    List(List),
    Create(Create),
    Password(Password),
    #[command(subcommand)]
    Group(GroupCommand),
    Suspend(Suspend),
    Reinstate(Reinstate),
    Erase(Erase),
    Import(Import),
}

impl UserCommand {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Show(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Create(command) => command.run().await,
            Self::Password(command) => command.run().await,
            Self::Group(command) => command.run().await,
            Self::Suspend(command) => command.run().await,
            Self::Reinstate(command) => command.run().await,
            Self::Erase(command) => command.run().await,
            Self::Import(command) => command.run().await,
        }
    }

    /// Whether the command changes the account, so that an early end is an error.
    pub fn changes_account(&self) -> bool {
        match self {
            Self::Show(_) | Self::List(_) => false,
            Self::Create(command) => command.change.yes,
            Self::Password(command) => command.change.yes,
            Self::Group(command) => command.changes_account(),
            Self::Suspend(command) => command.options.change.yes,
            Self::Reinstate(command) => command.options.change.yes,
            Self::Erase(command) => command.change.yes,
            Self::Import(command) => command.change.yes,
        }
    }
}
