//! The commands by name.

use clap::{Parser, Subcommand};

use crate::commands::{
    completions::Completions,
    forget::Forget,
    import::Import,
    inspect::Inspect,
    local::Local,
    man::Man,
    preview::Preview,
    rebuild::Rebuild,
    recover::Recover,
    redrive::Redrive,
    save::Save,
    schema::Schema,
    send::Send,
    simulate::Simulate,
    stats::Stats,
    suspension::{Reinstate, Suspend},
};

const EXIT_CODES: &str = "\
Exit codes:
  0    done; without --yes: shown what would be done
  1    not done, or not all of it; one line on standard error says what and why
  2    the command line, a file or a journey is wrong; nothing was done
  130  interrupted (Ctrl-C); what was received was given back

Without --yes, nothing in a queue or table is changed. docs/replay.md has everything on one page.";

/// Plays what happens to users, and looks after the queues.
#[derive(Debug, Parser)]
#[command(name = "replay", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Local(Local),
    Inspect(Inspect),
    Redrive(Redrive),
    Save(Save),
    Send(Send),
    Recover(Recover),
    Stats(Stats),
    Suspend(Suspend),
    Reinstate(Reinstate),
    Forget(Forget),
    Rebuild(Rebuild),
    Import(Import),
    Preview(Preview),
    Simulate(Simulate),
    Schema(Schema),
    Completions(Completions),
    Man(Man),
}

impl Command {
    /// Runs it.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Local(command) => command.run().await,
            Self::Inspect(command) => command.run().await,
            Self::Redrive(command) => command.run().await,
            Self::Save(command) => command.run().await,
            Self::Send(command) => command.run().await,
            Self::Recover(command) => command.run().await,
            Self::Stats(command) => command.run().await,
            Self::Suspend(command) => command.run().await,
            Self::Reinstate(command) => command.run().await,
            Self::Forget(command) => command.run().await,
            Self::Rebuild(command) => command.run().await,
            Self::Import(command) => command.run().await,
            Self::Preview(command) => command.run(),
            Self::Simulate(command) => command.run(),
            Self::Schema(command) => command.run(),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
        }
    }

    /// Whether it changes something, so that an end before its time is an error.
    pub fn acts(&self) -> bool {
        match self {
            Self::Redrive(command) => command.act.yes,
            Self::Save(command) => command.act.yes,
            Self::Send(command) => command.act.yes,
            Self::Recover(command) => command.act.yes,
            Self::Suspend(command) => command.decision.act.yes,
            Self::Reinstate(command) => command.decision.act.yes,
            Self::Forget(command) => command.act.yes,
            Self::Rebuild(command) => command.act.yes,
            Self::Import(command) => command.act.yes,
            _ => false,
        }
    }
}
