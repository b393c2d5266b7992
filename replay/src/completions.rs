//! `replay completions`

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::error::Result;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay completions bash > ~/.local/share/bash-completion/completions/replay
  replay completions zsh > ~/.zfunc/_replay
  replay completions fish > ~/.config/fish/completions/replay.fish";

/// Print a script that completes commands and options in a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    shell: Shell,
}

impl Completions {
    pub fn run(self, mut cli: clap::Command) -> Result<()> {
        // clap_complete panics if it cannot write, so it writes to memory, and not to a pipe.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli, "replay", &mut script);
        Ok(output::stdout().write_all(&script)?)
    }
}
