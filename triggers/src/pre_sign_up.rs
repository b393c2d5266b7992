//! pre-sign-up: decides by the email address who may sign up.

use futures_util::future::join;
use serde_json::Value;
use shared::config::ConfigError;
use shared::events::{Data, SignUpAttempted, SignUpChannel, SignUpOutcome, Subject};
use shared::function_context::FunctionContext;
use shared::metric::Metric;

use crate::{EventPublisher, TriggerError, TriggerEvent};

pub mod disposable;
pub mod policy;
pub mod suspended_email;

pub use policy::Policy;
use policy::{SignUp, SignUpDecision, SignUpReason};
use suspended_email::SuspendedEmailCheck;

/// Dependencies of the trigger.
pub struct Deps {
    policy: Policy,
    /// `None` if CHECK_SUSPENDED_EMAILS is false. The trigger then makes no call to DynamoDB.
    suspended_emails: Option<SuspendedEmailCheck>,
    publisher: EventPublisher,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            policy: Policy::from_environment(&function.environment)?,
            suspended_emails: SuspendedEmailCheck::from_function(function)?,
            publisher: EventPublisher::from_function(function)?,
        })
    }

    /// Opens the connections.
    pub async fn warm_up(&self) {
        match &self.suspended_emails {
            Some(check) => drop(join(check.warm_up(), self.publisher.warm_up()).await),
            None => self.publisher.warm_up().await,
        }
    }
}

/// The user sees this message whatever the reason, so it reveals neither the lists nor a suspension.
pub const DENIED: TriggerError =
    TriggerError { error_type: "sign_up_denied", message: "Sign-up is not possible with this email address" };

/// Applies the policy and publishes the attempt. For a trusted domain, it also confirms the user
/// and verifies the address if `TRUSTED_DOMAINS_SKIP_VERIFICATION` is set.
pub async fn handle(deps: &Deps, mut event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    event.check_readable()?;
    let channel = match event.trigger_source().as_str() {
        "PreSignUp_SignUp" => SignUpChannel::SelfService,
        "PreSignUp_AdminCreateUser" => SignUpChannel::Admin,
        "PreSignUp_ExternalProvider" => SignUpChannel::External,
        // A source that Cognito adds later must not bypass the policy.
        source if source.starts_with("PreSignUp_") => SignUpChannel::Other,
        _ => return Ok(event),
    };
    let Deps { policy, suspended_emails, publisher } = deps;
    let (email, user_name) = (event.attribute_or_invalid("email"), event.user_name());
    let mut decision = policy.decide(&SignUp { channel, email: email.as_deref(), user_name: &user_name });
    // Like the policy, the check does not apply to users that an administrator creates, unless
    // CHECK_ADMIN_CREATED is true.
    if decision.outcome != SignUpOutcome::Denied
        && decision.reason != SignUpReason::AdminCreated
        && let (Some(check), Some(email)) = (suspended_emails, &email)
        && let Some(reason) = check.denial(publisher, email).await
    {
        decision = SignUpDecision { outcome: SignUpOutcome::Denied, reason, ..decision };
    }

    if decision.outcome == SignUpOutcome::Denied {
        publisher.record_denial(Metric::SignUpsDenied, decision.reason.code(), &event);
    }
    let attempt =
        SignUpAttempted { outcome: decision.outcome, reason: decision.reason.code().to_owned(), channel };
    let subject = Subject::Domain(decision.domain);
    publisher.publish(publisher.build_event(&event, subject, Data::SignUpAttempted(attempt))).await;
    match decision.outcome {
        SignUpOutcome::Denied => Err(DENIED),
        SignUpOutcome::Allowed => Ok(event),
        SignUpOutcome::AutoConfirmed => {
            let mut response = event.response();
            response.insert("autoConfirmUser".to_owned(), Value::Bool(true));
            // Cognito fails if this is set for a user without an email address. The policy
            // auto-confirms only users with a valid address.
            response.insert("autoVerifyEmail".to_owned(), Value::Bool(true));
            event.set_response(response);
            Ok(event)
        }
    }
}
