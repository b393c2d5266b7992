//! What triggers answer when AWS fails. Time is paused: a trigger that waits is not waited for.

use std::time::Duration;

use replay::embedded::Fault;
use serde_json::json;
use tests::fixtures;
use triggers::sign_in::DENIED;

use super::FIXTURES;
use crate::support::rig;

/// The whole trigger, cold start aside. Cognito waits five seconds.
const LIMIT: Duration = Duration::from_millis(2_500);

fn faults() -> [Fault; 4] {
    [Fault::Hang, Fault::Refused, Fault::Error("ThrottlingException"), Fault::ReplyLost]
}

#[tokio::test(start_paused = true)]
async fn a_failing_queue_decides_no_sign_in_and_takes_no_time() {
    for fault in faults() {
        for (function, fixture) in FIXTURES {
            let rig = rig().await;
            for operation in ["SendMessage", "SendMessageBatch"] {
                rig.account.faults.inject(operation, fault.clone(), 100);
            }
            let begun = tokio::time::Instant::now();
            let answer = rig.invoke(function, &[], fixtures::event(fixture)).await;
            assert!(answer.is_ok(), "{function} {fault:?}: {answer:?}");
            assert!(begun.elapsed() < LIMIT, "{function} {fault:?}: {:?}", begun.elapsed());
            assert!(rig.account.count("EventsLost") > 0, "{function} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_table_denies_or_allows_as_the_operator_says() {
    let table_operations = ["GetItem", "UpdateItem"];
    for fault in faults() {
        for function in ["pre-authentication", "pre-token-generation"] {
            for (on_store_error, allowed) in [("deny", false), ("allow", true)] {
                let rig = rig().await;
                for operation in table_operations {
                    rig.account.faults.inject(operation, fault.clone(), 100);
                }
                let begun = tokio::time::Instant::now();
                let event = fixtures::event(&format!("{function}/authentication"));
                let variables = [("ON_STORE_ERROR", on_store_error), ("GROUP_RULES", GROUP_RULES)];
                let answer = rig.invoke(function, &variables, event).await;
                assert!(begun.elapsed() < LIMIT, "{function} {fault:?}: {:?}", begun.elapsed());
                match answer {
                    // No group is added where the ban may say otherwise.
                    Ok(answer) => {
                        let sent = fixtures::json(&format!("{function}/authentication"));
                        assert!(allowed, "{function} {fault:?}");
                        assert_eq!(answer, sent);
                    }
                    Err(error) => assert_eq!((allowed, error), (false, DENIED), "{function} {fault:?}"),
                }
            }
        }
    }
}

const GROUP_RULES: &str =
    r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#;

#[tokio::test(start_paused = true)]
async fn a_confirmation_is_answered_when_everything_fails() {
    for fault in faults() {
        let rig = rig().await;
        rig.account.faults.inject("*", fault.clone(), 100);
        let begun = tokio::time::Instant::now();
        let answer =
            rig.invoke("post-confirmation", &[], fixtures::event("post-confirmation/confirm-sign-up")).await;
        assert!(answer.is_ok() && begun.elapsed() < LIMIT, "{fault:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_profile_that_could_not_be_written_is_written_by_user_stats() {
    let rig = rig().await;
    rig.account.faults.inject("UpdateItem", Fault::Refused, 100);
    rig.response("post-confirmation", &[], fixtures::event("post-confirmation/confirm-sign-up")).await;
    assert_eq!(rig.account.count("ProfilesNotWritten"), 1);
    rig.account.faults.clear();
    let sent = rig.sent().await;
    rig.user_stats(&[]).await.handle_twice(&crate::support::batch(&sent)).await;
    let profile = rig.item(&format!("USER#{}", crate::support::ANA), "PROFILE").await;
    assert_eq!((&profile["email"], &profile["isBanned"]), (&json!("ana@example.com"), &json!(false)));
}
