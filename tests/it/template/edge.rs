//! The distribution: what it forwards to the origin, and what it adds.

use serde_json::{Value, json};
use xtask::template::Template;

use super::deployment::Deployment;

#[test]
fn origin_gets_only_the_headers_of_an_allow_list() {
    let policy = |values: &[(&str, &str)]| {
        let policy = Deployment::with(values).properties("OriginRequestPolicy").unwrap();
        policy["OriginRequestPolicyConfig"].clone()
    };
    let headers = &policy(&[])["HeadersConfig"];
    let expected = ["Content-Type", "Access-Control-Request-Method", "Access-Control-Request-Headers"];
    assert_eq!(*headers, json!({"HeaderBehavior": "whitelist", "Headers": expected}));
    let custom = policy(&[("ForwardedHeaders", "Content-Type,Idempotency-Key")]);
    assert_eq!(custom["HeadersConfig"]["Headers"], json!(["Content-Type", "Idempotency-Key"]));
    assert_eq!(custom["CookiesConfig"]["CookieBehavior"], "none");
}

/// A header that names another host, path or method could make the origin answer for another page.
#[test]
fn headers_that_change_the_request_cannot_be_forwarded() {
    let template = Template::read();
    let pattern = template.parameters()["ForwardedHeaders"]["AllowedPattern"].as_str().unwrap().to_owned();
    let refused = pattern.split_once("(?!(").unwrap().1.split_once(")$)").unwrap().0;
    let refused: Vec<&str> = refused.split('|').collect();
    for header in [
        "authorization",
        "cookie",
        "host",
        "origin",
        "accept-encoding",
        "forwarded",
        "x-forwarded-.*",
        "x-original-.*",
        "x-rewrite-.*",
        "x-http-.*",
        "x-method-.*",
        "x-origin-verify",
    ] {
        assert!(refused.contains(&header), "{header} is not in {refused:?}");
    }
    assert!(pattern.starts_with("(?i)^"), "header names are case-insensitive");
}

#[test]
fn secret_header_is_sent_only_if_there_is_a_secret_and_never_shown() {
    let headers = |values: &[(&str, &str)]| {
        let distribution = Deployment::with(values).properties("Distribution").unwrap();
        distribution["DistributionConfig"]["Origins"][0]["OriginCustomHeaders"].clone()
    };
    assert_eq!(headers(&[]), Value::Null);
    let secret = "0123456789abcdef0123456789abcdef";
    let expected = json!([{"HeaderName": "X-Origin-Verify", "HeaderValue": secret}]);
    assert_eq!(headers(&[("OriginSecret", secret)]), expected);
    assert_eq!(Template::read().parameters()["OriginSecret"]["NoEcho"], true);
}
