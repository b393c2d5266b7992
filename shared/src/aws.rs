//! The SDK's configuration: one HTTP client for all services, explicit time-outs, retries that fit them.

pub mod trust;

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_types::SdkConfig;
use aws_types::origin::Origin;

use crate::config::{ConfigError, Environment};
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
pub fn for_trigger(environment: &Environment) -> Result<SdkConfig, ConfigError> {
    in_lambda(environment).map(trigger_settings)
}

/// Configuration for a worker.
pub fn for_worker(environment: &Environment) -> Result<SdkConfig, ConfigError> {
    in_lambda(environment).map(worker_settings)
}

/// What Lambda says in the environment, with the variables that the SDK has for FIPS, for IPv6, and for another address of all services.
/// `aws-config` would read them first, too, but brings every other way to find out, down to a client of STS: a sixth of the
/// code in a function (docs/performance.md).
fn in_lambda(environment: &Environment) -> Result<SdkConfig, ConfigError> {
    let credentials = Credentials::new(
        environment.required("AWS_ACCESS_KEY_ID")?,
        environment.required("AWS_SECRET_ACCESS_KEY")?,
        environment.optional("AWS_SESSION_TOKEN").map(str::to_owned),
        None,
        "environment",
    );
    // In any case, as for the SDK.
    let is_true =
        |name: &str| environment.optional(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut config = SdkConfig::builder()
        .behavior_version(behavior_version())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(trust::http_client(environment))
        .region(Region::new(environment.required("AWS_REGION")?))
        .use_dual_stack(is_true("AWS_USE_DUALSTACK_ENDPOINT"))
        .use_fips(is_true("AWS_USE_FIPS_ENDPOINT"));
    config.set_endpoint_url(environment.optional("AWS_ENDPOINT_URL").map(str::to_owned));
    Ok(config.build())
}

/// The SDK's defaults, pinned: an update of the SDK changes no time-out or retry by itself.
pub fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Settings for a trigger, which Cognito gives five seconds, cold start included. Two calls after each other
/// (a read, then a message) end within 2.3 s even where AWS hangs.
pub fn trigger_settings(config: SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(500))
        .operation_attempt_timeout(Duration::from_millis(550))
        .operation_timeout(Duration::from_millis(1_150));
    let retries = RetryConfig::standard()
        .with_max_attempts(2)
        .with_initial_backoff(Duration::from_millis(25))
        .with_max_backoff(Duration::from_millis(100));
    with_limits(config, timeouts.build(), retries)
}

/// A worker's call to AWS has ended after this time.
pub const WORKER_CALL_SECONDS: i64 = 5;
/// What a worker's call asked for has happened after this time, or never will: AWS may still be at work when a call has
/// been given up, for two seconds. Less than what passes between a commit and its invalidation, or each duplicate would
/// cost one more.
pub const WORKER_CALL_SETTLED_SECONDS: i64 = WORKER_CALL_SECONDS + 2;

/// Settings for a worker: patient enough for a transaction of 100 items, short enough to leave time for the
/// rest of the batch.
pub fn worker_settings(config: SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(WORKER_CALL_SECONDS.unsigned_abs()));
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_secs(2));
    with_limits(config, timeouts.build(), retries)
}

fn with_limits(config: SdkConfig, timeouts: TimeoutConfig, retries: RetryConfig) -> SdkConfig {
    // A stream may stall for five seconds before it is said to: an attempt has ended by then, but CloudFront's, which has fifteen.
    let streams = StalledStreamProtectionConfig::disabled();
    let mut config = config.into_builder().timeout_config(timeouts).retry_config(retries);
    config.set_stalled_stream_protection(Some(streams));
    // Otherwise a client may take the number of attempts for a default of its own.
    config.insert_origin("retry_config", Origin::shared_config());
    config.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMBDA: [(&str, &str); 3] = [
        ("AWS_ACCESS_KEY_ID", "EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "EXAMPLE"),
        ("AWS_REGION", "eu-central-1"),
    ];

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_environment_says_where_aws_is() {
        let config = for_trigger(&environment(&LAMBDA)).unwrap();
        assert_eq!(config.region().map(AsRef::as_ref), Some("eu-central-1"));
        assert_eq!(
            (config.endpoint_url(), config.use_fips(), config.use_dual_stack()),
            (None, Some(false), Some(false))
        );

        let more = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
            ("AWS_USE_FIPS_ENDPOINT", "True"),
            ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ];
        let config = for_worker(&environment(&[&LAMBDA[..], &more].concat())).unwrap();
        let attempts = aws_sdk_sqs::Config::from(&config).retry_config().map(RetryConfig::max_attempts);
        assert_eq!(attempts, Some(3));
        assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:4566"));
        assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(true), Some(true)));
    }

    #[test]
    fn what_lambda_did_not_say_is_named() {
        for (name, _) in LAMBDA {
            let others: Vec<_> = LAMBDA.into_iter().filter(|(other, _)| *other != name).collect();
            let error = for_trigger(&environment(&others)).unwrap_err();
            assert_eq!(error.to_string(), format!("{name}: is required and not set"));
        }
    }
}
