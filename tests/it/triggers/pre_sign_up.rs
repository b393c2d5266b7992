//! pre-sign-up.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::config::Environment;
use shared::function_id::FunctionId;
use shared::suspended_email::{KEY_VARIABLE, SuspendedEmailHash, SuspendedEmailKey};
use shared::time::plus_seconds;
use tests::fixtures::{event, event_with};
use triggers::TriggerEvent;
use triggers::pre_sign_up::{self, DENIED};

use crate::support::{TestStack, test_stack};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const CHECK: [(&str, &str); 2] = [("CHECK_SUSPENDED_EMAILS", "true"), (KEY_VARIABLE, KEY)];

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

fn hash(email: &str) -> SuspendedEmailHash {
    let key = SuspendedEmailKey::from_environment(&Environment::from_iter([(KEY_VARIABLE, KEY)]));
    SuspendedEmailHash::of(email, &key.unwrap().unwrap()).unwrap()
}

/// Suspends an address for a number of seconds from now, or without an end.
async fn suspend_email(stack: &TestStack, email: &str, seconds: Option<i64>) {
    let now = stack.account.time.now();
    let until = seconds.map(|seconds| plus_seconds(now, seconds));
    assert!(stack.store().write_suspended_email(&hash(email), now, until).await.unwrap());
    stack.account.calls.clear_operations();
}

fn sign_up_as(fixture: &str, email: &str) -> TriggerEvent {
    event_with(&format!("pre-sign-up/{fixture}"), |event| {
        event["request"]["userAttributes"]["email"] = email.into();
    })
}

#[tokio::test]
async fn suspended_address_is_denied_in_every_channel_but_for_administrators() {
    let stack = test_stack().await;
    suspend_email(&stack, "ana@example.com", None).await;
    let all_channels = [CHECK[0], CHECK[1], ("CHECK_ADMIN_CREATED", "true")];
    let skipping = [
        CHECK[0],
        CHECK[1],
        ("ALLOWED_EMAIL_DOMAINS", "ana@example.com"),
        ("TRUSTED_EMAIL_DOMAINS", "example.com"),
        ("TRUSTED_DOMAINS_SKIP_VERIFICATION", "true"),
    ];
    let other_key = [CHECK[0], (KEY_VARIABLE, "another key of 32 characters or more")];
    for (variables, fixture, email, is_allowed) in [
        (&CHECK[..], "sign-up", "ana@example.com", false),
        (&CHECK, "sign-up", "ANA+new@Example.com.", false),
        (&CHECK, "sign-up", "ben@example.com", true),
        (&CHECK, "external-provider", "ana@example.com", false),
        (&CHECK, "admin-create-user", "ana@example.com", true),
        (&all_channels, "admin-create-user", "ana@example.com", false),
        (&skipping, "sign-up", "ana+new@example.com", false),
        (&skipping, "sign-up", "ana@example.com", false),
        // Without the check, and with another key, the item has no effect.
        (&[], "sign-up", "ana@example.com", true),
        (&other_key, "sign-up", "ana@example.com", true),
    ] {
        let answer = stack.invoke("pre-sign-up", variables, sign_up_as(fixture, email)).await;
        match answer {
            Ok(_) => assert!(is_allowed, "{variables:?} {fixture} {email}"),
            Err(error) => assert_eq!((is_allowed, error), (false, DENIED), "{variables:?} {fixture} {email}"),
        }
    }
    let sent = stack.sent().await;
    let denied = sent.iter().filter(|event| event["data"]["outcome"] == "denied");
    let reasons: Vec<&Value> = denied.map(|event| &event["data"]["reason"]).collect();
    assert_eq!(reasons, [&json!("suspended_email"); 6]);
    let text = format!("{sent:?}");
    assert!(!text.contains('@') && !text.contains(hash("ana@example.com").as_str()), "{text}");
    assert_eq!(stack.account.counts("SignUpsDenied"), [("suspended_email".to_owned(), 6)].into());
}

#[tokio::test]
async fn suspension_of_an_address_ends_by_itself() {
    let stack = test_stack().await;
    suspend_email(&stack, "ana@example.com", Some(60)).await;
    let sign_up =
        async || stack.invoke("pre-sign-up", &CHECK, sign_up_as("sign-up", "ana@example.com")).await.is_ok();
    assert!(!sign_up().await);
    stack.account.time.advance(59);
    assert!(!sign_up().await);
    stack.account.time.advance(1);
    assert!(sign_up().await, "the item is still in the table");
}

