//! A model of CloudFront in front of its origins: cache key, lifetimes, cache tags and
//! invalidations, with the settings of `template.yaml`. Pure: the time is a parameter, and the
//! caller asks the origin.
//!
//! Not modeled: several locations, requests for one page that wait for each other, ranges and
//! compression. CloudFront resolves dot segments (`/x/../api/…`) to choose the behavior, and sends the
//! path as it came. The model takes the path as it came for both. An entry is evicted early only if the
//! cache has more than [`MAX_ENTRIES`].
//! `tests/src/bin/edge-against-varnish.rs` compares the model with Varnish.

mod conditional;
pub mod distribution;
mod freshness;
mod invalidation;

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AGE, ETAG, HOST, HeaderName, HeaderValue, IF_NONE_MATCH, USER_AGENT, VIA,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use jiff::Timestamp;

use self::conditional::{matches, not_modified};
use self::distribution::{Behavior, Distribution, Origin};
use self::freshness::{Freshness, freshness};
use self::invalidation::{Item, tags};

/// The header that says how the edge answered.
pub const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Maximum number of answers in the cache. CloudFront has no such number.
pub const MAX_ENTRIES: usize = 1_000;

/// The distribution with its cache.
#[derive(Debug)]
pub struct Edge {
    distribution: Distribution,
    entries: HashMap<Key, Entry>,
}

/// The cache key. The host is not part of it, because the model has one distribution, and
/// CloudFront uses the distribution's own name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    method: Method,
    path_and_query: String,
    /// The values of the headers that the cache policy names, in its order.
    headers: Vec<Vec<HeaderValue>>,
    /// The encodings that the viewer accepts, if the cache policy allows compression.
    encodings: &'static str,
}

/// A cached answer.
#[derive(Clone, Debug)]
struct Entry {
    response: Response<Bytes>,
    /// Its tags in lower case.
    tags: Vec<String>,
    stored_at: Timestamp,
    freshness: Freshness,
}

/// What the edge does with a viewer's request.
#[derive(Debug)]
pub enum Decision {
    /// The edge answers.
    Answer(Response<Bytes>),
    /// The edge asks the origin. Pass the origin's answer to [`Edge::answer`].
    Ask(Box<OriginRequest>),
    /// The edge answers with an expired page (`stale-while-revalidate`), and asks the origin in the
    /// background.
    AnswerAndAsk(Response<Bytes>, Box<OriginRequest>),
}

/// A request of the edge to an origin.
#[derive(Debug)]
pub struct OriginRequest {
    pub origin: Origin,
    pub request: Request<Bytes>,
    /// Index of the behavior.
    behavior: usize,
    /// `None`: the method is not cached.
    key: Option<Key>,
    if_none_match: Option<HeaderValue>,
    /// The entry of the key. Kept here, because an invalidation can remove it before the origin answers
    /// 304.
    stored: Option<Entry>,
}

impl Edge {
    pub fn new(distribution: Distribution) -> Self {
        Self { distribution, entries: HashMap::new() }
    }

    /// Receives a request of a viewer.
    pub fn receive(&self, request: Request<Bytes>, now: Timestamp) -> Decision {
        let (index, behavior) = self.distribution.behavior(request.uri().path());
        if !behavior.methods.contains(request.method()) {
            return Decision::Answer(refused_method());
        }
        let is_cached = [Method::GET, Method::HEAD].contains(request.method());
        let key = is_cached.then(|| Key::of(&request, behavior));
        let if_none_match = request.headers().get(IF_NONE_MATCH).filter(|_| is_cached).cloned();
        let mut asked = OriginRequest {
            origin: behavior.origin,
            request: self.origin_request(request, behavior),
            behavior: index,
            key,
            if_none_match,
            stored: None,
        };
        let Some(entry) = asked.key.as_ref().and_then(|key| self.entries.get(key)) else {
            return Decision::Ask(Box::new(asked));
        };
        let answer =
            || self.to_viewer(behavior, entry, "Hit from cloudfront", asked.if_none_match.as_ref(), now);
        if now < entry.freshness.until {
            return Decision::Answer(answer());
        }
        let stale = (now < entry.freshness.while_revalidate_until).then(answer);
        if let Some(etag) = entry.response.headers().get(ETAG) {
            asked.request.headers_mut().insert(IF_NONE_MATCH, etag.clone());
        }
        asked.stored = Some(entry.clone());
        match stale {
            Some(response) => Decision::AnswerAndAsk(response, Box::new(asked)),
            None => Decision::Ask(Box::new(asked)),
        }
    }

    /// Caches the answer of the origin, and returns the answer to the viewer.
    pub fn answer(
        &mut self,
        asked: OriginRequest,
        answer: Response<Bytes>,
        now: Timestamp,
    ) -> Response<Bytes> {
        let OriginRequest { behavior, key, if_none_match, stored, .. } = asked;
        let behavior = &self.distribution.behaviors[behavior];
        let (answer, result) = match &stored {
            Some(entry) if answer.status() == StatusCode::NOT_MODIFIED => {
                (refreshed(entry, &answer), "RefreshHit from cloudfront")
            }
            Some(entry)
                if answer.status().is_server_error()
                    && now < entry.freshness.if_error_until
                    && key.as_ref().is_some_and(|key| self.entries.contains_key(key)) =>
            {
                return self.to_viewer(behavior, entry, "Hit from cloudfront", if_none_match.as_ref(), now);
            }
            _ if answer.status().as_u16() >= 400 => (answer, "Error from cloudfront"),
            _ => (answer, "Miss from cloudfront"),
        };
        let freshness = freshness(&behavior.cache, answer.status(), answer.headers(), now);
        let tags = self.distribution.tag_header.as_ref().map(|name| tags(answer.headers(), name));
        let entry = Entry { response: answer, tags: tags.unwrap_or_default(), stored_at: now, freshness };
        let response = self.to_viewer(behavior, &entry, result, if_none_match.as_ref(), now);
        if let Some(key) = key {
            if entry.freshness.until > now {
                self.make_room();
                self.entries.insert(key, entry);
            } else {
                self.entries.remove(&key);
            }
        }
        response
    }

