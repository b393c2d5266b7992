//! Access to an AWS account: the options that the AWS CLI also has, the table and the queues.

mod ca_bundle;
mod credentials;
mod mfa;
mod names;
mod profiles;
mod sdk;

use aws_config::{Region, SdkConfig};
use clap::Args;
use shared::config::Environment;
use shared::suspended_email::SuspendedEmailKey;
use shared::text::printable;
use tokio::sync::OnceCell;

use crate::aws_error::describe;
use crate::error::{CommandError, Result};
use crate::stack::Stack;
use profiles::{Profiles, sdk_name};
use sdk::Sdk;

#[derive(Clone, Debug, Default, Args)]
pub struct AccountOptions {
    /// Profile of the AWS configuration. [default: AWS_PROFILE]
    #[arg(long, value_name = "NAME", help_heading = "Account")]
    pub profile: Option<String>,
    /// AWS region. [default: AWS_REGION, or the region of the profile]
    #[arg(long, value_name = "NAME", help_heading = "Account")]
    pub region: Option<String>,
    /// Endpoint to call instead of AWS. [default: AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL", help_heading = "Account", value_parser = parse_endpoint_url)]
    pub endpoint_url: Option<String>,
    /// CloudFormation stack of template.yaml. Its table, queues and user pool are defaults, and its queues
    /// have short names, such as user-events. [default: STACK_NAME]
    #[arg(long, value_name = "NAME", help_heading = "Account")]
    pub stack: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("expected http:// or https:// and a host")]
pub struct InvalidEndpointUrl;

pub fn parse_endpoint_url(text: &str) -> Result<String, InvalidEndpointUrl> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.unwrap_or_default().split('/').next().unwrap_or_default();
    let is_host = !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c))
        && host.contains('[') == host.contains(']');
    is_host.then(|| text.to_owned()).ok_or(InvalidEndpointUrl)
}

/// Rejects variables with which the SDK would panic or print a whole request.
fn check_variables(environment: &Environment) -> Result<()> {
    for (name, value) in environment.with_prefix("AWS_ENDPOINT_URL") {
        if let Err(error) = parse_endpoint_url(value) {
            return Err(CommandError::invalid_input(format!("{name}: {error}. Correct or unset it")));
        }
    }
    for (name, value) in environment.with_prefix("AWS_") {
        if value.contains(char::is_control) {
            return Err(CommandError::invalid_input(format!(
                "{name} contains a control character, such as a Windows line end. Remove it"
            )));
        }
    }
    Ok(())
}

pub struct Account {
    config: SdkConfig,
    environment: Environment,
    /// The certificate authorities of AWS_CA_BUNDLE or ca_bundle, in PEM.
    roots: Option<String>,
    /// The option --stack.
    stack_option: Option<String>,
    stack: OnceCell<Stack>,
}

impl AccountOptions {
    /// Reads the configuration and loads the credentials. Calls AWS only if a profile needs it for
    /// credentials.
    pub async fn open(&self) -> Result<Account> {
        let environment = Environment::from_process();
        check_variables(&environment)?;
        let profiles = Profiles::read(&environment).await;
        let profiles = profiles.map_err(|error| CommandError::invalid_input(describe(error.as_ref())))?;
        // The AWS CLI also reads the older name.
        let profile = self.profile.as_deref();
        let profile = profile.or(environment.optional("AWS_PROFILE"));
        let profile = profile.or(environment.optional("AWS_DEFAULT_PROFILE"));
        let sdk_profile = profile.map(sdk_name);
        let sdk_profile = sdk_profile.as_deref();
        if let (Some(name), Some(sdk_name)) = (profile, sdk_profile) {
            // The SDK would treat it as one without settings, and look for credentials elsewhere.
            if profiles.get(sdk_name).is_none() {
                return Err(CommandError::invalid_input(format!(
                    "there is no profile {name} in your AWS configuration"
                )));
            }
        }
        let name = sdk_profile.unwrap_or("default");
        let region = self.region(&profiles, name, &environment)?;
        let roots = ca_bundle::roots(&environment, profiles.get(name)).map_err(|error| {
            CommandError::invalid_input(format!("{}. Correct or unset it", describe(error.as_ref())))
        })?;
        let http_client = roots.as_ref().map(|roots| shared::aws::trust::client_trusting(roots.as_bytes()));
        let sdk = Sdk { region, http_client };
        let mut loader = sdk.loader(&profiles, sdk_profile);
        // As in the AWS CLI, --profile overrides keys in the environment.
        if self.profile.is_some() {
            loader = loader.credentials_provider(sdk.profile_credentials(&profiles, name));
        }
        let uses_profile = self.profile.is_some() || environment.optional("AWS_ACCESS_KEY_ID").is_none();
        if uses_profile && let Some((profiles, name)) = mfa::with_sessions(&sdk, &profiles, name).await? {
            loader = loader.credentials_provider(sdk.profile_credentials(&profiles, &name));
        }
        if let Some(endpoint_url) = &self.endpoint_url {
            loader = loader.endpoint_url(endpoint_url);
        }
        let config = loader.load().await;
        if let Some(Err(error)) = config.endpoint_url().map(parse_endpoint_url) {
            return Err(CommandError::invalid_input(format!(
                "endpoint_url in the AWS configuration: {error}. Correct or remove it"
            )));
        }
        let config = credentials::load(config).await.map_err(|error| {
            let base = mfa::chain(&profiles, name).last().copied().unwrap_or(name);
            let shown = profile.unwrap_or(name);
            let failed = credentials::Failed {
                name: shown,
                base_name: if base == name { shown } else { base },
                base: profiles.get(base),
            };
            CommandError::failed(failed.explain(&error))
        })?;
        let (stack_option, stack) = (self.stack.clone(), OnceCell::new());
        Ok(Account { config, environment, roots, stack_option, stack })
    }

