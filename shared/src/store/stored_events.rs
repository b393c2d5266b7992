//! EVENT and ATTEMPT: reading a partition's stored events, writing allowed sign-in attempts, and
//! deleting both in an erasure.

use std::collections::{BTreeSet, HashSet};

use aws_sdk_dynamodb::types::Select;
use jiff::Timestamp;

use super::batch::{Consistency, delete_request, put_request};
use super::error::StoreError;
use super::item::{Item, number, string};
use super::keys::{self, EXPIRES_AT, PK, Partition, SK, STATS};
use super::table::Store;
use crate::events::{ATTEMPT_PREFIX, EVENT_PREFIX, Event};

/// Items that one call of [`Store::delete_events`] deletes at most. The caller checks its deadline
/// between two calls.
const MAX_DELETED_ITEMS: i32 = 200;

/// A stored event as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The message body as it arrived. Empty if the item has none.
    pub body: String,
    /// Time to live in seconds since 1970.
    pub expires_at: Option<i64>,
}

/// The item of a stored event. `body` is the message body as it arrived.
pub(super) fn event_item(partition: &str, event: &Event, body: &str, retention_days: u32) -> Item {
    let mut item = keys::key(partition, event.key());
    item.insert("event".to_owned(), string(body));
    item.insert("type".to_owned(), string(event.data.event_type()));
    item.insert("time".to_owned(), number(event.time.as_millisecond()));
    item.insert(EXPIRES_AT.to_owned(), number(keys::expires_at(event.time, retention_days)));
    item
}

impl Store {
    /// Stores allowed sign-in attempts, each with its partition and its body, without a condition: an
    /// attempt with the same key replaces the stored one. No two have the same key. Each takes one
    /// write unit for each kilobyte.
    pub async fn put_attempts(
        &self,
        attempts: &[(&Partition, &Event, &str)],
        retention_days: u32,
    ) -> Result<(), StoreError> {
        let requests = attempts.iter().map(|(partition, event, body)| {
            put_request(event_item(&partition.key(), event, body, retention_days))
        });
        self.write_items(requests.collect::<Result<Vec<_>, _>>()?).await
    }

    /// For each event, true if it is stored. Strongly consistent. The events are about users.
    pub async fn find_stored(&self, events: impl Iterator<Item = &Event>) -> Result<Vec<bool>, StoreError> {
        let key = |event: &Event| Some((Partition::of(event)?.key(), event.key()));
        let keys: Vec<Option<(String, String)>> = events.map(key).collect();
        let distinct: BTreeSet<&(String, String)> = keys.iter().flatten().collect();
        let wanted = distinct.into_iter().map(|(partition, sort)| keys::key(partition, sort)).collect();
        let items = self.read_items(wanted, Consistency::Strong).await?;
        let text = |item: &Item, name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let stored: HashSet<(String, String)> =
            items.iter().filter_map(|item| Some((text(item, PK)?, text(item, SK)?))).collect();
        Ok(keys.into_iter().map(|key| key.is_some_and(|key| stored.contains(&key))).collect())
    }

    /// Counts the stored sign-in attempts of a partition that were allowed.
    pub async fn count_attempts(&self, partition: &Partition) -> Result<usize, StoreError> {
        let (mut count, mut start) = (0, None);
        loop {
            let call = self.client.query().table_name(&self.table).consistent_read(true);
            let output = call
                .key_condition_expression(format!("{PK} = :partition AND begins_with({SK}, :attempt)"))
                .expression_attribute_values(":partition", string(partition.key()))
                .expression_attribute_values(":attempt", string(ATTEMPT_PREFIX))
                .select(Select::Count)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(StoreError::from_sdk("Query"))?;
            count += usize::try_from(output.count).unwrap_or_default();
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(count);
            }
        }
    }

    /// Reads one page of a partition's stored events, with strong consistency. Also returns where the
    /// next page starts, if there is one.
    pub async fn read_stored_events(
        &self,
        partition: &Partition,
        start: Option<Item>,
    ) -> Result<(Vec<StoredEvent>, Option<Item>), StoreError> {
        let (items, next) = self.query_events(partition, &["event", EXPIRES_AT], start).await?;
        let event = |item: Item| StoredEvent {
            body: item.get("event").and_then(|body| body.as_s().ok().cloned()).unwrap_or_default(),
            expires_at: item.get(EXPIRES_AT).and_then(|value| value.as_n().ok()?.parse().ok()),
        };
        Ok((items.into_iter().map(event).collect(), next))
    }

    /// Reads the times of a partition's stored events.
    pub async fn read_event_times(&self, partition: &Partition) -> Result<Vec<Timestamp>, StoreError> {
        let (mut times, mut start) = (Vec::new(), None);
        loop {
            let (items, next) = self.query_events(partition, &["time"], start).await?;
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

    async fn query_events(
        &self,
        partition: &Partition,
        attributes: &[&str],
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let names = attributes.iter().map(|name| (format!("#{name}"), (*name).to_owned()));
        let projection: Vec<String> = attributes.iter().map(|name| format!("#{name}")).collect();
        let call = self.client.query().table_name(&self.table).consistent_read(true);
        let output = call
            .key_condition_expression(format!("{PK} = :partition AND begins_with({SK}, :event)"))
            .expression_attribute_values(":partition", string(partition.key()))
            .expression_attribute_values(":event", string(EVENT_PREFIX))
            .projection_expression(projection.join(", "))
            .set_expression_attribute_names(Some(names.collect()))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::from_sdk("Query"))?;
        let next = output.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((output.items.unwrap_or_default(), next))
    }

    /// Deletes one page of a partition's items. STATS, which holds the erasure marker, and PROFILE
    /// stay. Returns whether there may be more. Repeating the call is safe.
    pub async fn delete_events(&self, partition: &Partition) -> Result<bool, StoreError> {
        let call = self.client.query().table_name(&self.table).consistent_read(true);
        let output = call
            .key_condition_expression(format!("{PK} = :partition"))
            .expression_attribute_values(":partition", string(partition.key()))
            .projection_expression(SK)
            .limit(MAX_DELETED_ITEMS)
            .send()
            .await
            .map_err(StoreError::from_sdk("Query"))?;
        let sort_keys = output.items.unwrap_or_default().into_iter();
        let sort_keys = sort_keys.filter_map(|mut item| item.remove(SK)?.as_s().ok().cloned());
        let requests = sort_keys
            .filter(|sort_key| sort_key != STATS && sort_key != keys::PROFILE)
            .map(|sort_key| delete_request(keys::key(partition.key(), &sort_key)));
        self.write_items(requests.collect::<Result<Vec<_>, _>>()?).await?;
        Ok(output.last_evaluated_key.is_some_and(|key| !key.is_empty()))
    }
}
