//! The rows of the tables in docs/caching.md, each as a test.

use super::distribution::{CACHE_TAG, CachePolicy, X_ORIGIN_VERIFY};
use super::*;

/// The contract's headers for a user's page.
const CONTRACT: &str = "max-age=0, s-maxage=1800, stale-if-error=0";

/// An edge, an origin that counts its requests, and a time.
struct World {
    edge: Edge,
    now: Timestamp,
    /// Status and headers of the origin's answers.
    status: u16,
    headers: Vec<(&'static str, String)>,
    asked: Vec<Request<Bytes>>,
}

impl World {
    fn new(mut distribution: Distribution, cache_control: &str) -> Self {
        // The tables of docs/caching.md are about one behavior.
        distribution.behaviors.truncate(1);
        distribution.behaviors[0].path_prefix = "";
        Self {
            edge: Edge::new(distribution),
            now: "2026-03-02T09:00:00Z".parse().unwrap(),
            status: 200,
            headers: vec![("cache-control", cache_control.to_owned())],
            asked: Vec::new(),
        }
    }

    /// The template's distribution, and an origin that follows the contract.
    fn contract() -> Self {
        Self::new(Distribution::of_template(1_800, None), CONTRACT)
    }

    fn with(cache_control: &str) -> Self {
        Self::new(Distribution::of_template(1_800, None), cache_control)
    }

    fn after(&mut self, seconds: i64) {
        self.now = shared::time::plus_seconds(self.now, seconds);
    }

    fn send(&mut self, request: Request<Bytes>) -> Response<Bytes> {
        let user = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let ask = match self.edge.receive(request, self.now) {
            Decision::Answer(response) => return response,
            Decision::AnswerAndAsk(response, ask) => {
                let answer = self.origin(&ask, user.as_deref());
                self.edge.answer(*ask, answer, self.now);
                return response;
            }
            Decision::Ask(ask) => ask,
        };
        let answer = self.origin(&ask, user.as_deref());
        self.edge.answer(*ask, answer, self.now)
    }

    fn origin(&mut self, ask: &OriginRequest, user: Option<&str>) -> Response<Bytes> {
        self.asked.push(ask.request.clone());
        let body = Bytes::from(format!("answer {}", self.asked.len()));
        let mut response = Response::builder().status(self.status).body(body).unwrap();
        for (name, value) in &self.headers {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        if let Some(user) = user {
            let user = user.trim_start_matches("Bearer ");
            response.headers_mut().append("cache-tag", format!("user:{user},users").parse().unwrap());
        }
        response
    }

    /// `Hit`, `Miss`, `RefreshHit` or `Error`.
    fn get(&mut self, path: &str, user: &str) -> String {
        self.request("GET", path, &[("authorization", &format!("Bearer {user}"))])
    }

    fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        result(&self.send(request(method, path, headers)))
    }

