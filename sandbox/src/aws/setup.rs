//! Creates the account's resources. Names, keys and maxReceiveCount are those of template.yaml.

use anyhow::{Context, Result};
use aws_sdk_cloudfront::types::{
    CookiePreference, DefaultCacheBehavior, DistributionConfig, ForwardedValues, ItemSelection, Origin,
    Origins, ViewerProtocolPolicy,
};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_sqs::types::QueueAttributeName;
use shared::store::keys::{PK, SK};

/// Name of the table.
pub const TABLE: &str = "cognito-user-events";

/// A queue and its dead-letter queue.
#[derive(Clone, Debug)]
pub struct QueuePair {
    pub name: &'static str,
    pub url: String,
    pub dead_letter_url: String,
}

pub(super) async fn create_table(client: &aws_sdk_dynamodb::Client) -> Result<()> {
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

pub(super) async fn create_queues(
    client: &aws_sdk_sqs::Client,
    name: &'static str,
    max_receives: u32,
) -> Result<QueuePair> {
    let dead_letters = client.create_queue().queue_name(format!("{name}-dead-letters")).send().await?;
    let dead_letter_url = dead_letters.queue_url.context("a queue without a URL")?;
    let attributes = client.get_queue_attributes().queue_url(&dead_letter_url);
    let attributes = attributes.attribute_names(QueueAttributeName::QueueArn).send().await?;
    let arn = attributes.attributes.unwrap_or_default().remove(&QueueAttributeName::QueueArn);
    let policy = serde_json::json!({
        "deadLetterTargetArn": arn.context("a queue without an ARN")?,
        "maxReceiveCount": max_receives.to_string(),
    });
    // winterbaume's SQS follows the machine's clock. So a received message stays invisible until
    // the event source mapping, which follows the account's time, makes it visible.
    let queue = client
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::RedrivePolicy, policy.to_string())
        .attributes(QueueAttributeName::VisibilityTimeout, "43200")
        .send()
        .await?;
    Ok(QueuePair { name, url: queue.queue_url.context("a queue without a URL")?, dead_letter_url })
}

pub(super) async fn create_distribution(client: &aws_sdk_cloudfront::Client) -> Result<String> {
    let origin = Origin::builder().id("origin").domain_name("origin.example.com").build()?;
    #[expect(deprecated, reason = "winterbaume's CloudFront requires it")]
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
        .caller_reference("sandbox")
        .comment("sandbox")
        .enabled(true)
        .origins(Origins::builder().quantity(1).items(origin).build()?)
        .default_cache_behavior(behavior)
        .build()?;
    let output = client.create_distribution().distribution_config(config).send().await?;
    Ok(output.distribution.context("no distribution")?.id)
}
