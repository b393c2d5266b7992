//! `sandbox serve` over HTTP on loopback. The clock changes only if a test moves it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use sandbox::aws::account::CLIENT_ID;
use sandbox::aws::manual_time::ManualTime;
use sandbox::journey::format::read_variables;
use sandbox::serve::router::serve;
use sandbox::serve::world::{Settings, World};
use sandbox::site::cache_result;
use sandbox::site::page::Page;
use serde_json::Value;
use tests::fixtures;
use tests::http::exchange;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const EMAIL: &str = "ana@example.com";
const PASSWORD: &str = "Only-for-the-sandbox-1";

/// A running server, and a browser.
struct Browser {
    port: u16,
    time: ManualTime,
    world: Arc<World>,
}

async fn browser() -> Browser {
    tests::log::watch();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let time = ManualTime::starting_at("2026-03-02T09:00:00Z".parse().unwrap());
    let settings = Settings { origin: format!("http://127.0.0.1:{port}"), token_seconds: 3_600 };
    let variables = read_variables(&fixtures::folder().join("environment.json")).unwrap();
    let page = Page::in_folder(fixtures::folder().join("../web"));
    let world = Arc::new(World::start(settings, variables, page, time.clock()).await.unwrap());
    tokio::spawn(serve(listener, world.clone()));
    Browser { port, time, world }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn body(response: &Response<Bytes>) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or_else(|_| panic!("not JSON: {}", body(response)))
}

/// The value after `name` in the query of the address that a response redirects to.
fn redirected(response: &Response<Bytes>, name: &str) -> String {
    let location = response.headers().get("location").unwrap_or_else(|| panic!("{}", body(response)));
    let query = location.to_str().unwrap().split_once('?').unwrap().1;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).unwrap_or_else(|| panic!("no {name} in {query}")).1.into_owned()
}

impl Browser {
    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        exchange(self.port, request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Response<Bytes> {
        self.send("GET", path, &[], String::new()).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response<Bytes> {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &headers, encoded(fields)).await
    }

    fn page(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// The query of the authorize endpoint.
    fn request(&self) -> String {
        encoded(&[
            ("client_id", CLIENT_ID),
            ("redirect_uri", &self.page()),
            ("response_type", "code"),
            ("scope", "openid email profile"),
            ("state", "s&1"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ])
    }

    /// Signs up, and returns the code in the email.
    async fn sign_up(&self) -> String {
        let request = self.request();
        let fields = [
            ("request", request.as_str()),
            ("name", "Ana Example"),
            ("email", EMAIL),
            ("password", PASSWORD),
        ];
        self.code_on(&body(&self.post("/signup", &fields).await)).await
    }

    /// The code in the email that a page of the login links.
    async fn code_on(&self, page: &str) -> String {
        let path = page
            .split("href=\"")
            .find(|part| part.starts_with("/sandbox/mail/"))
            .unwrap_or_else(|| panic!("{page}"));
        self.code_in(path.split('"').next().unwrap()).await
    }

    /// The six digits of an email that are not a color.
    async fn code_in(&self, path: &str) -> String {
        let mail = body(&self.get(path).await);
        let words = mail.split(|c: char| !c.is_ascii_alphanumeric() && c != '#');
        let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
        let codes: Vec<&str> = words.filter(is_code).collect();
        assert_eq!(codes.len(), 1, "{codes:?}: {mail}");
        codes[0].to_owned()
    }

    async fn confirm(&self, code: &str) -> Response<Bytes> {
        self.post("/confirm", &[("request", &self.request()), ("email", EMAIL), ("code", code)]).await
    }

    async fn login(&self, password: &str) -> Response<Bytes> {
        self.post("/login", &[("request", &self.request()), ("email", EMAIL), ("password", password)]).await
    }

    async fn redeem(&self, code: &str, verifier: &str) -> Response<Bytes> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT_ID),
            ("code", code),
            ("redirect_uri", &self.page()),
            ("code_verifier", verifier),
        ];
        self.post("/oauth2/token", &fields).await
    }

    async fn refresh(&self, token: &str) -> Response<Bytes> {
        let fields = [("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", token)];
        self.post("/oauth2/token", &fields).await
    }

    /// Signs in, and returns the tokens.
    async fn tokens(&self) -> Value {
        let response = self.login(PASSWORD).await;
        assert_eq!((response.status().as_u16(), redirected(&response, "state").as_str()), (303, "s&1"));
        json(&self.redeem(&redirected(&response, "code"), VERIFIER).await)
    }

