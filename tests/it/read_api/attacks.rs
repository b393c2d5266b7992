//! What an attacker would try: other tokens, other users, other ways to the function, markup.

use serde_json::{Value, json};

use super::{ADMIN_GROUPS, BEN, Call, admin_get, calls, get, post, problem, put_ana};
use crate::support::{ANA, batch, event, order, test_stack};

const PATHS: [&str; 3] = ["/api/dashboard", "/api/orders", "/api/profile"];

/// API Gateway's authorizer checks the signature and refuses expired, tampered and foreign tokens. The
/// function checks the claims once more, and refuses ID tokens.
#[tokio::test]
async fn only_an_access_token_of_the_pool_and_a_known_client_opens_anything() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let now = stack.account.time.now().as_second();
    let remove = |call: Call, name: &str| {
        call.with(|event| {
            event["requestContext"]["authorizer"]["jwt"]["claims"].as_object_mut().unwrap().remove(name);
        })
    };
    let mut count = 0;
    for path in PATHS.into_iter().chain(["/api/users/x/orders", "/api/orders/shared/x"]) {
        let call = get(ANA, path);
        for (case, call) in [
            ("ID token", call.clone().claim("token_use", "id").claim("aud", "1example23456789")),
            ("no token_use", remove(call.clone(), "token_use")),
            ("other client", call.clone().claim("client_id", "other")),
            ("no client", remove(call.clone(), "client_id")),
            (
                "other pool",
                call.clone()
                    .claim("iss", "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_OTHER"),
            ),
            ("expired", call.clone().claim("exp", &now.to_string())),
            ("no end", remove(call.clone(), "exp")),
            ("no sub", remove(call.clone(), "sub")),
            ("empty sub", call.clone().claim("sub", "")),
            ("no authorizer", call.clone().with(|event| event["requestContext"]["authorizer"] = Value::Null)),
            (
                "Authorization twice, no authorizer",
                call.clone().header("authorization", "Bearer a,Bearer b").with(|event| {
                    event["requestContext"]["authorizer"] = Value::Null;
                }),
            ),
            (
                "claims of a Lambda authorizer",
                call.clone().with(|event| {
                    let claims = event["requestContext"]["authorizer"]["jwt"]["claims"].take();
                    event["requestContext"]["authorizer"] = json!({"lambda": claims});
                }),
            ),
            (
                "claims in the body",
                call.clone().with(|event| {
                    let context = event["requestContext"].take();
                    event["body"] = json!({"requestContext": context.clone()}).to_string().into();
                    event["requestContext"] = json!({"http": context["http"]});
                }),
            ),
        ] {
            let answer = call.to(&stack).await;
            assert_eq!(answer.problem(), problem(401, "unauthorized"), "{path}: {case}");
            assert_eq!(answer.headers["WWW-Authenticate"], "Bearer", "{path}: {case}");
            count += 1;
        }
    }
    assert_eq!(calls(&stack), [] as [&str; 0]);
    assert_eq!(stack.account.counts("RequestsRefused"), [("unauthorized".to_owned(), count)].into());
}

/// The header is the authorizer's business. Two of them arrive as one, joined with a comma.
#[tokio::test]
async fn headers_do_not_change_who_the_caller_is() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let expected = get(ANA, "/api/orders").to(&stack).await;
    for (name, value) in [
        ("authorization", "Bearer a,Bearer b"),
        ("x-forwarded-user", BEN),
        ("x-amzn-oidc-identity", BEN),
        ("x-original-url", "/api/users/x/orders"),
        ("x-http-method-override", "POST"),
        ("x-forwarded-host", "evil.test"),
        ("origin", "https://evil.test"),
        ("cookie", "sub=x"),
        ("accept", "text/html"),
    ] {
        assert_eq!(get(ANA, "/api/orders").header(name, value).to(&stack).await, expected, "{name}");
    }
    assert!(!expected.headers.keys().any(|name| name.starts_with("Access-Control-")), "{expected:?}");
}

