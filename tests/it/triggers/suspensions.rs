//! The suspension, on every way to a token: a table of who gets in.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::suspension::Suspension;
use shared::time::{minus_seconds, plus_seconds};
use tests::fixtures::{event, event_with};
use triggers::sign_in::DENIED;

use crate::support::{ANA, Rig, batch, rig};

/// Every way that Cognito asks about a user. It does not ask pre-authentication on a refresh, nor on a first sign-in
/// through an identity provider.
const WAYS: [(&str, &str); 6] = [
    ("pre-authentication", "authentication"),
    ("pre-token-generation", "authentication"),
    ("pre-token-generation", "hosted-auth"),
    ("pre-token-generation", "new-password-challenge"),
    ("pre-token-generation", "authenticate-device"),
    ("pre-token-generation", "refresh-tokens"),
];

/// How a user stands.
#[derive(Clone, Copy, Debug)]
enum Standing {
    NotBanned,
    BannedForGood,
    BannedFor { seconds: i64 },
    BanExpired,
    BanLifted,
    BanLiftedThenBannedAgain,
    FlagAlone,
    BanUnreadable,
    StoreDown,
}

use Standing::*;

/// Who gets in with ON_STORE_ERROR=deny, and with allow.
const WHO_GETS_IN: [(Standing, bool, bool); 9] = [
    (NotBanned, true, true),
    (BannedForGood, false, false),
    (BannedFor { seconds: 1 }, false, false),
    (BanExpired, true, true),
    (BanLifted, true, true),
    (BanLiftedThenBannedAgain, false, false),
    (FlagAlone, false, false),
    (BanUnreadable, false, false),
    (StoreDown, false, true),
];

async fn stand(rig: &Rig, standing: Standing) {
    let now = rig.account.time.now();
    let write = async |ago: i64, until: Option<i64>| {
        let at = minus_seconds(now, ago);
        let until = until.map(|seconds| plus_seconds(now, seconds));
        let suspension = Suspension { reason: "spam".into(), until, by: "support".into(), at };
        assert!(rig.store().write_suspension(ANA, &suspension).await.unwrap());
    };
    match standing {
        NotBanned => {}
        BannedForGood => write(10, None).await,
        BannedFor { seconds } => write(10, Some(seconds)).await,
        BanExpired => write(10, Some(0)).await,
        BanLifted => {
            write(10, None).await;
            write(5, Some(-5)).await;
        }
        BanLiftedThenBannedAgain => {
            write(10, None).await;
            write(5, Some(-5)).await;
            write(2, None).await;
        }
        FlagAlone => rig.put_profile(ANA, "isBanned", true.into()).await,
        BanUnreadable => rig.put_profile(ANA, "suspension", "for ever".into()).await,
        StoreDown => rig.account.faults.inject("GetItem", Fault::Error("InternalServerError"), 100),
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspension_holds_on_every_way_and_a_store_that_is_down_does_what_the_operator_says() {
    for (standing, in_with_deny, in_with_allow) in WHO_GETS_IN {
        for (function, fixture) in WAYS {
            for (setting, gets_in) in [("deny", in_with_deny), ("allow", in_with_allow)] {
                let case = format!("{standing:?} on {function} {fixture}, {setting}");
                let rig = rig().await;
                stand(&rig, standing).await;
                let of_ana = event_with(&format!("{function}/{fixture}"), |event| {
                    event["request"]["userAttributes"]["sub"] = ANA.into();
                });
                let answer = rig.invoke(function, &[("ON_STORE_ERROR", setting)], of_ana).await;
                match answer {
                    Ok(_) => assert!(gets_in, "{case}"),
                    Err(error) => assert_eq!((gets_in, error), (false, DENIED), "{case}"),
                }
                // Whoever looks at the queue sees the refusal, and no administrator's reason.
                let sent = rig.sent().await;
                let refused = sent.iter().any(|event| event["data"]["outcome"] == "denied");
                assert_eq!(refused, !gets_in, "{case}");
                assert!(sent.iter().all(|event| !event.to_string().contains("spam")), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_forged_event_neither_bans_nor_frees() {
    let rig = rig().await;
    let user_stats = rig.user_stats(&[]);
    let sign_in = || rig.invoke("pre-authentication", &[], event("pre-authentication/authentication"));
    let forged =
        |event_type: &str, data: Value| batch(&[crate::support::event(event_type, event_type, ANA, data)]);
    user_stats.handle_twice(&forged("user.suspended", json!({"reason": "forged"}))).await;
    assert!(sign_in().await.is_ok());

    stand(&rig, BannedForGood).await;
    user_stats.handle_twice(&forged("user.reinstated", json!({"until": "2026-03-02T08:00:00Z"}))).await;
    user_stats.handle_twice(&forged("user.deleted", json!({}))).await;
    user_stats.handle_twice(&forged("user.confirmed", json!({"username": ANA, "isBanned": false}))).await;
    assert_eq!(sign_in().await, Err(DENIED));
}
