//! pre-sign-up: may this e-mail domain sign up?

use serde_json::Value;
use shared::config::ConfigError;
use shared::events::{Data, SignUpAttempted, SignUpChannel, SignUpOutcome, Subject};
use shared::function_context::FunctionContext;

use crate::{EventPublisher, TriggerError, TriggerEvent};

pub mod disposable;
pub mod policy;

pub use policy::Policy;
use policy::SignUp;

/// What the trigger works with.
pub struct Deps {
    policy: Policy,
    publisher: EventPublisher,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            policy: Policy::from_environment(&function.environment)?,
            publisher: EventPublisher::from_function(function)?,
        })
    }

    /// Opens the connections.
    pub async fn warm_up(&self) {
        self.publisher.warm_up().await;
    }
}

/// What a refused person reads, whatever the reason: a list of domains is nobody's business.
const DENIED: TriggerError = TriggerError {
    error_type: "sign_up_denied",
    message: "Sign-up is not possible with this e-mail address",
};

/// Decides by the policy, reports, and for a trusted domain confirms and verifies where the operator said so.
pub async fn handle(deps: &Deps, mut event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    event.readable()?;
    let channel = match event.trigger_source().as_str() {
        "PreSignUp_SignUp" => SignUpChannel::SelfService,
        "PreSignUp_AdminCreateUser" => SignUpChannel::Admin,
        "PreSignUp_ExternalProvider" => SignUpChannel::External,
        // A door that Cognito adds tomorrow is no way around the policy.
        source if source.starts_with("PreSignUp_") => SignUpChannel::Other,
        _ => return Ok(event),
    };
    let (email, user_name) = (event.attribute("email"), event.user_name());
    let decision = deps.policy.decide(&SignUp { channel, email: email.as_deref(), user_name: &user_name });

    let attempt = SignUpAttempted { outcome: decision.outcome, reason: decision.reason.to_owned(), channel };
    let subject = Subject::Domain(decision.domain);
    let report = deps.publisher.event(&event, subject, Data::SignUpAttempted(attempt));
    deps.publisher.send(report).await;
    match decision.outcome {
        SignUpOutcome::Denied => {
            deps.publisher.count("SignUpsDenied", decision.reason);
            Err(DENIED)
        }
        SignUpOutcome::Allowed => Ok(event),
        SignUpOutcome::AutoConfirmed => {
            let mut response = event.response();
            response.insert("autoConfirmUser".to_owned(), Value::Bool(true));
            // Only a sign-up with a valid address gets here; without one Cognito would fail.
            response.insert("autoVerifyEmail".to_owned(), Value::Bool(true));
            event.set_response(response);
            Ok(event)
        }
    }
}
