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
    let ran = check_text(&["--sub", BEN, "--json"], input.as_bytes()).await;
    let document = super::json::document("origin check", &ran);
    assert_eq!(
        (ran.code, &document["findings"], &document["responses"][1]["keptSeconds"]),
        (1, &json!(8), &json!(1800))
    );
    assert_eq!(
        document["responses"][1]["findings"][1],
        json!({
            "code": "max_age", "header": "Cache-Control", "nextStep": "Send max-age=0",
            "effect": "Browsers keep the page for 30 s. No invalidation reaches them",
        })
    );
    assert!(!ran.stdout.contains("secret"), "{}", ran.stdout);
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
      missing_no_store  Cache-Control: Without no-store, a cache policy with a DefaultTTL and a browser may keep the answer. Send no-store
    a, response 2: status 404, CloudFront keeps it for 9 s
      cached_error  Cache-Control: CloudFront keeps the 404 for up to 9 s, also after its cause is gone. Send no-store, without s-maxage
    standard input, response 1: status 403, CloudFront keeps no copy
      missing_no_store  Cache-Control: Without no-store, a cache policy with a DefaultTTL and a browser may keep the answer. Send no-store
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
    replay: standard input: no HTTP response. Use curl -sSi, which prints the status line, the headers and its own errors
    replay: standard input: no HTTP response. Use curl -sSi, which prints the status line, the headers and its own errors
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

/// The section of docs/caching.md under a heading.
fn section(heading: &str) -> &'static str {
    let page = include_str!("../../../docs/caching.md");
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    section.split("\n## ").next().unwrap()
}

#[test]
fn lifetimes_of_caching_md_follow_the_formula() {
    let rows: Vec<Vec<&str>> = section("Lifetimes")
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Age"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 10, "{rows:?}");
    let number = |text: &str| text.replace(',', "").parse::<i64>().unwrap();
    let now: jiff::Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let ago = |seconds: i64| Some(plus_seconds(now, -seconds));
    for row in &rows {
        let changed_at = match row[0] {
            text if text.starts_with("unknown") => None,
            text if text.starts_with("below 0") => ago(-60),
            text => ago(number(text)),
        };
        let with_default = ADAPTIVE.seconds(changed_at, now);
        let with_1800 = CacheLifetime { max_seconds: 1_800, ..ADAPTIVE }.seconds(changed_at, now);
        let found = [with_default, with_1800].map(i64::from);
        assert_eq!(found, [number(row[1]), number(row[2])], "{row:?}");
    }
    // The clock of the origin is a minute ahead.
    assert_eq!(ADAPTIVE.seconds(ago(160), now), ADAPTIVE.seconds(ago(100), now) + 6);
}

/// The last but one table of the section Freshness.
#[test]
fn user_with_changes_every_second_needs_no_invalidation_after_the_first_minute() {
    use workers::invalidation_policy::{InvalidationPolicy, PolicyRule};
    use workers::user_stats::notice::{Decision, NoticeRules, SkipReason, record_change};
    let policy = InvalidationPolicy::of_all_types(PolicyRule::Budget);
    let rules = NoticeRules { policy, lifetime: ADAPTIVE, inactive_user: None };
    let start: jiff::Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let placed = shared::events::Event::parse(&order("1", ANA, "1.00").to_string()).unwrap();
    let mut metadata = shared::store::StatsMetadata {
        last_changed_at: Some(plus_seconds(start, -86_400)),
        ..Default::default()
    };
    let mut needed = Vec::new();
    for second in 0..300 {
        let now = plus_seconds(start, second);
        let (next, decision) = record_change(&metadata, &[&placed], None, &rules, now);
        metadata = next;
        match decision {
            Decision::Needed => needed.push(second),
            decision => assert_eq!(decision, Decision::Skipped(SkipReason::ExpiresSoon), "{second}"),
        }
    }
    assert_eq!(needed.first(), Some(&0));
    assert!(needed.last().is_some_and(|second| *second < 60), "{needed:?}");
}

