//! The transaction that commits events to the statistics, each exactly once.
//!
//! The stored event is the idempotency marker. One transaction puts each EVENT item that does not
//! exist yet, updates STATS if its version is the one that was read, writes PROFILE if an event
//! requires it, and writes the entries of LIST and the states of NOTIFICATION that follow from the
//! events. DynamoDB does all of it or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};
use serde::Serialize;

use super::batch::Consistency;
use super::error::{CancellationReasons, CommitError, StoreError, cancellation_codes};
use super::item::{Item, UpdateExpression, number};
use super::keys::{self, PK, Partition, STATS, VERSION};
use super::list_writes::{ListWrites, NotificationChange, max_items};
use super::notifications::{self, NotificationState};
use super::profile_changes::ProfileChanges;
use super::profiles::Profile;
use super::stats::StatsMetadata;
use super::stored_events::event_item;
use super::table::Store;
use crate::aws::WORKER_CALL_SECONDS;
use crate::events::Event;

/// DynamoDB: a transaction has at most 100 items.
pub(super) const MAX_TRANSACTION_ITEMS: usize = 100;
/// Maximum number of items that belong to events. STATS and PROFILE are the other two.
pub const MAX_EVENT_ITEMS: usize = MAX_TRANSACTION_ITEMS - 2;
/// DynamoDB: a transaction has at most 4 MB. The rest is for STATS, PROFILE, the lists (less than 1 KB
/// for each item) and attribute names.
const MAX_EVENT_BYTES: usize = 3_500_000;

/// Upper bound for one commit attempt in seconds: the read of the notifications, the transaction, a
/// delay, and a second read of STATS, with the sends and visibility changes that follow.
pub const ATTEMPT_SECONDS: i64 = 3 * WORKER_CALL_SECONDS + 8;

/// The number of events that fit into one transaction, given with their bodies. At least one.
pub fn transaction_size<'a>(events: impl IntoIterator<Item = (&'a Event, &'a str)>) -> usize {
    let (mut items, mut bytes) = (0, 0);
    let fits = events.into_iter().take_while(|(event, body)| {
        items += max_items(&event.data);
        bytes += body.len();
        items <= MAX_EVENT_ITEMS && bytes <= MAX_EVENT_BYTES
    });
    fits.count().max(1)
}

/// Events of one partition, and the statistics that result from them.
#[derive(Debug)]
pub struct Commit<'a, S> {
    pub partition: &'a Partition,
    /// The version of STATS that was read.
    pub read_version: u64,
    /// The statistics with the events applied.
    pub statistics: &'a S,
    /// The times to write. Its version is ignored: see [`metadata_after`](Self::metadata_after).
    pub metadata: StatsMetadata,
    /// The events with their bodies as received. No two have the same key, and there are at most
    /// [`transaction_size`] of them.
    pub events: &'a [(&'a Event, &'a str)],
    /// Days after its time for which an event stays in the table.
    pub event_retention_days: u32,
    /// What to write to the user's PROFILE.
    pub profile: Option<ProfileWrite<'a>>,
}

/// A write to PROFILE in the transaction of a commit.
#[derive(Clone, Copy, Debug)]
pub enum ProfileWrite<'a> {
    /// The attributes that PROFILE does not have yet.
    Missing(&'a Profile),
    /// New values. If PROFILE has other values than those that were read, the commit is in conflict on
    /// each attempt.
    Changes(&'a ProfileChanges),
}

impl<S> Commit<'_, S> {
    /// The metadata that the commit writes: the given times, and the next version.
    pub fn metadata_after(&self) -> StatsMetadata {
        StatsMetadata { version: self.version_after(), ..self.metadata.clone() }
    }

    fn version_after(&self) -> u64 {
        self.read_version.saturating_add(1)
    }
}

impl Store {
    /// Commits events: all of them, or none. First reads the notifications that they are about.
    pub async fn commit<S: Serialize>(&self, commit: Commit<'_, S>) -> Result<(), CommitError> {
        let known = self.read_notifications_of(&commit).await?;
        let expires_at = |event: &Event| keys::expires_at(event.time, commit.event_retention_days);
        let events = commit.events.iter().map(|(event, _)| (*event, expires_at(event)));
        let lists = ListWrites::of(events, &known)?;
        let items = self.transaction(&commit, lists)?;
        self.write_transaction(items, commit.events.len()).await
    }

    /// The states of the notifications that the events are about, by sort key, with strong
    /// consistency. No call if there are none.
    async fn read_notifications_of<S>(
        &self,
        commit: &Commit<'_, S>,
    ) -> Result<BTreeMap<String, NotificationState>, StoreError> {
        let ids: BTreeSet<&str> =
            commit.events.iter().filter_map(|(event, _)| notifications::id_of(event)).collect();
        let partition = commit.partition.key();
        let keys = ids.into_iter().map(|id| keys::key(&partition, notifications::sort_key(id)));
        let items = self.read_items(keys.collect(), Consistency::Strong).await?;
        let states = items.into_iter().map(|item| {
            let state = NotificationState::from_item(item)?;
            Ok((notifications::sort_key(&state.notification_id), state))
        });
        states.collect()
    }

