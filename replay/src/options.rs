//! Options that several commands share.

use clap::Args;
use shared::events::Subject;

use crate::account::{Account, AccountOptions};
use crate::error::{CommandError, Result};

/// Options of a command that changes something in an account.
#[derive(Debug, Args)]
pub struct ChangeOptions {
    /// Make the change. Without this option, the command is a dry run.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub account: AccountOptions,
}

impl ChangeOptions {
    pub async fn open(&self) -> Result<Account> {
        self.account.open().await
    }
}

#[derive(Debug, Args)]
pub struct TableOptions {
    /// Name of the DynamoDB table. [default: that of the stack, or TABLE_NAME]
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
}

/// Checks that an argument is a user's sub.
pub fn check_sub(sub: &str) -> Result<()> {
    let is_user = matches!(sub.parse(), Ok(Subject::User(_)));
    if !is_user || sub.contains(|c: char| c == '@' || c == '#' || c.is_whitespace()) {
        return Err(CommandError::invalid_input(
            "SUB: expected a user's sub, which is not an email address and contains no spaces",
        ));
    }
    Ok(())
}
