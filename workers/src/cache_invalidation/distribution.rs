//! CloudFront's CreateInvalidation, and what its errors mean.

use std::time::Duration;

use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::config::http::HttpResponse;
use aws_sdk_cloudfront::config::retry::RetryConfig;
use aws_sdk_cloudfront::config::timeout::TimeoutConfig;
use aws_sdk_cloudfront::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudfront::operation::create_invalidation::CreateInvalidationError;
use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use shared::aws::trust::is_untrusted;

/// A call to CloudFront has ended after this time: a thousand items may take it a while.
pub const CLOUDFRONT_SECONDS: i64 = 15;

/// A distribution whose entries can be evicted.
#[derive(Clone, Debug)]
pub struct Distribution {
    client: Client,
    id: String,
}

/// Why nothing was invalidated, as far as is known.
#[derive(Debug, thiserror::Error)]
pub enum InvalidationError {
    /// Too many invalidations in progress, or too many calls: there may be room later.
    #[error("CloudFront has no room")]
    NoRoom(#[source] Cause),
    /// Access denied, no such distribution, an item that CloudFront does not take: somebody must look.
    #[error("CloudFront refuses")]
    Refused(#[source] Cause),
    /// No answer, or one that says nothing. It may have been done.
    #[error("CloudFront did not answer")]
    Unanswered(#[source] Cause),
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl InvalidationError {
    /// A stable word.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::NoRoom(_) => "no_room",
            Self::Refused(_) => "refused",
            Self::Unanswered(_) => "unanswered",
        }
    }

    fn from_sdk(error: SdkError<CreateInvalidationError, HttpResponse>) -> Self {
        /// Codes that mean "later". The SDK retries throttling by itself, but not the first of these.
        const LATER: [&str; 4] = [
            "TooManyInvalidationsInProgress",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ];
        let code = error.code().map(str::to_owned);
        // A server that failed may have done it all the same, whatever it calls its failure.
        let server_failed = matches!(&error, SdkError::ServiceError(service)
            if service.err().code().is_none() || service.raw().status().is_server_error());
        let answered = matches!(error, SdkError::ServiceError(_));
        let cause = shared::aws::cause(&error).into();
        match code.as_deref() {
            Some(code) if LATER.contains(&code) => Self::NoRoom(cause),
            Some(
                "InternalError" | "InternalFailure" | "ServiceUnavailable" | "ServiceUnavailableException",
            ) => Self::Unanswered(cause),
            _ if answered && !server_failed => Self::Refused(cause),
            _ => Self::Unanswered(cause),
        }
    }
}

impl Distribution {
    /// The distribution with this id.
    pub fn new(client: Client, id: String) -> Self {
        Self { client, id }
    }

    /// Evicts the entries that the items name, and answers when CloudFront took it up. With the same reference
    /// and items it answers with the invalidation that it has made already, free of charge.
    ///
    /// One attempt: after a second one, a refusal would not say that nothing was done. The queue tries again. What was not sent,
    /// because it is trusted from now on only, was no attempt.
    pub async fn invalidate(
        &self,
        items: &[String],
        caller_reference: &str,
    ) -> Result<Option<Timestamp>, InvalidationError> {
        let quantity = i32::try_from(items.len()).unwrap_or(i32::MAX);
        let refuse = |error: aws_sdk_cloudfront::error::BuildError| InvalidationError::Refused(error.into());
        let paths =
            Paths::builder().quantity(quantity).set_items(Some(items.to_vec())).build().map_err(refuse)?;
        let batch = InvalidationBatch::builder().paths(paths).caller_reference(caller_reference);
        let batch = batch.build().map_err(refuse)?;
        let call = self.client.create_invalidation().distribution_id(&self.id).invalidation_batch(batch);
        let patience = Duration::from_secs(CLOUDFRONT_SECONDS.unsigned_abs());
        let patience =
            TimeoutConfig::builder().operation_attempt_timeout(patience).operation_timeout(patience);
        let once = aws_sdk_cloudfront::config::Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(patience.build());
        let attempt = || call.clone().customize().config_override(once.clone()).send();
        let output = match attempt().await {
            Err(error) if is_untrusted(&error) => attempt().await,
            output => output,
        };
        let output = output.map_err(InvalidationError::from_sdk)?;
        let created = output.invalidation.and_then(|made| made.create_time.to_millis().ok());
        Ok(created.and_then(|millis| Timestamp::from_millisecond(millis).ok()))
    }
}

/// A hash of the messages and items: a reply that was lost is not paid twice, and tomorrow's invalidation of
/// the same items is another one.
pub fn caller_reference<'a>(message_ids: impl Iterator<Item = &'a str>, items: &[String]) -> String {
    let mut parts: Vec<&str> = message_ids.collect();
    parts.sort_unstable();
    let mut items: Vec<&str> = items.iter().map(String::as_str).collect();
    items.sort_unstable();
    parts.push("");
    parts.extend(items);
    let hash = Sha256::digest(parts.join("\n").as_bytes());
    hash.iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_follows_from_messages_and_items_in_any_order() {
        let items = |items: [&str; 2]| items.map(str::to_owned);
        let reference = caller_reference(["a", "b"].into_iter(), &items(["#user:x", "#user:y"]));
        assert_eq!(reference.len(), 40);
        assert_eq!(reference, caller_reference(["b", "a"].into_iter(), &items(["#user:y", "#user:x"])));
        assert_ne!(reference, caller_reference(["a", "c"].into_iter(), &items(["#user:x", "#user:y"])));
        assert_ne!(reference, caller_reference(["a", "b"].into_iter(), &items(["#user:x", "#user:z"])));
    }
}
