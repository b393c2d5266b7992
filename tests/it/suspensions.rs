//! Suspensions in every form that a tool could write, and erasures of suspended users.

use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::result::ConnectorError;
use replay::user::show::UserSummary;
use sandbox::aws::backend::SandboxBackend;
use sandbox::aws::{Answer, AwsBackend, Fault, TABLE, sdk_config};
use serde_json::{Value, json};
use shared::queues::Queue;
use shared::store::{Partition, Store};
use shared::suspension::Suspension;
use shared::time::{Clock, minus_seconds, plus_seconds};
use tests::fixtures;
use triggers::sign_in::DENIED;
use winterbaume_core::MockRequest;

use crate::support::{ANA, TestStack, batch, empty_profile, event, test_stack};

/// The time of the account, in milliseconds.
const NOW: i64 = 1_772_442_000_000;
const DAY: i64 = 24 * 3600 * 1000;

/// A form of the two items that can suspend a user, and what follows from it.
struct Form {
    name: &'static str,
    /// The attribute `isBanned` of PROFILE. `None`: PROFILE has no such attribute.
    is_banned: Option<Value>,
    /// The SUSPENSION item. `None`: there is none.
    suspension: Option<Value>,
    /// The reason of the triggers' decision.
    reason: &'static str,
    /// What an erasure keeps: the flag, and the item.
    kept: (bool, bool),
}

fn forms() -> Vec<Form> {
    const ALLOWED: &str = "not_suspended";
    const SUSPENDED: &str = "suspended";
    const UNREADABLE: &str = "unreadable_suspension";
    let mut forms = vec![Form {
        name: "nothing",
        is_banned: None,
        suspension: None,
        reason: ALLOWED,
        kept: (false, false),
    }];
    for (name, is_banned, reason) in [
        ("flag false", json!(false), ALLOWED),
        ("flag true", json!(true), SUSPENDED),
        ("flag is a string", json!("true"), UNREADABLE),
        ("flag is the string false", json!("false"), UNREADABLE),
        ("flag is a number", json!(0), UNREADABLE),
        ("flag is null", json!(null), UNREADABLE),
        ("flag is a list", json!([true]), UNREADABLE),
        ("flag is a map", json!({"BOOL": true}), UNREADABLE),
    ] {
        let kept = (reason != ALLOWED, false);
        forms.push(Form { name, is_banned: Some(is_banned), suspension: None, reason, kept });
    }
    let (at, later) = (NOW - DAY, NOW + DAY);
    let of = |change: Value| {
        let mut item = json!({"reason": "spam", "by": "ben", "at": at, "until": later});
        for (name, value) in change.as_object().unwrap() {
            item[name] = value.clone();
        }
        item
    };
    for (name, suspension, reason) in [
        ("in force", of(json!({})), SUSPENDED),
        ("without an end", json!({"reason": "spam", "by": "ben", "at": at}), SUSPENDED),
        ("over", of(json!({"until": NOW - 1})), ALLOWED),
        ("ends now", of(json!({"until": NOW})), ALLOWED),
        ("reinstated", of(json!({"until": at})), ALLOWED),
        ("reinstated before the decision", of(json!({"until": at - 1})), ALLOWED),
        ("ends beyond the calendar", of(json!({"until": i64::MAX})), SUSPENDED),
        ("without reason and operator", json!({"at": at, "until": later}), SUSPENDED),
        ("over, without reason and operator", json!({"at": at, "until": NOW - 1}), ALLOWED),
        ("in force, of a newer release", of(json!({"ticket": {"id": 7}})), SUSPENDED),
        ("in force, expired by mistake", of(json!({"expiresAt": 1})), SUSPENDED),
        ("only its keys", json!({}), UNREADABLE),
        ("without at", json!({"reason": "spam", "by": "ben", "until": NOW - 1}), UNREADABLE),
        ("times in seconds", of(json!({"at": at / 1000, "until": later / 1000})), UNREADABLE),
        ("times in seconds, over", of(json!({"at": at / 1000, "until": NOW / 1000 - 1})), UNREADABLE),
        ("at in seconds", of(json!({"at": at / 1000})), UNREADABLE),
        ("until in seconds", of(json!({"until": later / 1000})), UNREADABLE),
        ("until is zero", of(json!({"until": 0})), UNREADABLE),
        ("until is negative", of(json!({"until": -1})), UNREADABLE),
        ("at in microseconds", of(json!({"at": at * 1000})), UNREADABLE),
        ("at with a fraction", of(json!({"at": 1_772_355_600_000.5})), UNREADABLE),
        ("the old form, a map", json!({"suspension": of(json!({}))}), UNREADABLE),
        (
            "every field of a wrong type",
            json!({"reason": 1, "by": [], "at": "2026-03-01", "until": {}, "expiresAt": true}),
            UNREADABLE,
        ),
        ("over, but at is a string", of(json!({"at": at.to_string(), "until": NOW - 1})), UNREADABLE),
        ("until is a string", of(json!({"until": (NOW - 1).to_string()})), UNREADABLE),
        ("until is a date", of(json!({"until": "2026-03-01T00:00:00Z"})), UNREADABLE),
        ("until is null", of(json!({"until": null})), UNREADABLE),
        ("until is a flag", of(json!({"until": false})), UNREADABLE),
        ("over, but reason is a number", of(json!({"reason": 7, "until": NOW - 1})), UNREADABLE),
        ("over, but by is null", of(json!({"by": null, "until": NOW - 1})), UNREADABLE),
        ("at in the future, and reason is a number", of(json!({"at": later, "reason": 7})), UNREADABLE),
    ] {
        let kept = (false, reason != ALLOWED);
        forms.push(Form { name, is_banned: Some(json!(false)), suspension: Some(suspension), reason, kept });
    }
    let (over, in_seconds) = (of(json!({"until": NOW - 1})), of(json!({"at": at / 1000})));
    for (name, is_banned, suspension, reason, kept) in [
        ("over, flag of another tool", json!(true), over.clone(), SUSPENDED, (true, false)),
        ("over, unreadable flag", json!("yes"), over, UNREADABLE, (true, false)),
        ("flag, and an unreadable item", json!(true), in_seconds.clone(), SUSPENDED, (true, true)),
        ("both unreadable", json!(1), in_seconds, UNREADABLE, (true, true)),
        ("unreadable flag, and in force", json!(1), of(json!({})), SUSPENDED, (true, true)),
    ] {
        forms.push(Form { name, is_banned: Some(is_banned), suspension: Some(suspension), reason, kept });
    }
    forms
}

