//! post-confirmation: writes the profile, and says that the user is there.

use futures_util::future::join;
use shared::config::ConfigError;
use shared::events::{Confirmed, Data, Empty, Event, Subject, confirmation_id};
use shared::function_context::FunctionContext;
use shared::store::{Profile, Store};
use shared::telemetry::chain;

use crate::{EventPublisher, TriggerError, TriggerEvent};

/// What the trigger works with.
pub struct Deps {
    store: Store,
    publisher: EventPublisher,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self { store: function.store()?, publisher: EventPublisher::from_function(function)? })
    }

    /// Opens the connections.
    pub async fn warm_up(&self) {
        join(self.store.warm_up(), self.publisher.warm_up()).await;
    }
}

/// Answers whatever happens: the user is confirmed by now, and Cognito does not try again. Where the profile
/// could not be written, user-stats writes it from the event; where that is lost too, the next token sends it
/// anew.
pub async fn handle(deps: &Deps, event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    event.readable()?;
    let Deps { store, publisher } = deps;
    match event.trigger_source().as_str() {
        "PostConfirmation_ConfirmSignUp" => {
            let report = confirmation(publisher, &event);
            let write = async {
                let Data::Confirmed(confirmed) = report.data.clone() else { return };
                let profile = Profile { sub: event.sub(), confirmed, created_at: report.time };
                if let Err(error) = store.write_profile(&profile).await {
                    tracing::error!(
                        error_type = "store",
                        cause = chain(&error),
                        "the profile was not written"
                    );
                    publisher.count("ProfileWriteFailures", "store_error");
                }
            };
            join(write, publisher.send(report.clone())).await;
        }
        "PostConfirmation_ConfirmForgotPassword" => {
            let subject = Subject::user(&event.sub());
            publisher.send(publisher.event(&event, subject, Data::PasswordReset(Empty {}))).await;
        }
        _ => {}
    }
    Ok(event)
}

/// The event `user.confirmed` for the user whom Cognito's event is about: one id however often it is said.
pub fn confirmation(publisher: &EventPublisher, event: &TriggerEvent) -> Event {
    let attribute = |name: &str| event.attribute(name).map(|value| value.into_owned());
    let sub = event.sub();
    let confirmed = Confirmed {
        username: event.user_name(),
        email: attribute("email"),
        email_verified: event.attribute("email_verified").is_some_and(|value| value == "true"),
        name: attribute("name"),
    };
    publisher
        .event(event, Subject::user(&sub), Data::Confirmed(confirmed))
        .with_id(confirmation_id(&event.user_pool_id(), &sub))
}
