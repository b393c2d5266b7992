//! Which items of LIST and NOTIFICATION a commit writes. Pure.
//!
//! Any order and any grouping of events into commits results in the same items: the entry of an
//! order or an activity follows from its event, and the entry of a notification from its state.

use std::collections::{BTreeMap, BTreeSet};

use super::error::StoreError;
use super::item::{Item, number};
use super::keys::EXPIRES_AT;
use super::lists::{ActivityEntry, ListKind, ListPosition, NotificationEntry, OrderEntry, cut};
use super::notifications::{self, NotificationState};
use crate::events::{Data, Event};

/// The items that a commit writes in addition to EVENT, STATS and PROFILE. No two writes have the
/// same sort key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListWrites {
    /// Entries to put, by sort key, without their keys.
    pub entries: BTreeMap<String, Item>,
    /// Sort keys of entries to delete.
    pub deleted: BTreeSet<String>,
    /// Notifications that change, by sort key.
    pub notifications: BTreeMap<String, NotificationChange>,
}

/// A change of the state of a notification. It is written only if the table still has the state
/// that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationChange {
    pub read: Option<NotificationState>,
    pub written: NotificationState,
}

/// The number of items that a commit writes for an event at most: EVENT and what follows from it.
pub fn max_items(data: &Data) -> usize {
    match data {
        Data::OrderPlaced(_) | Data::OrderCancelled(_) | Data::ActivityRecorded(_) => 2,
        // The state, the new entry, and the deletion of one with a later time.
        Data::NotificationCreated(_) => 4,
        // The state and the deletion of the entry.
        Data::NotificationRead(_) => 3,
        _ => 1,
    }
}

impl ListWrites {
    /// The writes for events of one user. Each event has the time to live of its item, in seconds
    /// since 1970. `read` has the states that the table has of their notifications, by sort key.
    pub fn of<'a>(
        events: impl IntoIterator<Item = (&'a Event, i64)>,
        read: &BTreeMap<String, NotificationState>,
    ) -> Result<Self, StoreError> {
        let mut writes = Self::default();
        let mut changed: BTreeMap<String, NotificationState> = BTreeMap::new();
        for (event, expires_at) in events {
            if let Some((sort_key, entry)) = entry_of_event(event, expires_at)? {
                writes.entries.insert(sort_key, entry);
            }
            if let Some(state) = NotificationState::of(event, expires_at) {
                let sort_key = notifications::sort_key(&state.notification_id);
                let known = changed.remove(&sort_key).or_else(|| read.get(&sort_key).cloned());
                changed.insert(sort_key, known.into_iter().fold(state, NotificationState::merge));
            }
        }
        for (sort_key, written) in changed {
            let read = read.get(&sort_key).cloned();
            if read.as_ref() == Some(&written) {
                continue;
            }
            let old = read.as_ref().map(entry_of_notification).transpose()?.flatten();
            let new = entry_of_notification(&written)?;
            if old != new {
                let new_key = new.as_ref().map(|(sort_key, _)| sort_key.clone());
                writes
                    .deleted
                    .extend(old.map(|(sort_key, _)| sort_key).filter(|old| Some(old) != new_key.as_ref()));
                writes.entries.extend(new);
            }
            writes.notifications.insert(sort_key, NotificationChange { read, written });
        }
        Ok(writes)
    }
}

