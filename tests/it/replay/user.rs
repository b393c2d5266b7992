//! `replay user suspend`, `reinstate`, `show` and `erase`.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::events::Event;
use shared::grant::GrantChange;
use shared::suspension_change::SuspensionChange;

use super::loopback_account::{LoopbackAccount, order_event, sign_up_event};
use super::support::{ANA, CommandRun};
use crate::support::{empty_profile, event};

const PARTITION_OF_ANA: &str = "USER#7d8ca528-4931-4254-9273-ea5ee853f271";
const SUSPENSION_OF_ANA: &str = "SUSPENSION#7d8ca528-4931-4254-9273-ea5ee853f271";

/// An account in which Ana has a profile.
async fn account_with_profile() -> LoopbackAccount {
    let account = LoopbackAccount::start().await;
    let profile = empty_profile(ANA, account.sandbox.time.now());
    account.store().write_profile(&profile).await.unwrap();
    account
}

/// The same with two orders of Ana, and two sign-ups of a domain.
async fn account_with_statistics() -> LoopbackAccount {
    let account = account_with_profile().await;
    let sign_up = |id: &str, outcome: &str| sign_up_event(id, "example.com", outcome);
    let sign_ups = [sign_up("3", "allowed"), sign_up("4", "denied")];
    account.apply([order_event("1", ANA), order_event("2", ANA)].into_iter().chain(sign_ups)).await;
    account
}

/// Runs a command that writes to the table and to user-events.
async fn replay(account: &LoopbackAccount, arguments: &[&str]) -> CommandRun {
    account.replay_on_table(&[arguments, &["--queue", "user-events"]].concat()).await
}

async fn profile(account: &LoopbackAccount) -> Value {
    account.item(PARTITION_OF_ANA, "PROFILE").await
}

/// Ana's SUSPENSION item, or null.
async fn suspension(account: &LoopbackAccount) -> Value {
    account.item(SUSPENSION_OF_ANA, "SUSPENSION").await
}

