//! JSON Web Tokens of the sandbox's user pool. They are signed with HS256 and a key that only this
//! process knows. Cognito signs with RS256 and publishes its keys.

pub mod claims;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

/// Longest token that is read. Cognito's are shorter.
const MAX_TOKEN_BYTES: usize = 16_384;

/// The key of a user pool.
#[derive(Clone)]
pub struct TokenKey(Hmac<Sha256>);

impl TokenKey {
    pub fn random() -> Result<Self> {
        let hmac = Hmac::new_from_slice(&random_bytes::<32>()?).context("creating the key of the tokens")?;
        Ok(Self(hmac))
    }

    pub fn sign(&self, claims: &Map<String, Value>) -> String {
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": "sandbox"}).to_string();
        let claims = Value::Object(claims.clone()).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.0.clone().chain_update(&signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of a token that this key has signed.
    pub fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        let (signed, signature) = token.rsplit_once('.').filter(|_| token.len() <= MAX_TOKEN_BYTES)?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let json = |part: &str| serde_json::from_slice::<Map<String, Value>>(&decode(part)?).ok();
        if json(header)?.get("alg") != Some(&"HS256".into()) {
            return None;
        }
        // In constant time.
        self.0.clone().chain_update(signed).verify_slice(&decode(signature)?).ok()?;
        json(claims)
    }
}

/// Random bytes for keys, codes and secrets.
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the system has no random bytes")?;
    Ok(bytes)
}

/// A random text of letters, digits, `-` and `_` with 192 bits.
pub fn random_text() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random_bytes::<24>()?))
}

/// A random UUID.
pub fn random_uuid() -> Result<String> {
    Ok(uuid::Builder::from_random_bytes(random_bytes()?).into_uuid().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Map<String, Value> {
        Map::from_iter([("sub".to_owned(), "ana".into()), ("exp".to_owned(), 7.into())])
    }

    #[test]
    fn only_a_token_of_this_key_counts() {
        let (key, other) = (TokenKey::random().unwrap(), TokenKey::random().unwrap());
        let token = key.sign(&claims());
        assert_eq!(key.verify(&token), Some(claims()));
        let [header, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
        let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let tampered = encoded(json!({"sub": "ben", "exp": 7}));
        let none = encoded(json!({"alg": "none"}));
        for (refused, reason) in [
            (other.sign(&claims()), "another key"),
            (format!("{header}.{tampered}.{signature}"), "other claims"),
            (format!("{none}.{body}.{signature}"), "no algorithm"),
            (format!("{none}.{body}."), "no signature"),
            (format!("{header}.{body}"), "two parts"),
            (format!("{token}A"), "a longer signature"),
            (format!("{token}=="), "padding"),
            (String::new(), "empty"),
            ("a".repeat(MAX_TOKEN_BYTES + 1), "too long"),
        ] {
            assert_eq!(key.verify(&refused), None, "{reason}");
        }
        // The signature is right, and the algorithm is not.
        let signed = format!("{none}.{body}");
        let signature = key.0.clone().chain_update(&signed).finalize().into_bytes();
        assert_eq!(key.verify(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))), None);
    }
}
