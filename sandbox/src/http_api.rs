//! A model of the HTTP API of `template.yaml`: it verifies the sandbox's tokens as the JWT authorizer
//! does, and invokes read-api with an event of payload format 2.0.
//!
//! Not modeled: throttling, and the limit of 10 MB for a body.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::aws::SandboxAccount;
use crate::functions::invoke_http_api;
use crate::tokens::TokenKey;

/// The settings of the API and its authorizer.
#[derive(Clone)]
pub struct HttpApi {
    pub key: TokenKey,
    /// The claim `iss` of the tokens.
    pub issuer: String,
    /// The app client whose tokens count.
    pub client_id: String,
}

/// Why API Gateway refuses a request. The function does not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No route has this method and path.
    NoRoute,
    /// The token is missing or does not count.
    Unauthorized,
}

/// The routes of the template, and whether they have the authorizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Config,
    Read,
    MarkAsRead,
}

impl HttpApi {
    /// Answers a request. `variables` are the environment variables of read-api.
    pub async fn handle(
        &self,
        account: &SandboxAccount,
        variables: &BTreeMap<String, String>,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>> {
        let event = match self.event(request, account.time.now()) {
            Ok(event) => event,
            Err(refusal) => return Ok(refusal.response()),
        };
        let request = api::Request::from_json(&event.to_string())?;
        let answer = invoke_http_api(account, variables, request).await.context("read-api")?;
        response(answer)
    }

    /// The event that read-api gets.
    pub fn event(&self, request: &Request<Bytes>, now: Timestamp) -> Result<Value, Refusal> {
        let (uri, method) = (request.uri(), request.method());
        let path = percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
        let route = Route::of(method, uri.path()).ok_or(Refusal::NoRoute)?;
        let authorizer = match route {
            Route::Config => Value::Null,
            Route::Read | Route::MarkAsRead => {
                let claims = self.claims(request.headers(), now).ok_or(Refusal::Unauthorized)?;
                json!({"jwt": {"claims": as_texts(&claims), "scopes": null}})
            }
        };
        let key = route.key(method);
        let mut event = json!({
            "version": "2.0",
            "routeKey": key,
            "rawPath": path,
            "rawQueryString": uri.query().unwrap_or_default(),
            "headers": joined(request.headers()),
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "sandbox",
                "domainName": "api.example.com",
                "http": {
                    "method": method.as_str(),
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": "Amazon CloudFront",
                },
                "requestId": "sandbox",
                "routeKey": key,
                "stage": "$default",
                "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                "timeEpoch": now.as_millisecond(),
            },
            "isBase64Encoded": false,
        });
        if !authorizer.is_null() {
            event["requestContext"]["authorizer"] = authorizer;
        }
        if !request.body().is_empty() {
            let text = std::str::from_utf8(request.body()).ok().filter(|_| is_text(request.headers()));
            event["isBase64Encoded"] = text.is_none().into();
            event["body"] = text.map_or_else(|| STANDARD.encode(request.body()), str::to_owned).into();
        }
        Ok(event)
    }

    /// The claims of the token, if the authorizer accepts it. It accepts ID tokens too.
    fn claims(&self, headers: &HeaderMap, now: Timestamp) -> Option<Map<String, Value>> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let value = value.to_str().ok()?;
        let token = match value.split_once(' ') {
            Some((scheme, token)) => Some(token).filter(|_| scheme.eq_ignore_ascii_case("bearer"))?,
            None => value,
        };
        let claims = self.key.verify(token)?;
        let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
        let is_issuer = claims.get("iss").is_some_and(|issuer| *issuer == self.issuer);
        let client = claims.get("aud").or_else(|| claims.get("client_id"));
        let is_client = client.is_some_and(|client| *client == self.client_id);
        let is_current = seconds("exp").is_some_and(|end| end > now.as_second());
        let has_begun = |name| seconds(name).is_none_or(|begin| begin <= now.as_second());
        let counts = is_issuer && is_client && is_current && has_begun("nbf") && has_begun("iat");
        counts.then_some(claims)
    }
}

impl Route {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let is_read = [Method::GET, Method::HEAD].contains(method);
        let rest = path.strip_prefix("/api/")?;
        let id = rest.strip_prefix("notifications/").and_then(|rest| rest.strip_suffix("/read"));
        match id {
            _ if is_read && rest == "config" => Some(Self::Config),
            _ if is_read && !rest.is_empty() => Some(Self::Read),
            Some(id) if *method == Method::POST && !id.is_empty() && !id.contains('/') => {
                Some(Self::MarkAsRead)
            }
            _ => None,
        }
    }

    fn key(self, method: &Method) -> String {
        match self {
            Self::Config => format!("{method} /api/config"),
            Self::Read => format!("{method} /api/{{proxy+}}"),
            Self::MarkAsRead => "POST /api/notifications/{id}/read".to_owned(),
        }
    }
}

impl Refusal {
    fn response(self) -> Response<Bytes> {
        let (status, message) = match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "Not Found"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        };
        let mut response = Response::new(Bytes::from(json!({"message": message}).to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self == Self::Unauthorized {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The claims as API Gateway passes them: texts, and a list as `[A B]`.
fn as_texts(claims: &Map<String, Value>) -> Map<String, Value> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<String> = values
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            format!("[{}]", values.join(" "))
        }
        other => other.to_string(),
    };
    claims.iter().map(|(name, value)| (name.clone(), text(value).into())).collect()
}

/// The headers in lower case. Several values of one name are joined with commas.
fn joined(headers: &HeaderMap) -> Map<String, Value> {
    let values = |name: &HeaderName| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(",")
    };
    headers.keys().map(|name| (name.as_str().to_owned(), values(name).into())).collect()
}

