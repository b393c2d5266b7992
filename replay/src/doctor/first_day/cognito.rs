//! What an app does for its user: sign-up, sign-in and refresh.

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cognitoidentityprovider::types::{
    AttributeType, AuthFlowType, AuthenticationResultType, ChallengeNameType, ExplicitAuthFlowsType,
    PreventUserExistenceErrorTypes,
};
use jiff::Timestamp;

use crate::aws_error::sentence::shorten;
use crate::aws_error::{Service, aws_error, code, describe, is_unanswered};
use crate::doctor::clients::{AppClient, CLIENTS_PER_PAGE};
use crate::doctor::srp::{Challenge, Srp, secret_hash, timestamp};

/// Codes of SignUp that can follow the creation of the user: Cognito could not send the code, or custom-message
/// failed.
const AFTER_CREATION: [&str; 4] = [
    "CodeDeliveryFailureException",
    "InvalidEmailRoleAccessPolicyException",
    "InvalidLambdaResponseException",
    "UnexpectedLambdaException",
];

/// The user of a run.
#[derive(Clone)]
pub struct Person {
    pub sub: String,
    pub username: String,
    pub email: String,
    pub password: String,
}

/// Tokens of a sign-in.
#[derive(Clone, Default)]
pub struct Tokens {
    pub access: String,
    pub id: String,
    pub refresh: String,
    /// Only in a user pool that remembers devices.
    pub device_key: Option<String>,
}

/// Why Cognito did not do what the app asked for.
#[derive(Debug)]
pub enum Refused {
    /// A trigger denied it, with this sentence.
    ByTrigger(String),
    Otherwise(anyhow::Error),
}

impl Refused {
    fn of<E, R>(operation: &'static str) -> impl Fn(SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        move |error| match error.code() {
            Some("UserLambdaValidationException") => {
                Self::ByTrigger(error.message().unwrap_or_default().to_owned())
            }
            _ => Self::Otherwise(aws_error(Service::Cognito, operation)(error)),
        }
    }

    /// True if the user can exist although the sign-up failed.
    pub fn may_have_created_user(&self) -> bool {
        match self {
            Self::ByTrigger(sentence) => !sentence.starts_with("PreSignUp "),
            Self::Otherwise(error) => {
                is_unanswered(error) || code(error).is_some_and(|code| AFTER_CREATION.contains(&code))
            }
        }
    }

    /// One line, with advice. The sentence can be that of another trigger, with an email address in it.
    pub fn text(&self) -> String {
        match self {
            Self::ByTrigger(sentence) => format!("a trigger denied it: {}", shorten(sentence)),
            Self::Otherwise(error) => describe(error.as_ref()),
        }
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Self::Otherwise(error)
    }
}

/// An app with its client.
pub struct App<'a> {
    pub cognito: &'a Client,
    pub user_pool_id: &'a str,
    pub client: AppClient,
}

