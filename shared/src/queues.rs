//! Sending messages to SQS queues, and changing when received messages become visible again.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue,
    MessageSystemAttributeNameForSends::AwsTraceHeader, MessageSystemAttributeValue, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use futures_util::{Stream, StreamExt, stream};

use crate::aws;
use crate::events::Event;
use crate::telemetry::chain;

/// Message attribute of a dead letter: the code of the rejection.
pub const ERROR_TYPE: &str = "error.type";
/// Message attribute of a dead letter: a sentence about the rejection. It quotes nothing of the
/// body.
pub const ERROR_MESSAGE: &str = "error.message";
/// SQS: a batch has at most 10 entries.
pub const MAX_BATCH_ENTRIES: usize = 10;
/// SQS: a batch has at most 1 MiB, attributes included. A message as well.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// SQS: a message has at most 10 attributes.
pub const MAX_ATTRIBUTES: usize = 10;
/// SQS: a message group id has at most 128 characters.
const MAX_GROUP_ID_CHARS: usize = 128;
/// Maximum number of calls that one operation makes concurrently.
const CALLS_IN_FLIGHT: usize = 8;

#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
    has_retries: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Message {
    pub body: String,
    pub attributes: Vec<(String, MessageAttributeValue)>,
    /// For SQS fair queues: a group with many messages does not delay the other groups.
    pub group_id: Option<String>,
    /// For FIFO queues only: SQS drops a second message with the same id within five minutes.
    pub deduplication_id: Option<String>,
    /// X-Ray trace of the request that caused the message.
    pub trace_header: Option<String>,
}

impl Message {
    /// The size that SQS counts against [`MAX_BATCH_BYTES`]: the body, and the names, types and
    /// values of the attributes.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let string = value.string_value().map_or(0, str::len);
            let binary = value.binary_value().map_or(0, |value| value.as_ref().len());
            name.len() + value.data_type().len() + string + binary
        });
        self.body.len() + attributes.sum::<usize>()
    }

    fn into_entry(self, id: usize) -> Result<SendMessageBatchRequestEntry, BuildError> {
        let trace = self.trace_header.map(|header| {
            let value = MessageSystemAttributeValue::builder().data_type("String").string_value(header);
            value.build().map(|value| [(AwsTraceHeader, value)].into())
        });
        SendMessageBatchRequestEntry::builder()
            .id(id.to_string())
            .message_body(self.body)
            .set_message_attributes(Some(self.attributes.into_iter().collect()))
            .set_message_system_attributes(trace.transpose()?)
            .set_message_group_id(self.group_id)
            .set_message_deduplication_id(self.deduplication_id)
            .build()
    }
}

impl From<&Event> for Message {
    fn from(event: &Event) -> Self {
        let group_id = Some(event.subject.to_string()).filter(|id| is_group_id(id));
        Self { body: event.to_json(), group_id, ..Self::default() }
    }
}

