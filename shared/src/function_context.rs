//! What a Lambda function is built from: in Lambda, in a test, and in `replay local`.

use std::process::ExitCode;

use aws_types::SdkConfig;

use crate::config::{ConfigError, Environment};
use crate::function_id::FunctionId;
use crate::queues::Queue;
use crate::store::Store;
use crate::telemetry::{self, Metrics};
use crate::time::Clock;

/// Everything that comes from outside. A function's `Deps` are built from it.
#[derive(Clone)]
pub struct FunctionContext {
    /// The environment variables.
    pub environment: Environment,
    /// The SDK's configuration.
    pub aws: SdkConfig,
    /// The clock.
    pub clock: Clock,
    /// Where metrics go.
    pub metrics: Metrics,
}

impl FunctionContext {
    /// Starts the function `name` in this process: with its environment, the SDK's configuration for that, the machine's clock, and
    /// its log and metrics on standard output. A configuration mistake is logged with the variable's name, and ends the start.
    pub fn start<D>(
        id: FunctionId,
        aws: impl FnOnce(&Environment) -> Result<SdkConfig, ConfigError>,
        build: impl FnOnce(&Self) -> Result<D, ConfigError>,
    ) -> Result<D, ExitCode> {
        let environment = Environment::from_process();
        telemetry::log_to_stdout(&environment);
        Self::of_process(id, environment, aws).and_then(|function| build(&function)).map_err(|error| {
            tracing::error!(error_type = "configuration", "{error}");
            ExitCode::FAILURE
        })
    }

    fn of_process(
        id: FunctionId,
        environment: Environment,
        aws: impl FnOnce(&Environment) -> Result<SdkConfig, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let clock = Clock::system();
        let aws = aws(&environment)?;
        // As Lambda knows the function: `name` behind the stack's name, so that two stacks keep their metrics apart.
        let full_name = environment.optional("AWS_LAMBDA_FUNCTION_NAME").unwrap_or(id.name());
        // `template.yaml` names a function `{stack}-{name}`, so its full name also gives the stack's name.
        let stack = full_name.strip_suffix(id.name()).and_then(|stack| stack.strip_suffix('-'));
        let metrics = Metrics::to_stdout(full_name, clock.clone()).in_stack(stack);
        Ok(Self { environment, aws, clock, metrics })
    }

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
