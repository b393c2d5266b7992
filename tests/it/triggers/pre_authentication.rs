//! pre-authentication.

use serde_json::json;
use shared::suspension::Suspension;
use tests::fixtures::event;
use triggers::sign_in::DENIED;

use crate::support::{ANA, Rig, rig};

/// Bans Ana for some seconds, or for good.
pub async fn suspension(rig: &Rig, seconds: Option<i64>) {
    let at = rig.account.time.now();
    let until = seconds.map(|seconds| shared::time::plus_seconds(at, seconds));
    let suspension = Suspension { reason: "spam".into(), until, by: "support".into(), at };
    assert!(rig.store().write_suspension(ANA, &suspension).await.unwrap());
}

#[tokio::test]
async fn who_is_not_banned_goes_on_and_what_the_client_claims_is_marked_as_such() {
    let rig = rig().await;
    rig.response("pre-authentication", &[], event("pre-authentication/with-client-metadata")).await;
    assert_eq!(rig.account.faults.calls()[..2], ["GetItem", "SendMessage"]);
    let sent = rig.sent().await;
    let expected = json!({
        "flow": "pre_authentication", "outcome": "allowed", "reason": "not_suspended",
        "claimed_by_client": {"ip": "192.0.2.10", "userAgent": "ExampleApp/1.0"},
    });
    assert_eq!(sent[0]["data"], expected);
}

#[tokio::test]
async fn a_suspension_holds_until_it_ends() {
    let rig = rig().await;
    suspension(&rig, Some(60)).await;
    let sign_in = || rig.invoke("pre-authentication", &[], event("pre-authentication/authentication"));
    assert_eq!(sign_in().await, Err(DENIED));
    rig.account.time.advance(59);
    assert_eq!(sign_in().await, Err(DENIED));
    rig.account.time.advance(1);
    assert!(sign_in().await.is_ok());
    let sent = rig.sent().await;
    assert!(sent.iter().any(|event| event["data"]["reason"] == "suspended"));
    assert!(!json!(sent).to_string().contains("spam"), "the reason of a suspension stays in the table");
}

#[tokio::test]
async fn of_two_decisions_the_later_one_holds_in_whatever_order_they_are_written() {
    let rig = rig().await;
    suspension(&rig, None).await;
    let earlier = shared::time::minus_seconds(rig.account.time.now(), 1);
    let lifted = Suspension { reason: "settled".into(), until: Some(earlier), by: "support".into(), at: earlier };
    assert!(!rig.store().write_suspension(ANA, &lifted).await.unwrap());
    let answer = rig.invoke("pre-authentication", &[], event("pre-authentication/authentication")).await;
    assert_eq!(answer, Err(DENIED));
}

#[tokio::test]
async fn an_unknown_user_takes_the_same_path_and_is_not_stored() {
    let rig = rig().await;
    let known = rig.invoke("pre-authentication", &[], event("pre-authentication/authentication")).await;
    let calls_for_known = rig.account.faults.calls();
    rig.account.faults.forget_calls();
    let unknown = rig.invoke("pre-authentication", &[], event("pre-authentication/user-not-found")).await;
    assert_eq!((known.is_ok(), unknown.is_ok()), (true, true));
    assert_eq!(rig.account.faults.calls(), calls_for_known);
    let sent = rig.sent().await;
    assert!(sent.iter().any(|event| event["subject"] == "unknown"));
    assert!(!json!(sent).to_string().contains('@'));
}