/// SQS: a group id or deduplication id has 1 to 128 ASCII letters, digits and punctuation
/// characters.
pub fn is_group_id(text: &str) -> bool {
    (1..=MAX_GROUP_ID_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A call to SQS that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub struct QueueError {
    operation: &'static str,
    is_refused: bool,
    is_throttled: bool,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl QueueError {
    fn new<E>(operation: &'static str) -> impl Fn(SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        move |error| {
            let is_refused = error.raw_response().is_some_and(|response| response.status().is_client_error());
            let is_throttled = is_refused && error.code().is_some_and(|code| code.contains("Throttl"));
            Self { operation, is_refused, is_throttled, cause: aws::cause(&error).into() }
        }
    }

    /// Whether SQS certainly accepted nothing, because it answered with a client error. If `false`,
    /// SQS may have accepted the messages.
    ///
    /// This holds only for a queue [without retries](Queue::without_retries). Otherwise an earlier
    /// attempt may have succeeded.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Whether SQS accepted nothing because the requests came too fast.
    pub fn is_throttled(&self) -> bool {
        self.is_throttled
    }
}

/// The result of sending a batch, by the indexes of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub accepted: Vec<usize>,
    /// Messages that SQS certainly refused, with the error code.
    pub refused: BTreeMap<usize, String>,
}

impl Queue {
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into(), has_retries: true }
    }

    /// The same queue without the SDK's retries in [`try_send`](Self::try_send).
    ///
    /// If a reply is lost, the SDK would send the messages again, and they would be in the queue
    /// twice without any error.
    pub fn without_retries(self) -> Self {
        Self { has_retries: false, ..self }
    }

    /// Opens the connection, so that the first message does not wait for it. The result of the call
    /// does not matter.
    pub async fn warm_up(&self) {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let _ = call.attribute_names(QueueAttributeName::QueueArn).send().await;
    }

    /// Sends one event.
    pub async fn send(&self, event: &Event) -> Result<(), QueueError> {
        let message = Message::from(event);
        let call = self.client.send_message().queue_url(&self.url).message_body(message.body);
        let call = call.set_message_group_id(message.group_id).send().await;
        call.map(|_| ()).map_err(QueueError::new("SendMessage"))
    }

    /// Sends messages in as few calls as SQS allows, and stops after `timeout`. Returns for each
    /// message, in order, whether SQS certainly accepted it.
    pub async fn send_batch(&self, messages: Vec<Message>, timeout: Duration) -> Vec<bool> {
        let mut accepted = vec![false; messages.len()];
        let calls = stream::iter(batches(messages)).map(|batch| self.send_or_log(batch));
        let is_complete = run_all(timeout, calls, |indexes| {
            for index in indexes {
                if let Some(accepted) = accepted.get_mut(index) {
                    *accepted = true;
                }
            }
        });
        if !is_complete.await {
            tracing::warn!(error_type = "deadline", "timeout while sending messages");
        }
        accepted
    }

    /// Sends one batch, and logs failures. Returns the indexes of the messages that SQS accepted.
    async fn send_or_log(&self, batch: Vec<(usize, Message)>) -> Vec<usize> {
        match self.try_send(batch).await {
            Ok(sent) => {
                for code in sent.refused.values() {
                    tracing::warn!(error_type = "send_refused", code, "message not sent");
                }
                sent.accepted
            }
            Err(error) => {
                let cause = chain(&error);
                tracing::warn!(error_type = "send_failed", cause, "messages not sent");
                Vec::new()
            }
        }
    }

    /// Sends one of [`batches`] in one call. After an error, SQS may have accepted some of the
    /// messages, except if [`is_refused`](QueueError::is_refused).
    pub async fn try_send(&self, batch: Vec<(usize, Message)>) -> Result<Sent, QueueError> {
        const OPERATION: &str = "SendMessageBatch";
        let entries = batch.into_iter().map(|(index, message)| message.into_entry(index));
        let entries = entries.collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| QueueError {
            operation: OPERATION,
            is_refused: true,
            is_throttled: false,
            cause: error.into(),
        })?;
        let call = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let output = if self.has_retries {
            call.send().await
        } else {
            let once = aws_sdk_sqs::Config::builder().retry_config(RetryConfig::disabled());
            call.customize().config_override(once).send().await
        };
        let output = output.map_err(QueueError::new(OPERATION))?;
        let refused = output.failed().iter();
        let refused = refused.filter_map(|entry| Some((entry.id().parse().ok()?, entry.code().to_owned())));
        let accepted = output.successful().iter().filter_map(|entry| entry.id().parse().ok());
        Ok(Sent { accepted: accepted.collect(), refused: refused.collect() })
    }

    /// Sets after which delay received messages become visible again: `(receipt handle, delay)`.
    /// Stops after `timeout`. Returns the number of messages for which it failed. These are logged,
    /// and become visible after the visibility timeout of the queue.
    pub async fn change_visibility(&self, receipts: Vec<(String, Duration)>, timeout: Duration) -> usize {
        let calls = receipts.chunks(MAX_BATCH_ENTRIES).map(|batch| self.change_or_log(batch));
        let mut changed = 0;
        if !run_all(timeout, stream::iter(calls), |count| changed += count).await {
            tracing::warn!(error_type = "deadline", "timeout while changing the visibility of messages");
        }
        receipts.len() - changed
    }

    /// Changes the visibility of one batch, and logs failures. Returns the number of changed
    /// messages.
    async fn change_or_log(&self, batch: &[(String, Duration)]) -> usize {
        let entries = batch.iter().enumerate().map(|(index, (receipt, delay))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(i32::try_from(delay.as_secs()).unwrap_or(i32::MAX))
                .build()
        });
        let Ok(entries) = entries.collect::<Result<Vec<_>, _>>() else { return 0 };
        let call = self.client.change_message_visibility_batch().queue_url(&self.url);
        match call.set_entries(Some(entries)).send().await {
            Ok(output) => {
                // The visibility timeout is over, so the message is visible already.
                let (visible, failed): (Vec<_>, Vec<_>) =
                    output.failed().iter().partition(|entry| entry.code().ends_with("MessageNotInflight"));
                for entry in failed {
                    let code = entry.code();
                    tracing::warn!(error_type = "delay_refused", code, "visibility not changed");
                }
                output.successful().len() + visible.len()
            }
            Err(error) => {
                let cause = aws::cause(&error).to_string();
                tracing::warn!(error_type = "delay_failed", cause, "visibility not changed");
                0
            }
        }
    }
}