impl App<'_> {
    /// Signs a user up through `cognito`, which makes one attempt. Returns the `sub`, and true if pre-sign-up
    /// confirmed the user.
    pub async fn sign_up(
        &self,
        cognito: &Client,
        username: &str,
        email: &str,
        password: &str,
    ) -> Result<(String, bool), Refused> {
        let attribute = AttributeType::builder().name("email").value(email).build();
        let attribute = attribute.map_err(anyhow::Error::from)?;
        let call = cognito.sign_up().client_id(&self.client.id).username(username).password(password);
        let call = call.user_attributes(attribute).set_secret_hash(self.secret_hash(username)?);
        let output = call.send().await.map_err(Refused::of("SignUp"))?;
        Ok((output.user_sub, output.user_confirmed))
    }

    /// Confirms a sign-up without the code, which only an administrator can.
    pub async fn confirm(&self, username: &str) -> Result<(), Refused> {
        let call = self.cognito.admin_confirm_sign_up().user_pool_id(self.user_pool_id).username(username);
        call.send().await.map(drop).map_err(Refused::of("AdminConfirmSignUp"))
    }

    /// Signs a user in with SRP.
    pub async fn sign_in(&self, person: &Person, now: Timestamp) -> Result<Tokens, Refused> {
        let srp = Srp::new()?;
        let call = self.cognito.initiate_auth().client_id(&self.client.id);
        let call = call.auth_flow(AuthFlowType::UserSrpAuth).auth_parameters("USERNAME", &person.username);
        let mut call = call.auth_parameters("SRP_A", srp.public());
        if let Some(hash) = self.secret_hash(&person.username)? {
            call = call.auth_parameters("SECRET_HASH", hash);
        }
        let output = call.send().await.map_err(Refused::of("InitiateAuth"))?;
        if output.challenge_name() != Some(&ChallengeNameType::PasswordVerifier) {
            return Err(unexpected(output.challenge_name()).into());
        }
        let parameter = |name: &str| {
            let parameters = output.challenge_parameters();
            let value = parameters.and_then(|parameters| parameters.get(name)).map(String::as_str);
            value.with_context(|| format!("Cognito's challenge has no {name}"))
        };
        let challenge = Challenge {
            user: parameter("USER_ID_FOR_SRP")?,
            salt: parameter("SALT")?,
            public: parameter("SRP_B")?,
            secret_block: parameter("SECRET_BLOCK")?,
        };
        let time = timestamp(now);
        let pool_name = self.user_pool_id.split_once('_').map_or(self.user_pool_id, |(_, name)| name);
        let signature = srp.signature(&challenge, pool_name, &person.password, &time)?;
        let call = self.cognito.respond_to_auth_challenge().client_id(&self.client.id);
        let call = call.challenge_name(ChallengeNameType::PasswordVerifier);
        let call = call.set_session(output.session().map(str::to_owned));
        let call =
            call.challenge_responses("USERNAME", challenge.user).challenge_responses("TIMESTAMP", time);
        let call = call.challenge_responses("PASSWORD_CLAIM_SECRET_BLOCK", challenge.secret_block);
        let mut call = call.challenge_responses("PASSWORD_CLAIM_SIGNATURE", signature);
        if let Some(hash) = self.secret_hash(challenge.user)? {
            call = call.challenge_responses("SECRET_HASH", hash);
        }
        let output = call.send().await.map_err(Refused::of("RespondToAuthChallenge"))?;
        match output.authentication_result() {
            Some(result) => Ok(tokens(result, None)?),
            None => Err(unexpected(output.challenge_name()).into()),
        }
    }

    /// New tokens for the refresh token.
    pub async fn refresh(&self, person: &Person, before: &Tokens) -> Result<Tokens, Refused> {
        if self.client.rotates_refresh_tokens {
            let call = self.cognito.get_tokens_from_refresh_token().client_id(&self.client.id);
            let call = call.refresh_token(&before.refresh).set_client_secret(self.client.secret.clone());
            let call = call.set_device_key(before.device_key.clone());
            let output = call.send().await.map_err(Refused::of("GetTokensFromRefreshToken"))?;
            let result = output.authentication_result().context("Cognito returned no tokens")?;
            return Ok(tokens(result, Some(before))?);
        }
        let call = self.cognito.initiate_auth().client_id(&self.client.id);
        let call = call.auth_flow(AuthFlowType::RefreshTokenAuth);
        let mut call = call.auth_parameters("REFRESH_TOKEN", &before.refresh);
        if let Some(device) = &before.device_key {
            call = call.auth_parameters("DEVICE_KEY", device);
        }
        // Not the alias with which the user signed in.
        if let Some(hash) = self.secret_hash(&person.sub)? {
            call = call.auth_parameters("SECRET_HASH", hash);
        }
        let output = call.send().await.map_err(Refused::of("InitiateAuth"))?;
        let result = output.authentication_result().context("Cognito returned no tokens")?;
        Ok(tokens(result, Some(before))?)
    }

    fn secret_hash(&self, username: &str) -> Result<Option<String>> {
        let hash = |secret: &String| secret_hash(secret, username, &self.client.id);
        self.client.secret.as_ref().map(hash).transpose()
    }
}

/// A refresh returns no refresh token, unless the client rotates them.
fn tokens(result: &AuthenticationResultType, before: Option<&Tokens>) -> Result<Tokens> {
    let refresh = result.refresh_token().map(str::to_owned);
    let device = result.new_device_metadata().and_then(|device| device.device_key()).map(str::to_owned);
    let (Some(access), Some(id)) = (result.access_token(), result.id_token()) else {
        bail!("Cognito returned no tokens");
    };
    Ok(Tokens {
        access: access.to_owned(),
        id: id.to_owned(),
        refresh: refresh.or_else(|| before.map(|before| before.refresh.clone())).unwrap_or_default(),
        device_key: device.or_else(|| before.and_then(|before| before.device_key.clone())),
    })
}

fn unexpected(challenge: Option<&ChallengeNameType>) -> anyhow::Error {
    let name = challenge.map_or("nothing", ChallengeNameType::as_str);
    anyhow!("Cognito asks for {name}, which the check cannot answer")
}

