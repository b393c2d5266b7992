//! custom-message.

use serde_json::{Value, json};
use tests::fixtures::{event, event_with};

use crate::support::{ANA, Variables, test_stack};

const VARIABLES: Variables<'static> = &[
    ("PRODUCT_NAME", "Example Shop"),
    ("EMAIL_THROUGH_SES", "true"),
    ("SUPPORT_URL", "https://www.example.com/help"),
    ("LINK_BASE_URL", "https://www.example.com/account"),
];

#[tokio::test]
async fn every_message_is_within_cognitos_limits_in_every_language() {
    let stack = test_stack().await;
    let kinds = [
        "sign-up",
        "admin-create-user",
        "resend-code",
        "forgot-password",
        "update-user-attribute",
        "verify-user-attribute",
        "authentication",
    ];
    let mut subjects = std::collections::BTreeSet::new();
    for kind in kinds {
        for locale in ["en-GB", "de_DE", "es", "fr", "pt-BR", "ja"] {
            let event = event_with(&format!("custom-message/{kind}"), |event| {
                event["request"]["userAttributes"]["locale"] = locale.into();
            });
            let response = stack.response("custom-message", VARIABLES, event).await;
            let text = |name: &str| {
                response[name].as_str().unwrap_or_else(|| panic!("{kind} {locale} {name}")).to_owned()
            };
            assert!((6..=140).contains(&text("smsMessage").chars().count()), "{kind} {locale}");
            assert!((6..=20_000).contains(&text("emailMessage").chars().count()), "{kind} {locale}");
            assert!((1..=140).contains(&text("emailSubject").chars().count()), "{kind} {locale}");
            for message in [text("smsMessage"), text("emailMessage")] {
                assert!(message.contains("{####}"), "{kind} {locale}");
                assert_eq!(message.contains("{username}"), kind == "admin-create-user", "{kind} {locale}");
            }
            subjects.insert((locale, text("emailSubject")));
        }
    }
    assert!(subjects.len() >= 30, "the kinds have different subjects: {subjects:?}");
}

#[tokio::test]
async fn pool_without_ses_gets_only_the_sms_text() {
    let stack = test_stack().await;
    let response = stack.response("custom-message", &[], event("custom-message/forgot-password")).await;
    assert!(response["smsMessage"].is_string());
    assert_eq!((&response["emailMessage"], &response["emailSubject"]), (&Value::Null, &Value::Null));
    let sent = stack.sent().await;
    assert_eq!(sent[0]["type"], "user.message_requested");
    assert_eq!(sent[0]["data"]["kind"], "forgot_password");
    assert_eq!(sent[0]["data"]["channel"], "sms");
}

#[tokio::test]
async fn name_cannot_put_a_link_or_a_tag_into_the_email() {
    let stack = test_stack().await;
    for name in
        ["<script>alert(1)</script>", "Visit https://evil.test now", "evil.test", "{####}", "{username}"]
    {
        let event = event_with("custom-message/admin-create-user", |event| {
            event["request"]["userAttributes"]["name"] = name.into();
        });
        let response = stack.response("custom-message", VARIABLES, event).await;
        let html = response["emailMessage"].as_str().unwrap();
        assert!(
            !html.contains("script") && !html.contains("evil") && html.matches("{username}").count() == 1,
            "{name}"
        );
    }
    let event = event_with("custom-message/admin-create-user", |event| {
        event["request"]["userAttributes"]["name"] = "O'Hara & Sons".into();
    });
    let html = stack.response("custom-message", VARIABLES, event).await["emailMessage"].to_string();
    assert!(html.contains("Hara &#38; Sons") || html.contains("Hara &amp; Sons"), "escaped");
}

#[tokio::test]
async fn name_is_only_in_messages_to_known_addresses() {
    let stack = test_stack().await;
    for (kind, shown) in [
        ("sign-up", false),
        ("resend-code", false),
        ("update-user-attribute", false),
        ("verify-user-attribute", false),
        ("forgot-password", true),
        ("authentication", true),
        ("admin-create-user", true),
    ] {
        let event = event_with(&format!("custom-message/{kind}"), |event| {
            event["request"]["userAttributes"]["name"] = "Zoe Example".into();
            event["request"]["userAttributes"]["email_verified"] = "true".into();
        });
        let response = stack.response("custom-message", VARIABLES, event).await;
        assert_eq!(response["emailMessage"].to_string().contains("Zoe Example"), shown, "{kind}");
        let event = event_with(&format!("custom-message/{kind}"), |event| {
            event["request"]["userAttributes"]["name"] = "Zoe Example".into();
            event["request"]["userAttributes"]["email_verified"] = "false".into();
        });
        let response = stack.response("custom-message", VARIABLES, event).await;
        let shown = kind == "admin-create-user";
        assert_eq!(
            response["emailMessage"].to_string().contains("Zoe Example"),
            shown,
            "{kind} not verified"
        );
    }
}

#[tokio::test]
async fn message_that_cannot_be_rendered_is_left_to_cognito() {
    let stack = test_stack().await;
    let without_code =
        event_with("custom-message/sign-up", |event| event["request"]["codeParameter"] = Value::Null);
    let response = stack.response("custom-message", VARIABLES, without_code).await;
    assert_eq!(response, json!({"smsMessage": null, "emailMessage": null, "emailSubject": null}));
    let sent = stack.sent().await;
    assert_eq!((&sent[0]["subject"], &sent[0]["data"]["channel"]), (&json!(ANA), &json!("default")));
}

#[tokio::test]
async fn link_contains_the_code_but_never_a_temporary_password() {
    let stack = test_stack().await;
    let html = |kind: &str| {
        let event = event(&format!("custom-message/{kind}"));
        let stack = &stack;
        async move { stack.response("custom-message", VARIABLES, event).await["emailMessage"].to_string() }
    };
    assert!(html("sign-up").await.contains("https://www.example.com/account/sign-up?username="));
    let admin_created = html("admin-create-user").await;
    assert!(
        admin_created.contains("https://www.example.com/account/admin-create-user\\\""),
        "{admin_created}"
    );
    assert!(!admin_created.contains("username="));
    assert!(!html("authentication").await.contains("https://www.example.com/account/"));
}
