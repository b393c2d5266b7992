//! Why an event is rejected.

use super::limits::MAX_BODY_BYTES;

/// Why a message body is rejected. The text names the field and quotes nothing of the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// The size of the body in bytes.
    #[error("the body has {0} bytes; less than {MAX_BODY_BYTES} are accepted")]
    TooLarge(usize),
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON that violates CloudEvents 1.0.
    #[error("not a CloudEvents 1.0 event: {0}")]
    NotCloudEvent(String),
    /// This release does not know the type. A later release may: the message can be redriven then.
    #[error("unknown event type")]
    UnknownType,
    /// The fields do not fit the type.
    #[error("invalid data: {0}")]
    InvalidData(String),
    /// The stored event may have expired already, so the event could count twice.
    #[error("time: more than 30 days ago")]
    TooOld,
    #[error("time: more than 15 minutes ahead")]
    InTheFuture,
}

impl InvalidEvent {
    /// A stable code for metrics, alarms and the message attribute `error.type`.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::NotJson(_) => "not_json",
            Self::NotCloudEvent(_) => "not_cloudevents",
            Self::UnknownType => "unknown_type",
            Self::InvalidData(_) => "invalid_data",
            Self::TooOld => "too_old",
            Self::InTheFuture => "in_the_future",
        }
    }
}