    /// Signs up, confirms and signs in.
    async fn new_user(&self) -> Value {
        let code = self.sign_up().await;
        let confirmed = self.confirm(&code).await;
        assert_eq!(confirmed.status(), 200, "{code}: {}", body(&confirmed));
        self.tokens().await
    }

    /// Requests the dashboard: how the edge answered, the status, and the answer.
    async fn dashboard(&self, tokens: &Value) -> (String, u16, Value) {
        self.read(tokens, "/api/dashboard").await
    }

    async fn read(&self, tokens: &Value, path: &str) -> (String, u16, Value) {
        let authorization = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        let response = self.send("GET", path, &[("authorization", &authorization)], String::new()).await;
        (cache_result(&response).to_owned(), response.status().as_u16(), json(&response))
    }

    /// The edge's result and the number of orders.
    async fn orders(&self, tokens: &Value) -> (String, u64) {
        let (cache, _, body) = self.dashboard(tokens).await;
        (cache, body["statistics"]["orders"].as_u64().unwrap_or_else(|| panic!("{body}")))
    }

    async fn act(&self, action: &str, sub: &str) -> u16 {
        self.post(&format!("/sandbox/actions/{action}"), &[("sub", sub)]).await.status().as_u16()
    }

    /// Runs the workers until everything that was published has reached the cache.
    async fn settle(&self) {
        for seconds in [0, 1, 15] {
            self.time.advance(seconds);
            self.world.run_due().await.unwrap();
        }
    }

    async fn sub(&self) -> String {
        let state = json(&self.get("/sandbox/state").await);
        let user = state["users"].as_array().unwrap().iter().find(|user| user["email"] == EMAIL).unwrap();
        user["sub"].as_str().unwrap().to_owned()
    }

    /// The texts of the live list so far.
    async fn list(&self) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request = format!("GET /sandbox/events HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", self.port);
        stream.write_all(request.as_bytes()).await.unwrap();
        let last = self.world.list_length();
        let mut text = String::new();
        while !text.contains(&format!("\"id\":{last},")) {
            let mut buffer = [0; 16_384];
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "{text}");
            text += &String::from_utf8_lossy(&buffer[..count]);
        }
        let entries = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let entries = entries.map(|entry| serde_json::from_str::<Value>(entry).unwrap());
        entries
            .map(|entry| format!("{}: {}", entry["actor"].as_str().unwrap(), entry["text"].as_str().unwrap()))
            .collect()
    }
}

