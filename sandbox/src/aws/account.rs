//! The account: its resources, and the contexts of the functions that use them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_types::SdkConfig;
use jiff::Timestamp;
use serde_json::Value;
use shared::config::Environment;
use shared::function_context::FunctionContext;
use shared::function_id::{FunctionId, FunctionKind};
use shared::store::Item;
use shared::store::keys::{PK, SK, STATS};
use shared::telemetry::Metrics;

use super::backend::SandboxBackend;
use super::call_log::CallLog;
use super::dynamodb_server::DynamoDbServer;
use super::faults::Faults;
use super::manual_time::ManualTime;
use super::sdk_client::sdk_config;
use super::setup::{QueuePair, TABLE, create_distribution, create_queues, create_table};

pub use super::names::{ACCOUNT_ID, USER_POOL_ID, attached_triggers};

/// The app client of the user pool in `events/`.
pub const CLIENT_ID: &str = "1example23456789";
/// The issuer of the user pool's tokens.
pub const ISSUER_URL: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE01";
/// The address of managed login.
pub const LOGIN_URL: &str = "https://login.example.com";

/// An AWS account in memory.
pub struct SandboxAccount {
    backend: SandboxBackend,
    /// Faults that the next requests meet.
    pub faults: Faults,
    /// The requests so far.
    pub calls: CallLog,
    /// The time of everything in the account.
    pub time: ManualTime,
    pub user_events: QueuePair,
    pub cache_invalidations: QueuePair,
    pub group_memberships: QueuePair,
    pub resource_permissions: QueuePair,
    pub account_activities: QueuePair,
    distribution_id: String,
    metrics: Arc<Mutex<Vec<String>>>,
}

impl SandboxAccount {
    /// Creates an account without data, at the time `start`.
    pub async fn start(start: Timestamp) -> Result<Self> {
        let (faults, calls) = (Faults::default(), CallLog::default());
        let backend = SandboxBackend::new(faults.clone(), calls.clone(), DynamoDbServer::from_environment()?);
        let config = worker_config(&backend);
        create_table(&aws_sdk_dynamodb::Client::new(&config)).await?;
        let sqs = aws_sdk_sqs::Client::new(&config);
        let account = Self {
            user_events: create_queues(&sqs, "user-events", 5).await?,
            // CloudFront throttles often, so SQS delivers these messages more often before it gives up.
            cache_invalidations: create_queues(&sqs, "cache-invalidations", 10).await?,
            group_memberships: create_queues(&sqs, "group-memberships", 5).await?,
            resource_permissions: create_queues(&sqs, "resource-permissions", 5).await?,
            account_activities: create_queues(&sqs, "account-activities", 5).await?,
            distribution_id: create_distribution(&aws_sdk_cloudfront::Client::new(&config)).await?,
            backend,
            faults,
            calls,
            time: ManualTime::starting_at(start),
            metrics: Arc::default(),
        };
        account.calls.clear_operations();
        Ok(account)
    }

    pub fn queues(&self) -> [&QueuePair; 5] {
        [
            &self.user_events,
            &self.cache_invalidations,
            &self.group_memberships,
            &self.resource_permissions,
            &self.account_activities,
        ]
    }

    /// The queue that a worker consumes. `None` for a trigger.
    pub fn queue_of(&self, function: FunctionId) -> Option<&QueuePair> {
        self.queues().into_iter().find(|queues| function.queue() == Some(queues.name))
    }

    /// The context of a function: the account's names, and `variables` on top.
    pub fn function(&self, function: FunctionId, variables: &BTreeMap<String, String>) -> FunctionContext {
        let mut environment = BTreeMap::from([
            ("TABLE_NAME", TABLE.to_owned()),
            ("USER_EVENTS_QUEUE_URL", self.user_events.url.clone()),
            ("CACHE_INVALIDATIONS_QUEUE_URL", self.cache_invalidations.url.clone()),
            ("GROUP_MEMBERSHIPS_QUEUE_URL", self.group_memberships.url.clone()),
            ("RESOURCE_PERMISSIONS_QUEUE_URL", self.resource_permissions.url.clone()),
            ("ACCOUNT_ACTIVITIES_QUEUE_URL", self.account_activities.url.clone()),
            ("ACCOUNT_ID", ACCOUNT_ID.to_owned()),
            ("USER_POOL_ID", USER_POOL_ID.to_owned()),
            ("DISTRIBUTION_ID", self.distribution_id.clone()),
            ("PRODUCT_NAME", "Example".to_owned()),
            ("CLIENT_IDS", CLIENT_ID.to_owned()),
            ("ISSUER_URL", ISSUER_URL.to_owned()),
            ("LOGIN_URL", LOGIN_URL.to_owned()),
            ("LAMBDA_CONFIG", attached_triggers().to_string()),
        ]);
        if let Some(queues) = self.queue_of(function) {
            environment.insert("DEAD_LETTER_QUEUE_URL", queues.dead_letter_url.clone());
        }
        let given = variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        let own = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
        let environment: Environment = own.chain(given).collect();
        let aws = match function.kind() {
            FunctionKind::Worker => worker_config(&self.backend),
            FunctionKind::Trigger => shared::aws::trigger_settings(sdk_config(self.backend.clone())),
            FunctionKind::HttpApi => shared::aws::http_api_settings(sdk_config(self.backend.clone())),
            FunctionKind::Scheduled => shared::aws::schedule_settings(sdk_config(self.backend.clone())),
        };
        let clock = self.time.clock();
        let lines = self.metrics.clone();
        let metrics = Metrics::new(function.name(), clock.clone(), move |line| {
            tracing::info!(metrics = line);
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        });
        FunctionContext { environment, aws, clock, metrics }
    }

    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&worker_config(&self.backend))
    }

    pub fn cognito(&self) -> aws_sdk_cognitoidentityprovider::Client {
        aws_sdk_cognitoidentityprovider::Client::new(&worker_config(&self.backend))
    }

    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&worker_config(&self.backend))
    }

    /// What answers the SDK, to serve the account to other processes too.
    pub fn backend(&self) -> &SandboxBackend {
        &self.backend
    }

    pub fn distribution_id(&self) -> &str {
        &self.distribution_id
    }

    /// The sums of a metric, by the value of its dimension `reason`. Empty key: no such dimension.
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

    /// The sum of a metric over all dimensions.
    pub fn count(&self, metric: &str) -> u64 {
        self.counts(metric).into_values().sum()
    }

    /// The values of a measured metric, in order.
    pub fn measurements(&self, metric: &str) -> Vec<f64> {
        let lines = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line.get(metric)?.as_f64()).collect()
    }

    /// Every item of the table as JSON, by partition key and sort key.
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
                items.insert(key, serde_dynamo::from_item(item).context("an item cannot be shown as JSON")?);
            }
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// The STATS item of each user, by sub.
    pub async fn users(&self) -> Result<BTreeMap<String, Value>> {
        let stats = self.items().await?.into_iter().filter(|((_, sort), _)| sort == STATS);
        Ok(stats.filter_map(|((pk, _), item)| Some((pk.strip_prefix("USER#")?.to_owned(), item))).collect())
    }
}

fn worker_config(backend: &SandboxBackend) -> SdkConfig {
    shared::aws::worker_settings(sdk_config(backend.clone()))
}
