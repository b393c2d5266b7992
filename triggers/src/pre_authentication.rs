//! pre-authentication: denies a sign-in while a suspension is in force.

use futures_util::future::join;
use serde_json::Value;
use shared::config::ConfigError;
use shared::events::{AttemptFlow, ClaimedByClient, SignInAttempted, SignInOutcome, Subject};
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::store::Store;

use crate::sign_in::{DENIED, OnStoreError, SignInDecision, decide};
use crate::{EventPublisher, TriggerError, TriggerEvent};

/// Limit for each text that a client sends about itself. The client can send any text, so the rest
/// is cut off.
const MAX_CLAIM_CHARS: usize = 256;

/// Dependencies of the trigger.
pub struct Deps {
    on_store_error: OnStoreError,
    store: Store,
    publisher: EventPublisher,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            on_store_error: OnStoreError::from_environment(&function.environment)?,
            store: function.store()?,
            publisher: EventPublisher::from_function(function)?,
        })
    }

    /// Opens the connections to DynamoDB and SQS.
    pub async fn warm_up(&self) {
        join(self.store.warm_up(), self.publisher.warm_up()).await;
    }
}

/// Denies the sign-in while a suspension is in force, and publishes the attempt.
///
/// A user who is not in the pool causes the same AWS calls as one who is, so that a client cannot
/// find out which users exist.
pub async fn handle(deps: &Deps, event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    event.check_readable()?;
    // A source that Cognito adds later must not bypass a suspension.
    if !event.trigger_source().starts_with("PreAuthentication_") {
        return Ok(event);
    }
    let Deps { on_store_error, store, publisher } = deps;
    let sub = event.sub();
    let SignInDecision { outcome, reason, .. } = decide(store, publisher, &sub, *on_store_error).await;

    if outcome == SignInOutcome::Denied {
        publisher.record_denial(Metric::SignInsDenied, reason.code(), &event);
    }
    let attempt = SignInAttempted {
        flow: AttemptFlow::PreAuthentication,
        outcome,
        reason: reason.code().to_owned(),
        claimed_by_client: claimed_by_client(event.request().get("validationData")),
    };
    let is_unknown_user = event.request().get("userNotFound").is_some_and(|flag| *flag == Value::Bool(true));
    let subject = if is_unknown_user { Subject::Unknown } else { Subject::user(&sub) };
    publisher.publish_attempt(&event, subject, attempt).await;
    match outcome {
        SignInOutcome::Allowed => Ok(event),
        SignInOutcome::Denied => Err(DENIED),
    }
}

/// Reads what the client sends about itself. Cognito passes the ClientMetadata of InitiateAuth as
/// `validationData`.
fn claimed_by_client(validation_data: Option<&Value>) -> Option<ClaimedByClient> {
    let claim = |name: &str| {
        let text = validation_data?.get(name)?.as_str()?;
        let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_CLAIM_CHARS).collect();
        Some(text).filter(|text| !text.is_empty())
    };
    let claims = ClaimedByClient { ip: claim("ip"), user_agent: claim("userAgent") };
    (claims != ClaimedByClient::default()).then_some(claims)
}
