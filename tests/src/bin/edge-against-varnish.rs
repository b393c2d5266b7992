//! Compares the edge model with Varnish: the same requests, the same answers from the cache. It panics
//! at the first difference.
//!
//! A program and not a test, because it needs Varnish 7 with xkey, and waits for lifetimes to end on
//! the machine's clock. `cargo xtask ci varnish` runs it.
//!
//! Varnish has its own rules for HEAD, for expired answers while the origin fails, and for
//! `If-None-Match`. The requests leave them out.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a check may fail loudly"
)]

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use jiff::Timestamp;
use sandbox::edge::distribution::Distribution;
use sandbox::edge::{Decision, Edge};
use shared::time::plus_seconds;
use tests::http::exchange;
use tokio::process::{Child, Command};

/// MaxTTL of both caches, in seconds.
const MAX_TTL: i64 = 5;
/// One wait, in seconds: longer than the short lifetime, and shorter than MaxTTL.
const WAIT: u64 = 3;
/// The origin's answers: status, `Cache-Control`, and whether it tags them. `stale-if-error=0`, because
/// CloudFront otherwise serves expired answers while the origin fails.
const PAGES: [(u16, &str, bool); 12] = [
    (200, "max-age=0, s-maxage=1800, stale-if-error=0", true),
    (200, "max-age=0, s-maxage=2, stale-if-error=0", true),
    (200, "max-age=0, s-maxage=1800, stale-if-error=0", false),
    (200, "max-age=2, stale-if-error=0", true),
    (200, "max-age=0", true),
    (200, "private, s-maxage=1800", true),
    (200, "no-store, s-maxage=1800", true),
    (200, "no-cache, s-maxage=1800", true),
    (403, "no-store", true),
    (403, "s-maxage=1800, stale-if-error=0", true),
    (404, "s-maxage=2, stale-if-error=0", true),
    (503, "no-store", true),
];
const USERS: [&str; 2] = ["ana", "ben"];

/// One step of a sequence.
#[derive(Debug)]
enum Action {
    Request(Box<Request<Bytes>>),
    Invalidate(String),
    Wait,
}

impl Action {
    fn random(rng: &mut Rng) -> Self {
        match rng.u8(..100) {
            0..93 => Self::Request(Box::new(random_request(rng))),
            93..96 => Self::Invalidate(format!("#User:{}", USERS[rng.usize(..USERS.len())])),
            96..97 => Self::Invalidate("#users".to_owned()),
            97..99 => Self::Invalidate(random_path(rng)),
            _ => Self::Invalidate(format!("/{}*", rng.usize(..PAGES.len()))),
        }
    }
}

fn random_path(rng: &mut Rng) -> String {
    let query = if rng.u8(..4) == 0 { "?tab=orders" } else { "" };
    format!("/{}{query}", rng.usize(..PAGES.len()))
}

fn random_request(rng: &mut Rng) -> Request<Bytes> {
    let method = if rng.u8(..20) == 0 { Method::POST } else { Method::GET };
    let mut request = Request::builder().method(method).uri(random_path(rng));
    if rng.u8(..10) > 0 {
        request = request.header("authorization", format!("Bearer {}", USERS[rng.usize(..USERS.len())]));
    }
    for (name, value) in [
        ("origin", "https://www.example.com"),
        ("cookie", "a=b"),
        ("accept-language", "de"),
        ("cache-control", "no-cache"),
    ] {
        if rng.u8(..8) == 0 {
            request = request.header(name, value);
        }
    }
    request.body(Bytes::new()).unwrap()
}

/// The origin's answer. The body is the number of the answer, so that it shows which one was cached.
fn answer<B>(request: &Request<B>, number: usize) -> Response<Bytes> {
    let page = request.uri().path().trim_start_matches('/').parse::<usize>().unwrap_or_default();
    let (status, cache_control, has_tags) = PAGES[page];
    let mut response = Response::builder().status(status).header("cache-control", cache_control);
    if let Some(user) = request.headers().get("authorization").filter(|_| has_tags) {
        let user = user.to_str().unwrap().trim_start_matches("Bearer ");
        response = response.header("cache-tag", format!("user:{user},users"));
    }
    response.body(Bytes::from(number.to_string())).unwrap()
}