#[tokio::test]
async fn check_of_suspended_addresses_costs_one_read_for_a_sign_up_that_the_rules_allow() {
    let stack = test_stack().await;
    let blocked = [CHECK[0], CHECK[1], ("BLOCKED_EMAIL_DOMAINS", "example.com")];
    let lenient = [CHECK[0], CHECK[1], ("ALLOW_WITHOUT_EMAIL", "true")];
    for (variables, email, operations) in [
        (&CHECK[..], "ana@example.com", &["GetItem", "SendMessage"][..]),
        (&[], "ana@example.com", &["SendMessage"]),
        (&[(KEY_VARIABLE, KEY)], "ana@example.com", &["SendMessage"]),
        (&blocked, "ana@example.com", &["SendMessage"]),
        (&lenient, "", &["SendMessage"]),
    ] {
        stack.account.calls.clear_operations();
        let _ = stack.invoke("pre-sign-up", variables, sign_up_as("sign-up", email)).await;
        assert_eq!(stack.account.calls.operations(), operations, "{variables:?} {email:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_or_unavailable_suspension_of_an_address_denies_by_default() {
    for (item, fault, on_store_error, reason) in [
        (json!({"at": "yesterday"}), None, "allow", "unreadable_suspension"),
        (json!({"at": 1_772_442_000}), None, "deny", "unreadable_suspension"),
        (json!({"at": [], "until": {}}), None, "deny", "unreadable_suspension"),
        (json!({}), None, "allow", "unreadable_suspension"),
        (json!({"at": 1_772_442_000_000_i64}), Some("InternalServerError"), "deny", "store_error"),
        (json!({"at": 1_772_442_000_000_i64}), Some("InternalServerError"), "allow", "any_domain"),
    ] {
        let stack = test_stack().await;
        let partition = format!("SUSPENDED_EMAIL#{}", hash("ana@example.com").as_str());
        stack.put(&partition, "SUSPENSION", item.clone()).await;
        if let Some(code) = fault {
            stack.account.faults.inject("GetItem", Fault::Error(code), 100);
        }
        let variables = [CHECK[0], CHECK[1], ("ON_STORE_ERROR", on_store_error)];
        let answer = stack.invoke("pre-sign-up", &variables, sign_up_as("sign-up", "ana@example.com")).await;
        assert_eq!(answer.is_ok(), reason == "any_domain", "{item} {on_store_error}");
        assert_eq!(stack.sent().await[0]["data"]["reason"], reason, "{item} {on_store_error}");
        // A failure of the table is counted, whatever the decision.
        assert_eq!(stack.account.count("StoreFailures"), u64::from(fault.is_some()), "{item}");
    }
}

#[tokio::test]
async fn unreadable_suspension_of_an_address_is_replaced_and_deleted() {
    let address = hash("ana@example.com");
    for at in [json!("yesterday"), json!(1_772_442_000), json!(9_999_999_999_999_999_i64), json!([])] {
        let stack = test_stack().await;
        let now = stack.account.time.now();
        let unreadable = || async {
            let partition = format!("SUSPENDED_EMAIL#{}", address.as_str());
            stack.put(&partition, "SUSPENSION", json!({ "at": at })).await;
        };
        unreadable().await;
        assert!(stack.store().write_suspended_email(&address, now, None).await.unwrap(), "{at}");
        assert!(stack.store().delete_suspended_email(&address, now).await.unwrap(), "{at}");
        unreadable().await;
        assert!(stack.store().delete_suspended_email(&address, now).await.unwrap(), "{at}");
    }
}

#[tokio::test]
async fn check_of_suspended_addresses_needs_the_key_and_the_table() {
    let stack = test_stack().await;
    let error = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let function = stack.account.function(FunctionId::PreSignUp, &variables.collect());
        pre_sign_up::Deps::new(&function).err().map(|error| error.to_string())
    };
    let without_table = ("TABLE_NAME", "");
    assert_eq!(error(&[without_table]), None, "the check is off");
    assert_eq!(error(&CHECK), None);
    assert_eq!(
        error(&[CHECK[0], CHECK[1], without_table]).as_deref(),
        Some("TABLE_NAME: is required but not set")
    );
    let expected = "SUSPENDED_EMAIL_KEY: is required, because CHECK_SUSPENDED_EMAILS is true";
    assert!(error(&CHECK[..1]).is_some_and(|error| error.starts_with(expected)));
}
