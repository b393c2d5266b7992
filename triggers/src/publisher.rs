//! Telling the user-events queue what happened. Sending never decides a sign-in: where SQS fails, the event
//! goes to the log, from which `replay recover` brings it back.

use std::time::Duration;

use jiff::Timestamp;
use shared::config::ConfigError;
use shared::events::{Data, Event, Subject, pool_source};
use shared::function_context::FunctionContext;
use shared::queues::{Message, Queue};
use shared::telemetry::{Metrics, log_unsent_event};
use shared::time::Clock;

use crate::TriggerEvent;

/// Sends events, tells the time and counts: what every trigger needs.
#[derive(Clone)]
pub struct EventPublisher {
    queue: Queue,
    clock: Clock,
    metrics: Metrics,
}

impl EventPublisher {
    /// Reports to the queue USER_EVENTS_QUEUE_URL.
    pub fn from_function(function: &FunctionContext) -> Result<Self, ConfigError> {
        let queue = function.queue("USER_EVENTS_QUEUE_URL")?;
        Ok(Self { queue, clock: function.clock.clone(), metrics: function.metrics.clone() })
    }

    /// Opens the connection to SQS.
    pub async fn warm_up(&self) {
        self.queue.warm_up().await;
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Counts one `name`, by a reason from a closed list.
    pub fn count(&self, name: &str, reason: &str) {
        self.metrics.count_by(Some(("reason", reason)), &[(name, 1)]);
    }

    /// An event about `subject` that follows from what Cognito sent.
    pub fn event(&self, cause: &TriggerEvent, subject: Subject, data: Data) -> Event {
        let event = Event::new(pool_source(&cause.user_pool_id()), subject, self.now(), data);
        Event { traceparent: cause.traceparent().map(str::to_owned), ..event }
    }

    /// Sends one event to the user-events queue.
    pub async fn send(&self, event: Event) {
        self.send_to(&self.queue, event).await;
    }

    /// Sends one event to another queue.
    pub async fn send_to(&self, queue: &Queue, event: Event) {
        if let Err(error) = queue.send(&event).await {
            log_unsent_event(&event, &error);
            self.metrics.count(&[("UnsentEvents", 1)]);
        }
    }

    /// Sends events to the user-events queue in one call.
    pub async fn send_all(&self, mut events: Vec<Event>) {
        if events.len() == 1 {
            return self.send(events.remove(0)).await;
        }
        // One call, which has a time-out of its own.
        let messages = events.iter().map(Message::from).collect();
        let accepted = self.queue.send_batch(messages, Duration::MAX).await;
        for (event, accepted) in events.iter().zip(accepted) {
            if !accepted {
                log_unsent_event(event, &std::io::Error::other("SQS did not accept the message"));
                self.metrics.count(&[("UnsentEvents", 1)]);
            }
        }
    }
}