#[tokio::test]
async fn visitor_signs_up_orders_and_sees_the_new_total() {
    let browser = browser().await;
    assert!(body(&browser.get("/").await).contains("js/main.js"), "the page");
    assert_eq!(json(&browser.get("/api/config").await)["clientId"], CLIENT_ID);
    let start = browser.get(&format!("/oauth2/authorize?{}", browser.request())).await;
    assert!(start.headers()["location"].to_str().unwrap().starts_with("/signup?"), "a newcomer");
    let form = browser.get(&format!("/signup?{}", browser.request())).await;
    // With no-referrer, a browser would send `Origin: null` with the form.
    assert_eq!(form.headers()["referrer-policy"], "same-origin");
    let tokens = browser.new_user().await;
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&"Bearer".into(), &3_600.into()));

    browser.settle().await;
    // A page that has not changed for ten minutes lives for 60 s.
    browser.time.advance(600);
    for (cache, count) in [("Miss", 0), ("Hit", 0)] {
        assert_eq!(browser.orders(&tokens).await, (cache.to_owned(), count));
    }
    assert_eq!(browser.act("second-user", "").await, 204);
    browser.settle().await;
    browser.time.advance(600);
    assert_eq!(browser.act("second-user", "").await, 204);
    assert_eq!(browser.orders(&tokens).await, ("RefreshHit".to_owned(), 0));
    let sub = browser.sub().await;
    let order = browser.post("/sandbox/actions/order", &[("sub", &sub)]).await;
    assert_eq!(order.status(), 201, "{}", body(&order));
    let order = json(&order);
    browser.world.run_due().await.unwrap();
    let after = async || {
        browser.read(&tokens, &format!("/api/dashboard?after={}", order["after"].as_str().unwrap())).await
    };
    let (cache, _, pending) = after().await;
    assert_eq!((cache.as_str(), &pending["isChangePending"]), ("Miss", &true.into()));
    // The batching window of user-stats.
    browser.time.advance(1);
    browser.world.run_due().await.unwrap();
    for expected in ["Miss", "Hit"] {
        let (cache, _, shown) = after().await;
        assert_eq!((cache.as_str(), &shown["statistics"]["orders"]), (expected, &1.into()));
        assert_eq!(shown.get("isChangePending"), None);
    }
    let (_, _, orders) = browser.read(&tokens, "/api/orders").await;
    assert_eq!(orders["orders"][0]["orderId"], order["orderId"]);
    // A device that does not wait for the order has its page until that expires.
    assert_eq!(browser.orders(&tokens).await, ("Hit".to_owned(), 0));
    browser.settle().await;
    assert_eq!(browser.orders(&tokens).await, ("Hit".to_owned(), 0), "no invalidation");
    browser.time.advance(600);
    assert_eq!(browser.orders(&tokens).await, ("Miss".to_owned(), 1));
    assert_eq!(browser.act("second-user", "").await, 204);
    // No client waits for a notification of the shop.
    assert_eq!(browser.act("notify", &sub).await, 204);
    browser.settle().await;
    assert_eq!(browser.orders(&tokens).await, ("Miss".to_owned(), 1), "invalidated");
    assert_eq!(browser.act("second-user", "").await, 204);

    let list = browser.list().await;
    let position = |part: &str| {
        list.iter()
            .position(|entry| entry.contains(part))
            .unwrap_or_else(|| panic!("{part} is not in {list:#?}"))
    };
    let expected = [
        "pre-sign-up: answered",
        "custom-message: answered: emailMessage",
        "email: Confirm your Example Shop account, to ana@example.com",
        "post-confirmation: answered",
        "user-stats: user.sign_up_attempted, user.message_requested, user.confirmed",
        "DynamoDB: one transaction: EVENT, STATS",
        "pre-authentication: answered",
        "pre-token-generation: answered",
        "Cognito: Ana Example signed in",
        "CloudFront: Miss: GET /api/dashboard (Ana Example)",
        "CloudFront: Hit: GET /api/dashboard (Ana Example)",
        "CloudFront: Miss: GET /api/dashboard (Ben Example)",
        "shop: order.placed for Ana Example",
        "user-stats: order.placed",
        "CloudFront: Miss, change pending: GET /api/dashboard?after=… (Ana Example)",
        "CloudFront: Miss: GET /api/dashboard?after=… (Ana Example)",
        "CloudFront: Hit: GET /api/dashboard?after=… (Ana Example)",
        "cache-invalidation: collects changes until",
    ];
    for part in expected {
        position(part);
    }
    assert!(position("Cognito: Ana Example signed in") < position("Miss: GET /api/dashboard"));
    let invalidations: Vec<&String> =
        list.iter().filter(|entry| entry.contains("CreateInvalidation")).collect();
    let [invalidation] = invalidations[..] else {
        panic!("{invalidations:?}: only the notification needs one")
    };
    // The dashboard, the dashboard with `after`, and the orders.
    assert!(invalidation.contains("(Ana Example): 3 cached answers removed"), "{invalidation}");
    // The second user's page stayed in the cache.
    assert_eq!(list.last().unwrap(), "CloudFront: Hit: GET /api/dashboard (Ben Example)");
}

#[tokio::test]
async fn notification_that_was_read_is_gone() {
    let browser = browser().await;
    let tokens = browser.new_user().await;
    let sub = browser.sub().await;
    assert_eq!(browser.act("notify", &sub).await, 204);
    browser.settle().await;
    let (cache, _, dashboard) = browser.dashboard(&tokens).await;
    assert_eq!((cache.as_str(), &dashboard["statistics"]["unreadNotifications"]), ("Miss", &1.into()));
    let id = dashboard["notifications"][0]["id"].as_str().unwrap();
    let authorization = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let headers = [("authorization", authorization.as_str())];
    let read = browser.send("POST", &format!("/api/notifications/{id}/read"), &headers, String::new()).await;
    assert_eq!(read.status(), 202, "{}", body(&read));
    let path = format!("/api/dashboard?after={}", json(&read)["after"].as_str().unwrap());
    let (_, _, pending) = browser.read(&tokens, &path).await;
    assert_eq!(pending["isChangePending"], true);
    browser.settle().await;
    let (cache, _, dashboard) = browser.read(&tokens, &path).await;
    assert_eq!((cache.as_str(), &dashboard["notifications"]), ("Miss", &Value::Array(Vec::new())));
}

