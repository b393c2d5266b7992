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

/// Replaces Cognito's placeholders as Cognito does.
fn filled(text: &Value, code: &str, username: &str) -> String {
    text.as_str().expect("a text").replace("{####}", code).replace("{username}", username)
}

#[tokio::test]
async fn invitation_names_what_the_user_signs_in_with() {
    let stack = test_stack().await;
    for (locale, email_address, phone_number) in [
        ("en", "email address and the temporary password", "phone number and the temporary password"),
        ("de", "E-Mail-Adresse und dem folgenden", "Telefonnummer und dem folgenden"),
        ("es", "correo electrónico y la contraseña", "número de teléfono y la contraseña"),
        ("fr", "adresse e-mail et le mot de passe", "numéro de téléphone et le mot de passe"),
        ("pt", "endereço de e-mail e a senha", "número de telefone e a senha"),
        ("ja", "メールアドレスと以下の仮パスワード", "電話番号と以下の仮パスワード"),
    ] {
        let invitation = |user_name: Option<&str>, has_email: bool| {
            let event = event_with("custom-message/admin-create-user", |event| {
                let attributes = &mut event["request"]["userAttributes"];
                attributes["locale"] = locale.into();
                attributes["phone_number"] = "+15550100".into();
                if !has_email {
                    attributes["email"] = Value::Null;
                }
                if let Some(user_name) = user_name {
                    event["userName"] = user_name.into();
                }
            });
            stack.response("custom-message", VARIABLES, event)
        };
        for (has_email, expected, other) in
            [(true, email_address, phone_number), (false, phone_number, email_address)]
        {
            let response = invitation(None, has_email).await;
            let html = response["emailMessage"].as_str().unwrap();
            assert!(html.contains(expected) && !html.contains(other), "{locale} {has_email}: {html}");
            let (password, reference) = (html.find("{####}").unwrap(), html.find("{username}").unwrap());
            assert!(password < reference, "{locale}: the user name is a reference at the end");
            assert_eq!(html.matches("{username}").count(), 1, "{locale}");
            let sms = response["smsMessage"].as_str().unwrap();
            assert!(sms.contains("(ID {username})") && sms.contains("{####}"), "{locale}: {sms}");
        }
        let response = invitation(Some("carla"), true).await;
        let html = response["emailMessage"].as_str().unwrap();
        assert!(!html.contains(email_address) && !html.contains(phone_number), "{locale}");
        assert!(html.find("{username}").unwrap() < html.find("{####}").unwrap(), "{locale}");
    }
}

#[tokio::test]
async fn filled_in_sms_has_at_most_140_characters_with_the_longest_values() {
    let stack = test_stack().await;
    let variables = [("PRODUCT_NAME", "A product name of exactly 40 characters.")];
    let password = "k7Fq2Zp9xW4tRb8n";
    for locale in ["en", "de", "es", "fr", "pt", "ja"] {
        for user_name in ["3f0d97ac-15e8-4c62-b7d4-92a86e1f5c08", "a-user-name-of-exactly-36-characters"] {
            let event = event_with("custom-message/admin-create-user", |event| {
                event["userName"] = user_name.into();
                event["request"]["userAttributes"]["locale"] = locale.into();
                event["request"]["userAttributes"]["phone_number"] = "+15550100".into();
            });
            let response = stack.response("custom-message", &variables, event).await;
            let sms = filled(&response["smsMessage"], password, user_name);
            assert!(sms.contains(password) && sms.contains(user_name), "{sms}");
            assert!((6..=140).contains(&sms.chars().count()), "{locale}: {} {sms}", sms.chars().count());
        }
    }
}

#[tokio::test]
async fn user_name_that_is_too_long_for_an_sms_matters_only_to_a_user_with_a_phone_number() {
    let stack = test_stack().await;
    let invitation = |phone_number: Value| {
        event_with("custom-message/admin-create-user", |event| {
            event["userName"] = "c".repeat(128).into();
            event["request"]["userAttributes"]["phone_number"] = phone_number;
        })
    };
    let response = stack.response("custom-message", VARIABLES, invitation(Value::Null)).await;
    assert!(response["emailMessage"].as_str().unwrap().contains("{username}"));
    let response = stack.response("custom-message", VARIABLES, invitation("+15550100".into())).await;
    assert_eq!(response, json!({"smsMessage": null, "emailMessage": null, "emailSubject": null}));
    assert_eq!(stack.account.count("MessagesNotRendered"), 1);
}

