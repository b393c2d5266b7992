//! The commands by name.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use shared::text::printable;

use crate::completions::Completions;
use crate::doctor::command::Doctor;
use crate::empty_values;
use crate::error::{CommandError, Result};
use crate::man::Man;
use crate::origin::OriginCommand;
use crate::queue::inspect::command::Inspect;
use crate::queue::list::command::ListQueues;
use crate::queue::move_task::command::MoveTaskCommand;
use crate::queue::recover::command::Recover;
use crate::queue::redrive::command::Redrive;
use crate::queue::save::command::Save;
use crate::queue::send::command::Send;
use crate::reconcile::command::Reconcile;
use crate::statistics::StatisticsCommand;
use crate::status::command::Status;
use crate::user::UserCommand;
use crate::user::list::command::Users;
use crate::user_pool::attach::command::Attach;
use crate::user_pool::detach::command::Detach;

const EXIT_CODES: &str = "\
Exit codes:
  0    Success. After a dry run: the plan was shown.
  1    Failed, or did only a part of the work. Standard error says what and why, in one line.
  2    The command line or a file is invalid. Nothing was changed.
  130  Interrupted (Ctrl-C). Received messages are visible in the queue again.

Commands that change the account are dry runs unless you pass --yes. docs/replay.md describes all
commands.";

/// Manage the queues, users and statistics of a deployed stack, and check its origin.
#[derive(Debug, Parser)]
#[command(name = "replay", bin_name = "replay", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Status(Status),
    Doctor(Doctor),
    Attach(Attach),
    Detach(Detach),
    #[command(name = "queues")]
    ListQueues(ListQueues),
    Inspect(Inspect),
    Redrive(Redrive),
    #[command(subcommand)]
    MoveTask(MoveTaskCommand),
    Save(Save),
    Send(Send),
    Recover(Recover),
    #[command(subcommand)]
    User(UserCommand),
    Users(Users),
    Reconcile(Reconcile),
    #[command(subcommand)]
    Statistics(StatisticsCommand),
    #[command(subcommand)]
    Origin(OriginCommand),
    Completions(Completions),
    Man(Man),
}

impl Command {
    async fn run(self) -> Result<()> {
        match self {
            Self::Status(command) => command.run().await,
            Self::Doctor(command) => command.run().await,
            Self::Attach(command) => command.run().await,
            Self::Detach(command) => command.run().await,
            Self::ListQueues(command) => command.run().await,
            Self::Inspect(command) => command.run().await,
            Self::Redrive(command) => command.run().await,
            Self::MoveTask(command) => command.run().await,
            Self::Save(command) => command.run().await,
            Self::Send(command) => command.run().await,
            Self::Recover(command) => command.run().await,
            Self::User(command) => command.run().await,
            Self::Users(command) => command.run().await,
            Self::Reconcile(command) => command.run().await,
            Self::Statistics(command) => command.run().await,
            Self::Origin(command) => command.run(),
            Self::Completions(command) => command.run(Cli::command()),
            Self::Man(command) => command.run(Cli::command(), EXIT_CODES),
        }
    }

    /// Whether the command changes the account, so that an early end is an error.
    fn changes_account(&self) -> bool {
        match self {
            Self::Doctor(command) => command.change.yes,
            Self::Attach(command) => command.change.yes,
            Self::Detach(command) => command.change.yes,
            Self::Redrive(command) => command.change.yes,
            Self::MoveTask(command) => command.changes_account(),
            Self::Save(command) => command.change.yes,
            Self::Send(command) => command.change.yes,
            Self::Recover(command) => command.change.yes,
            Self::User(command) => command.changes_account(),
            Self::Reconcile(command) => command.change.yes,
            Self::Statistics(command) => command.changes_account(),
            Self::Status(_)
            | Self::ListQueues(_)
            | Self::Inspect(_)
            | Self::Users(_)
            | Self::Origin(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

/// Commands of earlier versions, and what replaces them.
const RENAMED: [(&str, &str); 10] = [
    ("local", "`cargo run -p sandbox`, or `cargo sandbox play FILE`"),
    ("preview", "`cargo sandbox preview`"),
    ("simulate", "`cargo sandbox costs`, with --months for --scale"),
    ("schema", "`cargo xtask schema`"),
    ("stats", "`replay user show`"),
    ("suspend", "`replay user suspend`"),
    ("reinstate", "`replay user reinstate`"),
    ("forget", "`replay user erase`"),
    ("import", "`replay user import`"),
    ("rebuild", "`replay statistics rebuild`, or `replay statistics backfill` for --events"),
];

/// The renamed command that the arguments name, as `replay COMMAND` or `replay help COMMAND`, and
/// what replaces it.
fn renamed_command(arguments: impl Iterator<Item = OsString>) -> Option<(&'static str, &'static str)> {
    let command = arguments.skip(1).find(|argument| argument != "help")?;
    RENAMED.into_iter().find(|(old, _)| command == *old)
}

/// Parses the command line of this process and runs the command.
pub async fn run() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        print_error(&format!("internal error at {place}. Please report it"));
    }));
    if let Some((old, new)) = renamed_command(std::env::args_os()) {
        return report(&CommandError::invalid_input(format!("`replay {old}` was renamed. Use {new}")));
    }
    let mut definition = Cli::command();
    let matches = definition.get_matches_mut();
    if let Some(argument) = empty_values::find(&definition, &matches) {
        return report(&CommandError::invalid_input(format!(
            "{argument}: the value is empty. If it comes from a variable, check that the variable is set"
        )));
    }
    let command = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command,
        Err(error) => error.format(&mut definition).exit(),
    };
    let changes_account = command.changes_account();
    match command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has read enough. A command that changes the account may be
        // incomplete.
        Err(error) if !changes_account && error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

fn report(error: &CommandError) -> ExitCode {
    print_error(&error.to_string());
    error.exit_code()
}

fn print_error(text: &str) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    // If standard error is closed, the exit code still says it.
    let _ = writeln!(anstream::stderr(), "{red}replay:{red:#} {}", printable(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn renamed_commands_are_not_commands_any_more() {
        for (old, _) in RENAMED {
            assert!(Cli::command().find_subcommand(old).is_none(), "{old}");
        }
    }

    #[test]
    fn renamed_command_is_the_first_argument() {
        let renamed =
            |arguments: &[&str]| renamed_command(arguments.iter().map(OsString::from)).map(|(old, _)| old);
        assert_eq!(renamed(&["replay", "stats", "ana"]), Some("stats"));
        assert_eq!(renamed(&["replay", "help", "stats"]), Some("stats"));
        assert_eq!(renamed(&["replay", "user", "import"]), None);
        assert_eq!(renamed(&["replay"]), None);
    }
}
