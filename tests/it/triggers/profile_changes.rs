//! pre-token-generation: the profile follows the user pool.

use std::time::Duration;

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::events::Confirmed;
use tests::fixtures::event_with;
use triggers::TriggerEvent;

use crate::support::{ANA, TestStack, batch, test_stack};

/// Limit for one invocation without the cold start. Cognito waits five seconds.
const LIMIT: Duration = Duration::from_millis(2_500);

/// A profile as it was written at the confirmation.
fn profile() -> Value {
    json!({
        "cognitoId": ANA, "username": "ana1", "email": "ana@example.com", "name": "Ana Example",
        "createdAt": 1_772_000_000_000_i64, "isEmailVerified": true, "isBanned": false,
    })
}

async fn stack_with_profile(attributes: Value) -> TestStack {
    let stack = test_stack().await;
    stack.put(&format!("USER#{ANA}"), "PROFILE", attributes).await;
    stack.account.calls.clear_operations();
    stack
}

async fn stored(stack: &TestStack) -> Value {
    stack.item(&format!("USER#{ANA}"), "PROFILE").await
}

/// A token for a user with these attributes. Null removes an attribute of the fixture.
fn token(attributes: &[(&str, &str)]) -> TriggerEvent {
    event_with("pre-token-generation/refresh-tokens", |event| {
        event["request"]["userAttributes"] = json!({"sub": ANA});
        for (name, value) in attributes {
            event["request"]["userAttributes"][*name] = (*value).into();
        }
    })
}

const CHANGED: [(&str, &str); 4] = [
    ("email", "ana@example.org"),
    ("email_verified", "true"),
    ("name", "Ana Silva"),
    ("preferred_username", "zoe"),
];

#[tokio::test]
async fn profile_follows_a_changed_and_verified_user_with_three_calls() {
    let stack = stack_with_profile(profile()).await;
    stack.invoke("pre-token-generation", &[], token(&CHANGED)).await.unwrap();
    assert_eq!(stack.account.calls.operations(), ["BatchGetItem", "UpdateItem", "SendMessageBatch"]);
    let mut expected = profile();
    expected["email"] = "ana@example.org".into();
    expected["name"] = "Ana Silva".into();
    expected["preferredUsername"] = "zoe".into();
    assert_eq!(stored(&stack).await, expected);
    let sent = stack.sent().await;
    let updated = sent.iter().find(|event| event["type"] == "profile.updated").unwrap();
    assert_eq!((&updated["subject"], sent.len()), (&json!(ANA), 2));
    assert_eq!(updated["data"], json!({"changed": ["email", "name", "preferredUsername"]}));

    stack.account.calls.clear_operations();
    stack.invoke("pre-token-generation", &[], token(&CHANGED)).await.unwrap();
    assert_eq!(stack.account.calls.operations(), ["BatchGetItem", "SendMessage"], "nothing changed");
}

#[tokio::test]
async fn change_of_the_profile_makes_the_cached_pages_stale() {
    let stack = stack_with_profile(profile()).await;
    stack.invoke("pre-token-generation", &[], token(&CHANGED)).await.unwrap();
    let sent = stack.sent().await;
    stack.user_stats(&[]).handle_twice(&batch(&sent)).await;
    let notices = stack.notices().await;
    assert!(notices.iter().any(|notice| notice["subject"] == ANA), "{notices:?}");
}

#[tokio::test]
async fn profile_keeps_what_is_not_verified_and_what_the_user_no_longer_has() {
    for attributes in [
        &[("email", "ana@example.org"), ("email_verified", "false"), ("name", "Ana Example")][..],
        &[("email", "ana@example.org"), ("name", "Ana Example")],
        &[("email", "ana@example.com"), ("email_verified", "false")],
        &[("name", "")],
        &[],
    ] {
        let stack = stack_with_profile(profile()).await;
        stack.invoke("pre-token-generation", &[], token(attributes)).await.unwrap();
        assert_eq!(stack.account.calls.operations(), ["BatchGetItem", "SendMessage"], "{attributes:?}");
        assert_eq!(stored(&stack).await, profile(), "{attributes:?}");
    }
}

#[tokio::test]
async fn address_that_is_verified_later_counts_as_verified() {
    let mut unverified = profile();
    unverified["isEmailVerified"] = false.into();
    let stack = stack_with_profile(unverified).await;
    let attributes = [("email", "ana@example.com"), ("email_verified", "true")];
    stack.invoke("pre-token-generation", &[], token(&attributes)).await.unwrap();
    assert_eq!(stored(&stack).await, profile());
}

