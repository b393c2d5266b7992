//! The sandbox's model of CloudFront has the settings of the template.

use sandbox::edge::distribution::{Behavior, CachePolicy, Distribution, Origin, PAGE_CSP};
use serde_json::{Value, json};

use super::deployment::Deployment;

/// The model of a behavior in the words of the template. `policy` and `headers` are the evaluated
/// resources.
fn assert_same(model: &Behavior, behavior: &Value, policy: &Value, headers: &Value, login_url: &str) {
    let methods: Vec<&str> = model.methods.iter().map(|method| method.as_str()).collect();
    assert_eq!(behavior["AllowedMethods"], json!(methods));
    assert_eq!(behavior["CachedMethods"], json!(["GET", "HEAD"]));
    let CachePolicy {
        min_ttl,
        default_ttl,
        max_ttl,
        headers: key,
        is_query_in_key,
        is_compression_in_key,
        ..
    } = &model.cache;
    let policy = &policy["CachePolicyConfig"];
    let seconds = |name: &str| policy[name].to_string().trim_matches('"').parse::<i64>().unwrap();
    assert_eq!(
        [seconds("MinTTL"), seconds("DefaultTTL"), seconds("MaxTTL")],
        [*min_ttl, *default_ttl, *max_ttl]
    );
    let parameters = &policy["ParametersInCacheKeyAndForwardedToOrigin"];
    let names = |value: &Value| -> Vec<String> {
        let names = value.as_array().into_iter().flatten();
        names.map(|name| name.as_str().unwrap().to_ascii_lowercase()).collect()
    };
    assert_eq!(
        names(&parameters["HeadersConfig"]["Headers"]),
        key.iter().map(|name| name.as_str()).collect::<Vec<_>>()
    );
    let query = if *is_query_in_key { "all" } else { "none" };
    assert_eq!(parameters["QueryStringsConfig"]["QueryStringBehavior"], query);
    assert_eq!(parameters["CookiesConfig"]["CookieBehavior"], "none");
    assert_eq!(parameters["EnableAcceptEncodingGzip"], json!(is_compression_in_key));

    let headers = &headers["ResponseHeadersPolicyConfig"];
    let removed = headers["RemoveHeadersConfig"]["Items"].as_array().into_iter().flatten();
    let removed: Vec<String> =
        removed.map(|item| item["Header"].as_str().unwrap().to_ascii_lowercase()).collect();
    assert_eq!(removed, model.removed_headers.iter().map(|name| name.as_str()).collect::<Vec<_>>());
    let mut added = Vec::new();
    for item in headers["CustomHeadersConfig"]["Items"].as_array().into_iter().flatten() {
        let text = |name: &str| item[name].as_str().unwrap().to_owned();
        added.push((text("Header").to_ascii_lowercase(), text("Value"), item["Override"] == true));
    }
    let security = &headers["SecurityHeadersConfig"];
    let mut add = |setting: &str, name: &str, value: String| {
        if let Some(setting) = security.get(setting) {
            added.push((name.to_owned(), value, setting["Override"] == true));
        }
    };
    let csp = security["ContentSecurityPolicy"]["ContentSecurityPolicy"].as_str().unwrap_or_default();
    // In the sandbox, the login is on the page's own origin.
    add("ContentSecurityPolicy", "content-security-policy", csp.replace(&format!(" {login_url}"), ""));
    let age = &security["StrictTransportSecurity"]["AccessControlMaxAgeSec"];
    add("StrictTransportSecurity", "strict-transport-security", format!("max-age={age}"));
    add("ContentTypeOptions", "x-content-type-options", "nosniff".to_owned());
    let frame = security["FrameOptions"]["FrameOption"].as_str().unwrap_or_default();
    add("FrameOptions", "x-frame-options", frame.to_owned());
    let referrer = security["ReferrerPolicy"]["ReferrerPolicy"].as_str().unwrap_or_default();
    add("ReferrerPolicy", "referrer-policy", referrer.to_owned());
    let modeled = model.added_headers.iter().map(|header| {
        (header.name.as_str().to_owned(), header.value.to_str().unwrap().to_owned(), header.overrides)
    });
    assert_eq!(added, modeled.collect::<Vec<_>>());
}

#[test]
fn model_has_the_settings_of_the_template() {
    let deployment = Deployment::with_read_api(&[("MaxCacheLifetimeSeconds", "600")]);
    let properties = |name: &str| deployment.properties(name).unwrap();
    let distribution = properties("Distribution")["DistributionConfig"].clone();
    let model = Distribution::of_template(600, None);
    let [api, page] = &model.behaviors[..] else { panic!("two behaviors") };
    assert_eq!((api.origin, page.origin), (Origin::Api, Origin::Page));
    let behavior = &distribution["CacheBehaviors"][0];
    assert_eq!(behavior["PathPattern"], format!("{}*", api.path_prefix));
    let login_url = deployment.output("ManagedLoginUrl").unwrap().as_str().unwrap().to_owned();
    assert_same(api, behavior, &properties("CachePolicy"), &properties("ResponseHeadersPolicy"), &login_url);
    let (policy, headers) = (properties("PageCachePolicy"), properties("PageResponseHeadersPolicy"));
    assert_same(page, &distribution["DefaultCacheBehavior"], &policy, &headers, &login_url);
    assert!(PAGE_CSP.contains("frame-ancestors 'none'"));

    let forwarded =
        &properties("OriginRequestPolicy")["OriginRequestPolicyConfig"]["HeadersConfig"]["Headers"];
    let forwarded =
        forwarded.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_ascii_lowercase());
    let expected = api.forwarded_headers.iter().map(|name| name.as_str().to_owned());
    assert_eq!(forwarded.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let tag = model.tag_header.unwrap();
    assert!(
        tag.as_str().eq_ignore_ascii_case(distribution["CacheTagConfig"]["HeaderName"].as_str().unwrap())
    );
    for error in distribution["CustomErrorResponses"].as_array().unwrap() {
        assert_eq!(error["ErrorCachingMinTTL"], api.cache.error_caching_min_ttl);
    }
}
