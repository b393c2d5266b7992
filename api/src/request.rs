//! The request: API Gateway's event of an HTTP API, payload format 2.0.
//!
//! A field that is missing, has another type or cannot be decoded counts as missing. So every event
//! becomes a request, and every request gets a response.

use std::collections::{BTreeMap, HashMap};

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// `{}` in Base64. API Gateway encodes a body whose media type it does not know.
const EMPTY_OBJECT_BASE64: &str = "e30=";

/// A request. It has no `Debug`, so that a token or a secret cannot reach a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Empty if the event has none.
    pub method: String,
    /// API Gateway has decoded the path.
    pub path: String,
    /// As the viewer sent it, without `?`.
    pub query: String,
    /// The header `X-Origin-Verify`, which CloudFront adds.
    pub origin_verify: Option<String>,
    /// The header `If-None-Match`.
    pub if_none_match: Option<String>,
    /// The claims of the token that the authorizer accepted. Empty for a route without an authorizer.
    pub claims: BTreeMap<String, String>,
    /// W3C trace context of the invocation. `None` outside Lambda.
    pub traceparent: Option<String>,
    /// True if the body is missing, empty or `{}`.
    pub has_empty_body: bool,
}

impl Request {
    /// Reads an event. Fails only if the text is not JSON.
    pub fn from_json(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    fn read(event: &RawValue) -> Self {
        let event = fields(Some(event));
        let context = fields(event.get("requestContext").copied());
        let http = fields(context.get("http").copied());
        let authorizer = fields(context.get("authorizer").copied());
        let jwt = fields(authorizer.get("jwt").copied());
        let headers = fields(event.get("headers").copied());
        let header = |name: &str| {
            // API Gateway writes the names in lower case.
            let header = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
            header.and_then(|(_, value)| decode::<String>(Some(value)))
        };
        let claims = fields(jwt.get("claims").copied()).into_iter();
        let claims = claims.filter_map(|(name, value)| Some((name, claim(value)?)));
        let text = |field: Option<&&RawValue>| decode::<String>(field.copied()).unwrap_or_default();
        let is_base64 = decode::<bool>(event.get("isBase64Encoded").copied()).unwrap_or_default();
        Self {
            method: text(http.get("method")),
            path: text(event.get("rawPath")),
            query: text(event.get("rawQueryString")),
            origin_verify: header("x-origin-verify"),
            if_none_match: header("if-none-match"),
            claims: claims.collect(),
            traceparent: None,
            has_empty_body: event.get("body").is_none_or(|body| is_empty(body, is_base64)),
        }
    }
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed, so that a body of 6 MB is not copied.
        <&RawValue>::deserialize(deserializer).map(Self::read)
    }
}

/// The fields of an object. Empty if the value is something else.
fn fields(value: Option<&RawValue>) -> HashMap<String, &RawValue> {
    value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}

fn decode<T: DeserializeOwned>(value: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(value?.get()).ok()
}

/// API Gateway sends every claim as a string.
fn claim(value: &RawValue) -> Option<String> {
    match decode(Some(value))? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_empty(body: &RawValue, is_base64: bool) -> bool {
    /// Longest body that is decoded, as JSON text: `{}` with some white space.
    const MAX_BYTES: usize = 64;
    if body.get() == "null" {
        return true;
    }
    if body.get().len() > MAX_BYTES {
        return false;
    }
    let Some(body) = decode::<String>(Some(body)) else { return false };
    let empty_object = if is_base64 { EMPTY_OBJECT_BASE64 } else { "{}" };
    ["", empty_object].contains(&body.trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(event: &Value) -> Request {
        Request::from_json(&event.to_string()).unwrap()
    }

    #[test]
    fn request_has_the_fields_of_the_event() {
        let request = read(&json!({
            "version": "2.0",
            "routeKey": "GET /api/{proxy+}",
            "rawPath": "/api/orders",
            "rawQueryString": "limit=5&before=a%20b",
            "headers": {"authorization": "Bearer a", "x-origin-verify": "s", "If-None-Match": "\"a\""},
            "requestContext": {
                "http": {"method": "GET", "path": "/api/orders"},
                "authorizer": {"jwt": {"claims": {"sub": "ana", "exp": 7, "cognito:groups": "[A B]"}, "scopes": null}},
            },
            "isBase64Encoded": false,
        }));
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/api/orders"));
        assert_eq!(request.query, "limit=5&before=a%20b");
        assert_eq!(
            (request.origin_verify.as_deref(), request.if_none_match.as_deref()),
            (Some("s"), Some("\"a\""))
        );
        let claims = [("cognito:groups", "[A B]"), ("exp", "7"), ("sub", "ana")];
        assert_eq!(request.claims, claims.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert!(request.has_empty_body);
    }

    #[test]
    fn event_of_another_form_is_a_request_without_what_it_lacks() {
        for event in [
            json!({}),
            json!([]),
            json!(null),
            json!("text"),
            json!(7),
            json!({"requestContext": []}),
            json!({"requestContext": {"http": {"method": 7}}, "rawPath": {}, "headers": "none"}),
            json!({"requestContext": {"authorizer": {"jwt": {"claims": ["sub"]}}}}),
            json!({"requestContext": {"authorizer": {"claims": {"sub": "ana"}}}}),
            json!({"requestContext": {"authorizer": {"lambda": {"sub": "ana"}}}}),
        ] {
            assert!(read(&event) == Request { has_empty_body: true, ..Request::default() }, "{event}");
        }
        let half_an_emoji =
            r#"{"rawPath": "\ud83d", "rawQueryString": "a", "headers": {"if-none-match": "\ud83d"}}"#;
        let request = Request::from_json(half_an_emoji).unwrap();
        assert_eq!((request.path.as_str(), request.query.as_str(), request.if_none_match), ("", "a", None));
        assert!(Request::from_json("{").is_err());
    }

    #[test]
    fn body_is_empty_or_an_empty_object() {
        for (body, is_base64, expected) in [
            (json!(null), false, true),
            (json!(""), false, true),
            (json!(" {}\n"), false, true),
            (json!("e30="), true, true),
            (json!("e30="), false, false),
            (json!("{}"), true, false),
            (json!("{\"a\": 1}"), false, false),
            (json!("[]"), false, false),
            (json!({}), false, false),
            (json!(" ".repeat(6 * 1024 * 1024)), false, false),
        ] {
            let request = read(&json!({"body": body, "isBase64Encoded": is_base64}));
            assert_eq!(request.has_empty_body, expected, "{is_base64} {:.40}", body.to_string());
        }
    }
}
