//! The steps that `--email`, `--sign-out` and `--enable` add to a decision about a user.
//!
//! Each step can be repeated: after a failure, the operator runs the whole command again.

use std::rc::Rc;

use anyhow::{Result, bail};
use jiff::Timestamp;
use shared::store::Store;
use shared::suspension::Suspension;

use super::email::UserEmail;
use crate::user::pool_account::PoolAccount;

pub enum Step {
    SuspendEmail(UserEmail),
    ReinstateEmail(UserEmail),
    SignOut(Rc<PoolAccount>),
    Disable(Rc<PoolAccount>),
    Enable(Rc<PoolAccount>),
}

impl Step {
    /// What the step does: `disable the account in the user pool`.
    pub fn name(&self) -> String {
        match self {
            Self::SuspendEmail(email) => format!("suspend {}", email.name()),
            Self::ReinstateEmail(email) => format!("end the suspension of {}", email.name()),
            Self::SignOut(_) => "sign the user out of all devices".to_owned(),
            Self::Disable(_) => "disable the account in the user pool".to_owned(),
            Self::Enable(_) => "enable the account in the user pool".to_owned(),
        }
    }

    /// The same, with the state before the command.
    pub fn describe(&self, now: Timestamp) -> String {
        let before = match self {
            Self::SuspendEmail(email) | Self::ReinstateEmail(email) => email.describe(now),
            Self::SignOut(_) => return self.name(),
            Self::Disable(account) | Self::Enable(account) => account.state(),
        };
        format!("{} (before: {before})", self.name())
    }

    /// Whether the step cannot run because SUSPENDED_EMAIL_KEY is not set.
    pub fn lacks_key(&self) -> bool {
        match self {
            Self::SuspendEmail(email) | Self::ReinstateEmail(email) => email.hash.is_none(),
            Self::SignOut(_) | Self::Disable(_) | Self::Enable(_) => false,
        }
    }

    /// Runs the step. `decision` is the suspension or reinstatement that was written for the sub.
    pub async fn run(&self, store: &Store, decision: &Suspension) -> Result<()> {
        let written = match self {
            Self::SuspendEmail(UserEmail { hash: Some(hash), .. }) => {
                store.write_suspended_email(hash, decision.at, decision.until).await?
            }
            Self::ReinstateEmail(UserEmail { hash: Some(hash), .. }) => {
                store.delete_suspended_email(hash, decision.at).await?
            }
            Self::SuspendEmail(_) | Self::ReinstateEmail(_) => bail!("SUSPENDED_EMAIL_KEY is not set"),
            Self::SignOut(account) => return account.sign_out().await,
            Self::Disable(account) => return account.disable().await,
            Self::Enable(account) => return account.enable().await,
        };
        if !written {
            bail!("a newer suspension of this address already exists");
        }
        Ok(())
    }
}