#[tokio::test]
async fn another_user_s_path_looks_like_a_path_that_does_not_exist() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let nothing = get(BEN, "/api/nothing").to(&stack).await;
    assert_eq!(nothing.problem(), problem(404, "not-found"));
    for sub in [ANA, BEN, "nobody"] {
        for (view, query) in [("dashboard", ""), ("orders", ""), ("orders", "?limit=0"), ("profile", "?x=y")]
        {
            let path = format!("/api/users/{sub}/{view}{query}");
            // Without the setting, no user is an administrator.
            for (call, variables) in [
                (get(BEN, &path), ADMIN_GROUPS),
                (get(BEN, &path).claim("cognito:groups", "[Supporters support]"), ADMIN_GROUPS),
                (get(BEN, &path).claim("custom:groups", "[Support]"), ADMIN_GROUPS),
                (admin_get(&path), &[]),
            ] {
                assert_eq!(call.sent_to(&stack, variables).await, nothing, "{path}");
            }
        }
    }
    assert_eq!(calls(&stack), [] as [&str; 0]);
}

#[tokio::test]
async fn wrong_method_is_405_with_the_allowed_ones() {
    let stack = test_stack().await;
    for (path, allow) in PATHS
        .into_iter()
        .chain(["/api/config"])
        .map(|path| (path, "GET, HEAD"))
        .chain([("/api/notifications/n/read", "POST")])
    {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "", "X\u{0}"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = get(ANA, path).method(method).to(&stack).await;
            assert_eq!(answer.problem(), problem(405, "method-not-allowed"), "{method} {path}");
            assert_eq!(answer.headers["Allow"], allow, "{method} {path}");
        }
    }
    let head = get(ANA, "/api/notifications/n/read").method("HEAD").to(&stack).await;
    assert_eq!((head.status, head.text.as_str(), head.headers["Allow"].as_str()), (405, "", "POST"));
    assert_eq!(calls(&stack), [] as [&str; 0]);
}

#[tokio::test]
async fn request_around_cloudfront_is_refused_before_anything_else() {
    let stack = test_stack().await;
    let secrets: &[_] = &[("ORIGIN_SECRETS", "current-secret,next-secret")];
    for secret in ["current-secret", "next-secret"] {
        let call = get(ANA, "/api/dashboard").header("x-origin-verify", secret);
        assert_eq!(call.sent_to(&stack, secrets).await.status, 200, "{secret}");
    }
    calls(&stack);
    for path in PATHS.into_iter().chain(["/api/config", "/api/nothing"]) {
        for call in [
            get(ANA, path),
            get(ANA, path).header("x-origin-verify", ""),
            get(ANA, path).header("x-origin-verify", "other"),
            get(ANA, path).header("x-origin-verify", "current-secret,next-secret"),
            post(ANA, path),
            get(ANA, path).with(|event| event["requestContext"]["authorizer"] = Value::Null),
            Call(json!({})),
        ] {
            let answer = call.sent_to(&stack, secrets).await;
            assert_eq!(answer.problem(), problem(403, "wrong-origin"), "{path}");
            assert!(!answer.text.contains("secret"), "{}", answer.text);
        }
    }
    assert_eq!(calls(&stack), [] as [&str; 0]);
}

/// Each query string has a cache entry of its own.
#[tokio::test]
async fn query_with_the_same_meaning_in_another_spelling_is_refused() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    for path in PATHS.into_iter().chain(["/api/config"]) {
        for query in ["&", "&&&", "=", "%20", "+", "#"] {
            let answer = get(ANA, &format!("{path}?{query}")).to(&stack).await;
            assert_eq!(answer.problem(), problem(400, "invalid-query"), "{path}?{query}");
        }
    }
    let next = get(ANA, "/api/orders?limit=1").to(&stack).await.json()["next"].as_str().unwrap().to_owned();
    calls(&stack);
    for query in [
        "limit=5&",
        "&limit=5",
        "limit=05",
        "limit=%35",
        "l%69mit=5",
        "limit=5&&",
        "limit=5+",
        "limit=5%20",
        &format!("before={}", next.replace('-', "%2D")),
        &format!("before={}", next.replace('-', "%2d")),
        &format!("before={next}&"),
        &format!("%62efore={next}"),
    ] {
        let answer = get(ANA, &format!("/api/orders?{query}")).to(&stack).await;
        assert_eq!(answer.problem(), problem(400, "invalid-query"), "{query}");
    }
    assert_eq!(calls(&stack), [] as [&str; 0]);
}

