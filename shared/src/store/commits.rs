//! STATS and EVENT: reading statistics, and committing events to them exactly once.
//!
//! The stored event is the idempotency marker. One transaction puts each EVENT item where there is none,
//! updates STATS where its version is the one that was read, and writes PROFILE where an event says so: all
//! of it is there afterwards, or nothing.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    DeleteRequest, KeysAndAttributes, Put, TransactWriteItem, Update, WriteRequest,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::keys::{self, EXPIRES_AT, PK, Partition, SK, STATS};
use super::{Item, Profile, Store, StoreError, UpdateExpression, number, string};
use crate::aws::WORKER_CALL_SECONDS;
use crate::events::Event;
use crate::queues::backoff;
use crate::time::millis;

/// DynamoDB: a BatchGetItem reads at most 100 items.
pub const MAX_READ_ITEMS: usize = 100;
/// DynamoDB: a BatchWriteItem writes at most 25 items.
const MAX_WRITE_ITEMS: usize = 25;
/// Batches under way at once.
const CALLS_IN_FLIGHT: usize = 8;
/// Items that are deleted before the time is looked at again.
const DELETED_AT_ONCE: i32 = 200;
/// DynamoDB: a transaction has at most 100 items. STATS and PROFILE are two of them.
pub const MAX_EVENTS: usize = 98;
/// DynamoDB: a transaction has at most 4 MB; the rest is left for STATS, PROFILE and attribute names.
const MAX_EVENT_BYTES: usize = 3_500_000;

/// Upper bound for one commit attempt: the transaction, a conflict_backoff, and a second read, with the sends and
/// visibility changes that follow.
pub const ATTEMPT_SECONDS: i64 = 2 * WORKER_CALL_SECONDS + 8;

/// Attempts to write against others, before it is given up.
pub const MAX_ATTEMPTS: u32 = 8;
/// The first conflict_backoff between attempts; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long to wait after so many attempts against others. `random` from 0 to 1 keeps them from coming back together.
pub fn conflict_backoff(attempts: u32, random: f64) -> Duration {
    backoff(FIRST_PAUSE, LONGEST_PAUSE, attempts, random)
}

/// Of events whose bodies have these many bytes, how many fit into one transaction: at least one.
pub fn transaction_size(body_bytes: impl Iterator<Item = usize>) -> usize {
    let mut sum = 0;
    let fits = body_bytes.take(MAX_EVENTS).take_while(|bytes| {
        sum += bytes;
        sum <= MAX_EVENT_BYTES
    });
    fits.count().max(1)
}

/// How a read is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Half the price. A stale version shows when the commit's condition fails.
    Eventual,
    /// Sees every commit that was answered before.
    Strong,
}

/// A STATS item as it was read. It is understood only when asked, so that one that cannot be understood fails
/// its own user alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredStatistics(Item);

/// What STATS holds beside the fold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatsMetadata {
    /// The number of commits; 0 where there is no item.
    pub version: u64,
    /// When the latest commit was made that changed a view.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_changed_at: Option<Timestamp>,
    /// When the latest commit was made after which no invalidation was sent, because the user was idle.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_skipped_at: Option<Timestamp>,
    /// When the user was erased. Nothing is committed to the partition after that.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub erased_at: Option<Timestamp>,
}

impl StoredStatistics {
    /// The folded statistics.
    pub fn folded<S: DeserializeOwned>(&self) -> Result<S, StoreError> {
        serde_dynamo::from_item(self.0.clone())
            .map_err(|error| StoreError::unreadable("reading STATS", error))
    }

    /// What stands beside them.
    pub fn metadata(&self) -> Result<StatsMetadata, StoreError> {
        self.folded()
    }
}

