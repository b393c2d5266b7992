//! Orders that a user shares with another one.

use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::time::plus;

use super::{ADMIN_GROUPS, BEN, CARLA, admin_get, calls, get, problem, put_ana};
use crate::support::{ANA, TestStack, test_stack};

/// A GRANT item for Ben, with which he may read Ana's orders, after these changes.
async fn put_grant(stack: &TestStack, changes: Value) {
    let mut grant = json!({"permissions": ["read"], "grantedBy": ANA, "changedAt": 1_772_442_000_000_i64, "eventKey": "EVENT#/shop#1"});
    for (name, value) in changes.as_object().unwrap() {
        grant[name] = value.clone();
    }
    stack.put(&format!("GRANT#{BEN}"), &format!("GRANT#orders/{ANA}"), grant).await;
    stack.account.calls.clear_operations();
}

fn path() -> String {
    format!("/api/orders/shared/{ANA}")
}

#[tokio::test]
async fn holder_of_a_grant_reads_the_orders_and_the_answer_has_the_tags_of_both() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    put_grant(&stack, json!({})).await;
    let answer = get(BEN, &path()).to(&stack).await;
    assert_eq!(calls(&stack), ["BatchGetItem", "Query"]);
    assert_eq!(answer.json(), get(ANA, "/api/orders").to(&stack).await.json());
    assert_eq!(answer.headers["Cache-Tag"], format!("user:{BEN},user:{ANA},users"));
    assert!(answer.headers["Cache-Control"].starts_with("max-age=0, s-maxage="), "{answer:?}");
    let page = get(BEN, &format!("{}?limit=1", path())).to(&stack).await.json();
    let next = page["next"].as_str().unwrap();
    let rest = get(BEN, &format!("{}?before={next}", path())).to(&stack).await.json();
    assert_eq!((page["orders"].as_array().unwrap().len(), rest["orders"].as_array().unwrap().len()), (1, 2));
}

#[tokio::test]
async fn answer_is_cached_at_most_until_the_end_of_the_grant() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let now = stack.account.time.now().as_millisecond();
    put_grant(&stack, json!({"until": now + 45_500})).await;
    let answer = get(BEN, &path()).to(&stack).await;
    assert_eq!(answer.headers["Cache-Control"], "max-age=0, s-maxage=45, stale-if-error=0");
    let after = |millis| plus(stack.account.time.now(), SignedDuration::from_millis(millis));
    stack.account.time.move_to(after(45_400));
    assert_eq!(get(BEN, &path()).to(&stack).await.headers["Cache-Control"], "no-store");
    stack.account.time.move_to(after(100));
    assert_eq!(get(BEN, &path()).to(&stack).await.problem(), problem(404, "not-found"));
}

/// user-stats sends no notice about an inactive owner. An answer that is still cached then would stay
/// stale.
#[tokio::test]
async fn answer_is_gone_before_its_owner_can_be_inactive() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    put_grant(&stack, json!({})).await;
    // Ana's last token is of 08:09 and valid for an hour. Ben's is valid all the time.
    let cache_control = async |minutes: &str| {
        let time = format!("2026-03-02T09:{minutes}Z").parse().unwrap();
        stack.account.time.move_to(time);
        let variables = [("MAX_CACHE_LIFETIME_SECONDS", "1800")];
        get(BEN, &path()).sent_to(&stack, &variables).await.headers["Cache-Control"].clone()
    };
    assert_eq!(cache_control("00:00").await, "max-age=0, s-maxage=540, stale-if-error=0");
    assert_eq!(cache_control("08:59").await, "max-age=0, s-maxage=1, stale-if-error=0");
    assert_eq!(cache_control("09:00").await, "no-store");
    // Ana's own page does not depend on it.
    let own = get(ANA, "/api/orders").to(&stack).await;
    assert!(own.headers["Cache-Control"].contains("s-maxage"), "{own:?}");
}

#[tokio::test]
async fn orders_that_are_not_shared_look_like_those_of_nobody() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let nobody = get(BEN, "/api/orders/shared/nobody").to(&stack).await;
    let unknown_path = get(BEN, "/api/nothing").to(&stack).await;
    assert_eq!(nobody.problem(), problem(404, "not-found"));
    assert_eq!(nobody, unknown_path);
    calls(&stack);
    let at = 1_772_442_000_000_i64;
    for (case, changes) in [
        ("revoked", json!({"permissions": [], "revokedAt": at})),
        ("another permission", json!({"permissions": ["write"]})),
        ("ended", json!({"until": at - 1})),
        ("unreadable", json!({"permissions": "read"})),
        ("unreadable end", json!({"until": "2027-01-01"})),
    ] {
        put_grant(&stack, changes).await;
        assert_eq!(get(BEN, &path()).to(&stack).await, nobody, "{case}");
        assert_eq!(calls(&stack), ["BatchGetItem"], "{case}: no order is read");
    }
    put_grant(&stack, json!({})).await;
    // A grant is for one holder, one owner and one kind of resource.
    for (sub, path) in [
        (CARLA, path()),
        (BEN, format!("/api/orders/shared/{CARLA}")),
        (BEN, format!("/api/users/{ANA}/orders")),
        (BEN, format!("/api/orders/shared/{}", ANA.to_uppercase())),
        (BEN, format!("/api/orders/shared/%37{}", &ANA[1..])),
        (BEN, format!("/api/orders/shared/{ANA}\u{0}")),
    ] {
        assert_eq!(get(sub, &path).to(&stack).await, nobody, "{path}");
    }
    // The owner's erasure ends it.
    let deleted = [crate::support::event("user.deleted", "d", ANA, json!({}))];
    let user_stats = stack.user_stats(&[("ALLOW_ERASURE_EVENTS", "true")]);
    user_stats.handle_twice(&crate::support::batch(&deleted)).await;
    assert_eq!(get(BEN, &path()).to(&stack).await, nobody);
}

#[tokio::test]
async fn owner_and_administrator_need_no_grant() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let own = get(ANA, "/api/orders").to(&stack).await;
    assert_eq!(get(ANA, &path()).to(&stack).await, own);
    tests::log::take_lines();
    let answer = admin_get(&path()).sent_to(&stack, ADMIN_GROUPS).await;
    assert_eq!((answer.json(), answer.headers["Cache-Control"].as_str()), (own.json(), "no-store"));
    let logged =
        tests::log::take_lines().iter().filter(|line| line.contains("an administrator reads")).count();
    assert_eq!(logged, 1);
}
