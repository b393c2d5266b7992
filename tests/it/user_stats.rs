//! Tests of user-stats. They deliver every batch twice, unless the test is about one delivery.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use shared::store::Partition;
use triggers::pre_authentication;

use crate::support::{ANA, batch, event, order, test_stack};

const BEN: &str = "0b6f4c1e-58d2-4b7a-9a36-1f2e3d4c5b6a";

async fn ana(stack: &crate::support::TestStack) -> Value {
    stack.item(&format!("USER#{ANA}"), "STATS").await
}

#[tokio::test]
async fn duplicate_delivery_counts_once() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let events = batch(&[order("1", ANA, "12.50"), order("2", BEN, "7.25"), order("1", ANA, "12.50")]);
    user_stats.handle_twice(&events).await;
    let users = stack.account.users().await.unwrap();
    assert_eq!((&users[ANA]["orders"], &users[ANA]["spent"]["EUR"]), (&json!(1), &json!("12.50")));
    assert_eq!((&users[BEN]["orders"], &users[BEN]["spent"]["EUR"]), (&json!(1), &json!("7.25")));
    let stored =
        stack.item(&format!("USER#{ANA}"), &shared::events::event_key("/shop", "order-1-placed")).await;
    assert_eq!(stored["type"], "order.placed");
    assert_eq!(
        serde_json::from_str::<Value>(stored["event"].as_str().unwrap()).unwrap(),
        order("1", ANA, "12.50")
    );
    assert_eq!(stored["expiresAt"], 1_772_442_000 + 90 * 24 * 3600);
}

#[tokio::test]
async fn retry_with_a_new_time_is_the_same_event() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let mut later = order("1", ANA, "12.50");
    later["time"] = json!("2026-03-02T09:05:00Z");
    user_stats.handle_twice(&batch(&[order("1", ANA, "12.50")])).await;
    user_stats.handle_twice(&batch(&[later])).await;
    assert_eq!(ana(&stack).await["orders"], 1);
}

#[tokio::test]
async fn thousand_events_of_a_hundred_users_take_few_calls() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let events: Vec<Value> =
        (0..1000).map(|i| order(&i.to_string(), &format!("user-{}", i % 100), "1.00")).collect();
    stack.account.calls.clear_operations();
    assert_eq!(user_stats.handle(&batch(&events)).await, [] as [&str; 0]);
    let calls = stack.account.calls.operations().len();
    assert!(calls <= 150, "more than 0.15 calls per event: {calls} calls");
    let users = stack.account.users().await.unwrap();
    assert_eq!(users.len(), 100);
    assert!(users.values().all(|user| user["spent"]["EUR"] == "10.00" && user["version"] == 1));
}

#[tokio::test]
async fn events_beyond_one_transaction_are_committed_in_several() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let events: Vec<Value> = (0..250).map(|i| order(&i.to_string(), ANA, "0.10")).collect();
    user_stats.handle_twice(&batch(&events)).await;
    let stats = ana(&stack).await;
    assert_eq!(
        (&stats["orders"], &stats["spent"]["EUR"], &stats["version"]),
        (&json!(250), &json!("25.00"), &json!(6))
    );
}

#[tokio::test]
async fn permanently_invalid_messages_go_to_the_dead_letter_queue_and_the_rest_counts() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let with = |id: &str, change: fn(&mut Value)| {
        let mut body = order(id, ANA, "5.00");
        change(&mut body);
        body
    };
    let bodies = [
        json!("not JSON"),
        json!("{\"a\": 1}"),
        with("1", |b| b["type"] = "order.shipped".into()),
        with("2", |b| b["data"]["amount"] = "-5.00".into()),
        with("3", |b| b["data"]["currency"] = "EURO".into()),
        with("4", |b| b["time"] = "1970-01-01T00:00:00Z".into()),
        with("5", |b| b["time"] = "2027-03-02T09:00:00Z".into()),
        event(
            "user.data_changed",
            "6",
            ANA,
            json!({"views": ["orders"], "changed_at": "2026-03-02T09:00:00Z"}),
        ),
        event("user.deleted", "7", ANA, json!({})),
        order("8", ANA, "5.00"),
    ];
    assert_eq!(user_stats.handle(&batch(&bodies)).await, [] as [&str; 0]);
    let letters = stack.dead_letters(&stack.account.user_events).await;
    let mut reasons: Vec<&str> = letters.iter().map(|(_, error_type)| error_type.as_str()).collect();
    reasons.sort_unstable();
    let expected = [
        "erasure_not_allowed",
        "in_the_future",
        "invalid_data",
        "invalid_data",
        "not_cloudevents",
        "not_json",
        "too_old",
        "unknown_type",
        "wrong_queue",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(ana(&stack).await["orders"], 1);
}

