//! Tests of cache-invalidation.

use aws_lambda_events::sqs::SqsEvent;
use sandbox::aws::Fault;
use serde_json::{Value, json};

use crate::support::{ANA, TestStack, batch, event, test_stack};

const BEN: &str = "0b6f4c1e-58d2-4b7a-9a36-1f2e3d4c5b6a";

fn changed(id: &str, sub: &str, at: &str) -> Value {
    let data = json!({"views": ["dashboard", "orders"], "changed_at": format!("2026-03-02T{at}Z")});
    event("user.data_changed", id, sub, data)
}

fn invalidations(stack: &TestStack) -> Vec<Vec<String>> {
    stack.account.calls.invalidations()
}

async fn spent(stack: &TestStack) -> (Value, Value) {
    let ledger = stack.item(&format!("LEDGER#{}", stack.account.distribution_id()), "MONTH#2026-03").await;
    (ledger["items"].clone(), ledger["calls"].clone())
}

#[tokio::test]
async fn changes_of_many_users_are_one_call_and_duplicates_are_free() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[]);
    let changes =
        [changed("1", ANA, "08:59:50"), changed("2", BEN, "08:59:51"), changed("3", ANA, "08:59:52")];
    for _ in 0..2 {
        assert_eq!(worker.handle(&batch(&changes)).await, [] as [&str; 0]);
    }
    assert_eq!(invalidations(&stack), [[format!("#user:{BEN}"), format!("#user:{ANA}")].to_vec()]);
    assert_eq!(spent(&stack).await, (json!(2), json!(1)));
    assert_eq!(stack.account.counts("InvalidationsSkipped"), [("already_invalidated".to_owned(), 3)].into());
    let mark = stack.item(&format!("CACHE#{ANA}"), "CACHE").await;
    assert_eq!(
        mark["lastInvalidatedAt"], 1_772_441_999_000_i64,
        "the time before the call, minus one second"
    );
}

/// Reading the marks, booking in the ledger, writing the marks.
#[tokio::test(start_paused = true)]
async fn each_failed_access_to_the_table_is_counted_whatever_follows() {
    for (operation, is_invalidated) in
        [("BatchGetItem", true), ("UpdateItem", false), ("BatchWriteItem", true)]
    {
        let stack = test_stack().await;
        let worker = stack.cache_invalidation(&[]);
        stack.account.faults.inject(operation, Fault::Error("AccessDeniedException"), 9);
        worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await;
        assert_eq!(invalidations(&stack).len(), usize::from(is_invalidated), "{operation}");
        assert_eq!(stack.account.count("StoreFailures"), 1, "{operation}");
    }
}

#[tokio::test]
async fn change_after_a_call_causes_another_call() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[]);
    worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await;
    stack.account.time.advance(5);
    worker.handle(&batch(&[changed("2", ANA, "09:00:02")])).await;
    assert_eq!(invalidations(&stack).len(), 2);
}

#[tokio::test]
async fn path_target_has_one_item_per_view() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[("INVALIDATION_TARGET", "path")]);
    worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await;
    assert_eq!(
        invalidations(&stack),
        [[format!("/users/{ANA}/dashboard"), format!("/users/{ANA}/orders")].to_vec()]
    );
    assert_eq!(spent(&stack).await, (json!(2), json!(1)));
}

#[tokio::test]
async fn many_users_cause_one_purge_all() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    let changes = |from: usize| {
        let change = |i: usize| changed(&format!("{from}-{i}"), &format!("user-{i}"), "08:59:50");
        batch(&(0..4).map(change).collect::<Vec<_>>())
    };
    assert_eq!(worker.handle(&changes(0)).await, [] as [&str; 0]);
    assert_eq!(invalidations(&stack), [["#users".to_owned()]]);
    assert_eq!(worker.handle(&changes(1)).await, [] as [&str; 0]);
    assert_eq!(invalidations(&stack).len(), 1, "the purge covers each user");
}

