//! Tests of cache-invalidation.

use std::collections::BTreeSet;

use aws_lambda_events::sqs::SqsEvent;
use sandbox::aws::Fault;
use serde_json::{Value, json};

use crate::support::{ANA, CacheInvalidation, TestStack, batch, event, test_stack};

const BEN: &str = "0b6f4c1e-58d2-4b7a-9a36-1f2e3d4c5b6a";
/// Pages that outlive the waits of a test.
const LONG_LIFETIME: (&str, &str) = ("MAX_CACHE_LIFETIME_SECONDS", "1800");

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
async fn change_after_a_call_waits_for_the_interval_and_causes_another_call() {
    for (interval, waits_for) in [("0", None), ("60", Some(55)), ("900", Some(895))] {
        let stack = test_stack().await;
        let variables = [("INVALIDATION_INTERVAL_SECONDS", interval), LONG_LIFETIME];
        let worker = stack.cache_invalidation(&variables);
        worker.handle(&batch(&[changed("1", ANA, "08:59:50")])).await;
        // The delivery delay of the queue.
        stack.account.time.advance(5);
        let later = batch(&[changed("2", ANA, "09:00:00"), changed("3", BEN, "09:00:00")]);
        for _ in 0..2 {
            let waiting: &[&str] = if waits_for.is_some() { &["m0"] } else { &[] };
            assert_eq!(worker.handle(&later).await, waiting, "{interval}");
        }
        let Some(seconds) = waits_for else {
            assert_eq!(invalidations(&stack).len(), 2);
            continue;
        };
        assert_eq!(invalidations(&stack)[1], [format!("#user:{BEN}")]);
        assert_eq!(stack.account.counts("InvalidationsDeferred"), [("interval".to_owned(), 2)].into());
        let delay = stack.account.calls.visibility_timeouts()["r0"];
        assert!((seconds + 2..=seconds + 6).contains(&delay), "{delay}");
        stack.account.time.advance(delay);
        for _ in 0..2 {
            assert_eq!(worker.handle(&later).await, [] as [&str; 0]);
        }
        assert_eq!(invalidations(&stack).len(), 3, "{interval}");
    }
}

/// A message on the queue, on the account's clock in seconds.
struct Waiting {
    id: String,
    body: Value,
    sent: i64,
    visible: i64,
    receives: u32,
}

fn records(messages: &[Waiting], start: jiff::Timestamp) -> SqsEvent {
    let record = |message: &Waiting| {
        let sent_at = shared::time::plus_seconds(start, message.sent).as_millisecond().to_string();
        json!({
            "messageId": message.id, "receiptHandle": message.id, "body": message.body.to_string(),
            "attributes": {
                "ApproximateReceiveCount": message.receives.to_string(), "SentTimestamp": sent_at,
            },
            "messageAttributes": {},
        })
    };
    serde_json::from_value(json!({"Records": messages.iter().map(record).collect::<Vec<_>>()})).unwrap()
}

/// The queue delivers a message after 5 s, and Lambda collects messages for 10 s.
#[tokio::test]
async fn user_who_changes_every_second_for_an_hour_causes_at_most_61_invalidations() {
    const HOUR: i64 = 3_600;
    for target in ["tag", "path"] {
        let stack = test_stack().await;
        let worker = stack.cache_invalidation(&[("INVALIDATION_TARGET", target)]);
        let start = stack.account.time.now();
        let (mut queue, mut invalidated): (Vec<Waiting>, Vec<i64>) = (Vec::new(), Vec::new());
        let mut most_receives = 0;
        for second in 0..HOUR + 200 {
            if second < HOUR {
                let changed_at = shared::time::plus_seconds(start, second).to_string();
                // The views alternate, so that each invalidation by path leaves others stale.
                let views = if second % 2 == 0 { json!(["dashboard"]) } else { json!(["orders", "profile"]) };
                let data = json!({"views": views, "changed_at": changed_at});
                let id = format!("change-{second}");
                let body = event("user.data_changed", &id, ANA, data);
                queue.push(Waiting { id, body, sent: second, visible: second + 5, receives: 0 });
            }
            if second % 10 == 9 {
                let (mut received, left) = queue.into_iter().partition(|message| message.visible <= second);
                queue = left;
                received.iter_mut().for_each(|message: &mut Waiting| message.receives += 1);
                let event = records(&received, start);
                worker.handle(&event).await;
                let failed = worker.handle(&event).await;
                let timeouts = stack.account.calls.visibility_timeouts();
                received.retain(|message| failed.contains(&message.id));
                for mut message in received {
                    message.visible = second + timeouts[&message.id];
                    most_receives = most_receives.max(message.receives);
                    queue.push(message);
                }
                invalidated.resize(invalidations(&stack).len(), second);
            }
            stack.account.time.advance(1);
        }
        assert!(queue.is_empty(), "{} changes still wait", queue.len());
        let items: BTreeSet<String> = invalidations(&stack).into_iter().flatten().collect();
        assert_eq!(items.len(), if target == "tag" { 1 } else { 3 });
        for item in items {
            let calls = invalidations(&stack).into_iter().zip(&invalidated);
            let times: Vec<i64> =
                calls.filter(|(items, _)| items.contains(&item)).map(|(_, second)| *second).collect();
            assert!(times.len() <= 61, "{item}: {}", times.len());
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 60), "{item}: {times:?}");
            // 5 s for the delivery, 6 s of delay, and twice 10 s until a batch is complete.
            let is_covered = |second: &i64| times.iter().any(|at| (*second..=second + 60 + 31).contains(at));
            let first = if item.ends_with("orders") || item.ends_with("profile") { 1 } else { 0 };
            let mut changed = (first..HOUR).step_by(if target == "tag" { 1 } else { 2 });
            assert_eq!(changed.find(|second| !is_covered(second)), None, "{item}: {times:?}");
        }
        assert!(most_receives <= 2, "a message that waits must not become a dead letter: {most_receives}");
    }
}

