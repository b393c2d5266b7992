//! What the function needs to answer requests.

use shared::config::ConfigError;
use shared::function_context::FunctionContext;
use shared::queues::Queue;
use shared::store::Store;
use shared::telemetry::Metrics;
use shared::time::Clock;

use crate::Config;

/// Dependencies of the function.
pub struct Deps {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) user_events: Queue,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            config: Config::from_environment(&function.environment)?,
            store: function.store()?,
            user_events: function.queue("USER_EVENTS_QUEUE_URL")?,
            clock: function.clock.clone(),
            metrics: function.metrics.clone(),
        })
    }

    /// Opens the connection to DynamoDB. Few requests send a message, so the connection to SQS waits
    /// for the first one.
    pub async fn warm_up(&self) {
        self.store.warm_up().await;
    }
}
