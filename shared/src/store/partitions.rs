//! Listing the partitions of the table, for `replay statistics rebuild --all`, and the users, for
//! `replay reconcile`.

use super::error::StoreError;
use super::item::{Item, string};
use super::keys::{self, PK, PROFILE, Partition, SK, STATS};
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

    /// Reads one page of one segment of the users who have a profile, or statistics without an erasure
    /// marker, in no order. Also returns where the next page of the segment starts, if there is one.
    ///
    /// A page is 1 MB of the table, so it can be empty. A user can occur on two pages. `segment` is less
    /// than `segments`.
    pub async fn scan_users(
        &self,
        segment: i32,
        segments: i32,
        start: Option<Item>,
    ) -> Result<(Vec<String>, Option<Item>), StoreError> {
        let call = self.client.scan().table_name(&self.table).segment(segment).total_segments(segments);
        let output = call
            .filter_expression(format!(
                "begins_with({PK}, :user) AND (({SK} = :profile AND attribute_exists(cognitoId)) \
                 OR ({SK} = :stats AND attribute_not_exists(erasedAt)))"
            ))
            .expression_attribute_values(":user", string(keys::user("")))
            .expression_attribute_values(":profile", string(PROFILE))
            .expression_attribute_values(":stats", string(STATS))
            .projection_expression(PK)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::from_sdk("Scan"))?;
        let keys = output.items.unwrap_or_default().into_iter().filter_map(|mut item| item.remove(PK));
        let mut users: Vec<String> = keys
            .filter_map(|key| match Partition::from_key(key.as_s().ok()?)? {
                Partition::User(sub) => Some(sub),
                Partition::Domain { .. } => None,
            })
            .collect();
        // A scan returns the items of a partition next to each other.
        users.dedup();
        Ok((users, output.last_evaluated_key.filter(|key| !key.is_empty())))
    }
}
