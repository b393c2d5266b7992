//! TOKEN_CLAIMS: claims and scopes that every token gets. Event versions 2 and 3 only.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::config::{ConfigError, Environment};

/// AWS: claims and scopes together, at most 5,000.
const MAX_CLAIMS: usize = 5_000;

/// Claims that Cognito does not let a trigger change.
const RESERVED: [&str; 22] = [
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
    "sub",
    "token_use",
    "username",
    "version",
];

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
        let claims: Self = environment.json("TOKEN_CLAIMS")?;
        claims.check().map(|()| claims).map_err(|reason| ConfigError::new("TOKEN_CLAIMS", reason))
    }

    fn check(&self) -> Result<(), String> {
        let names = || self.id.keys().chain(self.access.keys());
        let scopes = || self.scopes_to_add.iter().chain(&self.scopes_to_suppress);
        let is_reserved = |name: &&String| {
            let managed = name.starts_with("cognito:") || name.starts_with("dev:");
            managed || RESERVED.contains(&name.as_str())
        };
        if let Some(name) = names().find(is_reserved) {
            return Err(format!("the claim \"{name}\" is reserved"));
        }
        if let Some(scope) = scopes().find(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
            return Err(format!("the scope \"{scope}\" is empty or has white space in it"));
        }
        if names().count() + scopes().count() > MAX_CLAIMS {
            return Err(format!("more than {MAX_CLAIMS} claims and scopes"));
        }
        Ok(())
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
    fn reserved_claims_and_scopes_with_spaces_fail_the_start() {
        for (json, reason) in [
            (r#"{"id": {"sub": "x"}}"#, "\"sub\" is reserved"),
            (r#"{"access": {"cognito:groups": []}}"#, "\"cognito:groups\" is reserved"),
            (r#"{"scopes_to_add": ["a b"]}"#, "\"a b\""),
            (r#"{"claims": {}}"#, "unknown field"),
        ] {
            let environment = [("TOKEN_CLAIMS", json)].into_iter().collect();
            let error = TokenClaims::from_environment(&environment).unwrap_err().to_string();
            assert!(error.starts_with("TOKEN_CLAIMS: ") && error.contains(reason), "{error}");
        }
    }
}