async fn assert_nothing_was_changed(account: &LoopbackAccount) {
    assert_eq!(profile(account).await["isBanned"], json!(false));
    assert_eq!(suspension(account).await, Value::Null);
    assert_eq!(account.receive_user_events().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspension_is_shown_first_and_written_with_yes() {
    let account = account_with_profile().await;
    let command = ["user", "suspend", ANA, "--reason", "spam", "--until", "2099-01-01"];
    let run = replay(&account, &command).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
    user 7d8ca528-4931-4254-9273-ea5ee853f271
      now   not suspended
      then  suspended until 2099-01-01T00:00:00Z, by ben: spam
    Dry run: nothing was changed. Add --yes to suspend the user.
    ");
    assert_nothing_was_changed(&account).await;

    let run = replay(&account, &[&command[..], &["--yes"]].concat()).await;
    assert!(run.code == 0 && run.stdout.contains("\nUser suspended. "), "{run:?}");
    let suspended = suspension(&account).await;
    let until = 4_070_908_800_000_i64;
    assert_eq!((&suspended["reason"], &suspended["by"]), (&json!("spam"), &json!("ben")));
    assert_eq!(
        (&suspended["until"], &suspended["expiresAt"]),
        (&json!(until), &json!(until / 1000 + 365 * 24 * 3600))
    );
    assert_eq!(profile(&account).await["isBanned"], json!(false), "the flag has no end");
    let events = account.receive_user_events().await;
    assert_eq!((&events[0]["type"], &events[0]["subject"]), (&json!("user.suspended"), &json!(ANA)));

    let run = replay(&account, &["user", "reinstate", ANA, "--reason", "settled", "--yes"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
    user 7d8ca528-4931-4254-9273-ea5ee853f271
      now   suspended until 2099-01-01T00:00:00Z, by ben: spam
      then  not suspended
      note  an account that `suspend --sign-out` disabled stays disabled: see `replay user show` with --user-pool, and add --enable
    User reinstated. The user's cached pages are being invalidated.
    ");
    assert_eq!(profile(&account).await["isBanned"], json!(false));
    let reinstated = suspension(&account).await;
    assert_eq!((&reinstated["reason"], &reinstated["until"]), (&json!("settled"), &reinstated["at"]));
    assert_eq!(account.receive_user_events().await[0]["type"], "user.reinstated");
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_decision_is_not_overwritten() {
    let account = account_with_profile().await;
    let newer = "2099-01-01T00:00:00Z".parse().unwrap();
    let decision = SuspensionChange::suspend(ANA, "fraud", None, "carla", newer);
    assert!(account.store().write_suspension(ANA, &decision.suspension).await.unwrap());
    let run = replay(&account, &["user", "reinstate", ANA, "--reason", "settled", "--yes"]).await;
    assert!(
        run.code == 1 && run.stderr.contains("a newer decision about this user already exists"),
        "{run:?}"
    );
    assert_eq!(suspension(&account).await["reason"], json!("fraud"));
    assert_eq!(account.receive_user_events().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspension_stays_in_force_and_is_reported_if_its_event_is_not_published() {
    let account = account_with_profile().await;
    account.sandbox.faults.inject("SendMessage", Fault::Error("AccessDenied"), 9);
    let run = replay(&account, &["user", "suspend", ANA, "--reason", "spam", "--yes"]).await;
    let expected = "in force, but the user's cached pages were not invalidated";
    assert!(run.code == 1 && run.stderr.contains(expected), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    assert_eq!(profile(&account).await["isBanned"], json!(true), "a suspension without an end sets the flag");
    let suspended = suspension(&account).await;
    assert_eq!((&suspended["reason"], suspended.get("expiresAt")), (&json!("spam"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_suspension_is_one_line_and_changes_nothing() {
    let account = account_with_profile().await;
    for (arguments, expected) in [
        (&["user", "suspend", "", "--reason", "x", "--yes"][..], "SUB: the value is empty"),
        (&["user", "suspend", "domain:example.com", "--reason", "x", "--yes"], "SUB: expected"),
        (
            &["user", "suspend", ANA, "--reason", "x", "--until", "2020-01-01", "--yes"],
            "--until is in the past",
        ),
        (&["user", "suspend", "ana@example.com", "--reason", "x", "--yes"], "SUB: expected"),
        (&["user", "suspend", ANA, "--reason", " ", "--yes"], "--reason: the value is empty"),
    ] {
        let run = replay(&account, arguments).await;
        assert!(run.code == 2 && run.stderr.contains(expected), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    account.sandbox.faults.inject("BatchGetItem", Fault::Error("ResourceNotFoundException"), 9);
    let run = replay(&account, &["user", "suspend", ANA, "--reason", "x", "--yes"]).await;
    assert!(run.code == 1 && run.stderr.lines().count() == 1, "{run:?}");
    assert_nothing_was_changed(&account).await;
    for until in ["2099-01-01T12:00", "2099-01-01 12:00", "2099-01-01T12:00[Europe/Berlin]", "soon"] {
        let run = replay(&account, &["user", "suspend", ANA, "--reason", "x", "--until", until]).await;
        assert!(
            run.code == 2 && run.stderr.contains("expected a duration"),
            "a time without an offset is not accepted: {run:?}"
        );
    }
    account.sandbox.faults.clear();
    let run = replay(&account, &["user", "suspend", "unknown-user", "--reason", "x", "--yes"]).await;
    assert!(run.code == 1 && run.stderr.contains("--without-profile"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn user_and_domain_are_shown_with_their_statistics() {
    let account = account_with_statistics().await;
    let run = account.replay_on_table(&["user", "show", ANA]).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
    user 7d8ca528-4931-4254-9273-ea5ee853f271: not suspended
      firstSeenAt          2026-03-02T08:00:00Z
      lastChangedAt        2026-03-02T09:00:00Z
      lastNoticeAt         2026-03-02T09:00:00Z
      lastSeenAt           2026-03-02T08:00:00Z
      orders               2
      pagesExpireAt        2026-03-02T09:01:05Z
      spent                EUR 9.80
      version              1
      recent               2026-03-02T08:00:00Z  order.placed 2
      recent               2026-03-02T08:00:00Z  order.placed 1

    Stored events by day, in UTC
      2026-03-02  ████████████████████████████████████████ 2
    ");
    let run = account.replay_on_table(&["user", "show", ANA, "--json"]).await;
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&json["statistics"]["orders"], &json["eventsByDay"]), (&json!(2), &json!({"2026-03-02": 2})));
    assert!(json["statistics"].get("PK").is_none());

    let run = account.replay_on_table(&["user", "show", "--domain", "Example.com"]).await;
    assert_eq!(run.stdout, "domain example.com: 2 sign-ups, 1 allowed, 1 denied\n");
    let run = account.replay_on_table(&["user", "show", "--domain", "a b"]).await;
    assert!(run.code == 2 && run.stderr.starts_with("replay: --domain: expected"), "{run:?}");
    let run = account.replay_on_table(&["user", "show", "unknown-user"]).await;
    assert_eq!(run.stdout, "user unknown-user: no profile, not suspended\n  no statistics\n");
    let run = account.replay_on_table(&["user", "show"]).await;
    assert!(run.code == 2 && run.stderr.contains("SUB"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_is_shown_first_and_erased_with_yes() {
    let account = account_with_statistics().await;
    let keys_of_ana = async || {
        let items = account.sandbox.items().await.unwrap();
        items.into_keys().filter(|(partition, _)| partition == PARTITION_OF_ANA).collect::<Vec<_>>()
    };
    let command = ["user", "erase", ANA, "--queue", "cache-invalidations"];
    let with_yes = [&command[..], &["--yes"]].concat();
    let run = account.replay_on_table(&command).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
    user 7d8ca528-4931-4254-9273-ea5ee853f271
      profile        yes
      suspension     no
      statistics     yes
      stored events  2
      attempts       0 (allowed sign-in attempts)
      permissions    for 0 resources
    Not erased:
      dead letters about the user: for each queue, replay save QUEUE --subject 7d8ca528-4931-4254-9273-ea5ee853f271 --out letters.ndjson --delete, then remove the file
      files of replay save that you still have, logs, and point-in-time backups
      a suspended email address: replay user reinstate with --email ends its suspension
      the account in the user pool: add --account --user-pool ID
    Dry run: nothing was erased. Add --yes to erase the user's data. You cannot undo this.
    ");
    assert_eq!(keys_of_ana().await.len(), 6, "profile, statistics, two events and their entries");

    account.sandbox.faults.inject("SendMessage", Fault::Error("AccessDenied"), 1);
    let run = account.replay_on_table(&with_yes).await;
    assert!(run.code == 1 && run.stderr.starts_with("replay: the user's data was erased, but"), "{run:?}");
    let run = account.replay_on_table(&with_yes).await;
    assert!(run.code == 0, "{run:?}");
    assert!(run.stdout.contains("erased before") && run.stdout.contains("Data erased."), "{run:?}");
    assert_eq!(keys_of_ana().await, [(PARTITION_OF_ANA.to_owned(), "STATS".to_owned())], "the marker stays");
    let run = account.replay_on_table(&["user", "show", ANA]).await;
    assert!(run.stdout.contains("erasedAt"), "{run:?}");
    let unknown = ["user", "erase", "unknown-user", "--queue", "cache-invalidations", "--yes"];
    let run = account.replay_on_table(&unknown).await;
    assert!(run.code == 1 && run.stderr.contains("the table has no data of this user"), "{run:?}");

    let events = account.receive_events(&account.sandbox.cache_invalidations.url).await;
    let is_invalidation =
        |event: &Value| event["type"] == "user.data_changed" && event["source"] == "/replay";
    assert!(events.iter().any(is_invalidation), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_for_resources_of_others_are_shown_and_erased() {
    let account = account_with_statistics().await;
    let store = account.store();
    for (id, sub, resource, data) in [
        ("1", ANA, "orders/ben", json!({"permissions": ["read"], "granted_by": "ben"})),
        (
            "2",
            ANA,
            "files/ben",
            json!({"permissions": ["read"], "granted_by": "ben", "expires_at": "9999-01-01T00:00:00Z"}),
        ),
        ("3", ANA, "orders/eva", json!({"revoked_by": "eva"})),
        ("4", "ben", "orders/ana", json!({"permissions": ["read"], "granted_by": ANA})),
    ] {
        let event_type =
            if data.get("revoked_by").is_some() { "permission.revoked" } else { "permission.granted" };
        let mut body = event(event_type, id, sub, data);
        body["data"]["resource"] = json!(resource);
        let change = GrantChange::of(&Event::parse(&body.to_string()).unwrap()).unwrap();
        store.apply_grant_change(&change).await.unwrap();
    }
    let run = account.replay_on_table(&["user", "show", ANA]).await;
    let (_, shown) =
        run.stdout.split_once("\nPermissions for resources of other users\n").expect("the section");
    let lines: Vec<&str> = shown.lines().take(3).collect();
    assert_eq!(
        lines,
        [
            "  files/ben: read, until 9999-01-01T00:00:00Z",
            "  orders/ben: read, without an end",
            "  orders/eva: revoked at 2026-03-02T09:00:00Z",
        ]
    );
    let run = account.replay_on_table(&["user", "show", ANA, "--json"]).await;
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["permissions"]["orders/ben"], "read, without an end");

    let erase = ["user", "erase", ANA, "--queue", "cache-invalidations", "--yes"];
    account.sandbox.faults.inject("BatchWriteItem", Fault::Error("AccessDeniedException"), 1);
    let run = account.replay_on_table(&erase).await;
    assert_eq!(run.code, 1, "{run:?}");
    let run = account.replay_on_table(&erase).await;
    assert!(run.code == 0 && run.stdout.contains("permissions    for 3 resources"), "{run:?}");
    let items = account.sandbox.items().await.unwrap();
    let grants: Vec<&str> = items
        .keys()
        .map(|(partition, _)| partition.as_str())
        .filter(|key| key.starts_with("GRANT#"))
        .collect();
    assert_eq!(grants, ["GRANT#ben"], "those of others stay");
}
