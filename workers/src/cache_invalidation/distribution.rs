//! Calls CloudFront's CreateInvalidation, and classifies its errors.

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

/// Timeout of one call to CloudFront. A call with 1,000 items can take seconds.
pub const CLOUDFRONT_SECONDS: i64 = 15;

/// The distribution whose cached pages are invalidated.
#[derive(Clone, Debug)]
pub struct Distribution {
    client: Client,
    id: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum InvalidationError {
    /// CloudFront has too many invalidations in progress, or too many calls. A later call can
    /// succeed.
    #[error("CloudFront has no capacity")]
    NoRoom(#[source] Cause),
    /// For example access denied, an unknown distribution or an invalid item. An operator must act.
    #[error("CloudFront refused the invalidation")]
    Refused(#[source] Cause),
    /// CloudFront did not answer, or the answer does not show whether it made the invalidation.
    #[error("CloudFront did not answer")]
    Unanswered(#[source] Cause),
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl InvalidationError {
    /// The stable code: log field `error_type`, and dimension `reason` of InvalidationsFailed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRoom(_) => "no_room",
            Self::Refused(_) => "refused",
            Self::Unanswered(_) => "unanswered",
        }
    }

    fn from_sdk(error: SdkError<CreateInvalidationError, HttpResponse>) -> Self {
        /// AWS codes of calls that can succeed later.
        const LATER: [&str; 4] = [
            "TooManyInvalidationsInProgress",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ];
        let code = error.code().map(str::to_owned);
        // After a server error, CloudFront may have made the invalidation, whatever the code of the
        // error.
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
    pub fn new(client: Client, id: String) -> Self {
        Self { client, id }
    }

    /// Invalidates items, and returns the time at which CloudFront created the invalidation. If a
    /// call with the same reference and items was made before, CloudFront returns that
    /// invalidation, free of charge.
    ///
    /// There are no retries: after a second attempt, a refusal would not prove that the first
    /// attempt did nothing. SQS redelivers the messages instead. The exception is a server
    /// certificate that the client does not trust yet: the request was not sent, and the second
    /// attempt trusts the system's certificates.
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
        let timeout = Duration::from_secs(CLOUDFRONT_SECONDS.unsigned_abs());
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(timeout).operation_timeout(timeout);
        let once = aws_sdk_cloudfront::config::Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build());
        let attempt = || call.clone().customize().config_override(once.clone()).send();
        let output = match attempt().await {
            Err(error) if is_untrusted(&error) => attempt().await,
            output => output,
        };
        let output = output.map_err(InvalidationError::from_sdk)?;
        let created = output.invalidation.and_then(|invalidation| invalidation.create_time.to_millis().ok());
        Ok(created.and_then(|millis| Timestamp::from_millisecond(millis).ok()))
    }
}

/// CloudFront's CallerReference: a hash of the message ids and items. A redelivery whose first call
/// got no answer has the same reference, so it is not paid twice. Another message about the same
/// items has another reference, so it is a new invalidation.
///
/// So have the same messages after a suspension, reinstatement or erasure (`security_changes`):
/// CloudFront would return the invalidation of an earlier delivery, which does not cover pages that
/// were cached after it.
pub fn caller_reference<'a>(
    message_ids: impl Iterator<Item = &'a str>,
    items: &[String],
    security_changes: impl Iterator<Item = Timestamp>,
) -> String {
    let mut parts: Vec<&str> = message_ids.collect();
    parts.sort_unstable();
    let mut items: Vec<&str> = items.iter().map(String::as_str).collect();
    items.sort_unstable();
    parts.push("");
    parts.extend(items);
    let mut times: Vec<String> = security_changes.map(|at| at.as_millisecond().to_string()).collect();
    times.sort_unstable();
    parts.extend(times.iter().map(String::as_str));
    let hash = Sha256::digest(parts.join("\n").as_bytes());
    hash.iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_reference_depends_on_messages_and_items_but_not_on_their_order() {
        let items = |items: [&str; 2]| items.map(str::to_owned);
        let caller_reference = |ids: std::array::IntoIter<&'static str, 2>, items: &[String]| {
            super::caller_reference(ids, items, std::iter::empty())
        };
        let reference = caller_reference(["a", "b"].into_iter(), &items(["#user:x", "#user:y"]));
        assert_eq!(reference.len(), 40);
        assert_eq!(reference, caller_reference(["b", "a"].into_iter(), &items(["#user:y", "#user:x"])));
        assert_ne!(reference, caller_reference(["a", "c"].into_iter(), &items(["#user:x", "#user:y"])));
        assert_ne!(reference, caller_reference(["a", "b"].into_iter(), &items(["#user:x", "#user:z"])));
    }

    #[test]
    fn messages_have_another_reference_after_a_suspension() {
        let items = ["#user:x".to_owned()];
        let at = |second| Timestamp::from_second(second).unwrap();
        let reference = |times: &[i64]| {
            caller_reference(["a"].into_iter(), &items, times.iter().map(|second| at(*second)))
        };
        assert_eq!(reference(&[1, 2]), reference(&[2, 1]));
        assert_ne!(reference(&[]), reference(&[1]));
        assert_ne!(reference(&[1]), reference(&[2]));
    }
}
