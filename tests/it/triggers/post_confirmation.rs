//! post-confirmation.

use serde_json::json;
use shared::suspension::Suspension;
use tests::fixtures::{event, event_with};

use crate::support::{ANA, test_stack};

#[tokio::test]
async fn confirmed_user_gets_a_profile_and_an_event() {
    let stack = test_stack().await;
    let response = stack.response("post-confirmation", &[], event("post-confirmation/confirm-sign-up")).await;
    assert_eq!(response, json!({}));
    let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    let expected = json!({
        "cognitoId": ANA, "username": ANA, "email": "ana@example.com", "name": "Ana Example",
        "createdAt": 1_772_442_000_000_i64, "isEmailVerified": true, "isBanned": false,
    });
    assert_eq!(profile, expected);
    let mut calls = stack.account.calls.operations();
    calls.truncate(2);
    calls.sort();
    assert_eq!(calls, ["SendMessage", "UpdateItem"]);
    let sent = stack.sent().await;
    assert_eq!((&sent[0]["type"], &sent[0]["subject"]), (&json!("user.confirmed"), &json!(ANA)));
}

#[tokio::test]
async fn second_confirmation_changes_nothing_and_has_the_same_id() {
    let stack = test_stack().await;
    stack.response("post-confirmation", &[], event("post-confirmation/confirm-sign-up")).await;
    let first = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    stack.account.time.advance(60);
    let again = event_with("post-confirmation/confirm-sign-up", |event| {
        event["request"]["userAttributes"]["name"] = "Another Name".into();
    });
    stack.response("post-confirmation", &[], again).await;
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await, first);
    let sent = stack.sent().await;
    assert_eq!((sent.len(), &sent[0]["id"]), (2, &sent[1]["id"]));
}

#[tokio::test]
async fn earlier_suspension_survives_the_confirmation() {
    let stack = test_stack().await;
    let at = stack.account.time.now();
    let suspension = Suspension { reason: "spam".into(), until: None, by: "support".into(), at };
    assert!(stack.store().write_suspension(ANA, &suspension).await.unwrap());
    stack.response("post-confirmation", &[], event("post-confirmation/confirm-sign-up")).await;
    let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!((&profile["isBanned"], &profile["email"]), (&json!(true), &json!("ana@example.com")));
    assert_eq!(stack.item(&format!("SUSPENSION#{ANA}"), "SUSPENSION").await["reason"], "spam");
}

#[tokio::test]
async fn password_reset_publishes_an_event_and_writes_nothing() {
    let stack = test_stack().await;
    stack.response("post-confirmation", &[], event("post-confirmation/confirm-forgot-password")).await;
    let sent = stack.sent().await;
    assert_eq!((&sent[0]["type"], &sent[0]["data"]), (&json!("user.password_reset"), &json!({})));
    assert_eq!(stack.account.items().await.unwrap().len(), 0);
}

#[tokio::test]
async fn federated_user_gets_a_profile() {
    let stack = test_stack().await;
    stack.response("post-confirmation", &[], event("post-confirmation/federated-sign-up")).await;
    let items = stack.account.items().await.unwrap();
    let profile = items.values().next().unwrap();
    assert!(profile["username"].as_str().unwrap().starts_with("Google_"));
}

#[tokio::test]
async fn profile_has_the_preferred_username_beside_the_username() {
    let stack = test_stack().await;
    let event = event_with("post-confirmation/confirm-sign-up", |event| {
        event["userName"] = "zoe1".into();
        event["request"]["userAttributes"]["preferred_username"] = "zoe".into();
    });
    stack.response("post-confirmation", &[], event).await;
    let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!((&profile["username"], &profile["preferredUsername"]), (&json!("zoe1"), &json!("zoe")));
    let data = &stack.sent().await[0]["data"];
    assert_eq!((&data["username"], &data["preferred_username"]), (&json!("zoe1"), &json!("zoe")));
}

#[tokio::test]
async fn profile_has_the_given_and_the_family_name_if_there_is_no_name() {
    let stack = test_stack().await;
    let event = event_with("post-confirmation/confirm-sign-up", |event| {
        let attributes = &mut event["request"]["userAttributes"];
        attributes["name"] = json!(null);
        attributes["given_name"] = "Ana".into();
        attributes["family_name"] = "Silva".into();
    });
    stack.response("post-confirmation", &[], event).await;
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await["name"], "Ana Silva");
    assert_eq!(stack.sent().await[0]["data"]["name"], "Ana Silva");
}