#[tokio::test]
async fn refreshed_token_is_a_new_key_of_the_cache() {
    let browser = browser().await;
    let first = browser.new_user().await;
    browser.settle().await;
    browser.time.advance(1_200);
    assert_eq!(browser.orders(&first).await.0, "Miss");
    let refresh_token = first["refresh_token"].as_str().unwrap();
    let second = json(&browser.refresh(refresh_token).await);
    assert!(second.get("refresh_token").is_none() && second["access_token"] != first["access_token"]);
    assert_eq!(browser.orders(&first).await.0, "Hit");
    assert_eq!(browser.orders(&second).await.0, "Miss");
    browser.time.advance(2_400);
    assert_eq!(browser.dashboard(&first).await.1, 401, "expired");
    assert_eq!(browser.dashboard(&second).await.1, 200);
    let revoke = [("client_id", CLIENT_ID), ("token", refresh_token)];
    assert_eq!(browser.post("/oauth2/revoke", &revoke).await.status(), 200);
    assert_eq!(json(&browser.refresh(refresh_token).await)["error"], "invalid_grant");
}

#[tokio::test]
async fn suspended_user_sees_nothing_and_cannot_refresh() {
    let browser = browser().await;
    let tokens = browser.new_user().await;
    browser.settle().await;
    assert_eq!(browser.dashboard(&tokens).await.1, 200);
    let sub = browser.sub().await;
    assert_eq!(browser.act("suspend", &sub).await, 204);
    browser.settle().await;
    assert_eq!(browser.dashboard(&tokens).await.1, 403);
    let refresh = browser.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!((refresh.status().as_u16(), &json(&refresh)["error"]), (400, &"invalid_grant".into()));
    let denied = browser.login(PASSWORD).await;
    assert_eq!(denied.status(), 400);
    assert!(body(&denied).contains("Sign-in is not possible"), "{}", body(&denied));
    browser.time.advance(1);
    assert_eq!(browser.act("reinstate", &sub).await, 204);
    browser.settle().await;
    let tokens = browser.tokens().await;
    assert_eq!(browser.dashboard(&tokens).await.1, 200);
}

#[tokio::test]
async fn code_of_a_sign_in_counts_once_and_with_its_verifier() {
    let browser = browser().await;
    browser.new_user().await;
    let code = redirected(&browser.login(PASSWORD).await, "code");
    for verifier in ["another-verifier", VERIFIER] {
        let response = browser.redeem(&code, verifier).await;
        assert_eq!((response.status().as_u16(), &json(&response)["error"]), (400, &"invalid_grant".into()));
    }
    let code = redirected(&browser.login(PASSWORD).await, "code");
    assert_eq!(browser.redeem(&code, VERIFIER).await.status(), 200);
    assert_eq!(browser.redeem(&code, VERIFIER).await.status(), 400);
}

#[tokio::test]
async fn wrong_codes_and_passwords_are_refused() {
    let browser = browser().await;
    let code = browser.sign_up().await;
    let wrong = if code == "111111" { "222222" } else { "111111" };
    assert!(body(&browser.confirm(wrong).await).contains("The code is wrong or has expired"));
    // Before the confirmation, the login asks for the code.
    assert!(body(&browser.login(PASSWORD).await).contains("Confirm your account"));
    assert!(body(&browser.confirm(&code).await).contains("The code is wrong"), "a new code was sent");
    let page = body(&browser.login("Another-password-1").await);
    assert!(page.contains("Incorrect username or password"), "{page}");
    let request = browser.request();
    let unknown = [("request", request.as_str()), ("email", "nobody@example.com"), ("password", PASSWORD)];
    assert!(body(&browser.post("/login", &unknown).await).contains("Incorrect username or password"));
    let spam =
        [("request", request.as_str()), ("name", "Eve"), ("email", "eve@spam.test"), ("password", PASSWORD)];
    let denied = browser.post("/signup", &spam).await;
    assert!(body(&denied).contains("Sign-up is not possible"), "{}", body(&denied));
}

#[tokio::test]
async fn forgotten_password_is_replaced_with_a_code() {
    let browser = browser().await;
    browser.new_user().await;
    let request = browser.request();
    let page = body(&browser.post("/forgot", &[("request", &request), ("email", EMAIL)]).await);
    let code = browser.code_on(&page).await;
    let reset = async |code: &str, password: &str| {
        let fields =
            [("request", request.as_str()), ("email", EMAIL), ("code", code), ("password", password)];
        browser.post("/reset", &fields).await
    };
    assert_eq!(reset(&code, "short").await.status(), 400);
    assert_eq!(reset(&code, "Another-password-1").await.status(), 200);
    assert_eq!(reset(&code, "Another-password-2").await.status(), 400);
    assert_eq!(browser.login(PASSWORD).await.status(), 400);
    assert_eq!(browser.login("Another-password-1").await.status(), 303);
    let unknown = browser.post("/forgot", &[("request", &request), ("email", "nobody@example.com")]).await;
    assert!(!body(&unknown).contains("/sandbox/mail/"), "it does not say who has an account");
}