/// Creates an app client that can sign in with SRP. It writes no custom attribute. `cognito` makes one attempt:
/// each one that reaches Cognito creates a client.
pub async fn create_client(cognito: &Client, user_pool_id: &str, name: &str) -> Result<AppClient> {
    let call = cognito.create_user_pool_client().user_pool_id(user_pool_id).client_name(name);
    let call = call.explicit_auth_flows(ExplicitAuthFlowsType::AllowUserSrpAuth);
    let call = call.explicit_auth_flows(ExplicitAuthFlowsType::AllowRefreshTokenAuth);
    let call = call.prevent_user_existence_errors(PreventUserExistenceErrorTypes::Enabled);
    let call = call.enable_token_revocation(true).write_attributes("email");
    let output = call.send().await.map_err(aws_error(Service::Cognito, "CreateUserPoolClient"))?;
    output.user_pool_client().map(AppClient::of).context("Cognito returned no app client")
}

/// The ids of the app clients with this name.
pub async fn clients_named(cognito: &Client, user_pool_id: &str, name: &str) -> Result<Vec<String>> {
    let call = cognito.list_user_pool_clients().user_pool_id(user_pool_id).max_results(CLIENTS_PER_PAGE);
    let mut listed = call.into_paginator().items().send();
    let mut ids = Vec::new();
    while let Some(client) = listed.next().await {
        let client = client.map_err(aws_error(Service::Cognito, "ListUserPoolClients"))?;
        if client.client_name() == Some(name) {
            ids.extend(client.client_id);
        }
    }
    Ok(ids)
}

/// Deletes an app client. One that does not exist counts as deleted.
pub async fn delete_client(cognito: &Client, user_pool_id: &str, client_id: &str) -> Result<()> {
    let call = cognito.delete_user_pool_client().user_pool_id(user_pool_id).client_id(client_id);
    match call.send().await {
        Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(()),
        call => call.map(drop).map_err(aws_error(Service::Cognito, "DeleteUserPoolClient")),
    }
}

/// A random password that every policy of Cognito accepts, with at least `length` characters.
pub fn random_password(length: usize) -> Result<String> {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut bytes = vec![0; length.clamp(24, 95)];
    getrandom::fill(&mut bytes).context("random numbers")?;
    let letters = bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
    // One character of each kind that a policy can require.
    Ok(letters.chain("aA1-".chars()).collect())
}

#[cfg(test)]
mod tests {
    use aws_sdk_cognitoidentityprovider::error::ErrorMetadata;
    use aws_sdk_cognitoidentityprovider::operation::sign_up::SignUpError;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn sentence_of_a_trigger_is_shown_without_addresses() {
        let refused =
            Refused::ByTrigger("PreSignUp failed with error ana@example.com is blocked.".to_owned());
        assert_eq!(refused.text(), "a trigger denied it: PreSignUp failed with error [address] is blocked");
    }

    #[test]
    fn user_can_exist_if_no_refusal_before_the_creation_arrived() {
        let by_trigger = |sentence: &str| Refused::ByTrigger(sentence.to_owned());
        assert!(!by_trigger("PreSignUp failed with error no.").may_have_created_user());
        assert!(by_trigger("CustomMessage failed with error no.").may_have_created_user());
        assert!(!Refused::Otherwise(anyhow!("no random numbers")).may_have_created_user());
        for (status, code, expected) in [
            (400, "UsernameExistsException", false),
            (400, "TooManyRequestsException", false),
            (400, "CodeDeliveryFailureException", true),
            (500, "InternalErrorException", true),
        ] {
            let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
            let error = SignUpError::generic(ErrorMetadata::builder().code(code).build());
            let refused = Refused::of("SignUp")(SdkError::service_error(error, response));
            assert_eq!(refused.may_have_created_user(), expected, "{code}");
        }
        let timeout: SdkError<SignUpError, HttpResponse> = SdkError::timeout_error("20 s");
        assert!(Refused::of("SignUp")(timeout).may_have_created_user());
    }

    #[test]
    fn password_has_every_kind_of_character() {
        for length in [0, 30, 99] {
            let password = random_password(length).unwrap();
            assert!(password.len() >= length.min(99) && password.len() <= 99, "{length}");
            let has = |is_kind: fn(char) -> bool| password.contains(is_kind);
            assert!(has(|c| c.is_ascii_lowercase()) && has(|c| c.is_ascii_uppercase()));
            assert!(has(|c| c.is_ascii_digit()) && password.contains('-'));
            assert_ne!(password, random_password(length).unwrap());
        }
    }
}
