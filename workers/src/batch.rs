//! From SQS records to events, and back to a partial batch response.
//!
//! Bodies are parsed one by one: one bad body never fails the batch. What can never succeed is sent to the
//! dead-letter queue at once, with its reason, and acknowledged; where it cannot be parked, it is reported as
//! failed, and SQS parks it in its own time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use jiff::Timestamp;
use shared::events::{Event, InvalidEvent};
use shared::queues::{ERROR_MESSAGE, ERROR_TYPE, MAX_ATTRIBUTES, MAX_BATCH_BYTES, Message, Queue, backoff};
use shared::telemetry::Metrics;

use shared::deadline::Deadline;

/// The sentence has at most this many characters.
const MAX_ERROR_MESSAGE_CHARS: usize = 256;
/// Parking is given up after this time: messages that can succeed must not wait for a dead-letter queue that hangs.
const PARKING_PATIENCE: Duration = Duration::from_secs(10);
/// What is left for the answer to Lambda.
const ANSWER_SECONDS: i64 = 1;

/// A batch that fails as a whole: SQS delivers all of it again.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A failed record has no message id. An empty id in the response would fail the batch too, silently.
    #[error("a record that must come again has no messageId")]
    NoMessageId,
}

/// Why a message can never succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A stable word.
    pub error_type: &'static str,
    /// What to do about it. Quotes nothing of the body.
    pub message: String,
}

impl Rejection {
    /// A message of a type that has no business on this queue.
    pub fn wrong_queue(event: &Event) -> Self {
        let message = format!("{} does not belong on this queue", event.data.event_type());
        Self { error_type: "wrong_queue", message }
    }
}

impl From<InvalidEvent> for Rejection {
    fn from(error: InvalidEvent) -> Self {
        Self { error_type: error.error_type(), message: error.to_string() }
    }
}

/// A batch of messages in work: what becomes of each.
pub struct Batch {
    messages: Vec<SqsMessage>,
    failed: BTreeSet<usize>,
    delayed: BTreeMap<usize, Duration>,
}