/// All viewers without a token share one cache entry of the settings of the page. CloudFront may
/// forward a viewer's condition, and caches a 304.
#[tokio::test]
async fn condition_of_a_viewer_does_not_turn_the_shared_answer_into_one_without_a_body() {
    let stack = test_stack().await;
    let expected = get(ANA, "/api/config").to(&stack).await;
    assert_eq!((expected.status, expected.headers.get("ETag")), (200, None));
    for condition in ["*", "W/\"a\"", "\"a\", *"] {
        let answer = get(ANA, "/api/config").header("if-none-match", condition).to(&stack).await;
        assert_eq!(answer, expected, "{condition}");
    }
}

/// An administrator may type anything into the path.
#[tokio::test]
async fn look_up_of_a_user_who_does_not_exist_leaves_no_text_of_the_path_in_the_log() {
    let stack = test_stack().await;
    tests::log::take_lines();
    for path in [
        "/api/users/dora@example.com/profile",
        "/api/users/dora@example.com/orders",
        "/api/orders/shared/dora@example.com",
    ] {
        let answer = admin_get(path).sent_to(&stack, ADMIN_GROUPS).await;
        assert_eq!(answer.problem(), problem(404, "not-found"), "{path}");
    }
    let lines = tests::log::take_lines().join("\n");
    assert!(!lines.contains("dora"), "{lines}");
}

/// A producer can choose the time of an event within the limits, and any length of a title.
#[tokio::test]
async fn page_stays_complete_and_small_whatever_times_and_lengths_a_producer_chooses() {
    let stack = test_stack().await;
    let at = |time: &str, mut event: Value| {
        event["time"] = time.into();
        event
    };
    // As many as have the same millisecond, at both ends of what is accepted, and beyond.
    let mut events: Vec<Value> = (0..60).map(|id| order(&format!("same-{id:02}"), ANA, "1.00")).collect();
    events.push(at("2026-03-02T09:15:00Z", order("ahead", ANA, "1.00")));
    events.push(at("2026-01-31T09:00:01Z", order("old", ANA, "1.00")));
    events.push(at("2026-03-02T09:15:01Z", order("too-far-ahead", ANA, "1.00")));
    events.push(at("2026-01-31T08:59:59Z", order("too-old", ANA, "1.00")));
    events.push(at("9999-12-31T23:59:59Z", order("above-all", ANA, "1.00")));
    let long = "\u{1F980}".repeat(15_000);
    for id in 0..55 {
        let data = json!({"notification_id": format!("{id:\u{e9}>128}"), "title": long});
        events.push(event("notification.created", &format!("n-{id}"), ANA, data));
    }
    stack.user_stats(&[]).handle_twice(&batch(&events)).await;

    let mut found = Vec::new();
    let mut path = "/api/orders?limit=50".to_owned();
    loop {
        let answer = get(ANA, &path).to(&stack).await;
        assert!(answer.text.len() < 50_000, "{}", answer.text.len());
        let page = answer.json();
        let ids = page["orders"].as_array().unwrap().iter().map(|order| order["orderId"].to_string());
        found.extend(ids);
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/orders?limit=50&before={next}");
    }
    assert_eq!((found.len(), found[0].as_str(), found[61].as_str()), (62, "\"ahead\"", "\"old\""));
    let unique: std::collections::BTreeSet<&String> = found.iter().collect();
    assert_eq!(unique.len(), 62);
    let dashboard = get(ANA, "/api/dashboard").to(&stack).await;
    assert_eq!(dashboard.json()["notifications"].as_array().unwrap().len(), 50);
    assert!(dashboard.text.len() < 50_000, "{}", dashboard.text.len());
}

