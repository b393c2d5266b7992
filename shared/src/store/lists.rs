//! LIST: the orders, the activities and the unread notifications of a user, newest first.
//!
//! An entry is derived from events that user-stats stores. The commit that stores the event also
//! writes the entry. The sort key has the time of the entry, so that a Query returns the entries in
//! their order.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::StoreError;
use super::item::{Item, string};
use super::keys::{self, EXPIRES_AT, PK, SK};
use super::table::Store;
use crate::time::millis;

/// The sort keys of all entries start with this.
pub const LIST_PREFIX: &str = "LIST#";
/// Maximum length of the text of an entry in bytes: the description of an activity, the title of a
/// notification. It keeps an item below 1 KB, because DynamoDB charges writes by the kilobyte.
pub const MAX_TEXT_BYTES: usize = 256;
/// Maximum number of unread notifications that [`Store::read_dashboard_lists`] returns.
pub const MAX_NOTIFICATIONS: usize = 50;
/// Maximum number of activities that [`Store::read_dashboard_lists`] returns.
pub const MAX_ACTIVITIES: usize = 10;

/// A list of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    /// What the user did, from `activity.recorded`.
    Activities,
    /// Unread notifications.
    Notifications,
    /// Orders and cancellations. A canceled order has two entries.
    Orders,
}

impl ListKind {
    pub const ALL: [Self; 3] = [Self::Activities, Self::Notifications, Self::Orders];

    /// The name in sort keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Activities => "activities",
            Self::Notifications => "notifications",
            Self::Orders => "orders",
        }
    }

    /// The sort keys of the entries of this list start with this.
    pub fn prefix(self) -> String {
        format!("{LIST_PREFIX}{}#", self.name())
    }

    /// The sort key of an entry.
    pub fn sort_key(self, position: &ListPosition) -> String {
        format!("{}{position}", self.prefix())
    }

    /// The list and the position of the entry with this sort key. `None` if it is no entry.
    pub fn parse_sort_key(sort_key: &str) -> Option<(Self, ListPosition)> {
        let (name, position) = sort_key.strip_prefix(LIST_PREFIX)?.split_once('#')?;
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name)?;
        Some((kind, position.parse().ok()?))
    }
}

/// The place of an entry in its list: `{time}-{hash}`, such as
/// `1772446500000-86adde86cc465f60ae42351fa23ceea6`. Positions sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListPosition {
    /// Milliseconds since 1970, at most [`MAX_MILLIS`].
    millis: u64,
    hash: Uuid,
}

/// The last time that has 13 digits, in the year 2286. A time outside 0 to this becomes the nearest
/// of the two.
const MAX_MILLIS: u64 = 9_999_999_999_999;
const MILLIS_DIGITS: usize = 13;
const HASH_DIGITS: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a position of a list: 13 digits, a hyphen and 32 hexadecimal digits in lower case")]
pub struct InvalidListPosition;

impl ListPosition {
    /// The position of an entry. `name` distinguishes entries with the same time.
    pub fn new(at: Timestamp, name: &str) -> Self {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or_default().min(MAX_MILLIS);
        Self { millis, hash: hash(name) }
    }
}

/// The UUIDv5 of a name, in the namespace for OIDs. Keeps keys short, whatever the name is.
pub(super) fn hash(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

impl fmt::Display for ListPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0MILLIS_DIGITS$}-{}", self.millis, self.hash.simple())
    }
}

impl FromStr for ListPosition {
    type Err = InvalidListPosition;

    fn from_str(text: &str) -> Result<Self, InvalidListPosition> {
        let (millis, digits) = text.split_once('-').ok_or(InvalidListPosition)?;
        // A second spelling of a position, such as one with capital letters, would be another key.
        let is_hash = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if millis.len() != MILLIS_DIGITS
            || !millis.bytes().all(|byte| byte.is_ascii_digit())
            || digits.len() != HASH_DIGITS
            || !digits.bytes().all(is_hash)
        {
            return Err(InvalidListPosition);
        }
        let millis = millis.parse().map_err(|_| InvalidListPosition)?;
        let hash = Uuid::try_parse(digits).map_err(|_| InvalidListPosition)?;
        Ok(Self { millis, hash })
    }
}

/// An order or a cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderEntry {
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// `order.placed` or `order.cancelled`.
    pub r#type: String,
    pub order_id: String,
    /// The price of the order, positive also for a cancellation, as a decimal string with the
    /// decimal places of its currency.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
}

/// An activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityEntry {
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// `activity.recorded`.
    pub r#type: String,
    /// Cut to [`MAX_TEXT_BYTES`].
    pub description: String,
}

/// An unread notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationEntry {
    #[serde(with = "millis")]
    pub at: Timestamp,
    pub notification_id: String,
    /// Cut to [`MAX_TEXT_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, newest first. There may be fewer than asked for although more follow, because
    /// expired entries are left out.
    pub entries: Vec<T>,
    /// The position to read the next page with. `None` if no entry follows.
    pub next: Option<ListPosition>,
}

/// Text of an entry: cut at a character boundary.
pub(super) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

const OPERATION: &str = "Query LIST";