impl Batch {
    /// The batch of an invocation.
    pub fn new(event: SqsEvent) -> Self {
        Self { messages: event.records, failed: BTreeSet::new(), delayed: BTreeMap::new() }
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The body of a message; empty where it has none.
    pub fn body(&self, index: usize) -> &str {
        self.messages.get(index).and_then(|message| message.body.as_deref()).unwrap_or_default()
    }

    /// SQS's id of a message. Good for a response, never for recognising a message: a redrive changes it.
    pub fn message_id(&self, index: usize) -> &str {
        self.messages.get(index).and_then(|message| message.message_id.as_deref()).unwrap_or_default()
    }

    /// When a message was sent.
    pub fn sent_at(&self, index: usize) -> Option<Timestamp> {
        let millis = self.messages.get(index)?.attributes.get("SentTimestamp")?.parse().ok()?;
        Timestamp::from_millisecond(millis).ok()
    }

    fn receive_count(&self, index: usize) -> u32 {
        let count = self.messages.get(index).and_then(|m| m.attributes.get("ApproximateReceiveCount"));
        count.and_then(|count| count.parse().ok()).unwrap_or(1)
    }

    /// Whether a message was reported as failed.
    pub fn has_failed(&self, index: usize) -> bool {
        self.failed.contains(&index)
    }

    /// Reports messages as failed: they come again after the queue's visibility time-out.
    pub fn fail(&mut self, indexes: impl IntoIterator<Item = usize>) {
        self.failed.extend(indexes);
    }

    /// Reports messages as failed, to come again after a delay that doubles with each receive.
    pub fn fail_with_backoff(
        &mut self,
        indexes: impl IntoIterator<Item = usize>,
        first: Duration,
        longest: Duration,
    ) {
        for index in indexes {
            let delay = backoff(first, longest, self.receive_count(index), fastrand::f64());
            self.fail_for([index], delay);
        }
    }

    /// Sends messages that can never succeed to the dead-letter queue, each with its reason.
    pub async fn park(
        &mut self,
        rejections: Vec<(usize, Rejection)>,
        dead_letters: &Queue,
        metrics: &Metrics,
        deadline: &Deadline,
    ) {
        let mut parked = Vec::new();
        let mut messages = Vec::new();
        for (index, rejection) in rejections {
            match self.parked_message(index, &rejection) {
                Some(message) => {
                    messages.push(message);
                    parked.push((index, rejection));
                }
                // Ten attributes already, or too large with two more: SQS moves it when its receives are used up.
                None => self.fail([index]),
            }
        }
        let patience = PARKING_PATIENCE.min(deadline.until(ANSWER_SECONDS));
        let accepted = dead_letters.send_batch(messages, patience).await;
        for ((index, rejection), accepted) in parked.into_iter().zip(accepted) {
            if accepted {
                let error_type = rejection.error_type;
                tracing::warn!(error_type, message_id = self.message_id(index), "message parked");
                metrics.count_by(Some(("reason", error_type)), &[("MessagesDeadLettered", 1)]);
            } else {
                self.fail([index]);
            }
        }
    }

    fn parked_message(&self, index: usize, rejection: &Rejection) -> Option<Message> {
        let record = self.messages.get(index)?;
        let mut attributes: Vec<(String, MessageAttributeValue)> = Vec::new();
        for (name, attribute) in &record.message_attributes {
            // A message that was parked before and brought back gets its new reason.
            if name == ERROR_TYPE || name == ERROR_MESSAGE {
                continue;
            }
            let value = MessageAttributeValue::builder()
                .data_type(attribute.data_type.clone().unwrap_or_else(|| "String".to_owned()))
                .set_string_value(attribute.string_value.clone())
                .set_binary_value(attribute.binary_value.as_ref().map(|value| Blob::new(value.0.clone())))
                .build()
                .ok()?;
            attributes.push((name.clone(), value));
        }
        let sentence: String = rejection.message.chars().take(MAX_ERROR_MESSAGE_CHARS).collect();
        for (name, text) in [(ERROR_TYPE, rejection.error_type), (ERROR_MESSAGE, &sentence)] {
            let value =
                MessageAttributeValue::builder().data_type("String").string_value(text).build().ok()?;
            attributes.push((name.to_owned(), value));
        }
        let message = Message {
            body: self.body(index).to_owned(),
            attributes,
            group_id: record.attributes.get("MessageGroupId").cloned(),
            trace_header: record.attributes.get("AWSTraceHeader").cloned(),
            ..Message::default()
        };
        let fits = message.attributes.len() <= MAX_ATTRIBUTES && message.bytes() <= MAX_BATCH_BYTES;
        // SQS takes no empty body.
        (fits && !message.body.is_empty()).then_some(message)
    }

    /// Reports messages as failed, to come again after `delay`.
    pub fn fail_for(&mut self, indexes: impl IntoIterator<Item = usize>, delay: Duration) {
        for index in indexes {
            self.delayed.insert(index, delay);
            self.failed.insert(index);
        }
    }

    /// Sets the delays and answers Lambda.
    pub async fn finish(self, queue: &Queue, deadline: &Deadline) -> Result<SqsBatchResponse, BatchError> {
        let receipt =
            |index: usize| self.messages.get(index).and_then(|message| message.receipt_handle.clone());
        let delays = self.delayed.iter().filter_map(|(index, delay)| Some((receipt(*index)?, *delay)));
        queue.delay(delays.collect(), deadline.until(ANSWER_SECONDS)).await;

        let mut response = SqsBatchResponse::default();
        for index in self.failed.iter().copied() {
            let id = self.message_id(index);
            if id.is_empty() {
                return Err(BatchError::NoMessageId);
            }
            // The same message may be in a batch twice.
            if response.batch_item_failures.iter().any(|failure| failure.item_identifier == id) {
                continue;
            }
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id.to_owned();
            response.batch_item_failures.push(failure);
        }
        Ok(response)
    }
}