impl Form {
    /// An account in which Ana has a profile and this form of a suspension.
    async fn set_up(&self) -> TestStack {
        let stack = test_stack().await;
        let mut profile = json!({"cognitoId": ANA, "username": ANA, "email": "ana@example.com", "newer": 7});
        if let Some(flag) = &self.is_banned {
            profile["isBanned"] = flag.clone();
        }
        stack.put(&format!("USER#{ANA}"), "PROFILE", profile).await;
        if let Some(item) = &self.suspension {
            stack.put_suspension(ANA, item.clone()).await;
        }
        stack
    }

    /// Both triggers decide as expected, and count it.
    async fn assert_decision(&self, stack: &TestStack, when: &str) {
        for function in ["pre-authentication", "pre-token-generation"] {
            let case = format!("{}, {function} {when}", self.name);
            stack.sent().await;
            let before = stack.account.counts("SignInsDenied").get(self.reason).copied().unwrap_or_default();
            let answer =
                stack.invoke(function, &[], fixtures::event(&format!("{function}/authentication"))).await;
            let after = stack.account.counts("SignInsDenied").get(self.reason).copied().unwrap_or_default();
            if self.reason == "not_suspended" {
                assert!(answer.is_ok(), "{case}");
                continue;
            }
            assert_eq!(answer, Err(DENIED), "{case}");
            assert_eq!(after, before + 1, "{case}");
            let sent = stack.sent().await;
            assert_eq!(sent[0]["data"]["reason"], self.reason, "{case}");
        }
        assert_eq!(stack.account.count("StoreFailures"), 0, "{}: the table answered", self.name);
    }

    /// The attributes of PROFILE that an erasure must leave.
    fn kept_profile(&self) -> Value {
        match &self.is_banned {
            Some(flag) if self.kept.0 => json!({ "isBanned": flag }),
            _ => Value::Null,
        }
    }
}

