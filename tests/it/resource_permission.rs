//! Tests of resource-permission.

use jiff::Timestamp;
use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::events::{Event, Permission, Resource};
use shared::grant::{Grant, GrantChange};
use shared::store::grants;
use shared::time::plus_seconds;
use tests::fixtures;

use crate::support::{ANA, TestStack, batch, event, order, test_stack};

/// Gets and loses permissions for Ana's orders.
const BEN: &str = "e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25";

fn orders_of_ana() -> String {
    format!("orders/{ANA}")
}

/// An event of 09:00 and `second` seconds.
fn at(second: i64, mut message: Value) -> Value {
    message["time"] = json!(plus_seconds("2026-03-02T09:00:00Z".parse().unwrap(), second).to_string());
    message
}

fn granted(id: &str, second: i64, permissions: &[&str]) -> Value {
    let data = json!({"resource": orders_of_ana(), "permissions": permissions, "granted_by": ANA});
    at(second, event("permission.granted", id, BEN, data))
}

fn revoked(id: &str, second: i64) -> Value {
    let data = json!({"resource": orders_of_ana(), "revoked_by": "support"});
    at(second, event("permission.revoked", id, BEN, data))
}

fn until(end: &str, mut message: Value) -> Value {
    message["data"]["expires_at"] = json!(end);
    message
}

/// What the read API reads: the grant of Ben for Ana's orders.
async fn grant(stack: &TestStack) -> Option<Grant> {
    let item = stack.item(&format!("GRANT#{BEN}"), &format!("GRANT#{}", orders_of_ana())).await;
    (!item.is_null()).then(|| grants::parse(serde_dynamo::to_item(item).unwrap()).unwrap())
}

async fn may_read(stack: &TestStack, now: Timestamp) -> bool {
    grant(stack).await.is_some_and(|grant| grant.allows(Permission::READ, now))
}

/// The users and reasons of the notices.
async fn reasons(stack: &TestStack) -> Vec<(String, Value)> {
    let notices = stack.notices().await.into_iter();
    notices
        .map(|notice| {
            assert_eq!(notice["data"]["views"], json!(["dashboard", "orders", "profile"]));
            (notice["subject"].as_str().unwrap().to_owned(), notice["data"]["reason"].clone())
        })
        .collect()
}

async fn dead_letters(stack: &TestStack) -> Vec<String> {
    let letters = stack.dead_letters(&stack.account.resource_permissions).await;
    letters.into_iter().map(|(_, reason)| reason).collect()
}

#[tokio::test]
async fn grant_is_written_once_and_each_delivery_sends_the_notice() {
    let stack = test_stack().await;
    let worker = stack.resource_permission();
    let message = batch(&[until("2026-03-09T00:00:00Z", granted("g", 0, &["read", "write"]))]);
    assert_eq!(worker.handle(&message).await, [] as [&str; 0]);
    assert_eq!(reasons(&stack).await, [(BEN.to_owned(), Value::Null)]);
    assert_eq!(worker.handle(&message).await, [] as [&str; 0]);
    // The second delivery cannot know whether the first one took something away.
    assert_eq!(reasons(&stack).await, [(BEN.to_owned(), json!("permission_revoked"))]);
    let item = stack.item(&format!("GRANT#{BEN}"), &format!("GRANT#orders/{ANA}")).await;
    let changed_at = 1_772_442_000_000_i64;
    assert_eq!(
        item,
        json!({
            "permissions": ["read", "write"], "grantedBy": ANA, "until": 1_773_014_400_000_i64,
            "changedAt": changed_at, "eventKey": "EVENT#/shop#g",
            "expiresAt": changed_at / 1000 + 32 * 24 * 3600,
        })
    );
    assert_eq!(
        (stack.account.count("PermissionsGranted"), stack.account.count("PermissionEventsSkipped")),
        (1, 1)
    );
    let now = stack.account.time.now();
    assert!(may_read(&stack, now).await);
    assert!(!may_read(&stack, "2026-03-09T00:00:00Z".parse().unwrap()).await, "the grant has ended");
}

