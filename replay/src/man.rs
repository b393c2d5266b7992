//! `replay man`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::error::Result;
use crate::output;

const EXAMPLES: &str = "\
Example:
  replay man --out ~/.local/share/man/man1 && man replay-redrive";

/// Write manual pages to a folder: replay.1, and one page per command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Man {
    /// Folder for the pages. Created if it does not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    pub fn run(self, cli: clap::Command) -> Result<()> {
        let folder = || self.out.display().to_string();
        std::fs::create_dir_all(&self.out).with_context(folder)?;
        clap_mangen::generate_to(cli, &self.out).with_context(folder)?;
        output::print(&format!("{}\n", self.out.join("replay.1").display()))
    }
}
