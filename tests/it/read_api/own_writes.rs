//! A client reads its own write with `after`, and the lifetime of a page follows from the age of its data.

use serde_json::{Value, json};
use shared::events::EventReference;
use shared::time::plus_seconds;

use super::{ADMIN_GROUPS, Answer, BEN, admin_get, calls, get, post, problem, put_ana};
use crate::support::{ANA, TestStack, Variables, batch, event, order, test_stack};

const ADAPTIVE: Variables<'static> = &[("ORIGIN_LIFETIME", "adaptive")];
const VIEWS: [&str; 3] = ["/api/dashboard", "/api/orders", "/api/profile"];

fn after(source: &str, id: &str) -> String {
    format!("after={}", EventReference::new(source, id))
}

/// The source of an event that a test publishes.
fn source_of(event: &Value) -> &str {
    event["source"].as_str().unwrap()
}

async fn read(stack: &TestStack, path: &str) -> Answer {
    get(ANA, path).sent_to(stack, ADAPTIVE).await
}

/// The answer says that a change is pending, and no cache keeps it. Otherwise it is `expected`.
fn assert_is_pending(answer: &Answer, expected: &Answer) {
    let mut body = expected.json();
    body["isChangePending"] = true.into();
    assert_eq!((answer.status, answer.json()), (200, body));
    let headers: Vec<(&str, &str)> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let pending = [
        ("Cache-Control", "no-store"),
        ("Content-Type", "application/json"),
        ("Retry-After", "1"),
        ("X-Content-Type-Options", "nosniff"),
    ];
    assert_eq!(headers, pending);
}

#[tokio::test]
async fn answer_is_pending_until_the_event_is_committed_and_then_cacheable() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let placed = order("1003", ANA, "5.00");
    let after = after(source_of(&placed), placed["id"].as_str().unwrap());
    for view in VIEWS {
        let before = read(&stack, view).await;
        calls(&stack);
        assert_is_pending(&read(&stack, &format!("{view}?{after}")).await, &before);
        let expected: &[&str] =
            if view == "/api/profile" { &["BatchGetItem"] } else { &["BatchGetItem", "Query"] };
        assert_eq!(calls(&stack), expected, "{view}");
    }
    stack.user_stats(&[]).handle_twice(&batch(&[placed])).await;
    for view in VIEWS {
        let answer = read(&stack, &format!("{view}?{after}")).await;
        assert_eq!(answer, read(&stack, view).await);
        assert_eq!(answer.headers["Cache-Control"], "max-age=0, s-maxage=5, stale-if-error=0", "{view}");
        assert!(!answer.text.contains("isChangePending"), "{view}");
    }
    let orders = read(&stack, &format!("/api/orders?limit=1&{after}")).await.json();
    assert_eq!(orders["orders"][0]["orderId"], "1003");
    let head = get(ANA, &format!("/api/orders?{after}")).method("HEAD").sent_to(&stack, ADAPTIVE).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

/// DynamoDB reads the items of a batch one by one. The stored event can be newer than STATS.
#[tokio::test]
async fn stored_event_that_statistics_do_not_include_is_pending() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let version = stack.item(&format!("USER#{ANA}"), "STATS").await["version"].as_u64().unwrap();
    for (stored, is_pending) in [(version, false), (version + 1, true)] {
        stack.put(&format!("USER#{ANA}"), "EVENT#/shop#1", json!({"version": stored})).await;
        let answer = read(&stack, &format!("/api/dashboard?{}", after("/shop", "1"))).await;
        assert_eq!(answer.json()["isChangePending"] == true, is_pending, "{stored}");
        assert_eq!(answer.headers["Cache-Control"] == "no-store", is_pending, "{stored}");
    }
}

#[tokio::test]
async fn event_of_another_user_looks_like_one_that_does_not_exist() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let of_ben = order("2001", BEN, "5.00");
    let (source, id) = (source_of(&of_ben).to_owned(), of_ben["id"].as_str().unwrap().to_owned());
    stack.user_stats(&[]).handle_twice(&batch(&[of_ben])).await;
    let before = read(&stack, "/api/dashboard").await;
    for (source, id) in [
        (source.as_str(), id.as_str()),
        ("/shop", "nothing"),
        // Other items of the caller are no events.
        ("STATS", "1"),
        ("..", "../STATS"),
    ] {
        assert_is_pending(&read(&stack, &format!("/api/dashboard?{}", after(source, id))).await, &before);
    }
    stack.put(&format!("USER#{ANA}"), "ATTEMPT#/shop#7", json!({})).await;
    assert_is_pending(&read(&stack, &format!("/api/dashboard?{}", after("/shop", "7"))).await, &before);
}