    /// --region, AWS_REGION, AWS_DEFAULT_REGION or the region of the profile.
    fn region(&self, profiles: &Profiles, profile: &str, environment: &Environment) -> Result<Region> {
        let option = self.region.as_deref().map(|region| ("--region", region));
        let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter();
        let mut variables = variables.filter_map(|name| Some((name, environment.optional(name)?)));
        let setting = profiles.get(profile).and_then(|profile| profile.get("region"));
        let setting = setting.map(|region| ("region in the AWS configuration", region));
        let found = option.or_else(|| variables.next()).or(setting);
        let (place, region) = found
            .ok_or_else(|| CommandError::invalid_input("no region: pass --region, or set AWS_REGION"))?;
        if is_region(region) {
            return Ok(Region::new(region.to_owned()));
        }
        Err(CommandError::invalid_input(format!(
            "{place}: \"{}\" is not a region name such as eu-central-1",
            printable(region)
        )))
    }
}

/// Region names are lower-case words and a number, joined by hyphens: `us-east-1`, `us-gov-west-1`,
/// `cn-north-1`. Emulators also accept others of this form, such as `local`.
fn is_region(name: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 40 && name.split('-').all(is_word)
}

/// The region in a queue's ARN, or in its URL if the URL is one of AWS. Sources: AWS General Reference,
/// *Amazon SQS endpoints and quotas* (also FIPS, dual-stack and legacy endpoints), and the Amazon SQS
/// Developer Guide, *Creating a VPC endpoint policy for Amazon SQS*.
pub fn region_of(queue: &str) -> Option<&str> {
    if let ["arn", _, "sqs", region, ..] = queue.split(':').collect::<Vec<_>>().as_slice() {
        return Some(region);
    }
    let host = queue.strip_prefix("https://").or_else(|| queue.strip_prefix("http://"))?;
    let host = host.split(['/', ':']).next()?;
    let domain = AWS_DOMAINS.into_iter().find_map(|domain| host.strip_suffix(domain))?;
    match domain.split('.').collect::<Vec<_>>().as_slice() {
        ["sqs" | "sqs-fips", region] => Some(region),
        // The first form of the endpoints. Without a region, it is us-east-1.
        [region, "queue"] => Some(region),
        ["queue"] => Some("us-east-1"),
        // VPC endpoints: vpce-0123-abcd.sqs.REGION.vpce, also with an availability zone.
        [_, "sqs", region, "vpce"] => Some(region),
        _ => None,
    }
}

/// The domains of AWS, the longer ones first.
const AWS_DOMAINS: [&str; 4] =
    [".amazonaws.com.cn", ".api.amazonwebservices.com.cn", ".amazonaws.com", ".api.aws"];

impl Account {
    pub fn region(&self) -> &str {
        self.config.region().map(Region::as_ref).unwrap_or_default()
    }

    /// The only certificate authorities to trust, in PEM. `None` for those of the system.
    pub fn roots(&self) -> Option<&str> {
        self.roots.as_deref()
    }

