//! Tests of the lists: orders, activities and unread notifications, newest first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use sandbox::costs::assumptions::{EventKind, write_units};
use serde_json::{Value, json};
use shared::events::Event;
use shared::store::keys::expires_at;
use shared::store::list_corrections::{ListItems, items_of};
use shared::store::list_writes::max_items;
use shared::store::{ListKind, ListPosition, ListWrites, NotificationState, StoreErrorKind};

use crate::support::{ANA, TestStack, batch, event, test_stack};

/// 09:00, at which a test starts.
const NINE: i64 = 1_772_442_000_000;

fn now() -> Timestamp {
    Timestamp::from_millisecond(NINE).unwrap()
}

/// Puts an entry with the time `minute` minutes before 09:00.
async fn put_entry(stack: &TestStack, kind: ListKind, minute: i64, mut attributes: Value) -> ListPosition {
    let millis = NINE - minute * 60_000;
    let position = ListPosition::new(Timestamp::from_millisecond(millis).unwrap(), &attributes.to_string());
    attributes["at"] = json!(millis);
    if attributes["expiresAt"] == Value::Null {
        attributes["expiresAt"] = json!(millis / 1000 + 90 * 24 * 3600);
    }
    stack.put(&format!("USER#{ANA}"), &kind.sort_key(&position), attributes).await;
    position
}

fn order(id: &str) -> Value {
    json!({"type": "order.placed", "orderId": id, "amount": "49.90", "currency": "EUR"})
}

async fn pages(stack: &TestStack, limit: usize) -> Vec<Vec<String>> {
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let page = stack.store().read_orders(ANA, before.as_ref(), limit, now()).await.unwrap();
        pages.push(page.entries.into_iter().map(|entry| entry.order_id).collect());
        before = page.next;
        if before.is_none() {
            return pages;
        }
    }
}

#[tokio::test]
async fn orders_are_read_newest_first_page_by_page() {
    let stack = test_stack().await;
    assert_eq!(pages(&stack, 2).await, [[""; 0]]);
    for minute in [3, 1, 4, 2] {
        put_entry(&stack, ListKind::Orders, minute, order(&format!("{minute} minutes"))).await;
    }
    // Neighbors of the list in the partition.
    put_entry(&stack, ListKind::Notifications, 0, json!({"notificationId": "n"})).await;
    stack.put_profile(ANA, "username", json!("ana")).await;
    let all = ["1 minutes", "2 minutes", "3 minutes", "4 minutes"];
    assert_eq!(pages(&stack, 1).await, all.map(|id| [id]));
    assert_eq!(pages(&stack, 2).await, [&all[..2], &all[2..]]);
    assert_eq!(pages(&stack, 3).await, [&all[..3], &all[3..]]);
    assert_eq!(pages(&stack, 4).await, [all]);
    let page = stack.store().read_orders(ANA, None, 1, now()).await.unwrap();
    let entry = serde_json::to_value(&page.entries[0]).unwrap();
    assert_eq!(
        entry,
        json!({"at": NINE - 60_000, "type": "order.placed", "orderId": "1 minutes", "amount": "49.90", "currency": "EUR"})
    );
}

#[tokio::test]
async fn page_starts_after_a_position_that_no_entry_has() {
    let stack = test_stack().await;
    for minute in [1, 3] {
        put_entry(&stack, ListKind::Orders, minute, order(&minute.to_string())).await;
    }
    let between = ListPosition::new(Timestamp::from_millisecond(NINE - 120_000).unwrap(), "gone");
    let page = stack.store().read_orders(ANA, Some(&between), 10, now()).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.order_id.as_str()).collect::<Vec<_>>(), ["3"]);
}

#[tokio::test]
async fn expired_entries_are_left_out() {
    let stack = test_stack().await;
    let with_expiry = |mut entry: Value, seconds: i64| {
        entry["expiresAt"] = json!(NINE / 1000 + seconds);
        entry
    };
    put_entry(&stack, ListKind::Orders, 1, with_expiry(order("expired"), 0)).await;
    put_entry(&stack, ListKind::Orders, 2, with_expiry(order("current"), 1)).await;
    assert_eq!(pages(&stack, 10).await, [["current"]]);
    assert_eq!(pages(&stack, 1).await, [vec![], vec!["current"]]);
    let notification = |id: &str, seconds| with_expiry(json!({"notificationId": id}), seconds);
    put_entry(&stack, ListKind::Notifications, 1, notification("expired", 0)).await;
    put_entry(&stack, ListKind::Notifications, 2, notification("current", 1)).await;
    let (notifications, _) = stack.store().read_dashboard_lists(ANA, now()).await.unwrap();
    assert_eq!(
        notifications.iter().map(|entry| entry.notification_id.as_str()).collect::<Vec<_>>(),
        ["current"]
    );
}

