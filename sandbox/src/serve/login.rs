//! What Cognito does at sign-up, sign-in and refresh: the triggers in Cognito's order, around the
//! state of the users.
//!
//! Not modeled: MFA, federated sign-in, lockouts, and a session cookie of managed login.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::function_id::FunctionId;

use super::accounts::{Account, AccountError, is_strong};
use super::feed::Kind;
use super::grants::{AuthorizationRequest, Session, SignIn};
use super::world::{USER_POOL_ID, World};
use crate::aws::account::CLIENT_ID;
use crate::tokens::claims::{Issue, access_token, id_token};
use crate::tokens::random_uuid;

/// The placeholder that Cognito replaces with the code.
const CODE_PARAMETER: &str = "{####}";
/// What Cognito says for a wrong password and for an unknown user.
pub const WRONG_PASSWORD: &str = "Incorrect username or password";

/// Why a sign-in failed.
#[derive(Debug)]
pub enum SignInError {
    /// The sentence for the user.
    Denied(String),
    /// The user has to enter the code of the sign-up first.
    NotConfirmed,
}

/// What a sign-up led to.
#[derive(Debug, PartialEq, Eq)]
pub enum SignedUp {
    /// An email with a code was sent.
    NeedsCode,
    /// pre-sign-up confirmed the user.
    Confirmed,
}

