//! One file for each command.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use replay::account::{Account, AccountOptions};
pub use replay::input::InvalidInput;
use replay::journey::{self, Variables};
use shared::events::Subject;

pub mod completions;
pub mod forget;
pub mod import;
pub mod inspect;
pub mod local;
pub mod man;
pub mod preview;
pub mod rebuild;
pub mod recover;
pub mod redrive;
pub mod save;
pub mod schema;
pub mod send;
pub mod simulate;
pub mod stats;
pub mod suspension;

/// What each command has that changes something in an account.
#[derive(Debug, Args)]
pub struct ActOptions {
    /// Do it. Without it, nothing is changed.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    account: AccountOptions,
}

impl ActOptions {
    /// The account.
    pub async fn open(&self) -> Result<Account> {
        self.account.open().await
    }
}

/// The table.
#[derive(Debug, Args)]
pub struct TableOptions {
    /// The table. [default: TABLE_NAME]
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
}

/// A user's sub, and nothing else.
pub fn check_sub(sub: &str) -> Result<()> {
    let is_user = matches!(sub.parse(), Ok(Subject::User(_)));
    if !is_user || sub.contains(|c: char| c == '@' || c == '#' || c.is_whitespace()) {
        return InvalidInput::told(
            "SUB: expected a user's sub, which is no e-mail address and has no spaces",
        );
    }
    Ok(())
}

/// The folder `events` here or above.
pub fn find_events() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join("events")).find(|events| events.join("journeys").is_dir())
}

/// The variables of a file, or of the repository's where none is named.
pub fn read_variables(env_vars: Option<PathBuf>, events: Option<&Path>) -> Result<Variables> {
    Ok(match (env_vars, events) {
        (Some(path), _) => journey::read_variables(&path)?,
        (None, Some(events)) => journey::read_variables(&events.join("environment.json"))?,
        (None, None) => Variables::new(),
    })
}