/// Runs the example of docs/caching.md for each case. `None` if there is no Python. CI has one.
fn run_example(cases: &[Value]) -> Option<Vec<Value>> {
    const DRIVER: &str = "
import json, sys

def answer(case):
    try:
        marker = after = case['after']
        if after is not None:
            marker = case['items'].get(event_key(after))
    except InvalidAfter:
        return {'status': 400}
    stats = case['items'].get('STATS')
    pending = after is not None and is_pending(stats, marker)
    times = [case[name] for name in ('token_expires_at', 'read_at', 'now')]
    return headers(case['sub'], stats, pending, *times)

json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)
";
    let example = section("Example origin").split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (script, input) = (folder.path().join("example.py"), folder.path().join("cases.json"));
    fs::write(&script, format!("{example}\n{DRIVER}")).unwrap();
    fs::write(&input, serde_json::to_string(cases).unwrap()).unwrap();
    let mut python = std::process::Command::new("python3");
    let output = match python.arg(&script).stdin(fs::File::open(&input).unwrap()).output() {
        Ok(output) => output,
        Err(error) => {
            assert!(option_env!("CI").is_none(), "python3: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The headers of the decision in an answer of read-api, in the form of the example.
fn decision(text: &str) -> Value {
    let responses = parse(text.as_bytes());
    let response = &responses[0];
    if response.status != 200 {
        return json!({"status": response.status});
    }
    let mut headers = json!({});
    for name in ["Cache-Control", "Cache-Tag", "Retry-After"] {
        if let Some(value) = response.values(name).next() {
            headers[name] = value.into();
        }
    }
    headers
}

#[tokio::test]
async fn example_origin_of_caching_md_decides_as_read_api_does() {
    use shared::events::EventReference;
    let stack = test_stack().await;
    let users = [ANA.to_owned(), BEN.to_owned(), "a b/é*,".to_owned()];
    let [_, ben, odd] = users.each_ref().map(|sub| format!("USER#{sub}"));
    stack.user_stats(&[]).handle_twice(&batch(&[order("1", ANA, "1.00"), order("2", ANA, "2.00")])).await;
    let start = stack.account.time.now();
    // STATS of a version before that of the marker, markers without a version, a change in the future.
    stack.put(&ben, "STATS", json!({"version": 6, "lastChangedAt": start.as_millisecond() + 60_000})).await;
    for (id, marker) in [("6", json!({"version": 6})), ("7", json!({"version": 7})), ("old", json!({}))] {
        stack.put(&ben, &format!("EVENT#/s%23#{id}"), marker).await;
    }
    stack.put(&odd, "EVENT#/s%23#6", json!({"version": 6})).await;

    let reference = |source: &str, id: &str| Some(EventReference::new(source, id).to_string());
    let mut afters = vec![None, reference("/shop", "order-1-placed"), reference("/shop", "order-3-placed")];
    afters.extend(["6", "7", "old", "none", "é#%"].map(|id| reference("/s#", id)));
    let longest = "x".repeat(1_024 - "EVENT#/#".len());
    afters.extend([reference("/", &longest), reference("/", &format!("{longest}x"))]);
    let invalid =
        ["x", "L3NoI2B", "L3N-I2B_", "L3Nob3AjMQ==", "L3Nob3AjMQ=", "_w", "L3Nob3A", "IzE", "L3Nob3Aj"];
    afters.extend(invalid.map(|text| Some(text.to_owned())));
    afters.push(Some("!!!!".to_owned()));

    let (mut cases, mut expected) = (Vec::new(), Vec::new());
    for age in [0, 49, 60, 123, 599, 600, 7_200] {
        stack.account.time.move_to(plus_seconds(start, age));
        let now = stack.account.time.now();
        let items = stack.account.items().await.unwrap();
        for (sub, token_seconds) in users.iter().flat_map(|sub| [3_600, 7, 1].map(|seconds| (sub, seconds))) {
            let partition = format!("USER#{sub}");
            let items = items.iter().filter(|((found, _), _)| *found == partition);
            let items: serde_json::Map<String, Value> =
                items.map(|((_, sort), item)| (sort.clone(), item.clone())).collect();
            for after in &afters {
                let query = after.as_ref().map(|after| format!("?after={after}")).unwrap_or_default();
                let exp = now.as_second() + token_seconds;
                let token = |call: &mut Value| {
                    call["requestContext"]["authorizer"]["jwt"]["claims"]["exp"] = exp.to_string().into();
                };
                let text = answer(&stack, sub, &format!("/api/profile{query}"), token).await;
                expected.push(decision(&text));
                let now = now.as_millisecond();
                cases.push(json!({
                    "sub": sub, "after": after, "items": items, "token_expires_at": exp * 1_000, "read_at": now,
                    "now": now,
                }));
            }
        }
    }
    let kinds = |header: &str, value: &str| expected.iter().filter(|found| found[header] == *value).count();
    assert!(kinds("Cache-Control", "no-store") > 100 && kinds("Retry-After", "1") > 100);
    assert!(kinds("Cache-Control", "max-age=0, s-maxage=60, stale-if-error=0") > 5);
    assert!(expected.iter().filter(|found| found["status"] == 400).count() > 100);
    // A slow answer, which read-api does not give.
    let mut slow = cases[0].clone();
    slow["read_at"] = (slow["now"].as_i64().unwrap() - 4_001).into();
    cases.push(slow);
    expected.push(json!({"Cache-Control": "no-store"}));

    let Some(found) = run_example(&cases) else { return };
    for ((case, found), expected) in cases.iter().zip(&found).zip(&expected) {
        assert_eq!(found, expected, "{case}");
    }
    assert_eq!(found.len(), expected.len());
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
