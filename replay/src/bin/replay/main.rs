//! The command line. One file in `commands` for each command: its options, and what it does.

use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Parser;
use replay::input::InvalidInput;
use replay::journey::InvalidJourney;
use replay::queues::with_advice;
use replay::report::printable;
use replay::stop::{INTERRUPTED, Interrupted};

mod cli;
mod commands;
mod output;
mod progress;

use cli::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    let acts = command.acts();
    match command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has read enough; but what was asked for may not have been done.
        Err(error) if !acts && output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
            let _ = writeln!(anstream::stderr(), "{red}replay:{red:#} {}", one_line(&error));
            exit_code(&error)
        }
    }
}

/// As `replay --help` says.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match () {
        () if error.is::<Interrupted>() => INTERRUPTED,
        () if error.is::<InvalidJourney>() || error.is::<InvalidInput>() => 2,
        () => 1,
    })
}

/// An error and its causes in one line, with what to do about it.
fn one_line(error: &anyhow::Error) -> String {
    printable(&with_advice(&shared::telemetry::chain(error.as_ref())))
}
