//! The answer of each route, and its headers.

use serde_json::{Value, json};
use shared::suspension::Suspension;
use tests::fixtures;

use super::{ADMIN_GROUPS, Answer, BEN, CARLA, Call, admin_get, calls, get, post, problem, put_ana};
use crate::support::{ANA, TestStack, event, order, test_stack};

#[tokio::test]
async fn dashboard_shows_the_user_the_figures_the_activities_and_the_unread_notifications() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let answer = get(ANA, "/api/dashboard").to(&stack).await;
    let mut dashboard = answer.json();
    assert_eq!(dashboard["lastChangedAt"], "2026-03-02T09:00:00.000Z");
    dashboard.as_object_mut().unwrap().remove("lastChangedAt");
    let expected = json!({
        "user": {"sub": ANA, "name": "Ana Example", "username": "ana", "createdAt": "2026-03-02T08:01:00.000Z"},
        "statistics": {
            "orders": 2, "ordersCancelled": 1, "spent": [{"currency": "EUR", "amount": "49.90"}],
            "activities": 1, "passwordResets": 0, "unreadNotifications": 1,
            "confirmedAt": "2026-03-02T08:01:00.000Z",
        },
        "activities": [
            {"at": "2026-03-02T08:07:00.000Z", "type": "notification.created", "detail": "n-7"},
            {"at": "2026-03-02T08:06:00.000Z", "type": "notification.created", "detail": "n-6"},
            {"at": "2026-03-02T08:05:00.000Z", "type": "activity.recorded", "detail": "Read the guide about caches"},
            {"at": "2026-03-02T08:04:00.000Z", "type": "order.cancelled", "detail": "1002"},
            {"at": "2026-03-02T08:03:00.000Z", "type": "order.placed", "detail": "1002"},
            {"at": "2026-03-02T08:02:00.000Z", "type": "order.placed", "detail": "1001"},
            {"at": "2026-03-02T08:01:00.000Z", "type": "user.confirmed"},
        ],
        "notifications": [{"id": "n-7", "title": "Notification n-7", "at": "2026-03-02T08:07:00.000Z"}],
    });
    assert_eq!(dashboard, expected);
    assert_eq!(calls(&stack), ["BatchGetItem", "Query"]);
}

#[tokio::test]
async fn orders_and_profile_are_the_caller_s() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let at = |minute: u32| format!("2026-03-02T08:{minute:02}:00.000Z");
    let order = |minute, order_type: &str, id: &str, amount: &str| json!({"at": at(minute), "type": order_type, "orderId": id, "amount": amount, "currency": "EUR"});
    let expected = json!({"orders": [
        order(4, "order.cancelled", "1002", "10.00"),
        order(3, "order.placed", "1002", "10.00"),
        order(2, "order.placed", "1001", "49.90"),
    ]});
    assert_eq!(get(ANA, "/api/orders").to(&stack).await.json(), expected);
    assert_eq!(calls(&stack), ["BatchGetItem", "Query"]);
    let expected = json!({
        "sub": ANA, "username": "ana", "isEmailVerified": false, "name": "Ana Example", "createdAt": at(1),
    });
    assert_eq!(get(ANA, "/api/profile").to(&stack).await.json(), expected);
    assert_eq!(calls(&stack), ["BatchGetItem"]);
    assert_eq!(get(BEN, "/api/orders").to(&stack).await.json(), json!({"orders": []}));
    assert_eq!(get(BEN, "/api/profile").to(&stack).await.json(), json!({"sub": BEN}));
}

