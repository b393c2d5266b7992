//! Why an operation on the table failed.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::backoff::TooManyConflicts;
use crate::metric::Metric;
use crate::telemetry::Metrics;

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

    pub(super) fn is_conflict(&self) -> bool {
        self.kind == StoreErrorKind::Conflict
    }

    pub(super) fn is_condition_failed(&self) -> bool {
        self.kind == StoreErrorKind::ConditionFailed
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
    Conflict,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a partition's events were not committed, or a user was not erased, after all attempts.
#[derive(Debug, thiserror::Error)]
pub enum CommitFailure {
    #[error("the deadline is too close for another attempt")]
    OutOfTime,
    #[error(transparent)]
    Conflict(#[from] TooManyConflicts),
    #[error(transparent)]
    Store(#[from] StoreError),
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
