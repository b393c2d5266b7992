//! One SQS batch: from records to accepted messages, and back to a partial batch response.
//!
//! Every worker handles a batch in the same four steps: [`Batch::new`], [`Batch::accept`], its own
//! work on the accepted messages, and [`Batch::finish`].
//!
//! - Each body is checked separately, so one bad body never fails the batch.
//! - A rejected message is sent to the dead-letter queue with its reason, and then acknowledged. If
//!   that send fails, the message is reported as failed. SQS moves it to the dead-letter queue
//!   after too many receives.
//! - A failed message stays on its queue, and SQS redelivers it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use jiff::Timestamp;
use shared::backoff::backoff;
use shared::config::ConfigError;
use shared::deadline::Deadline;
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::queues::{ERROR_MESSAGE, ERROR_TYPE, MAX_ATTRIBUTES, MAX_BATCH_BYTES, Message, Queue};
use shared::telemetry::Metrics;
use shared::time::Clock;

use crate::rejection::Rejection;

/// Maximum length of the message attribute `error.message`.
const MAX_ERROR_MESSAGE_CHARS: usize = 256;
/// Timeout for sending dead letters. Valid messages must not wait for a dead-letter queue that
/// hangs.
const DEAD_LETTER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time before the deadline that is reserved for the answer to Lambda.
const ANSWER_SECONDS: i64 = 1;

/// Log code, and reason of MessagesOutOfTime.
const TIMEOUT_TOO_SHORT: &str = "timeout_too_short";

/// The whole batch fails, and SQS redelivers all of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Without an id, the response cannot report the record. Lambda treats an empty id as a failure
    /// of the whole batch, and logs no reason.
    #[error("a failed record has no messageId, so the whole batch fails")]
    NoMessageId,
}

/// Dependencies that every worker has.
pub struct BatchContext {
    /// The queue that the worker consumes.
    queue: Queue,
    dead_letters: Queue,
    pub clock: Clock,
    pub metrics: Metrics,
}

impl BatchContext {
    /// `queue_url` is the environment variable that holds the URL of the queue that the worker
    /// consumes.
    pub fn new(function: &FunctionContext, queue_url: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            queue: function.queue(queue_url)?,
            dead_letters: function.queue("DEAD_LETTER_QUEUE_URL")?,
            clock: function.clock.clone(),
            metrics: function.metrics.clone(),
        })
    }
}

/// The messages of one invocation, and which of them failed. A message is identified by its index.
pub struct Batch<'a> {
    context: &'a BatchContext,
    deadline: Deadline,
    messages: Vec<SqsMessage>,
    /// Messages to dead-letter.
    rejections: BTreeMap<usize, Rejection>,
    /// Messages to report as failed.
    failed: BTreeSet<usize>,
    /// True if a new invocation has too little time for one step of the worker.
    timeout_too_short: bool,
    /// The new visibility timeouts of failed messages. Other failed messages keep the timeout of
    /// the queue.
    delays: BTreeMap<usize, Duration>,
}

impl<'a> Batch<'a> {
    /// `deadline` is the time at which Lambda ends the invocation. `step_seconds` is the time that
    /// must be left for the worker to start a step: logs an error if the invocation has too little
    /// time from the beginning. The function's timeout is too short then, and no message can succeed.
    pub fn new(context: &'a BatchContext, event: SqsEvent, deadline: Timestamp, step_seconds: i64) -> Self {
        let deadline = Deadline::new(deadline, context.clock.clone());
        let timeout_too_short = !deadline.leaves(step_seconds);
        if timeout_too_short {
            tracing::error!(
                error_type = TIMEOUT_TOO_SHORT,
                "the function's timeout is too short: set it to at least {} s",
                2 * step_seconds
            );
        }
        Self {
            context,
            deadline,
            timeout_too_short,
            messages: event.records,
            rejections: BTreeMap::new(),
            failed: BTreeSet::new(),
            delays: BTreeMap::new(),
        }
    }

    pub fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Empty if the message has no body.
    pub fn body(&self, index: usize) -> &str {
        self.messages.get(index).and_then(|message| message.body.as_deref()).unwrap_or_default()
    }

    /// SQS's id of a message. It does not identify the message across deliveries, because a redrive
    /// changes it.
    pub fn message_id(&self, index: usize) -> &str {
        self.messages.get(index).and_then(|message| message.message_id.as_deref()).unwrap_or_default()
    }

    pub fn sent_at(&self, index: usize) -> Option<Timestamp> {
        let millis = self.messages.get(index)?.attributes.get("SentTimestamp")?.parse().ok()?;
        Timestamp::from_millisecond(millis).ok()
    }

    fn receive_count(&self, index: usize) -> u32 {
        let count = self.messages.get(index).and_then(|m| m.attributes.get("ApproximateReceiveCount"));
        count.and_then(|count| count.parse().ok()).unwrap_or(1)
    }

    /// Calls `check` with the index of each message. Marks the messages that it rejects as
    /// [`Self::reject`] does, and returns what it made of the others.
    pub fn accept<T>(&mut self, check: impl Fn(&Self, usize) -> Result<T, Rejection>) -> Vec<T> {
        let mut accepted = Vec::with_capacity(self.len());
        for index in 0..self.len() {
            match check(self, index) {
                Ok(item) => accepted.push(item),
                Err(rejection) => self.reject([index], &rejection),
            }
        }
        accepted
    }

