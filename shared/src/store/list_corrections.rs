//! Corrects LIST and NOTIFICATION from the stored events, for `replay statistics rebuild`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::commit::MAX_TRANSACTION_ITEMS;
use super::error::{CommitError, StoreError};
use super::item::{Item, UpdateExpression, number, string};
use super::keys::{self, PK, Partition, SK, STATS};
use super::list_writes::ListWrites;
use super::lists::{LIST_PREFIX, ListKind, is_current};
use super::notifications::{NOTIFICATION_PREFIX, NotificationState};
use super::table::Store;

/// Items by sort key.
pub type ListItems = BTreeMap<String, Item>;

/// What differs between the stored items and those that follow from the stored events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListCorrections {
    puts: ListItems,
    deletions: BTreeSet<String>,
    /// Only the lists that differ, in the order of [`LISTS`].
    pub differences: Vec<ListDifference>,
}

/// The number of items of a list that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListDifference {
    /// One of [`LISTS`].
    pub list: &'static str,
    /// Items that events explain, and that are not stored.
    pub missing: usize,
    /// Items that are stored with other attributes.
    pub different: usize,
    /// Stored items that no stored event explains, in whole or in part. Their events may have
    /// expired.
    pub unexplained: usize,
}

/// The names of the lists, and of the states of notifications.
pub const LISTS: [&str; 4] = ["activities list", "notifications list", "orders list", "notification states"];

fn list_of(sort_key: &str) -> &'static str {
    match ListKind::parse_sort_key(sort_key) {
        Some((ListKind::Activities, _)) => LISTS[0],
        Some((ListKind::Notifications, _)) => LISTS[1],
        Some((ListKind::Orders, _)) => LISTS[2],
        None => LISTS[3],
    }
}

impl ListCorrections {
    /// Compares the stored items with those that the events of a user result in. Expired items are
    /// ignored, because DynamoDB may have deleted some of them and not yet their events.
    pub fn between(stored: &ListItems, rebuilt: &ListItems, now: Timestamp) -> Self {
        let mut corrections = Self::default();
        let mut by_list: BTreeMap<&'static str, ListDifference> = BTreeMap::new();
        let mut difference = |sort_key: &str, count: fn(&mut ListDifference) -> &mut usize| {
            let list = list_of(sort_key);
            let difference =
                by_list.entry(list).or_insert(ListDifference { list, ..ListDifference::default() });
            *count(difference) += 1;
        };
        for (sort_key, item) in rebuilt.iter().filter(|(_, item)| is_current(item, now)) {
            match stored.get(sort_key) {
                Some(stored) if has_attributes(stored, item) => continue,
                Some(stored) if !is_explained(stored, item) => {
                    difference(sort_key, |difference| &mut difference.unexplained);
                }
                Some(_) => difference(sort_key, |difference| &mut difference.different),
                None => difference(sort_key, |difference| &mut difference.missing),
            }
            corrections.puts.insert(sort_key.clone(), item.clone());
        }
        let is_unexplained =
            |(sort_key, item): &(&String, &Item)| !rebuilt.contains_key(*sort_key) && is_current(item, now);
        for (sort_key, _) in stored.iter().filter(is_unexplained) {
            difference(sort_key, |difference| &mut difference.unexplained);
            corrections.deletions.insert(sort_key.clone());
        }
        corrections.differences = LISTS.iter().filter_map(|list| by_list.remove(list)).collect();
        corrections
    }
}

/// True if the stored item has the attributes of the rebuilt one. Attributes of a newer release do not
/// count, but the optional attributes of this release do.
fn has_attributes(stored: &Item, rebuilt: &Item) -> bool {
    let optional = ["title", "createdAt", "readAt"];
    rebuilt.iter().all(|(name, value)| stored.get(name) == Some(value))
        && optional.iter().all(|name| rebuilt.contains_key(*name) || !stored.contains_key(*name))
}

/// False if the stored state of a notification has something that no event says.
fn is_explained(stored: &Item, rebuilt: &Item) -> bool {
    let states =
        (NotificationState::from_item(stored.clone()), NotificationState::from_item(rebuilt.clone()));
    let (Ok(stored), Ok(rebuilt)) = states else { return true };
    rebuilt.clone().merge(stored) == rebuilt
}

/// The items that follow from all events of a user, given as in [`ListWrites::of`].
pub fn items_of(writes: ListWrites) -> Result<ListItems, StoreError> {
    let mut items = writes.entries;
    for (sort_key, change) in writes.notifications {
        items.insert(sort_key, change.written.attributes()?);
    }
    Ok(items)
}

