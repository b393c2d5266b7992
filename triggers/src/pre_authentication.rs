//! pre-authentication: is a suspension in force?

use futures_util::future::join;
use serde_json::Value;
use shared::config::ConfigError;
use shared::events::{AttemptFlow, ClaimedByClient, Data, SignInAttempted, SignInOutcome, Subject};
use shared::function_context::FunctionContext;
use shared::store::Store;

use crate::sign_in::{DENIED, OnStoreError, Verdict, decide};
use crate::{EventPublisher, TriggerError, TriggerEvent};

/// A client may claim anything; this many characters of it are kept.
const MAX_CLAIM_CHARS: usize = 256;

/// What the trigger works with.
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

    /// Opens the connections.
    pub async fn warm_up(&self) {
        join(self.store.warm_up(), self.publisher.warm_up()).await;
    }
}

/// Denies where a suspension is in force. A user whom the pool does not know takes the same path with the same calls,
/// so that nobody can tell.
pub async fn handle(deps: &Deps, event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    event.readable()?;
    // Whatever else Cognito may ask it for tomorrow, a suspension is a suspension.
    if !event.trigger_source().starts_with("PreAuthentication_") {
        return Ok(event);
    }
    let Deps { on_store_error, store, publisher } = deps;
    let sub = event.sub();
    let (verdict, reason) = decide(store, publisher, &sub, *on_store_error).await;
    let denied = verdict == Verdict::Denied;

    let attempt = SignInAttempted {
        flow: AttemptFlow::PreAuthentication,
        outcome: if denied { SignInOutcome::Denied } else { SignInOutcome::Allowed },
        reason: reason.to_owned(),
        claimed_by_client: claimed(event.request().get("validationData")),
    };
    let unknown = event.request().get("userNotFound").is_some_and(|flag| *flag == Value::Bool(true));
    let subject = if unknown { Subject::Unknown } else { Subject::user(&sub) };
    let report = publisher.event(&event, subject, Data::SignInAttempted(attempt));
    publisher.send(report).await;
    if denied {
        publisher.count("SignInsDenied", reason);
        return Err(DENIED);
    }
    Ok(event)
}

/// What the client says of itself: Cognito hands the ClientMetadata of InitiateAuth over as `validationData`.
fn claimed(validation_data: Option<&Value>) -> Option<ClaimedByClient> {
    let claim = |name: &str| {
        let text = validation_data?.get(name)?.as_str()?;
        let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_CLAIM_CHARS).collect();
        Some(text).filter(|text| !text.is_empty())
    };
    let claimed = ClaimedByClient { ip: claim("ip"), user_agent: claim("userAgent") };
    (claimed != ClaimedByClient::default()).then_some(claimed)
}
