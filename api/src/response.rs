//! The response, with the headers that `docs/caching.md` asks for. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use shared::cache_tags;

/// A response in API Gateway's payload format 2.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    pub status_code: u16,
    pub headers: BTreeMap<&'static str, String>,
    pub body: String,
    pub is_base64_encoded: bool,
}

/// How long CloudFront may keep an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Not at all.
    NoStore,
    Shared {
        /// At least 1.
        seconds: i64,
        /// The value of `Cache-Tag`.
        tags: String,
    },
}

impl Caching {
    /// For an answer about `subs`: as long as `max_seconds` allows, and not beyond one of `ends`, such
    /// as the end of the caller's token.
    pub fn for_users(subs: &[&str], max_seconds: u32, now: Timestamp, ends: &[Timestamp]) -> Self {
        let seconds = ends.iter().map(|end| end.duration_since(now).as_secs());
        let seconds = seconds.min().unwrap_or(i64::MAX).min(i64::from(max_seconds));
        if seconds < 1 {
            return Self::NoStore;
        }
        let mut tags: Vec<String> = Vec::new();
        for tag in subs.iter().map(|sub| cache_tags::of_user(sub)).chain([cache_tags::ALL_USERS.to_owned()]) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Self::Shared { seconds, tags: tags.join(",") }
    }
}

impl Response {
    /// An answer with status 200.
    pub fn ok(body: &impl Serialize, caching: &Caching) -> Self {
        let mut response = Self::not_stored(200, "application/json", body);
        if let Caching::Shared { seconds, tags } = caching {
            let cache_control = format!("max-age=0, s-maxage={seconds}, stale-if-error=0");
            response.headers.insert("Cache-Control", cache_control);
            response.headers.insert("Cache-Tag", tags.clone());
            response.headers.insert("ETag", entity_tag(&response.body));
        }
        response
    }

    /// A view of a user. If a change is pending that the caller waits for, no cache keeps the answer,
    /// and it says so: `"isChangePending": true`.
    pub fn of_view(view: &impl Serialize, is_pending: bool, caching: &Caching) -> Self {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct PendingView<'a, T> {
            #[serde(flatten)]
            view: &'a T,
            is_change_pending: bool,
        }
        if !is_pending {
            return Self::ok(view, caching);
        }
        let mut response = Self::ok(&PendingView { view, is_change_pending: true }, &Caching::NoStore);
        response.headers.insert("Retry-After", "1".to_owned());
        response
    }

    /// A response that no cache keeps.
    pub fn not_stored(status_code: u16, content_type: &str, body: &impl Serialize) -> Self {
        let headers = [
            ("Cache-Control", "no-store"),
            ("Content-Type", content_type),
            // A browser must not take markup in a value for a page.
            ("X-Content-Type-Options", "nosniff"),
        ];
        Self {
            status_code,
            headers: headers.map(|(name, value)| (name, value.to_owned())).into(),
            // serde_json cannot fail: the bodies have only strings, numbers and lists.
            body: serde_json::to_string(body).unwrap_or_default(),
            is_base64_encoded: false,
        }
    }

    /// 304 without a body, if the client has this answer already.
    #[must_use]
    pub fn unless_matching(self, if_none_match: Option<&str>) -> Self {
        let is_match = self
            .headers
            .get("ETag")
            .zip(if_none_match)
            .is_some_and(|(tag, condition)| matches(tag, condition));
        if is_match { Self { status_code: 304, body: String::new(), ..self } } else { self }
    }

    /// The same response without `ETag`, so that it never becomes a 304. For an answer that viewers
    /// share: CloudFront caches a 304, and may forward the condition of a viewer. One viewer could then
    /// leave the others without the body.
    ///
    /// Source: Amazon CloudFront Developer Guide, *Request and response behavior for custom origins* and
    /// *How CloudFront processes HTTP 3xx status codes from your origin*.
    #[must_use]
    pub fn without_entity_tag(mut self) -> Self {
        self.headers.remove("ETag");
        self
    }

    /// The response to HEAD.
    #[must_use]
    pub fn without_body(self) -> Self {
        Self { body: String::new(), ..self }
    }
}

