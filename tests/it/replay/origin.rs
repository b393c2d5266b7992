//! `replay origin check`, its rules on the answers of read-api, and the origin of docs/caching.md.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use jiff::fmt::rfc2822::DateTimePrinter;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use replay::origin::check::{Checked, Expectations, ExpectedAnswer, check};
use replay::origin::finding::{Finding, Note};
use replay::origin::response::{Response, parse};
use sandbox::functions::invoke_http_api;
use serde_json::{Value, json};
use shared::freshness::{CacheLifetime, OriginLifetime};
use shared::time::plus_seconds;
use tests::fixtures;

use super::support::{CommandRun, command, run};
use crate::support::{ANA, TestStack, batch, event, order, test_stack};

/// Sub of the user Ben in the fixtures.
const BEN: &str = "e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25";

const ADAPTIVE: CacheLifetime =
    CacheLifetime { origin: OriginLifetime::Adaptive, divisor: 10, min_seconds: 5, max_seconds: 60 };

/// Runs `replay origin check` with a text on standard input. No call to AWS is made.
async fn check_text(arguments: &[&str], input: &[u8]) -> CommandRun {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(input).unwrap();
    let mut replay = command("http://127.0.0.1:9", &[&["origin", "check"], arguments].concat());
    replay.stdin(Stdio::from(file.reopen().unwrap()));
    run(replay).await
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_one_line_for_each_finding_and_exits_with_1() {
    let input = format!(
        "HTTP/1.1 301 Moved Permanently\r\nLocation: /dashboard\r\n\r\n\
         HTTP/2 200 \r\ndate: Mon, 02 Mar 2026 09:00:00 GMT\r\ncache-control: public, max-age=30, s-maxage=60\r\n\
         cache-control: s-maxage=1800\r\nCache-Tag: user:{ANA}\r\nvary: Accept-Language\r\n\
         set-cookie: session=secret-cookie\r\n\r\n{{\"user\": \"secret-body\"}}"
    );
    let ran = check_text(&["--sub", BEN], input.as_bytes()).await;
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.stdout, @r"
    standard input, response 1: status 301, CloudFront keeps no copy
    standard input, response 2: status 200, CloudFront keeps it for 1800 s
      lifetime_above_maximum  Cache-Control: s-maxage is 1800, but the workers treat a page as expired after 60 s. CloudFront cuts it off only if the MaxTTL of the cache policy does. Lower s-maxage. If MaxCacheLifetimeSeconds is higher, pass it as --max-lifetime
      max_age  Cache-Control: Browsers keep the page for 30 s. No invalidation reaches them. Send max-age=0
      missing_stale_if_error  Cache-Control: Without stale-if-error=0, CloudFront may serve the expired page while the origin fails. Send stale-if-error=0
      vary  Vary: Accept-Language is not part of the cache key, so CloudFront serves this answer to viewers with every value. Send no s-maxage, or add the header to the cache policy and pass it as --key-header
      set_cookie  Set-Cookie: CloudFront keeps the cookie with the page, and sends it with each hit. Remove Set-Cookie from answers with s-maxage
      missing_user_tag  Cache-Tag: Without the tag user:{sub} of --sub, an invalidation of the user does not remove the page. Add the tag with the sub of the verified token
      missing_users_tag  Cache-Tag: Without the tag users, a purge of all users does not remove the page. Add the tag users
      repeated_directive  Cache-Control: s-maxage is there twice. AWS does not document which one CloudFront takes. Send it once. A proxy or a framework may add the second one
    ");
    insta::assert_snapshot!(
        ran.stderr,
        @"replay: 8 findings in 2 responses. Correct the origin, then check it again. docs/caching.md is the contract"
    );
    assert!(!ran.stdout.contains("secret") && !ran.stderr.contains("secret"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_of_a_right_answer_exits_with_0() {
    let page = "HTTP/1.1 200 OK\r\nDate: Mon, 02 Mar 2026 09:00:00 GMT\r\nCache-Control: max-age=0, \
                s-maxage=30, stale-if-error=0\r\nCache-Tag: user:ana,users\r\n\r\n\
                {\"lastChangedAt\": \"2026-03-02T08:55:00.000Z\"}";
    let pending =
        "HTTP/2 200 \r\ncache-control: no-store\r\nretry-after: 1\r\n\r\n{\"isChangePending\": true}";
    let error = "HTTP/2 401 \r\ncache-control: no-store\r\n\r\n";
    let mut output = String::new();
    for (arguments, input) in [
        (&["--sub", "ana", "--adaptive"][..], page.to_owned()),
        (&["--max-lifetime", "30"], format!("{page}{page}")),
        (&["--adaptive"], page.replace("30", "5")),
        (&["--expect", "pending"], pending.to_owned()),
        (&["--expect", "uncached"], pending.to_owned()),
        (&["--expect", "error"], error.to_owned()),
        (&["--without-tags"], page.replace("Cache-Tag", "X-Other")),
        (&["--tag-header", "x-other"], page.replace("Cache-Tag", "X-Other")),
    ] {
        let ran = check_text(arguments, input.as_bytes()).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}\n{}", ran.stdout);
        output += &ran.stdout;
    }
    insta::assert_snapshot!(output, @r"
    standard input, response 1: status 200, CloudFront keeps it for 30 s
    Nothing is wrong
    standard input, response 1: status 200, CloudFront keeps it for 30 s
    standard input, response 2: status 200, CloudFront keeps it for 30 s
    Nothing is wrong
    standard input, response 1: status 200, CloudFront keeps it for 5 s
      note: The age of the data allows 29 s, and s-maxage is 5. This is right if the token or a permission ends then
    Nothing is wrong
    standard input, response 1: status 200, CloudFront keeps no copy
    Nothing is wrong
    standard input, response 1: status 200, CloudFront keeps no copy
    Nothing is wrong
    standard input, response 1: status 401, CloudFront keeps no copy
    Nothing is wrong
    standard input, response 1: status 200, CloudFront keeps it for 30 s
    Nothing is wrong
    standard input, response 1: status 200, CloudFront keeps it for 30 s
    Nothing is wrong
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_checked_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(
        path("a"),
        "HTTP/1.1 500 Error\r\n\r\nHTTP/1.1 404 Not Found\r\nCache-Control: max-age=9\r\n\r\n",
    )
    .unwrap();
    fs::write(path("b"), "HTTP/1.1 200 OK\r\nCache-Control: private\r\n\r\n<html>").unwrap();
    let ran = check_text(&["--expect", "error", &path("a"), "-", &path("b")], b"HTTP/2 403\n\n").await;
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.stdout.replace(&path(""), ""), @r"
    a, response 1: status 500, CloudFront keeps no copy
    a, response 2: status 404, CloudFront keeps it for 9 s
      cached_error  Cache-Control: CloudFront keeps the 404 for up to 9 s, also after its cause is gone. Send no-store, without s-maxage
    standard input, response 1: status 403, CloudFront keeps no copy
    b, response 1: status 200, CloudFront keeps no copy
      unexpected_status  status: The status is 200. Leave out --expect error, or request something that fails
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_without_a_response_and_wrong_options_exit_with_2() {
    let mut answers = String::new();
    for (arguments, input) in [
        (&[][..], &b""[..]),
        (&["-"], b"{\"orders\": []}"),
        (&["no-such-file"], b""),
        (&["--sub", "ana@example.com"], b"HTTP/2 200\n"),
    ] {
        let ran = check_text(arguments, input).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        answers += &ran.stderr;
    }
    insta::assert_snapshot!(answers, @r"
    replay: standard input: no HTTP response. Use curl -si, which prints the status line and the headers
    replay: standard input: no HTTP response. Use curl -si, which prints the status line and the headers
    replay: no-such-file: No such file or directory (os error 2)
    replay: --sub: expected the sub of the token, which is not an email address and contains no spaces
    ");
    for arguments in [
        &["--expect", "nothing"][..],
        &["--divisor", "5"],
        &["--adaptive", "--divisor", "0"],
        &["--max-lifetime", "-1"],
        &["--adaptive", "--last-changed-at", "yesterday"],
        &["--without-tags", "--tag-header", "x"],
    ] {
        assert_eq!(check_text(arguments, b"HTTP/2 200\n").await.code, 2, "{arguments:?}");
    }
}

#[test]
fn replay_md_describes_every_finding_and_no_other() {
    let source = include_str!("../../../replay/src/origin/finding.rs");
    let codes = source.split("pub fn code(").nth(1).unwrap().split("pub fn header(").next().unwrap();
    let codes: Vec<&str> = codes.split('"').skip(1).step_by(2).collect();
    assert!(codes.len() > 30, "{codes:?}");
    let page = include_str!("../../../docs/replay.md");
    let section = page.split("### origin check").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: Vec<&str> = rows.map(|(code, _)| code).filter(|code| !code.starts_with('-')).collect();
    assert_eq!(listed, codes);
}

/// An answer of read-api to a request of a user, as curl would print it.
async fn answer(stack: &TestStack, sub: &str, path: &str, change: impl FnOnce(&mut Value)) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut call = fixtures::json("read-api/dashboard");
    call["rawPath"] = path.into();
    call["requestContext"]["http"]["path"] = path.into();
    call["rawQueryString"] = query.into();
    call["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = sub.into();
    call["requestContext"]["authorizer"]["jwt"]["claims"]["exp"] = "1772480000".into();
    change(&mut call);
    let variables = [("ADMIN_GROUPS", "Support"), ("ORIGIN_LIFETIME", "adaptive")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let request = api::Request::from_json(&call.to_string()).unwrap();
    let response = invoke_http_api(&stack.account, &variables, request).await.unwrap();
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&stack.account.time.now()).unwrap();
    let mut text = format!("HTTP/2 {} \r\ndate: {date}\r\n", response.status_code);
    for (name, value) in &response.headers {
        text += &format!("{}: {value}\r\n", name.to_lowercase());
    }
    format!("{text}\r\n{}", response.body)
}

fn claim(name: &'static str, value: &'static str) -> impl FnOnce(&mut Value) {
    move |call| call["requestContext"]["authorizer"]["jwt"]["claims"][name] = value.into()
}

fn method(method: &'static str) -> impl FnOnce(&mut Value) {
    move |call| call["requestContext"]["http"]["method"] = method.into()
}

fn checked(text: &str, answer: ExpectedAnswer, sub: &str) -> Checked {
    let responses = parse(text.as_bytes());
    let [response] = &responses[..] else { panic!("{text}") };
    let expected = Expectations {
        answer,
        sub: Some(sub.to_owned()),
        lifetime: ADAPTIVE,
        last_changed_at: None,
        key_headers: Vec::new(),
        tag_header: Some("Cache-Tag".to_owned()),
    };
    check(response, &expected)
}

#[tokio::test]
async fn answers_of_read_api_follow_the_contract_at_every_age() {
    use ExpectedAnswer::{Cached, Error, Pending, Uncached};
    let stack = test_stack().await;
    let notification = event("notification.created", "n", ANA, json!({"notification_id": "n-1"}));
    stack.user_stats(&[]).handle_twice(&batch(&[order("1", ANA, "1.00"), notification])).await;
    let start = stack.account.time.now();
    let arrived = shared::events::EventReference::new("/shop", "order-1-placed");
    let missing = shared::events::EventReference::new("/shop", "order-2-placed");
    for (age, kept) in [(0, 5), (59, 5), (60, 6), (300, 30), (599, 59), (600, 60), (7_200, 60)] {
        stack.account.time.move_to(plus_seconds(start, age));
        let dashboard = format!("/api/dashboard?after={arrived}");
        for path in ["/api/dashboard", dashboard.as_str(), "/api/orders?limit=5", "/api/profile"] {
            let found = checked(&answer(&stack, ANA, path, |_| ()).await, Cached, ANA);
            assert_eq!((found.kept_seconds, &found.findings), (Some(kept), &vec![]), "{path} {age}");
            // Only the dashboard has lastChangedAt.
            let is_compared = path.starts_with("/api/dashboard") || kept == 5;
            let notes = [Note::LifetimeNotChecked { missing: "lastChangedAt" }];
            assert_eq!(found.notes, if is_compared { &[][..] } else { &notes }, "{path} {age}");
        }
        for path in ["/api/dashboard", "/api/orders", "/api/profile"] {
            let path = format!("{path}?after={missing}");
            let found = checked(&answer(&stack, ANA, &path, |_| ()).await, Pending, ANA);
            assert_eq!(found, Checked::default(), "{path} {age}");
        }
    }
    // A user without statistics.
    let found = checked(&answer(&stack, BEN, "/api/dashboard", |_| ()).await, Cached, BEN);
    assert_eq!((found.kept_seconds, found.findings), (Some(5), vec![]));
    // The page of one user is not that of another.
    let found = checked(&answer(&stack, ANA, "/api/dashboard", |_| ()).await, Cached, BEN);
    assert_eq!(found.findings, [Finding::MissingUserTag { is_sub_known: true }]);
    // The lifetime ends with the token.
    let end = claim("exp", "1772449210");
    let found = checked(&answer(&stack, ANA, "/api/dashboard", end).await, Cached, ANA);
    let note = Note::BelowFormula { seconds: 10, formula: 60 };
    assert_eq!((found.findings, found.notes), (vec![], vec![note]));

    let admin = format!("/api/users/{ANA}/dashboard");
    let read = answer(&stack, ANA, "/api/notifications/n-1/read", method("POST")).await;
    for (name, text, expected) in [
        ("admin", answer(&stack, BEN, &admin, claim("cognito:groups", "[Support]")).await, Uncached),
        ("mark as read", read, Uncached),
        ("not an admin", answer(&stack, BEN, &admin, |_| ()).await, Error),
        ("path", answer(&stack, ANA, "/api/nothing", |_| ()).await, Error),
        ("query", answer(&stack, ANA, "/api/dashboard?after=x", |_| ()).await, Error),
        ("method", answer(&stack, ANA, "/api/dashboard", method("PUT")).await, Error),
        ("token", answer(&stack, ANA, "/api/dashboard", claim("exp", "1")).await, Error),
    ] {
        assert_eq!(checked(&text, expected, ANA), Checked::default(), "{name}\n{text}");
    }
    stack.put_suspension(ANA, json!({"at": "for ever"})).await;
    let found = checked(&answer(&stack, ANA, "/api/dashboard", |_| ()).await, Error, ANA);
    assert_eq!(found, Checked::default());
}

/// Pieces of responses, so that random texts look like some.
const PIECES: [&str; 42] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/2 200 \r\n",
    "HTTP/1.1 100 Continue\r\n",
    "HTTP/2 403\n",
    "HTTP/1.1 301 X\r\n",
    "HTTP/",
    "\r\n",
    "\n",
    "\r\n\r\n",
    ":",
    ",",
    "=",
    "\"",
    "\\",
    " ",
    "\t",
    "-1",
    "60",
    "60.5",
    "99999999999999999999999",
    "cache-control: ",
    "Cache-Tag: ",
    "user:",
    "users",
    "vary: ",
    "*",
    "set-cookie: ",
    "s-maxage",
    "max-age=0",
    "no-store",
    "private=",
    "stale-if-error",
    "Date: Mon, 02 Mar 2026 09:00:00 GMT\r\n",
    "Expires: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
    "content-length: 18446744073709551615\r\n",
    "content-length: 2\r\n",
    "age: ",
    "X-Cache: Hit from cloudfront\r\n",
    "Retry-After: ",
    "{\"isChangePending\": true, \"lastChangedAt\": ",
    "-377705116800000}",
    "\u{1f4a1}",
];

/// Text of an answer that the output must not have.
const SECRET: &str = "s3cret";

#[test]
fn no_input_panics_and_nothing_of_it_is_printed() {
    let piece = prop_oneof![
        8 => proptest::sample::select(PIECES.as_slice()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => Just(SECRET.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    let inputs = (proptest::collection::vec(piece, 0..40), any::<bool>(), 0..5_usize, any::<i64>());
    let mut runner = TestRunner::default();
    let result = runner.run(&inputs, |(pieces, is_response, answer, changed_at)| {
        let mut input = pieces.concat();
        if is_response {
            input.splice(0..0, b"HTTP/2 200 \r\ncache-control: ".iter().copied());
        }
        let answers = [
            ExpectedAnswer::Cached,
            ExpectedAnswer::Uncached,
            ExpectedAnswer::Pending,
            ExpectedAnswer::Error,
            ExpectedAnswer::Redirect,
        ];
        let expected = Expectations {
            answer: answers[answer],
            sub: (changed_at % 2 == 0).then(|| ANA.to_owned()),
            lifetime: ADAPTIVE,
            last_changed_at: jiff::Timestamp::from_millisecond(changed_at).ok(),
            key_headers: vec!["X-Locale".to_owned()],
            tag_header: Some("Cache-Tag".to_owned()),
        };
        let responses = parse(&input);
        // A complete response is found whatever follows it.
        let followed = parse(&[b"HTTP/2 204 \r\n\r\n", input.as_slice()].concat());
        prop_assert_eq!(followed.first().map(|response| response.status), Some(204));
        for response in &responses {
            prop_assert!(response.status >= 200);
            let found = check(response, &expected);
            for finding in &found.findings {
                let text = finding.to_string();
                let is_name = matches!(finding, Finding::Vary { .. });
                prop_assert!(is_name || !text.contains(SECRET), "{text}");
                prop_assert!(!text.contains(['\n', '\r', '\u{1b}']), "{text}");
            }
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn response_survives_being_printed() {
    let response = Response::new(200, [("Cache-Control", "no-store"), ("vary", "Origin")], b"{}");
    assert_eq!(parse(b"HTTP/1.1 200 OK\r\ncache-control: no-store\r\nVary:Origin\r\n\r\n{}"), [response]);
}
