//! How the SDK is configured for every call: region, trust, timeouts and retries.

use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{ConfigLoader, Region};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::profiles::Profiles;

#[derive(Clone, Debug)]
pub struct Sdk {
    pub region: Region,
    /// `None` for the SDK's client, which trusts the CAs of the system.
    pub http_client: Option<SharedHttpClient>,
}

impl Sdk {
    /// Configuration for calls, STS included, with the settings of a profile. Long timeouts and five
    /// attempts: an operator may be far away from the region.
    pub fn loader(&self, profiles: &Profiles, profile: Option<&str>) -> ConfigLoader {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(20))
            .operation_timeout(Duration::from_secs(60));
        let mut loader = aws_config::defaults(shared::aws::behavior_version())
            .region(self.region.clone())
            .profile_files(profiles.files())
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard().with_max_attempts(5));
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        match &self.http_client {
            Some(client) => loader.http_client(client.clone()),
            None => loader,
        }
    }

    /// The credentials of a profile, even if the environment has keys. A profile with a role calls STS,
    /// which needs the region.
    pub fn profile_credentials(&self, profiles: &Profiles, profile: &str) -> ProfileFileCredentialsProvider {
        let mut settings = ProviderConfig::without_region().with_region(Some(self.region.clone()));
        if let Some(client) = &self.http_client {
            settings = settings.with_http_client(client.clone());
        }
        let builder = ProfileFileCredentialsProvider::builder().profile_name(profile);
        builder.profile_files(profiles.files()).configure(&settings).build()
    }
}
