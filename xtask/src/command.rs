//! Running other programs.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::repository_root;

/// A program with its arguments and environment. It runs at the root of the repository.
pub struct Tool(Command);

impl Tool {
    pub fn new(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.current_dir(repository_root()).args(arguments);
        // The target folder may be shared between builds of different sizes: incremental files
        // would fill the disk.
        command.env("CARGO_INCREMENTAL", "0").env("RUST_BACKTRACE", "1");
        Self(command)
    }

    pub fn cargo(arguments: &[&str]) -> Self {
        Self::new("cargo", arguments)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs in this folder instead of the root of the repository.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Looks for programs in `folder` before the folders of PATH.
    pub fn path_first(mut self, folder: &Path) -> Self {
        let path = crate::environment_variable("PATH").unwrap_or_default();
        self.0.env("PATH", format!("{}:{path}", folder.display()));
        self
    }

    pub fn without_output(mut self) -> Self {
        self.0.stdout(Stdio::null());
        self
    }

    /// Runs the program and returns what it wrote to standard output.
    pub fn output(mut self) -> Result<Vec<u8>> {
        let output = self.0.stderr(Stdio::inherit()).output().with_context(|| self.text())?;
        if !output.status.success() {
            bail!("{}: {}", self.text(), output.status);
        }
        Ok(output.stdout)
    }

    fn text(&self) -> String {
        let words = std::iter::once(self.0.get_program()).chain(self.0.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// `cargo` with these arguments.
pub struct Cargo<'a>(pub &'a [&'a str]);

impl From<Cargo<'_>> for Tool {
    fn from(cargo: Cargo) -> Self {
        Self::cargo(cargo.0)
    }
}

/// Runs a program. Fails if it cannot be started or does not exit with 0.
pub fn run(tool: impl Into<Tool>) -> Result<()> {
    let mut tool = tool.into();
    let status = tool.0.status().with_context(|| tool.text())?;
    if !status.success() {
        bail!("{}: {status}", tool.text());
    }
    Ok(())
}
