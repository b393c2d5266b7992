//! `replay statistics backfill`.

use serde_json::{Value, json};
use shared::time::{Clock, minus_seconds};

use super::loopback_account::{LoopbackAccount, order_event};
use super::support::ANA;

/// An order of Ana with a time this many days ago.
fn aged_order(id: &str, days: i64) -> Value {
    let mut event = order_event(id, ANA);
    event["time"] = json!(minus_seconds(Clock::system().now(), days * 24 * 3600).to_string());
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn event_that_is_too_old_for_user_stats_counts_once() {
    let account = LoopbackAccount::start().await;
    account.apply([order_event("1", ANA)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.ndjson");
    let write = |events: &[Value]| {
        let line = |event: &Value| json!({"messageId": "1", "body": event}).to_string();
        std::fs::write(&file, events.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    };
    let command = ["statistics", "backfill", "--event-retention-days", "90", file.to_str().unwrap()];
    let with_yes = [&command[..], &["--yes"]].concat();
    let orders = async || account.item(&format!("USER#{ANA}"), "STATS").await["orders"].clone();

    write(&[aged_order("2", 40), aged_order("3", 80), aged_order("4", 90)]);
    let run = account.replay_on_table(&with_yes).await;
    let expected = "line 3: body: time: more than 89 days ago. The event's marker may have expired";
    assert!(run.code == 2 && run.stderr.contains(expected), "{run:?}");

    write(&[aged_order("2", 40), aged_order("3", 80), aged_order("2", 40)]);
    let run = account.replay_on_table(&command).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
    2 events of 1 user and 0 domain shards
    Dry run: nothing was applied. Add --yes to apply 2 events. Each event counts once.
    ");
    assert_eq!(orders().await, 1);
    let run = account.replay_on_table(&[&command[..], &["--json"]].concat()).await;
    let plan = super::json::document("statistics backfill", &run);
    assert_eq!((&plan["dryRun"], &plan["events"], &plan["applied"]), (&json!(true), &json!(2), &json!(0)));
    let run = account.replay_on_table(&with_yes).await;
    let expected = "2 events applied, 0 applied before, 0 dropped (user erased or not in the table).\n";
    assert!(run.code == 0 && run.stdout.ends_with(expected), "{run:?}");
    assert_eq!(orders().await, 3);
    write(&[aged_order("2", 40), aged_order("5", 41), aged_order("3", 80)]);
    let run = account.replay_on_table(&[&with_yes[..], &["--json"]].concat()).await;
    let counts = super::json::document("statistics backfill", &run);
    assert_eq!(
        (&counts["applied"], &counts["duplicates"], &counts["dropped"]),
        (&json!(1), &json!(2), &json!(0))
    );
    assert_eq!(orders().await, 4);
    let run = account.replay_on_table(&["statistics", "rebuild", "--user", ANA]).await;
    assert!(run.code == 0 && run.stdout.contains(": correct\n"), "the events are stored: {run:?}");

    let mut of_unknown_user = aged_order("9", 40);
    of_unknown_user["subject"] = json!("unknown-user");
    write(&[of_unknown_user]);
    let run = account.replay_on_table(&with_yes).await;
    let expected = "0 events applied, 0 applied before, 1 dropped (user erased or not in the table).\n";
    assert!(run.stdout.ends_with(expected), "{run:?}");
    write(&[aged_order("10", 3)]);
    let run = account.replay_on_table(&with_yes).await;
    let expected = "within the last 30 days, so user-stats accepts the event";
    assert!(run.code == 2 && run.stderr.contains(expected), "{run:?}");

    for (event, expected) in [
        (json!({"type": "x"}), "line 1: body: not a CloudEvents"),
        (json!("x"), "line 1: body: the body is not JSON"),
    ] {
        write(&[event]);
        let run = account.replay_on_table(&with_yes).await;
        assert!(run.code == 2 && run.stderr.contains(expected), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
}