    fn invalidate(&mut self, item: &str) -> usize {
        self.edge.invalidate(&[item.to_owned()]).len()
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::new()).unwrap()
}

fn result(response: &Response<Bytes>) -> String {
    let text = response.headers()[X_CACHE].to_str().unwrap();
    text.strip_suffix(" from cloudfront").unwrap().to_owned()
}

/// Two requests after each other.
fn twice(world: &mut World) -> [String; 2] {
    [world.get("/dashboard", "ana"), world.get("/dashboard", "ana")]
}

#[test]
fn contract_caches_until_s_maxage() {
    let mut world = World::contract();
    assert_eq!(twice(&mut world), ["Miss", "Hit"]);
    world.after(1_799);
    assert_eq!(world.get("/dashboard", "ana"), "Hit");
    world.after(1);
    assert_eq!(world.get("/dashboard", "ana"), "Miss");
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn answer_without_s_maxage_or_with_a_forbidden_directive_is_not_cached() {
    for value in [
        "max-age=0",
        "max-age=0, must-revalidate",
        "private, s-maxage=60",
        "no-store",
        "no-cache, s-maxage=60",
    ] {
        assert_eq!(twice(&mut World::with(value)), ["Miss", "Miss"], "{value}");
    }
}

#[test]
fn max_ttl_limits_s_maxage() {
    let mut world = World::with("s-maxage=86400");
    assert_eq!(world.get("/dashboard", "ana"), "Miss");
    world.after(1_800);
    assert_eq!(world.get("/dashboard", "ana"), "Miss");
}

#[test]
fn stale_if_error_0_shows_the_error() {
    for (value, expected) in [
        (CONTRACT, "Error"),
        ("max-age=0, s-maxage=1800", "Hit"),
        ("s-maxage=1800, stale-if-error=60", "Hit"),
    ] {
        let mut world = World::with(value);
        world.get("/dashboard", "ana");
        world.after(1_830);
        world.status = 503;
        assert_eq!(world.get("/dashboard", "ana"), expected, "{value}");
    }
}

#[test]
fn stale_while_revalidate_serves_the_expired_page_once_more() {
    let mut world = World::with("s-maxage=1800, stale-while-revalidate=60, stale-if-error=0");
    world.get("/dashboard", "ana");
    world.after(1_810);
    let stale = world.send(request("GET", "/dashboard", &[("authorization", "Bearer ana")]));
    assert_eq!((result(&stale).as_str(), stale.body().as_ref()), ("Hit", b"answer 1".as_slice()));
    assert_eq!(stale.headers()["age"], "1810");
    let fresh = world.send(request("GET", "/dashboard", &[("authorization", "Bearer ana")]));
    assert_eq!((result(&fresh).as_str(), fresh.body().as_ref()), ("Hit", b"answer 2".as_slice()));
}

#[test]
fn tag_invalidates_every_page_and_token_of_one_user() {
    let mut world = World::contract();
    let pages = ["/dashboard", "/dashboard?tab=orders", "/orders"];
    for user in ["ana", "ben"] {
        for page in pages {
            assert_eq!(world.get(page, user), "Miss");
        }
    }
    assert_eq!(world.invalidate("#user:ana"), 3);
    for page in pages {
        assert_eq!(world.get(page, "ana"), "Miss", "{page}");
        assert_eq!(world.get(page, "ben"), "Hit", "{page}");
    }
    assert_eq!(world.invalidate("#users"), 6);
    assert_eq!(world.get("/dashboard", "ben"), "Miss");
}

#[test]
fn answer_without_a_tag_stays_until_it_expires() {
    let mut world = World::contract();
    let get = |world: &mut World| world.request("GET", "/api/config", &[]);
    assert_eq!([get(&mut world), get(&mut world)], ["Miss", "Hit"]);
    assert_eq!(world.invalidate("#users"), 0);
    assert_eq!(get(&mut world), "Hit");
}

#[test]
fn only_url_authorization_and_origin_are_in_the_key() {
    let mut world = World::contract();
    assert_eq!(world.get("/dashboard", "ana"), "Miss");
    let ana = ("authorization", "Bearer ana");
    for (path, header, expected) in [
        ("/dashboard", ("accept-language", "de"), "Hit"),
        ("/dashboard", ("cookie", "a=b"), "Hit"),
        ("/dashboard", ("cache-control", "no-cache"), "Hit"),
        ("/dashboard", ("user-agent", "curl"), "Hit"),
        ("/dashboard", ("host", "other.example.com"), "Hit"),
        ("/dashboard", ("origin", "https://www.example.com"), "Miss"),
        ("/dashboard", ("accept-encoding", "gzip, deflate, br;q=0.9"), "Miss"),
        ("/dashboard", ("accept-encoding", "br, gzip, zstd"), "Hit"),
        ("/dashboard?a=1", ("accept", "*/*"), "Miss"),
        ("/Dashboard", ("accept", "*/*"), "Miss"),
        ("/dashboard/", ("accept", "*/*"), "Miss"),
    ] {
        assert_eq!(world.request("GET", path, &[ana, header]), expected, "{path} {header:?}");
    }
    assert_eq!(
        world.request("GET", "/dashboard", &[ana, ("authorization", "Bearer ben")]),
        "Miss",
        "two values"
    );
    assert_eq!(world.request("HEAD", "/dashboard", &[ana]), "Miss");
    assert_eq!(world.request("HEAD", "/dashboard", &[ana]), "Hit");
    assert_eq!(world.request("POST", "/dashboard", &[ana]), "Miss");
    assert_eq!(world.request("POST", "/dashboard", &[ana]), "Miss");
    assert_eq!(world.request("TRACE", "/dashboard", &[ana]), "Error");
}

/// Without `Authorization` in the key, one user's page is served to others (docs/caching.md, Existing
/// distributions). `Vary` does not change that.
#[test]
fn vary_does_not_separate_users() {
    let mut distribution = Distribution::of_template(1_800, None);
    distribution.behaviors[0].cache.headers.clear();
    let mut world = World::new(distribution, CONTRACT);
    world.headers.push(("vary", "Authorization".to_owned()));
    assert_eq!(world.get("/dashboard", "ana"), "Miss");
    assert_eq!(world.get("/dashboard", "ben"), "Hit");
}

#[test]
fn without_a_tag_header_an_invalidation_by_tag_removes_nothing() {
    let distribution = Distribution { tag_header: None, ..Distribution::of_template(1_800, None) };
    let mut world = World::new(distribution, CONTRACT);
    world.get("/dashboard", "ana");
    assert_eq!(world.invalidate("#user:ana"), 0);
    assert_eq!(world.get("/dashboard", "ana"), "Hit");
}

#[test]
fn error_is_cached_only_if_the_origin_sends_s_maxage() {
    for (status, value, expected) in [
        (403, "no-store", ["Error", "Error"]),
        (404, "no-store", ["Error", "Error"]),
        (503, "no-store", ["Error", "Error"]),
        (404, "max-age=0", ["Error", "Error"]),
        (403, CONTRACT, ["Error", "Error"]),
    ] {
        let mut world = World::with(value);
        world.status = status;
        assert_eq!(twice(&mut world), expected, "{status} {value}");
        let is_cached = value == CONTRACT;
        assert_eq!(world.asked.len(), if is_cached { 1 } else { 2 }, "{status} {value}");
    }
    let mut distribution = Distribution::of_template(1_800, None);
    distribution.behaviors[0].cache.error_caching_min_ttl = 10;
    let mut world = World::new(distribution, "max-age=0");
    world.status = 404;
    twice(&mut world);
    assert_eq!(world.asked.len(), 1, "CloudFront's default");
}

#[test]
fn origin_gets_only_the_headers_of_the_policies() {
    let secret = HeaderValue::from_static("secret");
    let mut world = World::new(Distribution::of_template(1_800, Some(secret)), CONTRACT);
    let sent = [
        ("authorization", "Bearer ana"),
        ("origin", "https://www.example.com"),
        ("content-type", "application/json"),
        ("cookie", "a=b"),
        ("host", "www.example.com"),
        ("x-forwarded-host", "evil.example.com"),
        ("x-original-url", "/admin"),
        ("x-origin-verify", "guess"),
        ("x-forwarded-for", "203.0.113.9"),
        ("accept-encoding", "gzip, br, zstd"),
        ("user-agent", "curl"),
    ];
    world.request("GET", "/dashboard", &sent);
    let headers = world.asked[0].headers();
    let received: Vec<(&str, Vec<&str>)> = headers
        .keys()
        .map(|name| {
            let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap());
            (name.as_str(), values.collect())
        })
        .collect();
    let mut received = received;
    received.sort();
    assert_eq!(
        received,
        [
            ("accept-encoding", vec!["br,gzip"]),
            ("authorization", vec!["Bearer ana"]),
            ("content-type", vec!["application/json"]),
            ("host", vec!["api.example.com"]),
            ("origin", vec!["https://www.example.com"]),
            ("user-agent", vec!["Amazon CloudFront"]),
            ("via", vec!["1.1 sandbox (CloudFront)"]),
            ("x-forwarded-for", vec!["203.0.113.9", "127.0.0.1"]),
            (X_ORIGIN_VERIFY.as_str(), vec!["secret"]),
        ]
    );
}

#[test]
fn viewer_sees_no_tags_and_the_age_of_the_page() {
    let mut world = World::contract();
    let get = || request("GET", "/dashboard", &[("authorization", "Bearer ana")]);
    let miss = world.send(get());
    assert!(!miss.headers().contains_key(CACHE_TAG) && !miss.headers().contains_key("age"));
    assert_eq!(miss.headers()["x-content-type-options"], "nosniff");
    world.after(7);
    let hit = world.send(get());
    assert!(!hit.headers().contains_key(CACHE_TAG));
    assert_eq!((&hit.headers()["age"], hit.body()), (&HeaderValue::from(7), miss.body()));
}

#[test]
fn edge_answers_a_condition_itself() {
    let mut world = World::contract();
    world.headers.push(("etag", "\"v1\"".to_owned()));
    let conditional = [("authorization", "Bearer ana"), ("if-none-match", "\"v1\"")];
    for expected in ["Miss", "Hit"] {
        let response = world.send(request("GET", "/dashboard", &conditional));
        assert_eq!((response.status().as_u16(), result(&response).as_str()), (304, expected));
        assert!(response.body().is_empty());
    }
    assert_eq!(world.asked.len(), 1);
    assert!(!world.asked[0].headers().contains_key("if-none-match"));
    let other = world.send(request("GET", "/dashboard", &[conditional[0], ("if-none-match", "\"v0\"")]));
    assert_eq!((other.status().as_u16(), other.body().as_ref()), (200, b"answer 1".as_slice()));
}

#[test]
fn expired_page_is_revalidated() {
    let mut world = World::contract();
    world.headers.push(("etag", "\"v1\"".to_owned()));
    world.get("/dashboard", "ana");
    world.after(1_800);
    world.status = 304;
    let response = world.send(request("GET", "/dashboard", &[("authorization", "Bearer ana")]));
    assert_eq!((response.status().as_u16(), result(&response).as_str()), (200, "RefreshHit"));
    assert_eq!(response.body().as_ref(), b"answer 1");
    assert_eq!(world.asked[1].headers()["if-none-match"], "\"v1\"");
    assert_eq!(world.get("/dashboard", "ana"), "Hit");
    assert_eq!(world.invalidate("#user:ana"), 1, "the tags of the 304");
}

#[test]
fn invalidation_while_the_origin_answers_304_leaves_a_complete_answer() {
    let mut world = World::contract();
    world.headers.push(("etag", "\"v1\"".to_owned()));
    world.get("/dashboard", "ana");
    world.after(1_801);
    let viewer = request("GET", "/dashboard", &[("authorization", "Bearer ana")]);
    let Decision::Ask(asked) = world.edge.receive(viewer, world.now) else { panic!() };
    assert_eq!(asked.request.headers()["if-none-match"], "\"v1\"");
    assert_eq!(world.invalidate("#user:ana"), 1);
    let not_modified = Response::builder().status(304).header("etag", "\"v1\"").body(Bytes::new()).unwrap();
    let response = world.edge.answer(*asked, not_modified, world.now);
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, &b"answer 1"[..]));
}

