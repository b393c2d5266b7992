//! `replay doctor`.
//!
//! Each check has a case here in which it fails.

mod first_day;
mod page_server;
mod srp_server;
mod world;

use replay::doctor::catalog::{CheckId, table};
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use shared::metric::Metric;

use super::json::document;
use super::loopback_stack::{LoopbackStack, USER_EVENTS_DLQ, ago};
use super::support::CommandRun;
use page_server::PageServer;

/// A quiet stack with a page.
struct Deployed {
    stack: LoopbackStack,
    page: PageServer,
}

impl Deployed {
    async fn start(parameters: &[(&str, &str)]) -> Self {
        let (stack, page) = (LoopbackStack::with_parameters(parameters).await, PageServer::new());
        let address = tests::lambda::serve_aws(page.clone()).await;
        stack.account.set_output("PageUrl", &format!("http://{address}/"));
        Self { stack, page }
    }

    async fn read_only(&self) -> (CommandRun, Value) {
        let run = self.stack.replay(&["doctor", "--read-only", "--json"]).await;
        let report = document("doctor", &run);
        (run, report)
    }

    /// Changes the only app client of the pool that has this name.
    fn change_client(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.stack.account.change_user_pool(|pool| {
            let client = pool.clients.values_mut().find(|client| client["ClientName"] == name);
            change(client.expect("the pool has the client"));
        });
    }
}

/// The checks with a state, by name.
fn with_state<'a>(report: &'a Value, state: &str) -> Vec<&'a str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["state"] == state).map(|check| check["check"].as_str().unwrap()).collect()
}

