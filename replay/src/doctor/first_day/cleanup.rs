//! Removes what a run created, in reverse order.

use std::time::Duration;

use anyhow::{Result, bail};
use shared::events::OPERATOR_SOURCE;
use shared::suspension_change::SuspensionChange;

use super::cognito::{Refused, clients_named, delete_client};
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
    /// The addresses of sign-ups that failed although the user can exist.
    pub unanswered: Vec<String>,
    /// The accounts of the users.
    pub accounts: Vec<PoolAccount>,
    /// The user who may be suspended.
    pub suspended: Option<String>,
    /// The app client.
    pub client_id: Option<String>,
    /// True if an app client can exist whose id is not known.
    pub has_unknown_client: bool,
    /// What could not be removed.
    pub leftovers: Vec<Leftover>,
}

impl Trail {
    /// Notes a failed sign-up after which the user can exist.
    pub fn note_sign_up<T>(&mut self, address: &str, result: &Result<T, Refused>) {
        if result.as_ref().is_err_and(Refused::may_have_created_user) {
            self.unanswered.push(address.to_owned());
        }
    }

    /// `erasure`: erases the data of the users. Their accounts are disabled first, so that no token brings
    /// data back.
    pub async fn erase(&mut self, setting: &Setting<'_>) -> Outcome {
        let mut problems = match self.find_unanswered(setting).await {
            Ok(problems) => problems,
            Err(error) => vec![describe(error.as_ref())],
        };
        if self.accounts.is_empty() && problems.is_empty() {
            return Outcome::skipped("the run created no user");
        }
        for account in self.accounts.clone() {
            if let Err(error) = self.erase_user(setting, &account).await {
                let problem = format!("user {}: {}", account.sub, describe(error.as_ref()));
                self.leave(setting, &account.sub, &problem);
                problems.push(problem);
            }
        }
        Outcome::of_problems(&problems, "only the marker is left")
    }

    /// Finds users of the run whose sign-ups failed for the run. Returns a problem for each user who can be
    /// another person's: such a user stays.
    async fn find_unanswered(&mut self, setting: &Setting<'_>) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for address in std::mem::take(&mut self.unanswered) {
            for sub in setting.pool.subs_with_email(&address).await? {
                let Some(account) = setting.pool.find(&sub).await? else { continue };
                if is_of_run(setting.run, &address, account.shown_username()) {
                    self.accounts.push(account);
                    continue;
                }
                let problem =
                    format!("user {sub} has the address, and can be of the run or another person's");
                let command = format!("replay user erase {sub} --account --stack {}", setting.stack_name);
                let what = format!("{problem}. If the run created the user, add --yes");
                self.leftovers.push(Leftover { what, command });
                problems.push(problem);
            }
        }
        Ok(problems)
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
        let (cognito, pool_id) = (setting.pool.client(), setting.pool.id.as_str());
        let mut clients: Vec<String> = self.client_id.iter().cloned().collect();
        let mut problems = Vec::new();
        if self.has_unknown_client {
            match clients_named(cognito, pool_id, setting.run).await {
                Ok(named) => {
                    clients.extend(named.into_iter().filter(|id| self.client_id.as_ref() != Some(id)))
                }
                Err(error) => {
                    let problem = format!("app clients named {}: {}", setting.run, describe(error.as_ref()));
                    let command = format!(
                        "aws cognito-idp list-user-pool-clients --user-pool-id {pool_id} --query \
                         \"UserPoolClients[?ClientName=='{}']\"",
                        setting.run
                    );
                    self.leftovers.push(Leftover { what: problem.clone(), command });
                    problems.push(problem);
                }
            }
        }
        if self.accounts.is_empty() && clients.is_empty() && problems.is_empty() {
            return Outcome::skipped("the run created nothing");
        }
        for account in self.accounts.clone() {
            if let Err(error) = account.delete().await {
                let problem = format!("account {}: {}", account.sub, describe(error.as_ref()));
                self.leave(setting, &account.sub, &problem);
                problems.push(problem);
            }
        }
        for id in &clients {
            if let Err(error) = delete_client(cognito, pool_id, id).await {
                let problem = format!("app client {id}: {}", describe(error.as_ref()));
                let command = format!(
                    "aws cognito-idp delete-user-pool-client --user-pool-id {pool_id} --client-id {id}"
                );
                self.leftovers.push(Leftover { what: problem.clone(), command });
                problems.push(problem);
            }
        }
        let accounts = counted(self.accounts.len(), "account");
        let removed = format!("{accounts} and {}", counted(clients.len(), "app client"));
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

/// True if nobody but the run can have created a user with this address and username: one of them has the random
/// name of the run. With `--email`, another person can sign up with the address during the run.
fn is_of_run(run: &str, address: &str, username: Option<&str>) -> bool {
    address.contains(run) || username.is_some_and(|username| username.starts_with(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_of_the_run_if_a_name_of_the_run_is_in_the_account() {
        let run = "doctor-1a2b3c4d";
        for (address, username, expected) in [
            ("success+doctor-1a2b3c4d@simulator.amazonses.com", None, true),
            ("ana@example.com", Some("doctor-1a2b3c4d-user"), true),
            ("ana@example.com", Some("ana"), false),
            ("ana@example.com", None, false),
        ] {
            assert_eq!(is_of_run(run, address, username), expected, "{address} {username:?}");
        }
    }
}
