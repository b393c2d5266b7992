//! `replay user import`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sandbox::aws::user_pools::NewUser;
use sandbox::aws::{Fault, TABLE};
use serde_json::{Value, json};
use shared::events::Confirmed;
use shared::store::Profile;
use shared::suspension::Suspension;

use super::loopback_account::{LoopbackAccount, order_event};
use super::support::ANA;
use crate::support::empty_profile;

const POOL: &str = "eu-central-1_EXAMPLE12";
/// Creation time of all users in the user pool: 2026-01-01.
const CREATED_AT: u64 = 1_767_225_600_000;

/// An account whose user pool has Ana and `others` other users, from `sub-000` on.
async fn account_with_pool(others: usize) -> LoopbackAccount {
    let account = LoopbackAccount::start().await;
    let names: Vec<String> = (0..others).map(|number| format!("sub-{number:03}")).collect();
    let user = |name, attributes| NewUser { username: name, status: "CONFIRMED", attributes };
    let ana = BTreeMap::from([("sub", ANA), ("email", "ana@example.com"), ("email_verified", "true")]);
    let mut users = vec![user(ANA, ana)];
    users.extend(names.iter().map(|name| user(name.as_str(), BTreeMap::from([("sub", name.as_str())]))));
    account.sandbox.backend().user_pools().put_users(POOL, &users).await;
    account.sandbox.calls.clear_operations();
    account
}

/// All profiles by sub.
async fn profiles(account: &LoopbackAccount) -> BTreeMap<String, Value> {
    let items = account.sandbox.items().await.unwrap().into_iter();
    let profiles =
        items.filter(|((_, sort_key), item)| sort_key == "PROFILE" && item.get("cognitoId").is_some());
    profiles.map(|((partition, _), item)| (partition.trim_start_matches("USER#").to_owned(), item)).collect()
}

/// Number of calls of an operation.
fn calls(account: &LoopbackAccount, operation: &str) -> usize {
    account.sandbox.calls.operations().iter().filter(|call| *call == operation).count()
}

