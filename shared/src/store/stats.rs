//! STATS: the statistics of a user, or of one shard of an email domain.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::batch::Consistency;
use super::error::{CommitError, StoreError};
use super::item::{Item, UpdateExpression, number};
use super::keys::{self, EXPIRES_AT, PK, Partition, STATS};
use super::table::Store;
use crate::time::millis;

/// A STATS item as it was read.
///
/// It is deserialized only when it is used, so that an item that cannot be understood fails the
/// processing of its own user only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredStatistics(Item);

/// What STATS holds in addition to the statistics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatsMetadata {
    /// Number of commits. 0 if there is no item.
    pub version: u64,
    /// Time of the latest commit that changed a view.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_changed_at: Option<Timestamp>,
    /// Time of the latest commit that needs an invalidation.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_notice_at: Option<Timestamp>,
    /// Time of the latest commit with an event whose client reads its own write.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_client_aware_at: Option<Timestamp>,
    /// Time at which the last page that was rendered before the latest change has expired, if no
    /// invalidation removes it earlier.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub pages_expire_at: Option<Timestamp>,
    /// Time of the latest commit after which no invalidation was sent, because the user was
    /// inactive.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_skipped_at: Option<Timestamp>,
    /// Time at which the user was erased. After that, nothing is committed to the partition.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub erased_at: Option<Timestamp>,
}

impl StoredStatistics {
    pub(super) fn from_item(item: Item) -> Self {
        Self(item)
    }

    /// Fails with [`Unreadable`](super::StoreErrorKind::Unreadable) if the item does not fit `S`.
    pub fn statistics<S: DeserializeOwned>(&self) -> Result<S, StoreError> {
        serde_dynamo::from_item(self.0.clone())
            .map_err(|error| StoreError::unreadable("reading STATS", error))
    }

    pub fn metadata(&self) -> Result<StatsMetadata, StoreError> {
        self.statistics()
    }
}

impl Store {
    /// Reads the STATS items of partitions. A partition without one has no entry in the result.
    pub async fn read_statistics(
        &self,
        partitions: &[&Partition],
        consistency: Consistency,
    ) -> Result<HashMap<Partition, StoredStatistics>, StoreError> {
        let by_key: HashMap<String, &Partition> = partitions.iter().map(|p| (p.key(), *p)).collect();
        let keys = by_key.keys().map(|partition| keys::key(partition, STATS)).collect();
        let mut statistics = HashMap::new();
        for item in self.read_items(keys, consistency).await? {
            let partition = item.get(PK).and_then(|key| by_key.get(key.as_s().ok()?.as_str()));
            if let Some(partition) = partition {
                statistics.insert((*partition).clone(), StoredStatistics(item));
            }
        }
        Ok(statistics)
    }

    /// Reads when users were last active, by sub, with eventual consistency: half a read unit for each user
    /// whose STATS is at most 4 KB. A user without that time has no entry in the result.
    pub async fn read_last_seen(&self, subs: &[&str]) -> Result<HashMap<String, Timestamp>, StoreError> {
        const LAST_SEEN_AT: &str = "lastSeenAt";
        let by_key: HashMap<String, &str> = subs.iter().map(|sub| (keys::user(sub), *sub)).collect();
        let wanted = by_key.keys().map(|partition| keys::key(partition, STATS)).collect();
        let projection = format!("{PK}, {LAST_SEEN_AT}");
        let mut last_seen = HashMap::new();
        for item in self.read_attributes(wanted, Consistency::Eventual, Some(&projection)).await? {
            let sub = item.get(PK).and_then(|key| by_key.get(key.as_s().ok()?.as_str()));
            let millis = item.get(LAST_SEEN_AT).and_then(|value| value.as_n().ok()?.parse().ok());
            let at = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
            if let (Some(sub), Some(at)) = (sub, at) {
                last_seen.insert((*sub).to_owned(), at);
            }
        }
        Ok(last_seen)
    }

    /// Replaces the statistics of a partition if they still have the version that was read, and
    /// removes the attributes named in `removed`. All other attributes stay: the times of the
    /// metadata, and those that a newer release added.
    pub async fn replace_statistics<S: Serialize>(
        &self,
        partition: &Partition,
        read_version: u64,
        statistics: &S,
        removed: &[&str],
    ) -> Result<(), CommitError> {
        const OPERATION: &str = "UpdateItem STATS";
        let statistics: Item = serde_dynamo::to_item(statistics)
            .map_err(|error| StoreError::invalid_request(OPERATION, error))?;
        let mut update = UpdateExpression::default();
        for (name, value) in statistics {
            update.set(&name, value);
        }
        for name in removed {
            update.remove(name);
        }
        update.set("version", number(read_version + 1));
        let condition = update.has_version(read_version);
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(partition.key(), STATS)))
            .update_expression(update.expression())
            .condition_expression(condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values));
        conflict_or_done(call.send().await.map_err(StoreError::from_sdk(OPERATION)))
    }

    /// Marks a user as erased if STATS still has the version in `read`. After that, no commit to
    /// the partition succeeds. The marker expires after `marker_days`.
    ///
    /// A second erasure keeps the time of the first one. Otherwise each repetition of `user.deleted`
    /// would be a new erasure, and cause one more invalidation beyond the budget.
    pub async fn mark_erased(
        &self,
        partition: &Partition,
        read: &StatsMetadata,
        now: Timestamp,
        marker_days: u32,
    ) -> Result<(), CommitError> {
        const OPERATION: &str = "PutItem STATS erased";
        let read_version = read.version;
        let metadata = StatsMetadata {
            version: read_version + 1,
            erased_at: read.erased_at.or(Some(now)),
            ..StatsMetadata::default()
        };
        let mut item: Item =
            serde_dynamo::to_item(metadata).map_err(|error| StoreError::invalid_request(OPERATION, error))?;
        item.extend(keys::key(partition.key(), STATS));
        item.insert(EXPIRES_AT.to_owned(), number(now.as_second() + i64::from(marker_days) * 24 * 3600));
        let call = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let call = call.expression_attribute_names("#version", "version");
        let call = if read_version == 0 {
            call.condition_expression("attribute_not_exists(#version)")
        } else {
            call.condition_expression("#version = :readVersion")
                .expression_attribute_values(":readVersion", number(read_version))
        };
        conflict_or_done(call.send().await.map_err(StoreError::from_sdk(OPERATION)))
    }
}

fn conflict_or_done<T>(result: Result<T, StoreError>) -> Result<(), CommitError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_condition_failed() || error.is_conflict() => {
            Err(CommitError::Conflict(error.reasons()))
        }
        Err(error) => Err(error.into()),
    }
}
