//! Loading credentials before the first call, so that a problem with them is one line that starts with
//! what to do.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_config::profile::Profile;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use shared::telemetry::chain;

use crate::aws_error::{Service, explain, no_answer};

/// Credentials that are loaded already, then those of their source.
#[derive(Debug)]
struct Loaded {
    first: Mutex<Option<Credentials>>,
    source: SharedCredentialsProvider,
}

impl ProvideCredentials for Loaded {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(credentials) => future::ProvideCredentials::ready(Ok(credentials)),
            None => self.source.provide_credentials(),
        }
    }
}

/// Loads the credentials. The first call that needs them uses these.
pub async fn load(config: SdkConfig) -> Result<SdkConfig, CredentialsError> {
    let Some(source) = config.credentials_provider() else { return Ok(config) };
    let first = Mutex::new(Some(source.provide_credentials().await?));
    Ok(config
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(Loaded { first, source }))
        .build())
}

/// The source of a profile's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Sso,
    Login,
    Process,
    Other,
}

impl Source {
    fn of(profile: Option<&Profile>) -> Self {
        let has = |name: &str| profile.is_some_and(|profile| profile.get(name).is_some());
        match () {
            () if has("sso_session") || has("sso_start_url") => Self::Sso,
            () if has("login_session") => Self::Login,
            () if has("credential_process") => Self::Process,
            () => Self::Other,
        }
    }
}

/// A profile whose credentials were not loaded.
pub struct Failed<'a> {
    /// The name that the operator gave, or `default`.
    pub name: &'a str,
    /// The profile at the end of the chain of source profiles, which has the credentials.
    pub base_name: &'a str,
    pub base: Option<&'a Profile>,
}

impl Failed<'_> {
    /// One line that starts with what to do.
    pub fn explain(&self, error: &CredentialsError) -> String {
        let Self { name, base_name, base } = *self;
        if let Some(answer) = answer_of_sts(error) {
            return format!("check profile {name}, or pass another --profile: {answer}");
        }
        let causes = chain(error);
        if let Some(advice) = no_answer::advice(&causes) {
            let reason = reason_of(&causes);
            return format!("{advice}: the credentials of profile {base_name} could not be loaded: {reason}");
        }
        let has_nothing = matches!(error, CredentialsError::CredentialsNotLoaded(_));
        let reason = || reason_of(&causes);
        match Source::of(base) {
            Source::Sso => format!("sign in again with `aws sso login --profile {base_name}`: {}", reason()),
            Source::Login => format!("sign in again with `aws login --profile {base_name}`: {}", reason()),
            Source::Process => format!("check credential_process of profile {base_name}: {}", reason()),
            Source::Other if has_nothing && (base.is_none() || base_name == "default") => {
                no_answer::NO_CREDENTIALS.to_owned()
            }
            Source::Other if has_nothing => format!(
                "sign in with `aws login --profile {base_name}`, or pass another --profile: profile {base_name} \
                 has no credentials"
            ),
            Source::Other => format!("check profile {name}, or pass another --profile: {}", reason()),
        }
    }
}

/// STS's code and sentence, with advice.
fn answer_of_sts(error: &CredentialsError) -> Option<String> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        let answer = (cause.downcast_ref::<AssumeRoleError>())
            .map(|error| ("AssumeRole", error.code(), error.message()))
            .or_else(|| {
                let error = cause.downcast_ref::<AssumeRoleWithWebIdentityError>()?;
                Some(("AssumeRoleWithWebIdentity", error.code(), error.message()))
            });
        if let Some((operation, Some(code), sentence)) = answer {
            return Some(format!("STS {operation}: {}", explain(Some(Service::Sts), code, sentence)));
        }
        next = cause.source();
    }
    None
}

/// The causes, without the texts that only repeat that there are no credentials.
fn reason_of(causes: &str) -> String {
    const REPEATED: [&str; 5] = [
        "an error occurred while loading credentials: ",
        "unexpected credentials error: ",
        "the credentials provider was not properly configured: ",
        "an error occurred while loading an access token: ",
        "ProfileFile provider could not be built: ",
    ];
    let strip = |text, prefix: &&'static str| str::strip_prefix(text, *prefix).unwrap_or(text);
    no_answer::without_parts(REPEATED.iter().fold(causes, strip).trim())
}
