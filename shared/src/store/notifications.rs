//! NOTIFICATION: whether a user's notification was created and read.
//!
//! A standard queue keeps no order, so `notification.read` may arrive before
//! `notification.created`. The state of a notification is therefore a merge of its events that does
//! not depend on their order: [`NotificationState::merge`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::item::Item;
use super::keys;
use super::lists::{cut, hash};
use crate::events::{Data, Event};
use crate::time::millis;

/// The sort keys of all notifications start with this.
pub const NOTIFICATION_PREFIX: &str = "NOTIFICATION#";

/// What the events about one notification of a user say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationState {
    pub notification_id: String,
    /// The earliest `notification.created`. `None` if none has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub created_at: Option<Timestamp>,
    /// The title in that event, cut to [`MAX_TEXT_BYTES`](super::lists::MAX_TEXT_BYTES).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The earliest `notification.read`. `None` if none has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub read_at: Option<Timestamp>,
    /// Time to live in seconds since 1970: the latest one of the events.
    pub expires_at: i64,
}

impl NotificationState {
    /// The state that one event results in, with the time to live of its item. `None` if the event
    /// is not about a notification.
    pub fn of(event: &Event, expires_at: i64) -> Option<Self> {
        let at = Some(event.time);
        match &event.data {
            Data::NotificationCreated(created) => Some(Self {
                notification_id: created.notification_id.clone(),
                created_at: at,
                title: created.title.as_deref().filter(|title| !title.is_empty()).map(cut),
                read_at: None,
                expires_at,
            }),
            Data::NotificationRead(read) => Some(Self {
                notification_id: read.notification_id.clone(),
                created_at: None,
                title: None,
                read_at: at,
                expires_at,
            }),
            _ => None,
        }
    }

    /// The state after the events of both, which are about the same notification. Commutative,
    /// associative and idempotent. If two `notification.created` have the same time, the first title
    /// in the order of the alphabet counts.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let created = [(&self.created_at, &self.title), (&other.created_at, &other.title)];
        let created = created.into_iter().filter_map(|(at, title)| Some(((*at)?, title.is_none(), title)));
        let created = created.min().map(|(at, _, title)| (at, title.clone()));
        let (created_at, title) = created.map_or((None, None), |(at, title)| (Some(at), title));
        Self {
            created_at,
            title,
            read_at: self.read_at.into_iter().chain(other.read_at).min(),
            expires_at: self.expires_at.max(other.expires_at),
            notification_id: self.notification_id,
        }
    }

    /// The time at which it was created, if it is unread. Only then it is in the list.
    pub fn unread_since(&self) -> Option<Timestamp> {
        self.created_at.filter(|_| self.read_at.is_none())
    }

    /// The state in an item.
    pub fn from_item(item: Item) -> Result<Self, StoreError> {
        serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable("reading NOTIFICATION", error))
    }

    /// The attributes of the item, without the key.
    pub(super) fn attributes(&self) -> Result<Item, StoreError> {
        serde_dynamo::to_item(self).map_err(|error| StoreError::invalid_request("Put NOTIFICATION", error))
    }
}

/// The id of the notification that an event is about.
pub(super) fn id_of(event: &Event) -> Option<&str> {
    match &event.data {
        Data::NotificationCreated(created) => Some(&created.notification_id),
        Data::NotificationRead(read) => Some(&read.notification_id),
        _ => None,
    }
}

/// The sort key of a notification: a hash of its id, which may be longer than a key.
pub fn sort_key(notification_id: &str) -> String {
    format!("{NOTIFICATION_PREFIX}{}", hash(notification_id).simple())
}

/// The primary key of a user's notification.
pub fn key(sub: &str, notification_id: &str) -> Item {
    keys::key(keys::user(sub), sort_key(notification_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// States of one notification: created at a second with a title, read at a second.
    fn state(created: Option<(i64, Option<&str>)>, read: Option<i64>) -> NotificationState {
        let at = |second| Timestamp::from_second(second).unwrap();
        NotificationState {
            notification_id: "n".to_owned(),
            created_at: created.map(|(second, _)| at(second)),
            title: created.and_then(|(_, title)| title.map(str::to_owned)),
            read_at: read.map(at),
            expires_at: created.map(|(second, _)| second).max(read).unwrap_or_default(),
        }
    }

    #[test]
    fn merge_keeps_the_earliest_creation_with_its_title_and_the_earliest_reading() {
        for (a, b, created, read, expires_at) in [
            (state(Some((1, Some("a"))), None), state(None, Some(2)), Some((1, Some("a"))), Some(2), 2),
            (
                state(Some((3, Some("a"))), None),
                state(Some((1, Some("b"))), None),
                Some((1, Some("b"))),
                None,
                3,
            ),
            (state(Some((1, None)), None), state(Some((3, Some("b"))), None), Some((1, None)), None, 3),
            (
                state(Some((1, Some("b"))), None),
                state(Some((1, Some("a"))), None),
                Some((1, Some("a"))),
                None,
                1,
            ),
            (state(Some((1, None)), None), state(Some((1, Some("b"))), None), Some((1, Some("b"))), None, 1),
            (state(None, Some(5)), state(None, Some(4)), None, Some(4), 5),
        ] {
            let expected = NotificationState { expires_at, ..state(created, read) };
            assert_eq!(a.clone().merge(b.clone()), expected);
            assert_eq!(b.merge(a), expected);
        }
    }

    #[test]
    fn merge_is_associative_and_idempotent() {
        let created =
            [None, Some((1, None)), Some((1, Some("a"))), Some((1, Some("b"))), Some((2, Some("a")))];
        let read = [None, Some(1), Some(2)];
        let states: Vec<NotificationState> =
            created.iter().flat_map(|created| read.map(|read| state(*created, read))).collect();
        for a in &states {
            assert_eq!(a.clone().merge(a.clone()), *a);
            for b in &states {
                for c in &states {
                    let left = a.clone().merge(b.clone()).merge(c.clone());
                    assert_eq!(left, a.clone().merge(b.clone().merge(c.clone())));
                }
            }
        }
    }

    #[test]
    fn notification_is_unread_if_it_was_created_and_not_read() {
        let second = |second| Timestamp::from_second(second).unwrap();
        for (state, expected) in [
            (state(Some((1, None)), None), Some(second(1))),
            (state(Some((1, None)), Some(2)), None),
            (state(Some((2, None)), Some(1)), None),
            (state(None, Some(1)), None),
        ] {
            assert_eq!(state.unread_since(), expected);
        }
    }

    #[test]
    fn key_has_the_user_and_a_hash_of_the_id() {
        let item = key("ana", &"n".repeat(128));
        let text = |name| item[name].as_s().unwrap().as_str();
        assert_eq!((text(keys::PK), text(keys::SK).len()), ("USER#ana", NOTIFICATION_PREFIX.len() + 32));
    }
}