#[tokio::test]
async fn dashboard_lists_are_read_in_one_call_with_notifications_first() {
    let stack = test_stack().await;
    let activity = |n: i64| json!({"type": "activity.recorded", "description": format!("activity {n}")});
    for minute in 1..=12 {
        put_entry(&stack, ListKind::Activities, minute, activity(minute)).await;
        put_entry(&stack, ListKind::Orders, minute, order(&minute.to_string())).await;
    }
    put_entry(&stack, ListKind::Notifications, 9, json!({"notificationId": "old"})).await;
    put_entry(&stack, ListKind::Notifications, 2, json!({"notificationId": "new", "title": "Shipped"})).await;
    stack.account.calls.clear_operations();
    let (notifications, activities) = stack.store().read_dashboard_lists(ANA, now()).await.unwrap();
    assert_eq!(stack.account.calls.operations(), ["Query"]);
    assert_eq!(
        serde_json::to_value(notifications).unwrap(),
        json!([
            {"at": NINE - 120_000, "notificationId": "new", "title": "Shipped"},
            {"at": NINE - 540_000, "notificationId": "old"},
        ])
    );
    let descriptions: Vec<&str> = activities.iter().map(|entry| entry.description.as_str()).collect();
    assert_eq!(descriptions, (1..=10).map(|n| format!("activity {n}")).collect::<Vec<_>>());

    for minute in 10..70 {
        put_entry(&stack, ListKind::Notifications, minute, json!({"notificationId": minute.to_string()}))
            .await;
    }
    let (notifications, activities) = stack.store().read_dashboard_lists(ANA, now()).await.unwrap();
    assert_eq!((notifications.len(), activities.len()), (50, 0));
}

#[tokio::test]
async fn entry_that_cannot_be_understood_fails_the_read() {
    let stack = test_stack().await;
    put_entry(&stack, ListKind::Orders, 1, json!({"orderId": 7})).await;
    let error = stack.store().read_orders(ANA, None, 10, now()).await.unwrap_err();
    assert_eq!(error.kind(), &StoreErrorKind::Unreadable);
}

/// The sort keys of Ana's lists and notifications.
async fn list_items(stack: &TestStack) -> Vec<(String, Value)> {
    let items = stack.account.items().await.unwrap().into_iter();
    let of_lists = items
        .filter(|((_, sort_key), _)| sort_key.starts_with("LIST#") || sort_key.starts_with("NOTIFICATION#"));
    of_lists.map(|((_, sort_key), item)| (sort_key, item)).collect()
}

fn notification(event_type: &str, id: &str, time: &str, data: Value) -> Value {
    let mut body = event(event_type, id, ANA, data);
    body["time"] = json!(time);
    body
}

