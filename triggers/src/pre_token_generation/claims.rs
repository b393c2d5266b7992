//! TOKEN_CLAIMS: claims and scopes that every token gets. Event versions 2 and 3 only.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::config::{ConfigError, Environment, Object};

/// AWS: claims and scopes together, at most 5,000.
const MAX_CLAIMS: usize = 5_000;

/// Claims that Cognito does not let a trigger change, in one token or the other ("Claims and scopes reference" in
/// Cognito's guide): AWS does not say that a name which is reserved in one is free in the other. `scope` has
/// lists of its own.
const RESERVED: [&str; 23] = [
    "acr",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "client_id",
    "cognito:username",
    "device_key",
    "event_id",
    "exp",
    "iat",
    "identities",
    "iss",
    "jti",
    "nbf",
    "nonce",
    "origin_jti",
    "scope",
    "sub",
    "token_use",
    "username",
    "version",
];

/// Claims of the ID token that take no lists and objects, beside [`PROOFS`].
const SIMPLE: [&str; 2] = ["address", "updated_at"];

/// The scope with which a token's holder can change attributes and delete the account.
const SELF_SERVICE: &str = "aws.cognito.signin.user.admin";

/// Claims that say something was proven. One value for every user would say it of those who proved nothing.
const PROOFS: [&str; 2] = ["email_verified", "phone_number_verified"];

/// What to add.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenClaims {
    /// Claims of the ID token.
    id: Map<String, Value>,
    /// Claims of the access token.
    access: Map<String, Value>,
    /// Scopes to add to the access token.
    scopes_to_add: Vec<String>,
    /// Scopes to take off the access token.
    scopes_to_suppress: Vec<String>,
}

impl TokenClaims {
    /// Reads TOKEN_CLAIMS.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let Object(claims): Object<Self> =
            environment.json("TOKEN_CLAIMS", r#"{"id": {"plan": "free"}, "scopes_to_add": ["orders"]}"#)?;
        claims.check().map(|()| claims).map_err(|reason| ConfigError::new("TOKEN_CLAIMS", reason))
    }

    fn check(&self) -> Result<(), String> {
        let names = || self.id.keys().chain(self.access.keys());
        let scopes = || self.scopes_to_add.iter().chain(&self.scopes_to_suppress);
        let is_reserved = |name: &&String| {
            let name = name.trim().to_lowercase();
            name.starts_with("cognito:") || name.starts_with("dev:") || RESERVED.contains(&name.as_str())
        };
        if let Some(name) = names().find(is_reserved) {
            return Err(format!("the claim \"{name}\" is reserved"));
        }
        if let Some(name) = names().find(|name| PROOFS.contains(&name.trim().to_lowercase().as_str())) {
            return Err(format!("the claim \"{name}\" is Cognito's to say"));
        }
        let is_complex = |(name, value): &(&String, &Value)| {
            SIMPLE.contains(&name.as_str()) && (value.is_array() || value.is_object())
        };
        if let Some((name, _)) = self.id.iter().find(is_complex) {
            return Err(format!("the claim \"{name}\" of the ID token takes no list or object"));
        }
        if let Some(name) = names().find(|name| name.is_empty()) {
            return Err(format!("the claim \"{name}\" has no name"));
        }
        if let Some((name, _)) = self.id.iter().chain(&self.access).find(|(_, value)| value.is_null()) {
            return Err(format!("the claim \"{name}\" has no value"));
        }
        // Cognito: 1 to 256 characters of ASCII, none of them a space, a quote or a backslash.
        let is_scope = |scope: &str| {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
            (1..=256).contains(&scope.len()) && scope.bytes().all(is_plain)
        };
        if let Some(scope) = scopes().find(|scope| !is_scope(scope)) {
            return Err(format!("\"{scope}\" is no scope: it is empty, too long, or has a space in it"));
        }
        if self.scopes_to_add.iter().any(|scope| scope == SELF_SERVICE) {
            return Err(format!(
                "the scope \"{SELF_SERVICE}\" lets its holder change the account: it is not added"
            ));
        }
        if names().count() + scopes().count() > MAX_CLAIMS {
            return Err(format!("more than {MAX_CLAIMS} claims and scopes"));
        }
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the claims to `claimsAndScopeOverrideDetails`, each token's part in the full shape that AWS documents.
    pub fn add_to(&self, details: &mut Map<String, Value>) {
        if !self.id.is_empty() {
            let id = json!({"claimsToAddOrOverride": self.id, "claimsToSuppress": []});
            details.insert("idTokenGeneration".to_owned(), id);
        }
        if !self.access.is_empty() || !self.scopes_to_add.is_empty() || !self.scopes_to_suppress.is_empty() {
            let access = json!({
                "claimsToAddOrOverride": self.access,
                "claimsToSuppress": [],
                "scopesToAdd": self.scopes_to_add,
                "scopesToSuppress": self.scopes_to_suppress,
            });
            details.insert("accessTokenGeneration".to_owned(), access);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_five_thousand_claims_and_scopes_are_taken() {
        let claims = |count: usize| {
            let id: Map<String, Value> = (0..count).map(|n| (format!("c{n}"), Value::from(n))).collect();
            let json = json!({"id": id, "scopes_to_add": ["orders"]}).to_string();
            TokenClaims::from_environment(&[("TOKEN_CLAIMS", json.as_str())].into_iter().collect())
        };
        assert!(claims(4_999).is_ok());
        assert!(claims(5_000).unwrap_err().to_string().starts_with("TOKEN_CLAIMS: more than 5000"));
    }

    #[test]
    fn reserved_claims_and_scopes_with_spaces_fail_the_start() {
        for (json, reason) in [
            (r#"{"id": {"sub": "x"}}"#, "\"sub\" is reserved"),
            (r#"{"access": {"cognito:groups": []}}"#, "\"cognito:groups\" is reserved"),
            (r#"{"scopes_to_add": ["a b"]}"#, "\"a b\""),
            (r#"{"claims": {}}"#, "unknown field"),
            (r#"[{"admin": true}]"#, "expected an object"),
            (r#"{"access": {"scope": "openid"}}"#, "\"scope\" is reserved"),
            (r#"{"id": {"dev:custom": "x"}}"#, "\"dev:custom\" is reserved"),
            (r#"{"id": {"email_verified": "true"}}"#, "Cognito's to say"),
            (r#"{"id": {"address": {"country": "x"}}}"#, "takes no list or object"),
            (r#"{"id": {"plan": null}}"#, "has no value"),
            (r#"{"id": {"": "x"}}"#, "has no name"),
            (r#"{"scopes_to_suppress": [""]}"#, "is no scope"),
            (r#"{"scopes_to_add": ["aws.cognito.signin.user.admin"]}"#, "it is not added"),
            (r#"{"id": {" Sub": "x"}}"#, "is reserved"),
        ] {
            let environment = [("TOKEN_CLAIMS", json)].into_iter().collect();
            let error = TokenClaims::from_environment(&environment).unwrap_err().to_string();
            assert!(error.starts_with("TOKEN_CLAIMS: ") && error.contains(reason), "{error}");
        }
    }
}
