//! Publishes events to the queue user-events.
//!
//! A failed SQS send never blocks a sign-in. The complete event goes to the log as an unsent event,
//! and `replay recover` publishes it from there.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use shared::config::ConfigError;
use shared::events::{Data, Event, SignInAttempted, Subject, attempt_id, pool_source};
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::queues::{Message, Queue};
use shared::store::StoreError;
use shared::telemetry::{Metrics, log_unsent_event};
use shared::time::Clock;

use crate::TriggerEvent;

/// Publishes events and counts metrics. Every trigger has one.
#[derive(Clone)]
pub struct EventPublisher {
    user_events: Queue,
    clock: Clock,
    metrics: Metrics,
}

impl EventPublisher {
    /// Publisher for the queue USER_EVENTS_QUEUE_URL.
    pub fn from_function(function: &FunctionContext) -> Result<Self, ConfigError> {
        let user_events = function.queue("USER_EVENTS_QUEUE_URL")?;
        Ok(Self { user_events, clock: function.clock.clone(), metrics: function.metrics.clone() })
    }

    /// Opens the connection to SQS.
    pub async fn warm_up(&self) {
        self.user_events.warm_up().await;
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Adds one to a metric. `reason` is a code from a fixed list, because CloudWatch keeps and
    /// charges for each of its values as a separate metric.
    pub fn count(&self, metric: Metric, reason: &'static str) {
        self.metrics.count_by(Some(("reason", reason)), &[(metric, 1)]);
    }

    /// Counts a denial and logs its reason.
    ///
    /// Lambda counts a denial as an error, at the start of the invocation. The alarms subtract
    /// denials from errors, so the denial counts at the same time. Call this before the event is
    /// published: if SQS is slow and Lambda stops the trigger, the denial is still counted.
    pub fn record_denial(&self, metric: Metric, reason: &'static str, event: &TriggerEvent) {
        let metrics = self.metrics.at(event.invoked_at().unwrap_or_else(|| self.now()));
        metrics.count_by(Some(("reason", reason)), &[(metric, 1)]);
        tracing::info!(reason, "denied");
    }

    /// Logs and counts an access to the table that failed. `what` is the log message.
    pub fn report_store_failure(&self, error: &StoreError, what: &str) {
        error.report(&self.metrics, what);
    }

    /// Builds an event about `subject`. The user pool and the trace context come from `cause`.
    pub fn build_event(&self, cause: &TriggerEvent, subject: Subject, data: Data) -> Event {
        let event = Event::new(pool_source(&cause.user_pool_id()), subject, self.now(), data);
        Event { traceparent: cause.traceparent().map(str::to_owned), ..event }
    }

    /// Publishes a sign-in attempt. A repetition within a short time has the same id, so that it counts
    /// once. An attempt of an unknown user has an id of its own: it is only counted in a metric.
    pub async fn publish_attempt(&self, cause: &TriggerEvent, subject: Subject, attempt: SignInAttempted) {
        let id = subject
            .as_user()
            .map(|sub| attempt_id(&cause.user_pool_id(), &cause.client_id(), sub, &attempt, self.now()));
        let event = self.build_event(cause, subject, Data::SignInAttempted(attempt));
        self.publish(match id {
            Some(id) => event.with_id(id),
            None => event,
        })
        .await;
    }

    /// Publishes an event to user-events.
    pub async fn publish(&self, event: Event) {
        self.publish_to(&self.user_events, event).await;
    }

    /// Publishes an event to another queue.
    pub async fn publish_to(&self, queue: &Queue, event: Event) {
        if let Err(error) = queue.send(&event).await {
            self.record_unsent(&event, &error);
        }
    }

    /// Publishes events to user-events in one call.
    pub async fn publish_all(&self, mut events: Vec<Event>) {
        if events.len() == 1 {
            return self.publish(events.remove(0)).await;
        }
        let messages = events.iter().map(Message::from).collect();
        // The SDK's own timeout ends the call.
        let accepted = self.user_events.send_batch(messages, Duration::MAX).await;
        for (event, accepted) in events.iter().zip(accepted) {
            if !accepted {
                self.record_unsent(event, &std::io::Error::other("SQS did not accept the message"));
            }
        }
    }

    fn record_unsent(&self, event: &Event, cause: &(dyn Error + 'static)) {
        log_unsent_event(event, cause);
        self.metrics.count(&[(Metric::UnsentEvents, 1)]);
    }
}