#[tokio::test]
async fn foreign_addresses_are_refused() {
    let browser = browser().await;
    let authorize = |changes: &[(&str, &str)]| {
        let mut fields: Vec<(String, String)> =
            form_urlencoded::parse(browser.request().as_bytes()).into_owned().collect();
        for (name, value) in changes {
            fields.retain(|(other, _)| other != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        form_urlencoded::Serializer::new("/oauth2/authorize?".to_owned()).extend_pairs(fields).finish()
    };
    let page = browser.page();
    for (changes, status) in [
        (&[("redirect_uri", "https://evil.example.com/")][..], 400),
        (&[("redirect_uri", &format!("{page}other"))], 400),
        (&[("redirect_uri", &format!("{}@evil.example.com/", page.trim_end_matches('/')))], 400),
        (&[("client_id", "other")], 400),
    ] {
        let response = browser.get(&authorize(changes)).await;
        assert_eq!(response.status(), status, "{changes:?}");
        assert!(!response.headers().contains_key("location"), "{changes:?}");
    }
    for (changes, error) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("scope", "openid admin")], "invalid_scope"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
    ] {
        let response = browser.get(&authorize(changes)).await;
        assert_eq!(redirected(&response, "error"), error);
        assert!(response.headers()["location"].to_str().unwrap().starts_with(&page));
    }
    let logout = |uri: &str| format!("/logout?{}", encoded(&[("client_id", CLIENT_ID), ("logout_uri", uri)]));
    assert_eq!(browser.get(&logout(&page)).await.status(), 303);
    assert_eq!(browser.get(&logout("https://evil.example.com/")).await.status(), 400);
}

#[tokio::test]
async fn other_websites_cannot_use_the_server() {
    let browser = browser().await;
    let own = format!("127.0.0.1:{}", browser.port);
    let origin = format!("http://{own}");
    for (headers, status) in [
        (&[("host", own.as_str())][..], 200),
        (&[("host", &own), ("origin", &origin)], 200),
        (&[("host", "evil.example.com")], 421),
        (&[("host", "127.0.0.1")], 421),
        (&[("host", &own), ("origin", "https://evil.example.com")], 403),
        (&[("host", &own), ("origin", "null")], 403),
        (&[("host", &format!("localhost:{}", browser.port))], 307),
    ] {
        for path in ["/sandbox/state", "/api/config", "/"] {
            let response = browser.send("GET", path, headers, String::new()).await;
            assert_eq!(response.status(), status, "{headers:?} {path}");
            assert!(!response.headers().contains_key("access-control-allow-origin"));
        }
    }
    let foreign = [("origin", "https://evil.example.com")];
    let action = browser.send("POST", "/sandbox/actions/second-user", &foreign, String::new()).await;
    assert_eq!(action.status(), 403);
}

#[tokio::test]
async fn tampered_tokens_long_bodies_and_unknown_paths_are_refused() {
    let browser = browser().await;
    let tokens = browser.new_user().await;
    let token = tokens["access_token"].as_str().unwrap();
    let id_token = tokens["id_token"].as_str().unwrap();
    let (head, signature) = token.rsplit_once('.').unwrap();
    let tampered = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for (token, status) in [(token, 200), (&tampered, 401), (id_token, 401), ("", 401)] {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str())];
        let response = browser.send("GET", "/api/dashboard", &headers, String::new()).await;
        assert_eq!(response.status(), status, "{token}");
    }
    let long = browser.send("POST", "/login", &[], "a".repeat(100_000)).await;
    assert_eq!(long.status(), 413);
    let long = browser.send("POST", "/api/notifications/1/read", &[], "a".repeat(100_000)).await;
    assert_eq!(long.status(), 413);
    for (path, status) in
        [("/../Cargo.toml", 403), ("/sandbox/mail/99", 404), ("/sandbox/mail/x", 400), ("/other.html", 403)]
    {
        assert_eq!(browser.get(path).await.status(), status, "{path}");
    }
    assert_eq!(browser.act("order", "nobody").await, 404);
    assert_eq!(browser.act("other", &browser.sub().await).await, 404);
}

#[test]
fn port_in_use_is_one_line_with_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = super::command_line::sandbox(&["serve", "--port", &port]);
    let expected = format!("sandbox: port {port} is in use. Choose another one with --port\n");
    assert_eq!(super::command_line::text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(1));
}
