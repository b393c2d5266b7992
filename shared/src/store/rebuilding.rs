//! Working STATS out anew: going over the partitions, reading what is stored of their events, replacing the fold.

use serde::Serialize;

use super::commits::CommitError;
use super::keys::{self, EVENT, PK, Partition, SK, STATS};
use super::{Item, Store, StoreError, UpdateExpression, number, string};

/// Items that a call looks at while partitions are listed, so that a page is small whatever the items hold.
const SCANNED_AT_ONCE: i32 = 500;

impl Store {
    /// The partitions of users and domains that have statistics or events, in no order: a page of them, and where the
    /// next one begins. The last of a page may be the first of the next one.
    pub async fn partitions(
        &self,
        start: Option<Item>,
    ) -> Result<(Vec<Partition>, Option<Item>), StoreError> {
        let call = self.client.scan().table_name(&self.table).limit(SCANNED_AT_ONCE);
        let output = call
            .filter_expression(format!("{SK} = :stats OR begins_with({SK}, :event)"))
            .expression_attribute_values(":stats", string(STATS))
            .expression_attribute_values(":event", string(EVENT))
            .projection_expression(PK)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::call("Scan"))?;
        let keys = output.items.unwrap_or_default().into_iter().filter_map(|mut item| item.remove(PK));
        let mut partitions: Vec<Partition> =
            keys.filter_map(|key| Partition::from_key(key.as_s().ok()?)).collect();
        // A partition's items lie together.
        partitions.dedup();
        Ok((partitions, output.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    /// The bodies of a partition's stored events, read consistently: a page of them, and where the next one begins. Empty
    /// where an item has none.
    pub async fn stored_events(
        &self,
        partition: &Partition,
        start: Option<Item>,
    ) -> Result<(Vec<String>, Option<Item>), StoreError> {
        let (items, next) = self.query_events(partition, "event", start).await?;
        let body = |item: Item| item.get("event").and_then(|body| body.as_s().ok().cloned());
        Ok((items.into_iter().map(|item| body(item).unwrap_or_default()).collect(), next))
    }

    /// Replaces the folded statistics of a partition where they still have the version that was read, and takes the
    /// attributes named in `gone` away. All others stay: the times of the metadata, and what a newer release added.
    pub async fn replace_folded<S: Serialize>(
        &self,
        partition: &Partition,
        read_version: u64,
        folded: &S,
        gone: &[&str],
    ) -> Result<(), CommitError> {
        const OPERATION: &str = "UpdateItem STATS";
        let folded: Item =
            serde_dynamo::to_item(folded).map_err(|error| StoreError::unreadable(OPERATION, error))?;
        let mut update = UpdateExpression::default();
        for (name, value) in folded {
            update.set(&name, value);
        }
        for name in gone {
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
        match call.send().await.map_err(StoreError::call(OPERATION)) {
            Ok(_) => Ok(()),
            Err(error) if error.is_condition_failed() || error.is_conflict() => Err(CommitError::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}
