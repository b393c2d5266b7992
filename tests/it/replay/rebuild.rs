//! `replay statistics rebuild`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::result::ConnectorError;
use jiff::Timestamp;
use replay::statistics::rebuild::{Differences, RebuildMode, RebuildOutcome, rebuild};
use sandbox::aws::{Answer, AwsBackend, Fault, SandboxAccount, TABLE, sdk_config};
use serde_json::{Value, json};
use shared::store::{ListDifference, ListKind, ListPosition, Partition, Store, notifications};
use tokio::sync::Notify;
use winterbaume_core::MockRequest;

use super::loopback_account::{LoopbackAccount, order_event, sign_up_event};
use super::support::{ANA, CommandRun};

const PARTITION_OF_ANA: &str = "USER#7d8ca528-4931-4254-9273-ea5ee853f271";

/// An account in which Ana has two orders.
async fn account_with_orders() -> LoopbackAccount {
    let account = LoopbackAccount::start().await;
    account.apply([order_event("1", ANA), order_event("2", ANA)]).await;
    account
}

async fn statistics(account: &LoopbackAccount) -> Value {
    account.item(PARTITION_OF_ANA, "STATS").await
}

async fn set_statistics(account: &LoopbackAccount, attributes: Value) {
    account.set_attributes(PARTITION_OF_ANA, "STATS", attributes).await;
}

async fn rebuild_command(account: &LoopbackAccount, arguments: &[&str]) -> CommandRun {
    account.replay_on_table(&[&["statistics", "rebuild"], arguments].concat()).await
}

fn without_version(mut statistics: Value) -> Value {
    statistics.as_object_mut().unwrap().remove("version");
    statistics
}

