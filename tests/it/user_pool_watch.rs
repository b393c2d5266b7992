//! user-pool-watch on an account in memory, and its binary as Lambda runs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbox::aws::account::{USER_POOL_ID, attached_triggers};
use sandbox::aws::{Fault, SandboxAccount};
use sandbox::functions::invoke_user_pool_watch;
use sandbox::journey::format::read as read_journey;
use sandbox::journey::player;
use scheduled::Failure;
use scheduled::user_pool_watch::{Deps, Report};
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use tests::lambda::{self, Answer};
use tests::{fixtures, log};

use crate::support::{TestStack, test_stack};

const OTHER: &str = "arn:aws:lambda:eu-central-1:123456789012:function:other";

/// An account whose pool has the triggers of the stack, with the fields of `patch`.
async fn stack_with(patch: Value) -> TestStack {
    let stack = test_stack().await;
    set_triggers(&stack.account, patch).await;
    stack
}

async fn set_triggers(account: &SandboxAccount, patch: Value) {
    let mut config = attached_triggers();
    for (name, value) in patch.as_object().unwrap() {
        config[name] = value.clone();
    }
    account.backend().user_pools().set_lambda_config(USER_POOL_ID, config).await;
}

async fn watch(stack: &TestStack) -> Result<Report, Failure> {
    invoke_user_pool_watch(&stack.account, &BTreeMap::new()).await.unwrap()
}

/// The trigger, the code and the text of each difference.
fn shown(report: &Report) -> Vec<(&str, &str, &str)> {
    report.differences.iter().map(|each| (each.trigger, each.code, each.pool.as_str())).collect()
}

#[tokio::test]
async fn attached_pool_has_no_difference_and_is_measured() {
    // Other triggers of Cognito are not the stack's.
    let stack = stack_with(json!({"UserMigration": OTHER})).await;
    let report = watch(&stack).await.unwrap();
    assert_eq!(report, Report { user_pool_id: USER_POOL_ID.to_owned(), differences: Vec::new() });
    assert_eq!(stack.account.measurements("TriggerDifferences"), [0.0], "zero ends the alarm");
    let calls = stack.account.calls.operations();
    assert_eq!(calls[0], "DescribeUserPool");
    assert_eq!(calls[1..], ["GetPolicy"; 5], "it changes nothing");
}

#[tokio::test]
async fn each_trigger_that_the_pool_does_not_call_is_reported_logged_and_counted() {
    let v1 = json!({"LambdaArn": attached_triggers()["PreTokenGeneration"], "LambdaVersion": "V1_0"});
    let stack = stack_with(json!({
        "PreSignUp": null, "CustomMessage": OTHER, "PreTokenGenerationConfig": v1,
    }))
    .await;
    log::take_lines();
    let report = watch(&stack).await.unwrap();
    let expected = [
        ("pre-sign-up", "not_attached", "calls no function"),
        ("pre-token-generation", "another_event_version", "sends events of version V1_0 instead of V2_0"),
        (
            "custom-message",
            "another_function",
            "calls another function: arn:aws:lambda:eu-central-1:123456789012:function:other",
        ),
    ];
    assert_eq!(shown(&report), expected);
    assert_eq!(stack.account.measurements("TriggerDifferences"), [3.0]);
    let lines = log::take_lines();
    for (trigger, code, text) in expected {
        let has = |line: &&String| {
            line.contains(&format!("\"error_type\":\"{code}\""))
                && line.contains(&format!("\"trigger\":\"{trigger}\""))
                && line.contains(text)
                && line.contains("\"level\":\"ERROR\"")
        };
        assert_eq!(lines.iter().filter(has).count(), 1, "{trigger}: {lines:?}");
    }
}

/// `aws cognito-idp update-user-pool --user-pool-id ID` removes all triggers.
#[tokio::test]
async fn update_that_resets_the_pool_is_five_differences_until_the_triggers_are_attached() {
    let stack = stack_with(json!({})).await;
    stack.account.backend().user_pools().set_lambda_config(USER_POOL_ID, json!({})).await;
    let report = watch(&stack).await.unwrap();
    assert_eq!(report.differences.iter().map(|each| each.code).collect::<Vec<_>>(), ["not_attached"; 5]);
    set_triggers(&stack.account, json!({})).await;
    assert!(watch(&stack).await.unwrap().differences.is_empty());
    assert_eq!(stack.account.measurements("TriggerDifferences"), [5.0, 0.0]);
}

#[tokio::test]
async fn trigger_that_the_pool_may_not_invoke_is_a_difference() {
    let stack = stack_with(json!({"CustomMessage": OTHER})).await;
    for trigger in [FunctionId::PreTokenGeneration, FunctionId::CustomMessage] {
        stack.account.backend().invoke_permissions().remove(trigger);
    }
    let report = watch(&stack).await.unwrap();
    let codes: Vec<_> = report.differences.iter().map(|each| (each.trigger, each.code)).collect();
    let expected = [("pre-token-generation", "not_permitted"), ("custom-message", "another_function")];
    assert_eq!(codes, expected, "one difference for each trigger");
    assert_eq!(report.differences[0].pool, "may not invoke the function");
    assert_eq!(stack.account.measurements("TriggerDifferences"), [2.0]);
}