#[tokio::test]
async fn share_of_the_budget_is_measured() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[("MONTHLY_ITEM_BUDGET", "8")]);
    worker.handle(&batch(&[changed("1", ANA, "08:59:50"), changed("2", BEN, "08:59:50")])).await;
    worker.handle(&batch(&[changed("3", "eva", "08:59:50")])).await;
    assert_eq!(stack.account.measurements("InvalidationBudgetUsed"), [25.0, 37.5]);
    let stack = test_stack().await;
    stack
        .cache_invalidation(&[("MONTHLY_ITEM_BUDGET", "0")])
        .handle(&batch(&[changed("1", ANA, "08:59:50")]))
        .await;
    assert_eq!(stack.account.measurements("InvalidationBudgetUsed"), [] as [f64; 0]);
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
    let profile = batch(&[of("2", "profile", "08:59:40")]);
    assert_eq!(worker.handle(&profile).await, [] as [&str; 0]);
    assert_eq!(worker.handle(&profile).await, [] as [&str; 0]);
    let mark = stack.item(&format!("CACHE#{ANA}"), "CACHE").await;
    assert_eq!(mark["views"], json!({"dashboard": 1_772_441_999_000_i64, "profile": 1_772_441_999_000_i64}));
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
    let worker = stack.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3"), LONG_LIFETIME]);
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
    let worker = stack.cache_invalidation(&[("PURGE_ALL_THRESHOLD", "3"), LONG_LIFETIME]);
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
    assert_eq!(stack.account.counts("InvalidationsDeferred"), [("purge_all".to_owned(), 1000)].into());
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

/// A change that is claimed to be a suspension, a reinstatement or an erasure.
fn claimed(id: &str, reason: &str, sub: &str, at: &str) -> Value {
    let views = ["dashboard", "orders", "profile"];
    let changed_at = format!("2026-03-02T{at}Z");
    event("user.data_changed", id, sub, json!({"views": views, "changed_at": changed_at, "reason": reason}))
}

/// The budget is spent, and the user's pages have just been invalidated.
async fn stack_with_a_spent_budget(target: &str) -> (TestStack, CacheInvalidation) {
    let stack = test_stack().await;
    let items = if target == "tag" { "1" } else { "2" };
    let worker = stack.cache_invalidation(&[("INVALIDATION_TARGET", target), ("MONTHLY_ITEM_BUDGET", items)]);
    worker.handle(&batch(&[changed("0", ANA, "08:59:40")])).await;
    assert_eq!(invalidations(&stack).len(), 1);
    (stack, worker)
}

async fn suspend(stack: &TestStack, sub: &str, at: jiff::Timestamp) {
    let suspension = json!({"at": at.as_millisecond(), "reason": "spam", "by": "ben"});
    stack.put(&format!("SUSPENSION#{sub}"), "SUSPENSION", suspension).await;
}

async fn erase(stack: &TestStack, sub: &str, at: jiff::Timestamp) {
    stack.put(&format!("USER#{sub}"), "STATS", json!({"version": 2, "erasedAt": at.as_millisecond()})).await;
}

