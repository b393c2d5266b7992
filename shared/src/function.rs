//! What a Lambda function is built from: in Lambda, in a test, and in `replay local`.

use aws_config::SdkConfig;

use crate::config::{ConfigError, Environment};
use crate::queues::Queue;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::time::Clock;

/// Everything that comes from outside. A function's `Deps` are built from it.
#[derive(Clone)]
pub struct Function {
    /// The environment variables.
    pub environment: Environment,
    /// The SDK's configuration.
    pub aws: SdkConfig,
    /// The clock.
    pub clock: Clock,
    /// Where metrics go.
    pub metrics: Metrics,
}

impl Function {
    /// The queue whose URL the variable `name` holds.
    pub fn queue(&self, name: &str) -> Result<Queue, ConfigError> {
        Ok(Queue::new(aws_sdk_sqs::Client::new(&self.aws), self.environment.required(name)?))
    }

    /// The table TABLE_NAME.
    pub fn store(&self) -> Result<Store, ConfigError> {
        let table = self.environment.required("TABLE_NAME")?;
        Ok(Store::new(aws_sdk_dynamodb::Client::new(&self.aws), table))
    }
}
