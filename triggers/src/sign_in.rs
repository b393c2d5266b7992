//! May this user sign in? Asked by pre-authentication, and again by pre-token-generation, because Cognito
//! skips pre-authentication on a refresh and on the first sign-in through an identity provider.

use shared::config::{ConfigError, Environment};
use shared::store::{ProfileState, Store};
use shared::telemetry::chain;

use crate::{EventPublisher, TriggerError};

/// What to do where the store cannot be asked: ON_STORE_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreError {
    /// Let nobody in.
    Deny,
    /// Let everybody in, suspended users too.
    Allow,
}

impl OnStoreError {
    /// Reads ON_STORE_ERROR.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        environment.choice("ON_STORE_ERROR", Self::Deny, &[("deny", Self::Deny), ("allow", Self::Allow)])
    }
}

/// What a refused user reads, whatever the reason.
pub const DENIED: TriggerError =
    TriggerError { error_type: "sign_in_denied", message: "Sign-in is not possible, please contact support" };

/// The answer to the question.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Yes; with what the profile says, where the store could be asked.
    Allowed(Option<ProfileState>),
    /// No.
    Denied,
}

/// A verdict with its reason, a stable word.
pub type Reasoned = (Verdict, &'static str);

/// Decides with one consistent read.
pub async fn decide(store: &Store, publisher: &EventPublisher, sub: &str, on_store_error: OnStoreError) -> Reasoned {
    match store.profile_state(sub).await {
        Ok(profile) if profile.suspension.is_in_force(publisher.now()) => (Verdict::Denied, "suspended"),
        Ok(profile) => (Verdict::Allowed(Some(profile)), "not_suspended"),
        Err(error) => {
            tracing::error!(error_type = "store", cause = chain(&error), "the suspension could not be read");
            match on_store_error {
                // A suspension that is there and cannot be understood is still a suspension.
                _ if error.is_unreadable() => (Verdict::Denied, "store_error"),
                OnStoreError::Deny => (Verdict::Denied, "store_error"),
                OnStoreError::Allow => (Verdict::Allowed(None), "store_error"),
            }
        }
    }
}
