//! The SDK's configuration: one HTTP client for all services, explicit time-outs, retries that fit them.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// Configuration for a trigger, which Cognito gives five seconds, cold start included. Two calls after each
/// other (a read, then a message) end within 2.3 s even where AWS hangs.
pub async fn for_trigger() -> SdkConfig {
    load(
        TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(500))
            .operation_attempt_timeout(Duration::from_millis(550))
            .operation_timeout(Duration::from_millis(1_150)),
        RetryConfig::standard()
            .with_max_attempts(2)
            .with_initial_backoff(Duration::from_millis(25))
            .with_max_backoff(Duration::from_millis(100)),
    )
    .await
}

/// Configuration for a worker: patient enough for a transaction of 100 items, short enough to leave time
/// for the rest of the batch.
pub async fn for_worker() -> SdkConfig {
    load(
        TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(5))
            .operation_timeout(Duration::from_secs(15)),
        RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(50))
            .with_max_backoff(Duration::from_secs(2)),
    )
    .await
}

async fn load(timeouts: aws_config::timeout::TimeoutConfigBuilder, retries: RetryConfig) -> SdkConfig {
    // Pinned, so that an update of the SDK changes no time-out or retry by itself.
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts.build())
        .retry_config(retries)
        .load()
        .await
}
