//! Two instances of user-stats that handle the same messages at the same time. The step `dynamodb` of
//! CI plays this on AWS's DynamoDB Local, where their transactions really run at the same time.

use aws_lambda_events::sqs::SqsEvent;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::store::Store;

use crate::support::{ANA, UserStats, batch, event, test_stack};

const BEN: &str = "0b6f4c1e-58d2-4b7a-9a36-1f2e3d4c5b6a";
/// Events of each type, for each user.
const EVENTS: usize = 24;
/// SQS redelivers a message until it is handled. More rounds than these would be starvation.
const MAX_ROUNDS: usize = 20;

/// Every event of a user. Every third notification is read, and every fourth order canceled.
fn events_of(user: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut push = |minute: usize, event_type: &str, id: String, data: Value| {
        let mut body = event(event_type, &id, user, data);
        body["time"] = json!(format!("2026-03-02T08:{minute:02}:00Z"));
        events.push(body);
    };
    for n in 0..EVENTS {
        let order = json!({"order_id": n.to_string(), "amount": "1.25", "currency": "EUR"});
        let notification = json!({"notification_id": n.to_string()});
        push(n, "order.placed", format!("order-{n}-placed"), order.clone());
        push(n, "activity.recorded", format!("activity-{n}"), json!({"description": format!("Step {n}")}));
        push(n, "notification.created", format!("notification-{n}"), notification.clone());
        if n % 3 == 0 {
            push(n + 1, "notification.read", format!("notification-{n}-read"), notification);
        }
        if n % 4 == 0 {
            push(n + 1, "order.cancelled", format!("order-{n}-canceled"), order);
        }
    }
    events
}

/// Delivers each batch twice. Redelivers the messages that the worker reports, as SQS does.
async fn deliver(worker: &UserStats, batches: &[SqsEvent]) {
    for event in batches.iter().chain(batches) {
        let mut waiting = event.clone();
        for round in 0.. {
            assert!(round < MAX_ROUNDS, "{} messages are still waiting", waiting.records.len());
            let failed = worker.handle(&waiting).await;
            let is_failed = |id: &Option<String>| id.as_ref().is_some_and(|id| failed.contains(id));
            waiting.records.retain(|message| is_failed(&message.message_id));
            if waiting.records.is_empty() {
                break;
            }
        }
    }
}

/// Reads the lists as the read API does: every order and cancellation once, newest first, and the
/// notifications that are not read.
async fn check_lists(store: &Store, user: &str, now: Timestamp) {
    let mut orders = Vec::new();
    let mut before = None;
    loop {
        let page = store.read_orders(user, before.as_ref(), 7, now).await.unwrap();
        orders.extend(page.entries);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert!(orders.is_sorted_by(|newer, older| newer.at >= older.at), "{orders:?}");
    let mut names: Vec<String> =
        orders.iter().map(|entry| format!("{}-{}", entry.r#type, entry.order_id)).collect();
    names.sort_unstable();
    let placed = (0..EVENTS).map(|n| format!("order.placed-{n}"));
    let canceled = (0..EVENTS).step_by(4).map(|n| format!("order.cancelled-{n}"));
    let mut expected: Vec<String> = placed.chain(canceled).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);

    let (notifications, activities) = store.read_dashboard_lists(user, now).await.unwrap();
    let unread: Vec<String> = notifications.into_iter().map(|entry| entry.notification_id).collect();
    let expected: Vec<String> = (0..EVENTS).rev().filter(|n| n % 3 != 0).map(|n| n.to_string()).collect();
    assert_eq!(unread, expected);
    let latest: Vec<String> = activities.into_iter().map(|entry| entry.description).collect();
    let expected: Vec<String> = (0..EVENTS).rev().take(10).map(|n| format!("Step {n}")).collect();
    assert_eq!(latest, expected);
}

#[tokio::test(start_paused = true)]
async fn two_workers_that_get_every_message_twice_count_each_event_once() {
    let stack = test_stack().await;
    let (first, second) = (stack.user_stats(&[]), stack.user_stats(&[]));
    let (ana, ben) = (events_of(ANA), events_of(BEN));
    let mixed: Vec<Value> = ana.into_iter().zip(ben).flat_map(|(a, b)| [a, b]).collect();
    let batches: Vec<SqsEvent> = mixed.chunks(10).map(batch).collect();
    let reversed: Vec<SqsEvent> = batches.iter().rev().cloned().collect();
    tokio::join!(deliver(&first, &batches), deliver(&second, &reversed));

    for user in [ANA, BEN] {
        let stats = stack.item(&format!("USER#{user}"), "STATS").await;
        let figures = ["orders", "ordersCancelled", "activities", "unreadNotifications", "spent"];
        let expected = [json!(24), json!(6), json!(24), json!(16), json!({"EUR": "22.50"})];
        assert_eq!(figures.map(|name| stats[name].clone()), expected, "{user}");
        check_lists(&stack.store(), user, stack.account.time.now()).await;
    }
}
