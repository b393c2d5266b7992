//! Suspensions on every way to a token.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::suspension::Suspension;
use shared::time::{minus_seconds, plus_seconds};
use tests::fixtures::{event, event_with};
use triggers::sign_in::DENIED;

use crate::support::{ANA, TestStack, batch, test_stack};

/// Every invocation with which Cognito asks about a user. It does not invoke pre-authentication on
/// a refresh, or on a first sign-in through an identity provider.
const INVOCATIONS: [(&str, &str); 6] = [
    ("pre-authentication", "authentication"),
    ("pre-token-generation", "authentication"),
    ("pre-token-generation", "hosted-auth"),
    ("pre-token-generation", "new-password-challenge"),
    ("pre-token-generation", "authenticate-device"),
    ("pre-token-generation", "refresh-tokens"),
];

/// What the table holds about a user.
#[derive(Clone, Copy, Debug)]
enum UserState {
    NotSuspended,
    SuspendedWithoutEnd,
    SuspendedFor {
        seconds: i64,
    },
    SuspensionExpired,
    Reinstated,
    ReinstatedThenSuspended,
    /// Another tool set `isBanned`.
    OnlyFlag,
    UnreadableSuspension,
    StoreDown,
}

use UserState::*;

/// Expected with ON_STORE_ERROR=deny, and with ON_STORE_ERROR=allow.
const MAY_SIGN_IN: [(UserState, bool, bool); 9] = [
    (NotSuspended, true, true),
    (SuspendedWithoutEnd, false, false),
    (SuspendedFor { seconds: 1 }, false, false),
    (SuspensionExpired, true, true),
    (Reinstated, true, true),
    (ReinstatedThenSuspended, false, false),
    (OnlyFlag, false, false),
    (UnreadableSuspension, false, false),
    (StoreDown, false, true),
];

async fn set_up(stack: &TestStack, state: UserState) {
    let now = stack.account.time.now();
    let write = async |ago: i64, until: Option<i64>| {
        let at = minus_seconds(now, ago);
        let until = until.map(|seconds| plus_seconds(now, seconds));
        let suspension = Suspension { reason: "spam".into(), until, by: "support".into(), at };
        assert!(stack.store().write_suspension(ANA, &suspension).await.unwrap());
    };
    match state {
        NotSuspended => {}
        SuspendedWithoutEnd => write(10, None).await,
        SuspendedFor { seconds } => write(10, Some(seconds)).await,
        SuspensionExpired => write(10, Some(0)).await,
        Reinstated => {
            write(10, None).await;
            write(5, Some(-5)).await;
        }
        ReinstatedThenSuspended => {
            write(10, None).await;
            write(5, Some(-5)).await;
            write(2, None).await;
        }
        OnlyFlag => stack.put_profile(ANA, "isBanned", true.into()).await,
        UnreadableSuspension => stack.put_suspension(ANA, json!({"at": "for ever"})).await,
        StoreDown => stack.account.faults.inject("BatchGetItem", Fault::Error("InternalServerError"), 100),
    }
}

#[tokio::test(start_paused = true)]
async fn suspension_denies_every_way_to_a_token_and_on_store_error_decides_if_the_store_is_down() {
    for (state, with_deny, with_allow) in MAY_SIGN_IN {
        for (function, fixture) in INVOCATIONS {
            for (setting, may_sign_in) in [("deny", with_deny), ("allow", with_allow)] {
                let case = format!("{state:?} on {function} {fixture}, {setting}");
                let stack = test_stack().await;
                set_up(&stack, state).await;
                let of_ana = event_with(&format!("{function}/{fixture}"), |event| {
                    event["request"]["userAttributes"]["sub"] = ANA.into();
                });
                let answer = stack.invoke(function, &[("ON_STORE_ERROR", setting)], of_ana).await;
                match answer {
                    Ok(_) => assert!(may_sign_in, "{case}"),
                    Err(error) => assert_eq!((may_sign_in, error), (false, DENIED), "{case}"),
                }
                // The events contain the denial, but not the administrator's reason.
                let sent = stack.sent().await;
                let denied = sent.iter().any(|event| event["data"]["outcome"] == "denied");
                assert_eq!(denied, !may_sign_in, "{case}");
                assert!(sent.iter().all(|event| !event.to_string().contains("spam")), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn forged_event_neither_suspends_nor_reinstates() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let sign_in = || stack.invoke("pre-authentication", &[], event("pre-authentication/authentication"));
    let forged =
        |event_type: &str, data: Value| batch(&[crate::support::event(event_type, event_type, ANA, data)]);
    user_stats.handle_twice(&forged("user.suspended", json!({"reason": "forged"}))).await;
    assert!(sign_in().await.is_ok());

    set_up(&stack, SuspendedWithoutEnd).await;
    user_stats.handle_twice(&forged("user.reinstated", json!({"until": "2026-03-02T08:00:00Z"}))).await;
    user_stats.handle_twice(&forged("user.deleted", json!({}))).await;
    user_stats.handle_twice(&forged("user.confirmed", json!({"username": ANA, "isBanned": false}))).await;
    assert_eq!(sign_in().await, Err(DENIED));
}
