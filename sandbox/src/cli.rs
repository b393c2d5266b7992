//! The commands by name. Without a command, `sandbox` plays a journey.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shared::text::{is_broken_pipe, printable};

use crate::check_config::command::CheckConfig;
use crate::costs::command::Costs;
use crate::journey::command::Play;
use crate::journey::format::InvalidJourney;
use crate::preview::command::Preview;
use crate::serve::command::Serve;

const EXIT_CODES: &str = "\
Exit codes:
  0  Success.
  1  Failed. One line on standard error says why.
  2  The command line, a journey, or a file of variables or parameters is invalid.";

/// Run the whole system on this machine, without an AWS account.
///
/// Without a command, `sandbox` plays a journey, as `sandbox play` does.
#[derive(Debug, Parser)]
#[command(name = "sandbox", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    play: Play,
}

#[derive(Debug, Subcommand)]
enum Command {
    Play(Play),
    Serve(Serve),
    Preview(Preview),
    CheckConfig(CheckConfig),
    Costs(Costs),
}

/// Parses the command line of this process and runs the command.
pub async fn run() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "sandbox: internal error at {place}. Please report it");
    }));
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Play(cli.play)) {
        Command::Play(command) => command.run().await,
        Command::Serve(command) => command.run().await,
        Command::Preview(command) => command.run(),
        Command::CheckConfig(command) => command.run().await,
        Command::Costs(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has read enough.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = printable(&shared::telemetry::chain(error.as_ref()));
            let _ = writeln!(std::io::stderr(), "sandbox: {text}");
            ExitCode::from(if error.is::<InvalidJourney>() { 2 } else { 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }
}