#[tokio::test]
async fn message_that_cannot_be_dead_lettered_is_reported_as_failed() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    stack.account.faults.inject("SendMessageBatch", Fault::Error("AccessDenied"), 100);
    let failed = user_stats.handle(&batch(&[json!("not JSON")])).await;
    assert_eq!(failed, ["m0"]);
    let mut ten_attributes = serde_json::to_value(batch(&[json!("not JSON")])).unwrap();
    for i in 0..10 {
        ten_attributes["Records"][0]["messageAttributes"][format!("a{i}")] =
            json!({"dataType": "String", "stringValue": "x"});
    }
    stack.account.faults.clear();
    assert_eq!(user_stats.handle(&serde_json::from_value(ten_attributes).unwrap()).await, ["m0"]);
}

#[tokio::test]
async fn event_counts_once_if_the_reply_to_its_commit_is_lost() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    stack.account.faults.inject("TransactWriteItems", Fault::ReplyLost, 1);
    user_stats.handle_twice(&batch(&[order("1", ANA, "5.00")])).await;
    assert_eq!(ana(&stack).await["orders"], 1);
}

#[tokio::test(start_paused = true)]
async fn messages_fail_while_the_table_fails_and_count_once_afterwards() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    for operation in ["BatchGetItem", "TransactWriteItems"] {
        stack.account.faults.inject(operation, Fault::Refused, 100);
        let failed = user_stats.handle(&batch(&[order("1", ANA, "5.00"), order("2", BEN, "5.00")])).await;
        assert_eq!(failed, ["m0", "m1"], "{operation}");
        stack.account.faults.clear();
    }
    assert_eq!(stack.account.count("StoreFailures"), 3, "one read, and one transaction for each user");
    user_stats.handle_twice(&batch(&[order("1", ANA, "5.00"), order("2", BEN, "5.00")])).await;
    assert_eq!(ana(&stack).await["orders"], 1);
}

#[tokio::test]
async fn no_commit_starts_close_to_the_deadline() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let soon = shared::time::plus_seconds(stack.account.time.now(), 4);
    assert_eq!(user_stats.handle_until(&batch(&[order("1", ANA, "5.00")]), soon).await, ["m0"]);
    assert_eq!(ana(&stack).await, Value::Null);
}

#[tokio::test]
async fn stale_statistics_are_read_again() {
    let stack = test_stack().await;
    let (first, second) = (stack.user_stats(&[]), stack.user_stats(&[]));
    let (one, two) = (batch(&[order("1", ANA, "1.00")]), batch(&[order("2", ANA, "2.00")]));
    // Both read the statistics before either commits.
    let (a, b) = tokio::join!(first.handle(&one), second.handle(&two));
    assert_eq!((a.len(), b.len()), (0, 0));
    let stats = ana(&stack).await;
    assert_eq!((&stats["spent"]["EUR"], &stats["version"]), (&json!("3.00"), &json!(2)));
}

#[tokio::test]
async fn attributes_of_a_newer_release_stay() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    user_stats.handle_twice(&batch(&[order("1", ANA, "1.00")])).await;
    let client = stack.account.dynamodb();
    let string = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let call = client.update_item().table_name(sandbox::aws::TABLE).update_expression("SET streak = :streak");
    let call = call.key("PK", string(&format!("USER#{ANA}"))).key("SK", string("STATS"));
    call.expression_attribute_values(":streak", string("7 days")).send().await.unwrap();
    user_stats.handle_twice(&batch(&[order("2", ANA, "1.00")])).await;
    let stats = ana(&stack).await;
    assert_eq!((&stats["streak"], &stats["orders"]), (&json!("7 days"), &json!(2)));
}

#[tokio::test]
async fn one_notice_per_user_follows_the_commit_and_is_repeated_for_duplicates() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let orders = batch(&[order("1", ANA, "1.00"), order("2", ANA, "1.00"), order("3", BEN, "1.00")]);
    assert_eq!(user_stats.handle(&orders).await, [] as [&str; 0]);
    let first = stack.notices().await;
    assert_eq!(first.len(), 2);
    let notice = |changed_at: &str, pages_expire_at: &str| {
        json!({
            "views": ["dashboard", "orders"],
            "changed_at": format!("2026-03-02T{changed_at}Z"),
            "pages_expire_at": format!("2026-03-02T{pages_expire_at}Z"),
        })
    };
    // A render of five seconds, and a lifetime of a minute.
    let expected = notice("09:00:00", "09:01:05");
    assert!(first.iter().all(|notice| notice["data"] == expected), "{first:?}");
    stack.account.time.advance(600);
    assert_eq!(user_stats.handle(&orders).await, [] as [&str; 0]);
    let again = stack.notices().await;
    // The time of the commit plus the longest time that it can have taken, not the time of the
    // redelivery.
    let expected = notice("09:00:07", "09:01:12");
    assert!(again.len() == 2 && again.iter().all(|notice| notice["data"] == expected), "{again:?}");
}