impl World {
    /// Signs up: pre-sign-up, then custom-message. The error is the sentence for the user.
    pub(super) async fn sign_up(
        &self,
        name: &str,
        email: &str,
        password: &str,
    ) -> Result<Result<SignedUp, String>> {
        let account = match self.users().accounts.prepare(name, email, password)? {
            Ok(account) => account,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut event = event("PreSignUp_SignUp", &account);
        event["request"]["userAttributes"] = json!({"email": account.email, "name": account.name});
        event["request"]["validationData"] = Value::Null;
        event["response"] =
            json!({"autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false});
        let answer = match self.trigger(FunctionId::PreSignUp, event).await? {
            Ok(answer) => answer,
            Err(message) => return Ok(Err(message)),
        };
        let email = account.email.clone();
        self.users().accounts.add(account);
        if answer["response"]["autoConfirmUser"] == true {
            self.users().accounts.confirm(&email);
            self.confirmed(&email, "PostConfirmation_ConfirmSignUp").await?;
            return Ok(Ok(SignedUp::Confirmed));
        }
        self.send_code(&email, "CustomMessage_SignUp").await?;
        Ok(Ok(SignedUp::NeedsCode))
    }

    /// Confirms a sign-up with its code: post-confirmation.
    pub(super) async fn confirm_sign_up(&self, email: &str, code: &str) -> Result<Result<(), String>> {
        let now = self.now();
        if let Err(error) = self.use_code(email, code, now) {
            return Ok(Err(error));
        }
        self.confirmed(email, "PostConfirmation_ConfirmSignUp").await.map(Ok)
    }

    pub(super) async fn resend_code(&self, email: &str) -> Result<()> {
        let is_waiting = self.users().accounts.find(email).is_some_and(|account| !account.is_confirmed);
        if is_waiting { self.send_code(email, "CustomMessage_ResendCode").await } else { Ok(()) }
    }

    /// Sends a code to reset the password. An unknown user gets none, and the page does not say so.
    pub(super) async fn forgot_password(&self, email: &str) -> Result<()> {
        let is_known = self.users().accounts.find(email).is_some_and(|account| account.is_confirmed);
        if is_known { self.send_code(email, "CustomMessage_ForgotPassword").await } else { Ok(()) }
    }

    pub(super) async fn reset_password(
        &self,
        email: &str,
        code: &str,
        password: &str,
    ) -> Result<Result<(), String>> {
        let now = self.now();
        if !is_strong(password) {
            return Ok(Err(AccountError::WeakPassword.to_string()));
        }
        if let Err(error) = self.use_code(email, code, now) {
            return Ok(Err(error));
        }
        if let Err(error) = self.users().accounts.set_password(email, password)? {
            return Ok(Err(error.to_string()));
        }
        self.confirmed(email, "PostConfirmation_ConfirmForgotPassword").await.map(Ok)
    }

    /// Signs in: pre-authentication, the password, and pre-token-generation.
    pub(super) async fn sign_in(
        &self,
        email: &str,
        password: &str,
        scopes: &[String],
    ) -> Result<Result<Value, SignInError>> {
        let denied = |message: String| Ok(Err(SignInError::Denied(message)));
        let account = self.users().accounts.find(email).cloned();
        let mut before = match &account {
            Some(account) => event("PreAuthentication_Authentication", account),
            None => unknown_user(email),
        };
        before["request"]["validationData"] = Value::Null;
        before["request"]["userNotFound"] = account.is_none().into();
        if let Err(message) = self.trigger(FunctionId::PreAuthentication, before).await? {
            return denied(message);
        }
        let Some(account) = account.filter(|account| account.has_password(password)) else {
            self.feed.add(self.now(), Kind::Refused, "Cognito", WRONG_PASSWORD);
            return denied(WRONG_PASSWORD.to_owned());
        };
        if !account.is_confirmed {
            return Ok(Err(SignInError::NotConfirmed));
        }
        match self.generate_token(&account, "TokenGeneration_HostedAuth", scopes).await? {
            Ok(answer) => {
                self.feed.add(self.now(), Kind::Session, "Cognito", format!("{} signed in", account.name));
                Ok(Ok(answer))
            }
            Err(message) => denied(message),
        }
    }

    /// The authorization code for a sign-in.
    pub(super) fn authorization_code(&self, request: AuthorizationRequest, answer: Value) -> Result<String> {
        let now = self.now();
        self.users().grants.issue_code(SignIn { request, answer, signed_in_at: now }, now)
    }

    /// The tokens for a code. `None`: `invalid_grant`.
    pub(super) fn redeem_code(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
    ) -> Result<Option<Value>> {
        let now = self.now();
        let Some(sign_in) = self.users().grants.redeem_code(code, redirect_uri, verifier, now) else {
            return Ok(None);
        };
        let SignIn { request, answer, signed_in_at } = sign_in;
        let mut tokens = self.tokens(&answer, signed_in_at, request.nonce.as_deref())?;
        let sub = answer.pointer("/request/userAttributes/sub").and_then(Value::as_str);
        let sub = sub.context("a sign-in without a sub")?.to_owned();
        let session = Session { sub, scopes: request.scopes, signed_in_at };
        tokens["refresh_token"] = self.users().grants.issue_refresh_token(session, now)?.into();
        Ok(Some(tokens))
    }

    /// New tokens for a refresh token: pre-token-generation. The error is the description of
    /// `invalid_grant`.
    pub(super) async fn refresh(&self, refresh_token: &str) -> Result<Result<Value, String>> {
        let now = self.now();
        let session = self.users().grants.session(refresh_token, now);
        let account =
            session.as_ref().and_then(|session| self.users().accounts.find_sub(&session.sub).cloned());
        let (Some(session), Some(account)) = (session, account) else {
            return Ok(Err("Refresh token is not valid".to_owned()));
        };
        match self.generate_token(&account, "TokenGeneration_RefreshTokens", &session.scopes).await? {
            Ok(answer) => {
                self.feed.add(now, Kind::Session, "Cognito", format!("{}'s tokens refreshed", account.name));
                self.tokens(&answer, session.signed_in_at, None).map(Ok)
            }
            Err(message) => Ok(Err(message)),
        }
    }

    /// Signs a user in for the list only, and returns the access token.
    pub(super) async fn access_token_of(
        &self,
        email: &str,
        password: &str,
    ) -> Result<Result<String, String>> {
        let answer = match self.sign_in(email, password, &["openid".to_owned()]).await? {
            Ok(answer) => answer,
            Err(SignInError::Denied(message)) => return Ok(Err(message)),
            Err(SignInError::NotConfirmed) => return Ok(Err("The user is not confirmed".to_owned())),
        };
        let tokens = self.tokens(&answer, self.now(), None)?;
        Ok(Ok(tokens["access_token"].as_str().unwrap_or_default().to_owned()))
    }

    async fn generate_token(
        &self,
        account: &Account,
        source: &str,
        scopes: &[String],
    ) -> Result<Result<Value, String>> {
        let mut event = event(source, account);
        event["version"] = "2".into();
        let groups = self.groups_of(&account.sub).await;
        event["request"]["groupConfiguration"] =
            json!({"groupsToOverride": groups, "iamRolesToOverride": [], "preferredRole": null});
        event["request"]["scopes"] = json!(scopes);
        event["response"] = json!({"claimsAndScopeOverrideDetails": null});
        self.trigger(FunctionId::PreTokenGeneration, event).await
    }

    fn tokens(&self, answer: &Value, signed_in_at: Timestamp, nonce: Option<&str>) -> Result<Value> {
        let api = &self.site.api;
        let validity_seconds = self.settings.token_seconds;
        let id = random_uuid()?;
        let issue =
            Issue { issuer: &api.issuer, signed_in_at, now: self.now(), validity_seconds, id: &id, nonce };
        Ok(json!({
            "access_token": api.key.sign(&access_token(answer, &issue)),
            "id_token": api.key.sign(&id_token(answer, &issue)),
            "token_type": "Bearer",
            "expires_in": validity_seconds,
        }))
    }

    fn use_code(&self, email: &str, code: &str, now: Timestamp) -> Result<(), String> {
        let used = self.users().accounts.use_code(email, code, now);
        used.map(drop).map_err(|error| {
            self.feed.add(now, Kind::Refused, "Cognito", error.to_string());
            error.to_string()
        })
    }

    /// post-confirmation, and the user in the account's pool.
    async fn confirmed(&self, email: &str, source: &str) -> Result<()> {
        let account = self.users().accounts.find(email).cloned().context("an unknown user")?;
        let user_pools = self.account.backend().user_pools();
        let groups = self.groups_of(&account.sub).await;
        user_pools.put_user(USER_POOL_ID, &account.sub, &groups).await;
        let mut event = event(source, &account);
        event["response"] = json!({});
        // Cognito shows an error of this trigger, but the user is confirmed.
        let _ = self.trigger(FunctionId::PostConfirmation, event).await?;
        Ok(())
    }

    /// custom-message, and the email with a new code.
    async fn send_code(&self, email: &str, source: &str) -> Result<()> {
        let now = self.now();
        let account = self.users().accounts.find(email).cloned().context("an unknown user")?;
        let mut event = event(source, &account);
        let request = &mut event["request"];
        request["codeParameter"] = CODE_PARAMETER.into();
        request["linkParameter"] = "{##Click Here##}".into();
        request["usernameParameter"] = Value::Null;
        event["response"] = json!({"smsMessage": null, "emailMessage": null, "emailSubject": null});
        let answer = self.trigger(FunctionId::CustomMessage, event).await?;
        let text = |name: &str, default: &str| {
            let text = answer.as_ref().ok().and_then(|answer| answer["response"][name].as_str());
            // Without a text of the trigger, Cognito sends its own.
            text.unwrap_or(default).to_owned()
        };
        let mut users = self.users();
        let code = users.accounts.new_code(email, now)?;
        let subject = text("emailSubject", "Your verification code");
        let html = text("emailMessage", "Your confirmation code is {####}").replace(CODE_PARAMETER, &code);
        let path = users.add_mail(&account.email, subject.clone(), html);
        drop(users);
        self.feed.add_link(now, Kind::Mail, "email", format!("{subject}, to {}", account.email), Some(path));
        Ok(())
    }
}

/// The fields that the events of all triggers have in common.
fn event(source: &str, account: &Account) -> Value {
    json!({
        "version": "1",
        "triggerSource": source,
        "region": "eu-central-1",
        "userPoolId": USER_POOL_ID,
        "userName": account.sub,
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": CLIENT_ID},
        "request": {"userAttributes": account.attributes()},
        "response": {},
    })
}

/// The event of pre-authentication for a user who does not exist.
fn unknown_user(email: &str) -> Value {
    json!({
        "version": "1",
        "triggerSource": "PreAuthentication_Authentication",
        "region": "eu-central-1",
        "userPoolId": USER_POOL_ID,
        "userName": email,
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": CLIENT_ID},
        "request": {"userAttributes": {}},
        "response": {},
    })
}
