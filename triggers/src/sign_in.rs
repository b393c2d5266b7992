//! Decides whether a user may sign in.
//!
//! pre-authentication and pre-token-generation both decide, because Cognito skips
//! pre-authentication on a token refresh and on the first sign-in through an identity provider.

use std::time::Duration;

use shared::config::{ConfigError, Environment};
use shared::events::SignInOutcome;
use shared::store::{SignInState, Store, StoreError};
use shared::suspension::Denial;

use crate::{EventPublisher, TriggerError};

/// ON_STORE_ERROR: what happens to sign-ins, and to sign-ups if CHECK_SUSPENDED_EMAILS is true, while
/// the table cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreError {
    /// No user can sign in.
    Deny,
    /// All users can sign in, including suspended users. An unreadable suspension still denies.
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
    /// The table has a suspension or a flag `isBanned` of a wrong form. It denies.
    UnreadableSuspension,
    /// The table could not be read.
    StoreError,
}

impl SignInReason {
    /// Stable code for events and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::NotSuspended => "not_suspended",
            Self::UnreadableSuspension => "unreadable_suspension",
            Self::StoreError => "store_error",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SignInDecision {
    pub outcome: SignInOutcome,
    pub reason: SignInReason,
    /// `None` if the table could not be read.
    pub state: Option<SignInState>,
}

/// Timeout for reading the table. Longer than one call of a trigger, so that the error of a call
/// comes first. It ends the retries after a call that DynamoDB answered only in part.
const READ_TIMEOUT: Duration = Duration::from_millis(1_200);

/// Decides with one consistent read of PROFILE and SUSPENSION.
pub async fn decide(
    store: &Store,
    publisher: &EventPublisher,
    sub: &str,
    on_store_error: OnStoreError,
) -> SignInDecision {
    let read = match tokio::time::timeout(READ_TIMEOUT, store.read_sign_in_state(sub)).await {
        Ok(read) => read,
        Err(_) => Err(StoreError::timed_out("BatchGetItem")),
    };
    match read {
        Ok(state) => {
            let (outcome, reason) = match state.suspension.denial(publisher.now()) {
                None => (SignInOutcome::Allowed, SignInReason::NotSuspended),
                Some(Denial::Suspended) => (SignInOutcome::Denied, SignInReason::Suspended),
                Some(Denial::Unreadable) => {
                    tracing::error!(
                        error_type = SignInReason::UnreadableSuspension.code(),
                        cause = state.suspension.unreadable(),
                        "the suspension is unreadable, so the sign-in is denied"
                    );
                    (SignInOutcome::Denied, SignInReason::UnreadableSuspension)
                }
            };
            SignInDecision { outcome, reason, state: Some(state) }
        }
        Err(error) => {
            publisher.report_store_failure(&error, "the suspension could not be read");
            let outcome = match on_store_error {
                OnStoreError::Deny => SignInOutcome::Denied,
                OnStoreError::Allow => SignInOutcome::Allowed,
            };
            SignInDecision { outcome, reason: SignInReason::StoreError, state: None }
        }
    }
}
