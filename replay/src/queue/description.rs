//! The queues of an account: what they say about themselves, and errors that say what to do.

use std::collections::HashMap;
use std::fmt::Debug;

use anyhow::{Context, Result, anyhow};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use crate::error::InvalidInput;

/// SQS: at most so many messages of a queue are invisible at a time.
pub const MAX_IN_FLIGHT: usize = 120_000;

/// A queue, as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueDescription {
    /// Its URL.
    pub url: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it keeps the order of each group.
    pub is_fifo: bool,
    /// The dead-letter queue that its messages go to after too many receives, by ARN.
    pub dead_letter_queue: Option<String>,
    /// About so many messages are visible.
    pub visible: usize,
    /// About so many are invisible: somebody has received them.
    pub invisible: usize,
}

impl QueueDescription {
    /// Asks the queue at `url`.
    pub async fn read(sqs: &Client, url: &str) -> Result<Self> {
        let call = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let attributes = call.send().await.map_err(told("GetQueueAttributes"))?.attributes;
        let attributes = attributes.unwrap_or_default();
        let arn = attributes.get(&QueueAttributeName::QueueArn).context("a queue without an ARN")?;
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

    /// Its name.
    pub fn name(&self) -> &str {
        name(&self.arn)
    }

    /// Refuses a queue that workers read from. To look is to receive, and each of its messages has only so many receives
    /// before it becomes a dead letter.
    pub fn refuse_source_queue(&self) -> Result<()> {
        match &self.dead_letter_queue {
            None => Ok(()),
            Some(arn) => InvalidInput::err(format!(
                "workers read from {}, and a look counts as one of the receives that its messages have; did you mean its \
                 dead-letter queue, {}?",
                self.name(),
                name(arn)
            )),
        }
    }

    /// Standard or FIFO.
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

/// An error of the operation `operation`, with what to do about it.
pub fn told<E, R>(operation: &'static str) -> impl Fn(SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: Debug + 'static,
{
    move |error| anyhow!("{operation}: {}", with_advice(&shared::aws::cause(&error)))
}

/// What AWS or the SDK says, and what to do about it where that is known.
pub fn with_advice(cause: &str) -> String {
    let is = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    let advice = match () {
        () if is(&["ExpiredToken", "RequestExpired"]) => "the credentials have expired: sign in again",
        () if is(&["KmsAccessDenied"]) => "your role may not use the queue's KMS key",
        () if is(&["AccessDenied", "NotAuthorized"]) => {
            "your role may not do this here; the queues of the template take calls of the roles in OperatorArns alone"
        }
        () if is(&["NonExistentQueue", "QueueDoesNotExist"]) => {
            "there is no such queue in this account and region"
        }
        () if is(&[
            "InvalidClientTokenId",
            "UnrecognizedClient",
            "InvalidSignature",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "InvalidAccessKeyId",
        ]) =>
        {
            "AWS does not know these credentials: are they of this account, and whole?"
        }
        () if is(&["ResourceNotFound"]) => "there is no such table or user pool in this account and region",
        () if is(&["no providers in chain provided credentials", "credential provider was not enabled"]) => {
            "no credentials: sign in, or give --profile"
        }
        () if is(&["failed to load credentials", "loading credentials"]) => {
            "the credentials could not be loaded: sign in again, or give another --profile"
        }
        () if is(&["dns error", "failed to lookup", "client error (Connect)"]) => {
            "AWS cannot be reached: is the region or the --endpoint-url right?"
        }
        () => return cause.to_owned(),
    };
    if cause.contains(advice) { cause.to_owned() } else { format!("{cause} ({advice})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do() {
        let table = [
            ("ExpiredTokenException", "sign in again"),
            ("AccessDeniedException", "OperatorArns"),
            ("AWS.SimpleQueueService.NonExistentQueue", "no such queue"),
            ("InvalidClientTokenId", "does not know these credentials"),
        ];
        for (cause, advice) in table {
            let told = with_advice(cause);
            assert!(told.starts_with(cause) && told.contains(advice), "{told}");
        }
        assert_eq!(with_advice("OverLimit"), "OverLimit");
        let once = with_advice("KmsAccessDenied");
        assert_eq!((with_advice(&once), once.contains("KMS key")), (once.clone(), true));
    }
}
