//! The JSON of `replay user show`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::statistics::DomainStats;

use crate::user::pool_account::PoolAccount;
use crate::user::show::{GrantSummary, UserSummary};

/// The data of a user or of an email domain in the table.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ShowReport {
    User(Box<UserReport>),
    Domain(DomainReport),
}

/// The data of a user in the table: `replay user show SUB`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserReport {
    /// The user's sub.
    pub sub: String,
    /// True if the table has a profile of the user.
    pub profile: bool,
    /// The preferred username in the profile.
    pub preferred_username: Option<String>,
    /// The suspension in words.
    pub status: String,
    /// Since when the user is suspended. Null if the user is not, or if it is not known.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub suspended_since: Option<Timestamp>,
    /// The account in the user pool. Null without --user-pool, and if the pool has no such user.
    pub account: Option<AccountReport>,
    /// The attributes of STATS, as docs/data-model.md describes them, with times in milliseconds since
    /// 1970. Null if the user has none.
    pub statistics: Option<Map<String, Value>>,
    /// Number of stored events by UTC date.
    pub events_by_day: BTreeMap<String, usize>,
    /// Number of stored sign-in attempts that were allowed.
    pub sign_in_attempts: usize,
    /// Permissions of the user on resources of other users: a text for each resource.
    pub permissions: BTreeMap<String, String>,
}

/// An account in the user pool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountReport {
    /// The status of the account, such as `CONFIRMED`.
    pub status: String,
    /// True if the account is enabled. A disabled account cannot sign in.
    pub enabled: bool,
    /// When the account was created.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub created_at: Option<Timestamp>,
    /// The domain of the email address. Null without a plain address.
    pub email_domain: Option<String>,
}

impl AccountReport {
    fn of(account: &PoolAccount) -> Self {
        Self {
            status: account.status.clone(),
            enabled: account.is_enabled,
            created_at: account.created_at,
            email_domain: account.email_domain(),
        }
    }
}

/// The sign-ups of an email domain: `replay user show --domain DOMAIN`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DomainReport {
    /// The email domain, or `other`, `none` or `invalid`.
    pub domain: String,
    /// Number of sign-ups, allowed or denied.
    pub sign_ups: u64,
    /// Number of sign-ups that pre-sign-up allowed.
    pub sign_ups_allowed: u64,
    /// Number of sign-ups that pre-sign-up denied.
    pub sign_ups_denied: u64,
}

impl ShowReport {
    pub fn of_user(summary: &UserSummary, account: Option<&PoolAccount>) -> Self {
        let events_by_day = summary.events_by_day.iter().map(|(day, count)| (day.to_string(), *count));
        let permissions =
            summary.grants.iter().map(|GrantSummary { resource, status }| (resource.clone(), status.clone()));
        Self::User(Box::new(UserReport {
            sub: summary.sub.clone(),
            profile: summary.has_profile,
            preferred_username: summary.preferred_username.clone(),
            status: summary.status.clone(),
            suspended_since: summary.suspended_since,
            account: account.map(AccountReport::of),
            statistics: summary.statistics.as_ref().and_then(Value::as_object).cloned(),
            events_by_day: events_by_day.collect(),
            sign_in_attempts: summary.attempts,
            permissions: permissions.collect(),
        }))
    }

    pub fn of_domain(domain: &str, sums: &DomainStats) -> Self {
        let DomainStats { sign_ups, sign_ups_allowed, sign_ups_denied } = *sums;
        Self::Domain(DomainReport { domain: domain.to_owned(), sign_ups, sign_ups_allowed, sign_ups_denied })
    }
}
