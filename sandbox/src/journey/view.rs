//! The step `view`: a user requests a page through the edge, and finds what the step expects.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use bytes::Bytes;
use http::Response;
use http::header::AGE;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::config::Object;
use shared::events::EventReference;
use shared::text::plural;

use crate::site::cache_result;

/// Results of the edge that a step can expect.
const RESULTS: [&str; 4] = ["Hit", "Miss", "RefreshHit", "Error"];

/// A request of a user, and what it must find.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewStep {
    pub sub: String,
    #[serde(default = "dashboard")]
    pub path: String,
    /// The event that the user waits for: the query parameter `after`.
    #[serde(default, deserialize_with = "awaited_event")]
    pub after: Option<AwaitedEvent>,
    /// The user's device. Each has a token of its own.
    #[serde(default)]
    pub device: String,
    #[serde(default, deserialize_with = "expectation")]
    pub expect: Expectation,
}

/// An event of the user, by its source and id.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwaitedEvent {
    source: String,
    id: String,
}

/// Expectations of a view. A missing field expects nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// `Hit`, `Miss`, `RefreshHit` or `Error`: the first word of `X-Cache`.
    #[serde(default)]
    cache: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    /// Values of the body, by JSON Pointer (RFC 6901). `null`: there is no value.
    #[serde(default)]
    body: BTreeMap<String, Value>,
}

/// The page that a user saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ViewOutcome {
    pub sub: String,
    pub path: String,
    pub status: u16,
    /// The first word of `X-Cache`.
    pub cache: String,
    /// Seconds since the answer was cached. `None`: it comes from the origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    pub body: Value,
}

fn dashboard() -> String {
    "/api/dashboard".to_owned()
}

fn awaited_event<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<AwaitedEvent>, D::Error> {
    Object::deserialize(deserializer).map(|Object(event)| Some(event))
}

fn expectation<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Expectation, D::Error> {
    Object::deserialize(deserializer).map(|Object(expectation)| expectation)
}

impl ViewStep {
    /// The field that is wrong, and why.
    pub fn validate(&self) -> Result<(), String> {
        if self.sub.trim().is_empty() {
            return Err("view.sub: is empty".to_owned());
        }
        let is_path = self.path.starts_with("/api/") && self.path.parse::<http::Uri>().is_ok();
        if !is_path {
            return Err("view.path: expected a path below /api/, such as /api/dashboard".to_owned());
        }
        if self.after.as_ref().is_some_and(|event| event.source.is_empty() || event.id.is_empty()) {
            return Err("view.after: expected the source and the id of an event".to_owned());
        }
        let Expectation { cache, status, body } = &self.expect;
        if cache.as_ref().is_some_and(|cache| !RESULTS.contains(&cache.as_str())) {
            return Err(format!("view.expect.cache: expected one of {}", RESULTS.join(", ")));
        }
        if status.is_some_and(|status| !(100..600).contains(&status)) {
            return Err("view.expect.status: expected a status such as 200".to_owned());
        }
        match body.keys().find(|pointer| !pointer.starts_with('/')) {
            Some(pointer) => {
                Err(format!("view.expect.body: {pointer} is not a JSON Pointer, such as /statistics/orders"))
            }
            None => Ok(()),
        }
    }

    /// The path of the request, with the query parameter `after`.
    pub fn target(&self) -> String {
        let Some(AwaitedEvent { source, id }) = &self.after else { return self.path.clone() };
        let separator = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{separator}after={}", self.path, EventReference::new(source, id))
    }
}

impl Expectation {
    /// Fails with the first difference.
    pub fn check(&self, seen: &ViewOutcome) -> Result<()> {
        if let Some(cache) = self.cache.as_ref().filter(|cache| **cache != seen.cache) {
            bail!("view: expected {cache}, but found {}", seen.describe());
        }
        if let Some(status) = self.status.filter(|status| *status != seen.status) {
            bail!("view: expected status {status}, but found {}", seen.describe());
        }
        for (pointer, expected) in &self.body {
            let found = seen.body.pointer(pointer).unwrap_or(&Value::Null);
            if found != expected {
                bail!("view: {pointer}: expected {expected}, but found {found}");
            }
        }
        Ok(())
    }
}

impl ViewOutcome {
    pub fn new(sub: &str, path: &str, response: &Response<Bytes>) -> Self {
        let text = || Value::from(String::from_utf8_lossy(response.body()).into_owned());
        let age = response.headers().get(AGE).and_then(|age| age.to_str().ok()?.parse().ok());
        Self {
            sub: sub.to_owned(),
            path: path.to_owned(),
            status: response.status().as_u16(),
            cache: cache_result(response).to_owned(),
            age,
            body: serde_json::from_slice(response.body()).unwrap_or_else(|_| text()),
        }
    }