impl Store {
    /// Reads one page of a user's orders, newest first, with strong consistency, in one call.
    /// `before` is the position after which the page starts, at most `limit` entries long.
    pub async fn read_orders(
        &self,
        sub: &str,
        before: Option<&ListPosition>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<OrderEntry>, StoreError> {
        let kind = ListKind::Orders;
        // One more, to see if another page follows.
        let read = i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX);
        let call = self.client.query().table_name(&self.table).consistent_read(true);
        let start = before.map(|position| keys::key(keys::user(sub), kind.sort_key(position)));
        let output = call
            .key_condition_expression(format!("{PK} = :partition AND begins_with({SK}, :prefix)"))
            .expression_attribute_values(":partition", string(keys::user(sub)))
            .expression_attribute_values(":prefix", string(kind.prefix()))
            .scan_index_forward(false)
            .limit(read)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::from_sdk(OPERATION))?;
        let mut items = output.items.unwrap_or_default();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).and_then(|item| Some(position(item)?.1));
        let entries = items.into_iter().filter(|item| is_current(item, now)).map(entry);
        Ok(Page { entries: entries.collect::<Result<_, _>>()?, next })
    }

    /// Reads a user's unread notifications and latest activities, each newest first, with strong
    /// consistency, in one call. At most [`MAX_NOTIFICATIONS`] and [`MAX_ACTIVITIES`]. A user with
    /// more than 50 unread notifications gets fewer activities.
    pub async fn read_dashboard_lists(
        &self,
        sub: &str,
        now: Timestamp,
    ) -> Result<(Vec<NotificationEntry>, Vec<ActivityEntry>), StoreError> {
        let read = i32::try_from(MAX_NOTIFICATIONS + MAX_ACTIVITIES).unwrap_or(i32::MAX);
        // `~` sorts after every position. The list of orders sorts after it.
        let last = format!("{}~", ListKind::Notifications.prefix());
        let call = self.client.query().table_name(&self.table).consistent_read(true);
        let output = call
            .key_condition_expression(format!("{PK} = :partition AND {SK} BETWEEN :first AND :last"))
            .expression_attribute_values(":partition", string(keys::user(sub)))
            .expression_attribute_values(":first", string(ListKind::Activities.prefix()))
            .expression_attribute_values(":last", string(last))
            .scan_index_forward(false)
            .limit(read)
            .send()
            .await
            .map_err(StoreError::from_sdk(OPERATION))?;
        let (mut notifications, mut activities) = (Vec::new(), Vec::new());
        for item in output.items.unwrap_or_default() {
            let Some((kind, _)) = position(&item).filter(|_| is_current(&item, now)) else { continue };
            match kind {
                ListKind::Notifications if notifications.len() < MAX_NOTIFICATIONS => {
                    notifications.push(entry(item)?);
                }
                ListKind::Activities if activities.len() < MAX_ACTIVITIES => activities.push(entry(item)?),
                _ => {}
            }
        }
        Ok((notifications, activities))
    }
}

fn position(item: &Item) -> Option<(ListKind, ListPosition)> {
    ListKind::parse_sort_key(item.get(SK)?.as_s().ok()?)
}

/// False for an expired item, which DynamoDB deletes some days late.
pub(super) fn is_current(item: &Item, now: Timestamp) -> bool {
    let expires_at = item.get(EXPIRES_AT).and_then(|value| value.as_n().ok()?.parse::<i64>().ok());
    expires_at.is_none_or(|seconds| seconds > now.as_second())
}

fn entry<T: DeserializeOwned>(item: Item) -> Result<T, StoreError> {
    serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable("reading LIST", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_key_of_an_entry_has_its_list_its_time_and_a_hash() {
        let at = Timestamp::from_millisecond(1_772_446_500_000).unwrap();
        let position = ListPosition::new(at, "EVENT#/shop/orders#order-1001-placed");
        let sort_key = ListKind::Orders.sort_key(&position);
        assert_eq!(sort_key, "LIST#orders#1772446500000-86adde86cc465f60ae42351fa23ceea6");
        assert_eq!(ListKind::parse_sort_key(&sort_key), Some((ListKind::Orders, position)));
        for sort_key in ["STATS", "LIST#orders", "LIST#orders#", "LIST#carts#1772446500000-", "EVENT#a#b"] {
            assert_eq!(ListKind::parse_sort_key(sort_key), None, "{sort_key}");
        }
    }

    #[test]
    fn positions_and_their_texts_sort_by_time() {
        let at = |millis| ListPosition::new(Timestamp::from_millisecond(millis).unwrap(), "a");
        let positions = [-1, 0, 7, 999_999_999_999, 1_000_000_000_000, 253_402_207_200_000].map(at);
        assert!(positions.is_sorted());
        let texts = positions.map(|position| position.to_string());
        assert!(texts.is_sorted());
        assert_eq!((&texts[0], &texts[5][..13]), (&texts[1], "9999999999999"));
        for (position, text) in positions.iter().zip(texts) {
            assert_eq!(text.parse(), Ok(*position));
        }
    }

    #[test]
    fn position_has_one_spelling() {
        let valid = ListPosition::new(Timestamp::UNIX_EPOCH, "a").to_string();
        for text in [
            "",
            "-",
            "0000000000000",
            &valid[1..],
            &valid[..45],
            &valid.to_uppercase(),
            &format!("{valid}0"),
            &format!(" {}", &valid[1..]),
            &format!("+{}", &valid[1..]),
            &valid.replace('-', "#"),
            &format!("{}é", &valid[..44]),
        ] {
            assert_eq!(text.parse::<ListPosition>(), Err(InvalidListPosition), "{text}");
        }
    }

    #[test]
    fn lists_sort_so_that_one_query_reads_notifications_before_activities() {
        let prefixes = ListKind::ALL.map(ListKind::prefix);
        assert!(prefixes.is_sorted(), "{prefixes:?}");
        assert!(format!("{}~", ListKind::Notifications.prefix()) < ListKind::Orders.prefix());
    }

    #[test]
    fn text_is_cut_at_a_character_boundary() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(cut(&format!("a{}", "é".repeat(200))), format!("a{}", "é".repeat(127)));
    }
}
