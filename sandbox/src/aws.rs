//! An AWS account in memory: a table, the queues with their dead-letter queues, a distribution, user pools. The SDK builds,
//! signs, retries and parses as always; only its HTTP client is ours ([`http_client`]), and hands the requests
//! to winterbaume's services.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use aws_credential_types::Credentials;
use aws_sdk_cloudfront::types::{
    CookiePreference, DefaultCacheBehavior, DistributionConfig, ForwardedValues, ItemSelection, Origin,
    Origins, ViewerProtocolPolicy,
};
use aws_sdk_dynamodb::config::{Region, SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_types::SdkConfig;
use jiff::Timestamp;
use serde_json::Value;
use shared::config::Environment;
use shared::function_context::FunctionContext;
use shared::store::Item;
use shared::store::keys::{PK, SK, STATS};
use shared::telemetry::Metrics;
use shared::time::{Clock, plus_seconds};

pub mod event_source_mapping;
pub mod http_client;

pub use http_client::{Answer, Fault, Faults};
use http_client::{AwsBackend, SandboxHttpClient, SdkHttpClient};

/// The name of the table.
pub const TABLE: &str = "cognito-user-events";

/// A queue and its dead-letter queue.
#[derive(Clone, Debug)]
pub struct QueuePair {
    /// The queue's name.
    pub name: &'static str,
    /// The queue's URL.
    pub url: String,
    /// The dead-letter queue's URL.
    pub dead_letter_url: String,
}

/// The account.
pub struct SandboxAccount {
    http_client: SandboxHttpClient,
    /// Faults to inject.
    pub faults: Faults,
    /// The time that everything in the account goes by.
    pub time: ManualTime,
    /// The queue of all events.
    pub user_events: QueuePair,
    /// The queue of invalidations.
    pub cache_invalidations: QueuePair,
    /// The queue of group changes.
    pub group_memberships: QueuePair,
    distribution_id: String,
    metrics: Arc<Mutex<Vec<String>>>,
}

/// A time that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct ManualTime(Arc<Mutex<Timestamp>>);

impl ManualTime {
    /// Begins at `start`.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves on to `time`; never back.
    pub fn move_to(&self, time: Timestamp) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = time.max(*now);
    }

    /// Moves on by some seconds.
    pub fn advance(&self, seconds: i64) {
        self.move_to(plus_seconds(self.now(), seconds));
    }

    /// A clock that tells this time.
    pub fn clock(&self) -> Clock {
        let time = self.clone();
        Clock::from_fn(move || time.now())
    }
}

impl SandboxAccount {
    /// An empty account, whose time is `start`.
    pub async fn start(start: Timestamp) -> Result<Self> {
        let faults = Faults::default();
        let http_client = SandboxHttpClient::new(faults.clone());
        let config = worker_config(&http_client);
        create_table(&aws_sdk_dynamodb::Client::new(&config)).await?;
        let sqs = aws_sdk_sqs::Client::new(&config);
        let account = Self {
            user_events: create_queues(&sqs, "user-events", 5).await?,
            // Throttling is usual there: more receives before SQS gives up.
            cache_invalidations: create_queues(&sqs, "cache-invalidations", 10).await?,
            group_memberships: create_queues(&sqs, "group-memberships", 5).await?,
            distribution_id: create_distribution(&aws_sdk_cloudfront::Client::new(&config)).await?,
            http_client,
            faults,
            time: ManualTime::starting_at(start),
            metrics: Arc::default(),
        };
        account.faults.forget_calls();
        Ok(account)
    }

    /// What the function `name` is built from: the account's names, and `variables` on top.
    pub fn function(&self, name: &'static str, variables: &BTreeMap<String, String>) -> FunctionContext {
        let (is_worker, dead_letters) = match name {
            "user-stats" => (true, Some(&self.user_events)),
            "cache-invalidation" => (true, Some(&self.cache_invalidations)),
            "group-membership" => (true, Some(&self.group_memberships)),
            _ => (false, None),
        };
        let mut environment = BTreeMap::from([
            ("TABLE_NAME", TABLE.to_owned()),
            ("USER_EVENTS_QUEUE_URL", self.user_events.url.clone()),
            ("CACHE_INVALIDATIONS_QUEUE_URL", self.cache_invalidations.url.clone()),
            ("GROUP_MEMBERSHIPS_QUEUE_URL", self.group_memberships.url.clone()),
            ("DISTRIBUTION_ID", self.distribution_id.clone()),
            ("PRODUCT_NAME", "Example".to_owned()),
        ]);
        if let Some(queues) = dead_letters {
            environment.insert("DEAD_LETTER_QUEUE_URL", queues.dead_letter_url.clone());
        }
        let given = variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        let own = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
        let environment: Environment = own.chain(given).collect();
        let aws = if is_worker {
            worker_config(&self.http_client)
        } else {
            shared::aws::trigger_settings(sdk_config(self.http_client.clone()))
        };
        let clock = self.time.clock();
        let lines = self.metrics.clone();
        let metrics = Metrics::new(name, clock.clone(), move |line| {
            tracing::info!(metrics = line);
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        });
        FunctionContext { environment, aws, clock, metrics }
    }

