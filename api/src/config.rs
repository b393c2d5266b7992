//! The settings of the read API.

use std::collections::BTreeSet;
use std::fmt;

use sha2::{Digest, Sha256};
use shared::config::{ConfigError, Environment};
use shared::freshness::CacheLifetime;

#[derive(Clone, Debug)]
pub struct Config {
    /// CLIENT_IDS: the app clients whose access tokens count. The first one is the client of the page.
    pub client_ids: Vec<String>,
    /// ISSUER_URL: the claim `iss` of the user pool's tokens.
    pub issuer_url: String,
    /// LOGIN_URL: the address of managed login.
    pub login_url: String,
    /// PRODUCT_NAME: the title of the page.
    pub product_name: String,
    /// ORIGIN_SECRETS: the values of `X-Origin-Verify` that CloudFront sends.
    pub origin_secrets: OriginSecrets,
    /// ADMIN_GROUPS: members may read the pages of other users.
    pub admin_groups: BTreeSet<String>,
    /// TOKEN_VALIDITY_MINUTES: the longest validity among all app clients.
    pub token_validity_minutes: u32,
    pub cache_lifetime: CacheLifetime,
}

impl Config {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        environment.required("CLIENT_IDS")?;
        let client_ids = environment.list("CLIENT_IDS");
        if client_ids.is_empty() {
            return Err(ConfigError::new("CLIENT_IDS", "has no app client. List at least one id"));
        }
        Ok(Self {
            client_ids,
            issuer_url: url(environment, "ISSUER_URL")?,
            login_url: url(environment, "LOGIN_URL")?,
            product_name: environment.required("PRODUCT_NAME")?,
            origin_secrets: OriginSecrets::new(&environment.list("ORIGIN_SECRETS")),
            admin_groups: environment.list("ADMIN_GROUPS").into_iter().collect(),
            token_validity_minutes: environment.token_validity_minutes()?,
            cache_lifetime: CacheLifetime::from_environment(environment)?,
        })
    }
}

/// An address that other texts are appended to. Plain HTTP only on loopback, for the sandbox.
fn url(environment: &Environment, name: &str) -> Result<String, ConfigError> {
    let url = environment.required(name)?;
    let host = url.strip_prefix("https://").or_else(|| {
        let rest = url.strip_prefix("http://")?;
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        ["127.0.0.1", "localhost"].contains(&host).then_some(rest)
    });
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"'<>\\^`{|}?#@".contains(c);
    if host.is_some_and(|host| !host.is_empty() && !host.ends_with('/') && host.chars().all(is_plain)) {
        return Ok(url);
    }
    let reason =
        "is not an address such as https://example.com, without a slash at the end, a query and a fragment";
    Err(ConfigError::new(name, reason))
}

/// The digests of the secrets. A comparison of digests takes the same time for all wrong values of
/// one length.
#[derive(Clone, Default)]
pub struct OriginSecrets(Vec<[u8; 32]>);

impl OriginSecrets {
    pub fn new(secrets: &[String]) -> Self {
        Self(secrets.iter().map(|secret| digest(secret)).collect())
    }

    /// True if the value is one of the secrets, or if there are none.
    pub fn accept(&self, value: Option<&str>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let value = value.map(digest);
        // All secrets are compared, so that the time does not show which one matched.
        self.0.iter().filter(|secret| value.is_some_and(|value| value == **secret)).count() > 0
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Shows only the number of secrets, so that `{:?}` cannot write one to a log.
impl fmt::Debug for OriginSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OriginSecrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, value: &str) -> Result<Config, String> {
        let mut variables = vec![
            ("CLIENT_IDS", "page, app"),
            ("ISSUER_URL", "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE"),
            ("LOGIN_URL", "https://login.example.com"),
            ("PRODUCT_NAME", "Example Shop"),
        ];
        variables.retain(|(other, _)| *other != name);
        variables.push((name, value));
        Config::from_environment(&variables.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_have_their_documented_defaults() {
        let config = config("ADMIN_GROUPS", "").unwrap();
        assert_eq!(config.client_ids, ["page", "app"]);
        assert_eq!(config.cache_lifetime.max_seconds, 60);
        assert!(config.admin_groups.is_empty() && config.origin_secrets.accept(None));
    }

    #[test]
    fn error_names_the_variable_and_what_is_expected() {
        for (name, value, reason) in [
            ("CLIENT_IDS", "", "is required"),
            ("CLIENT_IDS", " , ", "at least one"),
            ("ISSUER_URL", "cognito", "such as https://"),
            ("ISSUER_URL", "http://example.com", "such as https://"),
            ("ISSUER_URL", "https://example.com/", "without a slash"),
            ("LOGIN_URL", "https://example.com?a", "a query"),
            ("LOGIN_URL", "https://", "such as https://"),
            ("LOGIN_URL", "http://127.0.0.1.example.com", "such as https://"),
            ("PRODUCT_NAME", "", "is required"),
            ("MAX_CACHE_LIFETIME_SECONDS", "-1", "whole number"),
        ] {
            let error = config(name, value).unwrap_err();
            assert!(error.starts_with(&format!("{name}: ")) && error.contains(reason), "{error}");
        }
        assert!(config("LOGIN_URL", "http://127.0.0.1:8080").is_ok());
        assert!(config("LOGIN_URL", "http://localhost:8080/login").is_ok());
    }

    #[test]
    fn origin_secret_must_be_one_of_the_list() {
        let secrets = config("ORIGIN_SECRETS", "current,next").unwrap().origin_secrets;
        for (value, expected) in [
            (Some("current"), true),
            (Some("next"), true),
            (Some("current,next"), false),
            (Some("curren"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(secrets.accept(value), expected, "{value:?}");
        }
        assert_eq!(format!("{secrets:?}"), "OriginSecrets(2)");
    }
}
