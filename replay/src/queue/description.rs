//! Attributes of a queue.

use std::collections::HashMap;

use anyhow::Context;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

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
            dead_letter_queue: attributes.get(&QueueAttributeName::RedrivePolicy).map(|policy| {
                let policy: Value = serde_json::from_str(policy).unwrap_or_default();
                policy.get("deadLetterTargetArn").and_then(Value::as_str).unwrap_or_default().to_owned()
            }),
            visible: count(&attributes, &QueueAttributeName::ApproximateNumberOfMessages),
            invisible: count(&attributes, &QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
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

fn count(attributes: &HashMap<QueueAttributeName, String>, name: &QueueAttributeName) -> usize {
    attributes.get(name).and_then(|count| count.parse().ok()).unwrap_or_default()
}