    /// Marks messages that [`Self::dead_letter`] or [`Self::finish`] dead-letters. If a message is
    /// rejected twice, the first reason counts.
    pub fn reject(&mut self, indexes: impl IntoIterator<Item = usize>, rejection: &Rejection) {
        for index in indexes {
            self.rejections.entry(index).or_insert_with(|| rejection.clone());
        }
    }

    /// Reports messages as failed. SQS redelivers them after the visibility timeout of the queue.
    pub fn fail(&mut self, indexes: impl IntoIterator<Item = usize>) {
        self.failed.extend(indexes);
    }

    /// True if the message is reported as failed so far.
    pub fn has_failed(&self, index: usize) -> bool {
        self.failed.contains(&index)
    }

    /// Logs and counts `messages` that fail because too little time is left for a step. `what` is the
    /// log message. The caller reports the messages as failed.
    pub fn report_out_of_time(&self, messages: usize, what: &str) {
        let reason = if self.timeout_too_short { TIMEOUT_TOO_SHORT } else { "deadline" };
        tracing::warn!(error_type = "deadline", messages, "{what}");
        let metrics = &self.context.metrics;
        metrics.count_by(Some(("reason", reason)), &[(Metric::MessagesOutOfTime, messages as u64)]);
    }

    /// Reports messages as failed. SQS redelivers them after `delay`.
    pub fn fail_with_delay(&mut self, indexes: impl IntoIterator<Item = usize>, delay: Duration) {
        for index in indexes {
            self.delays.insert(index, delay);
            self.failed.insert(index);
        }
    }

    /// Reports messages as failed. SQS redelivers them after a delay that doubles with each
    /// receive, from `first` up to `longest`.
    pub fn fail_with_backoff(
        &mut self,
        indexes: impl IntoIterator<Item = usize>,
        first: Duration,
        longest: Duration,
    ) {
        for index in indexes {
            let delay = backoff(first, longest, self.receive_count(index), fastrand::f64());
            self.fail_with_delay([index], delay);
        }
    }

    /// Sends the rejected messages to the dead-letter queue, each with its reason.
    pub async fn dead_letter(&mut self) {
        let (mut sent, mut messages) = (Vec::new(), Vec::new());
        for (index, rejection) in std::mem::take(&mut self.rejections) {
            // SQS redelivers a failed message, so it must not become a dead letter as well.
            if self.failed.contains(&index) {
                continue;
            }
            match self.dead_letter_message(index, &rejection) {
                Some(message) => {
                    messages.push(message);
                    sent.push((index, rejection.code()));
                }
                // The message cannot take two more attributes. SQS moves it after too many
                // receives.
                None => {
                    tracing::warn!(
                        error_type = rejection.code(),
                        message_id = self.message_id(index),
                        "message is invalid, and has no room for the reason or no body"
                    );
                    self.fail([index]);
                }
            }
        }
        let timeout = DEAD_LETTER_TIMEOUT.min(self.deadline.until(ANSWER_SECONDS));
        let accepted = self.context.dead_letters.send_batch(messages, timeout).await;
        for ((index, error_type), accepted) in sent.into_iter().zip(accepted) {
            if accepted {
                tracing::warn!(error_type, message_id = self.message_id(index), "message dead-lettered");
                let reason = Some(("reason", error_type));
                self.context.metrics.count_by(reason, &[(Metric::MessagesDeadLettered, 1)]);
            } else {
                self.fail([index]);
            }
        }
    }

    /// The message with its reason as two more attributes. `None` if SQS would refuse it: with more
    /// than ten attributes, if it is too large, or without a body.
    fn dead_letter_message(&self, index: usize, rejection: &Rejection) -> Option<Message> {
        let record = self.messages.get(index)?;
        let mut attributes: Vec<(String, MessageAttributeValue)> = Vec::new();
        for (name, attribute) in &record.message_attributes {
            // A message that was dead-lettered before and redriven gets its new reason.
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
        let sentence: String = rejection.to_string().chars().take(MAX_ERROR_MESSAGE_CHARS).collect();
        for (name, text) in [(ERROR_TYPE, rejection.code()), (ERROR_MESSAGE, &sentence)] {
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
        (fits && !message.body.is_empty()).then_some(message)
    }

    /// Dead-letters the messages that were rejected and not dead-lettered yet, sets the visibility
    /// timeouts of failed messages, and returns the answer to Lambda.
    pub async fn finish(mut self) -> Result<SqsBatchResponse, BatchError> {
        self.dead_letter().await;
        let receipt =
            |index: usize| self.messages.get(index).and_then(|message| message.receipt_handle.clone());
        let delays = self.delays.iter().filter_map(|(index, delay)| Some((receipt(*index)?, *delay)));
        self.context.queue.change_visibility(delays.collect(), self.deadline.until(ANSWER_SECONDS)).await;

        let mut response = SqsBatchResponse::default();
        for index in self.failed.iter().copied() {
            let id = self.message_id(index);
            if id.is_empty() {
                return Err(BatchError::NoMessageId);
            }
            // A batch can contain the same message twice.
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