#[tokio::test]
async fn revocation_takes_all_permissions_and_sends_an_urgent_notice_each_time() {
    let stack = test_stack().await;
    let worker = stack.resource_permission();
    worker.handle(&batch(&[granted("g", 0, &["read"])])).await;
    stack.notices().await;
    worker.handle_twice(&batch(&[revoked("r", 60)])).await;
    let item = stack.item(&format!("GRANT#{BEN}"), &format!("GRANT#orders/{ANA}")).await;
    let revoked_at = 1_772_442_060_000_i64;
    assert_eq!(
        item,
        json!({
            "permissions": [], "revokedAt": revoked_at, "revokedBy": "support", "changedAt": revoked_at,
            "eventKey": "EVENT#/shop#r", "expiresAt": revoked_at / 1000 + 32 * 24 * 3600,
        })
    );
    let urgent = (BEN.to_owned(), json!("permission_revoked"));
    assert_eq!(reasons(&stack).await, [urgent.clone(), urgent]);
    assert_eq!(stack.account.count("PermissionsRevoked"), 1);
}

#[tokio::test]
async fn revocation_of_something_never_granted_denies_the_older_grant_that_arrives_later() {
    let stack = test_stack().await;
    let worker = stack.resource_permission();
    worker.handle_twice(&batch(&[revoked("r", 40)])).await;
    assert_eq!(reasons(&stack).await.len(), 2);
    worker.handle_twice(&batch(&[granted("g", 39, &["read"])])).await;
    worker.handle_twice(&batch(&[granted("same-time", 40, &["read"])])).await;
    assert!(!may_read(&stack, stack.account.time.now()).await);
    worker.handle_twice(&batch(&[granted("newer", 41, &["read"])])).await;
    assert!(may_read(&stack, stack.account.time.now()).await);
}

#[tokio::test]
async fn grant_that_takes_something_away_is_urgent() {
    for (before, after, is_urgent) in [
        (granted("g", 0, &["read"]), granted("h", 1, &["read", "write"]), false),
        (granted("g", 0, &["read", "write"]), granted("h", 1, &["read"]), true),
        (granted("g", 0, &["read"]), until("2026-04-01T00:00:00Z", granted("h", 1, &["read"])), true),
        (until("2026-04-01T00:00:00Z", granted("g", 0, &["read"])), granted("h", 1, &["read"]), false),
        (revoked("r", 0), granted("h", 1, &["read"]), false),
    ] {
        let stack = test_stack().await;
        let worker = stack.resource_permission();
        worker.handle(&batch(std::slice::from_ref(&before))).await;
        stack.notices().await;
        worker.handle(&batch(std::slice::from_ref(&after))).await;
        let reason = if is_urgent { json!("permission_revoked") } else { Value::Null };
        assert_eq!(reasons(&stack).await, [(BEN.to_owned(), reason)], "{before} {after}");
    }
}

#[tokio::test]
async fn revocation_in_a_batch_is_urgent_although_a_later_grant_wins() {
    let stack = test_stack().await;
    let worker = stack.resource_permission();
    let both = batch(&[granted("new", 2, &["read"]), revoked("r", 1), granted("old", 0, &["read"])]);
    worker.handle_twice(&both).await;
    assert!(may_read(&stack, stack.account.time.now()).await);
    let urgent = (BEN.to_owned(), json!("permission_revoked"));
    assert_eq!(reasons(&stack).await, [urgent.clone(), urgent], "one notice for the user");
    assert_eq!(stack.account.count("PermissionEventsSkipped"), 2 + 3);
}

#[tokio::test]
async fn any_order_with_duplicates_and_any_batches_lead_to_the_same_item() {
    let events = [
        granted("a", 0, &["read"]),
        granted("b", 0, &["write"]),
        revoked("c", 1),
        granted("d", 1, &["read"]),
        until("2026-04-01T00:00:00Z", granted("e", 2, &["read"])),
        granted("f", 2, &["read", "write"]),
        revoked("g", -5),
    ];
    // Of two grants at the same time, the one with the greater key.
    let winner = GrantChange::of(&Event::parse(&events[5].to_string()).unwrap()).unwrap().grant;
    for seed in 0..40 {
        let stack = test_stack().await;
        let worker = stack.resource_permission();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut deliveries: Vec<Value> = events.iter().chain(&events).cloned().collect();
        random.shuffle(&mut deliveries);
        while !deliveries.is_empty() {
            let size = random.usize(1..=deliveries.len().min(4));
            let messages: Vec<Value> = deliveries.drain(..size).collect();
            assert_eq!(worker.handle(&batch(&messages)).await, [] as [&str; 0]);
        }
        assert_eq!(grant(&stack).await.as_ref(), Some(&winner), "seed {seed}");
    }
}

