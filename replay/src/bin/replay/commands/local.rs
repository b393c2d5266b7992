//! `replay local`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use replay::journey::{self, Journey};
use replay::{local, report};

use super::{InvalidInput, find_events, read_variables};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay local
  replay local events/journeys/burst-of-orders.json
  replay local events/pre-sign-up/denied-domain.json --log";

/// Play journeys through the real handlers on an embedded AWS, and show what came of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Local {
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
}

impl Local {
    /// Plays them.
    pub async fn run(self) -> Result<()> {
        if self.log {
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
        }
        let events = find_events();
        let paths = match (self.journeys.is_empty(), &events) {
            (false, _) => self.journeys,
            (true, Some(events)) => vec![events.join("journeys/sign-up-to-first-purchase.json")],
            (true, None) => {
                return InvalidInput::told(
                    "no folder \"events\" here or above: run it in the repository, or name a journey",
                );
            }
        };
        let journeys = paths.iter().map(|path| journey::read(path)).collect::<Result<Vec<Journey>, _>>()?;
        let variables = read_variables(self.env_vars, events.as_deref())?;
        if self.json {
            return output::json(&local::play_all(&journeys, &variables).await?);
        }
        for (index, journey) in journeys.iter().enumerate() {
            let outcome = local::play(journey, &variables).await?;
            let line = if index > 0 { "\n" } else { "" };
            let text = report::text(&outcome);
            writeln!(output::stdout(), "{line}{}\n\n{}", journey.name, text.trim_end())?;
        }
        Ok(())
    }
}