#[tokio::test]
async fn suspension_and_erasure_are_invalidated_with_a_spent_budget_and_within_the_interval() {
    for target in ["tag", "path"] {
        for reason in ["suspended", "reinstated", "erased"] {
            let (stack, worker) = stack_with_a_spent_budget(target).await;
            stack.account.time.advance(5);
            // The clock of the operator is five minutes behind or ahead.
            let minutes = if reason == "suspended" { -5 } else { 5 };
            let at = shared::time::plus_seconds(stack.account.time.now(), 60 * minutes);
            match reason {
                "erased" => erase(&stack, ANA, at).await,
                _ => suspend(&stack, ANA, at).await,
            }
            let suspended = batch(&[claimed("1", reason, ANA, "09:00:00"), changed("2", ANA, "09:00:00")]);
            for _ in 0..2 {
                assert_eq!(worker.handle(&suspended).await, [] as [&str; 0], "{reason}");
            }
            let expected: Vec<String> = match target {
                "tag" => vec![format!("#user:{ANA}")],
                _ => ["dashboard", "orders", "profile"].map(|view| format!("/users/{ANA}/{view}")).into(),
            };
            assert_eq!(&invalidations(&stack)[1..], std::slice::from_ref(&expected), "{reason}");
            let items = if target == "tag" { 1 } else { 2 };
            assert_eq!(spent(&stack).await, (json!(items + expected.len()), json!(2)), "booked");
        }
    }
}

#[tokio::test]
async fn one_suspension_causes_one_invalidation_beyond_the_budget_however_often_it_is_claimed() {
    for target in ["tag", "path"] {
        let (stack, worker) = stack_with_a_spent_budget(target).await;
        suspend(&stack, ANA, stack.account.time.now()).await;
        for minute in 0..60 {
            let id = format!("forged-{minute}");
            let forged = batch(&[claimed(&id, "suspended", ANA, &format!("09:{minute:02}:02"))]);
            let forged = with_time(forged, stack.account.time.now());
            for _ in 0..2 {
                worker.handle(&forged).await;
            }
            stack.account.time.advance(60);
        }
        assert_eq!(invalidations(&stack).len(), 2, "{target}: one for the budget, one for the suspension");
        // The next suspension is another one.
        suspend(&stack, ANA, stack.account.time.now()).await;
        let next =
            with_time(batch(&[claimed("next", "suspended", ANA, "10:00:00")]), stack.account.time.now());
        assert_eq!(worker.handle(&next).await, [] as [&str; 0]);
        assert_eq!(invalidations(&stack).len(), 3, "{target}");
    }
}

/// The batch, sent at a time.
fn with_time(mut event: SqsEvent, at: jiff::Timestamp) -> SqsEvent {
    for record in &mut event.records {
        record.attributes.insert("SentTimestamp".to_owned(), at.as_millisecond().to_string());
    }
    event
}

#[tokio::test]
async fn claim_that_the_table_does_not_confirm_is_an_ordinary_change() {
    const DAYS: i64 = 24 * 3_600;
    for target in ["tag", "path"] {
        let (stack, worker) = stack_with_a_spent_budget(target).await;
        let now = stack.account.time.now();
        // Ben was suspended two days ago: no page from before that is in the cache. Eva's suspension
        // is damaged.
        suspend(&stack, BEN, shared::time::minus_seconds(now, 2 * DAYS)).await;
        stack.put("SUSPENSION#eva", "SUSPENSION", json!({"at": now.to_string()})).await;
        stack.put(&format!("USER#{ANA}"), "STATS", json!({"version": 2})).await;
        let claims = ["suspended", "reinstated", "erased"].map(|reason| {
            [ANA, BEN, "eva"].map(|sub| claimed(&format!("{reason}-{sub}"), reason, sub, "09:00:00"))
        });
        let failed = worker.handle(&batch(&claims.concat())).await;
        assert_eq!(failed, ["m0", "m3", "m6"], "{target}: Ana's changes wait for the interval");
        assert_eq!(invalidations(&stack).len(), 1, "{target}");
        assert_eq!(stack.account.counts("BudgetExhausted"), [("expire".to_owned(), 1)].into(), "{target}");
    }
}

#[tokio::test]
async fn claim_that_cannot_be_checked_is_retried_and_other_changes_are_invalidated() {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&[]);
    suspend(&stack, ANA, stack.account.time.now()).await;
    stack.account.faults.inject("BatchGetItem", Fault::Error("AccessDeniedException"), 3);
    let changes = batch(&[claimed("1", "suspended", ANA, "08:59:50"), changed("2", BEN, "08:59:50")]);
    assert_eq!(worker.handle(&changes).await, ["m0"]);
    assert_eq!(invalidations(&stack), [[format!("#user:{BEN}")]]);
    stack.account.faults.clear();
    assert_eq!(worker.handle(&changes).await, [] as [&str; 0]);
    assert_eq!(invalidations(&stack)[1..], [[format!("#user:{ANA}")]]);
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

