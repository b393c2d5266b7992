//! Data of the events that account-activity publishes from CloudTrail's records of API calls.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Data of `user.password_changed`, `user.mfa_enabled`, `user.mfa_disabled` and `user.signed_out`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct AccountChange {
    /// Who changed the account.
    pub by: ChangedBy,
}

/// Who changed an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangedBy {
    /// The user, with an access token.
    User,
    /// Somebody with AWS credentials: a person, or a service such as a backend.
    Administrator,
}

/// Data of `user.group_changed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct GroupChanged {
    /// The group in the user pool. Missing if CloudTrail hides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What happened to the membership.
    pub change: GroupChange,
}

/// What happened to a user's membership in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GroupChange {
    /// The user is in the group now.
    Added,
    /// The user is no longer in the group.
    Removed,
}

/// Data of `user.sign_in_failed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct SignInFailed {
    /// The IP address from which Cognito got the request. That of a backend if a backend signs users in.
    /// Kept as long as the stored event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
}
