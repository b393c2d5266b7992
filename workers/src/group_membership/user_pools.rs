//! Calls Cognito to change groups, and classifies its errors.

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};

use super::plan::User;

/// The user pools that the function's role may change.
#[derive(Clone, Debug)]
pub struct UserPools {
    client: Client,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Cognito has one error for an unknown group and an unknown user pool.
    #[error("the group or the user pool does not exist")]
    NotFound(#[source] Cause),
    #[error("the user does not exist")]
    UserNotFound(#[source] Cause),
    /// Cognito does not accept the user name or the group name.
    #[error("Cognito refused the request")]
    Invalid(#[source] Cause),
    /// Cognito: a user pool has at most 10,000 groups, and a user is in at most 100. Neither quota can
    /// be raised.
    #[error("the user pool has too many groups, or the user is in too many")]
    TooManyGroups(#[source] Cause),
    /// Too many requests. A later call can succeed.
    #[error("Cognito throttled the request")]
    Throttled(#[source] Cause),
    /// For example no permission, no answer, or an unknown error.
    #[error("the call to Cognito failed")]
    Failed(#[source] Cause),
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl MembershipError {
    /// The stable code: log field `error_type`, and dimension `reason` of MembershipsFailed and
    /// MembershipsSkipped.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "unknown_group",
            Self::UserNotFound(_) => "user_not_found",
            Self::Invalid(_) => "refused",
            Self::TooManyGroups(_) => "too_many_groups",
            Self::Throttled(_) => "throttled",
            Self::Failed(_) => "failed",
        }
    }

    fn from_sdk<E, R>(error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let code = error.code().unwrap_or_default().to_owned();
        let cause: Cause = shared::aws::cause(&error).into();
        match code.as_str() {
            "ResourceNotFoundException" => Self::NotFound(cause),
            "UserNotFoundException" => Self::UserNotFound(cause),
            "InvalidParameterException" | "ValidationException" => Self::Invalid(cause),
            "LimitExceededException" => Self::TooManyGroups(cause),
            "TooManyRequestsException" | "ThrottlingException" | "Throttling" => Self::Throttled(cause),
            _ => Self::Failed(cause),
        }
    }
}

impl UserPools {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Adds a user to a group. Succeeds if the user is already in it.
    pub async fn add(&self, user: &User, group: &str) -> Result<(), MembershipError> {
        let call = self.client.admin_add_user_to_group().group_name(group);
        let call = call.user_pool_id(&user.user_pool_id).username(&user.username);
        call.send().await.map(|_| ()).map_err(MembershipError::from_sdk)
    }

    /// Removes a user from a group. Succeeds if the user is not in it.
    pub async fn remove(&self, user: &User, group: &str) -> Result<(), MembershipError> {
        let call = self.client.admin_remove_user_from_group().group_name(group);
        let call = call.user_pool_id(&user.user_pool_id).username(&user.username);
        call.send().await.map(|_| ()).map_err(MembershipError::from_sdk)
    }

    /// Creates a group without an IAM role. Succeeds if the group exists.
    pub async fn create_group(&self, user_pool_id: &str, group: &str) -> Result<(), MembershipError> {
        let call = self.client.create_group().user_pool_id(user_pool_id).group_name(group);
        match call.send().await {
            Err(error) if error.code() == Some("GroupExistsException") => Ok(()),
            result => result.map(|_| ()).map_err(MembershipError::from_sdk),
        }
    }
}
