//! `replay user list --inactive-for` and `replay users`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandbox::aws::user_pools::NewUser;
use sandbox::aws::{Fault, TABLE};
use serde_json::{Value, json};
use shared::time::Clock;

use super::json::document;
use super::loopback_account::LoopbackAccount;
use super::support::{ANA, CommandRun};

const POOL: &str = "eu-central-1_EXAMPLE12";
/// Creation date of all users in the user pool.
const CREATED_AT: &str = "2026-01-01T00:00:00Z";

/// A pool with Ana, who was active in March, Ben, who is not in the table, and Carla, whose account is
/// disabled and who was active in January. `others` more users were active in March.
async fn account_with_users(others: usize) -> LoopbackAccount {
    let account = LoopbackAccount::start().await;
    let names: Vec<String> = (0..others).map(|number| format!("user-{number:03}")).collect();
    let mut users = vec![("ana@example.com", ANA), ("ben", "sub-of-ben"), ("carla", "sub-of-carla")];
    users.extend(names.iter().map(|name| (name.as_str(), name.as_str())));
    let users: Vec<NewUser<'_>> = users
        .into_iter()
        .map(|(username, sub)| {
            let attributes = BTreeMap::from([("sub", sub), ("email", "someone@example.com")]);
            NewUser { username, status: "CONFIRMED", attributes }
        })
        .collect();
    let pools = account.sandbox.backend().user_pools();
    pools.put_users(POOL, &users).await;
    pools.disable_user(POOL, "carla").await;
    let active = async |sub: &str, at: &str| {
        let at = at.parse::<Timestamp>().unwrap().as_millisecond();
        account
            .set_attributes(&format!("USER#{sub}"), "STATS", json!({"version": 1, "lastSeenAt": at}))
            .await;
    };
    active(ANA, "2026-03-01T00:00:00Z").await;
    active("sub-of-carla", "2026-01-15T12:00:00Z").await;
    for name in &names {
        active(name, "2026-03-01T00:00:00Z").await;
    }
    account.sandbox.calls.clear_operations();
    account
}

async fn replay(account: &LoopbackAccount, arguments: &[&str]) -> CommandRun {
    let run = account.replay_on_table(&[arguments, &["--user-pool", POOL]].concat()).await;
    assert!(!format!("{run:?}").contains('@'), "personal data: {run:?}");
    run
}

fn days_since(time: &str) -> i64 {
    let seconds = Clock::system().now().as_second() - time.parse::<Timestamp>().unwrap().as_second();
    seconds / (24 * 3600)
}

#[tokio::test(flavor = "multi_thread")]
async fn inactive_users_are_listed_with_their_last_activity() {
    let account = account_with_users(0).await;
    let (before, csv) = (days_since(CREATED_AT), ["user", "list", "--inactive-for", "2026-02-01", "--csv"]);
    let run = replay(&account, &csv).await;
    let (created, seen) = (days_since(CREATED_AT), days_since("2026-01-15T12:00:00Z"));
    assert_eq!(run.code, 0, "{run:?}");
    if before == created {
        let expected = format!(
            "sub,status,enabled,created_at,last_seen_at,inactive_days\n\
             sub-of-ben,CONFIRMED,true,{CREATED_AT},,{created}\n\
             sub-of-carla,CONFIRMED,false,{CREATED_AT},2026-01-15T12:00:00Z,{seen}\n"
        );
        assert_eq!(run.stdout, expected);
    }
    let users = async |arguments: &[&str]| {
        let run = replay(&account, &[&["users", "--json", "--inactive-for"], arguments].concat()).await;
        let list = document("users", &run);
        let users = list["users"].as_array().unwrap().clone();
        let subs: Vec<String> = users.iter().map(|user| user["sub"].as_str().unwrap().to_owned()).collect();
        (subs, users, list["hasMore"] == true)
    };
    let (subs, listed, has_more) = users(&["2026-02-01"]).await;
    assert_eq!((subs, has_more), (vec!["sub-of-ben".to_owned(), "sub-of-carla".to_owned()], false));
    assert_eq!(
        (&listed[0]["lastSeenAt"], &listed[1]["lastSeenAt"]),
        (&Value::Null, &json!("2026-01-15T12:00:00Z"))
    );
    assert_eq!(users(&["2026-01-10"]).await.0, ["sub-of-ben"]);
    assert_eq!(users(&["2026-03-02"]).await.0.len(), 3);
    assert_eq!(users(&["2026-02-01", "--disabled"]).await.0, ["sub-of-carla"]);
    let (subs, _, has_more) = users(&["2026-02-01", "--limit", "1"]).await;
    assert_eq!((subs, has_more), (vec!["sub-of-ben".to_owned()], true));
    // Nobody was active within the last second.
    assert_eq!(users(&["1s"]).await.0.len(), 3);
    let text = replay(&account, &["users", "--inactive-for", "2026-01-10"]).await;
    let expected = format!(
        "  CONFIRMED  example.com  never seen, created {created} days ago\n  username: ben\nNever seen: no activity since the deployment of the stack, with which the statistics begin.\n1 user\n"
    );
    assert!(text.code == 0 && (before != created || text.stdout.ends_with(&expected)), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn walk_reads_each_page_once_and_waits_while_cognito_throttles() {
    let account = account_with_users(137).await;
    let command = ["users", "--inactive-for", "2026-03-02", "--csv", "--rate", "100"];
    let run = replay(&account, &command).await;
    assert_eq!((run.code, run.stdout.lines().count()), (0, 141), "{run:?}");
    let calls = account.sandbox.calls.operations();
    let count = |operation: &str| calls.iter().filter(|call| *call == operation).count();
    assert_eq!((count("ListUsers"), count("BatchGetItem")), (3, 3));
    assert_eq!(calls.len(), 6, "no other call: {calls:?}");
    // More failures than the attempts of the SDK for one call.
    account.sandbox.faults.inject("ListUsers", Fault::Error("TooManyRequestsException"), 4);
    let throttled = replay(&account, &command).await;
    assert_eq!((throttled.code, &throttled.stdout), (0, &run.stdout), "{throttled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_list_of_inactive_users_is_refused() {
    let account = account_with_users(0).await;
    for (arguments, expected) in [
        (&["users", "--csv"][..], "--inactive-for"),
        (&["users", "--inactive-for", "90"], "expected a duration"),
        (&["users", "--inactive-for", "90d", "--csv", "--json"], "cannot be used with"),
        (&["users", "--inactive-for", "9999-01-01"], "--inactive-for: the time is in the future"),
    ] {
        let run = replay(&account, arguments).await;
        assert!(run.code == 2 && run.stderr.contains(expected), "{run:?}");
    }
    let run = account.replay(&["users", "--inactive-for", "90d", "--user-pool", POOL]).await;
    assert!(run.code == 2 && run.stderr.contains("or set TABLE_NAME"), "{TABLE}: {run:?}");
    assert_eq!(account.sandbox.calls.operations(), [] as [&str; 0]);
}