/// Makes calls concurrently, and passes each result to `on_result`. Returns whether all calls
/// completed within `timeout`. Calls that did not are dropped.
async fn run_all<C: Future>(
    timeout: Duration,
    calls: impl Stream<Item = C>,
    mut on_result: impl FnMut(C::Output),
) -> bool {
    let all = calls.buffer_unordered(CALLS_IN_FLIGHT).for_each(|result| {
        on_result(result);
        std::future::ready(())
    });
    tokio::time::timeout(timeout, all).await.is_ok()
}

/// Splits messages into batches that SQS accepts, each message with its index. A message above the
/// limit gets a batch of its own, which SQS then refuses.
pub fn batches(messages: Vec<Message>) -> Vec<Vec<(usize, Message)>> {
    let mut batches: Vec<Vec<(usize, Message)>> = Vec::new();
    let mut bytes = 0;
    for (index, message) in messages.into_iter().enumerate() {
        let fits = bytes + message.bytes() <= MAX_BATCH_BYTES;
        match batches.last_mut() {
            Some(batch) if fits && batch.len() < MAX_BATCH_ENTRIES => {
                bytes += message.bytes();
                batch.push((index, message));
            }
            _ => {
                bytes = message.bytes();
                batches.push(vec![(index, message)]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(sizes: &[usize]) -> Vec<Message> {
        sizes.iter().map(|size| Message { body: "x".repeat(*size), ..Message::default() }).collect()
    }

    #[test]
    fn batches_have_at_most_ten_entries_and_one_mebibyte() {
        let sizes = |batches: Vec<Vec<(usize, Message)>>| batches.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(batches(messages(&[1; 21]))), [10, 10, 1]);
        assert_eq!(sizes(batches(messages(&[600_000, 400_000, 100_000]))), [2, 1]);
        assert_eq!(sizes(batches(messages(&[2_000_000, 1]))), [1, 1]);
        assert_eq!(sizes(batches(messages(&[]))), [] as [usize; 0]);
    }

    #[test]
    fn group_id_is_checked_against_the_limits_of_sqs() {
        assert!(is_group_id("domain:example.com"));
        assert!(!is_group_id(""));
        assert!(!is_group_id("José"));
        assert!(!is_group_id(&"a".repeat(129)));
    }
}