/// The table "Common mistake" of docs/caching.md, with a hundred users instead of a million.
#[test]
fn invalidating_one_path_evicts_every_user() {
    const USERS: usize = 100;
    let names: Vec<String> = (0..USERS).map(|number| format!("user{number}")).collect();
    let policy = CachePolicy { min_ttl: 60, ..CachePolicy::of_template(1_800) };
    let mut tutorial = Distribution::of_template(1_800, None);
    tutorial.behaviors[0].cache = policy;
    let tutorial = World::new(tutorial, "private");
    // The item for a change of user0, the requests to the origin afterwards, and the hits of a page
    // with a query string of user0.
    for (mut world, item, expected_asked, query_after) in
        [(tutorial, "/dashboard", USERS, "Hit"), (World::contract(), "#user:user0", 1, "Miss")]
    {
        for name in &names {
            world.get("/dashboard", name);
        }
        world.get("/dashboard?tab=orders", "user0");
        let before = world.asked.len();
        world.invalidate(item);
        for name in &names {
            world.get("/dashboard", name);
        }
        assert_eq!(world.asked.len() - before, expected_asked, "{item}");
        assert_eq!(world.get("/dashboard?tab=orders", "user0"), query_after, "{item}");
    }
    // `private` is stored with MinTTL 60, and with MinTTL 0 the tutorial caches nothing.
    let mut without_min_ttl = World::with("private");
    assert_eq!(twice(&mut without_min_ttl), ["Miss", "Miss"]);
    // Each change of any user empties the cache for all: after every change, no user has a hit.
    let mut world = World::new(
        {
            let mut distribution = Distribution::of_template(1_800, None);
            distribution.behaviors[0].cache.min_ttl = 60;
            distribution
        },
        "private",
    );
    let mut hits = 0;
    for _ in 0..10 {
        world.invalidate("/dashboard");
        hits += names.iter().filter(|name| world.get("/dashboard", name) == "Hit").count();
    }
    assert_eq!(hits, 0);
}

#[test]
fn path_with_an_asterisk_purges_all_users() {
    let mut world = World::contract();
    world.get("/users/ana/dashboard", "ana");
    world.get("/users/ben/dashboard?tab=1", "ben");
    assert_eq!(world.invalidate("/users/ana/dashboard"), 1);
    assert_eq!(world.get("/users/ben/dashboard?tab=1", "ben"), "Hit");
    assert_eq!(world.invalidate("/users/*"), 1);
    assert_eq!(world.get("/users/ben/dashboard?tab=1", "ben"), "Miss");
}

#[test]
fn full_cache_evicts_the_answer_that_expires_first() {
    let mut world = World::contract();
    for number in 0..=MAX_ENTRIES {
        world.get(&format!("/{number}"), "ana");
        world.after(1);
    }
    assert_eq!(world.edge.len(), MAX_ENTRIES);
    assert_eq!(world.get("/1", "ana"), "Hit");
    assert_eq!(world.get("/0", "ana"), "Miss");
}
