//! What triggers answer when AWS fails. Time is paused: a trigger that waits is not waited for.

use std::time::Duration;

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::events::Event;
use shared::telemetry::UNSENT_EVENT;
use tests::{fixtures, log};
use triggers::sign_in::DENIED;

use super::FIXTURES;
use crate::support::{ANA, rig};

/// The whole trigger, cold start aside. Cognito waits five seconds.
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

const TABLE: &[&str] = &["GetItem", "UpdateItem"];
const QUEUE: &[&str] = &["SendMessage", "SendMessageBatch"];
const BOTH: &[&str] = &["*"];

/// A rule that would give a group: none is added where the suspension may say otherwise.
const GROUP_RULES: &str =
    r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#;

/// Every trigger × what fails × how it fails × ON_STORE_ERROR.
#[tokio::test(start_paused = true)]
async fn whatever_fails_each_trigger_answers_in_time_as_its_row_says() {
    for ((function, fixture), failing, fault, on_store_error) in cases() {
        let case = format!("{function}, {failing:?} {fault:?}, {on_store_error}");
        let rig = rig().await;
        for operation in failing {
            rig.account.faults.inject(operation, fault.clone(), 100);
        }
        let variables = [("ON_STORE_ERROR", on_store_error), ("GROUP_RULES", GROUP_RULES)];
        let begun = tokio::time::Instant::now();
        let answer = rig.invoke(function, &variables, fixtures::event(fixture)).await;
        assert!(begun.elapsed() < LIMIT, "{case}: {:?}", begun.elapsed());

        let asks_the_table = matches!(function, "pre-authentication" | "pre-token-generation");
        if asks_the_table && failing != QUEUE && on_store_error == "deny" {
            assert_eq!(answer, Err(DENIED), "{case}");
        } else {
            let answer = answer.unwrap_or_else(|error| panic!("{case}: {error:?}"));
            let unchanged = asks_the_table && failing != QUEUE;
            assert!(!unchanged || answer == fixtures::json(fixture), "{case}: no group is added");
        }
        let (lost, counted) = (lost_events(), rig.account.count("UnsentEvents"));
        assert_eq!(lost.len() as u64, counted, "{case}: each lost event is in the log and counted");
        assert_eq!(lost.is_empty(), failing == TABLE, "{case}");
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

/// The events that this thread has logged as lost: each can be read back, and sent.
fn lost_events() -> Vec<Event> {
    let lines: Vec<Value> = log::taken().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lost = lines.iter().filter(|line| line["fields"]["message"] == UNSENT_EVENT);
    lost.map(|line| Event::parse(line["fields"]["event"].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn a_lost_event_stands_in_the_log_whole() {
    let rig = rig().await;
    rig.account.faults.inject("SendMessage", Fault::Refused, 100);
    log::taken();
    rig.response("post-confirmation", &[], fixtures::event("post-confirmation/confirm-sign-up")).await;
    let lost = lost_events();
    rig.account.faults.clear();
    rig.user_stats(&[]).handle_twice(&crate::support::batch(&[lost[0].to_json().into()])).await;
    let profile = rig.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!(profile["email"], "ana@example.com");
    assert!(rig.item(&format!("USER#{ANA}"), "STATS").await["confirmedAt"].is_number());
}

#[tokio::test]
async fn a_profile_that_could_not_be_written_is_written_by_user_stats() {
    let rig = rig().await;
    rig.account.faults.inject("UpdateItem", Fault::Refused, 100);
    rig.response("post-confirmation", &[], fixtures::event("post-confirmation/confirm-sign-up")).await;
    assert_eq!(rig.account.count("ProfileWriteFailures"), 1);
    rig.account.faults.clear();
    let sent = rig.sent().await;
    rig.user_stats(&[]).handle_twice(&crate::support::batch(&sent)).await;
    let profile = rig.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!((&profile["email"], &profile["isBanned"]), (&json!("ana@example.com"), &json!(false)));
}
