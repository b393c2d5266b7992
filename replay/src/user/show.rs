//! Reads what the table has about a user or an email domain.

pub mod command;

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use shared::statistics::DomainStats;
use shared::store::keys::{DOMAIN_SHARDS, PK, SK};
use shared::store::{Consistency, Partition, Store};

#[derive(Clone, Debug, PartialEq)]
pub struct UserSummary {
    pub sub: String,
    pub has_profile: bool,
    pub preferred_username: Option<String>,
    /// The suspension in a few words, for example `not suspended`.
    pub status: String,
    /// The attributes of STATS without the keys. `None` if there is no item.
    pub statistics: Option<Value>,
    /// Number of stored events by the UTC date of the event.
    pub events_by_day: BTreeMap<Date, usize>,
    /// Number of stored sign-in attempts that were allowed. They have a retention of their own.
    pub attempts: usize,
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
            statistics: statistics.map(without_keys),
            events_by_day,
            attempts: store.count_attempts(&partition).await?,
        })
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
