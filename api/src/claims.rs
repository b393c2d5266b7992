//! Who requests: the claims of the token that API Gateway's authorizer accepted. Pure.
//!
//! The authorizer has checked the signature, the issuer, the app client and the times. It also accepts
//! ID tokens, so the function checks `token_use`. It checks the other claims once more, so that a
//! route without an authorizer, or an authorizer for another pool, opens nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::Config;

/// Longest `sub` that counts. Cognito's are UUIDs.
const MAX_SUB_BYTES: usize = 128;

/// A caller with a valid access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub sub: String,
    /// The token's end.
    pub expires_at: Timestamp,
    /// True if the caller is in one of ADMIN_GROUPS.
    pub is_admin: bool,
}

/// Why a token does not count. The code is for the log, and the caller does not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidClaims(pub &'static str);

impl Claims {
    /// Reads the claims as API Gateway passes them: strings.
    pub fn verify(
        claims: &BTreeMap<String, String>,
        config: &Config,
        now: Timestamp,
    ) -> Result<Self, InvalidClaims> {
        let claim = |name: &str| claims.get(name).map(String::as_str);
        if claims.is_empty() {
            return Err(InvalidClaims("no_token"));
        }
        if claim("token_use") != Some("access") {
            return Err(InvalidClaims("not_an_access_token"));
        }
        if claim("iss") != Some(config.issuer_url.as_str()) {
            return Err(InvalidClaims("other_issuer"));
        }
        if !claim("client_id").is_some_and(|id| config.client_ids.iter().any(|known| known == id)) {
            return Err(InvalidClaims("other_client"));
        }
        let sub = claim("sub").filter(|sub| (1..=MAX_SUB_BYTES).contains(&sub.len()));
        let sub = sub.ok_or(InvalidClaims("no_sub"))?;
        let expires_at = claim("exp").and_then(seconds).ok_or(InvalidClaims("no_exp"))?;
        if expires_at <= now {
            return Err(InvalidClaims("expired"));
        }
        let groups = groups(claim("cognito:groups").unwrap_or_default());
        let is_admin = groups.iter().any(|group| config.admin_groups.contains(*group));
        Ok(Self { sub: sub.to_owned(), expires_at, is_admin })
    }
}

/// A time in whole seconds since 1970.
fn seconds(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.parse().ok()?).ok()
}

/// The groups of `cognito:groups`. API Gateway writes a list as `[A B]`. The name of a group contains
/// no white space.
fn groups(claim: &str) -> Vec<&str> {
    match claim.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        Some(list) => list.split_ascii_whitespace().collect(),
        None => Some(claim).filter(|group| !group.is_empty()).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE";
    const NOW: i64 = 1_772_442_000;

    fn config() -> Config {
        let variables = [
            ("CLIENT_IDS", "page,app"),
            ("ISSUER_URL", ISSUER),
            ("LOGIN_URL", "https://login.example.com"),
            ("PRODUCT_NAME", "Example Shop"),
            ("ADMIN_GROUPS", "Support,Admin"),
        ];
        Config::from_environment(&variables.into_iter().collect()).unwrap()
    }

    /// The claims of an access token with these changes. An empty value removes a claim.
    fn verify(changes: &[(&str, &str)]) -> Result<Claims, InvalidClaims> {
        let expires_at = (NOW + 60).to_string();
        let claims = [
            ("token_use", "access"),
            ("iss", ISSUER),
            ("client_id", "page"),
            ("sub", "ana"),
            ("exp", &expires_at),
        ];
        let mut claims: BTreeMap<String, String> =
            claims.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in changes {
            claims.insert((*name).to_owned(), (*value).to_owned());
        }
        claims.retain(|_, value| !value.is_empty());
        Claims::verify(&claims, &config(), Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn access_token_of_a_known_client_counts() {
        let expected = Claims {
            sub: "ana".into(),
            expires_at: Timestamp::from_second(NOW + 60).unwrap(),
            is_admin: false,
        };
        assert_eq!(verify(&[]), Ok(expected.clone()));
        assert_eq!(verify(&[("client_id", "app"), ("scope", "openid")]), Ok(expected));
    }

    #[test]
    fn every_other_token_is_refused_with_a_code() {
        let (now, long) = (NOW.to_string(), "a".repeat(129));
        for (changes, code) in [
            (&[("token_use", "id"), ("aud", "page")][..], "not_an_access_token"),
            (&[("token_use", "")], "not_an_access_token"),
            (&[("token_use", "Access")], "not_an_access_token"),
            (&[("iss", "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_OTHER")], "other_issuer"),
            (&[("iss", &format!("{ISSUER}/"))], "other_issuer"),
            (&[("iss", "")], "other_issuer"),
            (&[("client_id", "other")], "other_client"),
            (&[("client_id", "page,app")], "other_client"),
            (&[("client_id", ""), ("aud", "page")], "other_client"),
            (&[("sub", "")], "no_sub"),
            (&[("sub", &long)], "no_sub"),
            (&[("exp", "")], "no_exp"),
            (&[("exp", "tomorrow")], "no_exp"),
            (&[("exp", "99999999999999999999")], "no_exp"),
            (&[("exp", &now)], "expired"),
            (&[("exp", "0")], "expired"),
            (&[("exp", "-1")], "expired"),
        ] {
            assert_eq!(verify(changes), Err(InvalidClaims(code)), "{changes:?}");
        }
        assert_eq!(
            Claims::verify(&BTreeMap::new(), &config(), Timestamp::UNIX_EPOCH),
            Err(InvalidClaims("no_token"))
        );
    }

    #[test]
    fn administrator_is_in_one_of_the_groups() {
        for (claim, expected) in [
            ("[Support]", true),
            ("[Developer Admin]", true),
            ("Admin", true),
            ("[]", false),
            ("", false),
            ("[ ]", false),
            ("[Administrators]", false),
            ("[admin]", false),
            ("[Developer,Admin]", false),
            ("[Admin", false),
            ("Developer Admin", false),
            ("[[Admin]]", false),
        ] {
            assert_eq!(verify(&[("cognito:groups", claim)]).unwrap().is_admin, expected, "{claim}");
        }
    }

    #[test]
    fn groups_are_read_as_api_gateway_writes_them() {
        for (claim, expected) in [
            ("[A B]", &["A", "B"][..]),
            ("[A]", &["A"]),
            ("[]", &[]),
            ("", &[]),
            ("A", &["A"]),
            ("A,B", &["A,B"]),
        ] {
            assert_eq!(groups(claim), expected, "{claim}");
        }
    }
}