/// The rule exists twice: in `Grant::cmp_event`, and as the condition of the write.
#[tokio::test]
async fn condition_of_the_write_is_the_pure_rule() {
    let changes: Vec<GrantChange> = [
        granted("a", 0, &["read"]),
        granted("b", 0, &["read"]),
        revoked("a", 0),
        revoked("b", 0),
        granted("a", 1, &["read"]),
        revoked("a", -1),
    ]
    .iter()
    .map(|body| GrantChange::of(&Event::parse(&body.to_string()).unwrap()).unwrap())
    .collect();
    for stored in &changes {
        for written in &changes {
            let stack = test_stack().await;
            stack.store().apply_grant_change(stored).await.unwrap();
            stack.store().apply_grant_change(written).await.unwrap();
            let wins = written.grant.cmp_event(&stored.grant).is_gt();
            let expected = if wins { &written.grant } else { &stored.grant };
            assert_eq!(grant(&stack).await.as_ref(), Some(expected), "{stored:?} {written:?}");
        }
    }
}

#[tokio::test]
async fn item_that_cannot_be_understood_is_replaced() {
    let stack = test_stack().await;
    let (partition, sort) = (format!("GRANT#{BEN}"), format!("GRANT#{}", orders_of_ana()));
    stack.put(&partition, &sort, json!({"permissions": "all", "changedAt": "9999"})).await;
    stack.resource_permission().handle_twice(&batch(&[granted("g", 0, &["read"])])).await;
    assert!(may_read(&stack, stack.account.time.now()).await);
}

#[tokio::test]
async fn other_events_and_invalid_ones_are_dead_lettered_and_block_nothing() {
    let change = |change: fn(&mut Value)| {
        let mut message = granted("bad", 0, &["read"]);
        change(&mut message);
        message
    };
    let table: [(Value, &str); 17] = [
        (order("1", BEN, "1.00"), "wrong_queue"),
        (event("user.deleted", "d", BEN, json!({})), "wrong_queue"),
        (
            event(
                "user.data_changed",
                "d",
                BEN,
                json!({"views": ["orders"], "changed_at": "2026-03-02T09:00:00Z"}),
            ),
            "wrong_queue",
        ),
        (change(|m| m["data"]["resource"] = json!("orders")), "invalid_data"),
        (change(|m| m["data"]["resource"] = json!("<script>/ana")), "invalid_data"),
        (change(|m| m["data"]["resource"] = json!(format!("orders/{}", "a".repeat(300)))), "invalid_data"),
        (change(|m| m["data"]["permissions"] = json!([])), "invalid_data"),
        (change(|m| m["data"]["permissions"] = json!(["<b>"])), "invalid_data"),
        (
            change(|m| {
                m["data"]["permissions"] = json!(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"])
            }),
            "invalid_data",
        ),
        (change(|m| m["data"]["permissions"] = json!("read")), "invalid_data"),
        (change(|m| m["data"]["granted_by"] = json!("a\u{0}")), "invalid_data"),
        (change(|m| m["data"]["granted_by"] = json!("a".repeat(129))), "invalid_data"),
        (change(|m| m["data"]["expires_at"] = json!("2026-03-02T09:00:00Z")), "invalid_data"),
        (change(|m| m["data"]["expires_at"] = json!("tomorrow")), "invalid_data"),
        (change(|m| m["subject"] = json!("domain:example.com")), "invalid_data"),
        (at(-31 * 24 * 3600, granted("old", 0, &["read"])), "too_old"),
        (at(61, granted("ahead", 0, &["read"])), "in_the_future"),
    ];
    for (message, reason) in table {
        let stack = test_stack().await;
        let worker = stack.resource_permission();
        worker.handle_twice(&batch(&[message.clone(), granted("good", 1, &["read"])])).await;
        assert_eq!(dead_letters(&stack).await, [reason; 2], "{message}");
        assert!(may_read(&stack, stack.account.time.now()).await, "{message}");
        assert_eq!(stack.account.items().await.unwrap().len(), 1, "nothing else is written: {message}");
    }
}

#[tokio::test]
async fn text_in_markup_is_kept_as_text() {
    let stack = test_stack().await;
    let mut message = granted("g", 0, &["read"]);
    message["data"]["granted_by"] = json!("<script>alert(1)</script>");
    message["data"]["resource"] = json!("orders/<b>#%25/é");
    stack.resource_permission().handle_twice(&batch(&[message])).await;
    let item = stack.item(&format!("GRANT#{BEN}"), "GRANT#orders/<b>#%25/é").await;
    assert_eq!(item["grantedBy"], "<script>alert(1)</script>");
    let resource = Resource::new("orders", "<b>#%25/é").unwrap();
    let key = grants::key(BEN, &resource);
    assert_eq!(key["SK"].as_s().unwrap(), "GRANT#orders/<b>#%25/é", "the read API finds it");
}

/// user-events takes events of any producer.
#[tokio::test]
async fn permission_events_on_user_events_are_dead_lettered_and_grant_nothing() {
    let stack = test_stack().await;
    let messages = batch(&[granted("g", 0, &["read"]), revoked("r", 1), order("1", BEN, "1.00")]);
    stack.user_stats(&[]).handle_twice(&messages).await;
    let letters = stack.dead_letters(&stack.account.user_events).await;
    let reasons: Vec<&str> = letters.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["wrong_queue"; 4]);
    assert_eq!(grant(&stack).await, None);
    let notices = stack.notices().await;
    assert!(notices.iter().all(|notice| notice["data"]["reason"].is_null()), "{notices:?}");
    for other in [
        stack.cache_invalidation(&[]).handle(&batch(&[granted("g", 0, &["read"])])).await,
        stack.group_membership(&[]).handle(&batch(&[granted("g", 0, &["read"])])).await,
    ] {
        assert_eq!(other, [] as [&str; 0]);
    }
    assert_eq!(stack.dead_letters(&stack.account.cache_invalidations).await[0].1, "wrong_queue");
    assert_eq!(stack.dead_letters(&stack.account.group_memberships).await[0].1, "wrong_queue");
}

