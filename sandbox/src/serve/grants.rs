//! Authorization codes and refresh tokens. Pure, except for random texts.
//!
//! Sources: RFC 6749, RFC 7636, and the Amazon Cognito Developer Guide, *Authorize endpoint*, *Token
//! endpoint* and *Revoke endpoint*.

use std::collections::HashMap;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::time::plus_seconds;

use crate::tokens::random_text;

/// Cognito: an authorization code is valid for five minutes.
const CODE_SECONDS: i64 = 300;
/// The default of the parameter RefreshTokenValidityDays.
const REFRESH_TOKEN_SECONDS: i64 = 30 * 86_400;
/// Maximum number of codes, and of refresh tokens.
const MAX_GRANTS: usize = 1_000;

/// What the page asked for at the authorize endpoint.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    pub redirect_uri: String,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub scopes: Vec<String>,
    /// PKCE with S256. `None`: the client sent none, which Cognito allows.
    pub code_challenge: Option<String>,
}

/// A sign-in whose tokens are not issued yet.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub request: AuthorizationRequest,
    /// The answer of pre-token-generation, which contains the event.
    pub answer: Value,
    pub signed_in_at: Timestamp,
}

/// The session behind a refresh token.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub sub: String,
    pub scopes: Vec<String>,
    pub signed_in_at: Timestamp,
}

#[derive(Debug, Default)]
pub struct Grants {
    codes: HashMap<String, (Timestamp, SignIn)>,
    refresh_tokens: HashMap<String, (Timestamp, Session)>,
}

impl Grants {
    /// A code for the tokens of a sign-in.
    pub fn issue_code(&mut self, sign_in: SignIn, now: Timestamp) -> Result<String> {
        let code = random_text()?;
        insert(&mut self.codes, code.clone(), plus_seconds(now, CODE_SECONDS), sign_in);
        Ok(code)
    }

    /// The sign-in of a code. Each code counts once, also if the other values are wrong. `None`:
    /// `invalid_grant`.
    pub fn redeem_code(
        &mut self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Option<SignIn> {
        let (expires_at, sign_in) = self.codes.remove(code)?;
        let is_verified = match (&sign_in.request.code_challenge, verifier) {
            (Some(challenge), Some(verifier)) => challenge_of(verifier) == *challenge,
            (None, None) => true,
            _ => false,
        };
        let is_valid = is_verified && sign_in.request.redirect_uri == redirect_uri && now < expires_at;
        is_valid.then_some(sign_in)
    }

    /// A refresh token. It can be used more than once, as Cognito's can by default.
    pub fn issue_refresh_token(&mut self, session: Session, now: Timestamp) -> Result<String> {
        let token = random_text()?;
        let expires_at = plus_seconds(now, REFRESH_TOKEN_SECONDS);
        insert(&mut self.refresh_tokens, token.clone(), expires_at, session);
        Ok(token)
    }

    pub fn session(&self, refresh_token: &str, now: Timestamp) -> Option<Session> {
        let (expires_at, session) = self.refresh_tokens.get(refresh_token)?;
        (now < *expires_at).then(|| session.clone())
    }

    pub fn revoke(&mut self, refresh_token: &str) -> Option<Session> {
        self.refresh_tokens.remove(refresh_token).map(|(_, session)| session)
    }
}

/// Adds a grant, and drops the one that expires first if there are too many.
fn insert<T>(grants: &mut HashMap<String, (Timestamp, T)>, key: String, expires_at: Timestamp, grant: T) {
    if grants.len() >= MAX_GRANTS {
        let first = grants.iter().min_by_key(|(_, (expires_at, _))| *expires_at);
        if let Some(key) = first.map(|(key, _)| key.clone()) {
            grants.remove(&key);
        }
    }
    grants.insert(key, (expires_at, grant));
}

fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "http://127.0.0.1:8088/";
    // The example of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn sign_in(challenge: Option<&str>) -> SignIn {
        SignIn {
            request: AuthorizationRequest {
                redirect_uri: PAGE.to_owned(),
                state: None,
                nonce: None,
                scopes: vec!["openid".to_owned()],
                code_challenge: challenge.map(str::to_owned),
            },
            answer: Value::Null,
            signed_in_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn code_counts_once_with_its_verifier_and_page() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        for (challenge, uri, verifier, seconds, expected) in [
            (Some(CHALLENGE), PAGE, Some(VERIFIER), 0, true),
            (Some(CHALLENGE), PAGE, Some(VERIFIER), CODE_SECONDS, false),
            (Some(CHALLENGE), PAGE, Some("other"), 0, false),
            (Some(CHALLENGE), PAGE, Some(CHALLENGE), 0, false),
            (Some(CHALLENGE), PAGE, None, 0, false),
            (Some(CHALLENGE), "http://127.0.0.1:8088/other", Some(VERIFIER), 0, false),
            (None, PAGE, None, 0, true),
            (None, PAGE, Some(VERIFIER), 0, false),
        ] {
            let mut grants = Grants::default();
            let code = grants.issue_code(sign_in(challenge), now).unwrap();
            let redeemed = grants.redeem_code(&code, uri, verifier, plus_seconds(now, seconds));
            assert_eq!(redeemed.is_some(), expected, "{challenge:?} {uri} {verifier:?} {seconds}");
            assert!(grants.redeem_code(&code, PAGE, Some(VERIFIER), now).is_none(), "used");
        }
    }

    #[test]
    fn refresh_token_counts_until_it_is_revoked() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let mut grants = Grants::default();
        let session = Session { sub: "ana".to_owned(), scopes: Vec::new(), signed_in_at: now };
        let token = grants.issue_refresh_token(session.clone(), now).unwrap();
        assert_eq!(grants.session(&token, now), Some(session.clone()));
        assert_eq!(grants.session(&token, now), Some(session));
        assert_eq!(grants.session(&token, plus_seconds(now, REFRESH_TOKEN_SECONDS)), None);
        assert!(grants.revoke(&token).is_some());
        assert_eq!(grants.session(&token, now), None);
    }
}