#[tokio::test]
async fn pool_that_verifies_by_link_gets_cognitos_link_where_cognito_replaces_it() {
    let stack = test_stack().await;
    let variables = [VARIABLES, &[("EMAIL_VERIFICATION", "link")]].concat();
    for (kind, has_link) in [
        ("sign-up", true),
        ("resend-code", true),
        ("forgot-password", false),
        ("update-user-attribute", false),
        ("verify-user-attribute", false),
        ("authentication", false),
        ("admin-create-user", false),
    ] {
        for locale in ["en", "de", "es", "fr", "pt", "ja"] {
            let event = event_with(&format!("custom-message/{kind}"), |event| {
                event["request"]["userAttributes"]["locale"] = locale.into();
            });
            let response = stack.response("custom-message", &variables, event).await;
            let html = response["emailMessage"].as_str().unwrap();
            assert_eq!(html.matches("{##Click Here##}").count(), usize::from(has_link), "{kind} {locale}");
            assert_eq!(html.contains("{####}"), !has_link, "{kind} {locale}: a link email has no code");
            assert!(response["smsMessage"].as_str().unwrap().contains("{####}"), "{kind} {locale}");
            if has_link {
                assert!(!html.contains("https://www.example.com/account/"), "{kind} {locale}");
            }
        }
    }
    let event = event_with("custom-message/sign-up", |event| event["request"]["linkParameter"] = Value::Null);
    let response = stack.response("custom-message", &variables, event).await;
    assert_eq!(response["emailMessage"], Value::Null, "Cognito sends its own text");
}

#[tokio::test]
async fn pool_that_verifies_by_code_gets_no_link_of_cognito() {
    let stack = test_stack().await;
    let response = stack.response("custom-message", VARIABLES, event("custom-message/sign-up")).await;
    let html = response["emailMessage"].as_str().unwrap();
    assert!(html.contains("{####}") && !html.contains("{##Click Here##}"), "the event has a linkParameter");
}

#[tokio::test]
async fn greeting_falls_back_to_the_given_and_the_family_name() {
    let stack = test_stack().await;
    let event = event_with("custom-message/admin-create-user", |event| {
        let attributes = &mut event["request"]["userAttributes"];
        attributes["name"] = Value::Null;
        attributes["given_name"] = "Ana".into();
        attributes["family_name"] = "Silva".into();
    });
    let html = stack.response("custom-message", VARIABLES, event).await["emailMessage"].to_string();
    assert!(html.contains("Hello Ana Silva,"), "{html}");
}

#[tokio::test]
async fn app_can_choose_the_language_if_the_operator_allows_it() {
    let stack = test_stack().await;
    let subject = |allowed: &'static str, locale: &'static str| {
        let stack = &stack;
        async move {
            let variables = [VARIABLES, &[("LOCALE_FROM_CLIENT_METADATA", allowed)]].concat();
            let event = event_with("custom-message/sign-up", |event| {
                event["request"]["userAttributes"]["locale"] = Value::Null;
                event["request"]["clientMetadata"]["locale"] = locale.into();
            });
            let response = stack.response("custom-message", &variables, event).await;
            (response["emailSubject"].clone(), stack.sent().await[0]["data"]["locale"].clone())
        }
    };
    let (german, english) =
        ("Bestätigen Sie Ihr Konto bei Example Shop", "Confirm your Example Shop account");
    assert_eq!(subject("true", "de").await, (json!(german), json!("de")));
    assert_eq!(subject("false", "de").await, (json!(english), json!("en")));
    assert_eq!(subject("true", "{####}").await, (json!(english), json!("en")));
}

#[tokio::test]
async fn invisible_characters_of_a_name_do_not_reach_the_email() {
    let stack = test_stack().await;
    let event = event_with("custom-message/admin-create-user", |event| {
        event["request"]["userAttributes"]["name"] = "Ana\u{1d173} Exa\u{378}mple\u{e000}".into();
    });
    let html = stack.response("custom-message", VARIABLES, event).await["emailMessage"].to_string();
    assert!(html.contains("Hello Ana Example,"), "{html}");
}
