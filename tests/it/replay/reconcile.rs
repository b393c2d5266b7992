//! `replay reconcile`: differences that a test plants between a user pool and the table are found, and only
//! these, and --yes repairs them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::result::ConnectorError;
use jiff::Timestamp;
use sandbox::aws::backend::SandboxBackend;
use sandbox::aws::user_pools::NewUser;
use sandbox::aws::{Answer, AwsBackend, Fault, TABLE};
use serde_json::{Value, json};
use shared::time::Clock;
use winterbaume_core::{MockRequest, MockResponse};

use super::json::document;
use super::loopback_account::{LoopbackAccount, order_event};
use super::loopback_stack::LoopbackStack;
use super::support::{self, CommandRun};
use crate::support::empty_profile;

const POOL: &str = "eu-central-1_EXAMPLE12";
const RULES: &str = r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#;
/// Number of users of the pool: three pages.
const USERS: usize = 130;

/// The sub of a user of the pool.
fn sub(number: usize) -> String {
    format!("user-{number:03}")
}

/// An account in which the table is as the pool says, and user-001 to user-009 are engineers in the group.
/// Every third user has statistics.
async fn equal_account() -> LoopbackAccount {
    let account = LoopbackAccount::start().await;
    let subs: Vec<String> = (0..USERS).map(sub).collect();
    let emails: Vec<String> = subs.iter().map(|sub| format!("{sub}@example.com")).collect();
    let users: Vec<NewUser<'_>> = subs
        .iter()
        .zip(&emails)
        .enumerate()
        .map(|(number, (sub, email))| {
            let mut attributes = BTreeMap::from([
                ("sub", sub.as_str()),
                ("email", email.as_str()),
                ("email_verified", "true"),
                ("name", "Someone"),
            ]);
            if (1..10).contains(&number) {
                attributes.insert("custom:department", "Engineering");
            }
            NewUser { username: sub, status: "CONFIRMED", attributes }
        })
        .collect();
    let pools = account.sandbox.backend().user_pools();
    for sub in &subs[1..10] {
        pools.put_user(POOL, sub, &["Developer".to_owned()]).await;
    }
    pools.put_users(POOL, &users).await;
    let import = ["user", "import", "--user-pool", POOL, "--rate", "100", "--yes"];
    assert_eq!(account.replay_on_table(&import).await.code, 0);
    account.apply(subs.iter().step_by(3).map(|sub| order_event(sub, sub))).await;
    account.sandbox.calls.clear_operations();
    account
}

/// Plants one or two differences of each kind, and what is none.
async fn plant_differences(account: &LoopbackAccount) {
    let pools = account.sandbox.backend().user_pools();
    account.delete(&format!("USER#{}", sub(11)), "PROFILE").await;
    let old_name = json!({"name": "Another"});
    account.set_attributes(&format!("USER#{}", sub(12)), "PROFILE", old_name).await;
    let old = json!({"preferredUsername": "zoe", "isEmailVerified": false});
    account.set_attributes(&format!("USER#{}", sub(125)), "PROFILE", old).await;
    pools.disable_user(POOL, &sub(13)).await;
    account.set_attributes(&format!("USER#{}", sub(15)), "STATS", json!({"isDisabled": true})).await;
    // Without the group although the attribute says so, and the other way round.
    pools.put_user(POOL, &sub(2), &[]).await;
    let engineer = engineer(&sub(2));
    pools.put_users(POOL, &[engineer.user()]).await;
    pools.put_user(POOL, &sub(16), &["Developer".to_owned(), "Other".to_owned()]).await;
    let plain = BTreeMap::from([
        ("sub", "user-016"),
        ("email", "user-016@example.com"),
        ("email_verified", "true"),
        ("name", "Someone"),
    ]);
    pools.put_users(POOL, &[NewUser { username: "user-016", status: "CONFIRMED", attributes: plain }]).await;
    // The pool does not have these.
    for ghost in ["ghost-1", "ghost-2"] {
        account.apply([order_event(ghost, ghost)]).await;
    }
    account.store().write_profile(&empty_profile("ghost-1", account.sandbox.time.now())).await.unwrap();
    account.store().write_profile(&empty_profile("ghost-3", account.sandbox.time.now())).await.unwrap();
    // No differences: an erasure marker with and without an account, a flag without a profile, a user who is
    // not confirmed, and items of other kinds.
    for erased in ["ghost-4", &sub(17)] {
        account.apply([order_event(&format!("of {erased}"), erased)]).await;
        let erase = ["user", "erase", erased, "--queue", "cache-invalidations", "--yes"];
        assert_eq!(account.replay_on_table(&erase).await.code, 0);
    }
    // A user whose data stays on purpose.
    account.store().write_profile(&empty_profile("ghost-6", account.sandbox.time.now())).await.unwrap();
    let kept = json!({"version": 1, "deletedAt": 1_772_442_000_000_i64});
    account.set_attributes("USER#ghost-6", "STATS", kept).await;
    account.set_attributes("USER#ghost-5", "PROFILE", json!({"isBanned": true})).await;
    let gina = BTreeMap::from([("sub", "sub-of-gina")]);
    pools.put_users(POOL, &[NewUser { username: "gina", status: "UNCONFIRMED", attributes: gina }]).await;
    account.set_attributes("LEDGER#E2EXAMPLE1ABCD", "MONTH#2026-03", json!({"items": 1})).await;
    account.sandbox.calls.clear_operations();
}

