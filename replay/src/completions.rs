//! `replay completions`

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay completions bash > ~/.local/share/bash-completion/completions/replay
  replay completions zsh > ~/.zfunc/_replay
  replay completions fish > ~/.config/fish/completions/replay.fish";

/// Print what completes the commands and options in a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints it.
    pub fn run(self, mut cli: clap::Command) -> Result<()> {
        use std::io::Write;

        // Into memory first: it would panic where nobody reads any more.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli, "replay", &mut script);
        output::stdout().write_all(&script)?;
        Ok(())
    }
}