#[tokio::test]
async fn unsent_notice_fails_its_messages() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    stack.account.faults.inject("SendMessageBatch", Fault::Error("AccessDenied"), 1);
    let failed = user_stats.handle(&batch(&[order("1", ANA, "1.00"), order("2", BEN, "1.00")])).await;
    assert_eq!(failed, ["m0", "m1"]);
    assert_eq!(ana(&stack).await["orders"], 1);
    user_stats.handle_twice(&batch(&[order("1", ANA, "1.00"), order("2", BEN, "1.00")])).await;
    assert_eq!((ana(&stack).await["orders"].clone(), stack.notices().await.len()), (json!(1), 4));
}

#[tokio::test]
async fn sign_in_of_an_unknown_user_is_counted_but_not_stored() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let attempt = json!({"flow": "pre_authentication", "outcome": "allowed", "reason": "not_suspended"});
    user_stats.handle_twice(&batch(&[event("user.sign_in_attempted", "1", "unknown", attempt)])).await;
    assert_eq!(stack.account.items().await.unwrap().len(), 0);
    assert_eq!(stack.account.count("SignInsOfUnknownUsers"), 2);
}

#[tokio::test]
async fn sign_ups_are_counted_per_domain_in_shards() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let attempt = |i: usize| {
        let outcome = if i.is_multiple_of(4) { "denied" } else { "allowed" };
        let data = json!({"outcome": outcome, "reason": "x", "channel": "self"});
        event("user.sign_up_attempted", &format!("attempt-{i}"), "domain:example.com", data)
    };
    user_stats.handle_twice(&batch(&(0..40).map(attempt).collect::<Vec<_>>())).await;
    let items = stack.account.items().await.unwrap();
    let shards: Vec<&Value> =
        items.iter().filter(|((_, sort), _)| sort == "STATS").map(|(_, item)| item).collect();
    let sum = |name: &str| shards.iter().map(|shard| shard[name].as_u64().unwrap()).sum::<u64>();
    assert!(shards.len() > 10);
    assert_eq!((sum("signUps"), sum("signUpsAllowed"), sum("signUpsDenied")), (40, 30, 10));
}

#[tokio::test]
async fn change_of_an_inactive_user_sends_no_notice_until_a_late_token_arrives() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let token = |id: &str, time: &str| {
        let mut token = event("user.token_refreshed", id, ANA, json!({"client_id": "client"}));
        token["time"] = time.into();
        token
    };
    user_stats.handle_twice(&batch(&[token("t1", "2026-03-02T07:00:00Z")])).await;
    user_stats.handle_twice(&batch(&[order("1", ANA, "1.00")])).await;
    assert_eq!(stack.notices().await, [] as [Value; 0], "no token for two hours");
    let stats = ana(&stack).await;
    assert_eq!(stats["lastSkippedAt"], stats["lastChangedAt"]);
    user_stats.handle_twice(&batch(&[token("t2", "2026-03-02T07:20:00Z")])).await;
    assert_eq!(stack.notices().await, [] as [Value; 0], "no page of that token could be in the cache either");
    assert_eq!(user_stats.handle(&batch(&[token("t3", "2026-03-02T08:00:00Z")])).await, [] as [&str; 0]);
    let notices = stack.notices().await;
    assert_eq!(notices[0]["data"]["views"], json!(["dashboard", "orders", "profile"]));
    assert_eq!(notices[0]["data"]["changed_at"], "2026-03-02T09:00:00Z");
}

#[tokio::test]
async fn unreadable_item_fails_only_its_own_user() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    stack.put(&format!("USER#{ANA}"), "STATS", json!({"version": "seven"})).await;
    let failed = user_stats.handle(&batch(&[order("1", ANA, "1.00"), order("2", BEN, "1.00")])).await;
    assert_eq!(failed, ["m0"]);
    assert_eq!(stack.item(&format!("USER#{BEN}"), "STATS").await["orders"], 1);
    assert_eq!(stack.account.count("StoreFailures"), 0, "DynamoDB answered");
}

#[tokio::test]
async fn erasure_keeps_a_suspension_in_force() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[("ALLOW_ERASURE_EVENTS", "true")]);
    let confirmed = event("user.confirmed", "c", ANA, json!({"username": ANA, "email": "ana@example.com"}));
    user_stats.handle_twice(&batch(&[confirmed])).await;
    let at = stack.account.time.now();
    let suspension =
        shared::suspension::Suspension { reason: "spam".into(), until: None, by: "support".into(), at };
    assert!(stack.store().write_suspension(ANA, &suspension).await.unwrap());
    user_stats.handle_twice(&batch(&[event("user.deleted", "d", ANA, json!({}))])).await;
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await, json!({"isBanned": true}));
    assert_eq!(stack.item(&format!("SUSPENSION#{ANA}"), "SUSPENSION").await["reason"], "spam");
    let answer = stack
        .invoke("pre-authentication", &[], tests::fixtures::event("pre-authentication/authentication"))
        .await;
    assert!(answer.is_err());
}

