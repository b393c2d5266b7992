//! The trigger binaries as Lambda runs them, with a Runtime API and an AWS account on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use budgets::certificates::Authority;
use budgets::server::serve;
use bytes::Bytes;
use http_body_util::Full;
use sandbox::aws::{Fault, SandboxAccount};
use serde_json::Value;
use tests::fixtures;
use tests::lambda::{self, Answer};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

const TRIGGERS: [(&str, &str, &str); 5] = [
    ("pre-sign-up", env!("CARGO_BIN_EXE_pre-sign-up-under-test"), "pre-sign-up/sign-up"),
    (
        "post-confirmation",
        env!("CARGO_BIN_EXE_post-confirmation-under-test"),
        "post-confirmation/confirm-sign-up",
    ),
    (
        "pre-authentication",
        env!("CARGO_BIN_EXE_pre-authentication-under-test"),
        "pre-authentication/authentication",
    ),
    (
        "pre-token-generation",
        env!("CARGO_BIN_EXE_pre-token-generation-under-test"),
        "pre-token-generation/authentication",
    ),
    ("custom-message", env!("CARGO_BIN_EXE_custom-message-under-test"), "custom-message/sign-up"),
];

async fn account() -> Arc<SandboxAccount> {
    Arc::new(SandboxAccount::start("2026-03-02T09:00:00Z".parse().unwrap()).await.unwrap())
}

/// The variables that `template.yaml` sets.
fn variables(account: &SandboxAccount) -> Vec<(&'static str, String)> {
    vec![
        ("TABLE_NAME", sandbox::aws::TABLE.to_owned()),
        ("USER_EVENTS_QUEUE_URL", account.user_events.url.clone()),
        ("PRODUCT_NAME", "Example".to_owned()),
    ]
}

async fn start(
    binary: &str,
    account: &Arc<SandboxAccount>,
    more: &[(&'static str, &str)],
) -> lambda::Function {
    let variables = variables(account);
    let mut all: BTreeMap<&str, &str> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.extend(more.iter().copied());
    lambda::start(binary, Some(account.clone()), &all.into_iter().collect::<Vec<_>>()).await
}

#[tokio::test]
async fn every_trigger_starts_and_answers() {
    let account = account().await;
    for (name, binary, fixture) in TRIGGERS {
        let mut function = start(binary, &account, &[]).await;
        let sent = fixtures::json(fixture);
        let Answer::Response(answer) = function.invoke(&sent.to_string()).await else {
            panic!("{name} failed")
        };
        for (field, value) in sent.as_object().unwrap().iter().filter(|(field, _)| *field != "response") {
            assert_eq!(answer[field], *value, "{name}: {field}");
        }
        assert!(
            matches!(function.invoke(&sent.to_string()).await, Answer::Response(_)),
            "{name} a second time"
        );
    }
    let calls = account.calls.operations();
    let sends = calls.iter().filter(|call| call.starts_with("SendMessage")).count();
    assert_eq!(sends, 2 * TRIGGERS.len(), "each invocation sends its events in one call");
    // pre-token-generation also publishes a confirmation if there is no profile. Here there is one.
    let attributes = account.sqs().get_queue_attributes().queue_url(&account.user_events.url);
    let attributes = attributes.attribute_names("ApproximateNumberOfMessages".into()).send().await.unwrap();
    assert_eq!(attributes.attributes.unwrap()[&"ApproximateNumberOfMessages".into()], "10");
}

#[tokio::test]
async fn only_the_log_line_of_an_unsent_event_contains_personal_data() {
    let account = account().await;
    account.faults.inject("SendMessage", Fault::Error("AccessDeniedException"), 1_000);
    account.faults.inject("SendMessageBatch", Fault::Error("AccessDeniedException"), 1_000);
    let mut addresses = 0;
    for (name, binary, _) in TRIGGERS {
        let mut function = start(binary, &account, &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]).await;
        for fixture in fixtures::all().iter().filter(|fixture| fixture.starts_with(&format!("{name}/"))) {
            function.invoke(&fixtures::text(fixture)).await;
        }
        let output = function.stop().await;
        assert!(output.contains("unsent event") && output.contains("DEBUG"), "{name}: {output}");
        assert!(!output.contains("TRACE"), "{name}: {output}");
        for line in output.lines() {
            assert_eq!(tests::log::personal(line), None, "{name}: {line}");
            addresses += line.matches("ana@example.com").count();
        }
    }
    assert!(addresses > 0, "an unsent confirmation contains the address");
}

#[tokio::test]
async fn denial_is_one_constant_sentence() {
    let account = account().await;
    let (_, binary, _) = TRIGGERS[0];
    let mut function = start(binary, &account, &[("BLOCKED_EMAIL_DOMAINS", "spam.test")]).await;
    let answer = function.invoke(&fixtures::text("pre-sign-up/denied-domain")).await;
    let expected = serde_json::json!({
        "errorType": "sign_up_denied",
        "errorMessage": "Sign-up is not possible with this email address",
    });
    assert_eq!(answer, Answer::Error(expected));
}

#[tokio::test]
async fn denial_is_logged_once_as_information_and_a_failure_as_an_error() {
    let account = account().await;
    let mut function = start(TRIGGERS[0].1, &account, &[("BLOCKED_EMAIL_DOMAINS", "spam.test")]).await;
    function.invoke(&fixtures::text("pre-sign-up/denied-domain")).await;
    let unreadable =
        r#"{"triggerSource": "PreSignUp_SignUp", "request": {"userAttributes": {"sub": "\ud800"}}}"#;
    assert!(matches!(function.invoke(unreadable).await, Answer::Error(_)));
    let output = function.stop().await;
    let lines: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let logged = |level: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["level"] == level).map(|line| &line["fields"]).collect()
    };
    let denied = serde_json::json!({"message": "denied", "reason": "blocked_domain"});
    assert_eq!(logged("INFO"), [&denied], "{output}");
    let [error] = logged("ERROR")[..] else { panic!("expected one error: {output}") };
    assert_eq!(error["error_type"], "unreadable_event");
}

