//! Creates a user, as an administrator does: AdminCreateUser, a permanent password, groups and the
//! profile.
//!
//! Cognito calls pre-sign-up and custom-message for the user, but not post-confirmation. So the command
//! writes the profile.

pub mod command;

use anyhow::Result;
use serde::Serialize;
use shared::store::Store;

use super::import::profile_of;
use super::pool::{NewAccount, UserPool};
use super::pool_account::PoolAccount;
use crate::aws_error::describe;

/// A user to create, and what was created.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateReport {
    /// True if nothing was created, because --yes is missing.
    pub dry_run: bool,
    /// Id of the user pool.
    pub user_pool: String,
    /// The domain of the email address.
    pub email_domain: String,
    /// True if the address is marked as verified.
    pub email_verified: bool,
    /// True if Cognito sends a message with a temporary password to the address.
    pub message: bool,
    /// True if the user gets a permanent password.
    pub permanent_password: bool,
    /// The groups of the user.
    pub groups: Vec<String>,
    /// True if the table gets a profile of the user. False without a table.
    pub profile: bool,
    /// The sub of the created user.
    pub sub: Option<String>,
    /// The steps that failed after the user was created, with the reason.
    pub failures: Vec<String>,
}

/// What to create.
pub struct UserCreation<'a> {
    pub pool: &'a UserPool,
    pub username: &'a str,
    pub email: &'a str,
    /// A permanent password.
    pub password: Option<&'a str>,
    /// The table for the profile.
    pub store: Option<&'a Store>,
}

impl UserCreation<'_> {
    /// Creates the user of the report, and adds the sub and the failures to it. After an error, the
    /// user exists only if Cognito's answer was lost or is incomplete.
    pub async fn run(&self, report: &mut CreateReport) -> Result<()> {
        let new = NewAccount {
            username: self.username,
            email: self.email,
            is_email_verified: report.email_verified,
            // A password that the policy refuses must not leave a user without one.
            temporary_password: self.password,
            sends_message: report.message,
        };
        let user = self.pool.create(&new).await?;
        let profile = profile_of(&user).map_err(str::to_owned);
        let account = PoolAccount::of(self.pool.client(), &self.pool.id, user)?;
        report.sub = Some(account.sub.clone());
        let mut fail = |step: String, error: anyhow::Error| {
            report.failures.push(format!("{step}: {}", describe(error.as_ref())));
        };
        if let Some(password) = self.password
            && let Err(error) = account.set_password(password, false).await
        {
            fail("set the password".to_owned(), error);
        }
        for group in &report.groups {
            if let Err(error) = account.add_to_group(group).await {
                fail(format!("add to group {group}"), error);
            }
        }
        if let Some(store) = self.store {
            let written = match profile {
                Ok(profile) => store.write_missing_profile(&profile).await.map_err(anyhow::Error::from),
                Err(missing) => Err(anyhow::anyhow!("Cognito returned {missing}")),
            };
            if let Err(error) = written {
                fail("write the profile".to_owned(), error);
            }
        }
        Ok(())
    }
}