#[tokio::test]
async fn suspension_event_invalidates_an_inactive_user_but_does_not_suspend() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let mut token = event("user.token_refreshed", "t", ANA, json!({"client_id": "client"}));
    token["time"] = "2026-03-01T09:00:00Z".into();
    user_stats.handle_twice(&batch(&[token])).await;
    user_stats.handle_twice(&batch(&[event("user.suspended", "s", ANA, json!({"reason": "forged"}))])).await;
    assert_eq!(stack.notices().await.len(), 2);
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await, Value::Null);
    let answer = stack
        .invoke("pre-authentication", &[], tests::fixtures::event("pre-authentication/authentication"))
        .await;
    assert!(answer.is_ok());
}

#[tokio::test]
async fn erased_user_stays_erased() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[("ALLOW_ERASURE_EVENTS", "true")]);
    let confirmed = event("user.confirmed", "c", ANA, json!({"username": ANA, "email": "ana@example.com"}));
    let orders: Vec<Value> = (0..40).map(|i| order(&i.to_string(), ANA, "1.00")).collect();
    user_stats.handle_twice(&batch(&[&[confirmed][..], &orders].concat())).await;
    assert_eq!(stack.account.items().await.unwrap().len(), 83, "STATS, PROFILE, 41 events, 40 entries");
    user_stats.handle_twice(&batch(&[event("user.deleted", "d", ANA, json!({}))])).await;
    user_stats.handle_twice(&batch(&[order("late", ANA, "1.00")])).await;
    let items = stack.account.items().await.unwrap();
    assert_eq!(items.len(), 1);
    let marker = &items[&(format!("USER#{ANA}"), "STATS".to_owned())];
    assert_eq!((&marker["erasedAt"], &marker["orders"]), (&json!(1_772_442_000_000_i64), &Value::Null));
    assert_eq!(marker["expiresAt"], 1_772_442_000 + 32 * 24 * 3600);
    assert!(stack.account.count("EventsOfErasedUsers") > 0);
}

fn allowed_attempt(id: &str, sub: &str) -> Value {
    let data = json!({"flow": "pre_authentication", "outcome": "allowed", "reason": "not_suspended"});
    event("user.sign_in_attempted", id, sub, data)
}

#[tokio::test]
async fn allowed_attempt_is_stored_and_changes_no_statistics() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[("SIGN_IN_ATTEMPT_RETENTION_DAYS", "3")]);
    let bodies = [allowed_attempt("a", ANA), order("1", ANA, "1.00"), allowed_attempt("b", BEN)];
    user_stats.handle_twice(&batch(&bodies)).await;
    let stats = ana(&stack).await;
    assert_eq!((&stats["version"], &stats["signInsDenied"]), (&json!(1), &json!(0)));
    assert_eq!(stack.item(&format!("USER#{BEN}"), "STATS").await, Value::Null);
    for (sub, id) in [(ANA, "a"), (BEN, "b")] {
        let stored = stack.item(&format!("USER#{sub}"), &shared::events::attempt_key("/shop", id)).await;
        let body: Value = serde_json::from_str(stored["event"].as_str().unwrap()).unwrap();
        assert_eq!(body, allowed_attempt(id, sub));
        assert_eq!(
            (&stored["type"], &stored["time"], &stored["expiresAt"]),
            (
                &json!("user.sign_in_attempted"),
                &json!(1_772_442_000_000_i64),
                &json!(1_772_442_000 + 3 * 24 * 3600)
            )
        );
    }
    assert_eq!((stack.account.count("SignInAttemptsStored"), stack.account.count("EventsApplied")), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn attempt_that_is_not_stored_fails_its_message_and_no_other() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let bodies = batch(&[order("1", ANA, "1.00"), allowed_attempt("a", ANA), allowed_attempt("a", ANA)]);
    stack.account.faults.inject("BatchWriteItem", Fault::Error("AccessDeniedException"), 100);
    assert_eq!(user_stats.handle(&bodies).await, ["m1", "m2"]);
    stack.account.faults.clear();
    stack.account.faults.inject("BatchWriteItem", Fault::Error("ThrottlingException"), 100);
    assert_eq!(user_stats.handle(&bodies).await, ["m1", "m2"]);
    assert_eq!(stack.account.count("UsersThrottled"), 1);
    stack.account.faults.clear();
    user_stats.handle_twice(&bodies).await;
    assert_eq!(stack.store().count_attempts(&Partition::User(ANA.to_owned())).await.unwrap(), 1);
    assert_eq!(ana(&stack).await["version"], 1);
}

