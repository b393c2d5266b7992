//! Sending to SQS queues, and giving messages back with a delay.

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
use tokio::time::timeout;

use crate::aws;
use crate::events::Event;
use crate::telemetry::chain;

/// Message attribute of a dead letter: the code of the reason.
pub const ERROR_TYPE: &str = "error.type";
/// Message attribute of a dead letter: one sentence about the reason. It quotes nothing of the body.
pub const ERROR_MESSAGE: &str = "error.message";
/// SQS: 10 entries in a batch.
pub const MAX_BATCH_ENTRIES: usize = 10;
/// SQS: a batch has at most 1 MiB, and so has a message, attributes included.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// SQS: a message has at most 10 attributes.
pub const MAX_ATTRIBUTES: usize = 10;
/// SQS: a message group id has at most 128 characters.
const MAX_GROUP_ID_CHARS: usize = 128;
/// Batches under way at once.
const CALLS_IN_FLIGHT: usize = 8;

/// A queue to send to.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
    sends_again: bool,
}

/// A message to send.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The body.
    pub body: String,
    /// The message attributes.
    pub attributes: Vec<(String, MessageAttributeValue)>,
    /// SQS fair queues: one flooding group does not delay the others.
    pub group_id: Option<String>,
    /// FIFO queues alone: a second message with it within five minutes is swallowed.
    pub deduplication_id: Option<String>,
    /// X-Ray's trace of what caused it.
    pub trace_header: Option<String>,
}

impl Message {
    /// What SQS counts against [`MAX_BATCH_BYTES`]: body, and names, types and values of the attributes.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let string = value.string_value().map_or(0, str::len);
            let binary = value.binary_value().map_or(0, |value| value.as_ref().len());
            name.len() + value.data_type().len() + string + binary
        });
        self.body.len() + attributes.sum::<usize>()
    }
}

impl From<&Event> for Message {
    fn from(event: &Event) -> Self {
        let group_id = Some(event.subject.to_string()).filter(|id| is_group_id(id));
        Self { body: event.to_json(), group_id, ..Self::default() }
    }
}

impl Message {
    /// As an entry of a batch. Errors name what is missing.
    fn entry(self, id: usize) -> Result<SendMessageBatchRequestEntry, BuildError> {
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

/// SQS: a group id (and a deduplication id) is made of at most 128 ASCII letters, digits and punctuation.
pub fn is_group_id(text: &str) -> bool {
    (1..=MAX_GROUP_ID_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A call to SQS that failed, or one message that SQS refused.
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
            let is_refused = error.raw_response().is_some_and(|answer| answer.status().is_client_error());
            let is_throttled = is_refused && error.code().is_some_and(|code| code.contains("Throttl"));
            Self { operation, is_refused, is_throttled, cause: aws::cause(&error).into() }
        }
    }

    /// Whether SQS took nothing of it for certain: it said so. Otherwise nobody knows. (Of a queue [`Queue::without_retries`]:
    /// an attempt before the last one may have been served.)
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Whether SQS took nothing of it, and will when asked more slowly.
    pub fn is_throttled(&self) -> bool {
        self.is_throttled
    }
}

/// What became of a batch, by the indexes of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Accepted.
    pub accepted: Vec<usize>,
    /// Refused for certain, with SQS's word for it.
    pub refused: BTreeMap<usize, String>,
}

