//! Listing the partitions of the table, for `replay statistics rebuild --all`.

use super::error::StoreError;
use super::item::{Item, string};
use super::keys::{PK, Partition, SK, STATS};
use super::table::Store;
use crate::events::EVENT_PREFIX;

/// Items that one call scans at most. Keeps pages small, whatever the items hold.
const MAX_SCANNED_ITEMS: i32 = 500;

impl Store {
    /// Reads one page of the partitions that have statistics or events, in no order. Also returns
    /// where the next page starts, if there is one. The last partition of a page may be the first
    /// of the next one.
    pub async fn scan_partitions(
        &self,
        start: Option<Item>,
    ) -> Result<(Vec<Partition>, Option<Item>), StoreError> {
        let call = self.client.scan().table_name(&self.table).limit(MAX_SCANNED_ITEMS);
        let output = call
            .filter_expression(format!("{SK} = :stats OR begins_with({SK}, :event)"))
            .expression_attribute_values(":stats", string(STATS))
            .expression_attribute_values(":event", string(EVENT_PREFIX))
            .projection_expression(PK)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::from_sdk("Scan"))?;
        let keys = output.items.unwrap_or_default().into_iter().filter_map(|mut item| item.remove(PK));
        let mut partitions: Vec<Partition> =
            keys.filter_map(|key| Partition::from_key(key.as_s().ok()?)).collect();
        // A scan returns the items of a partition next to each other.
        partitions.dedup();
        Ok((partitions, output.last_evaluated_key.filter(|key| !key.is_empty())))
    }
}