#[tokio::test]
async fn messages_are_retried_later_and_nothing_is_booked_while_cloudfront_has_no_room() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[]);
    stack.account.faults.inject("CreateInvalidation", Fault::Error("TooManyInvalidationsInProgress"), 1);
    let changes = batch(&[changed("1", ANA, "08:59:50"), changed("2", BEN, "08:59:50")]);
    assert_eq!(worker.handle(&changes).await, ["m0", "m1"]);
    assert_eq!(spent(&stack).await, (json!(0), json!(0)));
    assert!(stack.account.calls.operations().contains(&"ChangeMessageVisibilityBatch".to_owned()));
    assert_eq!(stack.account.counts("InvalidationsFailed"), [("no_room".to_owned(), 1)].into());
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    assert_eq!(invalidations(&stack).len(), 1);
}

#[tokio::test]
async fn refusal_is_counted_with_its_own_code() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[]);
    stack.account.faults.inject("CreateInvalidation", Fault::Error("AccessDenied"), 1);
    assert_eq!(worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await, ["m0"]);
    assert_eq!(stack.account.counts("InvalidationsFailed"), [("refused".to_owned(), 1)].into());
}

#[tokio::test]
async fn call_without_a_reply_is_repeated_with_the_same_reference() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[]);
    stack.account.faults.inject("CreateInvalidation", Fault::ReplyLost, 1);
    let changes = batch(&[changed("1", ANA, "08:59:50")]);
    assert_eq!(worker.handle(&changes).await, ["m0"]);
    assert_eq!(
        spent(&stack).await,
        (json!(1), json!(1)),
        "CloudFront may have made the invalidation, so the ledger counts it"
    );
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    let references = stack.account.calls.caller_references();
    assert_eq!((references.len(), &references[0]), (2, &references[1]));
}

#[tokio::test]
async fn path_invalidates_one_view_and_does_not_cover_others() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[("INVALIDATION_TARGET", "path")]);
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
    assert_eq!(invalidations(&stack), views);
}

fn changes_of_four_users(batch_number: usize, at: &str) -> SqsEvent {
    let change = |i: usize| changed(&format!("{batch_number}-{i}"), &format!("user-{i}"), at);
    batch(&(0..4).map(change).collect::<Vec<_>>())
}

#[tokio::test]
async fn purge_all_that_another_worker_claimed_is_waited_for() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    let now = stack.account.time.now();
    let since = shared::time::minus_seconds(now, 300);
    let store = stack.store();
    let claim = store.claim_purge_all(stack.account.distribution_id(), now, since).await.unwrap();
    assert!(claim.is_some());
    stack.account.time.advance(1);
    let changes = changes_of_four_users(0, "08:59:50");
    assert_eq!(worker.handle(&changes).await.len(), 4);
    assert_eq!(invalidations(&stack).len(), 0, "invalidating user by user would cost more");
    // The other worker never made the purge, and its claim runs out.
    stack.account.time.advance(300);
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    assert_eq!(invalidations(&stack), [["#users".to_owned()]]);
}

#[tokio::test]
async fn too_many_users_shortly_after_a_purge_all_are_deferred() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    assert_eq!(worker.handle(&changes_of_four_users(0, "08:59:50")).await, [] as [&str; 0]);
    stack.account.time.advance(60);
    let changes = changes_of_four_users(1, "09:00:30");
    assert_eq!(worker.handle(&changes).await.len(), 4);
    assert_eq!(stack.account.count("InvalidationsDeferred"), 4);
    // The next purge is possible in 239 s, and each delay adds 3 to 33 s.
    let delays = stack.account.calls.visibility_timeouts();
    assert!(delays.len() == 4 && delays.values().all(|seconds| (242..=272).contains(seconds)), "{delays:?}");
    assert_eq!(invalidations(&stack).len(), 1);
    stack.account.time.advance(240);
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    assert_eq!(invalidations(&stack), [["#users".to_owned()], ["#users".to_owned()]]);
}

