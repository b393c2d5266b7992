//! cache-invalidation.

use aws_lambda_events::sqs::SqsEvent;
use sandbox::aws::Fault;
use serde_json::{Value, json};

use crate::support::{ANA, Rig, batch, event, rig};

const BEN: &str = "0b6f4c1e-58d2-4b7a-9a36-1f2e3d4c5b6a";

fn changed(id: &str, sub: &str, at: &str) -> Value {
    let data = json!({"views": ["dashboard", "orders"], "changed_at": format!("2026-03-02T{at}Z")});
    event("user.data_changed", id, sub, data)
}

fn invalidations(rig: &Rig) -> Vec<Vec<String>> {
    rig.account.http_client().invalidations()
}

async fn spent(rig: &Rig) -> (Value, Value) {
    let ledger = rig.item(&format!("LEDGER#{}", rig.account.distribution_id()), "MONTH#2026-03").await;
    (ledger["items"].clone(), ledger["calls"].clone())
}

#[tokio::test]
async fn changes_of_many_users_are_one_call_and_duplicates_cost_nothing() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[]);
    let changes =
        [changed("1", ANA, "08:59:50"), changed("2", BEN, "08:59:51"), changed("3", ANA, "08:59:52")];
    for _ in 0..2 {
        assert_eq!(worker.handle(&batch(&changes)).await, [] as [&str; 0]);
    }
    assert_eq!(invalidations(&rig), [[format!("#user:{BEN}"), format!("#user:{ANA}")].to_vec()]);
    assert_eq!(spent(&rig).await, (json!(2), json!(1)));
    assert_eq!(rig.account.counts("InvalidationsSkipped"), [("already_invalidated".to_owned(), 3)].into());
    let mark = rig.item(&format!("USER#{ANA}"), "CACHE").await;
    assert_eq!(mark["lastInvalidatedAt"], 1_772_441_999_000_i64, "the time before the call, less a second");
}

#[tokio::test]
async fn a_change_after_the_call_is_another_call() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[]);
    worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await;
    rig.account.time.advance(5);
    worker.handle(&batch(&[changed("2", ANA, "09:00:02")])).await;
    assert_eq!(invalidations(&rig).len(), 2);
}

#[tokio::test]
async fn paths_name_each_view_where_the_distribution_has_no_tags() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[("INVALIDATION_TARGET", "path")]);
    worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await;
    assert_eq!(
        invalidations(&rig),
        [[format!("/users/{ANA}/dashboard"), format!("/users/{ANA}/orders")].to_vec()]
    );
    assert_eq!(spent(&rig).await, (json!(2), json!(1)));
}

#[tokio::test]
async fn many_users_collapse_into_one_item() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    let changes = |from: usize| {
        let change = |i: usize| changed(&format!("{from}-{i}"), &format!("user-{i}"), "08:59:50");
        batch(&(0..4).map(change).collect::<Vec<_>>())
    };
    assert_eq!(worker.handle(&changes(0)).await, [] as [&str; 0]);
    assert_eq!(invalidations(&rig), [["#users".to_owned()]]);
    assert_eq!(worker.handle(&changes(1)).await, [] as [&str; 0]);
    assert_eq!(invalidations(&rig).len(), 1, "the collapse counts for each of them");
}

#[tokio::test]
async fn without_room_the_messages_come_again_later_and_nothing_is_paid() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[]);
    rig.account.faults.inject("CreateInvalidation", Fault::Error("TooManyInvalidationsInProgress"), 1);
    let changes = batch(&[changed("1", ANA, "08:59:50"), changed("2", BEN, "08:59:50")]);
    assert_eq!(worker.handle(&changes).await, ["m0", "m1"]);
    assert_eq!(spent(&rig).await, (json!(0), json!(0)));
    assert!(rig.account.faults.calls().contains(&"ChangeMessageVisibilityBatch".to_owned()));
    assert_eq!(rig.account.counts("InvalidationsFailed"), [("no_room".to_owned(), 1)].into());
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    assert_eq!(invalidations(&rig).len(), 1);
}

#[tokio::test]
async fn a_refusal_fails_with_its_own_word() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[]);
    rig.account.faults.inject("CreateInvalidation", Fault::Error("AccessDenied"), 1);
    assert_eq!(worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await, ["m0"]);
    assert_eq!(rig.account.counts("InvalidationsFailed"), [("refused".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_under_the_same_reference() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[]);
    rig.account.faults.inject("CreateInvalidation", Fault::ReplyLost, 1);
    let changes = batch(&[changed("1", ANA, "08:59:50")]);
    assert_eq!(worker.handle(&changes).await, ["m0"]);
    assert_eq!(spent(&rig).await, (json!(1), json!(1)), "it may have been done: the ledger counts it");
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    let references = rig.account.http_client().caller_references();
    assert_eq!((references.len(), &references[0]), (2, &references[1]));
}

#[tokio::test]
async fn a_path_evicts_one_view_and_says_nothing_of_the_others() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[("INVALIDATION_TARGET", "path")]);
    let of = |id: &str, view: &str, at: &str| {
        event(
            "user.data_changed",
            id,
            ANA,
            json!({"views": [view], "changed_at": format!("2026-03-02T{at}Z")}),
        )
    };
    worker.handle(&batch(&[of("1", "dashboard", "08:59:50")])).await;
    worker.handle(&batch(&[of("2", "profile", "08:59:40")])).await;
    let views: Vec<Vec<String>> =
        ["dashboard", "profile"].map(|view| vec![format!("/users/{ANA}/{view}")]).into();
    assert_eq!(invalidations(&rig), views);
}

