//! Lambda's SQS event source mapping, reduced to what the sandbox needs, on the account's time:
//! batches with a window, partial batch failures and visibility timeouts. winterbaume's SQS moves
//! messages to the dead-letter queue.
//!
//! The mapping receives everything that is visible and holds it. [`EventSourceMapping::next_due`]
//! is the time of the next step.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shared::time::plus_seconds;

use super::setup::QueuePair;

/// SQS: ReceiveMessage returns at most 10 messages.
const MAX_RECEIVE: i32 = 10;

/// The event source mapping of one queue.
pub struct EventSourceMapping {
    pub queues: QueuePair,
    /// Maximum number of messages in a batch.
    pub batch_size: usize,
    /// How long the first message of a batch waits for others: delivery delay plus batching window.
    pub window_seconds: i64,
    /// Visibility timeout of a failed message, unless the worker sets another one.
    pub visibility_seconds: i64,
    /// How often each batch is delivered. More than once shows that duplicates do no harm.
    pub deliveries: u32,
    waiting: Vec<Received>,
    invisible: Vec<(Timestamp, String)>,
    /// Time of each message's first receive, by message id.
    first_received: std::collections::HashMap<String, Timestamp>,
}

struct Received {
    since: Timestamp,
    receipt_handle: String,
    record: Value,
}

impl EventSourceMapping {
    pub fn new(queues: QueuePair, batch_size: usize, window_seconds: i64, deliveries: u32) -> Self {
        Self {
            queues,
            batch_size,
            window_seconds,
            visibility_seconds: 180,
            deliveries,
            waiting: Vec::new(),
            invisible: Vec::new(),
            first_received: Default::default(),
        }
    }

    /// Time of the next step: a batch is due, or a message becomes visible. `None`: nothing to do.
    pub fn next_due(&self) -> Option<Timestamp> {
        let batch = self.waiting.iter().map(|message| plus_seconds(message.since, self.window_seconds));
        let full = (self.waiting.len() >= self.batch_size).then_some(Timestamp::MIN);
        let visible = self.invisible.iter().map(|(at, _)| *at);
        batch.chain(full).chain(visible).min()
    }

    /// Receives all messages that are visible at the time `now`.
    pub async fn receive(&mut self, sqs: &Client, now: Timestamp) -> Result<()> {
        let (visible, invisible) =
            std::mem::take(&mut self.invisible).into_iter().partition(|(at, _)| *at <= now);
        self.invisible = invisible;
        for (_, receipt_handle) in visible {
            set_visibility(sqs, &self.queues.url, &receipt_handle, 0).await?;
        }
        loop {
            let call = sqs.receive_message().queue_url(&self.queues.url).max_number_of_messages(MAX_RECEIVE);
            let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
            let output = call.message_attribute_names("All").send().await.context("receiving messages")?;
            let messages = output.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(());
            }
            for message in messages {
                let record = self.record(&message, now)?;
                let receipt_handle = message.receipt_handle.context("a message without a receipt handle")?;
                self.waiting.push(Received { since: now, receipt_handle, record });
            }
        }
    }

    fn record(&mut self, message: &aws_sdk_sqs::types::Message, now: Timestamp) -> Result<Value> {
        let id = message.message_id.clone().context("a message without an id")?;
        let sent_at = *self.first_received.entry(id.clone()).or_insert(now);
        let mut attributes = Map::new();
        for (name, value) in message.attributes.iter().flatten() {
            attributes.insert(name.as_str().to_owned(), Value::from(value.clone()));
        }
        // winterbaume's SQS follows the machine's clock.
        attributes.insert("SentTimestamp".to_owned(), sent_at.as_millisecond().to_string().into());
        let message_attributes: Map<String, Value> = message
            .message_attributes
            .iter()
            .flatten()
            .map(|(name, value)| (name.clone(), attribute(value)))
            .collect();
        Ok(json!({
            "messageId": id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": attributes,
            "messageAttributes": message_attributes,
            "md5OfBody": message.md5_of_body,
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:eu-central-1:123456789012:{}", self.queues.name),
            "awsRegion": "eu-central-1",
        }))
    }

    /// The next batch that is due at the time `now`.
    pub fn take_batch(&mut self, now: Timestamp) -> Option<Delivery> {
        let is_due = self.waiting.len() >= self.batch_size
            || plus_seconds(self.waiting.first()?.since, self.window_seconds) <= now;
        if !is_due {
            return None;
        }
        let count = self.waiting.len().min(self.batch_size);
        let (mut records, mut messages) = (Vec::new(), Vec::new());
        for Received { receipt_handle, record, .. } in self.waiting.drain(..count) {
            let id = record.get("messageId").and_then(Value::as_str).unwrap_or_default().to_owned();
            messages.push((id, receipt_handle));
            records.push(record);
        }
        Some(Delivery { event: json!({ "Records": records }), messages })
    }

    /// Applies the worker's response. Failed messages become visible after the timeout that the
    /// worker set, or after the queue's. All others are deleted. `None`: the invocation failed.
    pub async fn settle(
        &mut self,
        sqs: &Client,
        delivery: Delivery,
        response: Option<SqsBatchResponse>,
        visibility_timeouts: &std::collections::HashMap<String, i64>,
        now: Timestamp,
    ) -> Result<()> {
        let failed: BTreeSet<String> = match &response {
            Some(response) => {
                response.batch_item_failures.iter().map(|item| item.item_identifier.clone()).collect()
            }
            // The invocation failed, so SQS redelivers the whole batch.
            None => delivery.messages.iter().map(|(id, _)| id.clone()).collect(),
        };
        for (id, receipt_handle) in delivery.messages {
            if failed.contains(&id) {
                let timeout =
                    visibility_timeouts.get(&receipt_handle).copied().unwrap_or(self.visibility_seconds);
                self.invisible.push((plus_seconds(now, timeout), receipt_handle));
            } else {
                let call = sqs.delete_message().queue_url(&self.queues.url).receipt_handle(receipt_handle);
                call.send().await.context("deleting a message")?;
            }
        }
        Ok(())
    }
}

/// A batch that a worker is about to receive.
pub struct Delivery {
    event: Value,
    messages: Vec<(String, String)>,
}

impl Delivery {
    /// The event type of each message. Empty if it has none.
    pub fn event_types(&self) -> Vec<String> {
        let records = self.event["Records"].as_array().into_iter().flatten();
        let types = records.map(|record| {
            let body: Value = serde_json::from_str(record["body"].as_str()?).ok()?;
            body["type"].as_str().map(str::to_owned)
        });
        types.map(Option::unwrap_or_default).collect()
    }

    /// The event that Lambda passes to the worker.
    pub fn event(&self) -> Result<SqsEvent> {
        serde_json::from_value(self.event.clone()).context("building the SQS event")
    }
}

async fn set_visibility(sqs: &Client, url: &str, receipt_handle: &str, seconds: i32) -> Result<()> {
    let call = sqs.change_message_visibility().queue_url(url).receipt_handle(receipt_handle);
    call.visibility_timeout(seconds).send().await.context("changing a visibility")?;
    Ok(())
}

fn attribute(value: &MessageAttributeValue) -> Value {
    json!({
        "dataType": value.data_type(),
        "stringValue": value.string_value(),
        "stringListValues": [],
        "binaryListValues": [],
    })
}