#[tokio::test]
async fn erasure_deletes_attempts_and_drops_later_ones() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[("ALLOW_ERASURE_EVENTS", "true")]);
    let attempts: Vec<Value> = (0..30).map(|i| allowed_attempt(&i.to_string(), ANA)).collect();
    user_stats.handle_twice(&batch(&attempts)).await;
    assert_eq!(stack.account.items().await.unwrap().len(), 30);
    let erasure = event("user.deleted", "d", ANA, json!({}));
    user_stats.handle_twice(&batch(&[erasure, allowed_attempt("same batch", ANA)])).await;
    user_stats.handle_twice(&batch(&[allowed_attempt("late", ANA)])).await;
    let items = stack.account.items().await.unwrap();
    assert_eq!(items.keys().map(|(_, sort)| sort.as_str()).collect::<Vec<_>>(), ["STATS"]);
}

/// Anyone who knows a user name can cause an attempt, without a password.
#[tokio::test]
async fn ten_thousand_attempts_within_an_hour_leave_at_most_sixty_items() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let function = stack.account.function(FunctionId::PreAuthentication, &[].into());
    let trigger = pre_authentication::Deps::new(&function).unwrap();
    user_stats.handle_twice(&batch(&[order("1", ANA, "1.00")])).await;
    for second in 0..3_600 {
        for _ in 0..if second % 9 < 7 { 3 } else { 2 } {
            let attempt = tests::fixtures::event("pre-authentication/authentication");
            assert!(pre_authentication::handle(&trigger, attempt).await.is_ok());
        }
        if second % 100 == 99 {
            let sent = stack.sent().await;
            assert!(sent.len() > 270, "{}", sent.len());
            user_stats.handle_twice(&batch(&sent)).await;
        }
        stack.account.time.advance(1);
    }
    let items = stack.account.items().await.unwrap();
    let attempts = items.keys().filter(|(_, sort)| sort.starts_with("ATTEMPT#")).count();
    assert_eq!((attempts, items.len()), (60, 63), "and the order, its entry and STATS");
    let stats = ana(&stack).await;
    assert_eq!((&stats["version"], &stats["orders"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn repeated_denial_counts_once_within_ten_minutes() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    stack.put_profile(ANA, "isBanned", json!(true)).await;
    let refuse = async |times: usize| {
        for _ in 0..times {
            let refresh = tests::fixtures::event_with("pre-token-generation/refresh-tokens", |event| {
                event["request"]["userAttributes"]["sub"] = ANA.into();
            });
            assert!(stack.invoke("pre-token-generation", &[], refresh).await.is_err());
            stack.account.time.advance(2);
        }
        let sent = stack.sent().await;
        assert_eq!(sent.len(), times);
        user_stats.handle_twice(&batch(&sent)).await;
        ana(&stack).await["signInsDenied"].as_u64().unwrap()
    };
    assert_eq!(refuse(6).await, 1, "a client library repeats a denied refresh six times");
    stack.account.time.advance(600);
    assert_eq!(refuse(6).await, 2);
}

#[tokio::test]
async fn sign_in_takes_at_most_five_write_units() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    stack.put_profile(ANA, "cognitoId", json!(ANA)).await;
    for trigger in ["pre-authentication", "pre-token-generation"] {
        let event = tests::fixtures::event(&format!("{trigger}/authentication"));
        assert!(stack.invoke(trigger, &[], event).await.is_ok());
    }
    let sent = stack.sent().await;
    assert_eq!(sent.len(), 2);
    stack.account.calls.clear_operations();
    // In two batches, so that nothing is shared.
    for body in sent {
        assert_eq!(user_stats.handle(&batch(&[body])).await, [] as [&str; 0]);
    }
    let units = stack.account.calls.writes().into_iter().map(|(operation, body)| {
        budgets::write_units::write_units(&operation, &serde_json::from_slice(&body).unwrap())
    });
    assert_eq!(units.sum::<u64>(), 5);
}

const THROTTLED: Fault = Fault::Cancelled(&["None", "ThrottlingError"]);
const CONFLICT: Fault = Fault::Cancelled(&["None", "ConditionalCheckFailed"]);

#[tokio::test(start_paused = true)]
async fn throttled_transaction_is_repeated_and_then_its_messages_wait() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let one = batch(&[order("1", ANA, "5.00")]);
    for (fault, metric, code, reason) in [
        (THROTTLED, "UsersThrottled", "throttled", "ThrottlingError"),
        (
            Fault::Cancelled(&["ProvisionedThroughputExceeded", "None"]),
            "UsersThrottled",
            "throttled",
            "ProvisionedThroughputExceeded",
        ),
        (CONFLICT, "UsersInConflict", "conflict", "ConditionalCheckFailed"),
        (Fault::Cancelled(&["None", "ValidationError"]), "", "store", "ValidationError"),
        (Fault::Error("ThrottlingException"), "UsersThrottled", "throttled", "ThrottlingException"),
    ] {
        tests::log::take_lines();
        let before = stack.account.count(metric);
        let store_failures = stack.account.count("StoreFailures");
        stack.account.calls.clear_operations();
        stack.account.faults.inject("TransactWriteItems", fault.clone(), 100);
        assert_eq!(user_stats.handle(&one).await, ["m0"], "{fault:?}");
        stack.account.faults.clear();
        assert_eq!(stack.account.count(metric) - before, u64::from(!metric.is_empty()), "{fault:?}");
        // A conflict is no failure of the table.
        let store_failures = stack.account.count("StoreFailures") - store_failures;
        assert_eq!(store_failures, u64::from(code != "conflict"), "{fault:?}");
        let lines = tests::log::take_lines();
        let is_reported =
            |line: &&String| line.contains(&format!("\"error_type\":\"{code}\"")) && line.contains(reason);
        assert_eq!(lines.iter().filter(is_reported).count(), 1, "{fault:?}: {lines:?}");
        let operations = stack.account.calls.operations();
        let is_delayed = operations.iter().any(|operation| operation == "ChangeMessageVisibilityBatch");
        assert_eq!(is_delayed, !metric.is_empty(), "{fault:?}");
    }
    assert_eq!(ana(&stack).await, Value::Null);
    stack.account.faults.inject("TransactWriteItems", THROTTLED, 7);
    user_stats.handle_twice(&one).await;
    let stats = ana(&stack).await;
    assert_eq!((&stats["orders"], &stats["version"]), (&json!(1), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn attempts_to_commit_are_counted_per_transaction() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let orders: Vec<Value> = (0..250).map(|i| order(&i.to_string(), ANA, "0.10")).collect();
    for _ in 0..6 {
        let conflict = Fault::Cancelled(&["TransactionConflict"]);
        stack.account.faults.inject("TransactWriteItems", conflict, 4);
        stack.account.faults.inject("TransactWriteItems", THROTTLED, 3);
        stack.account.faults.inject("TransactWriteItems", Fault::Served, 1);
    }
    user_stats.handle_twice(&batch(&orders)).await;
    let stats = ana(&stack).await;
    assert_eq!((&stats["orders"], &stats["version"]), (&json!(250), &json!(6)));
    assert_eq!((stack.account.count("UsersInConflict"), stack.account.count("UsersThrottled")), (0, 0));
}

#[tokio::test]
async fn repeated_erasure_keeps_the_time_of_the_first() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[("ALLOW_ERASURE_EVENTS", "true")]);
    for (id, expires_in) in [("d", 0), ("e", 600)] {
        user_stats.handle_twice(&batch(&[event("user.deleted", id, ANA, json!({}))])).await;
        let marker = stack.item(&format!("USER#{ANA}"), "STATS").await;
        assert_eq!(marker["erasedAt"], 1_772_442_000_000_i64);
        assert_eq!(marker["expiresAt"], 1_772_442_000 + expires_in + 32 * 24 * 3600);
        stack.account.time.advance(600);
    }
}