#[tokio::test]
async fn events_are_in_the_lists_as_soon_as_they_count() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let order = json!({"order_id": "1001", "amount": "49.9", "currency": "EUR"});
    let mut cancelled = event("order.cancelled", "c", ANA, order.clone());
    cancelled["time"] = json!("2026-03-02T09:01:00Z");
    let events = [
        event("order.placed", "o", ANA, order),
        cancelled,
        event("activity.recorded", "a", ANA, json!({"description": "Looked at a lamp, for a while"})),
        event("notification.created", "n", ANA, json!({"notification_id": "n", "title": "Shipped"})),
        event("user.password_reset", "p", ANA, json!({})),
    ];
    user_stats.handle_twice(&batch(&events)).await;
    let page = stack.store().read_orders(ANA, None, 10, now()).await.unwrap();
    let of_orders: Vec<(&str, &str, &str)> = page
        .entries
        .iter()
        .map(|entry| (entry.r#type.as_str(), entry.order_id.as_str(), entry.amount.as_str()))
        .collect();
    assert_eq!(of_orders, [("order.cancelled", "1001", "49.90"), ("order.placed", "1001", "49.90")]);
    let (notifications, activities) = stack.store().read_dashboard_lists(ANA, now()).await.unwrap();
    assert_eq!(
        (notifications[0].title.as_deref(), activities[0].description.as_str()),
        (Some("Shipped"), "Looked at a lamp, for a while")
    );
    assert_eq!((page.next, notifications.len(), activities.len()), (None, 1, 1));
    assert!(list_items(&stack).await.iter().all(|(_, item)| item["expiresAt"] != Value::Null));
}

#[tokio::test]
async fn read_notification_stays_out_of_the_list_in_every_order_of_its_events() {
    let created = |time| {
        let data = json!({"notification_id": "n", "title": time});
        notification("notification.created", time, time, data)
    };
    let read =
        notification("notification.read", "r", "2026-03-02T08:59:00Z", json!({"notification_id": "n"}));
    let (early, late) = (created("2026-03-02T08:10:00Z"), created("2026-03-02T08:20:00Z"));
    let mut results = Vec::new();
    for order in [
        [&early, &late, &read],
        [&early, &read, &late],
        [&late, &early, &read],
        [&late, &read, &early],
        [&read, &early, &late],
        [&read, &late, &early],
    ] {
        for together in 1..=3 {
            let stack = test_stack().await;
            let user_stats = stack.user_stats(&[]);
            for events in order.chunks(together) {
                user_stats
                    .handle_twice(&batch(&events.iter().map(|event| (*event).clone()).collect::<Vec<_>>()))
                    .await;
            }
            results.push(list_items(&stack).await);
        }
    }
    let [(sort_key, state)] = &results[0][..] else { panic!("{:?}", results[0]) };
    assert!(sort_key.starts_with("NOTIFICATION#"));
    assert_eq!(
        (&state["createdAt"], &state["title"], &state["readAt"]),
        (&json!(NINE - 3_000_000), &json!("2026-03-02T08:10:00Z"), &json!(NINE - 60_000))
    );
    assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
}

#[tokio::test]
async fn earlier_creation_moves_the_entry_of_a_notification() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    for time in ["2026-03-02T08:20:00Z", "2026-03-02T08:10:00Z", "2026-03-02T08:30:00Z"] {
        let data = json!({"notification_id": "n"});
        user_stats.handle_twice(&batch(&[notification("notification.created", time, time, data)])).await;
        let (notifications, _) = stack.store().read_dashboard_lists(ANA, now()).await.unwrap();
        assert_eq!(notifications.len(), 1, "{time}");
    }
    let (notifications, _) = stack.store().read_dashboard_lists(ANA, now()).await.unwrap();
    assert_eq!(notifications[0].at.to_string(), "2026-03-02T08:10:00Z");
}

#[tokio::test]
async fn commit_reads_notifications_only_if_its_events_are_about_one() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let data = json!({"notification_id": "n"});
    for (body, expected) in [
        (crate::support::order("1", ANA, "1.00"), &["BatchGetItem", "TransactWriteItems"][..]),
        (
            event("notification.created", "n", ANA, data),
            &["BatchGetItem", "BatchGetItem", "TransactWriteItems"],
        ),
    ] {
        stack.account.calls.clear_operations();
        assert_eq!(user_stats.handle(&batch(&[body])).await, [] as [&str; 0]);
        let operations = stack.account.calls.operations();
        assert_eq!(operations[..expected.len()], *expected);
    }
}

#[tokio::test]
async fn list_items_stay_below_a_kilobyte() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let (id, text) = ("\u{1f4a1}".repeat(128), "\u{1f4a1}".repeat(1_000));
    let order = json!({"order_id": id, "amount": "999999999999999.9999", "currency": "EUR"});
    let events = [
        event("order.cancelled", "o", ANA, order),
        event("activity.recorded", "a", ANA, json!({"description": text})),
        event("notification.created", "n", ANA, json!({"notification_id": id, "title": text})),
    ];
    user_stats.handle_twice(&batch(&events)).await;
    let items = list_items(&stack).await;
    assert_eq!(items.len(), 4);
    for (sort_key, item) in items {
        let keys = "PK".len() + "SK".len() + "USER#".len() + ANA.len() + sort_key.len();
        let bytes = crate::user_stats::dynamodb_bytes(&item) + keys;
        assert!(bytes <= 1024, "{bytes} bytes: {sort_key} {item}");
    }
}

#[tokio::test]
async fn erasure_deletes_the_lists_and_later_events_write_none() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[("ALLOW_ERASURE_EVENTS", "true")]);
    let notification = json!({"notification_id": "n"});
    let events = [
        crate::support::order("1", ANA, "1.00"),
        event("activity.recorded", "a", ANA, json!({"description": "a"})),
        event("notification.created", "n", ANA, notification.clone()),
    ];
    user_stats.handle_twice(&batch(&events)).await;
    assert_eq!(list_items(&stack).await.len(), 4);
    user_stats.handle_twice(&batch(&[event("user.deleted", "d", ANA, json!({}))])).await;
    assert_eq!(list_items(&stack).await, []);
    let later = [crate::support::order("2", ANA, "1.00"), event("notification.read", "r", ANA, notification)];
    user_stats.handle_twice(&batch(&later)).await;
    assert_eq!(list_items(&stack).await, []);
}

