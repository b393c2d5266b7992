//! `replay rebuild`, as it is typed, against an AWS on loopback.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::http_client::{Answer, AwsBackend};
use sandbox::aws::{SandboxAccount, Fault, TABLE, sdk_config};
use replay::statistics::rebuild::{Finding, RebuildMode, rebuild};
use serde_json::{Value, json};
use shared::store::{Partition, Store};
use tokio::sync::Notify;
use winterbaume_core::MockRequest;

use super::shop::{Shop, order, shop, sign_up};
use super::support::ANA;

const OF_ANA: &str = "USER#7d8ca528-4931-4254-9273-ea5ee853f271";

/// A shop in which Ana has placed two orders.
async fn shop_with_orders() -> Shop {
    let shop = shop().await;
    shop.count([order("1", ANA), order("2", ANA)]).await;
    shop
}

/// What the events make, beside the version.
fn without_version(mut statistics: Value) -> Value {
    statistics.as_object_mut().unwrap().remove("version");
    statistics
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_shows_the_difference_and_mends_it_with_yes() {
    let shop = shop_with_orders().await;
    let before = shop.item(OF_ANA, "STATS").await;
    let wrong = json!({
        "orders": 1, "spent": {"EUR": "4.90"}, "signIns": "many", "confirmedAt": "soon", "lastSeenAt": null,
        "recent": null, "lastSkippedAt": 7, "ofTomorrow": {"a": 1},
    });
    shop.set(OF_ANA, "STATS", wrong).await;
    let tampered = shop.item(OF_ANA, "STATS").await;
    let command = ["statistics", "rebuild", "--user", ANA];

    let (success, shown, errors) = shop.run_on_table(&command).await;
    assert!(success, "{errors}");
    let whose = format!("user {ANA}");
    let lines = [
        whose.as_str(),
        "  lastSeenAt           none -> 2026-03-02T08:00:00Z",
        "  confirmedAt          soon -> none",
        "  signIns              many -> 0",
        "  orders               1 -> 2",
        "  spent.EUR            4.90 -> 9.80",
        "  recent               changed",
        "1 user and 0 shards of domains: 0 as they should be, 1 differing, 0 written, 0 refused, 0 unreadable, 0 in \
         conflict, 0 erased",
        "Nothing was changed. With --yes it is done.",
    ];
    assert_eq!(shown.lines().collect::<Vec<_>>(), lines);
    assert_eq!(shop.item(OF_ANA, "STATS").await, tampered);

    let (success, shown, errors) = shop.run_on_table(&[&command[..], &["--yes"]].concat()).await;
    assert!(success && shown.contains(": written\n") && shown.contains("1 written"), "{shown}{errors}");
    let mut mended = shop.item(OF_ANA, "STATS").await;
    assert_eq!(mended["version"], json!(before["version"].as_u64().unwrap() + 1));
    let fields = mended.as_object_mut().unwrap();
    assert_eq!(fields.remove("lastSkippedAt"), Some(json!(7)), "metadata stays");
    assert_eq!(fields.remove("ofTomorrow"), Some(json!({"a": 1})), "what a newer release added stays");
    assert!(!fields.contains_key("confirmedAt"), "what the events do not make goes");
    let version = fields.insert("version".to_owned(), before["version"].clone());
    assert_eq!(mended, before, "{version:?}");

    let (success, shown, _) = shop.run_on_table(&[&command[..], &["--yes"]].concat()).await;
    assert!(success && shown.starts_with(&format!("user {ANA}: as it should be\n")), "{shown}");
    assert_eq!(shop.item(OF_ANA, "STATS").await["version"], json!(2), "nothing is written twice");

    // The worker goes on from there.
    shop.count([order("3", ANA)]).await;
    assert_eq!(shop.item(OF_ANA, "STATS").await["orders"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_that_are_gone_come_back() {
    let shop = shop_with_orders().await;
    let before = shop.item(OF_ANA, "STATS").await;
    let client = shop.account.dynamodb();
    let key = |value: &str| aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned());
    let call = client.delete_item().table_name(TABLE).key("PK", key(OF_ANA)).key("SK", key("STATS"));
    call.send().await.unwrap();
    let (success, shown, errors) = shop.run_on_table(&["statistics", "rebuild", "--user", ANA, "--yes"]).await;
    assert!(success && shown.contains("orders               0 -> 2"), "{shown}{errors}");
    let mut expected = before;
    expected.as_object_mut().unwrap().remove("lastChangedAt");
    assert_eq!(shop.item(OF_ANA, "STATS").await, expected);

    let (success, shown, _) = shop.run_on_table(&["statistics", "rebuild", "--user", "nobody", "--yes"]).await;
    assert!(success && shown.starts_with("user nobody: nothing is stored\n"), "{shown}");
    assert_eq!(shop.item("USER#nobody", "STATS").await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_never_lowers_what_has_expired() {
    let shop = shop_with_orders().await;
    let before = shop.item(OF_ANA, "STATS").await;
    // As if three orders had expired, one of them the first doing.
    shop.set(
        OF_ANA,
        "STATS",
        json!({"orders": 5, "firstSeenAt": 1_000, "signIns": 0, "spent": {"EUR": "1.00"}}),
    )
    .await;
    let tampered = shop.item(OF_ANA, "STATS").await;
    for command in [
        &["statistics", "rebuild", "--user", ANA][..],
        &["statistics", "rebuild", "--user", ANA, "--yes"],
        &["statistics", "rebuild", "--all", "--yes"],
    ] {
        let (success, shown, errors) = shop.run_on_table(command).await;
        assert!(!success && errors.starts_with("replay: 1 partition refused"), "{shown}{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(shown.contains("orders               5 -> 2  (falls)\n"), "{shown}");
        assert!(shown.contains("1970-01-01T00:00:01Z -> 2026-03-02T08:00:00Z  (falls)\n"), "{shown}");
        assert!(shown.contains("spent.EUR            1.00 -> 9.80\n"), "{shown}");
        assert_eq!(shop.item(OF_ANA, "STATS").await, tampered, "refused as a whole");
    }
    let (success, shown, errors) = shop.run_on_table(&["statistics", "rebuild", "--user", ANA, "--lower", "--yes"]).await;
    assert!(success && shown.contains(": written\n"), "{shown}{errors}");
    assert_eq!(without_version(shop.item(OF_ANA, "STATS").await), without_version(before));
}

/// The account, in which an update waits for what happens before it.
#[derive(Clone, Debug)]
struct Interrupted(Arc<Interruption>);

struct Interruption {
    account: Arc<SandboxAccount>,
    /// The operation that waits.
    operation: &'static str,
    has_waited: AtomicBool,
    reached: Notify,
    go_on: Notify,
}

impl std::fmt::Debug for Interruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interruption")
    }
}

impl AwsBackend for Interrupted {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let interruption = &self.0;
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let waits = target.is_some_and(|target| target.ends_with(interruption.operation));
        if waits && !interruption.has_waited.swap(true, Ordering::SeqCst) {
            interruption.reached.notify_one();
            interruption.go_on.notified().await;
        }
        interruption.account.http_client().answer(request).await
    }
}

/// Rebuilds Ana's statistics, and has an order of hers counted before the first call of `operation`.
async fn interrupted(shop: &Shop, operation: &'static str, write: bool) -> Finding {
    let interruption = Arc::new(Interruption {
        account: shop.account.clone(),
        operation,
        has_waited: AtomicBool::new(false),
        reached: Notify::new(),
        go_on: Notify::new(),
    });
    let config = sdk_config(Interrupted(interruption.clone()));
    let store = Store::new(aws_sdk_dynamodb::Client::new(&config), TABLE);
    let partition = Partition::User(ANA.to_owned());
    let treatment = RebuildMode { write, lower: false };
    let in_between = async {
        interruption.reached.notified().await;
        shop.count([order("3", ANA)]).await;
        interruption.go_on.notify_one();
    };
    let (finding, ()) = tokio::join!(rebuild(&store, &partition, treatment), in_between);
    finding.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_way_to_a_commit_in_between() {
    let shop = shop_with_orders().await;
    shop.set(OF_ANA, "STATS", json!({"orders": 1, "spent": {"EUR": "1.00"}})).await;
    let finding = interrupted(&shop, ".UpdateItem", true).await;
    let Finding::Written(differences) = finding else { panic!("{finding:?}") };
    // Worked out anew from what the commit in between has left behind.
    let shown: BTreeMap<&str, (&Option<Value>, &Option<Value>)> =
        differences.iter().map(|found| (found.name.as_str(), (&found.stored, &found.rebuilt))).collect();
    assert_eq!(shown["orders"], (&Some(json!(2)), &Some(json!(3))));
    let statistics = shop.item(OF_ANA, "STATS").await;
    assert_eq!((&statistics["orders"], &statistics["version"]), (&json!(3), &json!(3)));
    assert_eq!(statistics["spent"], json!({"EUR": "14.70"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_between_two_reads_is_no_difference() {
    let shop = shop_with_orders().await;
    assert_eq!(interrupted(&shop, ".Query", false).await, Finding::Right);
    assert_eq!(shop.item(OF_ANA, "STATS").await["orders"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_up_where_others_keep_committing_first() {
    let shop = shop_with_orders().await;
    shop.set(OF_ANA, "STATS", json!({"orders": 1})).await;
    shop.account.faults.inject("UpdateItem", Fault::Error("ConditionalCheckFailedException"), 8);
    let (success, shown, errors) = shop.run_on_table(&["statistics", "rebuild", "--user", ANA, "--yes"]).await;
    assert!(!success && shown.contains("others kept committing first"), "{shown}{errors}");
    assert!(errors.contains("run it again") && errors.lines().count() == 1, "{errors}");
    assert_eq!(shop.item(OF_ANA, "STATS").await["orders"], 1);
    let (success, _, errors) = shop.run_on_table(&["statistics", "rebuild", "--user", ANA, "--yes"]).await;
    assert!(success, "{errors}");
    assert_eq!(shop.item(OF_ANA, "STATS").await["orders"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_is_left() {
    let shop = shop_with_orders().await;
    let forget = ["user", "erase", ANA, "--queue", "cache-invalidations", "--yes"];
    let (success, _, errors) = shop.run_on_table(&forget).await;
    assert!(success, "{errors}");
    // An event that an erasure has not got to yet.
    shop.set(OF_ANA, "EVENT#/shop#1", json!({"event": order("1", ANA).to_string()})).await;
    let marker = shop.item(OF_ANA, "STATS").await;
    assert!(marker["erasedAt"].is_number(), "{marker}");
    let (success, shown, errors) = shop.run_on_table(&["statistics", "rebuild", "--user", ANA, "--lower", "--yes"]).await;
    assert!(success && shown.contains("erased, and left so"), "{shown}{errors}");
    let (success, shown, errors) = shop.run_on_table(&["statistics", "rebuild", "--all", "--lower", "--yes"]).await;
    assert!(
        success && shown.contains("1 user and 0 shards") && shown.contains("1 erased"),
        "{shown}{errors}"
    );
    assert_eq!(shop.item(OF_ANA, "STATS").await, marker);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_users_and_domains_are_gone_over() {
    const USERS: usize = 260;
    let shop = shop().await;
    let users = (0..USERS).map(|number| order(&format!("o{number}"), &format!("user-{number:03}")));
    let domains = (0..40).map(|number| sign_up(&format!("s{number}"), "example.com"));
    shop.count(users.chain(domains)).await;
    shop.set("LEDGER#E2EXAMPLE1ABCD", "MONTH#2026-03", json!({"items": 1})).await;
    shop.set("USER#user-000", "PROFILE", json!({"cognitoId": "user-000"})).await;
    shop.set("USER#only-a-profile", "PROFILE", json!({"cognitoId": "only-a-profile"})).await;
    let before = shop.account.items().await.unwrap();
    let is_shard = |key: &&(String, String)| key.0.starts_with("DOMAIN#") && key.1 == "STATS";
    let shards: Vec<&(String, String)> = before.keys().filter(is_shard).collect();

    let (success, shown, errors) = shop.run_on_table(&["statistics", "rebuild", "--all"]).await;
    let expected =
        format!("{USERS} users and {} shards of domains: {} as", shards.len(), USERS + shards.len());
    assert!(success && shown.starts_with(&expected), "{expected}: {shown}{errors}");

    shop.set("USER#user-007", "STATS", json!({"orders": 0})).await;
    shop.set("USER#user-259", "STATS", json!({"spent": null})).await;
    shop.set(&shards[0].0, "STATS", json!({"signUps": 0})).await;
    shop.account.faults.forget_calls();
    let (success, shown, errors) = shop.run_on_table(&["statistics", "rebuild", "--all", "--json"]).await;
    assert!(success, "{errors}");
    let scans = shop.account.faults.calls().iter().filter(|call| *call == "Scan").count();
    assert_eq!(scans, 2, "some 620 items, 500 in a page");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let partitions = shown["partitions"].as_array().unwrap();
    assert_eq!((partitions.len(), &shown["summary"]["differing"]), (3, &json!(3)));
    let of_seven = partitions.iter().find(|found| found["user"] == "user-007").unwrap();
    assert_eq!(of_seven["differences"], json!([{"name": "orders", "stored": null, "rebuilt": 1}]));
    let of_shard = partitions.iter().find(|found| found["domain"] == "example.com").unwrap();
    assert_eq!(of_shard["finding"], "differs");

    let (success, shown, errors) = shop.run_on_table(&["statistics", "rebuild", "--all", "--yes"]).await;
    assert!(success && shown.contains("3 differing, 3 written, 0 refused"), "{shown}{errors}");
    let after = shop.account.items().await.unwrap();
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
async fn events_that_cannot_be_read_are_told_without_what_they_hold() {
    let shop = shop_with_orders().await;
    shop.set(OF_ANA, "STATS", json!({"orders": 1})).await;
    let mut unknown = order("3", ANA);
    unknown["type"] = json!("order.shipped");
    unknown["data"] = json!({"email": "ana@example.com"});
    shop.set(OF_ANA, "EVENT#/shop#3", json!({"event": unknown.to_string()})).await;
    shop.set(OF_ANA, "EVENT#/shop#4", json!({"type": "order.placed"})).await;
    for command in [&["statistics", "rebuild", "--user", ANA, "--yes"][..], &["statistics", "rebuild", "--all", "--lower", "--yes"]] {
        let (success, shown, errors) = shop.run_on_table(command).await;
        assert!(!success && shown.contains("(not_json 1, unknown_type 1)"), "{shown}{errors}");
        assert!(
            !shown.contains('@') && !errors.contains('@') && errors.lines().count() == 1,
            "{shown}{errors}"
        );
        assert_eq!(shop.item(OF_ANA, "STATS").await["orders"], 1);
    }
    shop.set(OF_ANA, "STATS", json!({"version": "one"})).await;
    let (success, shown, errors) = shop.run_on_table(&["statistics", "rebuild", "--user", ANA, "--yes"]).await;
    assert!(!success && shown.contains("its statistics cannot be read"), "{shown}{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_one_line_and_nothing_is_done() {
    let shop = shop_with_orders().await;
    shop.set(OF_ANA, "STATS", json!({"orders": 1})).await;
    for sub in ["ana@example.com", "", "domain:example.com"] {
        let (success, _, errors) = shop.run_on_table(&["statistics", "rebuild", "--user", sub, "--yes"]).await;
        assert!(!success && errors.contains("SUB: expected") && errors.lines().count() == 1, "{errors}");
    }
    for arguments in [&["statistics", "rebuild", "--yes"][..], &["statistics", "rebuild", "--user", ANA, "--all", "--yes"]] {
        let (success, shown, errors) = shop.run_on_table(arguments).await;
        assert!(!success && shown.is_empty() && errors.contains("--user"), "{shown}{errors}");
    }
    for (operation, arguments) in [
        ("BatchGetItem", &["statistics", "rebuild", "--user", ANA, "--yes"][..]),
        ("Query", &["statistics", "rebuild", "--user", ANA, "--yes"]),
        ("UpdateItem", &["statistics", "rebuild", "--user", ANA, "--yes"]),
        ("Scan", &["statistics", "rebuild", "--all", "--yes"]),
    ] {
        shop.account.faults.inject(operation, Fault::Error("AccessDeniedException"), 9);
        let (success, _, errors) = shop.run_on_table(arguments).await;
        assert!(!success && errors.contains("AccessDeniedException"), "{operation}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        shop.account.faults.clear();
        assert_eq!(shop.item(OF_ANA, "STATS").await["orders"], 1, "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_user_stats_takes_no_more_is_counted_once() {
    let shop = shop().await;
    let now = shared::time::Clock::system().now();
    let aged = |id: &str, days: i64| {
        let mut event = order(id, ANA);
        event["time"] = json!(shared::time::minus_seconds(now, days * 24 * 3600).to_string());
        event
    };
    shop.count([order("1", ANA)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("late.ndjson");
    let write = |events: &[Value]| {
        let line = |event: &Value| json!({"messageId": "1", "body": event}).to_string();
        std::fs::write(&file, events.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    };
    let command = ["statistics", "backfill", "--event-retention-days", "90", file.to_str().unwrap()];
    let with_yes = [&command[..], &["--yes"]].concat();

    write(&[aged("2", 40), aged("3", 80), aged("4", 90)]);
    let (success, _, errors) = shop.run_on_table(&with_yes).await;
    assert!(!success && errors.contains("line 3: body: time: so long ago that its marker"), "{errors}");

    write(&[aged("2", 40), aged("3", 80), aged("2", 40)]);
    let (success, shown, errors) = shop.run_on_table(&command).await;
    assert!(
        success && shown.starts_with("2 events of 1 user and 0 shards of domains\nNothing"),
        "{shown}{errors}"
    );
    let orders = async || shop.item(&format!("USER#{ANA}"), "STATS").await["orders"].clone();
    assert_eq!(orders().await, 1);
    let (success, shown, errors) = shop.run_on_table(&with_yes).await;
    assert!(
        success && shown.ends_with("2 counted, 0 counted before, 0 of erased or unknown users dropped.\n"),
        "{shown}{errors}"
    );
    assert_eq!(orders().await, 3);
    write(&[aged("2", 40), aged("5", 41), aged("3", 80)]);
    let (_, shown, _) = shop.run_on_table(&with_yes).await;
    assert!(
        shown.ends_with("1 counted, 2 counted before, 0 of erased or unknown users dropped.\n"),
        "{shown}"
    );
    assert_eq!(orders().await, 4);
    let (success, shown, _) = shop.run_on_table(&["statistics", "rebuild", "--user", ANA]).await;
    assert!(success && shown.contains("as it should be"), "the events are stored: {shown}");

    let mut of_nobody = aged("9", 40);
    of_nobody["subject"] = json!("nobody-we-know");
    write(&[of_nobody]);
    let (_, shown, _) = shop.run_on_table(&with_yes).await;
    assert!(
        shown.ends_with("0 counted, 0 counted before, 1 of erased or unknown users dropped.\n"),
        "{shown}"
    );
    write(&[aged("10", 3)]);
    let (success, _, errors) = shop.run_on_table(&with_yes).await;
    assert!(!success && errors.contains("within the last 30 days: user-stats takes it"), "{errors}");

    for (event, told) in [
        (json!({"type": "x"}), "line 1: body: not a CloudEvents"),
        (json!("x"), "line 1: body: the body is not JSON"),
    ] {
        write(&[event]);
        let (success, _, errors) = shop.run_on_table(&with_yes).await;
        assert!(!success && errors.contains(told) && errors.lines().count() == 1, "{errors}");
    }
}
