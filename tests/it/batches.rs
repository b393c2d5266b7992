//! Malformed batches. No message is lost, and none blocks the others.

use aws_lambda_events::sqs::SqsEvent;
use serde_json::{Value, json};
use workers::BatchError;

use crate::support::{ANA, TestStack, batch, event, order, test_stack};

/// A rule that manages the group of the tests.
const RULES: &str = r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#;
const WORKERS: [&str; 5] =
    ["user-stats", "cache-invalidation", "group-membership", "resource-permission", "account-activity"];

/// Gives a batch to a worker. Returns the ids of the failed messages, or the error that fails the
/// whole batch.
async fn handle(stack: &TestStack, worker: &str, records: Value) -> Result<Vec<String>, BatchError> {
    let event: SqsEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
    match worker {
        "user-stats" => stack.user_stats(&[]).try_handle(&event).await,
        "cache-invalidation" => stack.cache_invalidation(&[]).try_handle(&event).await,
        "group-membership" => stack.group_membership(&[]).try_handle(&event).await,
        "account-activity" => stack.account_activity(&[]).try_handle(&event).await,
        _ => stack.resource_permission().try_handle(&event).await,
    }
}

async fn dead_letter_reasons(stack: &TestStack, worker: &str) -> Vec<String> {
    let queues = match worker {
        "user-stats" => &stack.account.user_events,
        "cache-invalidation" => &stack.account.cache_invalidations,
        "group-membership" => &stack.account.group_memberships,
        "account-activity" => &stack.account.account_activities,
        _ => &stack.account.resource_permissions,
    };
    stack.dead_letters(queues).await.into_iter().map(|(_, reason)| reason).collect()
}

#[tokio::test]
async fn empty_batch_succeeds() {
    let stack = test_stack().await;
    for worker in WORKERS {
        assert_eq!(handle(&stack, worker, json!([])).await, Ok(vec![]), "{worker}");
    }
}

#[tokio::test]
async fn record_without_a_body_fails_until_sqs_moves_it_to_the_dead_letter_queue() {
    let stack = test_stack().await;
    for worker in WORKERS {
        let records = json!([{"messageId": "m"}, {"messageId": "n", "body": ""}]);
        assert_eq!(handle(&stack, worker, records).await, Ok(vec!["m".into(), "n".into()]), "{worker}");
        assert_eq!(
            dead_letter_reasons(&stack, worker).await,
            [] as [&str; 0],
            "SQS accepts no empty body: {worker}"
        );
    }
}

#[tokio::test]
async fn record_without_attributes_is_handled() {
    let stack = test_stack().await;
    let records = json!([{"messageId": "m", "body": order("1", ANA, "1.00").to_string()}]);
    assert_eq!(handle(&stack, "user-stats", records).await, Ok(vec![]));
    assert_eq!(stack.item(&format!("USER#{ANA}"), "STATS").await["orders"], 1);
    for worker in WORKERS {
        let records = json!([{"messageId": "m", "body": "not JSON"}]);
        assert_eq!(handle(&stack, worker, records).await, Ok(vec![]), "{worker}");
        let expected = if worker == "account-activity" { "not_cloudtrail" } else { "not_json" };
        assert_eq!(dead_letter_reasons(&stack, worker).await, [expected], "{worker}");
    }
}

#[tokio::test]
async fn failed_record_without_an_id_fails_the_whole_batch() {
    let stack = test_stack().await;
    for worker in WORKERS {
        let records = json!([{"body": ""}, {"messageId": "m", "body": "not JSON"}]);
        let failed = handle(&stack, worker, records).await;
        assert!(failed.is_err_and(|error| error.to_string().contains("no messageId")), "{worker}");
        let records = json!([{"body": "not JSON"}]);
        assert_eq!(
            handle(&stack, worker, records).await,
            Ok(vec![]),
            "a message that succeeds needs no id: {worker}"
        );
    }
}

