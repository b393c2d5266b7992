//! CHECK_SUSPENDED_EMAILS: denies an email address that an operator has suspended, so that a
//! suspended user cannot delete the account and sign up again.

use shared::config::ConfigError;
use shared::function_context::FunctionContext;
use shared::store::Store;
use shared::suspended_email::{KEY_VARIABLE, SuspendedEmailHash, SuspendedEmailKey};
use shared::suspension::Denial;

use super::policy::SignUpReason;
use crate::EventPublisher;
use crate::sign_in::OnStoreError;

/// The check, with what it needs. One consistent read of the table per sign-up.
pub struct SuspendedEmailCheck {
    store: Store,
    key: SuspendedEmailKey,
    on_store_error: OnStoreError,
}

impl SuspendedEmailCheck {
    /// `None` if CHECK_SUSPENDED_EMAILS is false.
    pub fn from_function(function: &FunctionContext) -> Result<Option<Self>, ConfigError> {
        let is_enabled = function.environment.flag("CHECK_SUSPENDED_EMAILS", false)?;
        let key = SuspendedEmailKey::from_environment(&function.environment)?;
        let on_store_error = OnStoreError::from_environment(&function.environment)?;
        let store = function.store();
        if !is_enabled {
            return Ok(None);
        }
        let key = key.ok_or_else(|| {
            let reason =
                "is required, because CHECK_SUSPENDED_EMAILS is true. Use the key that `replay` uses";
            ConfigError::new(KEY_VARIABLE, reason)
        })?;
        Ok(Some(Self { store: store?, key, on_store_error }))
    }

    /// Opens the connection to DynamoDB.
    pub async fn warm_up(&self) {
        self.store.warm_up().await;
    }

    /// Why the address may not sign up. `None` if it may.
    pub async fn denial(&self, publisher: &EventPublisher, email: &str) -> Option<SignUpReason> {
        let Ok(hash) = SuspendedEmailHash::of(email, &self.key) else {
            // Operators cannot suspend an address without a hash. The policy denies such addresses.
            return None;
        };
        match self.store.read_suspended_email(&hash).await {
            Ok(suspension) => suspension.denial(publisher.now()).map(|denial| match denial {
                Denial::Suspended => SignUpReason::SuspendedEmail,
                Denial::Unreadable => {
                    tracing::error!(
                        error_type = SignUpReason::UnreadableSuspension.code(),
                        cause = suspension.unreadable(),
                        "the suspension of an email address is unreadable, so the sign-up is denied"
                    );
                    SignUpReason::UnreadableSuspension
                }
            }),
            Err(error) => {
                let what = "the suspension of an email address could not be read";
                publisher.report_store_failure(&error, what);
                match self.on_store_error {
                    OnStoreError::Deny => Some(SignUpReason::StoreError),
                    OnStoreError::Allow => None,
                }
            }
        }
    }
}
