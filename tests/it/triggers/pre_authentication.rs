//! pre-authentication.

use serde_json::json;
use shared::suspension::Suspension;
use tests::fixtures::event;
use triggers::sign_in::DENIED;

use crate::support::{ANA, TestStack, test_stack};

/// Suspends Ana for `seconds`, or without an end.
pub async fn suspend(stack: &TestStack, seconds: Option<i64>) {
    let at = stack.account.time.now();
    let until = seconds.map(|seconds| shared::time::plus_seconds(at, seconds));
    let suspension = Suspension { reason: "spam".into(), until, by: "support".into(), at };
    assert!(stack.store().write_suspension(ANA, &suspension).await.unwrap());
}

#[tokio::test]
async fn user_without_a_suspension_may_sign_in_and_client_data_is_marked_as_claimed() {
    let stack = test_stack().await;
    stack.response("pre-authentication", &[], event("pre-authentication/with-client-metadata")).await;
    assert_eq!(stack.account.calls.operations()[..2], ["BatchGetItem", "SendMessage"]);
    let sent = stack.sent().await;
    let expected = json!({
        "flow": "pre_authentication", "outcome": "allowed", "reason": "not_suspended",
        "claimed_by_client": {"ip": "192.0.2.10", "userAgent": "ExampleApp/1.0"},
    });
    assert_eq!(sent[0]["data"], expected);
}

#[tokio::test]
async fn suspension_denies_sign_ins_until_its_end() {
    let stack = test_stack().await;
    suspend(&stack, Some(60)).await;
    let sign_in = || stack.invoke("pre-authentication", &[], event("pre-authentication/authentication"));
    assert_eq!(sign_in().await, Err(DENIED));
    stack.account.time.advance(59);
    assert_eq!(sign_in().await, Err(DENIED));
    stack.account.time.advance(1);
    assert!(sign_in().await.is_ok());
    let sent = stack.sent().await;
    assert!(sent.iter().any(|event| event["data"]["reason"] == "suspended"));
    assert!(!json!(sent).to_string().contains("spam"), "no event contains the reason of a suspension");
}

#[tokio::test]
async fn later_decision_wins_whatever_the_order_of_writes() {
    let stack = test_stack().await;
    suspend(&stack, None).await;
    let earlier = shared::time::minus_seconds(stack.account.time.now(), 1);
    let reinstatement =
        Suspension { reason: "settled".into(), until: Some(earlier), by: "support".into(), at: earlier };
    assert!(!stack.store().write_suspension(ANA, &reinstatement).await.unwrap());
    let answer = stack.invoke("pre-authentication", &[], event("pre-authentication/authentication")).await;
    assert_eq!(answer, Err(DENIED));
}

#[tokio::test]
async fn unknown_user_causes_the_same_calls_and_is_not_stored() {
    let stack = test_stack().await;
    let known = stack.invoke("pre-authentication", &[], event("pre-authentication/authentication")).await;
    let calls_for_known = stack.account.calls.operations();
    stack.account.calls.clear_operations();
    let unknown = stack.invoke("pre-authentication", &[], event("pre-authentication/user-not-found")).await;
    assert_eq!((known.is_ok(), unknown.is_ok()), (true, true));
    assert_eq!(stack.account.calls.operations(), calls_for_known);
    let sent = stack.sent().await;
    assert!(sent.iter().any(|event| event["subject"] == "unknown"));
    assert!(!json!(sent).to_string().contains('@'));
}