    /// Writes a transaction whose first `events` items are events.
    pub(super) async fn write_transaction(
        &self,
        items: Vec<TransactWriteItem>,
        events: usize,
    ) -> Result<(), CommitError> {
        let call = self.client.transact_write_items().set_transact_items(Some(items));
        let Err(error) = call.send().await else { return Ok(()) };
        let cause = match cancellation_codes(&error) {
            Some(codes) => Some(cancellation_cause(&codes, events)),
            // An earlier attempt of the SDK is still in progress.
            None if error.code() == Some(IN_PROGRESS) => {
                Some(CommitError::Conflict(CancellationReasons::from_codes(&[IN_PROGRESS])))
            }
            None => None,
        };
        Err(cause.unwrap_or_else(|| StoreError::from_sdk(OPERATION)(error).into()))
    }

    /// The items of the transaction, events first.
    fn transaction<S: Serialize>(
        &self,
        commit: &Commit<'_, S>,
        lists: ListWrites,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let invalid = |error| StoreError::invalid_request(OPERATION, error);
        let partition = commit.partition.key();
        let mut items = Vec::new();
        for (event, body) in commit.events {
            items.push(self.put_event(&partition, event, body, commit)?);
        }

        let mut update = UpdateExpression::default();
        let statistics: Item = serde_dynamo::to_item(commit.statistics).map_err(invalid)?;
        let metadata: Item = serde_dynamo::to_item(commit.metadata_after()).map_err(invalid)?;
        // Attribute by attribute, so that attributes of a newer release stay.
        for (name, value) in statistics.into_iter().chain(metadata) {
            update.set(&name, value);
        }
        let condition = update.has_version(commit.read_version);
        items.push(self.update(keys::key(&partition, STATS), update, Some(condition))?);
        match commit.profile {
            Some(ProfileWrite::Missing(profile)) => {
                let (key, update) = profile.update();
                items.push(self.update(key, update, None)?);
            }
            Some(ProfileWrite::Changes(changes)) => {
                let (key, update, condition) = changes.update(&partition);
                items.push(self.update(key, update, Some(&condition))?);
            }
            None => {}
        }
        items.extend(self.list_items(&partition, lists)?);
        Ok(items)
    }

