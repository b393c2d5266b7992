//! Checks an origin's answer against the contract of `docs/caching.md`. Pure.
//!
//! Sources: Amazon CloudFront Developer Guide, *Manage how long content stays in the cache
//! (expiration)*, *What you need to know when invalidating tags* and *Request and response behavior for
//! custom origins*.

pub mod command;
pub mod report;
mod tags;

use jiff::Timestamp;
use shared::freshness::{CLOCK_SKEW_SECONDS, CacheLifetime, OriginLifetime, RENDER_SECONDS};
use shared::time::plus_seconds;

use super::cache_control::{CacheControl, Directive};
use super::finding::{Finding, Note};
use super::response::{LastChangedAt, Response};

/// The headers of the template's cache key. The cache policy normalizes `Accept-Encoding`.
const KEY_HEADERS: [&str; 3] = ["authorization", "origin", "accept-encoding"];
/// After this time, a client no longer waits for its change.
const CLIENT_TIMEOUT_SECONDS: u64 = 60;

/// What the answer should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedAnswer {
    /// A user's page that CloudFront keeps.
    Cached,
    /// An answer that no cache keeps, such as one for an administrator.
    Uncached,
    /// The answer to `?after=` while the change has not arrived.
    Pending,
    /// An error.
    Error,
    /// A redirect on the way to another answer.
    Redirect,
}

/// What a check compares an answer with.
#[derive(Clone, Debug)]
pub struct Expectations {
    pub answer: ExpectedAnswer,
    /// The sub of the token. `None`: the tag of any user is right.
    pub sub: Option<String>,
    /// With [`OriginLifetime::Fixed`], only the maximum is checked.
    pub lifetime: CacheLifetime,
    /// In place of `lastChangedAt` in the body.
    pub last_changed_at: Option<Timestamp>,
    /// The headers of the cache key in addition to those of the template.
    pub key_headers: Vec<String>,
    /// The header with the tags. `None`: InvalidationTarget is `path`, so there are no tags.
    pub tag_header: Option<String>,
}

/// The result for one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How long CloudFront keeps the answer if MinTTL and DefaultTTL are 0. `None`: not at all.
    pub kept_seconds: Option<u64>,
    pub findings: Vec<Finding>,
    pub notes: Vec<Note>,
}

/// Checks an answer.
pub fn check(response: &Response, expected: &Expectations) -> Checked {
    let control = CacheControl::parse(response.values("cache-control"));
    let kept_seconds = kept_seconds(response, &control);
    let checked = Checked { kept_seconds, ..Checked::default() };
    let mut check = Check { response, expected, control, checked };
    check.status();
    check.caches_before();
    if response.status >= 400 {
        check.error();
    } else {
        match expected.answer {
            ExpectedAnswer::Pending => check.pending(),
            ExpectedAnswer::Uncached => check.uncached(),
            ExpectedAnswer::Cached | ExpectedAnswer::Error | ExpectedAnswer::Redirect => check.cached(),
        }
    }
    check.spelling();
    check.checked
}

struct Check<'a> {
    response: &'a Response,
    expected: &'a Expectations,
    control: CacheControl,
    checked: Checked,
}

