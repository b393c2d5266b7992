//! The claims of the tokens that Cognito issues after pre-token-generation. Pure.
//!
//! Source: Amazon Cognito Developer Guide, *Understanding the access token*, *Understanding the
//! identity (ID) token* and *Pre token generation Lambda trigger*.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shared::time::plus_seconds;

/// What a token says in addition to the trigger's answer.
#[derive(Clone, Debug)]
pub struct Issue<'a> {
    /// The claim `iss`.
    pub issuer: &'a str,
    /// Time of the sign-in. A refresh keeps it.
    pub signed_in_at: Timestamp,
    pub now: Timestamp,
    pub validity_seconds: i64,
    /// A random UUID. The access token and the ID token of one issue share it.
    pub id: &'a str,
    /// The `nonce` of the sign-in, for the ID token.
    pub nonce: Option<&'a str>,
}

/// The access token for the answer of pre-token-generation, which contains the event.
pub fn access_token(answer: &Value, issue: &Issue<'_>) -> Map<String, Value> {
    let changes = Changes::of(answer, "accessTokenGeneration");
    let mut claims = changes.claims();
    let scopes: Vec<Value> = changes.scopes(answer);
    let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
    claims.extend(common(answer, issue, "access"));
    claims.insert("client_id".to_owned(), answer["callerContext"]["clientId"].clone());
    claims.insert("scope".to_owned(), scopes.join(" ").into());
    claims.insert("username".to_owned(), answer["userName"].clone());
    changes.suppress(&mut claims);
    claims
}

/// The ID token for the answer of pre-token-generation.
pub fn id_token(answer: &Value, issue: &Issue<'_>) -> Map<String, Value> {
    let changes = Changes::of(answer, "idTokenGeneration");
    let mut claims = Map::new();
    let attributes = answer.pointer("/request/userAttributes").and_then(Value::as_object);
    for (name, value) in attributes.into_iter().flatten() {
        match name.as_str() {
            "email_verified" | "phone_number_verified" => {
                claims.insert(name.clone(), (value == "true").into());
            }
            "cognito:user_status" | "cognito:email_alias" => {}
            _ => drop(claims.insert(name.clone(), value.clone())),
        }
    }
    claims.extend(changes.claims());
    claims.extend(common(answer, issue, "id"));
    claims.insert("aud".to_owned(), answer["callerContext"]["clientId"].clone());
    claims.insert("cognito:username".to_owned(), answer["userName"].clone());
    if let Some(nonce) = issue.nonce {
        claims.insert("nonce".to_owned(), nonce.into());
    }
    changes.suppress(&mut claims);
    claims
}

fn common(answer: &Value, issue: &Issue<'_>, token_use: &str) -> Map<String, Value> {
    let mut claims = Map::new();
    let groups = answer
        .pointer("/response/claimsAndScopeOverrideDetails/groupOverrideDetails/groupsToOverride")
        .or_else(|| answer.pointer("/response/claimsOverrideDetails/groupOverrideDetails/groupsToOverride"))
        .filter(|groups| groups.is_array())
        .or_else(|| answer.pointer("/request/groupConfiguration/groupsToOverride"));
    if let Some(groups) = groups.filter(|groups| groups.as_array().is_some_and(|groups| !groups.is_empty())) {
        claims.insert("cognito:groups".to_owned(), groups.clone());
    }
    let fixed = json!({
        "sub": answer["request"]["userAttributes"]["sub"],
        "iss": issue.issuer,
        "token_use": token_use,
        "auth_time": issue.signed_in_at.as_second(),
        "iat": issue.now.as_second(),
        "exp": plus_seconds(issue.now, issue.validity_seconds).as_second(),
        "jti": issue.id,
    });
    claims.extend(fixed.as_object().cloned().unwrap_or_default());
    claims
}

/// The trigger's changes of one token.
struct Changes<'a>(&'a Value);

impl<'a> Changes<'a> {
    /// Of version 2 and 3 of the event. Version 1 has changes of the ID token only.
    fn of(answer: &'a Value, token: &str) -> Self {
        let details = &answer["response"]["claimsAndScopeOverrideDetails"][token];
        Self(match token {
            "idTokenGeneration" if details.is_null() => &answer["response"]["claimsOverrideDetails"],
            _ => details,
        })
    }

