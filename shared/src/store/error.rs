//! Why an operation on the table failed.

use std::collections::BTreeSet;
use std::fmt;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;

use crate::backoff::{ConflictRetry, TooManyConflicts};
use crate::metric::Metric;
use crate::telemetry::{Metrics, chain};

/// A DynamoDB operation that failed, or a stored item that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub struct StoreError {
    operation: &'static str,
    kind: StoreErrorKind,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The stored item cannot be understood. Reading it again does not help.
    Unreadable,
    /// The SDK or the serializer refused to build the request. DynamoDB was not called.
    InvalidRequest,
    /// DynamoDB has no capacity for the request at the moment.
    Throttled,
    /// A transaction was in progress on the item.
    Conflict,
    /// The condition of the write was not met.
    ConditionFailed,
    /// Another error code of DynamoDB. `None` if there was no answer, or no code in it.
    Service(Option<String>),
}

impl StoreErrorKind {
    fn from_code(code: Option<&str>) -> Self {
        match code {
            Some("TransactionConflictException") => Self::Conflict,
            Some("ConditionalCheckFailedException") => Self::ConditionFailed,
            Some(
                "ThrottlingException" | "ProvisionedThroughputExceededException" | "RequestLimitExceeded",
            ) => Self::Throttled,
            code => Self::Service(code.map(str::to_owned)),
        }
    }
}

impl StoreError {
    /// Wraps an SDK error of the operation `operation`.
    pub(super) fn from_sdk<E, R>(operation: &'static str) -> impl Fn(SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        move |error| Self {
            operation,
            kind: StoreErrorKind::from_code(error.code()),
            cause: crate::aws::cause(&error).into(),
        }
    }

    pub(super) fn unreadable(
        operation: &'static str,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { operation, kind: StoreErrorKind::Unreadable, cause: Box::new(cause) }
    }

    pub(super) fn invalid_request(
        operation: &'static str,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { operation, kind: StoreErrorKind::InvalidRequest, cause: Box::new(cause) }
    }

    /// For a transaction that DynamoDB canceled for reasons that another attempt does not change.
    pub(super) fn cancelled(operation: &'static str, reasons: &CancellationReasons) -> Self {
        let code = "TransactionCanceledException";
        Self {
            operation,
            kind: StoreErrorKind::Service(Some(code.to_owned())),
            cause: format!("{code}: {reasons}").into(),
        }
    }

    /// For a batch of which DynamoDB processed nothing.
    pub(super) fn throttled(operation: &'static str) -> Self {
        Self { operation, kind: StoreErrorKind::Throttled, cause: "DynamoDB processed no item".into() }
    }

    /// For an operation whose caller stopped waiting.
    pub fn timed_out(operation: &'static str) -> Self {
        Self {
            operation,
            kind: StoreErrorKind::Service(None),
            cause: "DynamoDB did not answer in time".into(),
        }
    }

    pub fn kind(&self) -> &StoreErrorKind {
        &self.kind
    }

    /// Stable code for the log.
    pub fn code(&self) -> &'static str {
        if self.is_unreadable() { "unreadable_item" } else { "store" }
    }

    /// Logs the error, with `what` as the message, and counts it.
    pub fn report(&self, metrics: &Metrics, what: &str) {
        tracing::error!(error_type = self.code(), cause = chain(self), "{what}");
        self.count(metrics);
    }

    /// The same as a warning, for an error that costs at most some work.
    pub fn report_as_warning(&self, metrics: &Metrics, what: &str) {
        tracing::warn!(error_type = self.code(), cause = chain(self), "{what}");
        self.count(metrics);
    }

    /// Counts the failed access to the table in StoreFailures. An unreadable item is not one,
    /// because DynamoDB answered.
    pub fn count(&self, metrics: &Metrics) {
        if !self.is_unreadable() {
            metrics.count(&[(Metric::StoreFailures, 1)]);
        }
    }

    /// Whether the item exists but cannot be understood.
    pub fn is_unreadable(&self) -> bool {
        self.kind == StoreErrorKind::Unreadable
    }

    /// Whether DynamoDB may have made the change although the operation failed, because its answer
    /// is missing.
    pub fn may_have_succeeded(&self) -> bool {
        self.kind == StoreErrorKind::Service(None)
    }

    /// Whether DynamoDB had no capacity for the request, after the SDK's own attempts.
    pub fn is_throttled(&self) -> bool {
        self.kind == StoreErrorKind::Throttled
    }

    pub(super) fn is_conflict(&self) -> bool {
        self.kind == StoreErrorKind::Conflict
    }

    /// The code of the error, for an error that means a conflict.
    pub(super) fn reasons(&self) -> CancellationReasons {
        let code = match &self.kind {
            StoreErrorKind::ConditionFailed => "ConditionalCheckFailedException",
            StoreErrorKind::Conflict => "TransactionConflictException",
            StoreErrorKind::Service(Some(code)) => code,
            _ => "",
        };
        CancellationReasons::from_codes(&[code])
    }

    pub(super) fn is_condition_failed(&self) -> bool {
        self.kind == StoreErrorKind::ConditionFailed
    }
}

