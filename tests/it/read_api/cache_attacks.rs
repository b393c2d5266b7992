//! Attacks on the cache: requests through the models of CloudFront and API Gateway.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{AUTHORIZATION, ETAG};
use http::{Request, Response};
use sandbox::aws::account::{CLIENT_ID, ISSUER_URL};
use sandbox::http_api::HttpApi;
use sandbox::site::page::Page;
use sandbox::site::{Site, cache_result};
use sandbox::tokens::TokenKey;
use serde_json::{Map, Value, json};
use shared::suspension::Suspension;

use super::{BEN, put_ana};
use crate::support::{ANA, TestStack, test_stack};

/// The read side with Ana's dashboard in the cache.
struct ReadSide {
    stack: TestStack,
    site: Site,
    ana: String,
    ben: String,
}

impl ReadSide {
    async fn start() -> Self {
        let stack = test_stack().await;
        put_ana(&stack).await;
        let key = TokenKey::random().unwrap();
        let api =
            HttpApi { key: key.clone(), issuer: ISSUER_URL.to_owned(), client_id: CLIENT_ID.to_owned() };
        let site = Site::new(api, BTreeMap::new(), Page::empty(), |_| ()).unwrap();
        let now = stack.account.time.now().as_second();
        let token = |sub| format!("Bearer {}", key.sign(&claims(sub, now)));
        let side = Self { ana: token(ANA), ben: token(BEN), stack, site };
        let own = &[("authorization", side.ana.as_str())];
        for result in ["Miss", "Hit"] {
            assert_eq!(cache_result(&side.get("/api/dashboard", own).await), result);
        }
        side
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.request("GET", path, headers).await
    }

    async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.site.request(&self.stack.account, request.body(Bytes::new()).unwrap()).await.unwrap()
    }
}

fn claims(sub: &str, now: i64) -> Map<String, Value> {
    let claims = json!({
        "iss": ISSUER_URL, "client_id": CLIENT_ID, "sub": sub, "token_use": "access", "iat": now,
        "exp": now + 3_600,
    });
    claims.as_object().unwrap().clone()
}

/// Ana's claims with a signature that is not the user pool's, or without one.
fn forged_tokens(now: i64) -> Vec<String> {
    /// `{"alg":"none"}` and `{"alg":"HS256"}` in Base64.
    const HEADERS: [&str; 2] = ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"];
    let signed = TokenKey::random().unwrap().sign(&claims(ANA, now));
    let claims = signed.split('.').nth(1).unwrap();
    let unsigned = HEADERS.map(|header| format!("Bearer {header}.{claims}."));
    [format!("Bearer {signed}"), format!("Basic {ANA}"), String::new()].into_iter().chain(unsigned).collect()
}

#[tokio::test]
async fn no_request_gets_the_cached_page_of_another_user_or_changes_it() {
    let side = ReadSide::start().await;
    let (ana, ben) = (side.ana.as_str(), side.ben.as_str());
    let cached = side.get("/api/dashboard", &[("authorization", ana)]).await;
    let etag = cached.headers()[ETAG].to_str().unwrap();
    let weak = format!("W/{etag}");
    let lower = ben.replace("Bearer", "bearer");
    let bare = ben.trim_start_matches("Bearer ");
    let mut attempts: Vec<Vec<(&str, &str)>> = vec![
        vec![],
        vec![("cookie", ana)],
        vec![("x-authorization", ana), ("proxy-authorization", ana)],
        vec![("authorization", lower.as_str())],
        vec![("authorization", bare)],
        vec![("authorization", ben), ("authorization", "Bearer x")],
        vec![("authorization", ben), ("if-none-match", etag)],
        vec![("authorization", ben), ("if-none-match", weak.as_str())],
        vec![("authorization", ben), ("if-none-match", "*")],
        vec![("if-none-match", etag)],
        vec![("authorization", ben), ("cache-control", "only-if-cached, max-stale=99999")],
        vec![("authorization", ben), ("range", "bytes=0-10")],
        vec![("authorization", ben), ("accept-encoding", "gzip, br")],
        vec![("authorization", ben), ("origin", "https://evil.test")],
        vec![("authorization", ben), ("x-forwarded-host", "evil.test"), ("x-original-url", "/api/profile")],
        vec![("authorization", ben), ("x-origin-verify", "guess"), ("cache-tag", "user:x")],
        vec![("authorization", ben), ("x-http-method-override", "POST"), ("x-forwarded-user", ANA)],
    ];
    let forged = forged_tokens(side.stack.account.time.now().as_second());
    attempts.extend(forged.iter().map(|token| vec![("authorization", token.as_str())]));
    let paths = [
        "/api/dashboard",
        "/api/dashboard?",
        "/api/dashboard/",
        "/api/dashboard;x=y",
        "/api/dashboard.css",
        "/api/dashboard%3Fx",
        "/api/dashboard%00",
        "/api/%64ashboard",
        "/api/./dashboard",
        "/api/x/../dashboard",
        "/api/x/%2e%2e/dashboard",
        "/api%2Fdashboard",
        "/api//dashboard",
        "//api/dashboard",
        "/API/dashboard",
        "/x/../api/dashboard",
        "/api/dashboard?authorization=Bearer%20x",
        "/api/profile",
        "/api/orders",
        &format!("/api/users/{ANA}/dashboard"),
        &format!("/api/users/{ANA}/orders"),
        &format!("/api/users/%2e%2e/{ANA}/dashboard"),
        &format!("/api/orders/shared/{ANA}"),
        &format!("/api/orders/shared/{ANA}%2F"),
        &format!("/api/orders/shared/..%2F{ANA}"),
    ];
    for path in paths {
        for headers in &attempts {
            for method in ["GET", "HEAD", "OPTIONS"] {
                let answer = side.request(method, path, headers).await;
                let text = String::from_utf8_lossy(answer.body());
                let is_of_ana = text.contains(ANA) || text.contains("Ana Example") || text.contains("1001");
                assert!(!is_of_ana, "{method} {path} {headers:?}: {text}");
                assert_ne!(
                    answer.headers().get(ETAG),
                    cached.headers().get(ETAG),
                    "{method} {path} {headers:?}"
                );
                let names: Vec<&str> = answer.headers().keys().map(|name| name.as_str()).collect();
                let is_leak = |name: &&str| name.starts_with("access-control-") || *name == "cache-tag";
                assert!(!names.iter().any(is_leak), "{method} {path}: {names:?}");
            }
        }
    }
    let after = side.get("/api/dashboard", &[("authorization", ana)]).await;
    assert_eq!((cache_result(&after), after.body()), ("Hit", cached.body()));
}