impl Check<'_> {
    fn add(&mut self, finding: Finding) {
        self.checked.findings.push(finding);
    }

    fn status(&mut self) {
        let status = self.response.status;
        let hint = match self.expected.answer {
            ExpectedAnswer::Redirect => None,
            ExpectedAnswer::Error if status >= 400 => None,
            ExpectedAnswer::Error => Some("Leave out --expect error, or request something that fails"),
            _ if status >= 400 => Some("Check the token and the address, or pass --expect error"),
            _ if self.response.is_redirect() => Some("Pass -L to curl, or request the new address"),
            _ => None,
        };
        if let Some(hint) = hint {
            self.add(Finding::UnexpectedStatus { status, hint });
        }
    }

    /// CloudFront itself, or a cache between the origin and CloudFront.
    fn caches_before(&mut self) {
        let result = self.response.values("x-cache").next().unwrap_or_default().to_ascii_lowercase();
        let is_cloudfront = result.ends_with("from cloudfront")
            || self.response.has("x-amz-cf-id")
            || self.response.has("x-amz-cf-pop");
        let has_tags = self.expected.tag_header.as_deref().is_some_and(|name| self.response.has(name));
        if result.contains("hit from cloudfront") || (is_cloudfront && !has_tags) {
            self.add(Finding::FromCloudfront);
        } else if is_cloudfront {
            self.checked.notes.push(Note::ThroughCloudfront);
        } else if let Some(seconds) = self.response.values("age").filter_map(|age| age.parse().ok()).max()
            && seconds > 0
        {
            self.add(Finding::OtherCache { seconds });
        }
    }

    fn error(&mut self) {
        let status = self.response.status;
        // A gateway in front of the origin may send 401 and 429 without a header.
        if self.checked.kept_seconds.is_some() || ![401, 429].contains(&status) {
            self.not_stored(|seconds| Finding::CachedError { status, seconds });
        }
    }

    fn uncached(&mut self) {
        self.not_stored(|seconds| Finding::CachedAnswer { seconds });
    }

    /// An answer that no cache may keep. `kept` is the finding if CloudFront keeps it.
    fn not_stored(&mut self, kept: impl FnOnce(u64) -> Finding) {
        match self.checked.kept_seconds {
            Some(seconds) => self.add(kept(seconds)),
            None if !self.control.has("no-store") => self.add(Finding::MissingNoStore),
            None => {}
        }
    }

    fn pending(&mut self) {
        self.not_stored(|seconds| Finding::CachedPending { seconds });
        let in_time = 1..=CLIENT_TIMEOUT_SECONDS;
        match self.response.values("retry-after").next().map(str::parse::<u64>) {
            None => self.add(Finding::MissingRetryAfter),
            Some(Ok(seconds)) if in_time.contains(&seconds) => {}
            Some(_) => self.add(Finding::InvalidRetryAfter),
        }
        if !self.response.body.is_change_pending {
            self.add(Finding::MissingChangePending);
        }
        if self.response.has("etag") {
            self.add(Finding::PendingEntityTag);
        }
    }

    fn cached(&mut self) {
        if self.response.body.is_change_pending {
            self.add(Finding::UnexpectedChangePending);
            return self.pending();
        }
        let is_page = self.expected.answer == ExpectedAnswer::Cached && !self.response.is_redirect();
        let s_maxage = self.control.seconds(Directive::SMaxage);
        let has_lifetime = s_maxage.is_some_and(|seconds| seconds > 0);
        match self.control.uncacheable() {
            Some(directive) if has_lifetime => self.add(Finding::Contradiction { directive }),
            Some(directive) if is_page => self.add(Finding::Uncacheable { directive }),
            None if s_maxage == Some(0) && is_page => {
                self.add(Finding::Uncacheable { directive: "s-maxage=0" })
            }
            None if s_maxage.is_none()
                && (is_page || self.checked.kept_seconds.is_some())
                && !self.control.has_invalid_seconds(Directive::SMaxage) =>
            {
                self.add(Finding::MissingSMaxage { max_age: self.checked.kept_seconds });
            }
            _ => {}
        }
        if has_lifetime || self.checked.kept_seconds.is_some() {
            self.lifetime();
            self.browsers_and_stale_pages();
            self.viewers();
            self.tags();
        }
    }

    fn lifetime(&mut self) {
        let lifetime = &self.expected.lifetime;
        let Some(seconds) = self.control.seconds(Directive::SMaxage).or(self.checked.kept_seconds) else {
            return;
        };
        if seconds > u64::from(lifetime.max_seconds) {
            return self.add(Finding::LifetimeAboveMaximum { seconds, maximum: lifetime.max_seconds });
        }
        if lifetime.origin == OriginLifetime::Adaptive {
            self.formula(seconds);
        }
    }

    /// The origin chose the lifetime up to [`RENDER_SECONDS`] before `Date`, which has no fractions of a
    /// second.
    fn formula(&mut self, seconds: u64) {
        let lifetime = self.expected.lifetime;
        let changed_at = match (self.expected.last_changed_at, self.response.body.last_changed_at) {
            (Some(at), _) | (None, LastChangedAt::At(at)) => at,
            (None, LastChangedAt::Unreadable) => return self.add(Finding::InvalidLastChangedAt),
            // The minimum is right at every age.
            (None, LastChangedAt::Missing) if seconds <= u64::from(lifetime.min_seconds) => return,
            (None, LastChangedAt::Missing) => {
                return self.checked.notes.push(Note::LifetimeNotChecked { missing: "lastChangedAt" });
            }
        };
        let Some(date) = self.response.time("date") else {
            return self.checked.notes.push(Note::LifetimeNotChecked { missing: "Date" });
        };
        let behind = changed_at.duration_since(date).as_secs();
        if behind > CLOCK_SKEW_SECONDS {
            self.add(Finding::ClocksDiffer { seconds: behind });
        }
        let at = |seconds| lifetime.seconds(Some(changed_at), plus_seconds(date, seconds));
        let (lowest, highest) = (at(-RENDER_SECONDS - CLOCK_SKEW_SECONDS), at(1 + CLOCK_SKEW_SECONDS));
        if seconds > u64::from(highest) {
            self.add(Finding::LifetimeAboveFormula { seconds, formula: highest });
        } else if seconds < u64::from(lowest) {
            self.checked.notes.push(Note::BelowFormula { seconds, formula: lowest });
        }
    }

    fn browsers_and_stale_pages(&mut self) {
        let control = &self.control;
        let mut found = Vec::new();
        match control.seconds(Directive::MaxAge) {
            Some(0) => {}
            Some(seconds) => found.push(Finding::MaxAge { seconds }),
            None if control.has_invalid_seconds(Directive::MaxAge) => {}
            None => found.push(Finding::MissingMaxAge),
        }
        match control.seconds(Directive::StaleIfError) {
            Some(0) => {}
            Some(seconds) => found.push(Finding::StaleIfError { seconds }),
            None if control.has_invalid_seconds(Directive::StaleIfError) => {}
            None => found.push(Finding::MissingStaleIfError),
        }
        if let Some(seconds) = control.seconds(Directive::StaleWhileRevalidate).filter(|seconds| *seconds > 0)
        {
            found.push(Finding::StaleWhileRevalidate { seconds });
        }
        self.checked.findings.append(&mut found);
    }

    /// What the answer depends on, or gives to each viewer.
    fn viewers(&mut self) {
        let names = self.response.values("vary").flat_map(|value| value.split(',')).map(str::trim);
        let in_key = |name: &str| {
            let added = self.expected.key_headers.iter().map(String::as_str);
            KEY_HEADERS.into_iter().chain(added).any(|known| known.eq_ignore_ascii_case(name))
        };
        let names: Vec<&str> = names.filter(|name| !name.is_empty() && !in_key(name)).collect();
        for name in names {
            let is_printable =
                name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            self.add(match name {
                "*" => Finding::VaryAny,
                name => Finding::Vary { name: is_printable.then(|| name.to_owned()) },
            });
        }
        if self.response.has("set-cookie") {
            self.add(Finding::SetCookie);
        }
    }

    fn tags(&mut self) {
        let Some(name) = &self.expected.tag_header else { return };
        let values = self.response.values(name);
        let mut found = tags::check(values, self.expected.sub.as_deref());
        // CloudFront removed them.
        let is_known =
            found == [Finding::MissingTags] && self.checked.findings.contains(&Finding::FromCloudfront);
        if !is_known {
            self.checked.findings.append(&mut found);
        }
    }

    fn spelling(&mut self) {
        for directive in Directive::ALL {
            if self.control.is_repeated(directive) {
                self.add(Finding::RepeatedDirective(directive));
            }
            if self.control.has_invalid_seconds(directive) {
                self.add(Finding::InvalidSeconds(directive));
            }
            if self.control.has_quoted_seconds(directive) {
                self.add(Finding::QuotedSeconds(directive));
            }
        }
    }
}