/// The planted differences: kind, sub, and names.
fn planted() -> BTreeSet<(String, String, Vec<String>)> {
    let difference = |kind: &str, sub: &str, fields: &[&str]| {
        (kind.to_owned(), sub.to_owned(), fields.iter().map(|field| (*field).to_owned()).collect())
    };
    [
        difference("missing_profile", "user-011", &[]),
        difference("stale_profile", "user-012", &["name"]),
        difference("stale_profile", "user-125", &["isEmailVerified", "preferredUsername"]),
        difference("account_state", "user-013", &["disabled"]),
        difference("account_state", "user-015", &["enabled"]),
        difference("missing_group", "user-002", &["Developer"]),
        difference("extra_group", "user-016", &["Developer"]),
        difference("deleted_user", "ghost-1", &[]),
        difference("deleted_user", "ghost-2", &[]),
        difference("deleted_user", "ghost-3", &[]),
    ]
    .into()
}

/// The differences in the file of --out.
fn written(path: &Path) -> BTreeSet<(String, String, Vec<String>)> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = lines.iter().map(|line| {
        let mut fields: Vec<String> = serde_json::from_value(line["fields"].clone()).unwrap();
        fields.sort();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("kind"), text("sub"), fields)
    });
    let set: BTreeSet<_> = found.collect();
    assert_eq!(set.len(), lines.len(), "each difference once: {text}");
    set
}

struct Engineer {
    sub: String,
    email: String,
}

fn engineer(sub: &str) -> Engineer {
    Engineer { sub: sub.to_owned(), email: format!("{sub}@example.com") }
}

impl Engineer {
    fn user(&self) -> NewUser<'_> {
        let attributes = BTreeMap::from([
            ("sub", self.sub.as_str()),
            ("email", self.email.as_str()),
            ("email_verified", "true"),
            ("name", "Someone"),
            ("custom:department", "Engineering"),
        ]);
        NewUser { username: &self.sub, status: "CONFIRMED", attributes }
    }
}

async fn reconcile(account: &LoopbackAccount, arguments: &[&str]) -> CommandRun {
    let command = ["reconcile", "--user-pool", POOL, "--rate", "100", "--group-rules", RULES];
    let run = account.replay_on_table(&[&command[..], arguments].concat()).await;
    let printed = format!("{run:?}");
    for value in ["@example", "Someone", "Another", "Engineering", "zoe"] {
        assert!(!printed.contains(value), "a value of an attribute: {printed}");
    }
    run
}

const QUEUES: [&str; 4] = ["--user-events", "user-events", "--cache-invalidations", "cache-invalidations"];