    /// The items of a transaction that write to LIST and NOTIFICATION.
    fn list_items(&self, partition: &str, lists: ListWrites) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut items = Vec::new();
        for (sort_key, entry) in lists.entries {
            items.push(self.put_entry(keys::key(partition, sort_key), entry)?);
        }
        for sort_key in lists.deleted {
            items.push(self.delete(keys::key(partition, sort_key))?);
        }
        for (sort_key, NotificationChange { read, written }) in lists.notifications {
            let mut item = written.attributes()?;
            item.extend(keys::key(partition, sort_key));
            let condition = Unchanged::since(read.as_ref())?;
            let request = Put::builder()
                .table_name(&self.table)
                .set_item(Some(item))
                .condition_expression(condition.expression)
                .set_expression_attribute_names(condition.names)
                .set_expression_attribute_values(condition.values);
            items.push(put(request)?);
        }
        Ok(items)
    }

    pub(super) fn put_entry(&self, key: Item, mut entry: Item) -> Result<TransactWriteItem, StoreError> {
        entry.extend(key);
        put(Put::builder().table_name(&self.table).set_item(Some(entry)))
    }

    pub(super) fn delete(&self, key: Item) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder().table_name(&self.table).set_key(Some(key)).build();
        let delete = delete.map_err(|error| StoreError::invalid_request(OPERATION, error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    fn put_event<S>(
        &self,
        partition: &str,
        event: &Event,
        body: &str,
        commit: &Commit<'_, S>,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut item = event_item(partition, event, body, commit.event_retention_days);
        item.insert(VERSION.to_owned(), number(commit.version_after()));
        let request = Put::builder().table_name(&self.table).set_item(Some(item));
        put(request.condition_expression(format!("attribute_not_exists({PK})")))
    }

    pub(super) fn update(
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
            .map_err(|error| StoreError::invalid_request(OPERATION, error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

fn put(request: PutBuilder) -> Result<TransactWriteItem, StoreError> {
    let put = request.build().map_err(|error| StoreError::invalid_request(OPERATION, error))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// The condition that the table still has the state of a notification that was read.
///
/// The version of STATS does not suffice. A read may return STATS as it is after another commit and
/// then a notification as it was before that commit, because DynamoDB does not apply a transaction to
/// all of its items at once.
struct Unchanged {
    expression: String,
    names: Option<HashMap<String, String>>,
    values: Option<Item>,
}

impl Unchanged {
    fn since(read: Option<&NotificationState>) -> Result<Self, StoreError> {
        let Some(read) = read else {
            let expression = format!("attribute_not_exists({PK})");
            return Ok(Self { expression, names: None, values: None });
        };
        let mut attributes = read.attributes()?;
        let (mut conditions, mut names, mut values) = (Vec::new(), HashMap::new(), Item::new());
        for name in ["createdAt", "title", "readAt", "expiresAt"] {
            names.insert(format!("#{name}"), name.to_owned());
            match attributes.remove(name) {
                Some(value) => {
                    values.insert(format!(":{name}"), value);
                    conditions.push(format!("#{name} = :{name}"));
                }
                None => conditions.push(format!("attribute_not_exists(#{name})")),
            }
        }
        let values = Some(values).filter(|values| !values.is_empty());
        Ok(Self { expression: conditions.join(" AND "), names: Some(names), values })
    }
}

const OPERATION: &str = "TransactWriteItems";
const IN_PROGRESS: &str = "TransactionInProgressException";

/// What the cancellation reasons of a transaction mean. `codes` has one code per item, events
/// first. The API reference of TransactWriteItems lists the codes.
///
/// If an event is a duplicate, the commit that stored it has also changed the version of STATS. So
/// duplicates take precedence over a conflict. A conflict takes precedence over throttling, because
/// the next attempt must read STATS again.
fn cancellation_cause(codes: &[&str], events: usize) -> CommitError {
    const CONDITION_FAILED: &str = "ConditionalCheckFailed";
    let (event_codes, other_codes) = codes.split_at(events.min(codes.len()));
    let duplicates: Vec<usize> =
        (0..event_codes.len()).filter(|index| event_codes[*index] == CONDITION_FAILED).collect();
    if !duplicates.is_empty() {
        return CommitError::Duplicates(duplicates);
    }
    let reasons = CancellationReasons::from_codes(codes);
    if other_codes.contains(&CONDITION_FAILED) || codes.contains(&"TransactionConflict") {
        return CommitError::Conflict(reasons);
    }
    if codes.iter().any(|code| matches!(*code, "ThrottlingError" | "ProvisionedThroughputExceeded")) {
        return CommitError::Throttled(reasons);
    }
    StoreError::cancelled(OPERATION, &reasons).into()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::events::{Data, Empty, NewNotification, Subject};

    #[test]
    fn transaction_has_at_most_100_items_and_four_megabytes() {
        let event = |data| Event::new("/test", Subject::user("ana"), Timestamp::UNIX_EPOCH, data);
        let reset = event(Data::PasswordReset(Empty {}));
        let created = event(Data::NotificationCreated(NewNotification {
            notification_id: "n".to_owned(),
            title: None,
        }));
        let long = "x".repeat(65_000);
        for (event, body, expected) in
            [(&reset, "{}", 98), (&created, "{}", 24), (&reset, &long, 53), (&created, &long, 24)]
        {
            assert_eq!(transaction_size(vec![(event, body); 200]), expected);
            assert_eq!(transaction_size([(event, body)]), 1);
        }
        assert_eq!(transaction_size([(&reset, "x".repeat(4_000_000).as_str())]), 1);
    }

    #[test]
    fn cancellation_reasons_distinguish_duplicates_conflicts_and_throttling() {
        let (failed, conflict, throttled) =
            ("ConditionalCheckFailed", "TransactionConflict", "ThrottlingError");
        for (codes, expected) in [
            (&["None", failed, "None"][..], "events are already committed"),
            (&["None", failed, failed], "events are already committed"),
            (&[throttled, failed, "None"], "events are already committed"),
            (&["None", "None", failed], "another commit came first"),
            (&["None", conflict, "None"], "another commit came first"),
            (&[throttled, "None", failed], "another commit came first"),
            (&["None", "None", "None", failed], "another commit came first"),
            (&["None", "None", throttled], "DynamoDB throttled the transaction"),
            (&["ProvisionedThroughputExceeded", "None", "None"], "DynamoDB throttled the transaction"),
            (&["None", "ValidationError", "None"], "TransactWriteItems failed"),
            (&[], "TransactWriteItems failed"),
        ] {
            assert_eq!(cancellation_cause(codes, 2).to_string(), expected, "{codes:?}");
        }
        let CommitError::Store(error) = cancellation_cause(&["None", "ValidationError"], 1) else { panic!() };
        let chain = crate::telemetry::chain(&error);
        assert_eq!(chain, "TransactWriteItems failed: TransactionCanceledException: ValidationError");
    }
}