#[tokio::test]
async fn message_that_is_in_a_batch_twice_counts_once_or_fails_once() {
    let stack = test_stack().await;
    let record = json!({"messageId": "m", "body": order("1", ANA, "1.00").to_string()});
    assert_eq!(handle(&stack, "user-stats", json!([record, record])).await, Ok(vec![]));
    assert_eq!(stack.item(&format!("USER#{ANA}"), "STATS").await["orders"], 1);
    stack.account.faults.inject("*", sandbox::aws::Fault::Error("AccessDeniedException"), 100);
    let record = json!({"messageId": "m", "body": order("2", ANA, "1.00").to_string()});
    let failed = handle(&stack, "user-stats", json!([record, record])).await;
    assert_eq!(failed, Ok(vec!["m".into()]), "an id is in the response once");
}

#[tokio::test]
async fn foreign_large_and_full_messages_do_not_block_others() {
    let stack = test_stack().await;
    let attribute =
        json!({"dataType": "String", "stringValue": "x", "stringListValues": [], "binaryListValues": []});
    let ten: serde_json::Map<String, Value> =
        (0..10).map(|index| (format!("a{index}"), attribute.clone())).collect();
    let records = json!([
        {"messageId": "elsewhere", "body": order("1", ANA, "1.00").to_string(), "eventSourceARN": "arn:aws:sqs:x:1:y"},
        {"messageId": "full", "body": "not JSON", "messageAttributes": ten},
        {"messageId": "large", "body": "x".repeat(1024 * 1024)},
        {"messageId": "good", "body": order("2", ANA, "1.00").to_string()},
    ]);
    let failed = handle(&stack, "user-stats", records).await;
    assert_eq!(failed, Ok(vec!["full".into(), "large".into()]), "SQS moves them after too many receives");
    assert_eq!(stack.item(&format!("USER#{ANA}"), "STATS").await["orders"], 2);
}

#[tokio::test]
async fn timeout_that_is_too_short_for_one_step_is_logged_and_counted() {
    for worker in WORKERS {
        let stack = test_stack().await;
        let deadline = shared::time::plus_seconds(stack.account.time.now(), 10);
        let failed = match worker {
            "user-stats" => {
                let event = batch(&[order("1", ANA, "1.00")]);
                stack.user_stats(&[]).handle_until(&event, deadline).await
            }
            "cache-invalidation" => {
                let data = json!({"views": ["orders"], "changed_at": "2026-03-02T08:59:50Z"});
                let event = batch(&[event("user.data_changed", "1", ANA, data)]);
                stack.cache_invalidation(&[]).handle_until(&event, deadline).await
            }
            "account-activity" => {
                let record = crate::account_activity::call("AdminDisableUser", "1", ANA);
                stack.account_activity(&[]).handle_until(&batch(&[record]), deadline).await
            }
            "resource-permission" => {
                let data = json!({"resource": "orders/ana", "revoked_by": "ana"});
                let event = batch(&[event("permission.revoked", "1", ANA, data)]);
                stack.resource_permission().handle_until(&event, deadline).await
            }
            _ => {
                let data = json!({
                    "user_pool_id": "eu-central-1_Example", "username": "ana", "add": ["Developer"], "remove": [],
                });
                let mut mapped = event("user.groups_mapped", "1", ANA, data);
                mapped["source"] = json!("/cognito/eu-central-1_Example");
                stack
                    .group_membership(&[("GROUP_RULES", RULES)])
                    .handle_until(&batch(&[mapped]), deadline)
                    .await
            }
        };
        assert_eq!(failed, ["m0"], "{worker}");
        let counted = stack.account.counts("MessagesOutOfTime");
        assert_eq!(counted, [("timeout_too_short".to_owned(), 1)].into(), "{worker}");
        let lines = tests::log::take_lines();
        let is_error = |line: &String| line.contains("ERROR") && line.contains("timeout_too_short");
        assert!(lines.iter().any(is_error), "{worker}: {lines:?}");
    }
}
