//! Configuration of the AWS SDK: one HTTP client for all services, explicit timeouts, and retries
//! that fit them.

pub mod trust;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_types::SdkConfig;
use aws_types::origin::Origin;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::config::{ConfigError, Environment};
use crate::telemetry::chain;

/// Why a call failed. The text is for logs: if the service answered, it is only the error code, because
/// the error messages of AWS may quote the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FailedCall {
    text: String,
    code: Option<String>,
    message: Option<String>,
}

impl FailedCall {
    /// The error code of the service. `None` if it did not answer.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The error message of the service. Only for a terminal: it may quote the request, and so personal
    /// data.
    pub fn service_message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

/// Why a call failed, as the source of another error.
pub fn cause<E, R>(error: &SdkError<E, R>) -> FailedCall
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let text = match error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or("error without a code").to_owned(),
        // Its sources contain the whole request.
        SdkError::ConstructionFailure(_) => "the SDK could not build the request".to_owned(),
        error => chain(error),
    };
    FailedCall { text, code: error.code().map(str::to_owned), message: error.message().map(str::to_owned) }
}

/// Configuration for a trigger.
pub fn for_trigger(environment: &Environment) -> Result<SdkConfig, ConfigError> {
    in_lambda(environment).map(trigger_settings)
}

/// Configuration for a worker.
pub fn for_worker(environment: &Environment) -> Result<SdkConfig, ConfigError> {
    in_lambda(environment).map(worker_settings)
}

/// Configuration for the read API.
pub fn for_http_api(environment: &Environment) -> Result<SdkConfig, ConfigError> {
    in_lambda(environment).map(http_api_settings)
}

/// Configuration for a function that runs on a schedule.
pub fn for_schedule(environment: &Environment) -> Result<SdkConfig, ConfigError> {
    in_lambda(environment).map(schedule_settings)
}

/// Reads the variables that Lambda sets, and the SDK's variables for FIPS, IPv6 and custom
/// endpoints: AWS_ENDPOINT_URL, and AWS_ENDPOINT_URL_SQS and the like for one service.
///
/// `aws-config` reads the same variables, but also brings every other source of configuration,
/// including a client of STS: one sixth of a function's code (docs/performance.md).
fn in_lambda(environment: &Environment) -> Result<SdkConfig, ConfigError> {
    let credentials = Credentials::new(
        environment.required("AWS_ACCESS_KEY_ID")?,
        environment.required("AWS_SECRET_ACCESS_KEY")?,
        environment.optional("AWS_SESSION_TOKEN").map(str::to_owned),
        None,
        "environment",
    );
    // The SDK ignores the case of these values as well.
    let is_true =
        |name: &str| environment.optional(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut config = SdkConfig::builder()
        .behavior_version(behavior_version())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(trust::http_client(environment))
        .region(Region::new(environment.required("AWS_REGION")?))
        .service_config(ServiceEndpoints::from_environment(environment))
        .use_dual_stack(is_true("AWS_USE_DUALSTACK_ENDPOINT"))
        .use_fips(is_true("AWS_USE_FIPS_ENDPOINT"));
    config.set_endpoint_url(environment.optional("AWS_ENDPOINT_URL").map(str::to_owned));
    Ok(config.build())
}

/// Endpoints of single services, by the name of their variable. The SDK asks for the endpoint when it
/// builds a client.
#[derive(Debug)]
struct ServiceEndpoints(BTreeMap<String, String>);

impl ServiceEndpoints {
    fn from_environment(environment: &Environment) -> Self {
        let variables = environment.with_prefix("AWS_ENDPOINT_URL_");
        let variables = variables.filter(|(_, url)| !url.trim().is_empty());
        Self(variables.map(|(name, url)| (name.to_owned(), url.trim().to_owned())).collect())
    }
}

impl LoadServiceConfig for ServiceEndpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        self.0.get(&format!("{}_{service}", key.env())).cloned()
    }
}

/// Pins the defaults of the SDK, so that an update of the SDK does not change timeouts or retries.
pub fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Timeouts and retries for a trigger. Cognito waits five seconds for it, cold start included. Two
/// consecutive calls, such as a read and a message, end within 2.3 s even if AWS hangs.
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

/// Timeouts and retries for the read API: those of a trigger. API Gateway waits 30 seconds, but a
/// person waits for the page, and can load it again.
pub fn http_api_settings(config: SdkConfig) -> SdkConfig {
    trigger_settings(config)
}

/// Upper bound for one call of a worker to AWS.
pub const WORKER_CALL_SECONDS: i64 = 5;
/// Time after which a call of a worker has taken effect or never will. AWS may process a request
/// for up to two seconds after the worker gave up the call.
///
/// It must be shorter than the time between a commit and its invalidation. Otherwise each duplicate
/// would cost one more invalidation.
pub const WORKER_CALL_SETTLED_SECONDS: i64 = WORKER_CALL_SECONDS + 2;

/// Timeouts and retries for a worker: long enough for a transaction of 100 items, short enough to
/// leave time for the rest of the batch.
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

/// Upper bound for one call of a scheduled function to AWS.
pub const SCHEDULE_CALL_SECONDS: u64 = 40;

/// Timeouts and retries for a function that runs on a schedule. Nobody waits for it, and a failure
/// rings an alarm, so it waits longer than a worker until AWS answers again.
pub fn schedule_settings(config: SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(SCHEDULE_CALL_SECONDS));
    let retries = RetryConfig::standard()
        .with_max_attempts(6)
        .with_initial_backoff(Duration::from_secs(1))
        .with_max_backoff(Duration::from_secs(10));
    with_limits(config, timeouts.build(), retries)
}

fn with_limits(config: SdkConfig, timeouts: TimeoutConfig, retries: RetryConfig) -> SdkConfig {
    // Stalled stream protection acts after five seconds. All attempts have a shorter timeout,
    // except those of CloudFront (fifteen seconds).
    let streams = StalledStreamProtectionConfig::disabled();
    let mut config = config.into_builder().timeout_config(timeouts).retry_config(retries);
    config.set_stalled_stream_protection(Some(streams));
    // Without an origin, a client may replace the retry configuration with its own default.
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
    fn environment_sets_region_endpoint_fips_and_dual_stack() {
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
    fn endpoint_of_a_service_takes_precedence_over_the_endpoint_of_all() {
        let endpoints = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:2"),
            ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", "http://127.0.0.1:3"),
            ("AWS_ENDPOINT_URL_DYNAMODB", " "),
        ];
        let config = for_trigger(&environment(&[&LAMBDA[..], &endpoints].concat())).unwrap();
        let service_config = config.service_config().unwrap();
        let endpoint_of = |service| {
            let key = ServiceConfigKey::builder()
                .service_id(service)
                .env("AWS_ENDPOINT_URL")
                .profile("endpoint_url");
            service_config.load_config(key.build().unwrap())
        };
        assert_eq!(endpoint_of("SQS").as_deref(), Some("http://127.0.0.1:2"));
        assert_eq!(endpoint_of("Cognito Identity Provider").as_deref(), Some("http://127.0.0.1:3"));
        assert_eq!(endpoint_of("DynamoDB"), None, "the endpoint of all services");
    }

    #[test]
    fn error_names_the_missing_variable() {
        for (name, _) in LAMBDA {
            let others: Vec<_> = LAMBDA.into_iter().filter(|(other, _)| *other != name).collect();
            let error = for_trigger(&environment(&others)).unwrap_err();
            assert_eq!(error.to_string(), format!("{name}: is required but not set"));
        }
    }
}