#[tokio::test]
async fn notice_claims_a_suspension_a_reinstatement_or_an_erasure_and_nothing_else() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[("ALLOW_ERASURE_EVENTS", "true")]);
    for (event_type, reason) in [
        ("profile.updated", Value::Null),
        ("user.suspended", json!("suspended")),
        ("user.reinstated", json!("reinstated")),
        ("user.deleted", json!("erased")),
        // The suspension of an erased user, whose token may still fill the cache.
        ("user.suspended", json!("suspended")),
    ] {
        user_stats.handle_twice(&batch(&[event(event_type, event_type, ANA, json!({}))])).await;
        let notices = stack.notices().await;
        let reasons: Vec<&Value> = notices.iter().map(|notice| &notice["data"]["reason"]).collect();
        assert_eq!(reasons, [&reason, &reason], "{event_type}");
    }
}

#[tokio::test]
async fn statistics_stay_below_a_kilobyte() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let client = json!({"flow": "password", "client_id": "client", "groups": []});
    let mut events = vec![
        event("user.confirmed", "c", ANA, json!({"username": ANA})),
        event("user.signed_in", "s", ANA, client),
        event("user.token_refreshed", "t", ANA, json!({"client_id": "client"})),
        event(
            "user.message_requested",
            "m",
            ANA,
            json!({"kind": "sign_up", "channel": "sms", "locale": "en"}),
        ),
        event("notification.read", "n", ANA, json!({"notification_id": "x"})),
    ];
    events.extend((0..10).map(|i| {
        event(
            "activity.recorded",
            &format!("a{i}"),
            ANA,
            json!({"description": "Looked at a lamp".repeat(9)}),
        )
    }));
    events.push(order("1", ANA, "123456.78"));
    user_stats.handle_twice(&batch(&events)).await;
    let item = ana(&stack).await;
    let bytes = statistics_bytes(&item);
    assert!(bytes <= 1024, "{bytes} bytes: {item}");
}

