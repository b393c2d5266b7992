//! Options that several commands share.

use anyhow::Result;
use clap::Args;
use shared::events::Subject;

use crate::account::{Account, AccountOptions};
use crate::error::InvalidInput;

/// What each command has that changes something in an account.
#[derive(Debug, Args)]
pub struct ChangeOptions {
    /// Do it. Without it, nothing is changed.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    account: AccountOptions,
}

impl ChangeOptions {
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
        return InvalidInput::err(
            "SUB: expected a user's sub, which is no e-mail address and has no spaces",
        );
    }
    Ok(())
}