#[tokio::test]
async fn event_of_any_form_gets_a_response() {
    let stack = test_stack().await;
    let fixture = tests::fixtures::json("read-api/dashboard");
    let mut events =
        vec![json!({}), json!([]), json!(null), json!("text"), json!(7), json!({"version": "1.0"})];
    for value in [json!(null), json!(7), json!([]), json!({}), json!("\u{0}"), json!("x".repeat(100_000))] {
        for place in [
            "/rawPath",
            "/rawQueryString",
            "/headers",
            "/headers/host",
            "/requestContext",
            "/requestContext/http",
            "/requestContext/http/method",
            "/requestContext/authorizer",
            "/requestContext/authorizer/jwt",
            "/requestContext/authorizer/jwt/claims",
            "/requestContext/authorizer/jwt/claims/sub",
            "/requestContext/authorizer/jwt/claims/exp",
            "/isBase64Encoded",
            "/pathParameters",
        ] {
            let mut event = fixture.clone();
            if let Some(field) = event.pointer_mut(place) {
                *field = value.clone();
            }
            events.push(event);
        }
    }
    for event in events {
        let answer = Call(event).to(&stack).await;
        assert!([200, 400, 401, 404, 405].contains(&answer.status), "{answer:?}");
    }
}

/// JSON escapes neither `<` nor quotes of HTML. The content type and nosniff keep a browser from taking
/// the answer for a page, and the page shows values as text.
#[tokio::test]
async fn markup_stays_text_in_json() {
    let stack = test_stack().await;
    let markup = "<img src=x onerror=alert(1)>\"'&\u{2028}</script>{{7*7}}";
    let events = [
        event(
            "user.confirmed",
            "c",
            ANA,
            json!({"username": markup, "name": markup, "preferred_username": markup}),
        ),
        event("order.placed", "o", ANA, json!({"order_id": markup, "amount": "1.00", "currency": "EUR"})),
        event("activity.recorded", "a", ANA, json!({"description": markup})),
        event("notification.created", "n", ANA, json!({"notification_id": markup, "title": markup})),
    ];
    stack.user_stats(&[]).handle_twice(&batch(&events)).await;
    for path in PATHS {
        let answer = get(ANA, path).to(&stack).await;
        assert_eq!(answer.headers["Content-Type"], "application/json", "{path}");
        assert_eq!(answer.headers["X-Content-Type-Options"], "nosniff", "{path}");
        assert!(answer.json().to_string().contains("<img"), "{path}: {}", answer.text);
    }
    let dashboard = get(ANA, "/api/dashboard").to(&stack).await.json();
    assert_eq!(
        (&dashboard["user"]["name"], &dashboard["notifications"][0]["title"]),
        (&json!(markup), &json!(markup))
    );
    let orders = get(ANA, "/api/orders").to(&stack).await.json();
    assert_eq!(orders["orders"][0]["orderId"], markup);
    // Nothing of a request comes back, so it cannot be reflected.
    let reflected = get(ANA, "/api/<script>?<script>=<script>").to(&stack).await;
    assert!(!reflected.text.contains("script"), "{}", reflected.text);
}

#[tokio::test]
async fn log_of_a_request_has_no_personal_data() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    tests::log::take_lines();
    for path in PATHS {
        get(ANA, path).header("authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x").to(&stack).await;
    }
    // The watcher of the log has failed the test if a line had a token, an address or a name.
    let lines = tests::log::take_lines().join("\n");
    for text in ["Ana Example", "n-7", "Read the guide", "49.90", "Bearer"] {
        assert!(!lines.contains(text), "{text}: {lines}");
    }
}