#[tokio::test]
async fn value_with_another_spelling_or_on_another_path_is_refused_without_a_call() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let good = after("/shop", "1");
    let value = good.strip_prefix("after=").unwrap();
    for query in [
        "after".to_owned(),
        "after=".into(),
        format!("{good}&{good}"),
        format!("{good}&{}", after("/shop", "2")),
        format!("{good}="),
        format!("{good}%3D"),
        format!("after=%{value}"),
        format!("After={value}"),
        "after=/shop%231".into(),
        "after=/shop#1".into(),
        format!("after={}", "A".repeat(2_000)),
    ] {
        for view in VIEWS {
            let answer = read(&stack, &format!("{view}?{query}")).await;
            assert_eq!(answer.problem(), problem(400, "invalid-query"), "{view}?{query:.60}");
        }
    }
    for call in [
        get(ANA, &format!("/api/orders/shared/{BEN}?{good}")),
        get(ANA, &format!("/api/config?{good}")),
        post(ANA, &format!("/api/notifications/n-7/read?{good}")),
        admin_get(&format!("/api/users/{ANA}/dashboard?{good}")),
        admin_get(&format!("/api/users/{ANA}/orders?{good}")),
        admin_get(&format!("/api/users/{ANA}/profile?{good}")),
    ] {
        assert_eq!(call.sent_to(&stack, ADMIN_GROUPS).await.problem(), problem(400, "invalid-query"));
    }
    assert_eq!(calls(&stack), [] as [&str; 0]);
}

#[tokio::test]
async fn lifetime_is_a_tenth_of_the_age_of_the_data() {
    let stack = test_stack().await;
    let seconds = async |variables: Variables<'_>| {
        let answer = get(ANA, "/api/orders").sent_to(&stack, variables).await;
        let cache_control = answer.headers["Cache-Control"].clone();
        let seconds = cache_control.split("s-maxage=").nth(1).and_then(|rest| rest.split(',').next());
        seconds.and_then(|seconds| seconds.parse::<u32>().ok()).unwrap_or_else(|| panic!("{cache_control}"))
    };
    assert_eq!(seconds(ADAPTIVE).await, 5, "no change is known");
    stack.user_stats(&[]).handle_twice(&batch(&[order("1", ANA, "5.00")])).await;
    let changed = stack.account.time.now();
    for (age, expected) in [(0, 5), (59, 5), (60, 6), (300, 30), (600, 60), (900, 60)] {
        stack.account.time.move_to(plus_seconds(changed, age));
        let token = [("MAX_CACHE_LIFETIME_SECONDS", "60"), ("ORIGIN_LIFETIME", "adaptive")];
        assert_eq!(seconds(&token).await, expected, "{age}");
    }
    let settings = [
        ("ORIGIN_LIFETIME", "adaptive"),
        ("CACHE_LIFETIME_DIVISOR", "2"),
        ("MIN_CACHE_LIFETIME_SECONDS", "120"),
        ("MAX_CACHE_LIFETIME_SECONDS", "300"),
    ];
    assert_eq!(seconds(&settings).await, 300);
    // A user with changes every second.
    let every_second =
        (0..3).map(|id| event("activity.recorded", &id.to_string(), ANA, json!({"description": "a"})));
    stack.user_stats(&[]).handle_twice(&batch(&every_second.collect::<Vec<_>>())).await;
    assert_eq!(seconds(ADAPTIVE).await, 5);
    // The clock of the worker was ahead by a year.
    let ahead = stack.account.time.now().as_millisecond() + 31_536_000_000;
    let mut statistics = stack.item(&format!("USER#{ANA}"), "STATS").await;
    statistics["lastChangedAt"] = ahead.into();
    stack.put(&format!("USER#{ANA}"), "STATS", statistics).await;
    assert_eq!(seconds(ADAPTIVE).await, 5);
}
