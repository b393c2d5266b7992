//! The five triggers.

mod corpus;
mod custom_message;
mod failures;
mod post_confirmation;
mod pre_authentication;
mod pre_sign_up;
mod pre_token_generation;
mod profile_changes;
mod suspensions;
mod undecodable;

use serde_json::{Value, json};
use tests::fixtures::{self, event_with};
use triggers::TriggerEvent;

use crate::support::test_stack;

/// Each trigger and one of its fixtures.
const FIXTURES: [(&str, &str); 5] = [
    ("pre-sign-up", "pre-sign-up/sign-up"),
    ("post-confirmation", "post-confirmation/confirm-sign-up"),
    ("pre-authentication", "pre-authentication/authentication"),
    ("pre-token-generation", "pre-token-generation/authentication"),
    ("custom-message", "custom-message/sign-up"),
];

#[tokio::test]
async fn unknown_trigger_source_passes_through_unchanged() {
    let stack = test_stack().await;
    for (function, fixture) in FIXTURES {
        let mut event = fixtures::json(fixture);
        event["triggerSource"] = "Something_New".into();
        let answer = stack.invoke(function, &[], TriggerEvent::from_json(&event.to_string()).unwrap()).await;
        assert_eq!(answer, Ok(event), "{function}");
    }
    assert_eq!(stack.account.calls.operations(), [] as [&str; 0]);
}

#[tokio::test]
async fn new_trigger_source_bypasses_neither_suspension_nor_domain_policy() {
    let stack = test_stack().await;
    let with_source =
        |fixture: &str, source: &str| event_with(fixture, |event| event["triggerSource"] = source.into());
    let suspended = || with_source("pre-token-generation/authentication", "TokenGeneration_New");
    assert!(stack.invoke("pre-token-generation", &[], suspended()).await.is_ok());
    pre_authentication::suspend(&stack, None).await;
    let answer = stack.invoke("pre-token-generation", &[], suspended()).await;
    assert_eq!(answer, Err(triggers::sign_in::DENIED));
    let suspended = with_source("pre-authentication/authentication", "PreAuthentication_New");
    let answer = stack.invoke("pre-authentication", &[], suspended).await;
    assert_eq!(answer, Err(triggers::sign_in::DENIED));

    let sent: Vec<Value> =
        stack.sent().await.into_iter().map(|event| event["data"]["flow"].clone()).collect();
    assert_eq!(sent.iter().filter(|flow| **flow == "other").count(), 2, "{sent:?}");

    let variables = [
        ("ALLOWED_EMAIL_DOMAINS", "example.org"),
        ("TRUSTED_EMAIL_DOMAINS", "example.com"),
        ("TRUSTED_DOMAINS_SKIP_VERIFICATION", "true"),
    ];
    let denied = with_source("pre-sign-up/denied-domain", "PreSignUp_New");
    assert!(stack.invoke("pre-sign-up", &variables, denied).await.is_err());
    let allowed = with_source("pre-sign-up/sign-up", "PreSignUp_New");
    let response = stack.response("pre-sign-up", &variables, allowed).await;
    assert_eq!(response["autoConfirmUser"], false, "an unknown source skips no verification");
}

#[tokio::test]
async fn every_fixture_gets_an_answer_in_which_only_response_changes() {
    let stack = test_stack().await;
    for name in fixtures::all() {
        let function = name.split('/').next().unwrap();
        if FIXTURES.iter().all(|(trigger, _)| *trigger != function) {
            continue;
        }
        let sent = fixtures::json(&name);
        let mut answer = stack
            .invoke(function, &[], fixtures::event(&name))
            .await
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        answer["response"] = sent["response"].clone();
        assert_eq!(answer, sent, "{name}");
    }
}

#[tokio::test]
async fn unexpected_values_cause_no_panic_and_are_not_quoted() {
    let long = "x".repeat(2048);
    let changes: Vec<Value> = vec![
        json!({"request": null}),
        json!({"request": {}}),
        json!({"request": {"userAttributes": null}}),
        json!({"request": {"userAttributes": []}}),
        json!({"request": {"userAttributes": {"sub": null, "email": null, "name": null}}}),
        json!({"request": {"userAttributes": {"sub": true, "email": false, "email_verified": true, "name": 7}}}),
        json!({"request": {"userAttributes": {"email": "josé@exämple.test", "name": "田中 \u{202e}さくら", "locale": "xx-ÄÖ"}}}),
        json!({"request": {"userAttributes": {"email": long, "name": long, "sub": long, "locale": long, "identities": long}}}),
        json!({"request": {"userAttributes": {"email": {"a": [1]}, "identities": "[{\"providerName\": 7}]"}}}),
        json!({"request": {"groupConfiguration": {"groupsToOverride": null, "iamRolesToOverride": "x", "preferredRole": 1}}}),
        json!({"request": {"groupConfiguration": []}, "version": 2}),
        json!({"request": {"codeParameter": null, "usernameParameter": 3, "validationData": [], "userNotFound": "yes"}}),
        json!({"userName": null, "callerContext": null, "userPoolId": 3, "version": null}),
        json!({"response": {}}),
        json!({"response": null}),
        json!({"response": "text"}),
    ];
    let stack = test_stack().await;
    for (function, fixture) in FIXTURES {
        for change in &changes {
            let event = event_with(fixture, |event| {
                for (name, value) in change.as_object().unwrap() {
                    event[name] = value.clone();
                }
            });
            // A denial is one of a few constant sentences. A panic would fail the test.
            if let Err(error) = stack.invoke(function, &[], event).await {
                assert!(error.message.starts_with("Sign-"), "{function} {change}: {error:?}");
            }
        }
    }
}
