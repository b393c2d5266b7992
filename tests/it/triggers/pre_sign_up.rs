//! pre-sign-up.

use serde_json::json;
use tests::fixtures::{event, event_with};

use crate::support::test_stack;

#[tokio::test]
async fn allowed_sign_up_is_published_by_domain() {
    let stack = test_stack().await;
    let response = stack.response("pre-sign-up", &[], event("pre-sign-up/sign-up")).await;
    assert_eq!(
        response,
        json!({"autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false})
    );
    let sent = stack.sent().await;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["subject"], "domain:example.com");
    assert_eq!(sent[0]["source"], "/cognito/eu-central-1_EXAMPLE01");
    assert_eq!(sent[0]["data"], json!({"outcome": "allowed", "reason": "any_domain", "channel": "self"}));
    assert_eq!(stack.account.calls.operations()[0], "SendMessage", "one call");
}

#[tokio::test]
async fn reason_of_a_denied_sign_up_is_published_but_hidden_from_the_user() {
    let stack = test_stack().await;
    let variables = [("ALLOWED_EMAIL_DOMAINS", "example.com")];
    let error =
        stack.invoke("pre-sign-up", &variables, event("pre-sign-up/denied-domain")).await.unwrap_err();
    assert_eq!(error.message, "Sign-up is not possible with this email address");
    let sent = stack.sent().await;
    assert_eq!(sent[0]["subject"], "domain:other", "users cannot fill the table with domains");
    assert_eq!(
        sent[0]["data"],
        json!({"outcome": "denied", "reason": "domain_not_allowed", "channel": "self"})
    );
    assert!(!sent[0].to_string().contains("mallory"));
    assert_eq!(stack.account.counts("SignUpsDenied"), [("domain_not_allowed".to_owned(), 1)].into());
}

#[tokio::test]
async fn address_of_a_list_is_neither_in_the_event_nor_in_a_metric() {
    let stack = test_stack().await;
    let variables = [
        ("ALLOWED_EMAIL_DOMAINS", "example.org, ANA@example.com"),
        ("BLOCKED_EMAIL_DOMAINS", "Ben.Blocked@example.org, example.com"),
    ];
    let of = |email: &str| {
        event_with("pre-sign-up/sign-up", |event| event["request"]["userAttributes"]["email"] = email.into())
    };
    assert!(stack.invoke("pre-sign-up", &variables, of("ana@example.com")).await.is_ok());
    let error = stack.invoke("pre-sign-up", &variables, of("ben.blocked@example.org")).await.unwrap_err();
    assert_eq!(error.message, "Sign-up is not possible with this email address");
    let sent = stack.sent().await;
    let told: Vec<_> = sent.iter().map(|event| (&event["subject"], &event["data"]["reason"])).collect();
    assert_eq!(
        told,
        [
            (&json!("domain:example.com"), &json!("allowed_address")),
            (&json!("domain:example.org"), &json!("blocked_address")),
        ]
    );
    assert!(sent.iter().all(|event| !event.to_string().contains('@')), "{sent:?}");
    assert_eq!(stack.account.counts("SignUpsDenied"), [("blocked_address".to_owned(), 1)].into());
}

#[tokio::test]
async fn trusted_domain_skips_verification_only_if_the_operator_enables_it() {
    let stack = test_stack().await;
    let trusted = ("TRUSTED_EMAIL_DOMAINS", "example.com");
    let response = stack.response("pre-sign-up", &[trusted], event("pre-sign-up/sign-up")).await;
    assert_eq!(response["autoConfirmUser"], false);
    let variables = [trusted, ("TRUSTED_DOMAINS_SKIP_VERIFICATION", "true")];
    let response = stack.response("pre-sign-up", &variables, event("pre-sign-up/sign-up")).await;
    assert_eq!(response, json!({"autoConfirmUser": true, "autoVerifyEmail": true, "autoVerifyPhone": false}));
}

#[tokio::test]
async fn policy_applies_to_provider_users_but_not_to_users_that_an_administrator_creates() {
    let stack = test_stack().await;
    let variables = [("ALLOWED_EMAIL_DOMAINS", "allowed.test")];
    assert!(stack.invoke("pre-sign-up", &variables, event("pre-sign-up/admin-create-user")).await.is_ok());
    assert!(stack.invoke("pre-sign-up", &variables, event("pre-sign-up/external-provider")).await.is_err());
}

#[tokio::test]
async fn sign_up_without_an_email_address_needs_the_operators_permission() {
    let stack = test_stack().await;
    let without = || {
        event_with("pre-sign-up/sign-up", |event| {
            event["request"]["userAttributes"].as_object_mut().unwrap().remove("email");
        })
    };
    assert!(stack.invoke("pre-sign-up", &[], without()).await.is_err());
    assert!(stack.invoke("pre-sign-up", &[("ALLOW_WITHOUT_EMAIL", "true")], without()).await.is_ok());
}