/// The model with its origin.
struct Model {
    edge: Edge,
    now: Timestamp,
    answers: usize,
}

impl Model {
    fn get(&mut self, request: Request<Bytes>) -> (u16, Bytes) {
        let response = match self.edge.receive(request, self.now) {
            Decision::Answer(response) | Decision::AnswerAndAsk(response, _) => response,
            Decision::Ask(ask) => {
                self.answers += 1;
                let answer = answer(&ask.request, self.answers);
                self.edge.answer(*ask, answer, self.now)
            }
        };
        (response.status().as_u16(), response.into_body())
    }
}

/// A running Varnish. It ends with this value.
struct Varnish {
    port: u16,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Varnish {
    async fn start(origin: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vcl = include_str!("edge-against-varnish.vcl").replace("PORT", &origin.to_string());
        let vcl = vcl.replace("MAX_TTL", &MAX_TTL.to_string());
        let file = folder.path().join("edge.vcl");
        std::fs::write(&file, vcl).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("/usr/sbin/varnishd")
            .arg("-F")
            .args(["-a", &format!("127.0.0.1:{port}"), "-s", "default,16m"])
            .args(["-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=0"])
            .arg("-f")
            .arg(&file)
            .arg("-n")
            .arg(folder.path().join("work"))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("varnishd can be started");
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Self { port, _child: child, _folder: folder };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("varnishd does not listen after 20 s");
    }

    async fn get(&self, request: Request<Bytes>) -> (u16, Bytes) {
        let response = exchange(self.port, request).await;
        (response.status().as_u16(), response.into_body())
    }

    async fn invalidate(&self, item: &str) {
        let (name, value) = match (item.strip_prefix('#'), item.strip_suffix('*')) {
            (Some(tag), _) => ("x-tag", tag.to_owned()),
            (None, Some(prefix)) => ("x-ban", format!("obj.http.x-url ~ ^{prefix}")),
            (None, None) => ("x-ban", format!("obj.http.x-url == {item}")),
        };
        let purge = Request::builder().method("PURGE").uri("/").header(name, value);
        let (status, _) = self.get(purge.body(Bytes::new()).unwrap()).await;
        assert_eq!(status, 200, "{item}");
    }
}

#[tokio::main]
async fn main() {
    let answers = Arc::new(AtomicUsize::new(0));
    let counter = answers.clone();
    let origin = budgets::server::serve(None, move |request: Request<Incoming>| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move { answer(&request, number).map(Full::new) }
    });
    let origin = origin.await;
    let varnish = Varnish::start(origin.address.port()).await;
    // Varnish has one behavior: that of the API, for all paths.
    let mut distribution = Distribution::of_template(MAX_TTL, None);
    distribution.behaviors.truncate(1);
    distribution.behaviors[0].path_prefix = "";
    let mut model =
        Model { edge: Edge::new(distribution), now: "2026-03-02T09:00:00Z".parse().unwrap(), answers: 0 };
    let mut rng = Rng::with_seed(16);
    let (mut hits, mut misses) = (0, 0);
    for number in 0..2_000 {
        // Five parts with a wait in between.
        let action = if number % 400 == 399 { Action::Wait } else { Action::random(&mut rng) };
        match action {
            Action::Request(request) => {
                let before = model.answers;
                let shown = format!("step {number}: {request:?}");
                let expected = model.get((*request).clone());
                assert_eq!(varnish.get(*request).await, expected, "{shown}");
                *(if model.answers == before { &mut hits } else { &mut misses }) += 1;
            }
            Action::Invalidate(item) => {
                model.edge.invalidate(std::slice::from_ref(&item));
                varnish.invalidate(&item).await;
            }
            Action::Wait => {
                tokio::time::sleep(Duration::from_secs(WAIT)).await;
                model.now = plus_seconds(model.now, WAIT as i64);
            }
        }
    }
    assert_eq!(answers.load(Ordering::SeqCst), model.answers, "requests to the origin");
    println!("Varnish and the model agree: {hits} hits, {misses} misses");
    assert!(hits > 200 && misses > 200, "{hits} hits, {misses} misses");
}
