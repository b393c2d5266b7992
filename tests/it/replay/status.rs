//! `replay status`.

use clap::Parser;
use replay::cli::Cli;
use replay::stack::Stack;
use replay::status::first_steps::first_steps;
use sandbox::aws::{TABLE, sdk_config};
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use shared::metric::Metric;
use shared::store::Store;
use shared::suspension::Suspension;
use shared::telemetry::Unit;
use shared::time::plus_seconds;
use tests::stack_account::{STACK, StackAccount};
use xtask::template::Template;

use super::json::document;
use super::loopback_stack::{LoopbackStack, USER_EVENTS, USER_EVENTS_DLQ, ago};
use super::support::{ANA, CommandRun};

/// A stack in the night after a bad deployment.
pub async fn bad_night() -> LoopbackStack {
    let stack = LoopbackStack::start().await;
    stack.account.set_alarm("user-events-dead-letters", "ALARM", ago(1_530));
    stack.account.set_alarm("triggers-slow", "INSUFFICIENT_DATA", ago(9_000));
    stack.send(USER_EVENTS_DLQ, 6);
    stack.oldest_message(USER_EVENTS_DLQ, 1_530.0);
    stack.send(USER_EVENTS, 70);
    stack.oldest_message(USER_EVENTS, 1_330.0);
    stack.metrics_of(FunctionId::PostConfirmation).count(&[(Metric::UnsentEvents, 2)]);
    let pre_sign_up = stack.metrics_of(FunctionId::PreSignUp);
    pre_sign_up.count(&[(Metric::UnsentEvents, 1)]);
    pre_sign_up.count_by(Some(("reason", "blocked_domain")), &[(Metric::SignUpsDenied, 12)]);
    let suspended = Some(("reason", "suspended"));
    stack.metrics_of(FunctionId::PreAuthentication).count_by(suspended, &[(Metric::SignInsDenied, 3)]);
    stack.metrics_of(FunctionId::UserStats).measure(Metric::EventAge, Unit::Seconds, 1_500.0);
    let cache_invalidation = stack.metrics_of(FunctionId::CacheInvalidation);
    cache_invalidation.measure(Metric::InvalidationBudgetUsed, Unit::Percent, 43.4);
    let lambda = |name: &str, function: &str, value| {
        let function = format!("{STACK}-{function}");
        stack.metric("AWS/Lambda", name, &[("FunctionName", &function)], value);
    };
    // Lambda counts denials as errors.
    lambda("Errors", "pre-sign-up", 12.0);
    lambda("Errors", "pre-authentication", 3.0);
    lambda("Errors", "user-stats", 4.0);
    lambda("Throttles", "pre-authentication", 25.0);
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn status_of_a_bad_night_says_what_to_type_next() {
    let stack = bad_night().await;
    let run = stack.replay(&["status"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.stderr, "replay: 5 checks need a look\n");
    insta::assert_snapshot!("status", run.stdout);
    let run = stack.replay(&["status", "--json"]).await;
    let report = document("status", &run);
    let figures = &report["figures"]["metrics"];
    assert_eq!((&figures["unsentEvents"], &figures["signUpsDenied"]), (&3.into(), &12.into()));
    insta::assert_snapshot!("status_json", serde_json::to_string_pretty(&report["checks"]).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_stack_exits_with_0() {
    let stack = LoopbackStack::start().await;
    let run = stack.replay(&["status"]).await;
    assert!(run.code == 0 && run.stderr.is_empty(), "{run:?}");
    assert!(run.stdout.lines().skip(2).all(|line| line.starts_with("ok    ")), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_that_is_not_permitted_is_unknown_and_the_others_are_made() {
    for (operation, unknown) in [
        ("DescribeAlarms", &["alarms"][..]),
        ("GetMetricData", &["unsent_events", "functions", "denials", "budget"]),
        ("GetQueueAttributes", &["dead_letters", "statistics"]),
    ] {
        let stack = LoopbackStack::start().await;
        stack.account.refuse(operation, "AccessDenied", "User ben is not authorized");
        let run = stack.replay(&["status", "--json"]).await;
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains("could not be made"), "{run:?}");
        let report = document("status", &run);
        let checks = report["checks"].as_array().unwrap();
        let state = |check: &Value, state: &str| check["state"] == state;
        for check in checks {
            let is_unknown = unknown.contains(&check["check"].as_str().unwrap());
            assert!(state(check, if is_unknown { "unknown" } else { "ok" }), "{operation}: {check}");
        }
        assert!(
            checks.iter().any(|check| check["text"].as_str().unwrap().contains("AccessDenied: User ben"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stack_without_monitoring_has_no_alarms_and_the_other_checks() {
    let stack = LoopbackStack::with_parameters(&[("Monitoring", "false")]).await;
    let run = stack.replay(&["status"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.stdout.contains("?     alarms: the stack has none: its parameter Monitoring is false"),
        "{run:?}"
    );
    assert_eq!(stack.account.calls_of("DescribeAlarms"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn detached_triggers_share_a_line_with_their_alarm() {
    let stack = LoopbackStack::start().await;
    stack.account.change_user_pool(|pool| pool.settings["LambdaConfig"] = json!({}));
    stack.account.set_alarm("trigger-differences", "ALARM", ago(1_530));
    // Without the line breaks for the terminal.
    let text = |run: &CommandRun| run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let run = stack.replay(&["status"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    for part in [
        "alarms: ringing, see below: trigger-differences for 25m",
        "user pool: calls 0 of 5 functions: pre-sign-up calls no function",
        "Another tool or person changed the user pool: deploy the stack with AttachTriggers=false",
    ] {
        assert!(text(&run).contains(part), "{part}: {run:?}");
    }
    stack.account.refuse("DescribeUserPool", "AccessDeniedException", "User: ben is not authorized");
    let run = stack.replay(&["status"]).await;
    let part = "? user pool: Cognito DescribeUserPool: AccessDeniedException: User: ben is not authorized";
    assert!(text(&run).contains(part), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn function_that_the_pool_may_not_invoke_is_named() {
    let stack = LoopbackStack::start().await;
    let text = |run: &CommandRun| run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let calls = "user pool: calls 5 of 5 functions";
    stack.account.change_function("pre-authentication", |function| function.policy = None);
    stack.account.delete_function(&format!("{STACK}-custom-message"));
    stack.account.set_alarm("trigger-differences", "ALARM", ago(1_530));
    let run = stack.replay(&["status", "--json"]).await;
    let report = document("status", &run);
    let problems =
        ["pre-authentication may not be invoked", "custom-message calls a function that does not exist"];
    assert_eq!(report["figures"]["userPool"]["notPermitted"], json!(problems));
    let run = stack.replay(&["status"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    for part in [
        "alarms: ringing, see below: trigger-differences for 25m",
        &format!("look {calls}: {}", problems.join(", ")),
        "Every sign-up or sign-in that needs the function fails: see docs/operations.md#detached-triggers.",
    ] {
        assert!(text(&run).contains(part), "{part}: {run:?}");
    }
    // Without the second permission, both are called the same.
    stack.account.refuse("ListTags", "AccessDeniedException", "User: ben is not authorized");
    let run = stack.replay(&["status"]).await;
    assert!(text(&run).contains("custom-message may not be invoked"), "{run:?}");

    let stack = LoopbackStack::start().await;
    stack.account.refuse("GetPolicy", "AccessDeniedException", "User: ben is not authorized");
    let run = stack.replay(&["status"]).await;
    let unknown = format!(
        "ok {calls}. It is not known if the user pool may invoke all of them: Lambda GetPolicy: AccessDeniedException"
    );
    assert!(run.code == 0 && text(&run).contains(&unknown), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_users_are_counted_on_request() {
    let stack = LoopbackStack::start().await;
    let store = Store::new(stack.sandbox.dynamodb(), TABLE);
    let now = ago(60);
    let suspend = async |sub: &str, until| {
        let suspension = Suspension { reason: "fraud".into(), until, by: "ben".into(), at: now };
        assert!(store.write_suspension(sub, &suspension).await.unwrap());
    };
    suspend(ANA, None).await;
    suspend("8d8ca528-4931-4254-9273-ea5ee853f272", Some(plus_seconds(now, 3_600))).await;
    suspend("9d8ca528-4931-4254-9273-ea5ee853f273", Some(plus_seconds(now, 1))).await;
    let run = stack.replay(&["status", "--suspended"]).await;
    assert!(run.code == 0 && run.stdout.ends_with("ok    suspensions: 2 are in force\n"), "{run:?}");
}

/// The commands of a run that begin with `replay`.
fn commands(run: &CommandRun) -> Vec<Vec<String>> {
    let lines = run.stdout.lines().map(str::trim).filter(|line| line.starts_with("replay "));
    lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn next_steps_are_commands_that_replay_accepts() {
    let stack = bad_night().await;
    let mut all = Vec::new();
    for command in ["status", "queues"] {
        all.extend(commands(&stack.replay(&[command]).await));
    }
    assert!(all.len() >= 3, "{all:?}");
    for words in all {
        assert!(Cli::try_parse_from(&words).is_ok(), "{words:?}");
    }
}

#[tokio::test]
async fn every_alarm_of_the_template_has_a_first_step() {
    let account = StackAccount::new(&[("AccountEvents", "true")], None);
    let client = aws_sdk_cloudformation::Client::new(&sdk_config(account));
    let stack = Stack::read(&client, STACK).await.unwrap();
    let mut count = 0;
    for (_, alarm) in Template::read().of_type("AWS::CloudWatch::Alarm") {
        let name = alarm["Properties"]["AlarmName"]["Fn::Sub"].as_str().unwrap();
        let name = name.strip_prefix("${AWS::StackName}-").unwrap();
        // other-errors names the logs of the functions with errors, and there are none.
        let steps = first_steps(name, &stack, &[]);
        assert!(!steps.is_empty() || name == "other-errors", "{name}");
        for step in steps.iter().filter(|step| step.starts_with("replay ")) {
            assert!(Cli::try_parse_from(step.split(' ')).is_ok(), "{step}");
        }
        count += 1;
    }
    assert_eq!(count, 30);
}