#[tokio::test]
async fn missing_variable_stops_startup_with_its_name() {
    for (name, binary, _) in TRIGGERS {
        let function = lambda::start(binary, None, &[]).await;
        let (success, output) = function.ended().await;
        assert!(!success, "{name}");
        let named = ["USER_EVENTS_QUEUE_URL", "TABLE_NAME", "PRODUCT_NAME"];
        assert!(
            named.iter().any(|variable| output.contains(&format!("{variable}: is required"))),
            "{name}: {output}"
        );
        assert_eq!(output.matches(r#""StartFailures":1"#).count(), 1, "{name}: {output}");
    }
}

#[tokio::test]
async fn invalid_variable_stops_startup_with_its_name_and_the_reason() {
    let account = account().await;
    let untrusted = r#"[{"attribute": "custom:role", "equals": "x", "group": "Admin", "privileged": true,
        "role_arn": null}]"#;
    for (index, variable, value, reason) in [
        (0, "ALLOWED_EMAIL_DOMAINS", "@example.com", "entry 1 has an `@` but is not a plain email address"),
        (0, "SUSPENDED_EMAIL_KEY", "too short", "fewer than 32 characters"),
        (0, "NOT_DISPOSABLE_DOMAINS", "com", "entry 1 `com` is not a domain"),
        (0, "BLOCK_DISPOSABLE_DOMAINS", "yes", "not one of: true, false"),
        (0, "PROVIDER_DOMAINS", r#"{"Google": "example.com"}"#, "at Google: invalid type"),
        (2, "ON_STORE_ERROR", "maybe", "not one of: deny, allow"),
        (3, "GROUP_RULES", "{", "expected a sequence"),
        (3, "GROUP_RULES", r#"[{"atribute": "x"}]"#, "at rule 1, atribute: unknown field"),
        (3, "GROUP_RULES", untrusted, "not in TRUSTED_ATTRIBUTES"),
        (3, "TOKEN_CLAIMS", r#"{"id": {"sub": "x"}}"#, "is reserved"),
        (4, "DEFAULT_LOCALE", "xx", "not one of: en, de, es, fr, pt, ja"),
        (4, "SUPPORT_URL", "http://www.example.com", "such as https://"),
        (4, "SUPPORT_URL", "https://", "such as https://"),
        (4, "LINK_BASE_URL", "https://www.example.com/#/a", "without a query and a fragment"),
    ] {
        let function = start(TRIGGERS[index].1, &account, &[(variable, value)]).await;
        let (success, output) = function.ended().await;
        let message = output.replace("\\\"", "\"");
        assert!(
            !success && message.contains(&format!("{variable}: ")) && message.contains(reason),
            "{value}: {output}"
        );
    }
}

#[tokio::test]
async fn input_that_is_not_from_cognito_goes_back_unchanged() {
    let account = account().await;
    let (_, binary, _) = TRIGGERS[1];
    let mut function = start(binary, &account, &[]).await;
    for event in ["{}", "[]", "null", "\"text\"", r#"{"triggerSource":"PreSignUp_Tomorrow","x":[1,2]}"#] {
        let expected: Value = serde_json::from_str(event).unwrap();
        assert_eq!(function.invoke(event).await, Answer::Response(expected));
    }
}

/// Invokes pre-sign-up once with these variables, without a sandbox account.
async fn sign_up(variables: &[(&str, &str)]) {
    let (_, binary, fixture) = TRIGGERS[0];
    let queue = ("USER_EVENTS_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/user-events");
    let mut function = lambda::start(binary, None, &[&[queue], variables].concat()).await;
    assert!(matches!(function.invoke(&fixtures::text(fixture)).await, Answer::Response(_)));
}

#[tokio::test]
async fn service_is_called_over_tls_only_if_its_authority_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let Authority { acceptor, trusted } = Authority::create(folder.path()).unwrap();
    let tokens: Arc<Mutex<Vec<_>>> = Arc::default();
    let noted = tokens.clone();
    let server = serve(Some(acceptor), move |request| {
        noted.lock().unwrap().push(request.headers().get("x-amz-security-token").cloned());
        async { http::Response::new(Full::new(Bytes::from_static(b"{}"))) }
    })
    .await;
    let url = format!("https://{}", server.address);
    let account = [("AWS_ENDPOINT_URL", url.as_str()), ("AWS_SESSION_TOKEN", "EXAMPLE")];

    sign_up(&account).await;
    assert_eq!(tokens.lock().unwrap().as_slice(), [], "the authority is neither Amazon's nor the system's");

    sign_up(&[&account[..], &[("SSL_CERT_FILE", trusted.authority.to_str().unwrap())]].concat()).await;
    let tokens = tokens.lock().unwrap();
    assert_eq!(tokens.len(), 2, "startup opens the connection");
    assert!(tokens.iter().flatten().all(|token| token == "EXAMPLE"), "{tokens:?}");
}

#[tokio::test]
async fn proxy_from_the_environment_is_used_for_the_connection() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(&mut stream).read_line(&mut line).await.unwrap();
        line
    });
    sign_up(&[("HTTPS_PROXY", &proxy)]).await;
    assert_eq!(request.await.unwrap().trim(), "CONNECT sqs.eu-central-1.amazonaws.com:443 HTTP/1.1");
}
