//! `replay man`

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::output;

const EXAMPLES: &str = "\
Example:
  replay man --out ~/.local/share/man/man1 && man replay-redrive";

/// Write the manual pages to a folder: replay.1, and one for each command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Man {
    /// The folder; it is made where it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    /// Writes them.
    pub fn run(self, cli: clap::Command) -> Result<()> {
        let name = || self.out.display().to_string();
        std::fs::create_dir_all(&self.out).with_context(name)?;
        clap_mangen::generate_to(cli, &self.out).with_context(name)?;
        writeln!(output::stdout(), "{}", self.out.join("replay.1").display())?;
        Ok(())
    }
}