/// The size of Ana's STATS as DynamoDB counts it.
pub fn statistics_bytes(item: &Value) -> usize {
    let key = "PK".len() + "USER#".len() + ANA.len() + "SK".len() + "STATS".len();
    // The attributes of an item count their names and values. Maps and lists in it count more.
    let attributes = item.as_object().unwrap().iter().map(|(name, value)| name.len() + dynamodb_bytes(value));
    key + attributes.sum::<usize>()
}

/// The size of a value as DynamoDB counts it. Names and strings count their bytes, a number half
/// its digits plus one, and a list or a map three bytes plus one for each entry.
pub fn dynamodb_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => number.to_string().len().div_ceil(2) + 1,
        Value::String(text) => text.len(),
        Value::Array(items) => 3 + items.iter().map(|item| 1 + dynamodb_bytes(item)).sum::<usize>(),
        Value::Object(fields) => {
            3 + fields.iter().map(|(name, item)| 1 + name.len() + dynamodb_bytes(item)).sum::<usize>()
        }
    }
}

/// user-stats with the read API as origin, whose pages live for at most a minute.
const ADAPTIVE: (&str, &str) = ("ORIGIN_LIFETIME", "adaptive");
/// The rule that is not the default for such pages.
const BUDGET: (&str, &str) = ("INVALIDATION_POLICY", "*=budget");

/// An order whose client reads its own write.
fn client_aware_order(id: &str) -> Value {
    let mut order = order(id, ANA, "1.00");
    order["clientaware"] = true.into();
    order
}

/// Delivers changes one after the other, each twice, and returns the number of notices after each. Every
/// change has the seconds since the one before.
async fn notices_after(variables: crate::support::Variables<'_>, changes: &[(i64, Value)]) -> Vec<usize> {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(variables);
    let mut notices = Vec::new();
    for (seconds, change) in changes {
        stack.account.time.advance(*seconds);
        let mut change = change.clone();
        change["time"] = stack.account.time.now().to_string().into();
        let change = batch(&[change]);
        assert_eq!(user_stats.handle(&change).await, [] as [&str; 0]);
        let first = stack.notices().await.len();
        // The duplicate repeats a notice that may be missing. It never adds one to a change without.
        assert_eq!(user_stats.handle(&change).await, [] as [&str; 0]);
        assert!(stack.notices().await.len() <= 1);
        notices.push(first);
    }
    notices
}

#[tokio::test]
async fn change_of_a_client_that_reads_its_own_write_needs_no_notice_and_neither_do_its_follow_ups() {
    let activity = |id: &str| event("activity.recorded", id, ANA, json!({"description": "Packed"}));
    let changes = [
        (0, order("0", ANA, "1.00")),
        (3_600, client_aware_order("1")),
        (2, activity("a")),
        (13, activity("b")),
        (1, activity("c")),
        (3_600, activity("d")),
    ];
    // The first change has no page from before that lives long. The last but one is 16 s after the write:
    // other devices have pages from before it that live for a minute.
    assert_eq!(notices_after(&[ADAPTIVE, BUDGET], &changes).await, [0, 0, 0, 0, 1, 1]);
    assert_eq!(notices_after(&[ADAPTIVE], &changes).await, [0; 6], "pages are gone within a minute");
    // Another origin may not know `after`, and its pages may live for a minute at any age.
    assert_eq!(notices_after(&[], &changes).await, [1; 6]);
    assert_eq!(notices_after(&[("ORIGIN_LIFETIME", "fixed")], &changes).await, [1; 6]);
}

