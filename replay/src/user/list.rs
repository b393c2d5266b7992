//! Lists the users of a pool, with what the table has about them.

pub mod command;
pub mod csv;

use std::collections::HashMap;

use anyhow::Result;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;
use shared::store::Store;

use super::pool::{UserPage, UserPool, filter};
use super::pool_account::PoolAccount;
use crate::pace::Pace;

/// Maximum number of users whose groups or suspensions are read concurrently.
const CONCURRENT_READS: usize = 8;

/// Users of a pool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserListReport {
    /// Id of the user pool.
    pub user_pool: String,
    /// The users, in the order of Cognito.
    pub users: Vec<ListedUser>,
    /// True if the pool has more users than --limit.
    pub has_more: bool,
}

/// A user of the pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListedUser {
    /// The user's sub.
    pub sub: String,
    /// The username. Null if it is the sub, an email address or a telephone number.
    pub username: Option<String>,
    /// The status of the account, such as `CONFIRMED`.
    pub status: String,
    /// True if the account is enabled.
    pub enabled: bool,
    /// When the account was created.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub created_at: Option<Timestamp>,
    /// The domain of the email address. Null without a plain address.
    pub email_domain: Option<String>,
    /// The names of the user's groups. Null without --groups.
    pub groups: Option<Vec<String>>,
    /// The suspension in words. Null without a table, and with --inactive-for.
    pub suspension: Option<String>,
    /// When the user was last active, according to the statistics. Null without --inactive-for, and if the
    /// table does not know it.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub last_seen_at: Option<Timestamp>,
    /// Whole days since then, or since the account was created. Null without --inactive-for.
    pub inactive_days: Option<i64>,
}

/// Which users to list, and what to read about them.
pub struct UserQuery<'a> {
    /// A status of the account, in upper case.
    pub status: Option<&'a str>,
    pub group: Option<&'a str>,
    /// True for accounts that are disabled, and only those.
    pub only_disabled: bool,
    /// Maximum number of users.
    pub limit: usize,
    pub with_groups: bool,
    pub activity: Activity<'a>,
}

/// What to read from the table.
#[derive(Clone, Copy)]
pub enum Activity<'a> {
    /// Nothing.
    Unknown,
    /// The suspension of each user.
    Suspensions(&'a Store),
    /// The last activity of each user. Only users without one since this time are listed.
    NoneSince(&'a Store, Timestamp),
}

impl UserQuery<'_> {
    /// Reads the users page by page, and calls `on_user` for each one. Returns true if the pool has more
    /// users than the limit.
    ///
    /// A walk over a whole pool keeps one page in memory.
    pub async fn run(
        &self,
        pool: &UserPool,
        pace: &Pace,
        now: Timestamp,
        mut on_user: impl FnMut(ListedUser) -> Result<()>,
    ) -> Result<bool> {
        // ListUsers accepts one filter. The rest is compared here.
        let status_filter = self.status.map(|status| filter("cognito:user_status", status));
        let (mut listed, mut token) = (0, None);
        loop {
            let page = pace.call(|| self.page(pool, status_filter.as_deref(), token.clone())).await?;
            let (users, next) = page;
            let accounts = users.into_iter().map(|user| PoolAccount::of(pool.client(), &pool.id, user));
            let accounts: Vec<PoolAccount> = accounts.collect::<Result<_>>()?;
            let accounts: Vec<&PoolAccount> =
                accounts.iter().filter(|account| self.is_match(account)).collect();
            let last_seen = self.read_last_seen(&accounts).await?;
            let matching = accounts.into_iter().filter(|account| self.is_inactive(account, &last_seen));
            let room = self.limit - listed;
            let matching: Vec<&PoolAccount> = matching.take(room.saturating_add(1)).collect();
            let has_more = matching.len() > room;
            let described = stream::iter(matching.into_iter().take(room));
            let mut described = described
                .map(|account| self.describe(account, last_seen.get(&account.sub).copied(), now))
                .buffered(CONCURRENT_READS);
            while let Some(user) = described.next().await {
                on_user(user?)?;
                listed += 1;
            }
            if has_more || next.is_none() {
                return Ok(has_more);
            }
            token = next;
        }
    }

    async fn page(&self, pool: &UserPool, filter: Option<&str>, token: Option<String>) -> Result<UserPage> {
        match self.group {
            Some(group) => pool.members(group, token).await,
            None => pool.users(filter, token).await,
        }
    }

    fn is_match(&self, account: &PoolAccount) -> bool {
        self.status.is_none_or(|status| account.status == status)
            && !(self.only_disabled && account.is_enabled)
    }

    async fn read_last_seen(&self, accounts: &[&PoolAccount]) -> Result<HashMap<String, Timestamp>> {
        let Activity::NoneSince(store, _) = self.activity else { return Ok(HashMap::new()) };
        let subs: Vec<&str> = accounts.iter().map(|account| account.sub.as_str()).collect();
        Ok(store.read_last_seen(&subs).await?)
    }

    /// True if activity does not matter, or the user was last active before the time of the query.
    fn is_inactive(&self, account: &PoolAccount, last_seen: &HashMap<String, Timestamp>) -> bool {
        let Activity::NoneSince(_, time) = self.activity else { return true };
        last_activity(account, last_seen.get(&account.sub).copied()).is_some_and(|at| at < time)
    }

    async fn describe(
        &self,
        account: &PoolAccount,
        last_seen_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<ListedUser> {
        let groups = if self.with_groups { Some(account.groups().await?) } else { None };
        let suspension = match self.activity {
            Activity::Suspensions(store) => {
                Some(store.read_sign_in_state(&account.sub).await?.suspension.describe(now))
            }
            Activity::Unknown | Activity::NoneSince(..) => None,
        };
        let inactive_days = match self.activity {
            Activity::NoneSince(..) => last_activity(account, last_seen_at).map(|at| whole_days(at, now)),
            Activity::Unknown | Activity::Suspensions(_) => None,
        };
        Ok(ListedUser {
            sub: account.sub.clone(),
            username: account.shown_username().map(str::to_owned),
            status: account.status.clone(),
            enabled: account.is_enabled,
            created_at: account.created_at,
            email_domain: account.email_domain(),
            groups,
            suspension,
            last_seen_at,
            inactive_days,
        })
    }
}

/// When a user was last active. A user without statistics counts by the creation of the account.
fn last_activity(account: &PoolAccount, last_seen_at: Option<Timestamp>) -> Option<Timestamp> {
    last_seen_at.or(account.created_at)
}

/// Whole days between two times. 0 if `at` is in the future, because clocks differ.
fn whole_days(at: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(at.as_second()).max(0) / (24 * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_days_count() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = time("2026-03-02T09:00:00Z");
        for (at, days) in [
            ("2026-03-02T09:00:01Z", 0),
            ("2026-03-02T08:59:59Z", 0),
            ("2026-03-01T09:00:01Z", 0),
            ("2026-03-01T09:00:00Z", 1),
            ("2025-12-02T09:00:00Z", 90),
        ] {
            assert_eq!(whole_days(time(at), now), days, "{at}");
        }
    }
}