#[tokio::test]
async fn update_never_creates_a_profile() {
    let stack = test_stack().await;
    stack.invoke("pre-token-generation", &[], token(&CHANGED)).await.unwrap();
    assert_eq!(stored(&stack).await, Value::Null);

    // The profile was erased after the trigger had read it.
    let user = |name: &str| Confirmed {
        username: "ana1".into(),
        email: None,
        email_verified: false,
        name: Some(name.to_owned()),
        preferred_username: Some("zoe".to_owned()),
    };
    for left in [None, Some(json!({"isBanned": true}))] {
        let stack = stack_with_profile(profile()).await;
        let state = stack.store().read_sign_in_state(ANA).await.unwrap();
        let partition = shared::store::Partition::User(ANA.to_owned());
        stack.store().delete_profile(&partition).await.unwrap();
        if let Some(left) = left.clone() {
            stack.put(&format!("USER#{ANA}"), "PROFILE", left).await;
        }
        let changes = state.followed.changes(&user("Ana Silva"));
        assert!(!stack.store().update_profile(ANA, &changes).await.unwrap());
        assert_eq!(stored(&stack).await, left.unwrap_or_default());
    }

    // Another token was faster.
    let stack = stack_with_profile(profile()).await;
    let state = stack.store().read_sign_in_state(ANA).await.unwrap();
    let faster = state.followed.changes(&user("Ana Newer"));
    let slower = state.followed.changes(&user("Ana Older"));
    assert!(stack.store().update_profile(ANA, &faster).await.unwrap());
    assert!(!stack.store().update_profile(ANA, &slower).await.unwrap());
    assert_eq!(stored(&stack).await["name"], "Ana Newer");
}

#[tokio::test]
async fn failed_update_does_not_block_the_token_and_is_repeated_by_the_next_one() {
    let stack = stack_with_profile(profile()).await;
    stack.account.faults.inject("UpdateItem", Fault::Error("AccessDeniedException"), 100);
    stack.invoke("pre-token-generation", &[], token(&CHANGED)).await.unwrap();
    assert_eq!(stack.account.count("ProfileWriteFailures"), 1);
    assert_eq!(stored(&stack).await, profile());
    let types: Vec<Value> = stack.sent().await.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["user.token_refreshed"], "the profile did not change");

    stack.account.faults.clear();
    stack.invoke("pre-token-generation", &[], token(&CHANGED)).await.unwrap();
    assert_eq!(stored(&stack).await["name"], "Ana Silva");
    assert_eq!(stack.sent().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn update_whose_answer_is_missing_is_published() {
    let stack = stack_with_profile(profile()).await;
    stack.account.faults.inject("UpdateItem", Fault::ReplyLost, 100);
    stack.invoke("pre-token-generation", &[], token(&CHANGED)).await.unwrap();
    stack.account.faults.clear();
    assert_eq!(stored(&stack).await["name"], "Ana Silva", "the update was made");
    assert!(stack.sent().await.iter().any(|event| event["type"] == "profile.updated"));
}

#[tokio::test(start_paused = true)]
async fn token_is_issued_in_time_if_aws_hangs_after_the_read() {
    for fault in [Fault::Hang, Fault::Refused, Fault::ReplyLost, Fault::Error("ThrottlingException")] {
        let stack = stack_with_profile(profile()).await;
        for operation in ["UpdateItem", "SendMessage", "SendMessageBatch"] {
            stack.account.faults.inject(operation, fault.clone(), 100);
        }
        let begun = tokio::time::Instant::now();
        let answer = stack.invoke("pre-token-generation", &[], token(&CHANGED)).await;
        assert!(answer.is_ok(), "{fault:?}");
        assert!(begun.elapsed() < LIMIT, "{fault:?}: {:?}", begun.elapsed());
        assert_eq!(stack.account.count("ProfileWriteFailures"), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn token_is_issued_in_time_if_the_read_is_slow_and_then_aws_hangs() {
    let stack = stack_with_profile(profile()).await;
    // The first attempt hangs until its timeout, and the second one succeeds.
    stack.account.faults.inject("BatchGetItem", Fault::Hang, 1);
    for operation in ["UpdateItem", "SendMessage", "SendMessageBatch"] {
        stack.account.faults.inject(operation, Fault::Hang, 100);
    }
    let begun = tokio::time::Instant::now();
    assert!(stack.invoke("pre-token-generation", &[], token(&CHANGED)).await.is_ok());
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}