#[tokio::test]
async fn change_needs_no_notice_if_all_pages_from_before_it_are_gone_soon() {
    // A page of a change that is a minute and 40 seconds old lives for 10 seconds.
    let changes = |seconds: i64| {
        [(0, order("0", ANA, "1.00")), (3_600, order("1", ANA, "1.00")), (seconds, order("2", ANA, "1.00"))]
    };
    for (seconds, expected) in [(49, 1), (51, 0), (105, 0), (106, 1), (600, 1)] {
        // The pages from before the second order live for a minute.
        assert_eq!(
            notices_after(&[ADAPTIVE, BUDGET], &changes(seconds)).await,
            [0, 1, expected],
            "{seconds}"
        );
    }
    let short = [ADAPTIVE, BUDGET, ("MAX_CACHE_LIFETIME_SECONDS", "10")];
    assert_eq!(notices_after(&short, &changes(600)).await, [0; 3]);
    let fixed = [("MAX_CACHE_LIFETIME_SECONDS", "10")];
    assert_eq!(notices_after(&fixed, &changes(600)).await, [0; 3]);
    assert_eq!(notices_after(&[("MAX_CACHE_LIFETIME_SECONDS", "11")], &changes(0)).await, [1; 3]);
}

#[tokio::test]
async fn policy_decides_by_event_type() {
    let changes =
        [(0, order("0", ANA, "1.00")), (3_600, order("1", ANA, "1.00")), (20, client_aware_order("2"))];
    for (policy, expected) in [
        ("", [0, 0, 0]),
        ("order.placed=budget", [0, 1, 0]),
        ("order.placed=always", [1, 1, 1]),
        ("order.placed=never", [0, 0, 0]),
        ("*=never", [0, 0, 0]),
        ("*=never,order.placed=always", [1, 1, 1]),
    ] {
        let variables = [ADAPTIVE, ("INVALIDATION_POLICY", policy)];
        assert_eq!(notices_after(&variables, &changes).await, expected, "{policy}");
    }
    let suspended = [(0, event("user.suspended", "s", ANA, json!({})))];
    let never = [ADAPTIVE, ("INVALIDATION_POLICY", "*=never")];
    assert_eq!(notices_after(&never, &suspended).await, [1], "no policy hides a suspension");
}

#[tokio::test]
async fn notice_has_the_reason_policy_if_the_rule_is_always() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[ADAPTIVE, ("INVALIDATION_POLICY", "order.placed=always")]);
    user_stats.handle_twice(&batch(&[order("1", ANA, "1.00")])).await;
    let reasons: Vec<Value> =
        stack.notices().await.into_iter().map(|mut notice| notice["data"]["reason"].take()).collect();
    assert_eq!(reasons, ["policy", "policy"]);
}

#[tokio::test]
async fn skipped_notices_are_counted_by_reason() {
    let stack = test_stack().await;
    let user_stats =
        stack.user_stats(&[ADAPTIVE, ("INVALIDATION_POLICY", "*=budget,activity.recorded=never")]);
    let activity = event("activity.recorded", "a", ANA, json!({"description": "Packed"}));
    for change in [order("0", ANA, "1.00"), activity, client_aware_order("1")] {
        user_stats.handle_twice(&batch(&[change])).await;
    }
    let expected = [("expires_soon", 1), ("never", 1), ("client_aware", 1)];
    let expected = expected.map(|(reason, count)| (reason.to_owned(), count));
    assert_eq!(stack.account.counts("InvalidationsSkipped"), expected.into(), "duplicates do not count");
}

#[tokio::test]
async fn commit_of_a_client_that_reads_its_own_write_does_not_cancel_the_notice_that_another_commit_owes() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[ADAPTIVE, BUDGET]);
    user_stats.handle_twice(&batch(&[order("0", ANA, "1.00")])).await;
    stack.account.time.advance(3_600);
    let (owed, aware) = (later(&stack, order("1", ANA, "1.00")), later(&stack, client_aware_order("2")));
    // The worker ends between the commit and the notice.
    stack.account.faults.inject("SendMessageBatch", Fault::Refused, 100);
    assert_eq!(user_stats.handle(&batch(std::slice::from_ref(&owed))).await, ["m0"]);
    stack.account.faults.clear();
    assert_eq!(stack.notices().await, [] as [Value; 0]);
    let committed_at = stack.account.time.now();
    stack.account.time.advance(3);
    user_stats.handle_twice(&batch(std::slice::from_ref(&aware))).await;
    stack.notices().await;
    stack.account.time.advance(3);
    // The redelivered message, with and without the other one.
    for bodies in [vec![owed.clone()], vec![owed, aware]] {
        user_stats.handle_twice(&batch(&bodies)).await;
        let notices = stack.notices().await;
        assert_eq!(notices.len(), 2);
        for notice in notices {
            let changed_at: jiff::Timestamp = notice["data"]["changed_at"].as_str().unwrap().parse().unwrap();
            assert_eq!(changed_at, shared::time::plus_seconds(committed_at, 7));
            assert_eq!(notice["data"]["views"], json!(["dashboard", "orders"]));
        }
    }
}

/// The event with the time of the account's clock.
fn later(stack: &crate::support::TestStack, mut event: Value) -> Value {
    event["time"] = stack.account.time.now().to_string().into();
    event
}