/// Up to 20 events with few times and few ids, so that many are about the same notification.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = (0..6_u8, 0..2_u8, 0..4_i64, prop::option::of(0..2_u8));
    prop::collection::vec(one, 0..20).prop_map(|choices| {
        let build = |(index, (kind, id, second, title)): (usize, (u8, u8, i64, Option<u8>))| {
            let (id, title) = (format!("n{id}"), title.map(|title| format!("title {title}")));
            let order = json!({"order_id": id, "amount": "1.00", "currency": "EUR"});
            let (event_type, data) = match kind {
                0 => ("order.placed", order),
                1 => ("order.cancelled", order),
                2 => ("activity.recorded", json!({"description": id})),
                3 | 4 => ("notification.created", json!({"notification_id": id, "title": title})),
                _ => ("notification.read", json!({"notification_id": id})),
            };
            let body = event(event_type, &format!("e{index}"), ANA, data);
            let mut event = Event::parse(&body.to_string()).unwrap();
            event.time = Timestamp::from_second(1_772_442_000 + second).unwrap();
            event
        };
        choices.into_iter().enumerate().map(build).collect()
    })
}

/// A table, and the states of notifications in it.
#[derive(Default)]
struct Table {
    items: ListItems,
    notifications: BTreeMap<String, NotificationState>,
}

impl Table {
    /// Applies the writes of a commit.
    fn commit(&mut self, events: &[Event]) {
        let with_expiry = events.iter().map(|event| (event, expires_at(event.time, 90)));
        let writes = ListWrites::of(with_expiry, &self.notifications).unwrap();
        let count = writes.entries.len() + writes.deleted.len() + writes.notifications.len();
        let allowed: usize = events.iter().map(|event| max_items(&event.data)).sum();
        assert!(count + events.len() <= allowed);
        for sort_key in &writes.deleted {
            assert!(self.items.remove(sort_key).is_some(), "an entry that does not exist is deleted");
        }
        for (sort_key, change) in &writes.notifications {
            assert_eq!(self.notifications.insert(sort_key.clone(), change.written.clone()), change.read);
        }
        self.items.extend(items_of(writes).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn lists_are_the_same_in_every_order_and_in_any_commits(
        events in events(),
        seed in any::<u64>(),
        repeated in any::<prop::sample::Index>(),
    ) {
        let mut all = Table::default();
        all.commit(&events);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut shuffled = events.clone();
        if !events.is_empty() {
            shuffled.push(events[repeated.index(events.len())].clone());
        }
        random.shuffle(&mut shuffled);
        let mut grouped = Table::default();
        while !shuffled.is_empty() {
            let commit: Vec<Event> = shuffled.drain(..random.usize(1..=shuffled.len())).collect();
            grouped.commit(&commit);
        }
        prop_assert_eq!(grouped.items, all.items);
        prop_assert_eq!(grouped.notifications, all.notifications);
    }
}

#[tokio::test]
async fn write_units_of_events_are_those_of_the_cost_model() {
    let order = json!({"order_id": "1001", "amount": "49.90", "currency": "EUR"});
    for kind in EventKind::ALL {
        for count in [1, 2, 5, 10, 98] {
            let stack = test_stack().await;
            let user_stats = stack.user_stats(&[]);
            let bodies = |event_type: &str, data: &dyn Fn(usize) -> Value| {
                let body =
                    |number: usize| event(event_type, &format!("{event_type} {number}"), ANA, data(number));
                batch(&(0..count).map(body).collect::<Vec<_>>())
            };
            let notification = |number: usize| json!({"notification_id": number.to_string()});
            let batch = match kind {
                EventKind::Unlisted => {
                    bodies("user.signed_in", &|_| json!({"flow": "password", "client_id": "c"}))
                }
                EventKind::Listed => bodies("order.placed", &|_| order.clone()),
                EventKind::NotificationCreated => bodies("notification.created", &notification),
                EventKind::NotificationRead => {
                    let created = bodies("notification.created", &notification);
                    assert_eq!(user_stats.handle(&created).await, [] as [&str; 0]);
                    bodies("notification.read", &notification)
                }
            };
            stack.account.calls.clear_operations();
            assert_eq!(user_stats.handle(&batch).await, [] as [&str; 0]);
            let units = stack.account.calls.writes().into_iter().map(|(operation, body)| {
                budgets::write_units::write_units(&operation, &serde_json::from_slice(&body).unwrap())
            });
            let units = units.sum::<u64>() as f64 / count as f64;
            assert!((units - write_units(count, kind)).abs() < 1e-9, "{kind:?}, {count} events: {units}");
        }
    }
}