    /// Removes the cached answers that an invalidation names: `#tag`, a path, or the start of a path
    /// with `*`. Returns the paths of the removed answers, sorted.
    pub fn invalidate(&mut self, items: &[String]) -> Vec<String> {
        let items: Vec<Item<'_>> = items.iter().filter_map(|item| Item::parse(item)).collect();
        let mut removed = Vec::new();
        self.entries.retain(|key, entry| {
            let is_named = items.iter().any(|item| item.names(&key.path_and_query, &entry.tags));
            if is_named {
                removed.push(key.path_and_query.clone());
            }
            !is_named
        });
        removed.sort();
        removed
    }

    /// The number of answers in the cache, with those that have expired.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The request as the origin gets it. A viewer's header reaches the origin only if a policy names
    /// it.
    fn origin_request(&self, request: Request<Bytes>, behavior: &Behavior) -> Request<Bytes> {
        let (mut parts, body) = request.into_parts();
        let viewer = std::mem::take(&mut parts.headers);
        for name in behavior.cache.headers.iter().chain(&behavior.forwarded_headers) {
            for value in viewer.get_all(name) {
                parts.headers.append(name, value.clone());
            }
        }
        parts.headers.insert(HOST, HeaderValue::from_static(behavior.origin.host()));
        parts.headers.insert(USER_AGENT, HeaderValue::from_static("Amazon CloudFront"));
        parts.headers.insert(VIA, HeaderValue::from_static("1.1 sandbox (CloudFront)"));
        let encodings = accepted_encodings(&viewer, behavior);
        if !encodings.is_empty() {
            parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encodings));
        }
        for value in viewer.get_all(X_FORWARDED_FOR) {
            parts.headers.append(X_FORWARDED_FOR, value.clone());
        }
        parts.headers.append(X_FORWARDED_FOR, HeaderValue::from_static("127.0.0.1"));
        for (name, value) in self.distribution.origin_headers(behavior.origin) {
            parts.headers.insert(name.clone(), value.clone());
        }
        Request::from_parts(parts, body)
    }

    fn to_viewer(
        &self,
        behavior: &Behavior,
        entry: &Entry,
        result: &'static str,
        if_none_match: Option<&HeaderValue>,
        now: Timestamp,
    ) -> Response<Bytes> {
        let mut response = entry.response.clone();
        if response.status() == StatusCode::OK && if_none_match.is_some_and(|asked| matches(asked, &response))
        {
            response = not_modified(response);
        }
        let is_error = response.status().as_u16() >= 400;
        let headers = response.headers_mut();
        let result = if is_error { "Error from cloudfront" } else { result };
        headers.insert(X_CACHE, HeaderValue::from_static(result));
        if result.starts_with("Hit") || (is_error && now > entry.stored_at) {
            headers.insert(AGE, now.duration_since(entry.stored_at).as_secs().max(0).into());
        }
        for name in &behavior.removed_headers {
            headers.remove(name);
        }
        for added in &behavior.added_headers {
            if added.overrides || !headers.contains_key(&added.name) {
                headers.insert(added.name.clone(), added.value.clone());
            }
        }
        response
    }

    /// Evicts the answer that expires first if the cache is full.
    fn make_room(&mut self) {
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        let first = self.entries.iter().min_by_key(|(_, entry)| entry.freshness.until);
        if let Some(key) = first.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}

impl Key {
    fn of(request: &Request<Bytes>, behavior: &Behavior) -> Self {
        let path_and_query = match request.uri().path_and_query() {
            Some(path_and_query) if behavior.cache.is_query_in_key => path_and_query.as_str(),
            _ => request.uri().path(),
        };
        let values = |name: &HeaderName| request.headers().get_all(name).iter().cloned().collect();
        Self {
            method: request.method().clone(),
            path_and_query: path_and_query.to_owned(),
            headers: behavior.cache.headers.iter().map(values).collect(),
            encodings: accepted_encodings(request.headers(), behavior),
        }
    }
}

/// CloudFront reduces `Accept-Encoding` to the encodings that it supports.
fn accepted_encodings(headers: &HeaderMap, behavior: &Behavior) -> &'static str {
    if !behavior.cache.is_compression_in_key {
        return "";
    }
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let names: Vec<&str> = values
        .flat_map(|value| value.split(','))
        .filter_map(|part| part.split(';').next())
        .map(str::trim)
        .collect();
    match (names.contains(&"br"), names.contains(&"gzip")) {
        (true, true) => "br,gzip",
        (true, false) => "br",
        (false, true) => "gzip",
        (false, false) => "",
    }
}

/// The stored answer with the headers of the origin's 304.
fn refreshed(entry: &Entry, not_modified: &Response<Bytes>) -> Response<Bytes> {
    let mut response = entry.response.clone();
    for name in not_modified.headers().keys() {
        response.headers_mut().remove(name);
    }
    for (name, value) in not_modified.headers() {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response
}

fn refused_method() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"The method is not allowed for this path.\n"));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(X_CACHE, HeaderValue::from_static("Error from cloudfront"));
    response
}

#[cfg(test)]
mod tests;
