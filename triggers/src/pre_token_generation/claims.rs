//! TOKEN_CLAIMS: claims and scopes that every token gets. They need event version 2 or 3.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::config::{ConfigError, Environment, Object};

/// AWS limit for claims and scopes together.
const MAX_CLAIMS: usize = 5_000;

/// Claims that a trigger cannot change in the ID token or in the access token ("Claims and scopes
/// reference" in the Cognito guide). One list for both tokens, because AWS does not document that a
/// name reserved in one token is free in the other. `scope` is here because scopes have their own
/// lists.
const RESERVED_CLAIMS: [&str; 23] = [
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

/// Claims of the ID token that do not accept lists and objects, in addition to
/// [`VERIFICATION_CLAIMS`].
const SCALAR_CLAIMS: [&str; 2] = ["address", "updated_at"];

/// With this scope, the holder of a token can change attributes and delete the account.
const SELF_SERVICE: &str = "aws.cognito.signin.user.admin";

/// Claims that state that Cognito verified something. TOKEN_CLAIMS has one value for all users, so
/// it would be wrong for users who verified nothing.
const VERIFICATION_CLAIMS: [&str; 2] = ["email_verified", "phone_number_verified"];

/// An invalid value of TOKEN_CLAIMS.
#[derive(Debug, thiserror::Error)]
enum InvalidClaims {
    #[error("the claim `{0}` is reserved by Cognito. Remove it")]
    Reserved(String),
    #[error("only Cognito may set the claim `{0}`. Remove it")]
    Verification(String),
    #[error("the claim `{0}` of the ID token cannot be a list or an object. Use a simple value")]
    NotScalar(String),
    #[error("a claim has an empty name. Name it or remove it")]
    Unnamed,
    #[error("the claim `{0}` has the value null. Set a value or remove the claim")]
    Null(String),
    #[error(
        "the scope `{0}` is invalid. Use 1 to 256 ASCII characters without spaces, quotes and backslashes"
    )]
    Scope(String),
    #[error(
        "the scope `{SELF_SERVICE}` lets the holder of a token change the account. Remove it from `scopes_to_add`"
    )]
    SelfService,
    #[error("there are more than {MAX_CLAIMS} claims and scopes. Remove some")]
    TooMany,
}

/// Claims and scopes to add.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenClaims {
    /// For the ID token. The other fields are for the access token.
    id: Map<String, Value>,
    access: Map<String, Value>,
    scopes_to_add: Vec<String>,
    scopes_to_suppress: Vec<String>,
}

impl TokenClaims {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let Object(claims): Object<Self> =
            environment.json("TOKEN_CLAIMS", r#"{"id": {"plan": "free"}, "scopes_to_add": ["orders"]}"#)?;
        claims.check().map_err(|error| ConfigError::new("TOKEN_CLAIMS", error.to_string()))?;
        Ok(claims)
    }

    fn check(&self) -> Result<(), InvalidClaims> {
        let names = || self.id.keys().chain(self.access.keys());
        let scopes = || self.scopes_to_add.iter().chain(&self.scopes_to_suppress);
        let is_reserved = |name: &&String| {
            let name = name.trim().to_lowercase();
            name.starts_with("cognito:")
                || name.starts_with("dev:")
                || RESERVED_CLAIMS.contains(&name.as_str())
        };
        if let Some(name) = names().find(is_reserved) {
            return Err(InvalidClaims::Reserved(name.clone()));
        }
        if let Some(name) =
            names().find(|name| VERIFICATION_CLAIMS.contains(&name.trim().to_lowercase().as_str()))
        {
            return Err(InvalidClaims::Verification(name.clone()));
        }
        let is_list_or_object = |(name, value): &(&String, &Value)| {
            SCALAR_CLAIMS.contains(&name.as_str()) && (value.is_array() || value.is_object())
        };
        if let Some((name, _)) = self.id.iter().find(is_list_or_object) {
            return Err(InvalidClaims::NotScalar(name.clone()));
        }
        if names().any(String::is_empty) {
            return Err(InvalidClaims::Unnamed);
        }
        if let Some((name, _)) = self.id.iter().chain(&self.access).find(|(_, value)| value.is_null()) {
            return Err(InvalidClaims::Null(name.clone()));
        }
        // Cognito: 1 to 256 ASCII characters without spaces, quotes and backslashes.
        let is_scope = |scope: &str| {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
            (1..=256).contains(&scope.len()) && scope.bytes().all(is_plain)
        };
        if let Some(scope) = scopes().find(|scope| !is_scope(scope)) {
            return Err(InvalidClaims::Scope(scope.clone()));
        }
        if self.scopes_to_add.iter().any(|scope| scope == SELF_SERVICE) {
            return Err(InvalidClaims::SelfService);
        }
        if names().count() + scopes().count() > MAX_CLAIMS {
            return Err(InvalidClaims::TooMany);
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the claims to `claimsAndScopeOverrideDetails`. The part of each token has all the
    /// fields that AWS documents.
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
    fn more_than_5000_claims_and_scopes_stop_startup() {
        let claims = |count: usize| {
            let id: Map<String, Value> = (0..count).map(|n| (format!("c{n}"), Value::from(n))).collect();
            let json = json!({"id": id, "scopes_to_add": ["orders"]}).to_string();
            TokenClaims::from_environment(&[("TOKEN_CLAIMS", json.as_str())].into_iter().collect())
        };
        assert!(claims(4_999).is_ok());
        assert!(claims(5_000).unwrap_err().to_string().starts_with("TOKEN_CLAIMS: there are more than 5000"));
    }

    #[test]
    fn invalid_claims_and_scopes_stop_startup() {
        for (json, reason) in [
            (r#"{"id": {"sub": "x"}}"#, "`sub` is reserved"),
            (r#"{"access": {"cognito:groups": []}}"#, "`cognito:groups` is reserved"),
            (r#"{"scopes_to_add": ["a b"]}"#, "`a b`"),
            (r#"{"claims": {}}"#, "unknown field"),
            (r#"[{"admin": true}]"#, "expected an object"),
            (r#"{"access": {"scope": "openid"}}"#, "`scope` is reserved"),
            (r#"{"id": {"dev:custom": "x"}}"#, "`dev:custom` is reserved"),
            (r#"{"id": {"email_verified": "true"}}"#, "only Cognito may set"),
            (r#"{"id": {"address": {"country": "x"}}}"#, "cannot be a list or an object"),
            (r#"{"id": {"plan": null}}"#, "has the value null"),
            (r#"{"id": {"": "x"}}"#, "has an empty name"),
            (r#"{"scopes_to_suppress": [""]}"#, "the scope `` is invalid"),
            (r#"{"scopes_to_add": ["aws.cognito.signin.user.admin"]}"#, "Remove it from `scopes_to_add`"),
            (r#"{"id": {" Sub": "x"}}"#, "is reserved"),
        ] {
            let environment = [("TOKEN_CLAIMS", json)].into_iter().collect();
            let error = TokenClaims::from_environment(&environment).unwrap_err().to_string();
            assert!(error.starts_with("TOKEN_CLAIMS: ") && error.contains(reason), "{error}");
        }
    }
}
