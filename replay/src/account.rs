//! Reaching a real account: the options that the AWS CLI has too, and the names of the account's table and queues.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{ConfigLoader, Region, SdkConfig};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};
use clap::Args;
use shared::config::Environment;
use shared::queues::Queue;
use shared::store::Store;

use crate::error::InvalidInput;
use crate::queue::description::told;

/// Which account, and how to reach it.
#[derive(Clone, Debug, Default, Args)]
pub struct AccountOptions {
    /// Use this profile of the AWS configuration. [default: AWS_PROFILE]
    #[arg(long, value_name = "NAME", help_heading = "Account")]
    pub profile: Option<String>,
    /// The region. [default: AWS_REGION, or the profile's]
    #[arg(long, value_name = "NAME", help_heading = "Account")]
    pub region: Option<String>,
    /// Talk to this address instead of AWS. [default: AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL", help_heading = "Account", value_parser = parse_endpoint_url)]
    pub endpoint_url: Option<String>,
}

fn parse_endpoint_url(text: &str) -> Result<String, String> {
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    is_url.then(|| text.to_owned()).ok_or_else(|| "expected http:// or https:// and a host".to_owned())
}

/// An account that can be reached.
pub struct Account {
    config: SdkConfig,
    environment: Environment,
}

impl AccountOptions {
    /// Reads the configuration. Nothing is called yet.
    pub async fn open(&self) -> Result<Account> {
        let mut loader = settings(aws_config::defaults(shared::aws::behavior_version()));
        if let Some(profile) = &self.profile {
            // As with the AWS CLI: a profile that is named on the command line goes before keys in the environment.
            let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
            loader = loader.profile_name(profile).credentials_provider(credentials);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint_url) = &self.endpoint_url {
            loader = loader.endpoint_url(endpoint_url);
        }
        let environment = Environment::from_process();
        if let Some(profile) = self.profile.as_deref().or(environment.optional("AWS_PROFILE")) {
            check_profile(profile).await?;
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return InvalidInput::err("no region: give --region, or set AWS_REGION");
        }
        Ok(Account { config, environment })
    }
}

/// The region in a queue's ARN, or in its URL where that is AWS's.
fn region_of(queue: &str) -> Option<&str> {
    match queue.split([':', '/']).collect::<Vec<_>>().as_slice() {
        ["arn", _, "sqs", region, ..] => Some(region),
        ["https", "", "", host, ..] => {
            let (region, domain) = host.strip_prefix("sqs.")?.split_once('.')?;
            domain.starts_with("amazonaws.com").then_some(region)
        }
        _ => None,
    }
}

/// The SDK takes a profile that is not there for one without settings, and looks for credentials elsewhere.
async fn check_profile(name: &str) -> Result<()> {
    let (files, environment) = (EnvConfigFiles::default(), Env::real());
    let profiles = aws_config::profile::load(&Fs::real(), &environment, &files, None).await;
    // A file that cannot be read is told by the SDK.
    if profiles.is_ok_and(|profiles| profiles.get_profile(name).is_none()) {
        return InvalidInput::err(format!("there is no profile {name} in your AWS configuration"));
    }
    Ok(())
}

/// Somebody waits at a terminal, perhaps far away from the region: patience, and five attempts.
fn settings(loader: ConfigLoader) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(20))
        .operation_timeout(Duration::from_secs(60));
    loader.timeout_config(timeouts.build()).retry_config(RetryConfig::standard().with_max_attempts(5))
}

impl Account {
    /// The table named `table`, or by TABLE_NAME.
    pub fn store(&self, table: Option<&str>) -> Result<Store> {
        let name = self.named("--table", table, "TABLE_NAME")?;
        Ok(Store::new(aws_sdk_dynamodb::Client::new(&self.config), name))
    }

    /// The queue user-events with this name or URL, or by USER_EVENTS_QUEUE_URL.
    pub async fn user_events(&self, queue: Option<&str>) -> Result<Queue> {
        self.queue(queue, "USER_EVENTS_QUEUE_URL").await
    }

    /// The queue cache-invalidations with this name or URL, or by CACHE_INVALIDATIONS_QUEUE_URL.
    pub async fn cache_invalidations(&self, queue: Option<&str>) -> Result<Queue> {
        self.queue(queue, "CACHE_INVALIDATIONS_QUEUE_URL").await
    }

    async fn queue(&self, queue: Option<&str>, variable: &str) -> Result<Queue> {
        let name = self.named("--queue", queue, variable)?;
        Ok(Queue::new(self.sqs(), self.queue_url(&name).await?))
    }

    /// A client of Cognito's user pools.
    pub fn cognito(&self) -> aws_sdk_cognitoidentityprovider::Client {
        aws_sdk_cognitoidentityprovider::Client::new(&self.config)
    }

    /// A client of SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    /// The URL of the queue with this name, ARN or URL.
    pub async fn queue_url(&self, name: &str) -> Result<String> {
        let region = self.config.region().map(Region::as_ref).unwrap_or_default();
        if let Some(other) = region_of(name).filter(|other| *other != region) {
            return InvalidInput::err(format!(
                "{name}: lies in {other}, and you work in {region}; give --region {other}"
            ));
        }
        if name.starts_with("https://") || name.starts_with("http://") {
            return Ok(name.to_owned());
        }
        let call = self.sqs().get_queue_url();
        // arn:aws:sqs:<region>:<account>:<name>
        let call = match name.split(':').collect::<Vec<_>>().as_slice() {
            ["arn", _, "sqs", _, owner, name] => call.queue_name(*name).queue_owner_aws_account_id(*owner),
            _ => call.queue_name(name),
        };
        let output = call.send().await.map_err(told("GetQueueUrl"));
        let output = output.with_context(|| format!("the queue {name} in {region}"))?;
        output.queue_url.context("a queue without a URL")
    }

    fn named(&self, option: &str, given: Option<&str>, variable: &str) -> Result<String> {
        given.or_else(|| self.environment.optional(variable)).map_or_else(
            || InvalidInput::err(format!("give {option}, or set {variable}")),
            |name| Ok(name.to_owned()),
        )
    }

    /// Who works with the account, as the shell knows them.
    pub fn operator(&self) -> &str {
        self.environment.optional("USER").unwrap_or("replay")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_says_where_it_lies() {
        for (queue, region) in [
            ("user-events", None),
            ("arn:aws:sqs:us-east-1:123456789012:user-events", Some("us-east-1")),
            ("arn:aws-cn:sqs:cn-north-1:123456789012:user-events", Some("cn-north-1")),
            ("https://sqs.us-east-1.amazonaws.com/123456789012/user-events", Some("us-east-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/user-events", Some("cn-north-1")),
            ("http://127.0.0.1:4566/123456789012/user-events", None),
            ("https://sqs.example.com/user-events", None),
        ] {
            assert_eq!(region_of(queue), region, "{queue}");
        }
    }
}