#[tokio::test(start_paused = true)]
async fn messages_are_redelivered_while_dynamodb_is_down_and_no_notice_is_sent() {
    for fault in [
        Fault::Error("ProvisionedThroughputExceededException"),
        Fault::Error("AccessDeniedException"),
        Fault::Error("InternalServerError"),
        Fault::Refused,
        Fault::Hang,
    ] {
        let stack = test_stack().await;
        let worker = stack.resource_permission();
        let both = batch(&[granted("g", 0, &["read"]), revoked("r", 1)]);
        stack.account.faults.inject("PutItem", fault.clone(), 100);
        assert_eq!(worker.handle(&both).await, ["m0", "m1"], "{fault:?}");
        assert_eq!(stack.account.count("StoreFailures"), 1, "{fault:?}");
        assert_eq!((stack.notices().await.len(), grant(&stack).await), (0, None), "{fault:?}");
        stack.account.faults.clear();
        worker.handle_twice(&both).await;
        assert!(!may_read(&stack, stack.account.time.now()).await);
        assert_eq!(reasons(&stack).await.len(), 2);
    }
}

/// The SDK repeats the write and finds its own grant. The replaced item is not known any more.
#[tokio::test(start_paused = true)]
async fn lost_reply_of_a_write_is_not_a_failure_and_the_notice_is_urgent() {
    let stack = test_stack().await;
    let worker = stack.resource_permission();
    stack.account.faults.inject("PutItem", Fault::ReplyLost, 1);
    assert_eq!(worker.handle(&batch(&[granted("g", 0, &["read"])])).await, [] as [&str; 0]);
    assert!(may_read(&stack, stack.account.time.now()).await);
    assert_eq!(reasons(&stack).await, [(BEN.to_owned(), json!("permission_revoked"))]);
}

#[tokio::test]
async fn failure_of_one_grant_does_not_fail_the_others() {
    let stack = test_stack().await;
    let other = at(
        0,
        event(
            "permission.granted",
            "h",
            ANA,
            json!({
                "resource": "orders/eva", "permissions": ["read"], "granted_by": "eva",
            }),
        ),
    );
    stack.account.faults.inject("PutItem", Fault::Error("AccessDeniedException"), 1);
    let failed = stack.resource_permission().handle(&batch(&[granted("g", 0, &["read"]), other])).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(stack.account.items().await.unwrap().len(), 1);
    assert_eq!(reasons(&stack).await.len(), 1);
}

