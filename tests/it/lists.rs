//! Tests of the lists: orders, activities and unread notifications, newest first.

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::store::{ListKind, ListPosition, StoreErrorKind};

use crate::support::{ANA, TestStack, test_stack};

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
