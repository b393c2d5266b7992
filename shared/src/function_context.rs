//! The environment of a function, from which it builds its dependencies: in Lambda, in the sandbox
//! and in tests.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use aws_types::SdkConfig;

use crate::config::{ConfigError, Environment};
use crate::function_id::FunctionId;
use crate::metric::Metric;
use crate::queues::Queue;
use crate::store::Store;
use crate::telemetry::{self, Metrics};
use crate::time::Clock;

#[derive(Clone)]
pub struct FunctionContext {
    pub environment: Environment,
    pub aws: SdkConfig,
    pub clock: Clock,
    pub metrics: Metrics,
}

impl FunctionContext {
    /// Sets up this process for the function `id`, and builds its dependencies: log and metrics on
    /// standard output, environment variables of the process, the machine's clock.
    ///
    /// An invalid configuration is logged with the name of the variable, counted as a start failure,
    /// and ends the process with the returned exit code. The same is true for a panic.
    pub fn start<D>(
        id: FunctionId,
        aws: impl FnOnce(&Environment) -> Result<SdkConfig, ConfigError>,
        build: impl FnOnce(&Self) -> Result<D, ConfigError>,
    ) -> Result<D, ExitCode> {
        let environment = Environment::from_process();
        telemetry::log_to_stdout(&environment);
        let clock = Clock::system();
        // The name of the function in Lambda contains the stack's name, so that two stacks have
        // separate metrics.
        let full_name = environment.optional("AWS_LAMBDA_FUNCTION_NAME").unwrap_or(id.name());
        // `template.yaml` names a function `{stack}-{name}`, so its full name also gives the
        // stack's name.
        let stack = full_name.strip_suffix(id.name()).and_then(|stack| stack.strip_suffix('-'));
        let metrics = Metrics::to_stdout(full_name, clock.clone()).in_stack(stack);
        let start_failures = metrics.clone();
        let starting = AssertUnwindSafe(|| {
            let aws = aws(&environment)?;
            build(&Self { environment, aws, clock, metrics })
        });
        match std::panic::catch_unwind(starting) {
            Ok(Ok(dependencies)) => return Ok(dependencies),
            Ok(Err(error)) => tracing::error!(error_type = "configuration", "{error}"),
            // The panic hook has logged the panic.
            Err(_) => {}
        }
        start_failures.count(&[(Metric::StartFailures, 1)]);
        Err(ExitCode::FAILURE)
    }

    /// The queue whose URL is in the environment variable `name`.
    pub fn queue(&self, name: &str) -> Result<Queue, ConfigError> {
        Ok(Queue::new(aws_sdk_sqs::Client::new(&self.aws), self.environment.required(name)?))
    }

    /// The table that TABLE_NAME names.
    pub fn store(&self) -> Result<Store, ConfigError> {
        let table = self.environment.required("TABLE_NAME")?;
        Ok(Store::new(aws_sdk_dynamodb::Client::new(&self.aws), table))
    }
}