/// A strong entity tag: a hash of the body.
fn entity_tag(body: &str) -> String {
    let hash = Sha256::digest(body.as_bytes());
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// The weak comparison of RFC 9110, 13.1.2: CloudFront marks the tag as weak (`W/`) if it compresses
/// the answer.
fn matches(tag: &str, if_none_match: &str) -> bool {
    let mut candidates = if_none_match.split(',').map(str::trim);
    candidates.any(|candidate| candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == tag)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn lifetime_ends_with_the_setting_the_token_and_the_grant() {
        let now = time(1_000);
        for (max, ends, expected) in [
            (1800, &[time(90_000)][..], Some(1800)),
            (1800, &[time(1_060)], Some(60)),
            (1800, &[time(1_060), time(1_010)], Some(10)),
            (1800, &[time(1_001)], Some(1)),
            (1800, &["1970-01-01T00:16:40.999Z".parse().unwrap()], None),
            (1800, &[time(1_000)], None),
            (1800, &[time(900)], None),
            (1800, &[Timestamp::MAX], Some(1800)),
            (1800, &[], Some(1800)),
            (0, &[time(90_000)], None),
        ] {
            let caching = Caching::for_users(&["ana"], max, now, ends);
            let seconds = match caching {
                Caching::Shared { seconds, tags } => {
                    assert_eq!(tags, "user:ana,users");
                    Some(seconds)
                }
                Caching::NoStore => None,
            };
            assert_eq!(seconds, expected, "{max} {ends:?}");
        }
    }

    #[test]
    fn tags_name_every_user_once() {
        let tags = |subs: &[&str]| match Caching::for_users(subs, 60, time(0), &[]) {
            Caching::Shared { tags, .. } => tags,
            Caching::NoStore => String::new(),
        };
        assert_eq!(tags(&["ana", "ben"]), "user:ana,user:ben,users");
        assert_eq!(tags(&["ana", "ana"]), "user:ana,users");
        assert_eq!(tags(&["a,b"]), "user:a%2Cb,users");
    }

    #[test]
    fn answer_has_the_headers_of_its_caching() {
        let shared = Caching::Shared { seconds: 60, tags: "user:ana,users".into() };
        let response = Response::ok(&json!({"a": "<b>"}), &shared);
        assert_eq!((response.status_code, response.body.as_str()), (200, r#"{"a":"<b>"}"#));
        let headers: Vec<_> = response.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let expected = [
            ("Cache-Control", "max-age=0, s-maxage=60, stale-if-error=0"),
            ("Cache-Tag", "user:ana,users"),
            ("Content-Type", "application/json"),
            ("ETag", "\"59596a35bc447dd6fb26cfd5d167ee4a\""),
            ("X-Content-Type-Options", "nosniff"),
        ];
        assert_eq!(headers, expected);
        let headers = Response::ok(&json!({}), &Caching::NoStore).headers;
        assert_eq!(headers["Cache-Control"], "no-store");
        assert!(!headers.contains_key("Cache-Tag") && !headers.contains_key("ETag"));
    }

    #[test]
    fn matching_tag_gets_304_with_the_same_headers() {
        let shared = Caching::Shared { seconds: 60, tags: "user:ana,users".into() };
        let response = Response::ok(&json!({}), &shared);
        let tag = response.headers["ETag"].clone();
        for (condition, is_match) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"other\", {tag}"), true),
            (format!("\"other\",W/{tag} , \"x\""), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
            (tag.replace('"', ""), false),
            (String::new(), false),
        ] {
            let answer = response.clone().unless_matching(Some(&condition));
            assert_eq!(answer.status_code, if is_match { 304 } else { 200 }, "{condition}");
            assert_eq!(answer.body.is_empty(), is_match);
            assert_eq!(answer.headers, response.headers);
        }
        assert_eq!(response.clone().unless_matching(None), response);
        let not_stored = Response::ok(&json!({}), &Caching::NoStore);
        assert_eq!(not_stored.clone().unless_matching(Some("*")), not_stored);
    }
}