#[tokio::test]
async fn config_tells_the_page_how_to_sign_in_and_is_the_same_for_everyone() {
    let stack = test_stack().await;
    let call = Call(fixtures::json("read-api/config"));
    let variables = &[
        ("PRODUCT_NAME", "Example Shop"),
        ("CLIENT_IDS", "page, app"),
        ("LOGIN_URL", "https://login.example.com"),
        ("ISSUER_URL", "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE"),
    ];
    let answer = call.clone().sent_to(&stack, variables).await;
    let expected = json!({
        "issuer": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE", "clientId": "page",
        "loginUrl": "https://login.example.com", "productName": "Example Shop",
        "scopes": ["openid", "email", "profile"], "maxCacheLifetimeSeconds": 60,
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.headers["Cache-Control"], "max-age=0, s-maxage=60, stale-if-error=0");
    assert_eq!(answer.headers["Cache-Tag"], "config");
    assert_eq!(get(ANA, "/api/config").sent_to(&stack, variables).await, answer);
    assert_eq!(calls(&stack), [] as [&str; 0]);
}

/// `docs/caching.md` begins with an answer of an origin that follows the contract.
#[tokio::test]
async fn cache_headers_are_as_the_contract_says() {
    let stack = test_stack().await;
    let page = include_str!("../../../docs/caching.md");
    let example = page.split("```\nHTTP/1.1 200 OK\n").nth(1).unwrap().split("```").next().unwrap();
    let headers: Vec<(&str, &str)> = example.lines().filter_map(|line| line.split_once(": ")).collect();
    assert!(headers.len() >= 3, "{example}");
    for path in ["/api/dashboard", "/api/orders", "/api/orders?limit=5", "/api/profile"] {
        let answer = get(ANA, path).to(&stack).await;
        // The lifetime depends on the age of the data.
        for (name, value) in headers.iter().filter(|(name, _)| *name != "Cache-Control") {
            assert_eq!(answer.headers[*name], *value, "{path}");
        }
        assert_eq!(answer.headers["Cache-Control"], "max-age=0, s-maxage=60, stale-if-error=0", "{path}");
        assert_eq!(answer.headers["X-Content-Type-Options"], "nosniff", "{path}");
        assert!(!answer.headers.contains_key("Vary") && !answer.headers.contains_key("Set-Cookie"), "{path}");
    }
}

#[tokio::test]
async fn lifetime_ends_with_the_setting_and_with_the_token() {
    let stack = test_stack().await;
    let now = stack.account.time.now().as_second();
    for (max, token_seconds, expected) in [
        ("1800", 3600, "max-age=0, s-maxage=1800, stale-if-error=0"),
        ("60", 3600, "max-age=0, s-maxage=60, stale-if-error=0"),
        ("1800", 90, "max-age=0, s-maxage=90, stale-if-error=0"),
        ("1800", 1, "max-age=0, s-maxage=1, stale-if-error=0"),
        ("0", 3600, "no-store"),
    ] {
        let call = get(ANA, "/api/dashboard").claim("exp", &(now + token_seconds).to_string());
        let answer = call.sent_to(&stack, &[("MAX_CACHE_LIFETIME_SECONDS", max)]).await;
        assert_eq!((answer.status, answer.headers["Cache-Control"].as_str()), (200, expected));
        assert_eq!(answer.headers.contains_key("Cache-Tag"), expected != "no-store", "{expected}");
    }
}

#[tokio::test]
async fn unchanged_page_is_304_with_the_same_headers_until_the_data_changes() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let first = get(ANA, "/api/dashboard").to(&stack).await;
    let tag = first.headers["ETag"].clone();
    let again = |tag: &str| get(ANA, "/api/dashboard").header("if-none-match", tag);
    for condition in [tag.clone(), format!("W/{tag}"), format!("\"a\", {tag}"), "*".to_owned()] {
        let answer = again(&condition).to(&stack).await;
        let expected = Answer { status: 304, text: String::new(), ..first.clone() };
        assert_eq!(answer, expected, "{condition}");
    }
    let placed = [order("1003", ANA, "1.00")];
    stack.user_stats(&[]).handle_twice(&crate::support::batch(&placed)).await;
    let answer = again(&tag).to(&stack).await;
    assert_eq!((answer.status, &answer.json()["statistics"]["orders"]), (200, &json!(3)));
    assert_ne!(answer.headers["ETag"], tag);
    // Another user's page has another tag, even if both have no data.
    let ben = get(BEN, "/api/dashboard").header("if-none-match", &tag).to(&stack).await;
    assert_eq!(ben.status, 200);
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    for path in ["/api/dashboard", "/api/orders", "/api/profile", "/api/config", "/api/nothing"] {
        let expected = get(ANA, path).to(&stack).await;
        let answer = get(ANA, path).method("HEAD").to(&stack).await;
        assert_eq!(answer, Answer { text: String::new(), ..expected }, "{path}");
    }
}

#[tokio::test]
async fn suspended_user_gets_403_on_each_request_until_the_end() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let now = stack.account.time.now();
    let until = shared::time::plus_seconds(now, 60);
    let suspension = Suspension { reason: "spam".into(), until: Some(until), by: "support".into(), at: now };
    assert!(stack.store().write_suspension(ANA, &suspension).await.unwrap());
    let calls = [
        get(ANA, "/api/dashboard"),
        get(ANA, "/api/orders"),
        get(ANA, "/api/profile"),
        get(ANA, &format!("/api/orders/shared/{BEN}")),
        get(ANA, &format!("/api/orders/shared/{ANA}")),
        get(ANA, "/api/dashboard").header("if-none-match", "*"),
        get(ANA, &format!("/api/users/{BEN}/profile")).claim("cognito:groups", "[Support]"),
        post(ANA, "/api/notifications/n-7/read"),
    ];
    for call in &calls {
        let answer = call.clone().sent_to(&stack, ADMIN_GROUPS).await;
        assert_eq!(answer.problem(), problem(403, "suspended"), "{}", call.0["rawPath"]);
        assert!(!answer.text.contains("spam"), "{}", answer.text);
    }
    assert_eq!(stack.sent().await, [] as [Value; 0]);
    assert_eq!(
        stack.account.counts("RequestsRefused"),
        [("suspended".to_owned(), calls.len() as u64)].into()
    );
    stack.account.time.move_to(until);
    assert_eq!(get(ANA, "/api/dashboard").to(&stack).await.status, 200);
}

