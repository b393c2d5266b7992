//! Events with half an emoji (`\ud83d`), as JavaScript cuts strings, and with other values that no
//! Rust string or number can hold.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use tests::fixtures;
use triggers::{TriggerError, TriggerEvent};

use super::FIXTURES;
use crate::support::{ANA, TestStack, Variables, test_stack};

const VARIABLES: Variables<'static> = &[
    ("PRODUCT_NAME", "Example Shop"),
    ("EMAIL_THROUGH_SES", "true"),
    ("LOCALE_FROM_CLIENT_METADATA", "true"),
    ("GROUP_RULES", r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#),
];

/// Stands for the undecodable value while the event is a `Value`.
const MARK: &str = "undecodable";

/// A fixture with a value, as JSON text, at a JSON pointer.
fn fixture_with(fixture: &str, place: &str, value: &str) -> String {
    let mut event = fixtures::json(fixture);
    let (parent, name) = place.rsplit_once('/').unwrap();
    if event.pointer(parent).is_none_or(Value::is_null) {
        let (above, parent) = parent.rsplit_once('/').unwrap();
        event.pointer_mut(above).unwrap()[parent] = json!({});
    }
    event.pointer_mut(parent).unwrap()[name] = MARK.into();
    event.to_string().replace(&format!("\"{MARK}\""), value)
}

/// The answer to an event as JSON text.
async fn answer(stack: &TestStack, function: &str, json: &str) -> Result<String, TriggerError> {
    let event = TriggerEvent::from_json(json).unwrap();
    let function = FunctionId::from_name(function).unwrap();
    let variables = VARIABLES.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let answer = sandbox::functions::invoke_trigger(&stack.account, function, &variables, event);
    answer.await.unwrap().map(|event| serde_json::to_string(&event).unwrap())
}

/// The top-level fields, except for `response`, as JSON text, and `response`.
fn split(json: &str) -> (BTreeMap<String, String>, Value) {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).unwrap();
    let mut fields: BTreeMap<String, String> =
        fields.into_iter().map(|(name, raw)| (name, raw.get().to_owned())).collect();
    let response = fields.remove("response").unwrap();
    (fields, serde_json::from_str(&response).unwrap())
}

#[tokio::test]
async fn undecodable_value_that_a_trigger_does_not_need_counts_as_missing() {
    let places = [
        "/callerContext/clientId",
        "/callerContext/awsSdkVersion",
        "/region",
        "/request/clientMetadata",
        "/request/clientMetadata/locale",
        "/request/validationData/ip",
        "/request/userAttributes/custom:note",
        "/request/userAttributes/name",
        "/request/userAttributes/locale",
        "/request/new",
        "/new",
    ];
    let values = [r#""hi \ud83d""#, r#""\ude00""#, "1e999"];
    let stack = test_stack().await;
    for (function, fixture) in FIXTURES {
        for (place, value) in places.iter().flat_map(|place| values.map(|value| (*place, value))) {
            let case = format!("{function}, {place} = {value}");
            let sent = fixture_with(fixture, place, value);
            let answered = answer(&stack, function, &sent).await.expect(&case);
            let without = answer(&stack, function, &fixture_with(fixture, place, "null")).await.unwrap();
            let ((fields, response), (expected, _)) = (split(&answered), split(&sent));
            assert_eq!(fields, expected, "{case}: goes back byte for byte");
            assert_eq!(response, split(&without).1, "{case}");
        }
    }
}

#[tokio::test]
async fn object_with_an_undecodable_name_keeps_its_other_fields() {
    let stack = test_stack().await;
    let note = r#"{"\ud83d": "\ud83d", "locale": "de"}"#;
    let sent = fixture_with("custom-message/sign-up", "/request/clientMetadata", note);
    let answered = answer(&stack, "custom-message", &sent).await.unwrap();
    assert!(answered.contains(note), "{answered}");
    assert_eq!(split(&answered).1["emailSubject"], "Bestätigen Sie Ihr Konto bei Example Shop");
}

#[tokio::test]
async fn undecodable_name_is_left_out_of_the_profile() {
    let stack = test_stack().await;
    let place = "/request/userAttributes/name";
    let sent = fixture_with("post-confirmation/confirm-sign-up", place, r#""Ana \ud83d""#);
    assert_eq!(answer(&stack, "post-confirmation", &sent).await.as_deref(), Ok(sent.as_str()));
    let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!((&profile["email"], &profile["name"]), (&json!("ana@example.com"), &Value::Null));
}

#[tokio::test]
async fn undecodable_email_address_is_denied_even_if_users_may_have_none() {
    let stack = test_stack().await;
    let place = "/request/userAttributes/email";
    for (value, reason) in [(r#""\ud83d@example.com""#, "invalid_address"), ("null", "no_email")] {
        let sent = fixture_with("pre-sign-up/sign-up", place, value);
        let denied = answer(&stack, "pre-sign-up", &sent).await.unwrap_err();
        assert_eq!(denied.error_type, "sign_up_denied", "{value}");
        assert_eq!(stack.sent().await[0]["data"]["reason"], reason, "{value}");
    }
    let event = TriggerEvent::from_json(&fixture_with("pre-sign-up/sign-up", place, r#""\ud83d""#)).unwrap();
    let denied = stack.invoke("pre-sign-up", &[("ALLOW_WITHOUT_EMAIL", "true")], event).await.unwrap_err();
    assert_eq!(denied.error_type, "sign_up_denied");
}

#[tokio::test]
async fn event_whose_user_or_source_is_undecodable_is_an_error() {
    let stack = test_stack().await;
    for (function, fixture) in FIXTURES {
        for place in ["/triggerSource", "/userName", "/request/userAttributes/sub"] {
            let sent = fixture_with(fixture, place, r#""\ud83d""#);
            let error = answer(&stack, function, &sent).await.unwrap_err();
            assert_eq!(error.error_type, "unreadable_event", "{function}, {place}");
        }
    }
    assert_eq!(stack.account.calls.operations(), [] as [&str; 0]);
}
