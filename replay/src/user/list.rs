//! Lists the users of a pool, with what the table has about them.

pub mod command;

use std::time::Duration;

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;
use shared::store::Store;
use tokio::time::MissedTickBehavior;

use super::pool::{UserPool, filter};
use super::pool_account::PoolAccount;

/// Pages per second. All callers in the account share the quota of ListUsers.
const PAGES_PER_SECOND: u32 = 5;
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
    /// The suspension in words. Null without a table.
    pub suspension: Option<String>,
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
    /// The table with the suspensions.
    pub store: Option<&'a Store>,
}

impl UserQuery<'_> {
    /// Reads the users, page by page at a limited rate.
    pub async fn run(&self, pool: &UserPool, now: Timestamp) -> Result<UserListReport> {
        let mut interval = tokio::time::interval(Duration::from_secs(1) / PAGES_PER_SECOND);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // ListUsers accepts one filter. The rest is compared here.
        let status_filter = self.status.map(|status| filter("cognito:user_status", status));
        let (mut accounts, mut token) = (Vec::new(), None);
        loop {
            interval.tick().await;
            let (page, next) = match self.group {
                Some(group) => pool.page_of_group(group, token).await?,
                None => pool.page(status_filter.as_deref(), token).await?,
            };
            accounts.extend(page.into_iter().filter(|account| self.is_match(account)));
            if accounts.len() > self.limit || next.is_none() {
                break;
            }
            token = next;
        }
        let has_more = accounts.len() > self.limit;
        accounts.truncate(self.limit);
        let users = stream::iter(&accounts).map(|account| self.describe(account, now));
        let users = users.buffered(CONCURRENT_READS).try_collect().await?;
        Ok(UserListReport { user_pool: pool.id.clone(), users, has_more })
    }

    fn is_match(&self, account: &PoolAccount) -> bool {
        self.status.is_none_or(|status| account.status == status)
            && !(self.only_disabled && account.is_enabled)
    }

    async fn describe(&self, account: &PoolAccount, now: Timestamp) -> Result<ListedUser> {
        let groups = if self.with_groups { Some(account.groups().await?) } else { None };
        let suspension = match self.store {
            Some(store) => Some(store.read_sign_in_state(&account.sub).await?.suspension.describe(now)),
            None => None,
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
        })
    }
}
