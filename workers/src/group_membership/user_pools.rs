//! Cognito's groups, and what its errors mean.

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};

use super::plan::User;

/// Where memberships are changed.
#[derive(Clone, Debug)]
pub struct UserPools {
    client: Client,
}

/// Why a membership was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The group, or the user pool, is not there: Cognito has one error for both.
    #[error("the group or the user pool is not there")]
    NotFound(#[source] Cause),
    /// The user is not there.
    #[error("the user is not there")]
    UserNotFound(#[source] Cause),
    /// A name that Cognito does not take.
    #[error("Cognito refuses the request")]
    Invalid(#[source] Cause),
    /// Cognito: 10,000 groups in a user pool.
    #[error("the user pool has too many groups")]
    TooManyGroups(#[source] Cause),
    /// Too many requests: there may be room later.
    #[error("Cognito throttles")]
    Throttled(#[source] Cause),
    /// No permission, no answer, or one that says nothing.
    #[error("the call to Cognito failed")]
    Failed(#[source] Cause),
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl MembershipError {
    /// A stable word.
    pub fn error_type(&self) -> &'static str {
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
    /// The user pools of an account, as far as the function's role allows.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Puts a user into a group. Cognito: success where the user is in it already.
    pub async fn add(&self, user: &User, group: &str) -> Result<(), MembershipError> {
        let call = self.client.admin_add_user_to_group().group_name(group);
        let call = call.user_pool_id(&user.user_pool_id).username(&user.username);
        call.send().await.map(|_| ()).map_err(MembershipError::from_sdk)
    }

    /// Takes a user out of a group. Cognito: success where the user is not in it.
    pub async fn remove(&self, user: &User, group: &str) -> Result<(), MembershipError> {
        let call = self.client.admin_remove_user_from_group().group_name(group);
        let call = call.user_pool_id(&user.user_pool_id).username(&user.username);
        call.send().await.map(|_| ()).map_err(MembershipError::from_sdk)
    }

    /// Creates a group without a role, unless it is there already.
    pub async fn create_group(&self, user_pool_id: &str, group: &str) -> Result<(), MembershipError> {
        let call = self.client.create_group().user_pool_id(user_pool_id).group_name(group);
        match call.send().await {
            Err(error) if error.code() == Some("GroupExistsException") => Ok(()),
            result => result.map(|_| ()).map_err(MembershipError::from_sdk),
        }
    }
}