impl Queue {
    /// The queue at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into(), sends_again: true }
    }

    /// The same queue, where the SDK does not send again by itself: after a reply that is lost it would, and a message would
    /// come twice without a word.
    pub fn without_retries(self) -> Self {
        Self { sends_again: false, ..self }
    }

    /// Opens the connection, so that the first message does not pay for it. Whether the call succeeds does
    /// not matter.
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

    /// Sends messages in as few calls as SQS allows, and gives up after `patience`. Answers for each message, in
    /// their order, whether SQS accepted it for certain.
    pub async fn send_batch(&self, messages: Vec<Message>, patience: Duration) -> Vec<bool> {
        let mut accepted = vec![false; messages.len()];
        let calls = stream::iter(batches(messages)).map(|batch| self.send_entries(batch));
        let sent = within(patience, calls, |indexes| {
            for index in indexes {
                if let Some(accepted) = accepted.get_mut(index) {
                    *accepted = true;
                }
            }
        });
        if !sent.await {
            tracing::warn!(error_type = "deadline", "no time left to send messages");
        }
        accepted
    }

    /// Sends one batch. Answers with the indexes of what SQS accepted.
    async fn send_entries(&self, batch: Vec<(usize, Message)>) -> Vec<usize> {
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

    /// Sends one of [`batches`], in one call. After an error nobody knows: SQS may have accepted some of it.
    pub async fn try_send(&self, batch: Vec<(usize, Message)>) -> Result<Sent, QueueError> {
        const OPERATION: &str = "SendMessageBatch";
        let entries = batch.into_iter().map(|(index, message)| message.entry(index));
        let entries = entries.collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| QueueError {
            operation: OPERATION,
            is_refused: true,
            is_throttled: false,
            cause: error.into(),
        })?;
        let call = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let output = if self.sends_again {
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

    /// Sets when messages of this queue become visible again: `(receipt handle, delay)`, and gives up after
    /// `patience`. What fails is logged and comes back after the queue's own visibility time-out. Answers for how many
    /// messages it failed.
    pub async fn delay(&self, receipts: Vec<(String, Duration)>, patience: Duration) -> usize {
        let calls = receipts.chunks(MAX_BATCH_ENTRIES).map(|batch| self.delay_entries(batch));
        let mut delayed = 0;
        if !within(patience, stream::iter(calls), |count| delayed += count).await {
            tracing::warn!(error_type = "deadline", "no time left to change the visibility");
        }
        receipts.len() - delayed
    }

    /// Answers how many were changed.
    async fn delay_entries(&self, batch: &[(String, Duration)]) -> usize {
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
                // Its visibility time-out is over: the message is visible already.
                let (visible, failed): (Vec<_>, Vec<_>) =
                    output.failed().iter().partition(|entry| entry.code().ends_with("MessageNotInflight"));
                for entry in failed {
                    let code = entry.code();
                    tracing::warn!(error_type = "delay_refused", code, "visibility not changed");
                }
                output.successful().len() + visible.len()
            }
            Err(error) => {
                let cause = aws::cause(&error);
                tracing::warn!(error_type = "delay_failed", cause, "visibility not changed");
                0
            }
        }
    }
}

/// Makes calls, some of them at once, and hands over what each answers. Answers whether all were made within
/// `patience`; what was under way then is dropped.
async fn within<C: Future>(
    patience: Duration,
    calls: impl Stream<Item = C>,
    mut answered: impl FnMut(C::Output),
) -> bool {
    let all = calls.buffer_unordered(CALLS_IN_FLIGHT).for_each(|answer| {
        answered(answer);
        std::future::ready(())
    });
    timeout(patience, all).await.is_ok()
}

/// Splits messages into batches that SQS accepts, each message with its index. A message that is too large by
/// itself gets a batch of its own, for SQS to refuse.
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
    fn batches_keep_to_ten_entries_and_one_mebibyte() {
        let sizes = |batches: Vec<Vec<(usize, Message)>>| batches.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(batches(messages(&[1; 21]))), [10, 10, 1]);
        assert_eq!(sizes(batches(messages(&[600_000, 400_000, 100_000]))), [2, 1]);
        assert_eq!(sizes(batches(messages(&[2_000_000, 1]))), [1, 1]);
        assert_eq!(sizes(batches(messages(&[]))), [] as [usize; 0]);
    }

    #[test]
    fn a_group_id_is_what_sqs_accepts() {
        assert!(is_group_id("domain:example.com"));
        assert!(!is_group_id(""));
        assert!(!is_group_id("José"));
        assert!(!is_group_id(&"a".repeat(129)));
    }
}
