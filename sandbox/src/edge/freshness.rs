//! How long CloudFront keeps an answer. Pure.
//!
//! Sources: Amazon CloudFront Developer Guide, *Manage how long content stays in the cache
//! (expiration)* and *How CloudFront processes HTTP 4xx and 5xx status codes from your origin*.

use http::header::{CACHE_CONTROL, EXPIRES, HeaderMap, VARY};
use http::{HeaderName, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use shared::time::plus_seconds;

use super::distribution::CachePolicy;

/// Errors that CloudFront caches. `true`: only if the origin sends a lifetime. A 401 or 429 is never
/// cached.
const CACHED_ERRORS: [(u16, bool); 12] = [
    (400, true),
    (403, true),
    (404, false),
    (405, true),
    (412, true),
    (414, false),
    (415, true),
    (500, false),
    (501, false),
    (502, false),
    (503, false),
    (504, false),
];

/// The times at which an answer may no longer be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// End of its lifetime. Not later than its arrival: it is not cached.
    pub until: Timestamp,
    /// Until this time, the edge answers with the expired page and asks the origin in the background.
    pub while_revalidate_until: Timestamp,
    /// Until this time, the edge answers with the expired page if the origin fails.
    pub if_error_until: Timestamp,
}

/// When an answer that arrives at the time `now` expires.
pub fn freshness(policy: &CachePolicy, status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Freshness {
    let control = CacheControl::of(headers);
    let until = plus_seconds(now, lifetime(policy, status, &control, headers, now));
    let after = |seconds: Option<i64>| seconds.map(|seconds| plus_seconds(until, seconds));
    Freshness {
        until,
        while_revalidate_until: after(control.stale_while_revalidate).unwrap_or(until),
        // Without the directive, CloudFront may serve an expired page as long as it has it.
        if_error_until: after(control.stale_if_error).unwrap_or(Timestamp::MAX),
    }
}

fn lifetime(
    policy: &CachePolicy,
    status: StatusCode,
    control: &CacheControl,
    headers: &HeaderMap,
    now: Timestamp,
) -> i64 {
    let stated = control.s_maxage.or(control.max_age).or_else(|| expires(headers, now));
    if status.as_u16() >= 400 {
        let cached = CACHED_ERRORS.iter().find(|(code, _)| *code == status.as_u16());
        return match cached {
            _ if control.is_uncacheable => 0,
            None | Some((_, true)) if stated.is_none() || cached.is_none() => 0,
            _ => stated.unwrap_or_default().min(policy.max_ttl).max(policy.error_caching_min_ttl),
        };
    }
    // An answer to a condition of the viewer is not a page.
    if status == StatusCode::NOT_MODIFIED || names(headers, VARY, "*") {
        return 0;
    }
    match stated {
        _ if control.is_uncacheable => policy.min_ttl,
        Some(seconds) => seconds.clamp(policy.min_ttl, policy.max_ttl.max(policy.min_ttl)),
        None => policy.default_ttl.max(policy.min_ttl),
    }
}

fn expires(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let text = headers.get(EXPIRES)?.to_str().ok()?;
    // A date that cannot be read, such as 0, is in the past.
    let Ok(date) = rfc2822::parse(text) else { return Some(0) };
    Some(date.timestamp().duration_since(now).as_secs().max(0))
}

/// The directives that CloudFront obeys.
#[derive(Debug, Default)]
struct CacheControl {
    is_uncacheable: bool,
    s_maxage: Option<i64>,
    max_age: Option<i64>,
    stale_while_revalidate: Option<i64>,
    stale_if_error: Option<i64>,
}

impl CacheControl {
    fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for directive in parts(headers, CACHE_CONTROL) {
            let (name, value) = directive.split_once('=').unwrap_or((&directive, ""));
            let seconds = || value.trim().trim_matches('"').parse::<i64>().ok().filter(|value| *value >= 0);
            match name.trim() {
                "private" | "no-store" | "no-cache" => control.is_uncacheable = true,
                "s-maxage" => control.s_maxage = seconds(),
                "max-age" => control.max_age = seconds(),
                "stale-while-revalidate" => control.stale_while_revalidate = seconds(),
                "stale-if-error" => control.stale_if_error = seconds(),
                _ => {}
            }
        }
        control
    }
}

/// The parts of a header that is a list, in lower case.
fn parts(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|part| part.trim().to_ascii_lowercase()).collect()
}