/// The entry that follows from an event, with its sort key. `None` for an event without one, and for
/// one about a notification.
fn entry_of_event(event: &Event, expires_at: i64) -> Result<Option<(String, Item)>, StoreError> {
    let (at, r#type) = (event.time, event.data.event_type().to_owned());
    let (kind, entry) = match &event.data {
        Data::OrderPlaced(order) | Data::OrderCancelled(order) => {
            let entry = OrderEntry {
                at,
                r#type,
                order_id: order.order_id.clone(),
                amount: order.amount.in_currency(order.currency),
                currency: order.currency.code().to_owned(),
            };
            (ListKind::Orders, serde_dynamo::to_item(entry))
        }
        Data::ActivityRecorded(activity) => {
            let entry = ActivityEntry { at, r#type, description: cut(&activity.description) };
            (ListKind::Activities, serde_dynamo::to_item(entry))
        }
        _ => return Ok(None),
    };
    let position = ListPosition::new(event.time, &event.key());
    entry_item(kind, &position, entry, expires_at).map(Some)
}

/// The entry of an unread notification, with its sort key.
fn entry_of_notification(state: &NotificationState) -> Result<Option<(String, Item)>, StoreError> {
    let Some(at) = state.unread_since() else { return Ok(None) };
    let NotificationState { notification_id, title, .. } = state.clone();
    let position = ListPosition::new(at, &notification_id);
    let entry = serde_dynamo::to_item(NotificationEntry { at, notification_id, title });
    entry_item(ListKind::Notifications, &position, entry, state.expires_at).map(Some)
}

fn entry_item(
    kind: ListKind,
    position: &ListPosition,
    entry: Result<Item, serde_dynamo::Error>,
    expires_at: i64,
) -> Result<(String, Item), StoreError> {
    let mut item = entry.map_err(|error| StoreError::invalid_request("Put LIST", error))?;
    item.insert(EXPIRES_AT.to_owned(), number(expires_at));
    Ok((kind.sort_key(position), item))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::events::{Activity, NewNotification, Notification, Order, Subject};

    fn event(id: &str, second: i64, data: Data) -> Event {
        let time = Timestamp::from_second(second).unwrap();
        Event::new("/shop", Subject::user("ana"), time, data).with_id(id)
    }

    fn order(amount: &str) -> Order {
        Order {
            order_id: "1001".to_owned(),
            amount: amount.parse().unwrap(),
            currency: "EUR".to_owned().try_into().unwrap(),
        }
    }

    fn created(id: &str, second: i64, title: Option<&str>) -> Event {
        let data = NewNotification { notification_id: "n".to_owned(), title: title.map(str::to_owned) };
        event(id, second, Data::NotificationCreated(data))
    }

    fn read(id: &str, second: i64) -> Event {
        event(id, second, Data::NotificationRead(Notification { notification_id: "n".to_owned() }))
    }

    /// The writes of a commit whose events live 100 seconds.
    fn writes(events: &[Event], known: &[Event]) -> ListWrites {
        let with_expiry = |event: &Event| NotificationState::of(event, event.time.as_second() + 100);
        let known = known.iter().filter_map(with_expiry).reduce(NotificationState::merge);
        let known = known.map(|state| (notifications::sort_key("n"), state)).into_iter().collect();
        ListWrites::of(events.iter().map(|event| (event, event.time.as_second() + 100)), &known).unwrap()
    }

    /// The entries that are put, as JSON, with the list in place of the sort key.
    fn entries(writes: &ListWrites) -> Vec<(&'static str, Value)> {
        let entry = |(sort_key, item): (&String, &Item)| {
            let (kind, _) = ListKind::parse_sort_key(sort_key).unwrap();
            (kind.name(), serde_dynamo::from_item(item.clone()).unwrap())
        };
        writes.entries.iter().map(entry).collect()
    }

    #[test]
    fn order_a_cancellation_and_an_activity_have_an_entry_each() {
        let activity = Activity { description: "é".repeat(200) };
        let events = [
            event("a", 1, Data::OrderPlaced(order("49.9"))),
            event("b", 2, Data::OrderCancelled(order("49.90"))),
            event("c", 2, Data::ActivityRecorded(activity)),
            event("d", 3, Data::PasswordReset(crate::events::Empty {})),
        ];
        let writes = writes(&events, &[]);
        let order = |second: i64, r#type| {
            json!({"at": second * 1000, "type": r#type, "orderId": "1001", "amount": "49.90",
                "currency": "EUR", "expiresAt": second + 100})
        };
        let activity = json!({"at": 2000, "type": "activity.recorded", "description": "é".repeat(128),
            "expiresAt": 102});
        assert_eq!(
            entries(&writes),
            [
                ("activities", activity),
                ("orders", order(1, "order.placed")),
                ("orders", order(2, "order.cancelled"))
            ]
        );
        assert_eq!((writes.deleted.len(), writes.notifications.len()), (0, 0));
    }

    #[test]
    fn events_at_the_same_time_have_different_positions() {
        let events = ["a", "b"].map(|id| event(id, 1, Data::OrderPlaced(order("1"))));
        assert_eq!(writes(&events, &[]).entries.len(), 2);
    }

    #[test]
    fn notification_is_in_the_list_while_it_is_unread() {
        let position = |second| {
            let at = Timestamp::from_second(second).unwrap();
            ListKind::Notifications.sort_key(&ListPosition::new(at, "n"))
        };
        for (known, events, put, deleted, changes) in [
            (vec![], vec![created("a", 2, None)], Some(2), None, true),
            (vec![], vec![read("b", 3)], None, None, true),
            (vec![], vec![created("a", 2, None), read("b", 3)], None, None, true),
            (vec![created("a", 2, None)], vec![read("b", 3)], None, Some(2), true),
            (vec![read("b", 3)], vec![created("a", 2, None)], None, None, true),
            // A second event with another id.
            (vec![created("a", 2, None)], vec![created("c", 1, None)], Some(1), Some(2), true),
            (vec![created("a", 2, None)], vec![created("c", 3, None)], Some(2), None, true),
            (vec![created("a", 2, None)], vec![created("c", 2, None)], None, None, false),
            (vec![created("a", 2, None)], vec![created("c", 2, Some("t"))], Some(2), None, true),
            (vec![created("a", 2, None), read("b", 3)], vec![created("c", 1, None)], None, None, true),
            (vec![created("a", 2, None), read("b", 3)], vec![read("c", 3)], None, None, false),
        ] {
            let writes = writes(&events, &known);
            let case = format!("{known:?} {events:?}");
            let put: Vec<String> = put.into_iter().map(position).collect();
            assert_eq!(writes.entries.keys().cloned().collect::<Vec<_>>(), put, "{case}");
            let deleted: BTreeSet<String> = deleted.into_iter().map(position).collect();
            assert_eq!(writes.deleted, deleted, "{case}");
            assert_eq!(writes.notifications.len(), usize::from(changes), "{case}");
        }
    }

    #[test]
    fn no_commit_writes_more_items_than_its_events_allow() {
        let events = [created("a", 1, None), read("b", 9), created("c", 2, None)];
        for (events, known) in
            [(&events[..1], &events[2..]), (&events[1..2], &events[..1]), (&events[..], &[])]
        {
            let writes = writes(events, known);
            let lists = writes.entries.len() + writes.deleted.len() + writes.notifications.len();
            let allowed: usize = events.iter().map(|event| max_items(&event.data)).sum();
            assert!(events.len() + lists <= allowed);
        }
    }

    #[test]
    fn entry_of_a_notification_has_its_title_and_lives_as_long_as_its_state() {
        let writes = writes(&[created("a", 1, Some("Shipped")), created("b", 5, Some("Later"))], &[]);
        let entry = json!({"at": 1000, "notificationId": "n", "title": "Shipped", "expiresAt": 105});
        assert_eq!(entries(&writes), [("notifications", entry)]);
    }
}