/// How long CloudFront keeps an answer with MinTTL and DefaultTTL 0: `s-maxage`, otherwise `max-age`,
/// otherwise `Expires`.
fn kept_seconds(response: &Response, control: &CacheControl) -> Option<u64> {
    let is_any = response.values("vary").flat_map(|value| value.split(',')).any(|name| name.trim() == "*");
    if control.uncacheable().is_some() || is_any {
        return None;
    }
    let stated = [Directive::SMaxage, Directive::MaxAge].into_iter().find_map(|name| control.seconds(name));
    let expires = || {
        let (expires, date) = (response.time("expires")?, response.time("date")?);
        u64::try_from(expires.duration_since(date).as_secs()).ok()
    };
    stated.or_else(expires).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use shared::freshness::CacheLifetime;

    use super::*;

    const NOW: &str = "Mon, 02 Mar 2026 09:00:00 GMT";
    const PAGE: &str = "max-age=0, s-maxage=60, stale-if-error=0";
    const TAGS: (&str, &str) = ("Cache-Tag", "user:ana,users");

    fn expected(answer: ExpectedAnswer) -> Expectations {
        let lifetime =
            CacheLifetime { origin: OriginLifetime::Adaptive, divisor: 10, min_seconds: 5, max_seconds: 60 };
        Expectations {
            answer,
            sub: Some("ana".to_owned()),
            lifetime,
            last_changed_at: None,
            key_headers: vec!["X-Locale".to_owned()],
            tag_header: Some("Cache-Tag".to_owned()),
        }
    }

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        Response::new(status, headers.iter().copied(), body.as_bytes())
    }

    fn codes(checked: &Checked) -> Vec<&'static str> {
        checked.findings.iter().map(Finding::code).collect()
    }

    /// The findings about a page with tags.
    fn page(headers: &[(&str, &str)]) -> Vec<&'static str> {
        let headers: Vec<_> = headers.iter().copied().chain([TAGS, ("Date", NOW)]).collect();
        codes(&check(&response(200, &headers, ""), &expected(ExpectedAnswer::Cached)))
    }

    #[test]
    fn page_has_a_lifetime_for_cloudfront_and_none_for_browsers() {
        for (value, expected) in [
            (PAGE, &[][..]),
            ("S-MAXAGE=60,  Max-Age=0,stale-if-error=0, must-revalidate, public", &[]),
            ("max-age=0, s-maxage=60, stale-if-error=0, stale-while-revalidate=0", &[]),
            ("", &["missing_s_maxage"]),
            ("max-age=0", &["missing_s_maxage"]),
            ("max-age=30, stale-if-error=0", &["missing_s_maxage", "max_age"]),
            ("private", &["uncacheable"]),
            ("max-age=0, no-cache", &["uncacheable"]),
            ("max-age=0, s-maxage=0, stale-if-error=0", &["uncacheable"]),
            ("private, max-age=0, s-maxage=60, stale-if-error=0", &["contradiction"]),
            ("no-store=\"x\", max-age=0, s-maxage=60, stale-if-error=0", &["contradiction"]),
            ("s-maxage=60, stale-if-error=0", &["missing_max_age"]),
            ("max-age=5, s-maxage=60, stale-if-error=0", &["max_age"]),
            ("max-age=0, s-maxage=60", &["missing_stale_if_error"]),
            ("max-age=0, s-maxage=60, stale-if-error=1", &["stale_if_error"]),
            (
                "max-age=0, s-maxage=60, stale-if-error=0, stale-while-revalidate=9",
                &["stale_while_revalidate"],
            ),
            ("max-age=0, s-maxage=61, stale-if-error=0", &["lifetime_above_maximum"]),
            ("max-age=0, s-maxage=99999999999999999999, stale-if-error=0", &["lifetime_above_maximum"]),
            ("max-age=0, s-maxage=60.5, stale-if-error=0", &["invalid_seconds"]),
            ("max-age=0, s-maxage=-60, stale-if-error=0", &["invalid_seconds"]),
            ("max-age=0; s-maxage=60", &["missing_s_maxage", "invalid_seconds"]),
            ("max-age=0, s-maxage=60, stale-if-error=none", &["invalid_seconds"]),
            ("max-age=0, s-maxage=\"60\", stale-if-error=0", &["quoted_seconds"]),
            ("max-age=0, s-maxage=5, s-maxage=60, stale-if-error=0", &["repeated_directive"]),
            ("max-age=0, s-maxage=60, stale-if-error=0, max-age=9", &["max_age", "repeated_directive"]),
        ] {
            assert_eq!(page(&[("cache-control", value)]), expected, "{value}");
        }
        assert_eq!(page(&[]), ["missing_s_maxage"]);
        assert_eq!(
            page(&[("Cache-Control", "max-age=0"), ("CACHE-CONTROL", "s-maxage=9, stale-if-error=0")]),
            [""; 0]
        );
        let expires = [("Expires", "Mon, 02 Mar 2026 09:00:30 GMT")];
        assert_eq!(page(&expires), ["missing_s_maxage", "missing_max_age", "missing_stale_if_error"]);
        assert_eq!(page(&[("Expires", "0")]), ["missing_s_maxage"]);
    }

    #[test]
    fn page_depends_only_on_the_cache_key_and_sets_no_cookie() {
        let control = ("Cache-Control", PAGE);
        for (header, expected) in [
            (("Vary", "Origin, accept-encoding,AUTHORIZATION, x-locale,"), &[][..]),
            (("vary", "Accept-Language"), &["vary"]),
            (("vary", "Origin, Accept-Language, Cookie"), &["vary", "vary"]),
            (("vary", "a b"), &["vary"]),
            (("Vary", "*"), &["vary_any"]),
            (("set-cookie", "session=1"), &["set_cookie"]),
            (("age", "3"), &["other_cache"]),
            (("age", "0"), &[]),
            (("age", "soon"), &[]),
        ] {
            assert_eq!(page(&[control, header]), expected, "{header:?}");
        }
        // A cookie of an answer that is not cached reaches one viewer.
        let uncached = response(200, &[("Cache-Control", "no-store"), ("Set-Cookie", "a=b")], "");
        assert_eq!(check(&uncached, &expected(ExpectedAnswer::Uncached)), Checked::default());
        let odd = Finding::Vary { name: None };
        let checked = check(
            &response(200, &[control, TAGS, ("Vary", "Bearer eyJ")], ""),
            &expected(ExpectedAnswer::Cached),
        );
        assert_eq!(checked.findings, [odd]);
    }

    #[test]
    fn lifetime_follows_from_the_age_of_the_data() {
        let changed = |second: i64| {
            let at = plus_seconds("2026-03-02T09:00:00Z".parse().unwrap(), second);
            format!(r#"{{"lastChangedAt": "{at}"}}"#)
        };
        let not_compared = |missing| vec![Note::LifetimeNotChecked { missing }];
        for (body, seconds, findings, notes) in [
            (changed(-600), 60, &[][..], vec![]),
            (changed(-300), 30, &[], vec![]),
            (changed(-599), 60, &[], vec![]),
            (changed(-300), 31, &["lifetime_above_formula"], vec![]),
            (changed(-3), 5, &[], vec![]),
            (changed(-3), 6, &["lifetime_above_formula"], vec![]),
            (changed(-300), 29, &[], vec![]),
            (changed(-300), 9, &[], vec![Note::BelowFormula { seconds: 9, formula: 29 }]),
            (changed(2), 5, &[], vec![]),
            (changed(3), 5, &["clocks_differ"], vec![]),
            (changed(3_600), 60, &["clocks_differ", "lifetime_above_formula"], vec![]),
            (changed(-3), 61, &["lifetime_above_maximum"], vec![]),
            (r#"{"lastChangedAt": "soon"}"#.to_owned(), 60, &["invalid_last_changed_at"], vec![]),
            ("{}".to_owned(), 60, &[], not_compared("lastChangedAt")),
            ("{}".to_owned(), 5, &[], vec![]),
        ] {
            let control = format!("max-age=0, s-maxage={seconds}, stale-if-error=0");
            let headers = [("Cache-Control", control.as_str()), TAGS, ("Date", NOW)];
            let checked = check(&response(200, &headers, &body), &expected(ExpectedAnswer::Cached));
            assert_eq!((codes(&checked), checked.notes), (findings.to_vec(), notes), "{body} {seconds}");
        }
        let checked = |headers: &[(&str, &str)], expected: &Expectations| {
            check(&response(200, headers, &changed(-300)), expected)
        };
        let headers = [("Cache-Control", PAGE), TAGS, ("Date", NOW)];
        let cached = expected(ExpectedAnswer::Cached);
        assert_eq!(checked(&headers[..2], &cached).notes, not_compared("Date"));
        assert_eq!(codes(&checked(&headers, &cached)), ["lifetime_above_formula"]);
        let old = "2026-03-02T08:00:00Z".parse().ok();
        assert_eq!(
            codes(&checked(&headers, &Expectations { last_changed_at: old, ..cached.clone() })),
            [""; 0]
        );
        let lifetime = CacheLifetime { origin: OriginLifetime::Fixed, ..cached.lifetime };
        assert_eq!(codes(&checked(&headers, &Expectations { lifetime, ..cached })), [""; 0]);
    }

    #[test]
    fn pending_answer_is_not_stored_and_says_so() {
        let pending = r#"{"isChangePending": true}"#;
        let (no_store, retry) = (("Cache-Control", "no-store"), ("Retry-After", "1"));
        for (headers, body, expected) in [
            (&[no_store, retry][..], pending, &[][..]),
            (&[no_store, ("retry-after", "60")], pending, &[]),
            (&[no_store], pending, &["missing_retry_after"]),
            (&[no_store, ("Retry-After", "0")], pending, &["invalid_retry_after"]),
            (&[no_store, ("Retry-After", "61")], pending, &["invalid_retry_after"]),
            (&[no_store, ("Retry-After", "1.5")], pending, &["invalid_retry_after"]),
            (&[no_store, ("Retry-After", NOW)], pending, &["invalid_retry_after"]),
            (&[no_store, retry], "{}", &["missing_change_pending"]),
            (&[no_store, retry], "", &["missing_change_pending"]),
            (&[retry], pending, &["missing_no_store"]),
            (&[("Cache-Control", "private"), retry], pending, &["missing_no_store"]),
            (&[("Cache-Control", PAGE), TAGS, retry], pending, &["cached_pending"]),
            (&[("Cache-Control", "no-store, no-store, max-age=x"), retry], pending, &["invalid_seconds"]),
        ] {
            let answer = response(200, headers, body);
            let pending = check(&answer, &self::expected(ExpectedAnswer::Pending));
            assert_eq!(codes(&pending), expected, "{headers:?} {body}");
            if answer.body.is_change_pending {
                // Someone who checks a page has to know that it is not one.
                let page = check(&answer, &self::expected(ExpectedAnswer::Cached));
                let expected = [&["unexpected_change_pending"], expected].concat();
                assert_eq!(codes(&page), expected, "{headers:?} {body}");
            }
        }
    }

    #[test]
    fn error_redirect_and_secret_are_not_cached() {
        use ExpectedAnswer::{Cached, Error, Pending, Redirect, Uncached};
        let page: &[(&str, &str)] = &[("Cache-Control", PAGE), TAGS];
        let no_store: &[(&str, &str)] = &[("Cache-Control", "no-store")];
        for (answer, status, headers, expected) in [
            (Error, 403, no_store, &[][..]),
            (Error, 503, &[], &["missing_no_store"]),
            (Error, 401, &[], &[]),
            (Error, 403, page, &["cached_error"]),
            (Error, 404, &[("Cache-Control", "max-age=9")], &["cached_error"]),
            (Error, 404, &[("Cache-Control", "private, s-maxage=9")], &["missing_no_store"]),
            (Error, 200, page, &["unexpected_status"]),
            (Cached, 401, no_store, &["unexpected_status"]),
            (Cached, 500, page, &["unexpected_status", "cached_error"]),
            (Cached, 301, no_store, &["unexpected_status"]),
            (Cached, 304, page, &[]),
            (Pending, 401, no_store, &["unexpected_status"]),
            (Uncached, 202, no_store, &[]),
            (Uncached, 200, &[], &["missing_no_store"]),
            (Uncached, 200, &[("Cache-Control", "private")], &["missing_no_store"]),
            (Uncached, 200, page, &["cached_answer"]),
            (Uncached, 403, no_store, &["unexpected_status"]),
            (Redirect, 301, no_store, &[]),
            (Redirect, 301, &[], &[]),
            (Redirect, 302, page, &[]),
            (
                Redirect,
                301,
                &[("Cache-Control", "max-age=9")],
                &["missing_s_maxage", "max_age", "missing_stale_if_error", "missing_tags"],
            ),
        ] {
            let checked = check(&response(status, headers, ""), &self::expected(answer));
            assert_eq!(codes(&checked), expected, "{answer:?} {status} {headers:?}");
        }
    }

    #[test]
    fn answer_of_cloudfront_is_not_the_origin_s() {
        let control = ("Cache-Control", PAGE);
        let miss = ("X-Cache", "Miss from cloudfront");
        for (headers, expected, notes) in [
            (&[control, miss][..], &["from_cloudfront"][..], 0),
            (&[control, ("x-amz-cf-pop", "FRA60-P1")], &["from_cloudfront"], 0),
            (&[control, ("X-Cache", "RefreshHit from cloudfront"), TAGS], &["from_cloudfront"], 0),
            (&[control, ("X-Cache", "Hit from cloudfront"), ("Age", "9")], &["from_cloudfront"], 0),
            (&[control, miss, TAGS], &[], 1),
            (&[control, ("X-Cache", "HIT"), TAGS], &[], 0),
            (&[control], &["missing_tags"], 0),
        ] {
            let mut expectations = self::expected(ExpectedAnswer::Cached);
            expectations.lifetime.origin = OriginLifetime::Fixed;
            let checked = check(&response(200, headers, ""), &expectations);
            assert_eq!((codes(&checked), checked.notes.len()), (expected.to_vec(), notes), "{headers:?}");
        }
    }

    #[test]
    fn header_with_the_tags_can_have_another_name_or_be_missing() {
        let headers = [("Cache-Control", PAGE), ("x-amz-meta-cache-tag", "user:ana,users")];
        let with = |tag_header: Option<&str>| {
            let tag_header = tag_header.map(str::to_owned);
            let mut expectations = Expectations { tag_header, ..expected(ExpectedAnswer::Cached) };
            expectations.lifetime.origin = OriginLifetime::Fixed;
            codes(&check(&response(200, &headers, ""), &expectations))
        };
        assert_eq!(with(Some("X-Amz-Meta-Cache-Tag")), [""; 0]);
        assert_eq!(with(Some("Cache-Tag")), ["missing_tags"]);
        assert_eq!(with(None), [""; 0]);
    }
}