    fn claims(&self) -> Map<String, Value> {
        self.0["claimsToAddOrOverride"].as_object().cloned().unwrap_or_default()
    }

    fn suppress(&self, claims: &mut Map<String, Value>) {
        for name in self.0["claimsToSuppress"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            // Cognito does not suppress the claims that make it a token of a user.
            if !["sub", "iss", "token_use", "auth_time", "iat", "exp", "jti", "client_id", "aud"]
                .contains(&name)
            {
                claims.remove(name);
            }
        }
    }

    fn scopes(&self, answer: &Value) -> Vec<Value> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let suppressed = list(&self.0["scopesToSuppress"]);
        let mut scopes = list(&answer["request"]["scopes"]);
        for added in list(&self.0["scopesToAdd"]) {
            if !scopes.contains(&added) {
                scopes.push(added);
            }
        }
        scopes.retain(|scope| !suppressed.contains(scope));
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue() -> Issue<'static> {
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        let signed_in_at = "2026-03-02T08:00:00Z".parse().unwrap();
        Issue {
            issuer: "https://idp.example.com",
            signed_in_at,
            now,
            validity_seconds: 3_600,
            id: "1",
            nonce: Some("n"),
        }
    }

    fn answer(response: Value) -> Value {
        json!({
            "userName": "ana",
            "callerContext": {"clientId": "page"},
            "request": {
                "userAttributes": {"sub": "7d8c", "email": "ana@example.com", "email_verified": "true"},
                "groupConfiguration": {"groupsToOverride": ["Staff"]},
                "scopes": ["openid", "email"],
            },
            "response": response,
        })
    }

    #[test]
    fn tokens_without_changes_have_the_claims_of_cognito() {
        let answer = answer(json!({"claimsAndScopeOverrideDetails": null}));
        assert_eq!(
            Value::Object(access_token(&answer, &issue())),
            json!({
                "sub": "7d8c", "iss": "https://idp.example.com", "token_use": "access", "client_id": "page",
                "scope": "openid email", "username": "ana", "cognito:groups": ["Staff"], "jti": "1",
                "auth_time": 1_772_438_400, "iat": 1_772_442_000, "exp": 1_772_445_600,
            })
        );
        assert_eq!(
            Value::Object(id_token(&answer, &issue())),
            json!({
                "sub": "7d8c", "iss": "https://idp.example.com", "token_use": "id", "aud": "page",
                "cognito:username": "ana", "cognito:groups": ["Staff"], "email": "ana@example.com",
                "email_verified": true, "nonce": "n", "jti": "1",
                "auth_time": 1_772_438_400, "iat": 1_772_442_000, "exp": 1_772_445_600,
            })
        );
    }

    #[test]
    fn trigger_changes_claims_groups_and_scopes() {
        let answer = answer(json!({"claimsAndScopeOverrideDetails": {
            "accessTokenGeneration": {
                "claimsToAddOrOverride": {"tenant": "example", "sub": "other"},
                "claimsToSuppress": ["username", "exp"],
                "scopesToAdd": ["orders/read", "email"],
                "scopesToSuppress": ["openid"],
            },
            "idTokenGeneration": {"claimsToAddOrOverride": {"email": "hidden"}},
            "groupOverrideDetails": {"groupsToOverride": ["Staff", "Developer"]},
        }}));
        let access = access_token(&answer, &issue());
        assert_eq!((&access["tenant"], &access["sub"]), (&json!("example"), &json!("7d8c")));
        assert!(!access.contains_key("username") && access.contains_key("exp"));
        assert_eq!(access["scope"], "email orders/read");
        assert_eq!(access["cognito:groups"], json!(["Staff", "Developer"]));
        assert_eq!(id_token(&answer, &issue())["email"], "hidden");
        let v1 =
            self::answer(json!({"claimsOverrideDetails": {"claimsToAddOrOverride": {"tenant": "example"}}}));
        assert_eq!(id_token(&v1, &issue())["tenant"], "example");
        assert!(!access_token(&v1, &issue()).contains_key("tenant"));
    }
}
