//! The command line.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use replay::journey::{self, InvalidJourney, Journey, Variables};
use replay::{local, report, schema};

/// Plays what happens to users, and looks after the queues.
#[derive(Debug, Parser)]
#[command(name = "replay", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play journeys through the real handlers on an embedded AWS, and show what came of it.
    Local {
        /// Journeys (events/journeys/*.json) or events of a function (events/<function>/*.json).
        /// [default: events/journeys/sign-up-to-first-purchase.json]
        journeys: Vec<PathBuf>,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
        /// Environment variables by function, in the format of `sam local invoke --env-vars`.
        /// [default: events/environment.json]
        #[arg(long, value_name = "FILE")]
        env_vars: Option<PathBuf>,
        /// Show the log and the metrics of the functions, on standard error.
        #[arg(long)]
        log: bool,
    },
    /// Write the JSON Schema of the events to events/schema/event.json.
    Schema,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Local { journeys, json, env_vars, log } => play(journeys, json, env_vars, log).await,
        Command::Schema => write_schema(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has read enough.
        Err(error)
            if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "replay: {error:#}");
            // 2: what was asked for cannot be played; 1: it could not be done.
            ExitCode::from(if error.is::<InvalidJourney>() || error.is::<NotFound>() { 2 } else { 1 })
        }
    }
}

/// There is no `events` folder here or above.
#[derive(Debug, thiserror::Error)]
#[error("no folder \"events\" here or above: run it in the repository, or name a journey")]
struct NotFound;

async fn play(paths: Vec<PathBuf>, json: bool, env_vars: Option<PathBuf>, log: bool) -> Result<()> {
    if log {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    }
    let events = find_events();
    let paths = match (paths.is_empty(), &events) {
        (false, _) => paths,
        (true, Some(events)) => vec![events.join("journeys/sign-up-to-first-purchase.json")],
        (true, None) => return Err(NotFound.into()),
    };
    let journeys = paths.iter().map(|path| journey::read(path)).collect::<Result<Vec<Journey>, _>>()?;
    let variables = match (env_vars, events) {
        (Some(path), _) => journey::read_variables(&path)?,
        (None, Some(events)) => journey::read_variables(&events.join("environment.json"))?,
        (None, None) => Variables::new(),
    };

    let mut out = std::io::stdout().lock();
    if json {
        let outcome = local::play_all(&journeys, &variables).await?;
        writeln!(out, "{}", serde_json::to_string_pretty(&outcome)?)?;
        return Ok(());
    }
    for (index, journey) in journeys.iter().enumerate() {
        let outcome = local::play(journey, &variables).await?;
        let line = if index > 0 { "\n" } else { "" };
        writeln!(out, "{line}{}\n\n{}", journey.name, report::text(&outcome).trim_end())?;
    }
    Ok(())
}

/// The folder `events` here or above.
fn find_events() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join("events")).find(|events| events.join("journeys").is_dir())
}

fn write_schema() -> Result<()> {
    let path = Path::new(schema::PATH);
    if !path.parent().is_some_and(Path::is_dir) {
        bail!("no folder events/schema here: run it at the root of the repository");
    }
    std::fs::write(path, schema::event_schema()).with_context(|| path.display().to_string())
}