/// One token can have many entries in the cache. All of them have the tag of the user.
#[tokio::test]
async fn suspension_ends_every_cached_spelling_of_a_token() {
    let side = ReadSide::start().await;
    let token = side.ana.trim_start_matches("Bearer ").to_owned();
    let values = [side.ana.clone(), format!("bearer {token}"), format!("BEARER {token}"), token];
    let mut requests = Vec::new();
    for value in &values {
        for path in ["/api/dashboard", "/api/%64ashboard", "/api/orders", "/api/orders?limit=5"] {
            for origin in ["https://a.test", "https://b.test"] {
                for method in ["GET", "HEAD"] {
                    requests.push((
                        method,
                        path,
                        [(AUTHORIZATION.as_str(), value.as_str()), ("origin", origin)],
                    ));
                }
            }
        }
    }
    for expected in ["Miss", "Hit"] {
        for (method, path, headers) in &requests {
            let answer = side.request(method, path, headers).await;
            assert_eq!((answer.status().as_u16(), cache_result(&answer)), (200, expected), "{method} {path}");
        }
    }
    let at = side.stack.account.time.now();
    let suspension = Suspension { reason: "spam".into(), until: None, by: "support".into(), at };
    assert!(side.stack.store().write_suspension(ANA, &suspension).await.unwrap());
    let removed = side.site.invalidate(&[format!("#user:{ANA}")]);
    assert_eq!(removed.len(), requests.len() + 1);
    for (method, path, headers) in &requests {
        let answer = side.request(method, path, headers).await;
        assert_eq!((answer.status().as_u16(), cache_result(&answer)), (403, "Error"), "{method} {path}");
    }
    assert_eq!(side.site.invalidate(&["/*".to_owned()]), [] as [String; 0], "no refusal is in the cache");
}

#[tokio::test]
async fn viewer_cannot_put_another_answer_into_the_entry_that_all_viewers_share() {
    let side = ReadSide::start().await;
    let expected = side.get("/api/config", &[]).await;
    side.site.invalidate(&["#config".to_owned()]);
    for headers in [
        &[("if-none-match", "*")][..],
        &[("range", "bytes=0-1")],
        &[("x-forwarded-host", "evil.test"), ("x-forwarded-proto", "http")],
        &[("accept", "text/html"), ("accept-language", "de"), ("user-agent", "x")],
        &[("content-type", "text/html"), ("access-control-request-method", "PUT")],
    ] {
        let answer = side.get("/api/config", headers).await;
        assert_eq!((answer.status(), answer.body()), (expected.status(), expected.body()), "{headers:?}");
        let next = side.get("/api/config", &[]).await;
        assert_eq!((cache_result(&next), next.body()), ("Hit", expected.body()), "{headers:?}");
        side.site.invalidate(&["#config".to_owned()]);
    }
}