    /// In a few words: `Miss: 1 order, spent 49.90 EUR, 1 unread notification`, or
    /// `Miss: 0 orders, change pending`.
    pub fn describe(&self) -> String {
        let is_error = self.status >= 400;
        let cache = if is_error { format!("{} {}", self.cache, self.status) } else { self.cache.clone() };
        let details = if is_error { self.problem() } else { self.figures() };
        if details.is_empty() { cache } else { format!("{cache}: {details}") }
    }

    fn problem(&self) -> String {
        let text = self.body.get("title").or_else(|| self.body.get("message")).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }

    /// The figures of a dashboard, or the number of orders.
    fn figures(&self) -> String {
        let count = |value: &Value| usize::try_from(value.as_u64().unwrap_or_default()).unwrap_or_default();
        let statistics = &self.body["statistics"];
        let orders = self.body["orders"].as_array().map(Vec::len);
        let Some(orders) = orders.or_else(|| Some(count(statistics.get("orders")?))) else {
            return String::new();
        };
        let mut parts = vec![plural(orders, "order")];
        for spent in statistics["spent"].as_array().into_iter().flatten() {
            let text = |name: &str| spent[name].as_str().unwrap_or_default().to_owned();
            parts.push(format!("spent {} {}", text("amount"), text("currency")));
        }
        match count(&statistics["unreadNotifications"]) {
            0 => {}
            unread => parts.push(plural(unread, "unread notification")),
        }
        if self.body["isChangePending"] == true {
            parts.push("change pending".to_owned());
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(status: u16, cache: &str, body: Value) -> ViewOutcome {
        ViewOutcome { sub: "ana".into(), path: dashboard(), status, cache: cache.into(), age: None, body }
    }

    #[test]
    fn outcome_shows_the_figures_or_the_problem() {
        let statistics =
            json!({"orders": 1, "spent": [{"amount": "49.90", "currency": "EUR"}], "unreadNotifications": 2});
        for (seen, expected) in [
            (
                seen(200, "Miss", json!({"statistics": statistics})),
                "Miss: 1 order, spent 49.90 EUR, 2 unread notifications",
            ),
            (seen(200, "Hit", json!({"statistics": {"orders": 0, "spent": []}})), "Hit: 0 orders"),
            (seen(200, "Hit", json!({"orders": [{}, {}]})), "Hit: 2 orders"),
            (
                seen(200, "Miss", json!({"orders": [{}], "isChangePending": true})),
                "Miss: 1 order, change pending",
            ),
            (seen(200, "Hit", json!({"sub": "ana"})), "Hit"),
            (seen(403, "Error", json!({"title": "Suspended"})), "Error 403: Suspended"),
            (seen(401, "Error", json!({"message": "Unauthorized"})), "Error 401: Unauthorized"),
        ] {
            assert_eq!(seen.describe(), expected);
        }
    }

    #[test]
    fn awaited_event_is_a_query_parameter() {
        let step = |json: Value| serde_json::from_value::<ViewStep>(json).unwrap();
        let after = json!({"source": "/shop/orders", "id": "order-1001-placed"});
        // The reference in the test of `EventReference`.
        let value = "L3Nob3Avb3JkZXJzI29yZGVyLTEwMDEtcGxhY2Vk";
        for (view, expected) in [
            (json!({"sub": "ana"}), "/api/dashboard".to_owned()),
            (json!({"sub": "ana", "after": after}), format!("/api/dashboard?after={value}")),
            (
                json!({"sub": "ana", "path": "/api/orders?limit=5", "after": after}),
                format!("/api/orders?limit=5&after={value}"),
            ),
        ] {
            assert_eq!(step(view).target(), expected);
        }
        let nameless = step(json!({"sub": "ana", "after": {"source": "/shop", "id": ""}}));
        let expected = "view.after: expected the source and the id of an event";
        assert_eq!(nameless.validate(), Err(expected.to_owned()));
    }

    #[test]
    fn difference_names_what_was_found() {
        let expect = |json: Value| serde_json::from_value::<Expectation>(json).unwrap();
        let seen = seen(200, "Hit", json!({"statistics": {"orders": 1, "spent": []}}));
        for (expected, error) in [
            (json!({"cache": "Hit", "status": 200, "body": {"/statistics/orders": 1, "/next": null}}), None),
            (json!({}), None),
            (json!({"cache": "Miss"}), Some("view: expected Miss, but found Hit: 1 order")),
            (json!({"status": 403}), Some("view: expected status 403, but found Hit: 1 order")),
            (
                json!({"body": {"/statistics/orders": 2}}),
                Some("view: /statistics/orders: expected 2, but found 1"),
            ),
            (json!({"body": {"/name": "Ana"}}), Some("view: /name: expected \"Ana\", but found null")),
        ] {
            let result = expect(expected.clone()).check(&seen);
            assert_eq!(result.err().map(|error| error.to_string()).as_deref(), error, "{expected}");
        }
    }
}
