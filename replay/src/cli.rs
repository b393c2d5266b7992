//! The commands by name, and the exit code of each outcome.

use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::{CommandFactory, Parser, Subcommand};
use shared::text::printable;

use crate::completions::Completions;
use crate::error::{exit_code, one_line};
use crate::man::Man;
use crate::output;
use crate::queue::inspect::command::Inspect;
use crate::queue::recover::command::Recover;
use crate::queue::redrive::command::Redrive;
use crate::queue::save::command::Save;
use crate::queue::send::command::Send;
use crate::statistics::StatisticsCommand;
use crate::user::UserCommand;

const EXIT_CODES: &str = "\
Exit codes:
  0    Success. Without --yes: the plan was shown.
  1    Failed, or only partly done. One line on standard error says what and why.
  2    The command line or a file is invalid. Nothing was changed.
  130  Interrupted (Ctrl-C). Received messages are visible in the queue again.

Every command is a dry run unless you pass --yes. docs/replay.md describes all commands.";

/// Look after the queues, users and statistics of a deployed stack.
#[derive(Debug, Parser)]
#[command(name = "replay", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Inspect(Inspect),
    Redrive(Redrive),
    Save(Save),
    Send(Send),
    Recover(Recover),
    #[command(subcommand)]
    User(UserCommand),
    #[command(subcommand)]
    Statistics(StatisticsCommand),
    Completions(Completions),
    Man(Man),
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Inspect(command) => command.run().await,
            Self::Redrive(command) => command.run().await,
            Self::Save(command) => command.run().await,
            Self::Send(command) => command.run().await,
            Self::Recover(command) => command.run().await,
            Self::User(command) => command.run().await,
            Self::Statistics(command) => command.run().await,
            Self::Completions(command) => command.run(Cli::command()),
            Self::Man(command) => command.run(Cli::command()),
        }
    }

    /// Whether the command changes the account, so that an early end is an error.
    fn changes_account(&self) -> bool {
        match self {
            Self::Redrive(command) => command.change.yes,
            Self::Save(command) => command.change.yes,
            Self::Send(command) => command.change.yes,
            Self::Recover(command) => command.change.yes,
            Self::User(command) => command.changes_account(),
            Self::Statistics(command) => command.changes_account(),
            Self::Inspect(_) | Self::Completions(_) | Self::Man(_) => false,
        }
    }
}

/// Commands of earlier versions, with what to type instead.
const RENAMED: [(&str, &str); 10] = [
    ("local", "cargo run -p sandbox"),
    ("preview", "cargo sandbox preview"),
    ("simulate", "cargo sandbox costs"),
    ("schema", "cargo xtask schema"),
    ("stats", "replay user show"),
    ("suspend", "replay user suspend"),
    ("reinstate", "replay user reinstate"),
    ("forget", "replay user erase"),
    ("import", "replay user import"),
    ("rebuild", "replay statistics rebuild (or backfill, for --events)"),
];

/// What replaces the command that is typed, if it was renamed or moved.
fn new_name(command: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == command).map(|(_, new)| *new)
}

/// Parses the command line of this process and runs the command.
pub async fn run() -> ExitCode {
    if let Some(old) = std::env::args().nth(1)
        && let Some(new) = new_name(&old)
    {
        print_error(&format!("`replay {old}` was renamed. Use `{new}`"));
        return ExitCode::from(2);
    }
    let command = Cli::parse().command;
    let changes_account = command.changes_account();
    match command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has read enough. A command that changes the account may not be done.
        Err(error) if !changes_account && output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&printable(&one_line(&error)));
            exit_code(&error)
        }
    }
}

fn print_error(text: &str) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let _ = writeln!(anstream::stderr(), "{red}replay:{red:#} {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn renamed_commands_exist_no_more() {
        for (old, _) in RENAMED {
            assert!(Cli::command().find_subcommand(old).is_none(), "{old}");
        }
    }
}
