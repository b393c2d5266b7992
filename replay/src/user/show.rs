//! Reads what the table has about a user or an email domain.

pub mod command;
pub mod report;

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use shared::events::Permission;
use shared::grant::Grant;
use shared::statistics::DomainStats;
use shared::store::keys::{DOMAIN_SHARDS, PK, SK};
use shared::store::{Consistency, Partition, Store, StoreError};
use shared::suspension::{Stored, SuspensionStatus};

#[derive(Clone, Debug, PartialEq)]
pub struct UserSummary {
    pub sub: String,
    pub has_profile: bool,
    pub preferred_username: Option<String>,
    /// The suspension in a few words, for example `not suspended`.
    pub status: String,
    /// True if there is a suspension or reinstatement, readable or not.
    pub has_suspension: bool,
    /// Since when the user is suspended. `None` if the user is not, or if it is not known.
    pub suspended_since: Option<Timestamp>,
    /// The attributes of STATS without the keys. `None` if there is no item.
    pub statistics: Option<Value>,
    /// Number of stored events by the UTC date of the event.
    pub events_by_day: BTreeMap<Date, usize>,
    /// Number of stored sign-in attempts that were allowed. They have a retention of their own.
    pub attempts: usize,
    /// Permissions of the user on resources of other users.
    pub grants: Vec<GrantSummary>,
}

/// The permissions of a user on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSummary {
    pub resource: String,
    /// For example `read, until 2026-04-01T00:00:00Z`, or why the user may do nothing.
    pub status: String,
}

impl UserSummary {
    pub async fn read(store: &Store, sub: &str, now: Timestamp) -> Result<Self> {
        let state = store.read_sign_in_state(sub).await?;
        let partition = Partition::User(sub.to_owned());
        let stored = store.read_statistics(&[&partition], Consistency::Strong).await?;
        let statistics =
            stored.into_values().next().map(|stored| stored.statistics::<Value>()).transpose()?;
        let mut events_by_day = BTreeMap::new();
        for time in store.read_event_times(&partition).await? {
            *events_by_day.entry(time.to_zoned(TimeZone::UTC).date()).or_default() += 1;
        }
        Ok(Self {
            sub: sub.to_owned(),
            has_profile: state.has_profile,
            preferred_username: state.followed.preferred_username().map(str::to_owned),
            status: state.suspension.describe(now),
            has_suspension: !matches!(state.suspension.suspension, Stored::Missing),
            suspended_since: suspended_since(&state.suspension, now),
            statistics: statistics.map(without_keys),
            events_by_day,
            attempts: store.count_attempts(&partition).await?,
            grants: read_grants(store, sub, now).await?,
        })
    }
}

impl UserSummary {
    /// True if the table has nothing about the user.
    pub fn is_empty(&self) -> bool {
        !self.has_profile
            && !self.has_suspension
            && self.statistics.is_none()
            && self.events_by_day.is_empty()
            && self.attempts == 0
            && self.grants.is_empty()
    }
}

fn suspended_since(status: &SuspensionStatus, now: Timestamp) -> Option<Timestamp> {
    match &status.suspension {
        Stored::Readable(suspension) if status.denial(now).is_some() && !suspension.is_over(now) => {
            Some(suspension.at)
        }
        _ => None,
    }
}

async fn read_grants(store: &Store, sub: &str, now: Timestamp) -> Result<Vec<GrantSummary>> {
    let grants = store.read_grants(sub).await?.into_iter();
    let summary = |(resource, grant): (String, std::result::Result<Grant, StoreError>)| GrantSummary {
        resource,
        status: grant
            .map_or_else(|_| "unreadable, permits nothing".to_owned(), |grant| describe(&grant, now)),
    };
    Ok(grants.map(summary).collect())
}

/// A grant in a few words.
fn describe(grant: &Grant, now: Timestamp) -> String {
    if let Some(revoked_at) = grant.revoked_at {
        return format!("revoked at {revoked_at}");
    }
    let permissions: Vec<&str> = grant.permissions.iter().map(Permission::as_str).collect();
    let permissions = permissions.join(", ");
    match grant.until {
        None => format!("{permissions}, without an end"),
        Some(until) if until <= now => format!("{permissions}, ended at {until}"),
        Some(until) => format!("{permissions}, until {until}"),
    }
}

fn without_keys(mut statistics: Value) -> Value {
    if let Some(fields) = statistics.as_object_mut() {
        fields.remove(PK);
        fields.remove(SK);
    }
    statistics
}

/// Reads the statistics of a domain: the sum over its shards.
pub async fn read_domain(store: &Store, domain: &str) -> Result<DomainStats> {
    let shards: Vec<Partition> =
        (0..DOMAIN_SHARDS).map(|shard| Partition::Domain { domain: domain.to_owned(), shard }).collect();
    let stored = store.read_statistics(&shards.iter().collect::<Vec<_>>(), Consistency::Strong).await?;
    let mut sum = DomainStats::default();
    for shard in stored.into_values() {
        sum = sum.plus(&shard.statistics()?);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use shared::time::plus_seconds;

    use super::*;

    #[test]
    fn grant_is_described_with_its_end() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let grant = |until: Option<i64>, revoked: bool| Grant {
            permissions: ["write", "read"].map(|name| name.parse().unwrap()).into(),
            granted_by: None,
            until: until.map(|second| plus_seconds(now, second)),
            changed_at: now,
            revoked_at: revoked.then_some(now),
            revoked_by: None,
            event_key: String::new(),
        };
        for (grant, expected) in [
            (grant(None, false), "read, write, without an end"),
            (grant(Some(60), false), "read, write, until 2026-03-02T09:01:00Z"),
            (grant(Some(0), false), "read, write, ended at 2026-03-02T09:00:00Z"),
            (grant(None, true), "revoked at 2026-03-02T09:00:00Z"),
        ] {
            assert_eq!(describe(&grant, now), expected);
        }
    }
}