/// A change with more fields of `data`.
fn changed_with(id: &str, at: &str, fields: Value) -> Value {
    let mut body = changed(id, ANA, at);
    body["data"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// The number of invalidations after two deliveries of a change at 08:59:50, and the reasons of skips.
async fn outcome(fields: Value, variables: &[(&str, &str)]) -> (usize, Vec<String>) {
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(variables);
    let change = batch(&[changed_with("1", "08:59:50", fields)]);
    for _ in 0..2 {
        assert_eq!(worker.handle(&change).await, [] as [&str; 0]);
    }
    let skipped = stack.account.counts("InvalidationsSkipped");
    (invalidations(&stack).len(), skipped.into_keys().collect())
}

#[tokio::test]
async fn change_whose_pages_have_expired_is_skipped_unless_it_is_urgent() {
    let expired = vec!["expired".to_owned()];
    let covered = vec!["already_invalidated".to_owned()];
    let expire = |second: &str| json!({"pages_expire_at": format!("2026-03-02T08:59:{second}Z")});
    // Clocks and whole seconds make a difference of up to two seconds.
    assert_eq!(outcome(expire("57.999"), &[]).await, (0, expired.clone()));
    assert_eq!(outcome(expire("58"), &[]).await, (1, covered.clone()));
    assert_eq!(outcome(json!({}), &[]).await, (1, covered.clone()), "a notice of an earlier release");
    for reason in ["policy", "permission_revoked", "suspended", "reinstated", "erased"] {
        let mut urgent = expire("51");
        urgent["reason"] = reason.into();
        assert_eq!(outcome(urgent, &[]).await, (1, covered.clone()), "{reason}");
    }
    // Whatever a notice says, no page outlives the longest lifetime.
    let three_seconds = [("MAX_CACHE_LIFETIME_SECONDS", "3")];
    let later = json!({"pages_expire_at": "2026-03-02T09:30:00Z", "reason": "policy"});
    let stack = test_stack().await;
    let worker = stack.cache_invalidation(&three_seconds);
    stack.account.time.advance(1);
    // A minute more, because a clock can be wrong.
    worker.handle(&batch(&[changed_with("1", "08:58:50", later)])).await;
    assert_eq!(stack.account.counts("InvalidationsSkipped"), [("expired".to_owned(), 1)].into());
}

#[tokio::test]
async fn change_with_the_reason_policy_ignores_interval_and_budget() {
    for target in ["tag", "path"] {
        let (stack, worker) = stack_with_a_spent_budget(target).await;
        stack.account.time.advance(5);
        let changes = [
            changed_with("1", "09:00:00", json!({"reason": "policy"})),
            changed_with("2", "09:00:00", json!({})),
            changed("3", BEN, "09:00:00"),
        ];
        for _ in 0..2 {
            assert_eq!(worker.handle(&batch(&changes)).await, [] as [&str; 0], "{target}");
        }
        let calls = invalidations(&stack);
        assert_eq!(calls.len(), 2, "{target}: one within the budget, one beyond it for Ana: {calls:?}");
        assert!(calls[1].iter().all(|item| item.contains(ANA)), "{calls:?}");
    }
}

/// A page that the origin rendered right before a change can reach CloudFront five seconds later, after
/// an invalidation for an earlier change.
#[tokio::test]
async fn invalidation_within_the_time_of_a_render_does_not_cover_an_urgent_change() {
    for (second, is_urgent, is_covered) in [
        ("08:59:55", true, true),
        ("08:59:55.001", true, false),
        ("08:59:59", true, false),
        ("08:59:59", false, true),
    ] {
        let stack = test_stack().await;
        let worker = stack.cache_invalidation(&[]);
        worker.handle(&batch(&[changed("1", ANA, "08:59:45")])).await;
        stack.account.time.advance(4);
        let fields = if is_urgent { json!({"reason": "policy"}) } else { json!({}) };
        let later = batch(&[changed_with("2", second, fields)]);
        for _ in 0..2 {
            assert_eq!(worker.handle(&later).await, [] as [&str; 0], "{second}");
        }
        assert_eq!(invalidations(&stack).len(), if is_covered { 1 } else { 2 }, "{second} {is_urgent}");
    }
}
