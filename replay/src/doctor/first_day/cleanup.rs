//! Removes what a run created, in reverse order.

use std::time::Duration;

use anyhow::{Result, bail};
use shared::events::OPERATOR_SOURCE;
use shared::suspension_change::SuspensionChange;

use super::cognito::delete_client;
use super::setting::{REASON, Setting};
use crate::aws_error::describe;
use crate::doctor::report::{Leftover, Outcome};
use crate::output::counted;
use crate::user::erase::{StoredUserData, erase};
use crate::user::pool_account::PoolAccount;

/// Erasures of a user. A worker that has read the user's events before the first one can write them after it.
const ERASURES: usize = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// What the run created.
#[derive(Debug, Default)]
pub struct Trail {
    /// The addresses of sign-ups, whose answers may not have arrived. Nobody had them before the run.
    pub addresses: Vec<String>,
    /// The accounts of the users.
    pub accounts: Vec<PoolAccount>,
    /// The user who may be suspended.
    pub suspended: Option<String>,
    /// The app client.
    pub client_id: Option<String>,
    /// What could not be removed.
    pub leftovers: Vec<Leftover>,
}

impl Trail {
    /// `erasure`: erases the data of the users. Their accounts are disabled first, so that no token brings
    /// data back.
    pub async fn erase(&mut self, setting: &Setting<'_>) -> Outcome {
        let found = self.find_lost(setting).await;
        if self.accounts.is_empty() && found.is_ok() {
            return Outcome::skipped("the run created no user");
        }
        let mut problems: Vec<String> =
            found.err().map(|error| describe(error.as_ref())).into_iter().collect();
        for account in self.accounts.clone() {
            if let Err(error) = self.erase_user(setting, &account).await {
                let problem = format!("user {}: {}", account.sub, describe(error.as_ref()));
                self.leave(setting, &account.sub, &problem);
                problems.push(problem);
            }
        }
        Outcome::of_problems(&problems, "only the marker is left")
    }

    /// Users whose sign-ups succeeded although the answers did not arrive.
    async fn find_lost(&mut self, setting: &Setting<'_>) -> Result<()> {
        for address in std::mem::take(&mut self.addresses) {
            for sub in setting.pool.subs_with_email(&address).await? {
                if self.accounts.iter().all(|account| account.sub != sub) {
                    self.accounts.extend(setting.pool.find(&sub).await?);
                }
            }
        }
        Ok(())
    }

    async fn erase_user(&mut self, setting: &Setting<'_>, account: &PoolAccount) -> Result<()> {
        let sub = account.sub.as_str();
        if self.suspended.as_deref() == Some(sub) {
            let now = setting.clock.now();
            let decision = SuspensionChange::reinstate(sub, REASON, setting.operator, now);
            decision.apply(setting.store, setting.user_events, OPERATOR_SOURCE).await?;
            self.suspended = None;
        }
        account.disable().await?;
        account.sign_out().await?;
        let marker = StoredUserData { is_erased: true, ..StoredUserData::default() };
        for _ in 0..ERASURES {
            erase(setting.store, setting.cache_invalidations, sub, setting.clock).await?;
            if StoredUserData::read(setting.store, sub).await? == marker {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the table has more than the marker of the erasure");
    }

    /// `cleanup`: deletes the accounts and the app client.
    pub async fn remove(&mut self, setting: &Setting<'_>) -> Outcome {
        if self.accounts.is_empty() && self.client_id.is_none() {
            return Outcome::skipped("the run created nothing");
        }
        let mut problems = Vec::new();
        for account in self.accounts.clone() {
            if let Err(error) = account.delete().await {
                let problem = format!("account {}: {}", account.sub, describe(error.as_ref()));
                self.leave(setting, &account.sub, &problem);
                problems.push(problem);
            }
        }
        if let Some(id) = &self.client_id
            && let Err(error) = delete_client(setting.pool.client(), &setting.pool.id, id).await
        {
            let problem = format!("app client {id}: {}", describe(error.as_ref()));
            let command = format!(
                "aws cognito-idp delete-user-pool-client --user-pool-id {} --client-id {id}",
                setting.pool.id
            );
            self.leftovers.push(Leftover { what: problem.clone(), command });
            problems.push(problem);
        }
        let clients = usize::from(self.client_id.is_some());
        let removed =
            format!("{} and {}", counted(self.accounts.len(), "account"), counted(clients, "app client"));
        Outcome::of_problems(&problems, format!("deleted {removed}"))
    }

    /// Names the command that removes a user, once.
    fn leave(&mut self, setting: &Setting<'_>, sub: &str, problem: &str) {
        let command = format!("replay user erase {sub} --account --stack {} --yes", setting.stack_name);
        if self.leftovers.iter().all(|left| left.command != command) {
            self.leftovers.push(Leftover { what: problem.to_owned(), command });
        }
    }
}