fn text_of<'a>(report: &'a Value, name: &str) -> &'a str {
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == name);
    check.unwrap()["text"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_says_what_each_check_proves_and_costs_and_makes_none() {
    let deployed = Deployed::start(&[]).await;
    let run = deployed.stack.replay(&["doctor"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    insta::assert_snapshot!("doctor_plan", run.stdout);
    assert_eq!(deployed.stack.account.calls_of("DescribeUserPool"), 0);
    let report = document("doctor", &deployed.stack.replay(&["doctor", "--json"]).await);
    assert_eq!((&report["dryRun"], with_state(&report, "planned").len()), (&json!(true), CheckId::ALL.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_checks_pass_on_a_new_stack_of_the_template() {
    let deployed = Deployed::start(&[]).await;
    let run = deployed.stack.replay(&["doctor", "--read-only"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let summary = run.stdout.rfind(". ").unwrap();
    insta::assert_snapshot!("doctor_read_only", &run.stdout[..summary]);
    let (_, report) = deployed.read_only().await;
    assert_eq!(with_state(&report, "failed"), Vec::<&str>::new());
    assert_eq!(with_state(&report, "skipped"), ["account-events"]);
    // Every call only reads.
    let calls = deployed.stack.account.calls();
    let is_read = |call: &String| ["Describe", "Get", "List"].iter().any(|verb| call.starts_with(verb));
    assert!(calls.iter().all(is_read), "{calls:?}");
}

/// What goes wrong in a stack.
type Break = fn(&Deployed);

fn function(deployed: &Deployed, name: &str, field: &str, value: &str) {
    deployed.stack.account.change_function(name, |function| function.configuration[field] = value.into());
}

fn pool(deployed: &Deployed, change: impl FnOnce(&mut Value)) {
    deployed.stack.account.change_user_pool(|pool| change(&mut pool.settings));
}

/// A fault for each check that changes nothing, with a part of its text.
const FAULTS: &[(&str, Break, &str)] = &[
    (
        "stack-complete",
        |it| it.stack.account.set_status("UPDATE_ROLLBACK_COMPLETE"),
        "the last update failed",
    ),
    ("functions-active", |it| function(it, "pre-sign-up", "State", "Failed"), "pre-sign-up: Failed"),
    (
        "functions-active",
        |it| function(it, "user-stats", "LastUpdateStatus", "Failed"),
        "user-stats: last update: Failed",
    ),
    (
        "function-starts",
        |it| it.stack.metrics_of(FunctionId::PreSignUp).count(&[(Metric::StartFailures, 2)]),
        "pre-sign-up: 2 failed starts",
    ),
    (
        "event-sources",
        |it| {
            it.stack.account.change_function("user-stats", |function| {
                function.event_sources = vec!["Disabled".to_owned()];
            });
        },
        "user-stats: its event source mapping is Disabled",
    ),
    (
        "invoke-permissions",
        |it| it.stack.account.change_function("pre-sign-up", |function| function.policy = None),
        "the user pool may not invoke pre-sign-up",
    ),
    (
        "triggers-attached",
        |it| pool(it, |settings| settings["LambdaConfig"]["PreAuthentication"] = Value::Null),
        "pre-authentication: the user pool calls no function",
    ),
    ("feature-plan", |it| pool(it, |settings| settings["UserPoolTier"] = "LITE".into()), "plan LITE"),
    (
        "user-existence",
        |it| it.change_client("app", |client| client["PreventUserExistenceErrors"] = "LEGACY".into()),
        "PreventUserExistenceErrors is not ENABLED",
    ),
    (
        "write-attributes",
        |it| it.change_client("app", |client| client["WriteAttributes"] = json!(["custom:department"])),
        "its users may write custom:department",
    ),
    (
        "write-attributes",
        |it| it.change_client("app", |client| client["WriteAttributes"] = Value::Null),
        "states no WriteAttributes",
    ),
    (
        "token-validity",
        |it| it.change_client("app", |client| client["AccessTokenValidity"] = json!(90)),
        "tokens live 90 minutes, and TokenValidityMinutes is 60",
    ),
    (
        "token-revocation",
        |it| it.change_client("app", |client| client["EnableTokenRevocation"] = json!(false)),
        "EnableTokenRevocation is not true",
    ),
    (
        "email-change",
        |it| pool(it, |settings| settings["UserAttributeUpdateSettings"] = Value::Null),
        "before its owner confirms it",
    ),
    (
        "messages",
        |it| {
            pool(it, |settings| {
                settings["VerificationMessageTemplate"]["DefaultEmailOption"] = "CONFIRM_WITH_LINK".into();
            });
        },
        "EmailVerification is code, and the user pool sends a link",
    ),
    ("alarms", |it| it.stack.account.set_alarm("throttles", "ALARM", ago(60)), "throttles rings"),
    (
        "alarms",
        |it| it.stack.account.disable_alarm_actions("throttles"),
        "throttles notifies nobody: its actions are disabled",
    ),
    ("alarms", |it| it.stack.account.delete_alarm("throttles"), "throttles does not exist"),
    ("dead-letters", |it| it.stack.send(USER_EVENTS_DLQ, 6), "6 messages in user-events-dead-letters"),
    ("page-files", |it| it.page.change(|page| page.files.0 = 403), "the answer is 403"),
    ("page-without-token", |it| it.page.change(|page| page.without_token = 200), "anyone can read the page"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_check_that_changes_nothing_finds_its_fault_and_says_how_to_fix_it() {
    for (check, break_it, text) in FAULTS {
        let deployed = Deployed::start(&[("TrustedAttributes", "custom:department")]).await;
        break_it(&deployed);
        let (run, report) = deployed.read_only().await;
        assert_eq!(run.code, 1, "{check}: {run:?}");
        assert_eq!(run.stderr, "replay: 1 check failed\n");
        assert_eq!(with_state(&report, "failed"), [*check], "{run:?}");
        assert!(text_of(&report, check).contains(text), "{check}: {}", text_of(&report, check));
        let failed = report["checks"].as_array().unwrap().iter().find(|each| each["state"] == "failed");
        assert!(!failed.unwrap()["fix"].as_str().unwrap().is_empty(), "{check}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn account_events_are_seen_in_the_metrics_of_the_rule() {
    for (metrics, state, text) in [
        (&[("MatchedEvents", 3.0)][..], "ok", "3 events matched in 7 days"),
        (&[], "skipped", "no event matched the rule in 7 days. Change a user"),
        (&[("MatchedEvents", 3.0), ("FailedInvocations", 1.0)], "failed", "could not deliver"),
    ] {
        let deployed = Deployed::start(&[("AccountEvents", "true")]).await;
        let rule = deployed.stack.account.physical_id("AccountEventsRule");
        for (metric, value) in metrics {
            deployed.stack.metric("AWS/Events", metric, &[("RuleName", &rule)], *value);
        }
        let (_, report) = deployed.read_only().await;
        assert!(with_state(&report, state).contains(&"account-events"), "{report}");
        assert!(text_of(&report, "account-events").contains(text), "{report}");
    }
}

#[test]
fn every_check_that_changes_nothing_has_a_fault() {
    let tested: Vec<&str> = FAULTS.iter().map(|(check, _, _)| *check).chain(["account-events"]).collect();
    for check in CheckId::ALL.into_iter().filter(|check| check.is_read_only()) {
        assert!(tested.contains(&check.info().name), "{check:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_that_is_not_permitted_fails_with_the_call_and_the_others_are_made() {
    for (operation, failed) in [
        ("GetFunctionConfiguration", &["functions-active"][..]),
        ("GetPolicy", &["invoke-permissions"]),
        ("ListEventSourceMappings", &["event-sources"]),
        (
            "DescribeUserPool",
            &["invoke-permissions", "triggers-attached", "feature-plan", "email-change", "messages"],
        ),
        (
            "DescribeUserPoolClient",
            &["user-existence", "write-attributes", "token-validity", "token-revocation"],
        ),
        ("GetMetricData", &["function-starts", "account-events"]),
        ("DescribeAlarms", &["alarms"]),
        ("GetQueueAttributes", &["dead-letters"]),
    ] {
        let deployed = Deployed::start(&[("AccountEvents", "true")]).await;
        let rule = deployed.stack.account.physical_id("AccountEventsRule");
        deployed.stack.metric("AWS/Events", "MatchedEvents", &[("RuleName", &rule)], 1.0);
        deployed.stack.account.refuse(operation, "AccessDeniedException", "User ben is not authorized");
        let (_, report) = deployed.read_only().await;
        assert_eq!(with_state(&report, "failed"), failed, "{operation}: {report}");
        assert!(text_of(&report, failed[0]).contains(operation), "{operation}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_day_that_cannot_start_does_not_hide_the_other_checks() {
    let deployed = Deployed::start(&[]).await;
    deployed.stack.account.refuse("DescribeUserPool", "AccessDeniedException", "User ben is not authorized");
    let run = deployed.stack.replay(&["doctor", "--yes", "--json"]).await;
    let report = document("doctor", &run);
    assert_eq!((run.code, run.stderr.as_str()), (1, "replay: 6 checks failed\n"), "{run:?}");
    assert_eq!(report["checks"].as_array().unwrap().len(), CheckId::ALL.len());
    assert!(with_state(&report, "ok").contains(&"functions-active"), "{report}");
    assert_eq!(with_state(&report, "failed").last(), Some(&"sign-up"));
    assert!(text_of(&report, "sign-up").contains("DescribeUserPool"), "{report}");
    assert_eq!(text_of(&report, "cleanup"), "nothing was created: see sign-up");
    let run = deployed.stack.replay(&["doctor", "--yes"]).await;
    assert!(run.stdout.contains("\nskipped  cleanup: nothing was created"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stack_with_an_api_of_its_own_needs_the_address_of_a_page() {
    let stack = LoopbackStack::with_parameters(&[("ApiOriginDomainName", "api.example.com")]).await;
    let report = document("doctor", &stack.replay(&["doctor", "--read-only", "--json"]).await);
    assert_eq!(with_state(&report, "skipped"), ["account-events", "page-files", "page-without-token"]);
    assert!(text_of(&report, "page-without-token").contains("--page-url"));
    let address = tests::lambda::serve_aws(PageServer::new()).await;
    let url = format!("http://{address}/api/dashboard");
    let run = stack.replay(&["doctor", "--read-only", "--json", "--page-url", &url]).await;
    assert_eq!(text_of(&document("doctor", &run), "page-without-token"), "401");
    let run = stack.replay(&["doctor", "--page-url", "www.example.com"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.starts_with("replay: --page-url: expected the address"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn page_that_does_not_answer_is_named() {
    let deployed = Deployed::start(&[]).await;
    deployed.stack.account.set_output("PageUrl", "http://127.0.0.1:9/");
    let (_, report) = deployed.read_only().await;
    assert_eq!(with_state(&report, "failed"), ["page-files", "page-without-token"]);
    assert!(text_of(&report, "page-files").contains("http://127.0.0.1:9/"), "{report}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the variable of insta for its own snapshots")]
fn tables_of_the_documentation_are_those_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.md");
    let mut page = std::fs::read_to_string(path).unwrap();
    for is_read_only in [true, false] {
        let (from, to) = match is_read_only {
            true => ("<!-- checks that change nothing -->\n", "<!-- end -->"),
            false => ("<!-- checks that change something -->\n", "<!-- end -->"),
        };
        let (before, rest) = page.split_once(from).unwrap();
        let (stored, after) = rest.split_once(to).unwrap();
        let expected = table(is_read_only);
        if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
            std::fs::write(path, [before, from, &expected, to, after].concat()).unwrap();
        } else {
            assert_eq!(stored, expected, "run the test with INSTA_UPDATE=always");
        }
        page = std::fs::read_to_string(path).unwrap();
    }
}

#[test]
fn limitations_of_the_end_to_end_test_name_checks_that_exist() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/end-to-end.md");
    let page = std::fs::read_to_string(path).unwrap();
    let table = page.split("\n## Limitations\n").nth(1).unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10);
    let mut named = 0;
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for name in cell.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("--")) {
            let is_check = CheckId::ALL.into_iter().any(|check| check.info().name == name);
            assert!(is_check, "{name}: {row}");
            named += 1;
        }
        assert!(cell.contains('`') || cell == "no" || cell.starts_with("all checks"), "{row}");
    }
    assert!(named > 15);
}