#[tokio::test(flavor = "multi_thread")]
async fn difference_is_shown_first_and_written_with_yes() {
    let account = account_with_orders().await;
    let before = statistics(&account).await;
    let wrong = json!({
        "orders": 1, "spent": {"EUR": "4.90"}, "signIns": "many", "confirmedAt": "soon", "lastSeenAt": null,
        "recent": null, "lastSkippedAt": 7, "newAttribute": {"a": 1},
    });
    set_statistics(&account, wrong).await;
    let wrong = statistics(&account).await;

    let run = rebuild_command(&account, &["--user", ANA]).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
    user 7d8ca528-4931-4254-9273-ea5ee853f271: differs
      lastSeenAt           none -> 2026-03-02T08:00:00Z
      confirmedAt          soon -> none
      signIns              many -> 0
      orders               1 -> 2
      spent.EUR            4.90 -> 9.80
      recent               changed
    1 user and 0 domain shards: 0 correct, 1 differing, 0 written, 0 refused, 0 unreadable, 0 in conflict, 0 erased
    Dry run: nothing was written. Add --yes to write 1 partition.
    ");
    assert_eq!(statistics(&account).await, wrong);

    let run = rebuild_command(&account, &["--user", ANA, "--yes"]).await;
    assert!(
        run.code == 0 && run.stdout.contains(": written\n") && run.stdout.contains("1 written"),
        "{run:?}"
    );
    let mut rebuilt = statistics(&account).await;
    assert_eq!(rebuilt["version"], json!(before["version"].as_u64().unwrap() + 1));
    let fields = rebuilt.as_object_mut().unwrap();
    assert_eq!(fields.remove("lastSkippedAt"), Some(json!(7)), "metadata stays");
    assert_eq!(fields.remove("newAttribute"), Some(json!({"a": 1})), "attributes of a newer release stay");
    assert!(!fields.contains_key("confirmedAt"), "figures without an event are removed");
    let version = fields.insert("version".to_owned(), before["version"].clone());
    assert_eq!(rebuilt, before, "{version:?}");

    let run = rebuild_command(&account, &["--user", ANA, "--yes"]).await;
    assert!(run.code == 0 && run.stdout.starts_with(&format!("user {ANA}: correct\n")), "{run:?}");
    assert_eq!(statistics(&account).await["version"], json!(2), "nothing is written twice");

    account.apply([order_event("3", ANA)]).await;
    assert_eq!(statistics(&account).await["orders"], 3, "user-stats continues with the rebuilt statistics");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_statistics_are_rebuilt() {
    let account = account_with_orders().await;
    let mut expected = statistics(&account).await;
    let client = account.sandbox.dynamodb();
    let key = |value: &str| AttributeValue::S(value.to_owned());
    let call =
        client.delete_item().table_name(TABLE).key("PK", key(PARTITION_OF_ANA)).key("SK", key("STATS"));
    call.send().await.unwrap();
    let run = rebuild_command(&account, &["--user", ANA, "--yes"]).await;
    assert!(run.code == 0 && run.stdout.contains("orders               0 -> 2"), "{run:?}");
    // The times of commits do not follow from the events.
    for name in ["lastChangedAt", "lastNoticeAt", "pagesExpireAt"] {
        assert!(expected.as_object_mut().unwrap().remove(name).is_some(), "{name}");
    }
    assert_eq!(statistics(&account).await, expected);

    let run = rebuild_command(&account, &["--user", "unknown-user", "--yes"]).await;
    let expected = "user unknown-user: no statistics and no events\n";
    assert!(run.code == 0 && run.stdout.starts_with(expected), "{run:?}");
    assert_eq!(account.item("USER#unknown-user", "STATS").await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_of_expired_events_never_fall_without_lower() {
    let account = account_with_orders().await;
    let before = statistics(&account).await;
    // As if three orders had expired, one of them the user's first activity.
    let with_expired = json!({"orders": 5, "firstSeenAt": 1_000, "signIns": 0, "spent": {"EUR": "1.00"}});
    set_statistics(&account, with_expired).await;
    let with_expired = statistics(&account).await;
    for arguments in [&["--user", ANA][..], &["--user", ANA, "--yes"], &["--all", "--yes"]] {
        let run = rebuild_command(&account, arguments).await;
        assert!(run.code == 1 && run.stderr.starts_with("replay: 1 partition refused"), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert!(run.stdout.contains("orders               5 -> 2  (falls)\n"), "{run:?}");
        assert!(run.stdout.contains("1970-01-01T00:00:01Z -> 2026-03-02T08:00:00Z  (falls)\n"), "{run:?}");
        assert!(run.stdout.contains("spent.EUR            1.00 -> 9.80\n"), "{run:?}");
        assert_eq!(statistics(&account).await, with_expired, "the whole partition is refused");
    }
    let run = rebuild_command(&account, &["--user", ANA, "--lower", "--yes"]).await;
    assert!(run.code == 0 && run.stdout.contains(": written\n"), "{run:?}");
    assert_eq!(without_version(statistics(&account).await), without_version(before));
}

/// The sandbox account, with a delay before the first call of one operation.
#[derive(Clone, Debug)]
struct DelayedAccount(Arc<Delay>);

struct Delay {
    sandbox: Arc<SandboxAccount>,
    /// The end of the operation's name in the header X-Amz-Target.
    operation: &'static str,
    has_waited: AtomicBool,
    reached: Notify,
    end: Notify,
}

impl std::fmt::Debug for Delay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Delay")
    }
}

impl AwsBackend for DelayedAccount {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let delay = &self.0;
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let waits = target.is_some_and(|target| target.ends_with(delay.operation));
        if waits && !delay.has_waited.swap(true, Ordering::SeqCst) {
            delay.reached.notify_one();
            delay.end.notified().await;
        }
        delay.sandbox.backend().answer(request).await
    }
}

/// The time of the sandbox, at which no entry has expired.
fn now() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

/// Rebuilds Ana's statistics. Before the first call of `operation`, user-stats applies an order of Ana.
async fn rebuild_with_commit_before(
    account: &LoopbackAccount,
    operation: &'static str,
    write: bool,
) -> RebuildOutcome {
    let delay = Arc::new(Delay {
        sandbox: account.sandbox.clone(),
        operation,
        has_waited: AtomicBool::new(false),
        reached: Notify::new(),
        end: Notify::new(),
    });
    let config = sdk_config(DelayedAccount(delay.clone()));
    let store = Store::new(aws_sdk_dynamodb::Client::new(&config), TABLE);
    let partition = Partition::User(ANA.to_owned());
    let mode = RebuildMode { write, ..RebuildMode::default() };
    let commit = async {
        delay.reached.notified().await;
        account.apply([order_event("3", ANA)]).await;
        delay.end.notify_one();
    };
    let (outcome, ()) = tokio::join!(rebuild(&store, &partition, mode, now()), commit);
    outcome.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_repeats_after_a_concurrent_commit() {
    let account = account_with_orders().await;
    set_statistics(&account, json!({"orders": 1, "spent": {"EUR": "1.00"}})).await;
    let outcome = rebuild_with_commit_before(&account, ".UpdateItem", true).await;
    let RebuildOutcome::Written(differences) = outcome else { panic!("{outcome:?}") };
    // The stored values are those after the concurrent commit.
    let differences: BTreeMap<&str, (&Option<Value>, &Option<Value>)> = differences
        .figures
        .iter()
        .map(|found| (found.name.as_str(), (&found.stored, &found.rebuilt)))
        .collect();
    assert_eq!(differences["orders"], (&Some(json!(2)), &Some(json!(3))));
    let statistics = statistics(&account).await;
    assert_eq!((&statistics["orders"], &statistics["version"]), (&json!(3), &json!(3)));
    assert_eq!(statistics["spent"], json!({"EUR": "14.70"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_between_two_reads_is_not_a_difference() {
    let account = account_with_orders().await;
    let outcome = rebuild_with_commit_before(&account, ".Query", false).await;
    assert_eq!(outcome, RebuildOutcome::Correct);
    assert_eq!(statistics(&account).await["orders"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_stops_after_a_conflict_on_every_attempt() {
    let account = account_with_orders().await;
    set_statistics(&account, json!({"orders": 1})).await;
    account.sandbox.faults.inject("UpdateItem", Fault::Error("ConditionalCheckFailedException"), 8);
    let run = rebuild_command(&account, &["--user", ANA, "--yes"]).await;
    let expected = "concurrent writers changed the statistics on every attempt";
    assert!(run.code == 1 && run.stdout.contains(expected), "{run:?}");
    assert!(run.stderr.contains("run the command again") && run.stderr.lines().count() == 1, "{run:?}");
    assert_eq!(statistics(&account).await["orders"], 1);
    let run = rebuild_command(&account, &["--user", ANA, "--yes"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(statistics(&account).await["orders"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_user_is_not_rebuilt() {
    let account = account_with_orders().await;
    let erase = ["user", "erase", ANA, "--queue", "cache-invalidations", "--yes"];
    let run = account.replay_on_table(&erase).await;
    assert_eq!(run.code, 0, "{run:?}");
    // An event that an erasure in progress has not deleted yet.
    let event = json!({"event": order_event("1", ANA).to_string()});
    account.set_attributes(PARTITION_OF_ANA, "EVENT#/shop#1", event).await;
    let marker = statistics(&account).await;
    assert!(marker["erasedAt"].is_number(), "{marker}");
    let run = rebuild_command(&account, &["--user", ANA, "--lower", "--yes"]).await;
    assert!(run.code == 0 && run.stdout.contains("erased, not rebuilt"), "{run:?}");
    let run = rebuild_command(&account, &["--all", "--lower", "--yes"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("1 user and 0 domain shards") && run.stdout.contains("1 erased"), "{run:?}");
    assert_eq!(statistics(&account).await, marker);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_users_and_domains_are_rebuilt() {
    const USERS: usize = 260;
    let account = LoopbackAccount::start().await;
    let users = (0..USERS).map(|number| order_event(&format!("o{number}"), &format!("user-{number:03}")));
    let domains = (0..40).map(|number| sign_up_event(&format!("s{number}"), "example.com", "allowed"));
    account.apply(users.chain(domains)).await;
    account.set_attributes("LEDGER#E2EXAMPLE1ABCD", "MONTH#2026-03", json!({"items": 1})).await;
    account.set_attributes("USER#user-000", "PROFILE", json!({"cognitoId": "user-000"})).await;
    account.set_attributes("USER#only-a-profile", "PROFILE", json!({"cognitoId": "only-a-profile"})).await;
    let before = account.sandbox.items().await.unwrap();
    let is_shard = |key: &&(String, String)| key.0.starts_with("DOMAIN#") && key.1 == "STATS";
    let shards: Vec<&(String, String)> = before.keys().filter(is_shard).collect();

    let run = rebuild_command(&account, &["--all"]).await;
    let correct = USERS + shards.len();
    let expected = format!("{USERS} users and {} domain shards: {correct} correct", shards.len());
    assert!(run.code == 0 && run.stdout.starts_with(&expected), "{expected}: {run:?}");

    account.set_attributes("USER#user-007", "STATS", json!({"orders": 0})).await;
    account.set_attributes("USER#user-259", "STATS", json!({"spent": null})).await;
    account.set_attributes(&shards[0].0, "STATS", json!({"signUps": 0})).await;
    account.sandbox.calls.clear_operations();
    let run = rebuild_command(&account, &["--all", "--json"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let scans = account.sandbox.calls.operations().iter().filter(|call| *call == "Scan").count();
    assert_eq!(scans, 2, "about 620 items, 500 on a page");
    let json = super::json::document("statistics rebuild", &run);
    assert_eq!((&json["dryRun"], &json["complete"]), (&json!(true), &json!(true)));
    let partitions = json["partitions"].as_array().unwrap();
    assert_eq!((partitions.len(), &json["summary"]["differing"]), (3, &json!(3)));
    let user = partitions.iter().find(|partition| partition["user"] == "user-007").unwrap();
    assert_eq!(user["differences"], json!([{"name": "orders", "stored": null, "rebuilt": 1}]));
    let shard = partitions.iter().find(|partition| partition["domain"] == "example.com").unwrap();
    assert_eq!(shard["outcome"], "differs");

    let run = rebuild_command(&account, &["--all", "--yes"]).await;
    assert!(run.code == 0 && run.stdout.contains("3 differing, 3 written, 0 refused"), "{run:?}");
    let after = account.sandbox.items().await.unwrap();
    let changed: Vec<&str> = before
        .iter()
        .filter(|(key, item)| after.get(*key) != Some(*item))
        .map(|((partition, _), _)| partition.as_str())
        .collect();
    assert_eq!(changed, [&*shards[0].0, "USER#user-007", "USER#user-259"]);
    for partition in changed {
        let key = (partition.to_owned(), "STATS".to_owned());
        assert_eq!(without_version(after[&key].clone()), without_version(before[&key].clone()));
        assert_eq!(after[&key]["version"], json!(before[&key]["version"].as_u64().unwrap() + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_events_are_counted_without_their_content() {
    let account = account_with_orders().await;
    set_statistics(&account, json!({"orders": 1})).await;
    let mut unknown = order_event("3", ANA);
    unknown["type"] = json!("order.shipped");
    unknown["data"] = json!({"email": "ana@example.com"});
    let unknown = json!({"event": unknown.to_string()});
    account.set_attributes(PARTITION_OF_ANA, "EVENT#/shop#3", unknown).await;
    account.set_attributes(PARTITION_OF_ANA, "EVENT#/shop#4", json!({"type": "order.placed"})).await;
    for arguments in [&["--user", ANA, "--yes"][..], &["--all", "--lower", "--yes"]] {
        let run = rebuild_command(&account, arguments).await;
        assert!(run.code == 1 && run.stdout.contains("(not_json 1, unknown_type 1)"), "{run:?}");
        assert!(!run.stdout.contains('@') && !run.stderr.contains('@'), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert_eq!(statistics(&account).await["orders"], 1);
    }
    set_statistics(&account, json!({"version": "one"})).await;
    let run = rebuild_command(&account, &["--user", ANA, "--yes"]).await;
    assert!(run.code == 1 && run.stdout.contains("the stored statistics are unreadable"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_rebuild_is_one_line_and_writes_nothing() {
    let account = account_with_orders().await;
    set_statistics(&account, json!({"orders": 1})).await;
    for (sub, problem) in [
        ("ana@example.com", "SUB: expected"),
        ("", "--user: the value is empty"),
        ("domain:example.com", "SUB: expected"),
    ] {
        let run = rebuild_command(&account, &["--user", sub, "--yes"]).await;
        assert!(run.code == 2 && run.stderr.contains(problem), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    for arguments in [&["--yes"][..], &["--user", ANA, "--all", "--yes"]] {
        let run = rebuild_command(&account, arguments).await;
        assert!(run.code == 2 && run.stdout.is_empty() && run.stderr.contains("--user"), "{run:?}");
    }
    for (operation, arguments) in [
        ("BatchGetItem", &["--user", ANA, "--yes"][..]),
        ("Query", &["--user", ANA, "--yes"]),
        ("UpdateItem", &["--user", ANA, "--yes"]),
        ("Scan", &["--all", "--yes"]),
    ] {
        account.sandbox.faults.inject(operation, Fault::Error("AccessDeniedException"), 9);
        let run = rebuild_command(&account, arguments).await;
        assert!(run.code == 1 && run.stderr.contains("AccessDeniedException"), "{operation}: {run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        account.sandbox.faults.clear();
        assert_eq!(statistics(&account).await["orders"], 1, "{operation}");
    }
}

const WRITE: RebuildMode = RebuildMode { write: true, lower: false, lists_only: false };

async fn rebuild_ana(account: &LoopbackAccount, mode: RebuildMode) -> RebuildOutcome {
    let store = Store::new(account.sandbox.dynamodb(), TABLE);
    rebuild(&store, &Partition::User(ANA.to_owned()), mode, now()).await.unwrap()
}

/// Ana's items except STATS.
async fn items_of_ana(account: &LoopbackAccount) -> BTreeMap<String, Value> {
    let items = account.sandbox.items().await.unwrap().into_iter();
    let of_ana =
        items.filter(|((partition, sort_key), _)| partition == PARTITION_OF_ANA && sort_key != "STATS");
    of_ana.map(|((_, sort_key), item)| (sort_key, item)).collect()
}

async fn delete(account: &LoopbackAccount, sort_key: &str) {
    account.delete(PARTITION_OF_ANA, sort_key).await;
}

fn notification_event(event_type: &str, id: &str, data: Value) -> Value {
    let mut event = order_event(id, ANA);
    event["type"] = json!(event_type);
    event["data"] = data;
    event
}

/// An account in which Ana has two orders and three notifications, one of which she read.
async fn account_with_lists() -> LoopbackAccount {
    let account = account_with_orders().await;
    let created = ["a", "b", "c"].map(|id| {
        notification_event("notification.created", id, json!({"notification_id": id, "title": "Shipped"}))
    });
    account.apply(created).await;
    account.apply([notification_event("notification.read", "read-a", json!({"notification_id": "a"}))]).await;
    account
}

fn differing(lists: &[(&'static str, [usize; 3])]) -> Differences {
    let list = |(list, [missing, different, unexplained]): &(&'static str, [usize; 3])| ListDifference {
        list,
        missing: *missing,
        different: *different,
        unexplained: *unexplained,
    };
    Differences { figures: Vec::new(), lists: lists.iter().map(list).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_entries_and_states_are_shown_first_and_written_with_yes() {
    let account = account_with_lists().await;
    let before = items_of_ana(&account).await;
    assert_eq!(rebuild_ana(&account, WRITE).await, RebuildOutcome::Correct);
    let is_list = |sort_key: &&String| sort_key.starts_with("LIST#") || sort_key.starts_with("NOTIFICATION#");
    for sort_key in before.keys().filter(is_list) {
        delete(&account, sort_key).await;
    }
    let missing = differing(&[
        ("notifications list", [2, 0, 0]),
        ("orders list", [2, 0, 0]),
        ("notification states", [3, 0, 0]),
    ]);
    let without_lists = items_of_ana(&account).await;
    assert_eq!(rebuild_ana(&account, RebuildMode::default()).await, RebuildOutcome::Differs(missing.clone()));
    assert_eq!(items_of_ana(&account).await, without_lists);
    assert_eq!(rebuild_ana(&account, WRITE).await, RebuildOutcome::Written(missing));
    assert_eq!(items_of_ana(&account).await, before);
    assert_eq!(rebuild_ana(&account, WRITE).await, RebuildOutcome::Correct);
    assert_eq!(statistics(&account).await["orders"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_no_event_explains_are_removed_only_with_lower() {
    let account = account_with_lists().await;
    let before = items_of_ana(&account).await;
    let entry = |seconds: i64| {
        let position = ListPosition::new(now(), &format!("entry {seconds}"));
        let expires_at = now().as_second() + seconds;
        let entry = json!({"at": 1, "type": "order.placed", "orderId": "x", "expiresAt": expires_at});
        (ListKind::Orders.sort_key(&position), entry)
    };
    let (expired, current) = (entry(0), entry(60));
    for (sort_key, entry) in [&expired, &current] {
        account.set_attributes(PARTITION_OF_ANA, sort_key, entry.clone()).await;
    }
    // As if the notification had been read in an event that has expired.
    let state = notifications::sort_key("b");
    account.set_attributes(PARTITION_OF_ANA, &state, json!({"readAt": 1_772_442_000_000_i64})).await;
    let unexplained = differing(&[("orders list", [0, 0, 1]), ("notification states", [0, 0, 1])]);
    let changed = items_of_ana(&account).await;
    assert_eq!(rebuild_ana(&account, WRITE).await, RebuildOutcome::Refused(unexplained.clone()));
    assert_eq!(items_of_ana(&account).await, changed);
    let lower = RebuildMode { lower: true, ..WRITE };
    assert_eq!(rebuild_ana(&account, lower).await, RebuildOutcome::Written(unexplained));
    delete(&account, &expired.0).await;
    assert_eq!(items_of_ana(&account).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_rebuilt_although_figures_would_fall() {
    let account = account_with_lists().await;
    let before = items_of_ana(&account).await;
    set_statistics(&account, json!({"orders": 5})).await;
    for sort_key in before.keys().filter(|sort_key| sort_key.starts_with("LIST#orders#")) {
        delete(&account, sort_key).await;
    }
    assert!(matches!(rebuild_ana(&account, WRITE).await, RebuildOutcome::Refused(_)));
    let lists_only = RebuildMode { lists_only: true, ..WRITE };
    let missing = differing(&[("orders list", [2, 0, 0])]);
    assert_eq!(rebuild_ana(&account, lists_only).await, RebuildOutcome::Written(missing));
    assert_eq!(items_of_ana(&account).await, before);
    assert_eq!(statistics(&account).await["orders"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_rebuilt_again_after_a_concurrent_commit() {
    let account = account_with_orders().await;
    let before = items_of_ana(&account).await;
    for sort_key in before.keys().filter(|sort_key| sort_key.starts_with("LIST#")) {
        delete(&account, sort_key).await;
    }
    let outcome = rebuild_with_commit_before(&account, ".TransactWriteItems", true).await;
    assert_eq!(outcome, RebuildOutcome::Written(differing(&[("orders list", [2, 0, 0])])));
    let after = items_of_ana(&account).await;
    assert_eq!(after.keys().filter(|sort_key| sort_key.starts_with("LIST#")).count(), 3);
    assert_eq!(statistics(&account).await["orders"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_many_entries_are_rebuilt_in_several_transactions() {
    let account = LoopbackAccount::start().await;
    account.apply((0..120).map(|number| order_event(&number.to_string(), ANA))).await;
    let before = items_of_ana(&account).await;
    for sort_key in before.keys().filter(|sort_key| sort_key.starts_with("LIST#")) {
        delete(&account, sort_key).await;
    }
    account.sandbox.calls.clear_operations();
    let outcome = rebuild_ana(&account, WRITE).await;
    assert_eq!(outcome, RebuildOutcome::Written(differing(&[("orders list", [120, 0, 0])])));
    let transactions = account.sandbox.calls.operations();
    assert_eq!(transactions.iter().filter(|call| *call == "TransactWriteItems").count(), 2);
    assert_eq!(items_of_ana(&account).await, before);
}
