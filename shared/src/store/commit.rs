//! The transaction that commits events to the statistics, each exactly once.
//!
//! The stored event is the idempotency marker. One transaction puts each EVENT item that does not
//! exist yet, updates STATS if its version is the one that was read, and writes PROFILE if an event
//! requires it. DynamoDB does all of it or nothing.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use serde::Serialize;

use super::error::{CancellationReasons, CommitError, StoreError, cancellation_codes};
use super::item::{Item, UpdateExpression};
use super::keys::{self, PK, Partition, STATS};
use super::profiles::Profile;
use super::stats::StatsMetadata;
use super::stored_events::event_item;
use super::table::Store;
use crate::aws::WORKER_CALL_SECONDS;
use crate::events::Event;

/// DynamoDB: a transaction has at most 100 items. STATS and PROFILE are two of them.
pub const MAX_EVENTS: usize = 98;
/// DynamoDB: a transaction has at most 4 MB. The rest is for STATS, PROFILE and attribute names.
const MAX_EVENT_BYTES: usize = 3_500_000;

/// Upper bound for one commit attempt in seconds: the transaction, a delay, and a second read, with
/// the sends and visibility changes that follow.
pub const ATTEMPT_SECONDS: i64 = 2 * WORKER_CALL_SECONDS + 8;

/// The number of events that fit into one transaction, from the sizes of their bodies in bytes. At
/// least one.
pub fn transaction_size(body_bytes: impl Iterator<Item = usize>) -> usize {
    let mut sum = 0;
    let fits = body_bytes.take(MAX_EVENTS).take_while(|bytes| {
        sum += bytes;
        sum <= MAX_EVENT_BYTES
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
    /// The profile to write if there is none.
    pub profile: Option<&'a Profile>,
}

impl<S> Commit<'_, S> {
    /// The metadata that the commit writes: the given times, and the next version.
    pub fn metadata_after(&self) -> StatsMetadata {
        StatsMetadata { version: self.read_version + 1, ..self.metadata.clone() }
    }
}

impl Store {
    /// Commits events: all of them, or none.
    pub async fn commit<S: Serialize>(&self, commit: Commit<'_, S>) -> Result<(), CommitError> {
        let items = self.transaction(&commit)?;
        let call = self.client.transact_write_items().set_transact_items(Some(items));
        let Err(error) = call.send().await else { return Ok(()) };
        let cause = match cancellation_codes(&error) {
            Some(codes) => Some(cancellation_cause(&codes, commit.events.len())),
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
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let invalid = |error| StoreError::invalid_request(OPERATION, error);
        let partition = commit.partition.key();
        let mut items = Vec::with_capacity(commit.events.len() + 2);
        for (event, body) in commit.events {
            items.push(self.put_event(&partition, event, body, commit.event_retention_days)?);
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
        if let Some(profile) = commit.profile {
            let (key, update) = profile.update();
            items.push(self.update(key, update, None)?);
        }
        Ok(items)
    }

    fn put_event(
        &self,
        partition: &str,
        event: &Event,
        body: &str,
        retention_days: u32,
    ) -> Result<TransactWriteItem, StoreError> {
        let item = event_item(partition, event, body, retention_days);
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let put = put.condition_expression(format!("attribute_not_exists({PK})")).build();
        let put = put.map_err(|error| StoreError::invalid_request(OPERATION, error))?;
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
            .map_err(|error| StoreError::invalid_request(OPERATION, error))?;
        Ok(TransactWriteItem::builder().update(update).build())
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
    use super::*;

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