/// If the worker ends between the write and the notice, the redelivered message is a duplicate.
#[tokio::test]
async fn notice_that_sqs_refuses_is_sent_after_the_redelivery() {
    let stack = test_stack().await;
    let worker = stack.resource_permission();
    let revocation = batch(&[revoked("r", 0)]);
    stack.account.faults.inject("SendMessageBatch", Fault::Error("AccessDeniedException"), 1);
    assert_eq!(worker.handle(&revocation).await, ["m0"]);
    assert_eq!(stack.notices().await.len(), 0);
    assert_eq!(worker.handle(&revocation).await, [] as [&str; 0]);
    assert_eq!(reasons(&stack).await, [(BEN.to_owned(), json!("permission_revoked"))]);
}

#[tokio::test]
async fn time_of_the_notice_is_not_earlier_than_the_write() {
    let stack = test_stack().await;
    let worker = stack.resource_permission();
    // An event of an hour ago.
    worker.handle(&batch(&[revoked("r", -3600)])).await;
    let notice = stack.notices().await.remove(0);
    assert_eq!(notice["data"]["changed_at"], "2026-03-02T09:00:00Z");
    assert_eq!(notice["source"], "/resource-permission");
}

#[tokio::test]
async fn notice_of_a_lost_permission_is_invalidated_beyond_budget_and_interval() {
    let stack = test_stack().await;
    let worker = stack.resource_permission();
    let cache = stack.cache_invalidation(&[
        ("MONTHLY_ITEM_BUDGET", "1"),
        ("INVALIDATION_INTERVAL_SECONDS", "600"),
        ("ON_BUDGET_EXHAUSTED", "expire"),
    ]);
    worker.handle(&batch(&[granted("g", 0, &["read"])])).await;
    let notices = batch(&stack.notices().await);
    assert_eq!(cache.handle(&notices).await, [] as [&str; 0]);
    assert_eq!(stack.account.calls.invalidations().len(), 1, "the budget of the month");
    stack.account.time.advance(5);
    // An ordinary change waits.
    worker.handle(&batch(&[granted("h", 1, &["read"])])).await;
    let ordinary = batch(&stack.notices().await);
    assert_eq!(cache.handle(&ordinary).await, ["m0"]);
    worker.handle(&batch(&[revoked("r", 2)])).await;
    let urgent = batch(&stack.notices().await);
    for _ in 0..2 {
        assert_eq!(cache.handle(&urgent).await, [] as [&str; 0]);
    }
    let invalidations = stack.account.calls.invalidations();
    assert!(invalidations.len() >= 2, "{invalidations:?}");
    assert!(invalidations.iter().all(|items| *items == [format!("#user:{BEN}")]));
    assert_eq!(stack.account.count("BudgetExhausted"), 0);
    // The table was not asked for a suspension.
    assert_eq!(stack.item(&format!("CACHE#{BEN}"), "CACHE").await["lastSecurityChangeAt"], Value::Null);
}

#[tokio::test]
async fn fixtures_grant_and_revoke() {
    let stack = test_stack().await;
    let worker = stack.resource_permission();
    let of =
        |name: &str| serde_json::from_value(fixtures::json(&format!("resource-permission/{name}"))).unwrap();
    worker.handle_twice(&of("orders-shared-with-two-users")).await;
    assert!(may_read(&stack, stack.account.time.now()).await);
    worker.handle_twice(&of("revocation-after-a-grant")).await;
    assert!(!may_read(&stack, stack.account.time.now()).await, "the later event is first in the batch");
}

#[tokio::test]
async fn grants_of_a_user_are_listed_and_deleted() {
    let stack = test_stack().await;
    let mut second = granted("h", 0, &["write"]);
    second["data"]["resource"] = json!("files/eva");
    stack.resource_permission().handle(&batch(&[granted("g", 0, &["read"]), second])).await;
    stack.put(&format!("GRANT#{BEN}"), "GRANT#broken/x", json!({"permissions": 7})).await;
    stack.put(&format!("GRANT#{ANA}"), "GRANT#orders/eva", json!({"permissions": []})).await;
    let listed = stack.store().read_grants(BEN).await.unwrap();
    let listed: Vec<(&str, bool)> =
        listed.iter().map(|(name, grant)| (name.as_str(), grant.is_ok())).collect();
    let orders = orders_of_ana();
    assert_eq!(listed, [("broken/x", false), ("files/eva", true), (orders.as_str(), true)]);
    assert_eq!(stack.store().delete_grants(BEN).await.unwrap(), 3);
    assert_eq!(stack.store().delete_grants(BEN).await.unwrap(), 0);
    assert_eq!(stack.account.items().await.unwrap().len(), 1, "those of other users stay");
}
