//! The SDK's configuration: one HTTP client for all services, explicit time-outs, retries that fit them.

pub mod trust;

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::config::Environment;
use crate::telemetry::chain;

/// Why a call failed, for the log. Of what a service says, the code alone: its sentences may quote what it was asked.
pub fn cause<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            service.err().code().unwrap_or("an error without a code").to_owned()
        }
        error => chain(error),
    }
}

/// Configuration for a trigger.
pub async fn for_trigger(environment: &Environment) -> SdkConfig {
    trigger_settings(in_lambda(environment)).load().await
}

/// Configuration for a worker.
pub async fn for_worker(environment: &Environment) -> SdkConfig {
    worker_settings(in_lambda(environment)).load().await
}

/// The SDK's defaults as far as they go in Lambda, which says the region and the credentials in the environment. The SDK
/// would find them there first, but not before it has built all other ways to find them: a client of STS among them, which
/// takes a fifth of a cold start's instructions.
fn in_lambda(environment: &Environment) -> ConfigLoader {
    let mut loader = defaults();
    if let Some(client) = trust::http_client(environment) {
        loader = loader.http_client(client);
    }
    if let Some(region) = environment.optional("AWS_REGION") {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let keys =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| environment.optional(name).is_some());
    if keys == [true, true] {
        loader = loader.credentials_provider(EnvironmentVariableCredentialsProvider::new());
    }
    loader
}

/// The SDK's defaults, pinned: an update of the SDK changes no time-out or retry by itself.
pub fn defaults() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
}

/// Settings for a trigger, which Cognito gives five seconds, cold start included. Two calls after each other
/// (a read, then a message) end within 2.3 s even where AWS hangs.
pub fn trigger_settings(loader: ConfigLoader) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(500))
        .operation_attempt_timeout(Duration::from_millis(550))
        .operation_timeout(Duration::from_millis(1_150));
    let retries = RetryConfig::standard()
        .with_max_attempts(2)
        .with_initial_backoff(Duration::from_millis(25))
        .with_max_backoff(Duration::from_millis(100));
    loader.timeout_config(timeouts.build()).retry_config(retries)
}

/// A worker's call to AWS has ended after this time.
pub const WORKER_CALL_SECONDS: i64 = 5;
/// What a worker's call asked for has happened after this time, or never will: AWS may still be at work when a call has
/// been given up, for two seconds. Less than what passes between a commit and its invalidation, or each duplicate would
/// cost one more.
pub const WORKER_CALL_SETTLED_SECONDS: i64 = WORKER_CALL_SECONDS + 2;

/// Settings for a worker: patient enough for a transaction of 100 items, short enough to leave time for the
/// rest of the batch.
pub fn worker_settings(loader: ConfigLoader) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(WORKER_CALL_SECONDS.unsigned_abs()));
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_secs(2));
    loader.timeout_config(timeouts.build()).retry_config(retries)
}
