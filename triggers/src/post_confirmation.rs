//! post-confirmation: writes the profile of a confirmed user and publishes `user.confirmed`.

use futures_util::future::join;
use shared::config::ConfigError;
use shared::events::{Data, Empty, Event, Subject, confirmation_id};
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::store::{Profile, Store};
use shared::user_attributes;

use crate::{EventPublisher, TriggerError, TriggerEvent};

/// Dependencies of the trigger.
pub struct Deps {
    store: Store,
    publisher: EventPublisher,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self { store: function.store()?, publisher: EventPublisher::from_function(function)? })
    }

    /// Opens the connections to DynamoDB and SQS.
    pub async fn warm_up(&self) {
        join(self.store.warm_up(), self.publisher.warm_up()).await;
    }
}

/// Always accepts a readable event: the user is confirmed by now, and Cognito does not retry.
///
/// If the profile cannot be written, user-stats writes it from the event. If the event cannot be
/// published either, pre-token-generation publishes it again at the user's next token.
pub async fn handle(deps: &Deps, event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    event.check_readable()?;
    let Deps { store, publisher } = deps;
    match event.trigger_source().as_str() {
        "PostConfirmation_ConfirmSignUp" => {
            let confirmation = build_confirmation(publisher, &event);
            let write = async {
                let Data::Confirmed(confirmed) = confirmation.data.clone() else { return };
                let profile = Profile { sub: event.sub(), confirmed, created_at: confirmation.time };
                if let Err(error) = store.write_profile(&profile).await {
                    publisher.report_store_failure(&error, "the profile was not written");
                    publisher.count(Metric::ProfileWriteFailures, "store_error");
                }
            };
            join(write, publisher.publish(confirmation.clone())).await;
        }
        "PostConfirmation_ConfirmForgotPassword" => {
            let subject = Subject::user(&event.sub());
            publisher.publish(publisher.build_event(&event, subject, Data::PasswordReset(Empty {}))).await;
        }
        _ => {}
    }
    Ok(event)
}

/// Builds `user.confirmed` for the user of a trigger event. A user's confirmation always has the
/// same id, so that it counts once however often it is published.
pub fn build_confirmation(publisher: &EventPublisher, event: &TriggerEvent) -> Event {
    let sub = event.sub();
    let confirmed = user_attributes::confirmed(event.user_name(), |name| event.attribute(name));
    publisher
        .build_event(event, Subject::user(&sub), Data::Confirmed(confirmed))
        .with_id(confirmation_id(&event.user_pool_id(), &sub))
}
