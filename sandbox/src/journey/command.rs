//! `sandbox play`: its options and output.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use shared::function_id::FunctionId;

use super::format::{self, DEFAULT_START, InvalidJourney, Journey, Variables};
use super::{player, report};
use crate::aws::SandboxAccount;
use crate::functions::check_start;

const EXAMPLES: &str = "\
Examples:
  cargo sandbox
  cargo sandbox events/journeys/burst-of-orders.json
  cargo sandbox events/pre-sign-up/denied-domain.json --log";

/// Play journeys through the real functions, on an AWS account in memory.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Play {
    /// Journeys (events/journeys/*.json) or events of a function (events/FUNCTION/*.json).
    /// [default: events/journeys/sign-up-to-first-purchase.json]
    #[arg(value_name = "FILE")]
    journeys: Vec<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Environment variables by function, in the format of `sam local invoke --env-vars`.
    /// [default: events/environment.json]
    #[arg(long, value_name = "FILE")]
    env_vars: Option<PathBuf>,
    /// Show the log and the metrics of the functions on standard error.
    #[arg(long)]
    log: bool,
}

impl Play {
    pub async fn run(self) -> Result<()> {
        if self.log {
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
        }
        let events = format::find_events(self.journeys.first().map(PathBuf::as_path));
        let paths = match (self.journeys.is_empty(), &events) {
            (false, _) => self.journeys,
            (true, Some(events)) => vec![events.join("journeys/sign-up-to-first-purchase.json")],
            (true, None) => {
                return Err(InvalidJourney::new(
                    "events",
                    "no such folder here or above. Run the command in the repository, or name a journey",
                )
                .into());
            }
        };
        let journeys = paths.iter().map(|path| format::read(path)).collect::<Result<Vec<Journey>, _>>()?;
        let file = format::variables_file(self.env_vars, events.as_deref());
        let variables = format::read_variables_or_default(file.as_deref())?;
        check_values(file.as_deref(), &Variables::new(), &variables).await?;
        for (path, journey) in paths.iter().zip(&journeys) {
            check_values(Some(path), &variables, &journey.environment).await?;
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            let outcome = player::play_all(&journeys, &variables).await?;
            writeln!(out, "{}", serde_json::to_string_pretty(&outcome)?)?;
            return Ok(());
        }
        for (index, journey) in journeys.iter().enumerate() {
            let outcome = player::play(journey, &variables).await?;
            let line = if index > 0 { "\n" } else { "" };
            let name = shared::text::printable(&journey.name);
            writeln!(out, "{line}{name}\n\n{}", report::text(&outcome).trim_end())?;
        }
        Ok(())
    }
}

/// Refuses values with which a function does not start. `path` is the file of `own`, which replace
/// those of `others`.
async fn check_values(path: Option<&Path>, others: &Variables, own: &Variables) -> Result<()> {
    let Some(path) = path.filter(|_| !own.is_empty()) else { return Ok(()) };
    let account = SandboxAccount::start(DEFAULT_START.parse()?).await?;
    for (name, values) in own {
        let Some(function) = FunctionId::from_resource_name(name) else { continue };
        let mut variables = others.get(name).cloned().unwrap_or_default();
        variables.extend(values.clone());
        if let Err(error) = check_start(&account, function, &variables) {
            return Err(InvalidJourney::new(path, format!("{name}.{error}")).into());
        }
    }
    Ok(())
}