/// The one rule, for each form: the triggers' decision, the text of `replay user show`, and what the
/// two kinds of erasures keep.
#[tokio::test]
async fn triggers_show_and_erasure_agree_on_every_form_of_a_suspension() {
    for form in forms() {
        let case = form.name;
        let stack = form.set_up().await;
        form.assert_decision(&stack, "at first").await;

        let now = stack.account.time.now();
        let status = UserSummary::read(&stack.store(), ANA, now).await.unwrap().status;
        assert_eq!(status.starts_with("suspended"), form.reason != "not_suspended", "{case}: {status}");
        let unreadable = form.reason == "unreadable_suspension";
        assert_eq!(status.contains("unreadable"), unreadable, "{case}: {status}");

        // user-stats has no access to SUSPENSION.
        let partition = format!("SUSPENSION#{ANA}");
        let before = stack.item(&partition, "SUSPENSION").await;
        let worker = stack.user_stats(&[("ALLOW_ERASURE_EVENTS", "true")]);
        worker.handle_twice(&batch(&[event("user.deleted", "d", ANA, json!({}))])).await;
        assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await, form.kept_profile(), "{case}");
        assert_eq!(stack.item(&partition, "SUSPENSION").await, before, "{case}");
        form.assert_decision(&stack, "after user-stats erased the user").await;

        let stack = form.set_up().await;
        let queue = Queue::new(stack.account.sqs(), stack.account.cache_invalidations.url.clone());
        let clock = Clock::from_fn(move || now);
        for _ in 0..2 {
            replay::user::erase::erase(&stack.store(), &queue, ANA, &clock).await.unwrap();
        }
        assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await, form.kept_profile(), "{case}");
        let expected = form.suspension.as_ref().filter(|_| form.kept.1).map_or(Value::Null, |_| before);
        assert_eq!(stack.item(&partition, "SUSPENSION").await, expected, "{case}");
        form.assert_decision(&stack, "after replay erased the user").await;
    }
}

#[tokio::test]
async fn every_unreadable_form_is_replaced_by_the_next_decision() {
    for form in forms() {
        let stack = form.set_up().await;
        let at = stack.account.time.now();
        let suspension = |until| Suspension { reason: "again".into(), until, by: "ben".into(), at };
        let decision = suspension(Some(plus_seconds(at, 60)));
        assert!(stack.store().write_suspension(ANA, &decision).await.unwrap(), "{}", form.name);
        let item = stack.item(&format!("SUSPENSION#{ANA}"), "SUSPENSION").await;
        let expected = json!({
            "reason": "again", "by": "ben", "at": NOW, "until": NOW + 60_000,
            "expiresAt": NOW / 1000 + 60 + 365 * 24 * 3600,
        });
        assert_eq!(item, expected, "{}", form.name);
        let status = stack.store().read_sign_in_state(ANA).await.unwrap().suspension;
        assert!(status.denial(at).is_some() && status.unreadable().is_none(), "{}", form.name);
        assert!(!stack.store().write_suspension(ANA, &decision).await.unwrap(), "{}", form.name);
    }
}

#[tokio::test]
async fn flag_follows_the_decision_and_does_not_look_like_a_profile() {
    let stack = test_stack().await;
    let now = stack.account.time.now();
    for (second, until, is_banned) in
        [(1, None, true), (2, Some(plus_seconds(now, 60)), false), (3, None, true)]
    {
        let at = plus_seconds(now, second);
        let suspension = Suspension { reason: "spam".into(), until, by: "ben".into(), at };
        assert!(stack.store().write_suspension(ANA, &suspension).await.unwrap());
        let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
        assert_eq!(profile, json!({ "isBanned": is_banned }));
    }
    let state = stack.store().read_sign_in_state(ANA).await.unwrap();
    assert!(!state.has_profile && state.suspension.denial(now).is_some());
    let at = plus_seconds(now, 4);
    let reinstatement = Suspension { reason: "settled".into(), until: Some(at), by: "ben".into(), at };
    assert!(stack.store().write_suspension(ANA, &reinstatement).await.unwrap());
    // The first token publishes the confirmation, and user-stats writes the profile from it.
    stack.account.time.advance(5);
    stack.response("pre-token-generation", &[], fixtures::event("pre-token-generation/authentication")).await;
    let sent = stack.sent().await;
    stack.user_stats(&[]).handle_twice(&batch(&sent)).await;
    let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!((&profile["cognitoId"], &profile["isBanned"]), (&json!(ANA), &json!(false)));
}

#[tokio::test]
async fn suspensions_of_many_users_are_read_in_one_call() {
    let stack = test_stack().await;
    stack.put_suspension("ana", json!({"at": NOW})).await;
    stack.put_profile("ben", "isBanned", true.into()).await;
    stack.account.calls.clear_operations();
    let read = stack.store().read_suspensions(&["ana", "ben", "carla", "ana"]).await.unwrap();
    assert_eq!(stack.account.calls.operations(), ["BatchGetItem"]);
    let mut subs: Vec<&String> = read.keys().collect();
    subs.sort();
    assert_eq!(subs, ["ana", "ben"]);
    assert!(read.values().all(|status| status.denial(stack.account.time.now()).is_some()));
}