fn calls(account: &LoopbackAccount, operation: &str) -> usize {
    account.sandbox.calls.operations().iter().filter(|call| *call == operation).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_pool_and_table_have_no_differences() {
    let account = equal_account().await;
    let before = account.sandbox.items().await.unwrap();
    let run = reconcile(&account, &[&QUEUES[..], &["--yes"]].concat()).await;
    assert!(run.code == 0 && run.stdout.ends_with("No differences.\n"), "{run:?}");
    assert_eq!(account.sandbox.items().await.unwrap(), before);
    assert_eq!(calls(&account, "ListUsers"), 3, "no other call for a user");
    assert_eq!((calls(&account, "ListUsersInGroup"), calls(&account, "BatchGetItem")), (1, 2 + 2 + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_differences_and_only_these_are_found_and_repaired() {
    let account = equal_account().await;
    plant_differences(&account).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("differences.ndjson");
    let before = account.sandbox.items().await.unwrap();
    let groups_before = account.sandbox.backend().user_pools().groups().await;

    let run = reconcile(&account, &["--out", out.to_str().unwrap()]).await;
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (1, "replay: 10 differences remain. Add --yes to repair them\n")
    );
    insta::assert_snapshot!(run.stdout);
    assert_eq!(written(&out), planted());
    assert_eq!(account.sandbox.items().await.unwrap(), before);
    assert_eq!(account.sandbox.backend().user_pools().groups().await, groups_before);
    let report = document("reconcile", &reconcile(&account, &["--json"]).await);
    assert_eq!(
        (&report["dryRun"], &report["users"], &report["complete"]),
        (&json!(true), &json!(131), &json!(true))
    );
    assert_eq!(report["skipped"], json!({"UNCONFIRMED": 1, "erased": 1}));
    assert_eq!(report["kept"], 1);

    let run = reconcile(&account, &[&QUEUES[..], &["--yes", "--json"]].concat()).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let report = document("reconcile", &run);
    for kind in report["differences"].as_array().unwrap() {
        assert_eq!(kind["remaining"], json!(0), "{report}");
    }
    let after = account.sandbox.items().await.unwrap();
    let item = |sub: &str, sort_key: &str| &after[&(format!("USER#{sub}"), sort_key.to_owned())];
    let attributes = |sub: &str| {
        let profile = item(sub, "PROFILE");
        (
            profile["email"].as_str().unwrap().to_owned(),
            profile["isEmailVerified"] == true,
            profile["name"].clone(),
        )
    };
    for number in [11, 12, 125] {
        let expected = (format!("user-{number:03}@example.com"), true, json!("Someone"));
        assert_eq!(attributes(&sub(number)), expected);
    }
    assert_eq!(item("user-125", "PROFILE").get("preferredUsername"), None);
    assert_eq!(item("user-013", "STATS")["isDisabled"], true);
    assert_eq!(item("user-015", "STATS")["isDisabled"], false);
    let stored = after
        .keys()
        .filter(|(partition, key)| partition == "USER#user-013" && key.starts_with("EVENT#/replay#"));
    assert_eq!(stored.count(), 1, "the change of the state is a stored event");
    let groups = account.sandbox.backend().user_pools().groups().await;
    assert_eq!(
        (&groups["user-002"][..], &groups["user-016"][..]),
        (&["Developer".to_owned()][..], &["Other".to_owned()][..])
    );
    for ghost in ["ghost-1", "ghost-2", "ghost-3"] {
        let of_ghost: Vec<&str> = after
            .keys()
            .filter(|(partition, _)| *partition == format!("USER#{ghost}"))
            .map(|(_, key)| key.as_str())
            .collect();
        assert_eq!(of_ghost, ["STATS"], "{ghost}: the marker is left");
        assert!(item(ghost, "STATS").get("erasedAt").is_some());
    }
    assert_eq!(item("ghost-5", "PROFILE"), &json!({"isBanned": true}));
    let changed: BTreeSet<&str> = after
        .iter()
        .filter(|(key, item)| before.get(*key) != Some(*item))
        .map(|((partition, _), _)| partition.trim_start_matches("USER#"))
        .collect();
    let expected =
        ["ghost-1", "ghost-2", "ghost-3", "user-011", "user-012", "user-013", "user-015", "user-125"];
    assert_eq!(changed, expected.into(), "no other user is changed");
    let published = account.receive_user_events().await;
    let mut updated: Vec<(&str, &Value, &Value)> = published
        .iter()
        .map(|event| (event["subject"].as_str().unwrap(), &event["type"], &event["data"]["by"]))
        .collect();
    updated.sort_by_key(|(subject, ..)| *subject);
    let event = (&json!("profile.updated"), &json!("administrator"));
    assert_eq!(updated, [("user-012", event.0, event.1), ("user-125", event.0, event.1)]);
    assert_eq!(calls(&account, "SendMessage"), 2 + 3, "two updates, and a notice for each erased user");

    let run = reconcile(&account, &["--yes", "--max-erasures", "0"]).await;
    assert!(run.code == 0 && run.stdout.ends_with("No differences.\n"), "{run:?}");
}

/// Runs with a checkpoint, and returns the result.
async fn with_checkpoint(
    account: &LoopbackAccount,
    checkpoint: &Path,
    out: &Path,
    further: &[&str],
) -> CommandRun {
    let files = ["--checkpoint", checkpoint.to_str().unwrap(), "--out", out.to_str().unwrap()];
    account.sandbox.calls.clear_operations();
    reconcile(account, &[&files[..], further].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_comparison_continues_from_its_checkpoint() {
    let account = equal_account().await;
    plant_differences(&account).await;
    let folder = tempfile::tempdir().unwrap();
    let [checkpoint, out] = ["reconcile.ndjson", "out.ndjson"].map(|name| folder.path().join(name));
    assert_eq!(with_checkpoint(&account, &checkpoint, &out, &[]).await.code, 1);
    let complete = std::fs::read_to_string(&checkpoint).unwrap();
    assert!(!complete.contains("@example") && !complete.contains("Someone"), "{complete}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&checkpoint).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let lines: Vec<&str> = complete.lines().collect();
    // After each line, with a half-written one behind it, as after a crash.
    for kept in 1..lines.len() {
        let mut text: String = lines[..kept].iter().map(|line| format!("{line}\n")).collect();
        if let Some(next) = lines.get(kept) {
            text += &next[..next.len() / 2];
        }
        std::fs::write(&checkpoint, text).unwrap();
        let run = with_checkpoint(&account, &checkpoint, &out, &[]).await;
        assert_eq!(run.code, 1, "{kept}: {run:?}");
        assert_eq!(written(&out), planted(), "{kept}");
        let pages = complete.lines().take(kept).filter(|line| line.starts_with(r#"{"users":"#)).count();
        let looked_up = calls(&account, "ListUsers") - (3 - pages);
        assert!(looked_up <= 3, "{kept}: only deleted users are looked up, but there were {looked_up} calls");
    }
    // --yes repairs what the complete comparison found.
    account.sandbox.faults.inject("AdminAddUserToGroup", Fault::Error("InternalErrorException"), 9);
    let partly = with_checkpoint(&account, &checkpoint, &out, &[&QUEUES[..], &["--yes"]].concat()).await;
    assert_eq!(partly.stderr, "replay: 1 difference remains. Run the command again\n");
    let begun_at = serde_json::from_str::<Value>(lines[0]).unwrap()["start"]["begunAt"].clone();
    assert!(begun_at.as_str().unwrap().parse::<Timestamp>().is_ok(), "{begun_at}");
    assert!(partly.stdout.contains("From the comparison of 20"), "{partly:?}");
    assert!(partly.stdout.contains("failed: user-002: add to group Developer: Cognito Admin"), "{partly:?}");
    account.sandbox.faults.clear();
    let run = with_checkpoint(&account, &checkpoint, &out, &[&QUEUES[..], &["--yes"]].concat()).await;
    assert!(run.code == 0 && run.stdout.ends_with("Done: 10 differences repaired.\n"), "{run:?}");
    assert_eq!((calls(&account, "ListUsers"), calls(&account, "Scan")), (1, 0), "only user-002 is left");
    assert_eq!(written(&out), planted(), "--out has all that the comparison found");
    assert!(!checkpoint.exists(), "a checkpoint that is no longer needed names users");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_position_reads_the_pool_again_and_says_so() {
    let account = equal_account().await;
    plant_differences(&account).await;
    let folder = tempfile::tempdir().unwrap();
    let [checkpoint, out] = ["reconcile.ndjson", "out.ndjson"].map(|name| folder.path().join(name));
    assert_eq!(with_checkpoint(&account, &checkpoint, &out, &[]).await.code, 1);
    let complete = std::fs::read_to_string(&checkpoint).unwrap();
    let until_first_page: String = complete.lines().take(3).map(|line| format!("{line}\n")).collect();
    assert!(until_first_page.contains(r#""next":"after-user-058""#), "{until_first_page}");
    std::fs::write(&checkpoint, until_first_page.replace("after-user-058", "expired")).unwrap();
    let run = with_checkpoint(&account, &checkpoint, &out, &[]).await;
    let notice = "Cognito no longer accepts the position of the checkpoint. Reading the user pool from the first \
                  page again.\n";
    assert!(run.code == 1 && run.stderr.starts_with(notice), "{run:?}");
    assert_eq!(written(&out), planted());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_pool_erases_nobody() {
    let account = equal_account().await;
    let user =
        |name| NewUser { username: name, status: "CONFIRMED", attributes: BTreeMap::from([("sub", name)]) };
    account.sandbox.backend().user_pools().put_users("eu-central-1_OTHER", &[user("sub-of-zoe")]).await;
    let before = account.sandbox.items().await.unwrap();
    account.sandbox.calls.clear_operations();
    let command = ["reconcile", "--user-pool", "eu-central-1_OTHER", "--max-erasures", "1000", "--yes"];
    let run = account.replay_on_table(&[&command[..], &QUEUES].concat()).await;
    let expected = "replay: nothing was repaired: the table knows none of the 1 user of eu-central-1_OTHER, so its \
                    users would look deleted. Check --user-pool and --table. If the table is new, run `replay user \
                    import` first\n";
    assert_eq!((run.code, run.stderr.as_str()), (1, expected));
    assert_eq!(calls(&account, "Scan"), 0);
    assert_eq!(account.sandbox.items().await.unwrap(), before);
    let report = account.replay_on_table(&[&command[..], &QUEUES, &["--json"]].concat()).await;
    assert_eq!(document("reconcile", &report)["complete"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_erasures_are_refused_before_any_repair() {
    let account = equal_account().await;
    plant_differences(&account).await;
    let before = account.sandbox.items().await.unwrap();
    let run = reconcile(&account, &[&QUEUES[..], &["--yes", "--max-erasures", "2"]].concat()).await;
    let expected = "replay: nothing was repaired: the pool lacks 3 users of the table, and --max-erasures is 2. If it \
                    is the right pool and the users were deleted, pass --max-erasures 3\n";
    assert_eq!((run.code, run.stderr.as_str()), (1, expected));
    account.sandbox.calls.clear_operations();
    let run = reconcile(&account, &["--yes"]).await;
    let expected = "--yes needs the queue cache-invalidations, for users to erase. Pass --stack or";
    assert!(run.code == 2 && run.stderr.contains(expected), "{run:?}");
    assert_eq!(account.sandbox.calls.operations(), [] as [&str; 0], "checked before the comparison");
    assert_eq!(account.sandbox.items().await.unwrap(), before);
    let run = reconcile(&account, &[&QUEUES[..], &["--yes", "--max-erasures", "3"]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_comparison_waits_and_goes_on() {
    let account = equal_account().await;
    // More failures than the attempts of the SDK for one call.
    for operation in ["ListUsers", "ListUsersInGroup"] {
        account.sandbox.faults.inject(operation, Fault::Error("TooManyRequestsException"), 4);
    }
    let run = reconcile(&account, &[]).await;
    assert!(run.code == 0 && run.stdout.ends_with("No differences.\n"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_of_a_user_who_changed_in_the_meantime_changes_nothing() {
    let account = equal_account().await;
    plant_differences(&account).await;
    let folder = tempfile::tempdir().unwrap();
    let [checkpoint, out] = ["reconcile.ndjson", "out.ndjson"].map(|name| folder.path().join(name));
    assert_eq!(with_checkpoint(&account, &checkpoint, &out, &[]).await.code, 1);
    // Since the comparison: a deleted user is back, another user is deleted, and a profile is up to date.
    let pools = account.sandbox.backend().user_pools();
    let back = BTreeMap::from([("sub", "ghost-1")]);
    pools.put_users(POOL, &[NewUser { username: "ghost-1", status: "CONFIRMED", attributes: back }]).await;
    pools.delete_user(POOL, &sub(125)).await;
    account.set_attributes(&format!("USER#{}", sub(12)), "PROFILE", json!({"name": "Someone"})).await;
    let before = account.sandbox.items().await.unwrap();
    let run = with_checkpoint(&account, &checkpoint, &out, &[&QUEUES[..], &["--yes"]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    let after = account.sandbox.items().await.unwrap();
    for user in ["ghost-1", &sub(125), &sub(12)] {
        let of_user = |items: &BTreeMap<(String, String), Value>| {
            let items = items.iter().filter(|((partition, _), _)| *partition == format!("USER#{user}"));
            items.map(|(key, item)| (key.clone(), item.clone())).collect::<Vec<_>>()
        };
        assert_eq!(of_user(&after), of_user(&before), "{user}");
    }
    // The next comparison finds the deleted user.
    let run = reconcile(&account, &["--json"]).await;
    let report = document("reconcile", &run);
    let deleted = &report["differences"].as_array().unwrap()[5];
    assert_eq!(
        (&deleted["kind"], &deleted["users"][0]["sub"]),
        (&json!("deleted_user"), &json!(sub(125))),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_repairs_remain_and_are_named() {
    let account = equal_account().await;
    plant_differences(&account).await;
    account.sandbox.faults.inject("SendMessage", Fault::Error("AccessDenied"), 999);
    account.sandbox.faults.inject("UpdateItem", Fault::Error("AccessDeniedException"), 999);
    account.sandbox.faults.inject("TransactWriteItems", Fault::Error("AccessDeniedException"), 999);
    let run = reconcile(&account, &[&QUEUES[..], &["--yes", "--json"]].concat()).await;
    assert_eq!(run.stderr, "replay: 8 differences remain. See the failures, and run the command again\n");
    let report = document("reconcile", &run);
    let failures: Vec<&str> =
        report["failures"].as_array().unwrap().iter().map(|failure| failure.as_str().unwrap()).collect();
    let users: Vec<&str> = failures.iter().map(|failure| failure.split(':').next().unwrap()).collect();
    let expected =
        ["ghost-1", "ghost-2", "ghost-3", "user-011", "user-012", "user-013", "user-015", "user-125"];
    assert_eq!(users, expected, "{failures:?}");
    assert!(failures[0].contains("the user's data was erased, but the cached pages were not invalidated"));
    assert!(failures[3].contains("AccessDeniedException"), "{failures:?}");
    account.sandbox.faults.clear();
    let run = reconcile(&account, &[&QUEUES[..], &["--yes"]].concat()).await;
    assert!(run.code == 0 && run.stdout.ends_with("Done: 5 differences repaired.\n"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_compared_if_the_stack_persists_them() {
    for (persist, groups) in [("true", json!(["Developer"])), ("false", Value::Null)] {
        let stack =
            LoopbackStack::with_parameters(&[("GroupRules", RULES), ("PersistGroups", persist)]).await;
        let user = engineer("user-001");
        stack.sandbox.backend().user_pools().put_users(POOL, &[user.user()]).await;
        let run = stack.replay(&["reconcile", "--json"]).await;
        let report = document("reconcile", &run);
        assert_eq!((&report["groups"], &report["userPool"]), (&groups, &json!(POOL)), "{run:?}");
        // The table is empty.
        assert!(run.code == 1 && run.stderr.contains("the table knows none of the 1 user"), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_checkpoint_or_rules_are_refused() {
    let account = equal_account().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reconcile.ndjson");
    let start = |pool: &str, table: &str, rules: Value| {
        let begun_at = "2026-03-02T09:00:00Z";
        let start = json!({"userPoolId": pool, "table": table, "groupRules": rules, "begunAt": begun_at});
        json!({"start": start}).to_string() + "\n"
    };
    for (text, expected) in [
        ("lost".to_owned(), "not a checkpoint of replay reconcile"),
        ("{}\n".to_owned(), "not a checkpoint of replay reconcile"),
        (json!({"compared": {}}).to_string() + "\n", "not a checkpoint of replay reconcile"),
        (start("eu-central-1_OTHER", TABLE, Value::Null), "for the user pool eu-central-1_OTHER, not"),
        (start(POOL, "other", Value::Null), "for the table other, not"),
        (start(POOL, TABLE, Value::Null), "for other group rules"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let further = ["--checkpoint", file.to_str().unwrap(), "--yes"];
        let run = reconcile(&account, &[&QUEUES[..], &further].concat()).await;
        assert!(run.code == 2 && run.stderr.contains(expected), "{expected}: {run:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "the file is not touched");
    }
    let command = ["reconcile", "--user-pool", POOL, "--group-rules", "[{}]"];
    let run = account.replay_on_table(&command).await;
    assert!(run.code == 2 && run.stderr.contains("--group-rules: GROUP_RULES"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_file_for_differences_is_refused_before_the_comparison() {
    let account = equal_account().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("old"), "as before").unwrap();
    let (old, missing, new) = (path("old"), path("missing/out.ndjson"), path("new.ndjson"));
    for (arguments, expected) in [
        (&["--out", folder.path().to_str().unwrap()][..], "--out "),
        (&["--out", &missing], "--out "),
        (&["--out", &new, "--checkpoint", &new], "the file is also that of --checkpoint"),
        (&["--out", &old, "--checkpoint", &old], "the file is also that of --checkpoint"),
    ] {
        let run = reconcile(&account, arguments).await;
        assert!(run.code == 2 && run.stderr.contains(expected), "{run:?}");
    }
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "as before");
    assert_eq!(account.sandbox.calls.operations(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_deleted_users_stays_if_the_stack_keeps_it() {
    let stack = LoopbackStack::with_parameters(&[("AccountDeletion", "keep")]).await;
    let pools = stack.sandbox.backend().user_pools();
    let (ana, ben) = (engineer("user-001"), engineer("user-002"));
    pools.put_users(POOL, &[ana.user(), ben.user()]).await;
    assert_eq!(stack.replay(&["user", "import", "--yes"]).await.code, 0);
    pools.delete_user(POOL, "user-002").await;
    let key = |sort_key: &str| ("USER#user-002".to_owned(), sort_key.to_owned());
    let profile = stack.sandbox.items().await.unwrap()[&key("PROFILE")].clone();
    let refused = stack.replay(&["reconcile", "--max-erasures", "0", "--yes"]).await;
    assert!(refused.code == 1 && refused.stderr.contains("pass --max-erasures 1"), "{refused:?}");
    let run = stack.replay(&["reconcile", "--yes"]).await;
    assert!(run.code == 0 && run.stdout.ends_with("Done: 1 difference repaired.\n"), "{run:?}");
    let items = stack.sandbox.items().await.unwrap();
    assert_eq!(items[&key("PROFILE")], profile);
    assert!(items[&key("STATS")]["deletedAt"].is_i64(), "{items:?}");
    let report = document("reconcile", &stack.replay(&["reconcile", "--json"]).await);
    assert_eq!((&report["kept"], &report["differences"][5]["found"]), (&json!(1), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_deleted_users_stays_with_the_variable() {
    let account = equal_account().await;
    account.sandbox.backend().user_pools().delete_user(POOL, &sub(12)).await;
    let command = ["reconcile", "--user-pool", POOL, "--table", TABLE, "--rate", "100", "--yes"];
    let run = account.replay_with(&[("ACCOUNT_DELETION", "keep")], &command).await;
    assert!(run.code == 0 && run.stdout.ends_with("Done: 1 difference repaired.\n"), "{run:?}");
    let partition = format!("USER#{}", sub(12));
    assert!(account.item(&partition, "PROFILE").await.is_object());
    assert!(account.item(&partition, "STATS").await["deletedAt"].is_i64());
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_with_a_complete_checkpoint_compares_again() {
    let account = equal_account().await;
    let disable =
        async |number| account.sandbox.backend().user_pools().disable_user(POOL, &sub(number)).await;
    disable(1).await;
    let folder = tempfile::tempdir().unwrap();
    let [checkpoint, out] = ["reconcile.ndjson", "out.ndjson"].map(|name| folder.path().join(name));
    assert_eq!(with_checkpoint(&account, &checkpoint, &out, &[]).await.code, 1);
    disable(2).await;
    let run = with_checkpoint(&account, &checkpoint, &out, &[]).await;
    assert_eq!(written(&out).len(), 2, "{run:?}");
    assert!(!run.stdout.contains("From the comparison"), "{run:?}");
    // --yes repairs what the last comparison found, and says from when that is.
    disable(3).await;
    let start = std::fs::read_to_string(&checkpoint).unwrap();
    let start: Value = serde_json::from_str(start.lines().next().unwrap()).unwrap();
    let run = with_checkpoint(&account, &checkpoint, &out, &[&QUEUES[..], &["--yes"]].concat()).await;
    let begun_at = start["start"]["begunAt"].as_str().unwrap();
    let expected =
        format!("From the comparison of {begun_at} in the checkpoint, without differences since then\n");
    assert!(run.code == 0 && run.stdout.contains(&expected), "{run:?}");
    assert_eq!(with_checkpoint(&account, &checkpoint, &out, &[]).await.code, 1);
    assert_eq!(written(&out), [("account_state".to_owned(), sub(3), vec!["disabled".to_owned()])].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_repair_waits_and_goes_on() {
    let account = equal_account().await;
    plant_differences(&account).await;
    for operation in ["GetGroup", "AdminListGroupsForUser", "AdminAddUserToGroup", "AdminRemoveUserFromGroup"]
    {
        account.sandbox.faults.inject(operation, Fault::Error("TooManyRequestsException"), 4);
    }
    let run = reconcile(&account, &[&QUEUES[..], &["--yes"]].concat()).await;
    assert!(run.code == 0 && run.stdout.ends_with("Done: 10 differences repaired.\n"), "{run:?}");
}

/// Accepts no position in a group.
#[derive(Clone, Debug)]
struct Expiring(SandboxBackend);

impl AwsBackend for Expiring {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        if !target.is_some_and(|target| target.ends_with(".ListUsersInGroup")) {
            return self.0.answer(request).await;
        }
        let (status, answer) = match String::from_utf8_lossy(&request.body).contains("NextToken") {
            true => (400, json!({"__type": "InvalidParameterException", "message": "Invalid token"})),
            false => (200, json!({"Users": [], "NextToken": "after-nobody"})),
        };
        Ok(Answer { response: MockResponse::json(status, answer.to_string()), is_cut_off: false })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn position_in_a_group_that_expires_twice_ends_the_comparison() {
    let account = equal_account().await;
    let backend = Expiring(account.sandbox.backend().clone());
    let endpoint = format!("http://{}", tests::lambda::serve_aws(backend).await);
    let command = ["reconcile", "--user-pool", POOL, "--table", TABLE, "--group-rules", RULES];
    let run = support::run(support::command(&endpoint, &command)).await;
    let expected = "replay: Cognito no longer accepts the position in the user pool. Run the command again\n";
    assert_eq!((run.code, run.stderr.as_str()), (1, expected));
}

/// Notes the time of the last call that looks up a user.
#[derive(Clone, Debug)]
struct Noting {
    backend: SandboxBackend,
    looked_up_at: Arc<Mutex<Option<Timestamp>>>,
}

impl AwsBackend for Noting {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        if String::from_utf8_lossy(&request.body).contains("sub = ") {
            *self.looked_up_at.lock().unwrap() = Some(Clock::system().now());
        }
        self.backend.answer(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_state_is_not_newer_than_the_call_that_read_it() {
    let account = equal_account().await;
    account.sandbox.backend().user_pools().disable_user(POOL, &sub(1)).await;
    let noting = Noting { backend: account.sandbox.backend().clone(), looked_up_at: Arc::default() };
    let endpoint = format!("http://{}", tests::lambda::serve_aws(noting.clone()).await);
    let command = ["reconcile", "--user-pool", POOL, "--table", TABLE, "--yes", "--max-erasures", "0"];
    let run = support::run(support::command(&endpoint, &command)).await;
    assert_eq!(run.code, 0, "{run:?}");
    let recorded = account.item(&format!("USER#{}", sub(1)), "STATS").await["disabledChangedAt"].as_i64();
    let looked_up_at = noting.looked_up_at.lock().unwrap().unwrap();
    assert!(recorded.unwrap() <= looked_up_at.as_millisecond(), "{recorded:?} {looked_up_at}");
}