#[tokio::test]
async fn unreadable_suspension_and_the_flag_of_another_tool_deny_too() {
    for (case, reason) in [
        ("flag", "suspended"),
        ("unreadable", "unreadable_suspension"),
        ("wrong flag", "unreadable_suspension"),
    ] {
        let stack = test_stack().await;
        match case {
            "flag" => stack.put_profile(ANA, "isBanned", true.into()).await,
            "unreadable" => stack.put_suspension(ANA, json!({"at": "for ever"})).await,
            _ => stack.put_profile(ANA, "isBanned", "false".into()).await,
        }
        let answer = get(ANA, "/api/dashboard").to(&stack).await;
        assert_eq!(answer.problem(), problem(403, "suspended"), "{case}");
        assert_eq!(stack.account.counts("RequestsRefused"), [(reason.to_owned(), 1)].into(), "{case}");
    }
}

async fn erase(stack: &TestStack, sub: &str) {
    let deleted = [event("user.deleted", "d", sub, json!({}))];
    stack
        .user_stats(&[("ALLOW_ERASURE_EVENTS", "true")])
        .handle_twice(&crate::support::batch(&deleted))
        .await;
}

#[tokio::test]
async fn erased_user_is_404_and_user_without_statistics_has_zeros() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    erase(&stack, ANA).await;
    for path in ["/api/dashboard", "/api/orders", "/api/profile"] {
        assert_eq!(get(ANA, path).to(&stack).await.problem(), problem(404, "not-found"), "{path}");
    }
    let dashboard = get(BEN, "/api/dashboard").to(&stack).await.json();
    assert_eq!(dashboard["user"], json!({"sub": BEN}));
    assert_eq!((&dashboard["statistics"]["orders"], &dashboard["activities"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn administrator_reads_any_user_and_each_access_is_logged_and_never_cached() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    for view in ["dashboard", "orders", "profile"] {
        let own = get(ANA, &format!("/api/{view}")).to(&stack).await;
        tests::log::take_lines();
        let answer = admin_get(&format!("/api/users/{ANA}/{view}")).sent_to(&stack, ADMIN_GROUPS).await;
        assert_eq!((answer.status, answer.json()), (200, own.json()), "{view}");
        assert_eq!(answer.headers["Cache-Control"], "no-store", "{view}");
        assert!(!answer.headers.contains_key("Cache-Tag") && !answer.headers.contains_key("ETag"), "{view}");
        let lines: Vec<Value> =
            tests::log::take_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let accesses: Vec<_> = lines.iter().filter(|line| line["fields"]["admin"].is_string()).collect();
        let [access] = accesses[..] else { panic!("{view}: {lines:?}") };
        let expected = json!({
            "message": "an administrator reads a page of a user", "admin": CARLA, "user": ANA, "view": view,
        });
        assert_eq!(access["fields"], expected);
    }
    let unknown = admin_get(&format!("/api/users/{BEN}/dashboard"));
    assert_eq!(unknown.sent_to(&stack, ADMIN_GROUPS).await.problem(), problem(404, "not-found"));
    erase(&stack, ANA).await;
    let erased = admin_get(&format!("/api/users/{ANA}/dashboard"));
    assert_eq!(erased.sent_to(&stack, ADMIN_GROUPS).await.problem(), problem(404, "not-found"));
}

#[tokio::test]
async fn administrator_reads_their_own_page_through_both_routes() {
    let stack = test_stack().await;
    stack.put_profile(CARLA, "cognitoId", CARLA.into()).await;
    let through_users = admin_get(&format!("/api/users/{CARLA}/profile"));
    assert_eq!(through_users.sent_to(&stack, ADMIN_GROUPS).await.json(), json!({"sub": CARLA}));
    let own = admin_get("/api/profile").sent_to(&stack, ADMIN_GROUPS).await;
    assert_eq!(own.headers["Cache-Tag"], format!("user:{CARLA},users"));
}
