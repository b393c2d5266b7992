//! The triggers' answers when AWS fails. Tokio's clock is paused, so timeouts take no real time.

use std::time::Duration;

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::events::Event;
use shared::telemetry::UNSENT_EVENT;
use tests::{fixtures, log};
use triggers::{pre_sign_up, sign_in};

use super::FIXTURES;
use crate::support::{ANA, test_stack};

/// Limit for one invocation without the cold start. Cognito waits five seconds.
const LIMIT: Duration = Duration::from_millis(2_500);

const FAULTS: [Fault; 7] = [
    Fault::Hang,
    Fault::Refused,
    Fault::Error("ThrottlingException"),
    Fault::Error("InternalServerError"),
    Fault::Error("AccessDeniedException"),
    Fault::ReplyLost,
    Fault::CutOff,
];

const TABLE: &[&str] = &["BatchGetItem", "GetItem", "UpdateItem"];
const QUEUE: &[&str] = &["SendMessage", "SendMessageBatch"];
const BOTH: &[&str] = &["*"];

/// A rule that matches the fixtures. Its group must not be added if the profile could not be read.
const GROUP_RULES: &str =
    r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#;

/// Each trigger × failing operations × fault × ON_STORE_ERROR.
#[tokio::test(start_paused = true)]
async fn every_trigger_answers_in_time_when_aws_fails() {
    for ((function, fixture), failing, fault, on_store_error) in cases() {
        let case = format!("{function}, {failing:?} {fault:?}, {on_store_error}");
        let stack = test_stack().await;
        for operation in failing {
            stack.account.faults.inject(operation, fault.clone(), 100);
        }
        let variables = [
            ("ON_STORE_ERROR", on_store_error),
            ("GROUP_RULES", GROUP_RULES),
            ("CHECK_SUSPENDED_EMAILS", "true"),
            ("SUSPENDED_EMAIL_KEY", "0123456789abcdef0123456789abcdef"),
        ];
        let begun = tokio::time::Instant::now();
        let answer = stack.invoke(function, &variables, fixtures::event(fixture)).await;
        assert!(begun.elapsed() < LIMIT, "{case}: {:?}", begun.elapsed());

        let reads_the_table =
            matches!(function, "pre-sign-up" | "pre-authentication" | "pre-token-generation");
        if reads_the_table && failing != QUEUE && on_store_error == "deny" {
            let denied = if function == "pre-sign-up" { pre_sign_up::DENIED } else { sign_in::DENIED };
            assert_eq!(answer, Err(denied), "{case}");
        } else {
            let answer = answer.unwrap_or_else(|error| panic!("{case}: {error:?}"));
            let unchanged = reads_the_table && failing != QUEUE;
            assert!(!unchanged || answer == fixtures::json(fixture), "{case}: no group is added");
        }
        let uses_the_table = reads_the_table || function == "post-confirmation";
        let store_failures = u64::from(uses_the_table && failing != QUEUE);
        assert_eq!(stack.account.count("StoreFailures"), store_failures, "{case}: whatever is decided");
        let (unsent, counted) = (unsent_events(), stack.account.count("UnsentEvents"));
        assert_eq!(unsent.len() as u64, counted, "{case}: each unsent event is logged and counted");
        assert_eq!(unsent.is_empty(), failing == TABLE, "{case}");
    }
}

type Case = ((&'static str, &'static str), &'static [&'static str], Fault, &'static str);

fn cases() -> impl Iterator<Item = Case> {
    let of_fixture = |fixture| {
        let of_failing = move |failing| {
            let of_fault = move |fault: Fault| {
                ["deny", "allow"].map(|setting| (fixture, failing, fault.clone(), setting))
            };
            FAULTS.into_iter().flat_map(of_fault)
        };
        [TABLE, QUEUE, BOTH].into_iter().flat_map(of_failing)
    };
    FIXTURES.into_iter().flat_map(of_fixture)
}

/// The unsent events that this thread has logged. Each must be a valid event.
fn unsent_events() -> Vec<Event> {
    let lines: Vec<Value> =
        log::take_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let unsent = lines.iter().filter(|line| line["fields"]["message"] == UNSENT_EVENT);
    unsent.map(|line| Event::parse(line["fields"]["event"].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn unsent_event_in_the_log_is_complete() {
    let stack = test_stack().await;
    stack.account.faults.inject("SendMessage", Fault::Refused, 100);
    log::take_lines();
    stack.response("post-confirmation", &[], fixtures::event("post-confirmation/confirm-sign-up")).await;
    let unsent = unsent_events();
    stack.account.faults.clear();
    stack.user_stats(&[]).handle_twice(&crate::support::batch(&[unsent[0].to_json().into()])).await;
    let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!(profile["email"], "ana@example.com");
    assert!(stack.item(&format!("USER#{ANA}"), "STATS").await["confirmedAt"].is_number());
}

#[tokio::test]
async fn profile_that_the_trigger_could_not_write_is_written_by_user_stats() {
    let stack = test_stack().await;
    stack.account.faults.inject("UpdateItem", Fault::Refused, 100);
    stack.response("post-confirmation", &[], fixtures::event("post-confirmation/confirm-sign-up")).await;
    assert_eq!(stack.account.count("ProfileWriteFailures"), 1);
    stack.account.faults.clear();
    let sent = stack.sent().await;
    stack.user_stats(&[]).handle_twice(&crate::support::batch(&sent)).await;
    let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!((&profile["email"], &profile["isBanned"]), (&json!("ana@example.com"), &json!(false)));
}

#[tokio::test(start_paused = true)]
async fn denial_counts_at_the_start_of_the_invocation_and_before_the_event_is_published() {
    let stack = test_stack().await;
    super::pre_authentication::suspend(&stack, None).await;
    stack.account.faults.inject("SendMessage", Fault::Hang, 1_000);
    let blocked: &[_] = &[("BLOCKED_EMAIL_DOMAINS", "spam.test")];
    for (function, variables, fixture) in [
        ("pre-sign-up", blocked, "pre-sign-up/denied-domain"),
        ("pre-authentication", &[], "pre-authentication/authentication"),
        ("pre-token-generation", &[], "pre-token-generation/authentication"),
    ] {
        tests::log::take_lines();
        let start: jiff::Timestamp = "2026-03-02T08:59:59Z".parse().unwrap();
        let event = fixtures::event(fixture).with_invoked_at(start);
        // Lambda stops the trigger while it waits for SQS.
        let stopped = stack.invoke(function, variables, event);
        assert!(tokio::time::timeout(Duration::from_millis(100), stopped).await.is_err(), "{function}");
        let lines = tests::log::take_lines();
        let denied = lines.iter().filter_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let metrics: Value = serde_json::from_str(line["fields"]["metrics"].as_str()?).unwrap();
            metrics.to_string().contains("Denied").then(|| metrics["_aws"]["Timestamp"].clone())
        });
        assert_eq!(denied.collect::<Vec<_>>(), [json!(start.as_millisecond())], "{function}");
    }
}