/// Performs `first` before the next request of `operation`, as a concurrent writer would.
#[derive(Clone)]
struct Concurrent {
    backend: SandboxBackend,
    operation: &'static str,
    first: Arc<Mutex<Option<(Store, Suspension)>>>,
}

impl std::fmt::Debug for Concurrent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Concurrent")
    }
}

impl AwsBackend for Concurrent {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let is_awaited = target.is_some_and(|target| target.ends_with(self.operation));
        let first = if is_awaited { self.first.lock().unwrap().take() } else { None };
        if let Some((store, suspension)) = first {
            assert!(store.write_suspension(ANA, &suspension).await.unwrap());
        }
        self.backend.answer(request).await
    }
}

#[tokio::test]
async fn suspension_that_is_written_during_an_erasure_survives() {
    let stack = test_stack().await;
    let now = stack.account.time.now();
    let suspension = |at, until| Suspension { reason: "spam".into(), until, by: "ben".into(), at };
    stack.store().write_profile(&empty_profile(ANA, now)).await.unwrap();
    let ended = suspension(minus_seconds(now, 20), Some(minus_seconds(now, 10)));
    assert!(stack.store().write_suspension(ANA, &ended).await.unwrap());

    // The first DeleteItem of both is refused, because the item is not as it was read.
    let store_with = |first: Suspension| {
        let first = Arc::new(Mutex::new(Some((stack.store(), first))));
        let backend = stack.account.backend().clone();
        let concurrent = Concurrent { backend, operation: ".DeleteItem", first };
        Store::new(aws_sdk_dynamodb::Client::new(&sdk_config(concurrent)), TABLE)
    };
    let new = suspension(minus_seconds(now, 5), None);
    store_with(new).delete_profile(&Partition::User(ANA.into())).await.unwrap();
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await, json!({"isBanned": true}));

    let ended = suspension(minus_seconds(now, 4), Some(minus_seconds(now, 3)));
    assert!(stack.store().write_suspension(ANA, &ended).await.unwrap());
    let new = suspension(minus_seconds(now, 2), None);
    store_with(new).delete_ended_suspension(ANA, now).await.unwrap();
    let item = stack.item(&format!("SUSPENSION#{ANA}"), "SUSPENSION").await;
    assert_eq!(item["at"], NOW - 2_000);
    let answer =
        stack.invoke("pre-authentication", &[], fixtures::event("pre-authentication/authentication")).await;
    assert_eq!(answer, Err(DENIED));
}

#[tokio::test]
async fn decision_waits_for_a_conflicting_transaction() {
    let stack = test_stack().await;
    let at = stack.account.time.now();
    let suspension = Suspension { reason: "spam".into(), until: None, by: "ben".into(), at };
    let conflict = Fault::Error("TransactionConflictException");
    stack.account.faults.inject("TransactWriteItems", conflict, 1);
    assert!(stack.store().write_suspension(ANA, &suspension).await.unwrap());
    assert_eq!(stack.item(&format!("SUSPENSION#{ANA}"), "SUSPENSION").await["at"], NOW);
}

/// DynamoDB may return only a part of a BatchGetItem.
#[tokio::test(start_paused = true)]
async fn partial_read_is_repeated_and_ends_as_a_store_failure() {
    for (times, setting, may_sign_in) in [(1, "deny", true), (2, "deny", false), (2, "allow", true)] {
        let stack = test_stack().await;
        stack.account.faults.inject("BatchGetItem", Fault::Unprocessed, times);
        let begun = tokio::time::Instant::now();
        let answer = stack
            .invoke(
                "pre-authentication",
                &[("ON_STORE_ERROR", setting)],
                fixtures::event("pre-authentication/authentication"),
            )
            .await;
        assert!(begun.elapsed() < std::time::Duration::from_millis(1_200), "{:?}", begun.elapsed());
        assert_eq!(answer.is_ok(), may_sign_in, "{times} {setting}");
        assert_eq!(stack.account.count("StoreFailures"), u64::from(times == 2), "{times} {setting}");
    }
    let stack = test_stack().await;
    stack.put_suspension(ANA, json!({"at": NOW})).await;
    stack.account.faults.inject("BatchGetItem", Fault::Unprocessed, 1);
    let answer =
        stack.invoke("pre-authentication", &[], fixtures::event("pre-authentication/authentication")).await;
    assert_eq!(answer, Err(DENIED), "the repeated read finds the suspension");
}