/// Otherwise the alarm would end while it is unknown what the pool calls.
#[tokio::test(start_paused = true)]
async fn failed_read_is_an_error_with_a_code_and_no_measurement() {
    for (fault, code) in [
        (Fault::Error("TooManyRequestsException"), "throttled"),
        (Fault::Error("AccessDeniedException"), "failed"),
        (Fault::Error("InternalErrorException"), "failed"),
        (Fault::Refused, "failed"),
        (Fault::Hang, "failed"),
        (Fault::CutOff, "failed"),
    ] {
        let stack = stack_with(json!({})).await;
        stack.account.faults.inject("DescribeUserPool", fault.clone(), 100);
        let failure = watch(&stack).await.unwrap_err();
        assert_eq!((failure.code, failure.message), (code, "the user pool cannot be read"), "{fault:?}");
        assert_eq!(stack.account.measurements("TriggerDifferences"), [] as [f64; 0], "{fault:?}");
    }
    let stack = stack_with(json!({})).await;
    stack.account.faults.inject("GetPolicy", Fault::Error("AccessDeniedException"), 1);
    let failure = watch(&stack).await.unwrap_err();
    let expected = ("failed", "the permissions of the triggers cannot be read");
    assert_eq!((failure.code, failure.message), expected);
    assert_eq!(stack.account.measurements("TriggerDifferences"), [] as [f64; 0]);
    let deleted = test_stack().await;
    assert_eq!(watch(&deleted).await.unwrap_err().code, "failed", "the pool does not exist");
}

#[tokio::test(start_paused = true)]
async fn cognito_that_throttles_five_times_is_waited_for() {
    let stack = stack_with(json!({})).await;
    stack.account.faults.inject("DescribeUserPool", Fault::Error("TooManyRequestsException"), 5);
    assert!(watch(&stack).await.unwrap().differences.is_empty());
}

#[tokio::test]
async fn invalid_lambda_config_stops_the_start_with_its_name() {
    let stack = test_stack().await;
    for (value, expected) in [
        ("", "LAMBDA_CONFIG: is required but not set"),
        ("{", "LAMBDA_CONFIG: not JSON; expected the stack's output LambdaConfig"),
        ("{}", "LAMBDA_CONFIG: PreSignUp is missing; expected the stack's output LambdaConfig"),
        (
            r#"{"PreSignUp": 1}"#,
            "LAMBDA_CONFIG: PreSignUp is not a text; expected the stack's output LambdaConfig",
        ),
    ] {
        let variables = BTreeMap::from([("LAMBDA_CONFIG".to_owned(), value.to_owned())]);
        let context = stack.account.function(FunctionId::UserPoolWatch, &variables);
        assert_eq!(Deps::new(&context).err().unwrap().to_string(), expected);
    }
}

#[tokio::test]
async fn sandbox_plays_the_schedule_with_an_attached_pool() {
    let path = fixtures::folder().join("user-pool-watch/schedule.json");
    let outcome = player::play(&read_journey(&path).unwrap(), &BTreeMap::new()).await.unwrap();
    assert_eq!(outcome.steps[0].outcome, "answered: the user pool calls all five functions");
}

#[tokio::test]
async fn binary_answers_the_schedule_and_an_operator_alike() {
    let account = Arc::new(SandboxAccount::start("2026-03-02T09:00:00Z".parse().unwrap()).await.unwrap());
    let config = attached_triggers().to_string();
    let variables = [("USER_POOL_ID", USER_POOL_ID), ("LAMBDA_CONFIG", config.as_str())];
    let binary = env!("CARGO_BIN_EXE_user-pool-watch-under-test");
    let mut function = lambda::start(binary, Some(account.clone()), &variables).await;
    let missing = json!({"errorType": "failed", "errorMessage": "the user pool cannot be read"});
    let event = fixtures::json("user-pool-watch/schedule").to_string();
    assert_eq!(function.invoke(&event).await, Answer::Error(missing));
    set_triggers(&account, json!({"PreAuthentication": null})).await;
    let difference =
        json!({"trigger": "pre-authentication", "code": "not_attached", "pool": "calls no function"});
    let expected = json!({"user_pool_id": USER_POOL_ID, "differences": [difference]});
    for event in [event.as_str(), "{}", "null", "[]"] {
        assert_eq!(function.invoke(event).await, Answer::Response(expected.clone()), "{event}");
    }
    let output = function.stop().await;
    assert!(output.contains("\"TriggerDifferences\":1"), "{output}");

    let (success, output) = lambda::start(binary, None, &[]).await.ended().await;
    assert!(!success && output.contains("LAMBDA_CONFIG: is required"), "{output}");
}