fn changes_of_four_users(batch_number: usize, at: &str) -> SqsEvent {
    let change = |i: usize| changed(&format!("{batch_number}-{i}"), &format!("user-{i}"), at);
    batch(&(0..4).map(change).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_collapse_that_somebody_else_makes_is_waited_for() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    let now = rig.account.time.now();
    let since = shared::time::minus_seconds(now, 300);
    let store = rig.store();
    let claim = store.claim_collapse(rig.account.distribution_id(), now, since).await.unwrap();
    assert!(claim.is_some());
    rig.account.time.advance(1);
    let changes = changes_of_four_users(0, "08:59:50");
    assert_eq!(worker.handle(&changes).await.len(), 4);
    assert_eq!(invalidations(&rig).len(), 0, "user by user it would cost a multiple");
    // That one died: its claim runs out.
    rig.account.time.advance(300);
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    assert_eq!(invalidations(&rig), [["#users".to_owned()]]);
}

#[tokio::test]
async fn too_many_users_soon_after_a_collapse_wait_for_the_next_one() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    assert_eq!(worker.handle(&changes_of_four_users(0, "08:59:50")).await, [] as [&str; 0]);
    rig.account.time.advance(60);
    let changes = changes_of_four_users(1, "09:00:30");
    assert_eq!(worker.handle(&changes).await.len(), 4);
    assert_eq!(rig.account.count("InvalidationsDeferred"), 4);
    // The next time is 239 s away; not all at the same moment.
    let delays = rig.account.http_client().delays();
    assert!(delays.len() == 4 && delays.values().all(|seconds| (242..=272).contains(seconds)), "{delays:?}");
    assert_eq!(invalidations(&rig).len(), 1);
    rig.account.time.advance(240);
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    assert_eq!(invalidations(&rig), [["#users".to_owned()], ["#users".to_owned()]]);
}

#[tokio::test]
async fn a_collapse_that_cloudfront_refuses_may_be_tried_again_at_once() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    rig.account.faults.inject("CreateInvalidation", Fault::Error("TooManyInvalidationsInProgress"), 1);
    let changes = changes_of_four_users(0, "08:59:50");
    assert_eq!(worker.handle(&changes).await.len(), 4);
    assert_eq!(spent(&rig).await, (json!(0), json!(0)));
    rig.account.time.advance(30);
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    assert_eq!(invalidations(&rig), [["#users".to_owned()]]);
}

#[tokio::test]
async fn a_spent_budget_that_lets_entries_expire_leaves_the_collapse_to_others() {
    let rig = rig().await;
    let poor = [("PURGE_ALL_THRESHOLD", "3"), ("MONTHLY_ITEM_BUDGET", "1")];
    let worker = rig.cache_invalidation(&poor);
    assert_eq!(worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await, [] as [&str; 0]);
    assert_eq!(worker.handle(&changes_of_four_users(0, "08:59:50")).await, [] as [&str; 0]);
    assert_eq!(invalidations(&rig).len(), 1, "the budget is spent");
    let rich = rig.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    assert_eq!(rich.handle(&changes_of_four_users(1, "08:59:50")).await, [] as [&str; 0]);
    assert_eq!(invalidations(&rig).len(), 2);
}

#[tokio::test]
async fn everybody_is_evicted_at_most_once_in_five_minutes_whoever_asks() {
    let rig = rig().await;
    let variables = [("MONTHLY_ITEM_BUDGET", "1"), ("ON_BUDGET_EXHAUSTED", "collapse")];
    let (first, second) = (rig.cache_invalidation(&variables), rig.cache_invalidation(&variables));
    let many = |from: usize| {
        let change = |i: usize| changed(&format!("{from}-{i}"), &format!("user-{from}-{i}"), "09:00:00");
        batch(&(0..2500).map(change).collect::<Vec<_>>())
    };
    assert_eq!(first.handle(&many(0)).await, [] as [&str; 0]);
    assert_eq!(second.handle(&many(1)).await.len(), 2500);
    assert_eq!(invalidations(&rig), [["#users".to_owned()]]);
    rig.account.time.advance(300);
    assert_eq!(second.handle(&many(1)).await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_spent_budget_lets_entries_expire_or_collapses() {
    for (exhausted, expected) in [("expire", vec![]), ("collapse", vec![vec!["#users".to_owned()]])] {
        let rig = rig().await;
        let variables = [("MONTHLY_ITEM_BUDGET", "1"), ("ON_BUDGET_EXHAUSTED", exhausted)];
        let worker = rig.cache_invalidation(&variables);
        let changes = batch(&[changed("1", ANA, "08:59:50"), changed("2", BEN, "08:59:50")]);
        assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
        assert_eq!(invalidations(&rig), expected);
        assert_eq!(rig.account.count("BudgetExhausted"), 1);
    }
}

#[tokio::test]
async fn what_does_not_belong_on_the_queue_is_parked() {
    let rig = rig().await;
    let worker = rig.cache_invalidation(&[]);
    let empty =
        event("user.data_changed", "3", ANA, json!({"views": [], "changed_at": "2026-03-02T09:00:00Z"}));
    let bodies =
        [json!("not JSON"), crate::support::order("1", ANA, "1.00"), empty, changed("4", ANA, "08:59:50")];
    assert_eq!(worker.handle(&batch(&bodies)).await, [] as [&str; 0]);
    let parked = rig.dead_letters(&rig.account.cache_invalidations).await;
    let mut reasons: Vec<&str> = parked.iter().map(|(_, error_type)| error_type.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["invalid_data", "not_json", "wrong_queue"]);
    assert_eq!(invalidations(&rig).len(), 1);
}