async fn write_profile(account: &LoopbackAccount, sub: &str) {
    let mut profile = empty_profile(sub, account.sandbox.time.now());
    profile.confirmed.username = "before".to_owned();
    account.store().write_profile(&profile).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_pool_get_profiles_and_existing_profiles_stay() {
    let account = account_with_pool(0).await;
    let users = [
        ("ben", "FORCE_CHANGE_PASSWORD", "sub-of-ben"),
        ("carla", "EXTERNAL_PROVIDER", "sub-of-carla"),
        ("dora", "RESET_REQUIRED", "sub-of-dora"),
        ("emil", "CONFIRMED", "sub-of-emil"),
        ("faye", "CONFIRMED", "sub-of-faye"),
        ("gina", "UNCONFIRMED", "sub-of-gina"),
        ("hugo", "COMPROMISED", "sub-of-hugo"),
    ];
    let users = users.map(|(username, status, sub)| {
        let attributes = BTreeMap::from([("sub", sub), ("name", "Example")]);
        NewUser { username, status, attributes }
    });
    account.sandbox.backend().user_pools().put_users(POOL, &users).await;
    write_profile(&account, "sub-of-dora").await;
    let profile_of_dora = account.item("USER#sub-of-dora", "PROFILE").await;
    let at = "2026-03-01T00:00:00Z".parse().unwrap();
    let suspension = Suspension { reason: "spam".into(), until: None, by: "ben".into(), at };
    assert!(account.store().write_suspension("sub-of-emil", &suspension).await.unwrap());
    account.apply([order_event("1", "sub-of-faye")]).await;
    let erase = ["user", "erase", "sub-of-faye", "--queue", "cache-invalidations", "--yes"];
    assert_eq!(account.replay_on_table(&erase).await.code, 0);

    let command = ["user", "import", "--user-pool", POOL];
    let with_yes = [&command[..], &["--yes"]].concat();
    let before = account.sandbox.items().await.unwrap();
    let run = account.replay_on_table(&command).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
          8  users on 1 page
          4  profiles to write
          1  already had a profile
          1  skipped: erased
          1  skipped: COMPROMISED
          1  skipped: UNCONFIRMED
    Dry run: nothing was written. Add --yes to write 4 profiles.
    ");
    assert_eq!(account.sandbox.items().await.unwrap(), before);
    let plan = super::json::document(
        "user import",
        &account.replay_on_table(&[&command[..], &["--json"]].concat()).await,
    );
    assert_eq!((&plan["dryRun"], &plan["written"], &plan["erased"]), (&json!(true), &json!(4), &json!(1)));
    assert_eq!(plan["skipped"], json!({"COMPROMISED": 1, "UNCONFIRMED": 1}));

    let run = account.replay_on_table(&with_yes).await;
    assert!(run.code == 0 && run.stdout.contains("      4  profiles written\n"), "{run:?}");
    let written = profiles(&account).await;
    let subs: Vec<&str> = written.keys().map(String::as_str).collect();
    assert_eq!(subs, [ANA, "sub-of-ben", "sub-of-carla", "sub-of-dora", "sub-of-emil"]);
    let expected = json!({
        "cognitoId": ANA, "username": ANA, "email": "ana@example.com", "isEmailVerified": true,
        "isBanned": false, "createdAt": CREATED_AT,
    });
    assert_eq!(written[ANA], expected);
    assert_eq!(
        (&written["sub-of-ben"]["username"], &written["sub-of-ben"]["name"]),
        (&json!("ben"), &json!("Example"))
    );
    assert_eq!(written["sub-of-dora"], profile_of_dora, "an existing profile stays unchanged");
    let emil = &written["sub-of-emil"];
    assert_eq!(emil["isBanned"], json!(true));
    assert_eq!(account.item("SUSPENSION#sub-of-emil", "SUSPENSION").await["reason"], json!("spam"));

    let run = account.replay_on_table(&with_yes).await;
    let expected = "      0  profiles written\n      5  already had a profile\n";
    assert!(run.code == 0 && run.stdout.contains(expected), "{run:?}");
    assert_eq!(profiles(&account).await, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_written_meanwhile_is_not_overwritten() {
    let account = LoopbackAccount::start().await;
    let store = account.store();
    write_profile(&account, ANA).await;
    let before = profiles(&account).await;
    let mut profile = empty_profile(ANA, account.sandbox.time.now());
    profile.confirmed = Confirmed { username: "after".into(), email_verified: true, ..profile.confirmed };
    assert!(!store.write_missing_profile(&profile).await.unwrap());
    assert_eq!(profiles(&account).await, before);
    account.sandbox.faults.inject("UpdateItem", Fault::Error("TransactionConflictException"), 2);
    assert!(store.write_missing_profile(&Profile { sub: "ben".into(), ..profile }).await.unwrap());
    assert_eq!(profiles(&account).await["ben"]["username"], "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_import_continues_from_its_checkpoint() {
    let account = account_with_pool(139).await;
    // The users of the first page, Ana and 59 others, have profiles, so that nothing is written for them.
    write_profile(&account, ANA).await;
    for number in 0..59 {
        write_profile(&account, &format!("sub-{number:03}")).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("import.json");
    let path = file.to_str().unwrap();
    let command = ["user", "import", "--user-pool", POOL, "--rate", "50", "--checkpoint", path, "--yes"];
    let checkpoint = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();

    let run = account.replay_on_table(&command[..8]).await;
    assert!(run.code == 0 && run.stdout.contains("140  users on 3 pages") && !file.exists(), "{run:?}");

    account.sandbox.faults.inject("UpdateItem", Fault::Error("AccessDeniedException"), 1_000);
    let run = account.replay_on_table(&command).await;
    assert!(run.code == 1 && run.stderr.contains("AccessDeniedException"), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    let interrupted = checkpoint();
    assert_eq!((&interrupted["userPoolId"], &interrupted["done"]), (&json!(POOL), &json!(false)));
    let counts = &interrupted["counts"];
    assert_eq!((&counts["pages"], &counts["hadProfile"]), (&json!(1), &json!(60)));
    assert_eq!(profiles(&account).await.len(), 60);

    account.sandbox.faults.clear();
    account.sandbox.calls.clear_operations();
    let run = account.replay_on_table(&command).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
    Continuing after 60 users.
        140  users on 3 pages
         80  profiles written
         60  already had a profile
    Import complete.
    ");
    assert_eq!(calls(&account, "ListUsers"), 2, "the second page and the third");
    assert_eq!(calls(&account, "UpdateItem"), 80);
    assert_eq!(profiles(&account).await.len(), 140);
    assert_eq!(checkpoint()["done"], true);

    account.sandbox.calls.clear_operations();
    let run = account.replay_on_table(&command).await;
    assert!(run.code == 0 && run.stdout.starts_with("Nothing to do: the import is complete"), "{run:?}");
    assert_eq!(account.sandbox.calls.operations(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_not_read_faster_than_the_rate() {
    let account = account_with_pool(139).await;
    let start = Instant::now();
    let run = account.replay_on_table(&["user", "import", "--user-pool", POOL, "--rate", "2"]).await;
    assert!(run.code == 0 && run.stdout.contains("140  users on 3 pages"), "{run:?}");
    assert!(start.elapsed() >= Duration::from_secs(1), "two delays of half a second");
}

/// Asserts that the error is one line and that no profile is written.
async fn assert_rejected(account: &LoopbackAccount, arguments: &[&str], expected: &str) {
    let run = account.replay_on_table(arguments).await;
    assert!(run.code != 0 && run.stderr.contains(expected), "{expected}: {run:?}");
    assert!(run.stderr.lines().count() == 1 && !run.stderr.contains('@'), "{run:?}");
    assert_eq!(profiles(account).await.len(), 0, "{expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_import_is_one_line_and_writes_nothing() {
    let account = account_with_pool(60).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("import.json");
    let path = file.to_str().unwrap();
    let command = ["user", "import", "--user-pool", POOL, "--rate", "50", "--checkpoint", path, "--yes"];
    let unknown = ["user", "import", "--user-pool", "eu-central-1_UNKNOWN", "--yes"];
    assert_rejected(&account, &unknown, "user pool eu-central-1_UNKNOWN does not exist").await;
    for (code, expected) in [
        ("NotAuthorizedException", "ListUsers: NotAuthorizedException"),
        ("InvalidParameterException", "ListUsers: InvalidParameterException"),
        ("TooManyRequestsException", "with a lower --rate"),
    ] {
        account.sandbox.faults.inject("ListUsers", Fault::Error(code), 9);
        assert_rejected(&account, &command, expected).await;
        account.sandbox.faults.clear();
    }
    for (pool, table, token, expected) in [
        (
            "eu-central-1_OTHER",
            TABLE,
            "after-a",
            "import.json: the checkpoint is for the user pool eu-central-1_OTHER",
        ),
        (POOL, "another-table", "after-a", "import.json: the checkpoint is for the table another-table"),
        (POOL, TABLE, "expired", "import.json and run the command again: it overwrites no profile"),
    ] {
        let checkpoint = json!({
            "userPoolId": pool, "table": table, "paginationToken": token, "done": false,
            "counts": {"pages": 1, "users": 60},
        });
        std::fs::write(&file, checkpoint.to_string()).unwrap();
        assert_rejected(&account, &command, expected).await;
    }
    std::fs::write(&file, "lost").unwrap();
    assert_rejected(&account, &command, "import.json: not a checkpoint of an import").await;
    for rate in ["0", "101", "-1", "many"] {
        let arguments = ["user", "import", "--user-pool", POOL, &format!("--rate={rate}")];
        let run = account.replay_on_table(&arguments).await;
        assert!(run.code == 2 && run.stderr.contains("--rate"), "{run:?}");
    }
}
