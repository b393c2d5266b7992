//! `sandbox preview`: its options and output.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::write;
use crate::journey::format::{find_events, read_variables_or_default, variables_file};

/// Write every message in every language to a folder, with a page that shows them side by side.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo sandbox preview --out preview")]
pub struct Preview {
    /// The folder. It is created if it does not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Environment variables by function, in the format of `sam local invoke --env-vars`.
    /// [default: events/environment.json]
    #[arg(long, value_name = "FILE")]
    env_vars: Option<PathBuf>,
}

impl Preview {
    pub fn run(self) -> Result<()> {
        let file = variables_file(self.env_vars, find_events(None).as_deref());
        let variables = read_variables_or_default(file.as_deref())?;
        let index = write(&self.out, &variables)?;
        writeln!(std::io::stdout(), "{}", index.display())?;
        Ok(())
    }
}