#[tokio::test]
async fn purge_all_that_cloudfront_refused_can_be_retried_at_once() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    stack.account.faults.inject("CreateInvalidation", Fault::Error("TooManyInvalidationsInProgress"), 1);
    let changes = changes_of_four_users(0, "08:59:50");
    assert_eq!(worker.handle(&changes).await.len(), 4);
    assert_eq!(spent(&stack).await, (json!(0), json!(0)));
    stack.account.time.advance(30);
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    assert_eq!(invalidations(&stack), [["#users".to_owned()]]);
}

#[tokio::test]
async fn spent_budget_with_expire_leaves_the_purge_all_claim_to_other_workers() {
    let stack = test_stack().await;
    let with_budget = [("PURGE_ALL_THRESHOLD", "3"), ("MONTHLY_ITEM_BUDGET", "1")];
    let worker = stack.cache_invalidation(&with_budget);
    assert_eq!(worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await, [] as [&str; 0]);
    assert_eq!(worker.handle(&changes_of_four_users(0, "08:59:50")).await, [] as [&str; 0]);
    assert_eq!(invalidations(&stack).len(), 1, "the budget is spent");
    let without_budget = stack.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3")]);
    assert_eq!(without_budget.handle(&changes_of_four_users(1, "08:59:50")).await, [] as [&str; 0]);
    assert_eq!(invalidations(&stack).len(), 2);
}

#[tokio::test]
async fn all_pages_are_purged_at_most_once_in_five_minutes_by_all_workers() {
    let stack = test_stack().await;
    let variables = [("MONTHLY_ITEM_BUDGET", "1"), ("ON_BUDGET_EXHAUSTED", "purge_all")];
    let (first, second) = (stack.cache_invalidation(&variables), stack.cache_invalidation(&variables));
    let many = |from: usize| {
        let change = |i: usize| changed(&format!("{from}-{i}"), &format!("user-{from}-{i}"), "09:00:00");
        batch(&(0..2500).map(change).collect::<Vec<_>>())
    };
    assert_eq!(first.handle(&many(0)).await, [] as [&str; 0]);
    assert_eq!(second.handle(&many(1)).await.len(), 2500);
    assert_eq!(invalidations(&stack), [["#users".to_owned()]]);
    stack.account.time.advance(300);
    assert_eq!(second.handle(&many(1)).await, [] as [&str; 0]);
}

#[tokio::test]
async fn spent_budget_lets_pages_expire_or_purges_all() {
    for (exhausted, expected) in [("expire", vec![]), ("purge_all", vec![vec!["#users".to_owned()]])] {
        let stack = test_stack().await;
        let variables = [("MONTHLY_ITEM_BUDGET", "1"), ("ON_BUDGET_EXHAUSTED", exhausted)];
        let worker = stack.cache_invalidation(&variables);
        let changes = batch(&[changed("1", ANA, "08:59:50"), changed("2", BEN, "08:59:50")]);
        assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
        assert_eq!(invalidations(&stack), expected);
        assert_eq!(stack.account.count("BudgetExhausted"), 1);
    }
}

#[tokio::test]
async fn messages_that_do_not_belong_on_the_queue_are_dead_lettered() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[]);
    let empty =
        event("user.data_changed", "3", ANA, json!({"views": [], "changed_at": "2026-03-02T09:00:00Z"}));
    let bodies =
        [json!("not JSON"), crate::support::order("1", ANA, "1.00"), empty, changed("4", ANA, "08:59:50")];
    assert_eq!(worker.handle(&batch(&bodies)).await, [] as [&str; 0]);
    let letters = stack.dead_letters(&stack.account.cache_invalidations).await;
    let mut reasons: Vec<&str> = letters.iter().map(|(_, error_type)| error_type.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["invalid_data", "not_json", "wrong_queue"]);
    assert_eq!(invalidations(&stack).len(), 1);
}