/// The codes for the items of a transaction that DynamoDB canceled, in their order: `None` for an item
/// that is no reason. No value for another error.
pub(super) fn cancellation_codes(error: &SdkError<TransactWriteItemsError>) -> Option<Vec<&str>> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            let reasons = cancelled.cancellation_reasons().iter();
            Some(reasons.map(|reason| reason.code().unwrap_or_default()).collect())
        }
        _ => None,
    }
}

/// Why DynamoDB canceled a transaction: the distinct codes of its items, without `None`. No code
/// contains data of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CancellationReasons(BTreeSet<String>);

impl CancellationReasons {
    /// From the codes of all items.
    pub(super) fn from_codes(codes: &[&str]) -> Self {
        let is_reason = |code: &&&str| !code.is_empty() && **code != "None";
        Self(codes.iter().filter(is_reason).map(|code| (*code).to_owned()).collect())
    }
}

impl fmt::Display for CancellationReasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no reason given");
        }
        f.write_str(&self.0.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}

/// Why a commit did not happen. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The events with these indexes are already committed.
    #[error("events are already committed")]
    Duplicates(Vec<usize>),
    /// Another writer committed in between, or is about to. Read again, with strong consistency.
    #[error("another commit came first")]
    Conflict(CancellationReasons),
    /// DynamoDB had no capacity for an item of the transaction. The SDK does not repeat such a
    /// transaction.
    #[error("DynamoDB throttled the transaction")]
    Throttled(CancellationReasons),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a partition's events were not committed, or a user was not erased, after all attempts.
#[derive(Debug, thiserror::Error)]
pub enum CommitFailure {
    #[error("the deadline is too close for another attempt")]
    OutOfTime,
    /// The reasons of the last attempt.
    #[error("{conflicts}: {0}", conflicts = TooManyConflicts)]
    Conflict(CancellationReasons),
    /// The reasons of the last attempt.
    #[error("DynamoDB throttled all {attempts} attempts: {0}", attempts = ConflictRetry::MAX_ATTEMPTS)]
    Throttled(CancellationReasons),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TooManyConflicts> for CommitFailure {
    fn from(_: TooManyConflicts) -> Self {
        Self::Conflict(CancellationReasons::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_item_that_cannot_be_understood_is_unreadable() {
        let cause = || std::io::Error::other("example");
        assert!(StoreError::unreadable("GetItem", cause()).is_unreadable());
        assert!(!StoreError::invalid_request("GetItem", cause()).is_unreadable());
        assert!(!StoreError::throttled("BatchGetItem").is_unreadable());
    }

    #[test]
    fn cancellation_reasons_are_the_distinct_codes() {
        let text = |codes: &[&str]| CancellationReasons::from_codes(codes).to_string();
        assert_eq!(text(&["None", "ThrottlingError", "None", "ThrottlingError"]), "ThrottlingError");
        assert_eq!(text(&["ValidationError", "", "ThrottlingError"]), "ThrottlingError, ValidationError");
        assert_eq!(text(&["None"]), "no reason given");
    }

    #[test]
    fn kind_follows_from_the_error_code() {
        for (code, kind) in [
            (Some("TransactionConflictException"), StoreErrorKind::Conflict),
            (Some("ConditionalCheckFailedException"), StoreErrorKind::ConditionFailed),
            (Some("ProvisionedThroughputExceededException"), StoreErrorKind::Throttled),
            (Some("AccessDeniedException"), StoreErrorKind::Service(Some("AccessDeniedException".into()))),
            (None, StoreErrorKind::Service(None)),
        ] {
            assert_eq!(StoreErrorKind::from_code(code), kind);
        }
    }
}