fn names(headers: &HeaderMap, name: HeaderName, part: &str) -> bool {
    parts(headers, name).iter().any(|each| each == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds for which an answer is cached.
    fn seconds(policy: &CachePolicy, status: u16, headers: &[(&'static str, &str)]) -> i64 {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        freshness(policy, status, &map, now).until.duration_since(now).as_secs()
    }

    #[test]
    fn lifetime_follows_from_the_headers() {
        let template = CachePolicy::of_template(1_800);
        for (value, expected) in [
            ("max-age=0, s-maxage=1800, stale-if-error=0", 1_800),
            ("s-maxage=86400", 1_800),
            ("S-MaxAge=\"60\"", 60),
            ("s-maxage=0", 0),
            ("s-maxage=-5", 0),
            ("s-maxage=soon", 0),
            // Without s-maxage, CloudFront takes max-age.
            ("max-age=60", 60),
            ("max-age=60, s-maxage=5", 5),
            ("max-age=0", 0),
            ("public", 0),
            ("private, s-maxage=60", 0),
            ("no-store, s-maxage=60", 0),
            ("no-cache, s-maxage=60", 0),
            ("private", 0),
        ] {
            assert_eq!(seconds(&template, 200, &[("cache-control", value)]), expected, "{value}");
        }
        assert_eq!(seconds(&template, 200, &[]), 0, "DefaultTTL");
        let expires = |date: &str| seconds(&template, 200, &[("expires", date)]);
        assert_eq!(expires("Mon, 02 Mar 2026 09:01:00 GMT"), 60);
        assert_eq!(expires("Mon, 02 Mar 2026 08:59:00 GMT"), 0);
        assert_eq!(expires("Tue, 03 Mar 2026 09:00:00 GMT"), 1_800);
        assert_eq!(expires("0"), 0);
        let both = [("expires", "Mon, 02 Mar 2026 09:01:00 GMT"), ("cache-control", "max-age=0")];
        assert_eq!(seconds(&template, 200, &both), 0, "max-age takes precedence over Expires");
        let lines = [("cache-control", "max-age=0"), ("cache-control", "s-maxage=7")];
        assert_eq!(seconds(&template, 200, &lines), 7, "two lines are one list");
        assert_eq!(seconds(&template, 200, &[("cache-control", "s-maxage=7"), ("vary", "*")]), 0);
    }

    #[test]
    fn min_ttl_overrides_the_origin() {
        let tutorial = CachePolicy { min_ttl: 60, ..CachePolicy::of_template(1_800) };
        for value in ["private", "no-store", "no-cache", "max-age=0", "s-maxage=5"] {
            assert_eq!(seconds(&tutorial, 200, &[("cache-control", value)]), 60, "{value}");
        }
        assert_eq!(seconds(&tutorial, 200, &[]), 60);
        assert_eq!(seconds(&tutorial, 200, &[("cache-control", "s-maxage=90")]), 90);
    }

    #[test]
    fn errors_are_cached_only_for_as_long_as_the_origin_says() {
        let template = CachePolicy::of_template(1_800);
        let default = CachePolicy { error_caching_min_ttl: 10, ..template.clone() };
        // Status, s-maxage, and the seconds with the template and with CloudFront's default of 10 s.
        for (status, control, with_template, with_default) in [
            (404, None, 0, 10),
            (503, None, 0, 10),
            (403, None, 0, 0),
            (400, None, 0, 0),
            (401, None, 0, 0),
            (429, Some("s-maxage=60"), 0, 0),
            (401, Some("s-maxage=60"), 0, 0),
            (403, Some("s-maxage=60"), 60, 60),
            (403, Some("s-maxage=86400"), 1_800, 1_800),
            (404, Some("s-maxage=5"), 5, 10),
            (403, Some("no-store"), 0, 0),
            (503, Some("no-store"), 0, 0),
        ] {
            let headers: Vec<_> = control.map(|control| ("cache-control", control)).into_iter().collect();
            assert_eq!(seconds(&template, status, &headers), with_template, "{status} {control:?}");
            assert_eq!(seconds(&default, status, &headers), with_default, "{status} {control:?}");
        }
    }

    #[test]
    fn stale_directives_extend_the_time_after_expiry() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, value.parse().unwrap())]);
            freshness(&CachePolicy::of_template(1_800), StatusCode::OK, &headers, now)
        };
        let at = |seconds| plus_seconds(now, seconds);
        let contract = of("max-age=0, s-maxage=60, stale-if-error=0");
        assert_eq!((contract.while_revalidate_until, contract.if_error_until), (at(60), at(60)));
        let both = of("s-maxage=60, stale-while-revalidate=30, stale-if-error=90");
        assert_eq!((both.while_revalidate_until, both.if_error_until), (at(90), at(150)));
        assert_eq!(of("s-maxage=60").if_error_until, Timestamp::MAX);
    }
}
