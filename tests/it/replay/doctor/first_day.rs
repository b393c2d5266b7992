//! The checks that change something.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use replay::doctor::catalog::CheckId;
use sandbox::aws::{Fault, SandboxAccount};
use sandbox::journey::format::Variables;
use serde_json::Value;
use shared::function_id::FunctionId;
use shared::time::Clock;
use tests::stack_account::{STACK, StackAccount};

use super::super::json::document;
use super::super::support::{self, CommandRun};
use super::world::{Faults, Viewer, World};
use super::{text_of, with_state};

/// A stack of which only some values are not the defaults.
struct FirstDay {
    world: World,
    sandbox: Arc<SandboxAccount>,
    endpoint: String,
}

/// What a case changes.
#[derive(Default)]
struct Case {
    /// Parameters of the stack.
    parameters: Vec<(&'static str, &'static str)>,
    /// Variables of functions. The parameters do not set them.
    variables: Vec<(FunctionId, &'static str, &'static str)>,
    faults: Faults,
    /// Calls of AWS that fail: the operation, and how often.
    refused: Vec<(&'static str, usize)>,
    /// No app client can sign in with SRP.
    without_srp: bool,
}

/// Pages live for a minute, so that an eviction shows.
const LIFETIME: [(&str, &str); 2] =
    [("MIN_CACHE_LIFETIME_SECONDS", "60"), ("MAX_CACHE_LIFETIME_SECONDS", "60")];
const BLOCKED: &str = "blocked.example.com";

impl FirstDay {
    async fn start(case: Case) -> Self {
        let sandbox = Arc::new(SandboxAccount::start(Clock::system().now()).await.unwrap());
        let mut parameters = vec![("BlockedEmailDomains", BLOCKED), ("MinCacheLifetimeSeconds", "60")];
        parameters.retain(|(name, _)| case.parameters.iter().all(|(given, _)| given != name));
        parameters.extend(case.parameters);
        let stack = StackAccount::new(&parameters, Some(sandbox.backend().clone()));
        let mut variables = Variables::new();
        let mut set = |function: FunctionId, name: &str, value: &str| {
            let own: &mut BTreeMap<String, String> =
                variables.entry(function.resource_name().to_owned()).or_default();
            own.insert(name.to_owned(), value.to_owned());
        };
        set(FunctionId::PreSignUp, "BLOCKED_EMAIL_DOMAINS", BLOCKED);
        for function in [FunctionId::ReadApi, FunctionId::UserStats, FunctionId::CacheInvalidation] {
            LIFETIME.iter().for_each(|(name, value)| set(function, name, value));
        }
        for (function, name, value) in case.variables {
            set(function, name, value);
        }
        for (operation, times) in case.refused {
            sandbox.faults.inject(operation, Fault::Error("AccessDeniedException"), times);
        }
        if case.without_srp {
            stack.change_user_pool(|pool| {
                for client in pool.clients.values_mut() {
                    client["ExplicitAuthFlows"] = serde_json::json!(["ALLOW_REFRESH_TOKEN_AUTH"]);
                }
            });
        }
        let world = World::start(stack.clone(), sandbox.clone(), variables, case.faults).await;
        let page = tests::lambda::serve_aws(Viewer(world.clone())).await;
        stack.set_output("PageUrl", &format!("http://{page}/"));
        let endpoint = format!("http://{}", tests::lambda::serve_aws(world.clone()).await);
        Self { world, sandbox, endpoint }
    }

    async fn doctor(&self, arguments: &[&str]) -> CommandRun {
        let mut command = support::command(&self.endpoint, &[&["doctor", "--yes"], arguments].concat());
        command.env("STACK_NAME", STACK);
        support::run(command).await
    }