impl Store {
    /// Reads the items of LIST and NOTIFICATION of a user by sort key, with strong consistency.
    pub async fn read_list_items(&self, partition: &Partition) -> Result<ListItems, StoreError> {
        let (mut items, mut start) = (ListItems::new(), None);
        loop {
            // No other sort key of the partition is between the two prefixes.
            let call = self.client.query().table_name(&self.table).consistent_read(true);
            let output = call
                .key_condition_expression(format!("{PK} = :partition AND {SK} BETWEEN :first AND :last"))
                .expression_attribute_values(":partition", string(partition.key()))
                .expression_attribute_values(":first", string(LIST_PREFIX))
                .expression_attribute_values(":last", string(format!("{NOTIFICATION_PREFIX}~")))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(StoreError::from_sdk("Query LIST"))?;
            for mut item in output.items.unwrap_or_default() {
                item.remove(PK);
                let sort_key = item.remove(SK).and_then(|key| key.as_s().ok().cloned());
                items.extend(sort_key.map(|sort_key| (sort_key, item)));
            }
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// Writes corrections if STATS still has the version that was read, and returns the version after
    /// that. Each transaction increases the version, so that a commit in between fails the next one.
    /// If it fails, some corrections may be written.
    pub async fn correct_lists(
        &self,
        partition: &Partition,
        read_version: u64,
        corrections: &ListCorrections,
    ) -> Result<u64, CommitError> {
        let mut version = read_version;
        let puts = corrections.puts.iter().map(|(sort_key, item)| (sort_key, Some(item)));
        let changes: Vec<(&String, Option<&Item>)> =
            puts.chain(corrections.deletions.iter().map(|sort_key| (sort_key, None))).collect();
        for changes in changes.chunks(MAX_TRANSACTION_ITEMS - 1) {
            let mut update = UpdateExpression::default();
            update.set("version", number(version + 1));
            let condition = update.has_version(version);
            let key = keys::key(partition.key(), STATS);
            let mut items = vec![self.update(key, update, Some(condition))?];
            for (sort_key, item) in changes {
                let key = keys::key(partition.key(), *sort_key);
                items.push(match item {
                    Some(item) => self.put_entry(key, (*item).clone())?,
                    None => self.delete(key)?,
                });
            }
            self.write_transaction(items, 0).await?;
            version += 1;
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ORDER: &str = "LIST#orders#1772446500000-86adde86cc465f60ae42351fa23ceea6";
    const OTHER_ORDER: &str = "LIST#orders#1772446500001-86adde86cc465f60ae42351fa23ceea6";
    const STATE: &str = "NOTIFICATION#86adde86cc465f60ae42351fa23ceea6";

    fn items(items: &[(&str, Value)]) -> ListItems {
        let item =
            |(sort_key, item): &(&str, Value)| ((*sort_key).to_owned(), serde_dynamo::to_item(item).unwrap());
        items.iter().map(item).collect()
    }

    #[test]
    fn items_that_differ_are_counted_by_list_and_expired_items_are_ignored() {
        let order = |id: &str, expires_at: i64| json!({"orderId": id, "expiresAt": expires_at});
        let state = |created: Value, read: Value| {
            let mut state = json!({"notificationId": "n", "expiresAt": 200});
            for (name, value) in [("createdAt", created), ("readAt", read)] {
                if !value.is_null() {
                    state[name] = value;
                }
            }
            state
        };
        let (one, none) = (json!(1_000), Value::Null);
        let now = Timestamp::from_second(100).unwrap();
        for (stored, rebuilt, expected) in [
            (vec![], vec![], [0, 0, 0]),
            (vec![], vec![(ORDER, order("1", 200))], [1, 0, 0]),
            (vec![], vec![(ORDER, order("1", 100))], [0, 0, 0]),
            (vec![(ORDER, order("1", 200))], vec![(ORDER, order("1", 200))], [0, 0, 0]),
            (vec![(ORDER, order("2", 200))], vec![(ORDER, order("1", 200))], [0, 1, 0]),
            (vec![(ORDER, order("1", 200))], vec![], [0, 0, 1]),
            (vec![(ORDER, order("1", 100))], vec![], [0, 0, 0]),
            (vec![(ORDER, order("1", 200))], vec![(OTHER_ORDER, order("1", 200))], [1, 0, 1]),
            // An attribute of a newer release.
            (
                vec![(ORDER, json!({"orderId": "1", "expiresAt": 200, "shop": "a"}))],
                vec![(ORDER, order("1", 200))],
                [0, 0, 0],
            ),
            // A state that was not read, and one whose creation no stored event says.
            (
                vec![(STATE, state(one.clone(), none.clone()))],
                vec![(STATE, state(one.clone(), one.clone()))],
                [0, 1, 0],
            ),
            (vec![(STATE, state(one.clone(), one.clone()))], vec![(STATE, state(none, one))], [0, 0, 1]),
        ] {
            let corrections = ListCorrections::between(&items(&stored), &items(&rebuilt), now);
            let count = |count: fn(&ListDifference) -> usize| corrections.differences.iter().map(count).sum();
            let found: [usize; 3] = [count(|d| d.missing), count(|d| d.different), count(|d| d.unexplained)];
            assert_eq!(found, expected, "{stored:?} {rebuilt:?}");
            let changes = corrections.puts.len() + corrections.deletions.len();
            assert_eq!(changes, expected.iter().sum::<usize>(), "{stored:?} {rebuilt:?}");
        }
    }

    #[test]
    fn differences_name_the_list() {
        let expires_at = json!({"expiresAt": 200});
        let rebuilt = items(&[
            ("LIST#activities#1772446500000-86adde86cc465f60ae42351fa23ceea6", expires_at.clone()),
            ("LIST#notifications#1772446500000-86adde86cc465f60ae42351fa23ceea6", expires_at.clone()),
            (ORDER, expires_at.clone()),
            (STATE, expires_at),
        ]);
        let corrections = ListCorrections::between(&ListItems::new(), &rebuilt, Timestamp::UNIX_EPOCH);
        let lists: Vec<&str> = corrections.differences.iter().map(|difference| difference.list).collect();
        assert_eq!(lists, LISTS);
    }
}
