//! Removes what a run created, in reverse order.

use anyhow::{Result, bail};
use shared::events::OPERATOR_SOURCE;
use shared::suspension_change::SuspensionChange;

use super::cognito::delete_client;
use super::setting::{REASON, Setting};
use crate::aws_error::describe;
use crate::doctor::report::{Leftover, Outcome};
use crate::output::counted;
use crate::user::erase::{StoredUserData, erase};

/// What the run created.
#[derive(Debug, Default)]
pub struct Trail {
    /// The address of a sign-up whose answer may not have arrived.
    pub address: Option<String>,
    /// The users.
    pub subs: Vec<String>,
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
        if self.subs.is_empty() && found.is_ok() {
            return Outcome::skipped("the run created no user");
        }
        let mut problems: Vec<String> =
            found.err().map(|error| describe(error.as_ref())).into_iter().collect();
        for sub in self.subs.clone() {
            if let Err(error) = self.erase_user(setting, &sub).await {
                let problem = format!("user {sub}: {}", describe(error.as_ref()));
                self.leave(setting, &sub, &problem);
                problems.push(problem);
            }
        }
        Outcome::of_problems(&problems, "only the marker is left")
    }

    /// A user whose sign-up succeeded although its answer did not arrive.
    async fn find_lost(&mut self, setting: &Setting<'_>) -> Result<()> {
        let Some(address) = self.address.take() else { return Ok(()) };
        for sub in setting.pool.subs_with_email(&address).await? {
            // Nobody had the address before the run.
            if !self.subs.contains(&sub) {
                self.subs.push(sub);
            }
        }
        Ok(())
    }

    async fn erase_user(&mut self, setting: &Setting<'_>, sub: &str) -> Result<()> {
        if self.suspended.as_deref() == Some(sub) {
            let now = setting.clock.now();
            let decision = SuspensionChange::reinstate(sub, REASON, setting.operator, now);
            decision.apply(setting.store, setting.user_events, OPERATOR_SOURCE).await?;
            self.suspended = None;
        }
        if let Some(account) = setting.pool.find(sub).await? {
            account.disable().await?;
            account.sign_out().await?;
        }
        erase(setting.store, setting.cache_invalidations, sub, setting.clock).await?;
        let stored = StoredUserData::read(setting.store, sub).await?;
        let marker = StoredUserData { is_erased: true, ..StoredUserData::default() };
        if stored != marker {
            bail!("the table has more than the marker of the erasure");
        }
        Ok(())
    }

    /// `cleanup`: deletes the accounts and the app client.
    pub async fn remove(&mut self, setting: &Setting<'_>) -> Outcome {
        if self.subs.is_empty() && self.client_id.is_none() {
            return Outcome::skipped("the run created nothing");
        }
        let mut problems = Vec::new();
        for sub in self.subs.clone() {
            if let Err(error) = delete_account(setting, &sub).await {
                let problem = format!("account {sub}: {}", describe(error.as_ref()));
                self.leave(setting, &sub, &problem);
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
            format!("{} and {}", counted(self.subs.len(), "account"), counted(clients, "app client"));
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

async fn delete_account(setting: &Setting<'_>, sub: &str) -> Result<()> {
    match setting.pool.find(sub).await? {
        Some(account) => account.delete().await,
        None => Ok(()),
    }
}