    /// An environment variable. `None` if it is empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.optional(name)
    }

    pub fn cognito(&self) -> aws_sdk_cognitoidentityprovider::Client {
        aws_sdk_cognitoidentityprovider::Client::new(&self.config)
    }

    pub fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        aws_sdk_cloudformation::Client::new(&self.config)
    }

    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.config)
    }

    pub fn cloudwatch(&self) -> aws_sdk_cloudwatch::Client {
        aws_sdk_cloudwatch::Client::new(&self.config)
    }

    pub fn cloudwatch_logs(&self) -> aws_sdk_cloudwatchlogs::Client {
        aws_sdk_cloudwatchlogs::Client::new(&self.config)
    }

    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    /// SUSPENDED_EMAIL_KEY. `None` if it is not set.
    pub fn suspended_email_key(&self) -> Result<Option<SuspendedEmailKey>> {
        SuspendedEmailKey::from_environment(&self.environment)
            .map_err(|error| CommandError::invalid_input(error.to_string()))
    }

    /// Name of the operator: the variable USER.
    pub fn operator(&self) -> &str {
        self.environment.optional("USER").unwrap_or("replay")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_urls_have_a_scheme_and_a_host() {
        for url in ["http://127.0.0.1:4566", "https://sqs.example.com/path", "http://[::1]:4566"] {
            assert!(parse_endpoint_url(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "foo",
            "http://",
            "http:///path",
            "http://[::1",
            "http:// x",
            "http://a\rb",
            "ftp://example.com",
        ] {
            assert!(parse_endpoint_url(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn variables_that_the_sdk_cannot_use_are_rejected() {
        let check = |name: &str, value: &str| {
            let environment: Environment = [(name.to_owned(), value.to_owned())].into_iter().collect();
            check_variables(&environment).is_ok()
        };
        assert!(
            check("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:4566") && check("AWS_ACCESS_KEY_ID", "EXAMPLE")
        );
        assert!(!check("AWS_ENDPOINT_URL", "") && !check("AWS_ENDPOINT_URL_SQS", "foo"));
        assert!(!check("AWS_ACCESS_KEY_ID", "EXAMPLE\r"));
    }

    #[test]
    fn region_name_has_words_and_a_number() {
        for name in ["us-east-1", "us-gov-west-1", "cn-north-1", "ap-southeast-5", "local", "eu-isoe-west-1"]
        {
            assert!(is_region(name), "{name}");
        }
        for name in [
            "us east",
            "us-east-1 ",
            "US-EAST-1",
            "us--east",
            "-",
            "",
            "us_east_1",
            "eu-central-1.example.com",
            "é",
        ] {
            assert!(!is_region(name), "{name}");
        }
    }

    #[test]
    fn region_is_part_of_an_arn_and_of_an_aws_url() {
        for (queue, region) in [
            ("user-events", None),
            ("arn:aws:sqs:us-east-1:123456789012:user-events", Some("us-east-1")),
            ("arn:aws-cn:sqs:cn-north-1:123456789012:user-events", Some("cn-north-1")),
            ("https://sqs.us-east-1.amazonaws.com/123456789012/user-events", Some("us-east-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/user-events", Some("cn-north-1")),
            ("https://sqs.us-east-1.api.aws/123456789012/user-events", Some("us-east-1")),
            ("https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/user-events", Some("us-gov-west-1")),
            ("https://sqs-fips.us-east-1.api.aws/123456789012/user-events", Some("us-east-1")),
            ("https://eu-west-1.queue.amazonaws.com/123456789012/user-events", Some("eu-west-1")),
            ("https://queue.amazonaws.com/123456789012/user-events", Some("us-east-1")),
            ("https://vpce-0a1b-2c3d.sqs.eu-west-1.vpce.amazonaws.com/1/user-events", Some("eu-west-1")),
            ("https://sqs.cn-north-1.api.amazonwebservices.com.cn/1/user-events", Some("cn-north-1")),
            ("http://sqs.us-east-1.amazonaws.com:80/1/user-events", Some("us-east-1")),
            ("https://sqs.us-east-1.amazonaws.com.example.com/1/user-events", None),
            ("http://127.0.0.1:4566/123456789012/user-events", None),
            ("https://sqs.example.com/user-events", None),
        ] {
            assert_eq!(region_of(queue), region, "{queue}");
        }
    }
}