    /// Nothing of the run is left but markers of erasures, counts of email domains and marks of pages.
    async fn assert_clean(&self) {
        assert_eq!(self.world.accounts().await, Vec::<String>::new());
        assert_eq!(self.world.clients().len(), 0);
        for ((partition, sort), item) in self.sandbox.items().await.unwrap() {
            let is_left = match partition.split('#').next().unwrap() {
                "USER" => sort == "STATS" && !item["erasedAt"].is_null(),
                "SUSPENSION" | "GRANT" => false,
                _ => true,
            };
            assert!(is_left, "{partition} {sort}: {item}");
        }
    }
}

/// The part of the output about the checks that change something, without measured times.
fn shown(run: &CommandRun) -> String {
    let from = run.stdout.find("\nok       sign-up-denied").map_or(0, |start| start + 1);
    let text = &run.stdout[from..];
    let digits = regex_lite::Regex::new(r"\d+(\.\d+)? (ms|s)\b|: \d+ ok|\d+s, at").unwrap();
    digits.replace_all(text, "N").into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn first_day_passes_on_a_stack_that_works_and_leaves_nothing() {
    let day = FirstDay::start(Case::default()).await;
    let run = day.doctor(&[]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    insta::assert_snapshot!("doctor_first_day", shown(&run));
    day.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_without_a_client_for_srp_gets_one_for_the_run() {
    let day = FirstDay::start(Case { without_srp: true, ..Case::default() }).await;
    let run = day.doctor(&["--json"]).await;
    let report = document("doctor", &run);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(text_of(&report, "sign-in").contains("app client of the run"), "{report}");
    assert_eq!(with_state(&report, "skipped"), ["account-events", "page-cached", "page-headers"]);
    day.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_without_self_sign_up_gets_a_user_from_an_administrator() {
    let case = Case { parameters: vec![("SelfSignUp", "false")], ..Case::default() };
    let day = FirstDay::start(case).await;
    let run = day.doctor(&["--json"]).await;
    let report = document("doctor", &run);
    assert_eq!(run.code, 0, "{run:?}");
    let skipped = ["account-events", "sign-up-denied", "profile", "statistics"];
    assert_eq!(with_state(&report, "skipped"), skipped, "{report}");
    assert!(text_of(&report, "sign-up").contains("by an administrator"), "{report}");
    day.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_that_requires_a_second_factor_signs_nobody_in() {
    let case = Case { parameters: vec![("MfaConfiguration", "ON")], ..Case::default() };
    let day = FirstDay::start(case).await;
    let run = day.doctor(&["--json"]).await;
    let report = document("doctor", &run);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(text_of(&report, "sign-in").contains("second factor"), "{report}");
    assert!(with_state(&report, "skipped").ends_with(&["invalidation", "reinstatement"]), "{report}");
    day.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_up_whose_answer_is_lost_is_removed_too() {
    let faults = Faults { loses_sign_up: true, ..Faults::default() };
    let parameters = vec![("BlockedEmailDomains", "")];
    let day = FirstDay::start(Case { faults, parameters, ..Case::default() }).await;
    let run = day.doctor(&["--json"]).await;
    let report = document("doctor", &run);
    assert_eq!((run.code, with_state(&report, "failed")), (1, vec!["sign-up"]), "{report}");
    assert!(text_of(&report, "cleanup").contains("1 account"), "{report}");
    day.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn person_who_signs_up_with_the_address_during_the_run_stays() {
    let faults = Faults { is_overtaken: true, ..Faults::default() };
    let parameters = vec![("BlockedEmailDomains", "")];
    let day = FirstDay::start(Case { faults, parameters, ..Case::default() }).await;
    let run = day.doctor(&["--json", "--email", "ana@example.com"]).await;
    let report = document("doctor", &run);
    assert_eq!((run.code, with_state(&report, "failed")), (1, vec!["sign-up"]), "{report}");
    assert!(text_of(&report, "sign-up").contains("UsernameExistsException"), "{report}");
    assert_eq!(text_of(&report, "erasure"), "the run created no user");
    assert_eq!(day.world.accounts().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_who_can_be_another_persons_is_named_and_stays() {
    let faults = Faults { loses_sign_up: true, ..Faults::default() };
    let parameters = vec![("BlockedEmailDomains", "")];
    let day = FirstDay::start(Case { faults, parameters, ..Case::default() }).await;
    let run = day.doctor(&["--json", "--email", "ana@example.com"]).await;
    let report = document("doctor", &run);
    assert_eq!((run.code, with_state(&report, "failed")), (1, vec!["sign-up", "erasure"]), "{report}");
    let [sub] = day.world.accounts().await.try_into().unwrap();
    let command = format!("replay user erase {sub} --account --stack {STACK}");
    assert_eq!(report["leftovers"][0]["command"], command, "{report}");
    assert!(!run.stdout.contains("ana@example.com"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn app_client_whose_creation_was_not_answered_is_removed_too() {
    let faults = Faults { loses_client: true, ..Faults::default() };
    let day = FirstDay::start(Case { faults, without_srp: true, ..Case::default() }).await;
    let run = day.doctor(&["--json"]).await;
    let report = document("doctor", &run);
    assert_eq!(with_state(&report, "failed"), ["sign-up-denied", "sign-up"], "{report}");
    // One for each of the two checks.
    assert_eq!(text_of(&report, "cleanup"), "deleted 0 accounts and 2 app clients");
    day.assert_clean().await;
}

fn detached(functions: &[FunctionId]) -> Faults {
    Faults { detached: functions.iter().copied().collect(), ..Faults::default() }
}

/// A case for each check that changes something, the text of its failure, and the checks that fail with it.
fn cases() -> Vec<(&'static str, Case, &'static str, &'static [&'static str])> {
    let case = Case::default;
    vec![
        (
            "sign-up-denied",
            Case { variables: vec![(FunctionId::PreSignUp, "BLOCKED_EMAIL_DOMAINS", "")], ..case() },
            "the sign-up was accepted",
            &[],
        ),
        (
            "sign-up",
            Case {
                variables: vec![(FunctionId::PreSignUp, "ALLOWED_EMAIL_DOMAINS", "shop.example.com")],
                ..case()
            },
            "a trigger denied it",
            &[],
        ),
        (
            "profile",
            Case { faults: detached(&[FunctionId::PostConfirmation]), ..case() },
            "did not arrive",
            &[],
        ),
        (
            "sign-in",
            Case { faults: Faults { refused_sign_in: 1, ..Faults::default() }, ..case() },
            "Incorrect username or password",
            &[],
        ),
        (
            "token",
            Case { parameters: vec![("GroupRules", r#"[{"always": true, "group": "Everyone"}]"#)], ..case() },
            "the ID token has no group, not Everyone",
            &[],
        ),
        (
            "statistics",
            Case { faults: Faults { workers_stand_still: true, ..Faults::default() }, ..case() },
            "the first event did not arrive within 3 s",
            &["invalidation"],
        ),
        (
            "page-cached",
            Case {
                variables: vec![
                    (FunctionId::ReadApi, "MIN_CACHE_LIFETIME_SECONDS", "5"),
                    (FunctionId::ReadApi, "MAX_CACHE_LIFETIME_SECONDS", "0"),
                ],
                ..case()
            },
            "no Hit",
            &["page-headers"],
        ),
        (
            "page-headers",
            Case {
                parameters: vec![("MinCacheLifetimeSeconds", "5"), ("MaxCacheLifetimeSeconds", "30")],
                ..case()
            },
            "s-maxage",
            &[],
        ),
        (
            "suspension",
            Case {
                faults: detached(&[FunctionId::PreAuthentication, FunctionId::PreTokenGeneration]),
                ..case()
            },
            "the refresh was allowed; the sign-in was allowed",
            &[],
        ),
        (
            "invalidation",
            Case { refused: vec![("CreateInvalidation", 1_000)], ..case() },
            "did not arrive",
            &[],
        ),
        (
            "reinstatement",
            Case { faults: Faults { refused_sign_in: 4, ..Faults::default() }, ..case() },
            "the refresh failed",
            &[],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_that_changes_something_finds_its_fault_and_the_run_leaves_nothing() {
    for (check, case, text, also) in cases() {
        let day = FirstDay::start(case).await;
        // Short only if something is to be late.
        let timeout = match check {
            "profile" | "statistics" | "invalidation" => "3",
            _ => "30",
        };
        let run = day.doctor(&["--json", "--timeout", timeout]).await;
        let report = document("doctor", &run);
        assert_eq!(run.code, 1, "{check}: {run:?}");
        let mut failed: Vec<&str> = with_state(&report, "failed");
        failed.retain(|name| *name != check);
        assert_eq!(failed, also, "{check}: {report}");
        assert!(text_of(&report, check).contains(text), "{check}: {}", text_of(&report, check));
        assert_eq!(report["leftovers"], Value::Array(Vec::new()), "{check}");
        day.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_is_named_with_the_command_that_removes_it() {
    for (operation, check) in [("AdminDisableUser", "erasure"), ("AdminDeleteUser", "cleanup")] {
        let day = FirstDay::start(Case { refused: vec![(operation, 1)], ..Case::default() }).await;
        let run = day.doctor(&["--json"]).await;
        let report = document("doctor", &run);
        assert_eq!((run.code, with_state(&report, "failed")), (1, vec![check]), "{operation}: {report}");
        assert!(run.stderr.contains("1 check failed, and 1 thing left"), "{run:?}");
        let command = report["leftovers"][0]["command"].as_str().unwrap();
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let mut erase = support::command(&day.endpoint, &words);
        erase.env("STACK_NAME", STACK);
        let erased = support::run(erase).await;
        assert_eq!(erased.code, 0, "{command}: {erased:?}");
        day.assert_clean().await;
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_run_removes_everything_and_exits_with_130() {
    for operation in ["SignUp", "AdminConfirmSignUp", "RespondToAuthChallenge"] {
        let process = Arc::new(Mutex::new(None));
        let interruption = Some((operation, process.clone()));
        let faults = Faults { interruption, ..Faults::default() };
        // Otherwise the first sign-up is the denied one.
        let parameters = vec![("BlockedEmailDomains", "")];
        let day = FirstDay::start(Case { faults, parameters, ..Case::default() }).await;
        let mut command = support::command(&day.endpoint, &["doctor", "--yes", "--json"]);
        command.env("STACK_NAME", STACK).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = {
            // The process must be known before its first call is answered.
            let mut process = process.lock().unwrap();
            let child = command.spawn().unwrap();
            *process = Some(child.id());
            child
        };
        let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{operation}: {stderr}");
        assert!(stderr.contains("everything that the run created is removed"), "{stderr}");
        let run = CommandRun { code: 130, stdout: String::from_utf8(output.stdout).unwrap(), stderr };
        let report = document("doctor", &run);
        assert!(text_of(&report, "suspension") == "interrupted", "{report}");
        day.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn address_of_a_user_is_refused_and_the_user_stays() {
    let day = FirstDay::start(Case::default()).await;
    let attributes = BTreeMap::from([("sub", "7d8ca528"), ("email", "ana@example.com")]);
    let user = sandbox::aws::user_pools::NewUser { username: "7d8ca528", status: "CONFIRMED", attributes };
    day.sandbox.backend().user_pools().put_users(super::world::POOL, &[user]).await;
    let run = day.doctor(&["--json", "--email", "ana@example.com"]).await;
    let report = document("doctor", &run);
    assert_eq!(with_state(&report, "failed"), ["sign-up"]);
    assert_eq!(text_of(&report, "sign-up"), "a user of the pool has this address");
    assert_eq!(day.world.accounts().await, ["7d8ca528"]);
    assert!(!run.stdout.contains("ana@example.com"), "{run:?}");
}

#[test]
fn every_check_that_changes_something_has_a_case() {
    let tested: Vec<&str> = cases().iter().map(|(check, ..)| *check).chain(["erasure", "cleanup"]).collect();
    for check in CheckId::ALL.into_iter().filter(|check| !check.is_read_only()) {
        assert!(tested.contains(&check.info().name), "{check:?}");
    }
}

#[test]
fn sentences_of_denials_are_those_of_the_triggers() {
    use replay::doctor::first_day::{SIGN_IN_DENIED, SIGN_UP_DENIED};
    assert_eq!(triggers::pre_sign_up::DENIED.message, SIGN_UP_DENIED);
    assert_eq!(triggers::sign_in::DENIED.message, SIGN_IN_DENIED);
}
