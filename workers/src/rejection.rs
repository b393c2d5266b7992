//! Why a message is permanently invalid. The worker dead-letters such a message with its code and a
//! sentence.

use shared::events::{Event, InvalidEvent};

/// The reason for which a worker dead-letters a message. The text quotes nothing of the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
    #[error("{event_type} does not belong on this queue")]
    WrongQueue { event_type: &'static str },
    #[error("user.deleted is accepted only if ALLOW_ERASURE_EVENTS is true")]
    ErasureNotAllowed,
    #[error("time: more than a day ago. The user's next token publishes the current groups.")]
    GroupsTooOld,
    #[error(
        "data: names a group that GROUP_RULES does not manage. The worker changed only the groups of the rules."
    )]
    UnmanagedGroup,
    #[error("The user pool or the group does not exist. Create the group, or set CREATE_GROUPS to true.")]
    UnknownGroup,
    #[error("The user pool does not exist.")]
    UnknownUserPool,
    #[error("Cognito does not accept the user name or the group name.")]
    InvalidName,
    #[error("{0}. Only EventBridge may send to this queue: look for another sender.")]
    NotCloudTrail(&'static str),
    #[error("The user pool has 10,000 groups, or the user is in 100. Delete groups, or give the user fewer.")]
    TooManyGroups,
}

impl Rejection {
    pub fn wrong_queue(event: &Event) -> Self {
        Self::WrongQueue { event_type: event.data.event_type() }
    }

    /// The stable code: message attribute `error.type`, log field `error_type`, and the dimension
    /// `reason` of MessagesDeadLettered.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidEvent(error) => error.error_type(),
            Self::WrongQueue { .. } => "wrong_queue",
            Self::ErasureNotAllowed => "erasure_not_allowed",
            Self::GroupsTooOld => "too_old",
            Self::UnmanagedGroup => "unmanaged_group",
            Self::UnknownGroup | Self::UnknownUserPool => "unknown_group",
            Self::InvalidName => "refused",
            Self::TooManyGroups => "too_many_groups",
            Self::NotCloudTrail(_) => "not_cloudtrail",
        }
    }
}
