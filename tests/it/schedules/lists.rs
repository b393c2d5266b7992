//! The lists and the states of notifications that follow from the events of a user.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shared::events::{Data, Event};
use shared::store::{ListKind, ListPosition, notifications};

/// Days for which an event is stored, by default.
const RETENTION_DAYS: i64 = 90;

fn expires_at(time: Timestamp) -> i64 {
    time.as_second() + RETENTION_DAYS * 24 * 3600
}

/// The items by sort key.
pub fn expected<'a>(events: impl Iterator<Item = &'a Event>) -> BTreeMap<String, Map<String, Value>> {
    let mut items = BTreeMap::new();
    let mut put = |sort_key: String, item: Value| {
        let Value::Object(item) = item else { panic!("an item is an object") };
        assert!(items.insert(sort_key, item).is_none(), "two items have the same key");
    };
    let mut notifications: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in events {
        let (at, position) = (event.time.as_millisecond(), ListPosition::new(event.time, &event.key()));
        let (r#type, expires_at) = (event.data.event_type(), expires_at(event.time));
        match &event.data {
            Data::OrderPlaced(order) | Data::OrderCancelled(order) => put(
                ListKind::Orders.sort_key(&position),
                json!({"at": at, "type": r#type, "orderId": order.order_id, "amount": order.amount.money().to_string(),
                    "currency": "EUR", "expiresAt": expires_at}),
            ),
            Data::ActivityRecorded(activity) => put(
                ListKind::Activities.sort_key(&position),
                json!({"at": at, "type": r#type, "description": activity.description, "expiresAt": expires_at}),
            ),
            Data::NotificationCreated(created) => {
                notifications.entry(created.notification_id.clone()).or_default().push(event);
            }
            Data::NotificationRead(read) => {
                notifications.entry(read.notification_id.clone()).or_default().push(event);
            }
            _ => {}
        }
    }
    for (id, events) in notifications {
        let created = events.iter().filter_map(|event| match &event.data {
            Data::NotificationCreated(created) => Some((event.time, created.title.clone())),
            _ => None,
        });
        let created = created.min_by_key(|(time, title)| (*time, title.is_none(), title.clone()));
        let read = events
            .iter()
            .filter(|event| matches!(event.data, Data::NotificationRead(_)))
            .map(|event| event.time);
        let read = read.min();
        let expires_at = events.iter().map(|event| expires_at(event.time)).max();
        let mut state = json!({"notificationId": id, "expiresAt": expires_at});
        if let Some((time, title)) = &created {
            state["createdAt"] = json!(time.as_millisecond());
            if let Some(title) = title {
                state["title"] = json!(title);
            }
        }
        if let Some(read) = read {
            state["readAt"] = json!(read.as_millisecond());
        }
        put(notifications::sort_key(&id), state);
        if let (Some((time, title)), None) = (created, read) {
            let mut entry =
                json!({"at": time.as_millisecond(), "notificationId": id, "expiresAt": expires_at});
            if let Some(title) = title {
                entry["title"] = json!(title);
            }
            put(ListKind::Notifications.sort_key(&ListPosition::new(time, &id)), entry);
        }
    }
    items
}
