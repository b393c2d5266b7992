//! Decides whether a user may sign in.
//!
//! pre-authentication and pre-token-generation both decide, because Cognito skips
//! pre-authentication on a token refresh and on the first sign-in through an identity provider.

use shared::config::{ConfigError, Environment};
use shared::events::SignInOutcome;
use shared::store::{ProfileState, Store};
use shared::telemetry::chain;

use crate::{EventPublisher, TriggerError};

/// ON_STORE_ERROR: what happens to sign-ins while the table cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreError {
    /// No user can sign in.
    Deny,
    /// All users can sign in, including suspended users. A suspension that was read but not
    /// understood still denies.
    Allow,
}

impl OnStoreError {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        environment.choice("ON_STORE_ERROR", Self::Deny, &[("deny", Self::Deny), ("allow", Self::Allow)])
    }
}

/// The user sees this message whatever the reason, so it does not reveal a suspension.
pub const DENIED: TriggerError =
    TriggerError { error_type: "sign_in_denied", message: "Sign-in is not possible, please contact support" };

/// Why a sign-in was allowed or denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInReason {
    Suspended,
    NotSuspended,
    /// The suspension could not be read, or is in the table but invalid.
    StoreError,
}

impl SignInReason {
    /// Stable code for events and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::NotSuspended => "not_suspended",
            Self::StoreError => "store_error",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SignInDecision {
    pub outcome: SignInOutcome,
    pub reason: SignInReason,
    /// `None` if the profile could not be read.
    pub profile: Option<ProfileState>,
}

/// Decides with one consistent read of the profile.
pub async fn decide(
    store: &Store,
    publisher: &EventPublisher,
    sub: &str,
    on_store_error: OnStoreError,
) -> SignInDecision {
    match store.read_profile_state(sub).await {
        Ok(profile) => {
            let (outcome, reason) = if profile.suspension.is_in_force(publisher.now()) {
                (SignInOutcome::Denied, SignInReason::Suspended)
            } else {
                (SignInOutcome::Allowed, SignInReason::NotSuspended)
            };
            SignInDecision { outcome, reason, profile: Some(profile) }
        }
        Err(error) => {
            tracing::error!(error_type = "store", cause = chain(&error), "the suspension could not be read");
            let outcome = match on_store_error {
                // The item exists and is invalid: it may be a suspension, so it denies.
                _ if error.is_unreadable() => SignInOutcome::Denied,
                OnStoreError::Deny => SignInOutcome::Denied,
                OnStoreError::Allow => SignInOutcome::Allowed,
            };
            SignInDecision { outcome, reason: SignInReason::StoreError, profile: None }
        }
    }
}