/// API Gateway encodes other bodies in Base64.
fn is_text(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/") || media_type.ends_with("json") || media_type.ends_with("xml")
}

fn response(answer: api::Response) -> Result<Response<Bytes>> {
    let mut response = Response::builder().status(answer.status_code);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    let body = match answer.is_base64_encoded {
        true => STANDARD.decode(&answer.body).context("a body that is not Base64")?.into(),
        false => Bytes::from(answer.body),
    };
    response.body(body).context("a response that is not HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_442_000;

    fn api() -> HttpApi {
        let key = TokenKey::random().unwrap();
        HttpApi { key, issuer: "https://idp.example.com".to_owned(), client_id: "page".to_owned() }
    }

    fn claims(changes: Value) -> Map<String, Value> {
        let mut claims = json!({
            "iss": "https://idp.example.com", "client_id": "page", "sub": "ana", "exp": NOW + 60, "iat": NOW,
            "cognito:groups": ["A", "B"],
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object().unwrap().clone()
    }

    fn event(api: &HttpApi, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Value, Refusal> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Bytes::from_static(if method == "POST" { b"{}" } else { b"" });
        api.event(&request.body(body).unwrap(), Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn routes_are_those_of_the_template() {
        let api = api();
        let token = format!("Bearer {}", api.key.sign(&claims(json!({}))));
        for (method, path, expected) in [
            ("GET", "/api/config", Some("GET /api/config")),
            ("HEAD", "/api/config", Some("HEAD /api/config")),
            ("GET", "/api/dashboard", Some("GET /api/{proxy+}")),
            ("HEAD", "/api/orders?limit=1", Some("HEAD /api/{proxy+}")),
            ("POST", "/api/notifications/n%207/read", Some("POST /api/notifications/{id}/read")),
            ("POST", "/api/notifications/a/b/read", None),
            ("POST", "/api/notifications//read", None),
            ("POST", "/api/dashboard", None),
            ("DELETE", "/api/dashboard", None),
            ("GET", "/api/", None),
            ("GET", "/", None),
        ] {
            let event = event(&api, method, path, &[("authorization", &token)]);
            let key = event.as_ref().ok().and_then(|event| event["routeKey"].as_str());
            assert_eq!(key, expected, "{method} {path}");
            assert_eq!(event.is_err_and(|refusal| refusal == Refusal::NoRoute), expected.is_none());
        }
    }

    #[test]
    fn event_has_the_form_of_payload_2_0() {
        let api = api();
        let token = format!("Bearer {}", api.key.sign(&claims(json!({}))));
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
            ("x-a", "1"),
            ("x-a", "2"),
        ];
        let post = event(&api, "POST", "/api/notifications/n%207/read?a=%20", &headers).unwrap();
        assert_eq!(
            (&post["rawPath"], &post["rawQueryString"]),
            (&json!("/api/notifications/n 7/read"), &json!("a=%20"))
        );
        assert_eq!((&post["body"], &post["isBase64Encoded"]), (&json!("{}"), &json!(false)));
        assert_eq!(post["headers"]["x-a"], "1,2");
        let claims = &post["requestContext"]["authorizer"]["jwt"]["claims"];
        assert_eq!((&claims["exp"], &claims["cognito:groups"]), (&json!("1772442060"), &json!("[A B]")));
        let binary = event(&api, "POST", "/api/notifications/n/read", &headers[..1]).unwrap();
        assert_eq!((&binary["body"], &binary["isBase64Encoded"]), (&json!("e30="), &json!(true)));
        let config = event(&api, "GET", "/api/config", &[]).unwrap();
        assert_eq!(config["requestContext"]["authorizer"], Value::Null);
    }

    #[test]
    fn authorizer_refuses_other_tokens() {
        let api = api();
        let verdict = |headers: &[(&str, &str)]| event(&api, "GET", "/api/dashboard", headers).map(drop);
        for (changes, expected) in [
            (json!({}), Ok(())),
            (json!({"nbf": NOW}), Ok(())),
            // An ID token: read-api refuses it.
            (json!({"aud": "page", "client_id": null, "token_use": "id"}), Ok(())),
            (json!({"exp": NOW}), Err(Refusal::Unauthorized)),
            (json!({"exp": null}), Err(Refusal::Unauthorized)),
            (json!({"nbf": NOW + 1}), Err(Refusal::Unauthorized)),
            (json!({"iat": NOW + 1}), Err(Refusal::Unauthorized)),
            (json!({"iss": "https://idp.example.org"}), Err(Refusal::Unauthorized)),
            (json!({"client_id": "other"}), Err(Refusal::Unauthorized)),
            (json!({"aud": "other"}), Err(Refusal::Unauthorized)),
        ] {
            let token = format!("Bearer {}", api.key.sign(&claims(changes.clone())));
            assert_eq!(verdict(&[("authorization", &token)]), expected, "{changes}");
        }
        let token = api.key.sign(&claims(json!({})));
        let bearer = format!("Bearer {token}");
        assert_eq!(verdict(&[("authorization", &token)]), Ok(()), "without a scheme");
        let other = self::api().key.sign(&claims(json!({})));
        for headers in [
            &[][..],
            &[("authorization", "")],
            &[("authorization", "Basic YQ==")],
            &[("authorization", &format!("Basic {token}"))],
            &[("authorization", &bearer), ("authorization", &bearer)],
            &[("authorization", &format!("Bearer {other}"))],
            &[("authorization", &format!("Bearer {bearer}"))],
        ] {
            assert_eq!(verdict(headers), Err(Refusal::Unauthorized), "{headers:?}");
        }
    }
}
