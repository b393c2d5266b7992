//! The binary as Lambda runs it, with a Runtime API and an AWS account on loopback.

use std::sync::Arc;

use sandbox::aws::{Fault, SandboxAccount, TABLE};
use serde_json::{Value, json};
use shared::time::{Clock, plus_seconds};
use tests::fixtures;
use tests::lambda::{self, Answer};

const BINARY: &str = env!("CARGO_BIN_EXE_read-api-under-test");
const ISSUER: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE01";

async fn start(account: &Arc<SandboxAccount>, more: &[(&'static str, &'static str)]) -> lambda::Function {
    let variables = [
        ("TABLE_NAME", TABLE),
        ("USER_EVENTS_QUEUE_URL", account.user_events.url.as_str()),
        ("CLIENT_IDS", "1example23456789"),
        ("ISSUER_URL", ISSUER),
        ("LOGIN_URL", "https://login.example.com"),
        ("PRODUCT_NAME", "Example Shop"),
    ];
    let kept = variables.iter().copied().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    let variables: Vec<(&str, &str)> = kept.chain(more.iter().copied()).collect();
    lambda::start(BINARY, Some(account.clone()), &variables).await
}

async fn account() -> Arc<SandboxAccount> {
    Arc::new(SandboxAccount::start("2026-03-02T09:00:00Z".parse().unwrap()).await.unwrap())
}

/// The fixture with a token that is valid now, because the binary uses the machine's clock.
fn valid_now(name: &str) -> String {
    let mut event = fixtures::json(name);
    let end = plus_seconds(Clock::system().now(), 3600).as_second().to_string();
    if let Some(exp) = event.pointer_mut("/requestContext/authorizer/jwt/claims/exp") {
        *exp = end.into();
    }
    event.to_string()
}

fn response(answer: Answer) -> Value {
    match answer {
        Answer::Response(response) => response,
        Answer::Error(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn binary_answers_in_the_format_of_api_gateway() {
    let account = account().await;
    let mut function = start(&account, &[("ADMIN_GROUPS", "Support")]).await;
    for (name, status) in [
        ("config", 200),
        ("dashboard", 200),
        ("orders", 200),
        ("profile", 200),
        ("shared-orders", 404),
        ("mark-as-read", 404),
        ("user-of-an-administrator", 404),
    ] {
        let response = response(function.invoke(&valid_now(&format!("read-api/{name}"))).await);
        assert_eq!(response["statusCode"], status, "{name}");
        assert_eq!(response["isBase64Encoded"], false, "{name}");
        assert!(response["headers"]["Cache-Control"].is_string(), "{name}");
        let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        assert!(body.is_object(), "{name}");
    }
    // The token of the fixture has expired.
    let expired = response(function.invoke(&fixtures::text("read-api/dashboard")).await);
    assert_eq!(expired["statusCode"], 401);
    let output = function.stop().await;
    assert!(output.contains("token refused") && output.contains("RequestsRefused"), "{output}");
    assert!(!output.contains("Bearer") && !output.contains("ERROR"), "{output}");
}

#[tokio::test]
async fn event_of_any_form_is_answered_and_the_function_goes_on() {
    let account = account().await;
    let mut function = start(&account, &[]).await;
    for event in
        ["{}", "[]", "null", "\"text\"", r#"{"rawPath": "\ud83d"}"#, r#"{"headers": {"\ud83d": "x"}}"#]
    {
        assert_eq!(response(function.invoke(event).await)["statusCode"], 404, "{event}");
    }
    let body = json!("x".repeat(6 * 1024 * 1024)).to_string();
    let large = valid_now("read-api/mark-as-read").replace("\"{}\"", &body);
    assert_eq!(response(function.invoke(&large).await)["statusCode"], 400);
    account.faults.inject("*", Fault::Error("AccessDeniedException"), 1_000);
    assert_eq!(response(function.invoke(&valid_now("read-api/dashboard")).await)["statusCode"], 503);
    account.faults.clear();
    assert_eq!(response(function.invoke(&valid_now("read-api/dashboard")).await)["statusCode"], 200);
}

#[tokio::test]
async fn missing_or_invalid_variable_stops_startup_with_its_name() {
    let account = account().await;
    for (name, value, reason) in [
        ("TABLE_NAME", "", "is required"),
        ("USER_EVENTS_QUEUE_URL", "", "is required"),
        ("CLIENT_IDS", "", "is required"),
        ("ISSUER_URL", "cognito", "such as https://example.com"),
        ("LOGIN_URL", "", "is required"),
        ("PRODUCT_NAME", "", "is required"),
        ("MAX_CACHE_LIFETIME_SECONDS", "-1", "is not a whole number"),
    ] {
        let (success, output) = start(&account, &[(name, value)]).await.ended().await;
        assert!(!success && output.contains(&format!("{name}: ")) && output.contains(reason), "{output}");
        assert_eq!(output.matches(r#""StartFailures":1"#).count(), 1, "{output}");
    }
}