    /// A client of the account's SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&worker_config(&self.http_client))
    }

    /// A client of the account's DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&worker_config(&self.http_client))
    }

    /// The HTTP client under the SDK, to serve the account to other processes.
    pub fn http_client(&self) -> &SandboxHttpClient {
        &self.http_client
    }

    /// The distribution.
    pub fn distribution_id(&self) -> &str {
        &self.distribution_id
    }

    /// Adds up all counts of a metric, by the value of its dimension `reason` (empty where it has none).
    pub fn counts(&self, metric: &str) -> BTreeMap<String, u64> {
        let lines = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = BTreeMap::new();
        for line in lines.iter() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            if let Some(count) = line.get(metric).and_then(Value::as_u64) {
                let reason = line.get("reason").and_then(Value::as_str).unwrap_or_default();
                *counts.entry(reason.to_owned()).or_default() += count;
            }
        }
        counts
    }

    /// The sum of a metric.
    pub fn count(&self, metric: &str) -> u64 {
        self.counts(metric).into_values().sum()
    }

    /// Every item of the table, as JSON, by partition and sort key.
    pub async fn items(&self) -> Result<BTreeMap<(String, String), Value>> {
        let client = self.dynamodb();
        let mut items = BTreeMap::new();
        let mut start: Option<Item> = None;
        loop {
            let output = client.scan().table_name(TABLE).set_exclusive_start_key(start).send().await?;
            for mut item in output.items.unwrap_or_default() {
                let mut key = |name: &str| match item.remove(name) {
                    Some(AttributeValue::S(key)) => key,
                    _ => String::new(),
                };
                let key = (key(PK), key(SK));
                items.insert(key, serde_dynamo::from_item(item).context("an item is no JSON")?);
            }
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// The statistics of users, by sub, as they are stored.
    pub async fn users(&self) -> Result<BTreeMap<String, Value>> {
        let stats = self.items().await?.into_iter().filter(|((_, sort), _)| sort == STATS);
        Ok(stats.filter_map(|((pk, _), item)| Some((pk.strip_prefix("USER#")?.to_owned(), item))).collect())
    }
}

/// The SDK's configuration of an account that `aws` answers for.
pub fn sdk_config(aws: impl AwsBackend) -> SdkConfig {
    let credentials = Credentials::new("EXAMPLE", "EXAMPLE", None, None, "embedded");
    SdkConfig::builder()
        .behavior_version(shared::aws::behavior_version())
        .http_client(SdkHttpClient(aws))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::new(http_client::REGION))
        .build()
}

fn worker_config(http_client: &SandboxHttpClient) -> SdkConfig {
    shared::aws::worker_settings(sdk_config(http_client.clone()))
}

async fn create_table(client: &aws_sdk_dynamodb::Client) -> Result<()> {
    let mut call = client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    for (name, key_type) in [(PK, KeyType::Hash), (SK, KeyType::Range)] {
        let attribute =
            AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(key_type);
        call = call.attribute_definitions(attribute.build()?).key_schema(key.build()?);
    }
    call.send().await.context("creating the table")?;
    Ok(())
}

async fn create_queues(
    client: &aws_sdk_sqs::Client,
    name: &'static str,
    max_receives: u32,
) -> Result<QueuePair> {
    let dead_letters = client.create_queue().queue_name(format!("{name}-dlq")).send().await?;
    let dead_letter_url = dead_letters.queue_url.context("a queue without a URL")?;
    let attributes = client.get_queue_attributes().queue_url(&dead_letter_url);
    let attributes = attributes.attribute_names(QueueAttributeName::QueueArn).send().await?;
    let arn = attributes.attributes.unwrap_or_default().remove(&QueueAttributeName::QueueArn);
    let policy = serde_json::json!({
        "deadLetterTargetArn": arn.context("a queue without an ARN")?,
        "maxReceiveCount": max_receives.to_string(),
    });
    // The embedded SQS goes by the machine's clock. A message stays invisible until the event source mapping
    // makes it visible, which goes by the account's time.
    let queue = client
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::RedrivePolicy, policy.to_string())
        .attributes(QueueAttributeName::VisibilityTimeout, "43200")
        .send()
        .await?;
    Ok(QueuePair { name, url: queue.queue_url.context("a queue without a URL")?, dead_letter_url })
}

async fn create_distribution(client: &aws_sdk_cloudfront::Client) -> Result<String> {
    let origin = Origin::builder().id("origin").domain_name("origin.example.com").build()?;
    #[expect(deprecated, reason = "the embedded CloudFront wants it")]
    let behavior = DefaultCacheBehavior::builder()
        .target_origin_id("origin")
        .viewer_protocol_policy(ViewerProtocolPolicy::HttpsOnly)
        .min_ttl(0)
        .forwarded_values(
            ForwardedValues::builder()
                .query_string(true)
                .cookies(CookiePreference::builder().forward(ItemSelection::None).build()?)
                .build()?,
        )
        .build()?;
    let config = DistributionConfig::builder()
        .caller_reference("embedded")
        .comment("embedded")
        .enabled(true)
        .origins(Origins::builder().quantity(1).items(origin).build()?)
        .default_cache_behavior(behavior)
        .build()?;
    let output = client.create_distribution().distribution_config(config).send().await?;
    Ok(output.distribution.context("no distribution")?.id)
}
