//! Attributes of a queue.

use std::collections::HashMap;

use anyhow::Context;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;
use shared::queues::MAX_BATCH_BYTES;

use crate::aws_error::{Service, aws_error};
use crate::error::{CommandError, Result};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueDescription {
    pub url: String,
    pub arn: String,
    pub is_fifo: bool,
    /// ARN of the queue that SQS moves messages to after too many receives.
    pub dead_letter_queue: Option<String>,
    /// Approximate number of visible messages.
    pub visible: usize,
    /// Approximate number of invisible messages: a consumer has received them.
    pub invisible: usize,
    /// Approximate number of delayed messages: they were sent with a delay that is not over.
    pub delayed: usize,
    /// Longest message that the queue accepts, in bytes, attributes included (MaximumMessageSize).
    pub max_message_bytes: usize,
    /// Time for which the queue keeps a message (MessageRetentionPeriod).
    pub retention_seconds: u64,
    /// The queue's RedriveAllowPolicy says that no queue may use it as a dead-letter queue.
    pub denies_sources: bool,
}

impl QueueDescription {
    /// Reads the attributes of the queue at `url`.
    pub async fn read(sqs: &Client, url: &str) -> Result<Self> {
        let call = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let attributes = call.send().await.map_err(aws_error(Service::Sqs, "GetQueueAttributes"))?.attributes;
        let attributes = attributes.unwrap_or_default();
        let arn =
            attributes.get(&QueueAttributeName::QueueArn).context("SQS returned no ARN of the queue")?;
        Ok(Self {
            url: url.to_owned(),
            arn: arn.clone(),
            is_fifo: attributes.get(&QueueAttributeName::FifoQueue).is_some_and(|value| value == "true"),
            dead_letter_queue: field(&attributes, &QueueAttributeName::RedrivePolicy, "deadLetterTargetArn"),
            visible: count(&attributes, &QueueAttributeName::ApproximateNumberOfMessages),
            invisible: count(&attributes, &QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            delayed: count(&attributes, &QueueAttributeName::ApproximateNumberOfMessagesDelayed),
            max_message_bytes: match count(&attributes, &QueueAttributeName::MaximumMessageSize) {
                0 => MAX_BATCH_BYTES,
                bytes => bytes,
            },
            retention_seconds: count(&attributes, &QueueAttributeName::MessageRetentionPeriod) as u64,
            denies_sources: field(&attributes, &QueueAttributeName::RedriveAllowPolicy, "redrivePermission")
                .is_some_and(|permission| permission == "denyAll"),
        })
    }

    pub fn name(&self) -> &str {
        name(&self.arn)
    }

    /// Rejects a queue that has a dead-letter queue: each receive counts, and after too many of
    /// them SQS moves the message to the dead-letter queue.
    pub fn reject_source_queue(&self) -> Result<()> {
        match &self.dead_letter_queue {
            None => Ok(()),
            Some(arn) => Err(CommandError::invalid_input(format!(
                "{0} has a dead-letter queue, so reading would use up one of the receives that each message has. \
                 Did you mean its dead-letter queue, {1}?",
                self.name(),
                name(arn)
            ))),
        }
    }

    /// `FIFO` or `standard`.
    pub fn kind(&self) -> &'static str {
        if self.is_fifo { "FIFO" } else { "standard" }
    }
}

fn name(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

/// A field of an attribute that is a JSON object. `None` if the queue has no such attribute.
fn field(
    attributes: &HashMap<QueueAttributeName, String>,
    name: &QueueAttributeName,
    field: &str,
) -> Option<String> {
    let policy: Value = serde_json::from_str(attributes.get(name)?).unwrap_or_default();
    Some(policy.get(field).and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn count(attributes: &HashMap<QueueAttributeName, String>, name: &QueueAttributeName) -> usize {
    attributes.get(name).and_then(|count| count.parse().ok()).unwrap_or_default()
}