/// Events of one partition, and what they make of its statistics.
#[derive(Debug)]
pub struct Commit<'a, S> {
    /// Whose.
    pub partition: &'a Partition,
    /// The version that was read, and folded on.
    pub read_version: u64,
    /// The statistics with the events folded in.
    pub folded: &'a S,
    /// The times to keep beside them. The version is set by the commit.
    pub metadata: StatsMetadata,
    /// The events with their bodies as they came: no two with the same key, no more than are [`transaction_size`].
    pub events: &'a [(&'a Event, &'a str)],
    /// For how many days after its time an event stays.
    pub event_retention_days: u32,
    /// The profile to write where there is none.
    pub profile: Option<&'a Profile>,
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// These events, by their index, were committed before. Nothing was written.
    #[error("events were committed before")]
    Duplicates(Vec<usize>),
    /// Somebody else committed in between, or is about to: read again, consistently.
    #[error("another commit came first")]
    Conflict,
    /// Anything else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a partition's events were not committed, or a user not erased.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The deadline is too near.
    #[error("no time left")]
    OutOfTime,
    /// Others kept committing first.
    #[error("others kept committing first")]
    Conflict,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Reads the STATS items of partitions, in as few calls as DynamoDB allows. A partition without one has
    /// no entry.
    pub async fn statistics(
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

    /// Reads items by their keys; those that are not there are left out.
    pub(super) async fn read_items(
        &self,
        keys: Vec<Item>,
        consistency: Consistency,
    ) -> Result<Vec<Item>, StoreError> {
        let batches: Vec<Vec<Item>> = keys.chunks(MAX_READ_ITEMS).map(<[_]>::to_vec).collect();
        let calls = stream::iter(batches).map(|batch| self.read_batch(batch, consistency));
        calls.buffer_unordered(CALLS_IN_FLIGHT).try_concat().await
    }

    async fn read_batch(
        &self,
        mut left: Vec<Item>,
        consistency: Consistency,
    ) -> Result<Vec<Item>, StoreError> {
        const OPERATION: &str = "BatchGetItem";
        let mut items = Vec::new();
        // DynamoDB answers in part where it throttles or the answer grows beyond 16 MB. A read without any progress ends
        // it; the messages come again.
        while !left.is_empty() {
            let asked = left.len();
            let request = KeysAndAttributes::builder()
                .set_keys(Some(left))
                .consistent_read(consistency == Consistency::Strong)
                .build()
                .map_err(|error| StoreError::unreadable(OPERATION, error))?;
            let call = self.client.batch_get_item().request_items(&self.table, request);
            let output = call.send().await.map_err(StoreError::call(OPERATION))?;
            items.extend(output.responses.unwrap_or_default().into_values().flatten());
            left = output.unprocessed_keys.unwrap_or_default().into_values().flat_map(|k| k.keys).collect();
            if left.len() == asked {
                let cause = std::io::Error::other("no key was processed");
                return Err(StoreError::unreadable(OPERATION, cause));
            }
        }
        Ok(items)
    }

    /// Commits events: all of it, or nothing.
    pub async fn commit<S: Serialize>(&self, commit: Commit<'_, S>) -> Result<(), CommitError> {
        const OPERATION: &str = "TransactWriteItems";
        let unreadable = |error| StoreError::unreadable(OPERATION, error);
        let partition = commit.partition.key();
        let mut items = Vec::with_capacity(commit.events.len() + 2);
        for (event, body) in commit.events {
            items.push(self.put_event(&partition, event, body, commit.event_retention_days)?);
        }

        let mut update = UpdateExpression::default();
        let folded: Item = serde_dynamo::to_item(commit.folded).map_err(unreadable)?;
        let version = commit.read_version + 1;
        let metadata: Item =
            serde_dynamo::to_item(StatsMetadata { version, ..commit.metadata }).map_err(unreadable)?;
        // Attribute by attribute: what a newer release added stays.
        for (name, value) in folded.into_iter().chain(metadata) {
            update.set(&name, value);
        }
        let condition = update.has_version(commit.read_version);
        items.push(self.update(keys::key(&partition, STATS), update, Some(condition))?);
        if let Some(profile) = commit.profile {
            let (key, update) = profile.update();
            items.push(self.update(key, update, None)?);
        }

        let output = self.client.transact_write_items().set_transact_items(Some(items)).send().await;
        match output {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    let codes: Vec<&str> = cancelled
                        .cancellation_reasons()
                        .iter()
                        .map(|r| r.code().unwrap_or_default())
                        .collect();
                    match cancelled_because(&codes, commit.events.len()) {
                        Some(cause) => cause,
                        None => StoreError::call(OPERATION)(error).into(),
                    }
                }
                Some(other) if other.code() == Some("TransactionInProgressException") => {
                    CommitError::Conflict
                }
                _ => StoreError::call(OPERATION)(error).into(),
            }),
        }
    }

    fn put_event(
        &self,
        partition: &str,
        event: &Event,
        body: &str,
        days: u32,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut item = keys::key(partition, keys::event(&event.source, &event.id));
        item.insert("event".to_owned(), string(body));
        item.insert("type".to_owned(), string(event.data.event_type()));
        item.insert("time".to_owned(), number(event.time.as_millisecond()));
        let expires_at = event.time.as_second() + i64::from(days) * 24 * 3600;
        item.insert(EXPIRES_AT.to_owned(), number(expires_at));
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let put = put.condition_expression(format!("attribute_not_exists({PK})")).build();
        let put = put.map_err(|error| StoreError::unreadable("TransactWriteItems", error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn update(
        &self,
        key: Item,
        update: UpdateExpression,
        condition: Option<&str>,
    ) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key))
            .update_expression(update.expression())
            .set_condition_expression(condition.map(str::to_owned))
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .build()
            .map_err(|error| StoreError::unreadable("TransactWriteItems", error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Marks a user as erased, where STATS still has the version that was read. The marker stays for
    /// `marker_days`; nothing can be committed against it.
    pub async fn mark_erased(
        &self,
        partition: &Partition,
        read_version: u64,
        now: Timestamp,
        marker_days: u32,
    ) -> Result<(), CommitError> {
        const OPERATION: &str = "PutItem STATS erased";
        let metadata =
            StatsMetadata { version: read_version + 1, erased_at: Some(now), ..StatsMetadata::default() };
        let mut item: Item =
            serde_dynamo::to_item(metadata).map_err(|error| StoreError::unreadable(OPERATION, error))?;
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
        match call.send().await.map_err(StoreError::call(OPERATION)) {
            Ok(_) => Ok(()),
            Err(error) if error.is_condition_failed() || error.is_conflict() => Err(CommitError::Conflict),
            Err(error) => Err(error.into()),
        }
    }

    /// The times of a partition's stored events.
    pub async fn event_times(&self, partition: &Partition) -> Result<Vec<Timestamp>, StoreError> {
        let (mut times, mut start) = (Vec::new(), None);
        loop {
            let (items, next) = self.query_events(partition, "time", start).await?;
            times.extend(items.into_iter().filter_map(|item| {
                let millis = item.get("time")?.as_n().ok()?.parse().ok()?;
                Timestamp::from_millisecond(millis).ok()
            }));
            start = next;
            if start.is_none() {
                return Ok(times);
            }
        }
    }

    /// One attribute of a partition's stored events, read consistently: a page of them, and where the next one begins.
    pub(super) async fn query_events(
        &self,
        partition: &Partition,
        attribute: &str,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let call = self.client.query().table_name(&self.table).consistent_read(true);
        let output = call
            .key_condition_expression(format!("{PK} = :partition AND begins_with({SK}, :event)"))
            .expression_attribute_values(":partition", string(partition.key()))
            .expression_attribute_values(":event", string(keys::EVENT))
            .projection_expression("#attribute")
            .expression_attribute_names("#attribute", attribute)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::call("Query"))?;
        let next = output.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((output.items.unwrap_or_default(), next))
    }

    /// Deletes what lies in a partition beside STATS, which holds the marker, and PROFILE: one page of it. Answers
    /// whether there may be more. Repeating it does no harm.
    pub async fn delete_events(&self, partition: &Partition) -> Result<bool, StoreError> {
        let call = self.client.query().table_name(&self.table).consistent_read(true);
        let output = call
            .key_condition_expression(format!("{PK} = :partition"))
            .expression_attribute_values(":partition", string(partition.key()))
            .projection_expression(SK)
            .limit(DELETED_AT_ONCE)
            .send()
            .await
            .map_err(StoreError::call("Query"))?;
        let sort_keys = output.items.unwrap_or_default().into_iter();
        let sort_keys = sort_keys.filter_map(|mut item| item.remove(SK)?.as_s().ok().cloned());
        let requests =
            sort_keys.filter(|sort_key| sort_key != STATS && sort_key != keys::PROFILE).map(|sort_key| {
                let key = keys::key(partition.key(), &sort_key);
                let request = DeleteRequest::builder().set_key(Some(key)).build();
                request.map(|request| WriteRequest::builder().delete_request(request).build())
            });
        let requests = requests.collect::<Result<Vec<_>, _>>();
        self.write_items(requests.map_err(|error| StoreError::unreadable("BatchWriteItem", error))?).await?;
        Ok(output.last_evaluated_key.is_some_and(|key| !key.is_empty()))
    }

    /// Writes items or deletes them, in as few calls as DynamoDB allows, some of them at once.
    pub(super) async fn write_items(&self, requests: Vec<WriteRequest>) -> Result<(), StoreError> {
        let batches: Vec<Vec<WriteRequest>> = requests.chunks(MAX_WRITE_ITEMS).map(<[_]>::to_vec).collect();
        let calls = stream::iter(batches).map(|batch| self.write_batch(batch));
        calls.buffer_unordered(CALLS_IN_FLIGHT).try_for_each(|()| std::future::ready(Ok(()))).await
    }

    async fn write_batch(&self, mut requests: Vec<WriteRequest>) -> Result<(), StoreError> {
        const OPERATION: &str = "BatchWriteItem";
        while !requests.is_empty() {
            let asked = requests.len();
            let call = self.client.batch_write_item().request_items(&self.table, requests);
            let output = call.send().await.map_err(StoreError::call(OPERATION))?;
            requests = output.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
            if requests.len() == asked {
                return Err(StoreError::unreadable(
                    OPERATION,
                    std::io::Error::other("no item was processed"),
                ));
            }
        }
        Ok(())
    }
}

/// What DynamoDB's reasons say, one for each item, the events first. A duplicate explains a stale version too,
/// so it comes first. `None` where they say something else.
fn cancelled_because(codes: &[&str], events: usize) -> Option<CommitError> {
    const CONDITION_FAILED: &str = "ConditionalCheckFailed";
    let (event_codes, other_codes) = codes.split_at(events.min(codes.len()));
    let duplicates: Vec<usize> =
        (0..event_codes.len()).filter(|index| event_codes[*index] == CONDITION_FAILED).collect();
    if !duplicates.is_empty() {
        return Some(CommitError::Duplicates(duplicates));
    }
    if other_codes.contains(&CONDITION_FAILED) || codes.contains(&"TransactionConflict") {
        return Some(CommitError::Conflict);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_of_a_cancelled_transaction_tell_duplicates_from_conflicts() {
        let because = |codes: &[&str]| cancelled_because(codes, 2).map(|error| error.to_string());
        let failed = "ConditionalCheckFailed";
        let duplicates = Some("events were committed before".to_owned());
        let conflict = Some("another commit came first".to_owned());
        assert_eq!(because(&["None", failed, "None"]), duplicates);
        assert_eq!(because(&["None", failed, failed]), duplicates);
        assert_eq!(because(&["None", "None", failed]), conflict);
        assert_eq!(because(&["None", "TransactionConflict", "None"]), conflict);
        assert_eq!(because(&["None", "None", "ThrottlingError"]), None);
        assert_eq!(because(&[]), None);
    }
}
