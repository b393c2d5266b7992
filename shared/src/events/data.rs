//! The event types and their data.
//!
//! The doc comments of the types become descriptions in the JSON Schema: write them for producers.
//!
//! Optional fields have defaults, and unknown fields are ignored. A change that older workers could
//! misread needs a new type, such as `user.confirmed.v2`.

mod from_cloudtrail;
mod from_services;
mod from_triggers;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::invalid_event::InvalidEvent;
use super::json::{JsonError, from_json};
use super::subject::{InvalidSubject, Subject};

pub use from_cloudtrail::*;
pub use from_services::*;
pub use from_triggers::*;

/// What happened. The attributes `type` and `data` of CloudEvents.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(tag = "type", content = "data")]
pub enum Data {
    /// A sign-up was attempted. The subject is the email domain. Published by pre-sign-up.
    #[serde(rename = "user.sign_up_attempted")]
    SignUpAttempted(SignUpAttempted),
    /// A user's account was confirmed. Published by post-confirmation, and by pre-token-generation
    /// if the user has no profile yet.
    #[serde(rename = "user.confirmed")]
    Confirmed(Confirmed),
    /// A user replaced a forgotten password. Published by post-confirmation.
    #[serde(rename = "user.password_reset")]
    PasswordReset(Empty),
    /// A sign-in was attempted. Published by pre-authentication, and by pre-token-generation if it
    /// denies the sign-in. Attempts of one user with the same app client, flow and outcome have the
    /// same id within a minute, or within ten minutes if they are denied, so they count once, or
    /// twice if they are on both sides of the end of such an interval. Denied attempts are counted.
    /// Allowed attempts are kept for a short time.
    #[serde(rename = "user.sign_in_attempted")]
    SignInAttempted(SignInAttempted),
    /// A user signed in and gets tokens. Published by pre-token-generation.
    #[serde(rename = "user.signed_in")]
    SignedIn(SignedIn),
    /// A user's tokens were refreshed. Published by pre-token-generation.
    #[serde(rename = "user.token_refreshed")]
    TokenRefreshed(TokenRefreshed),
    /// Cognito is about to send a message to a user. Published by custom-message.
    #[serde(rename = "user.message_requested")]
    MessageRequested(MessageRequested),
    /// A suspension was written to the table. The event does not suspend the user by itself.
    #[serde(rename = "user.suspended")]
    Suspended(SuspensionNotice),
    /// The end of a suspension was written to the table. The event does not reinstate the user by
    /// itself.
    #[serde(rename = "user.reinstated")]
    Reinstated(SuspensionNotice),
    /// A user's account was deleted. Everything about the user is erased from the table, unless the
    /// operator keeps the data of deleted accounts. Accepted on user-events only if the operator allows
    /// it. account-activity makes it of CloudTrail's records.
    #[serde(rename = "user.deleted")]
    Deleted(Empty),
    /// A user's profile changed. Published by services that change it, and by pre-token-generation
    /// after it updated the profile from the user pool. account-activity makes it of CloudTrail's
    /// records.
    #[serde(rename = "profile.updated")]
    ProfileUpdated(ProfileUpdated),
    /// A user placed an order.
    #[serde(rename = "order.placed")]
    OrderPlaced(Order),
    /// An order was canceled. Its amount is subtracted from what the user spent.
    #[serde(rename = "order.cancelled")]
    OrderCancelled(Order),
    /// A user did something else, which the dashboard shows.
    #[serde(rename = "activity.recorded")]
    ActivityRecorded(Activity),
    /// A user got a notification, which is unread.
    #[serde(rename = "notification.created")]
    NotificationCreated(NewNotification),
    /// A user read a notification.
    #[serde(rename = "notification.read")]
    NotificationRead(Notification),
    /// The data behind a user's pages changed. Published by user-stats to the queue
    /// cache-invalidations.
    #[serde(rename = "user.data_changed")]
    DataChanged(DataChanged),
    /// Group rules resulted in other groups than the user has in the user pool. Published by
    /// pre-token-generation to the queue group-memberships.
    #[serde(rename = "user.groups_mapped")]
    GroupsMapped(GroupsMapped),
    /// A user may do something with a resource that belongs to another user. The subject is the user
    /// who gets the permissions. They replace those of an earlier event about the same user and
    /// resource. The event with the later time wins, in whatever order they arrive. Accepted only on
    /// the queue resource-permissions.
    #[serde(rename = "permission.granted")]
    PermissionGranted(PermissionGranted),
    /// A user lost all permissions for a resource. The subject is the user who had them. At equal
    /// times, it wins against `permission.granted`. Accepted only on the queue resource-permissions.
    #[serde(rename = "permission.revoked")]
    PermissionRevoked(PermissionRevoked),
    /// A user's password was changed. A forgotten password that the user replaced is
    /// `user.password_reset`. This and the following types are made by account-activity of CloudTrail's
    /// records. No queue accepts them from a producer.
    #[serde(rename = "user.password_changed")]
    PasswordChanged(AccountChange),
    /// MFA is on for a user after a change of the MFA settings.
    #[serde(rename = "user.mfa_enabled")]
    MfaEnabled(AccountChange),
    /// MFA is off for a user after a change of the MFA settings.
    #[serde(rename = "user.mfa_disabled")]
    MfaDisabled(AccountChange),
    /// An administrator disabled a user's account.
    #[serde(rename = "user.disabled")]
    Disabled(Empty),
    /// An administrator enabled a user's account.
    #[serde(rename = "user.enabled")]
    Enabled(Empty),
    /// A user was signed out on all devices.
    #[serde(rename = "user.signed_out")]
    SignedOut(AccountChange),
    /// A user was added to a group of the user pool, or removed from it.
    #[serde(rename = "user.group_changed")]
    GroupChanged(GroupChanged),
    /// Somebody tried to sign in as a user with a wrong password. At most 20 of them are stored for a
    /// user and an hour, or 40 if two invocations run at the same time.
    #[serde(rename = "user.sign_in_failed")]
    SignInFailed(SignInFailed),
}

impl Data {
    /// Reads the data of an event of the type `event_type`.
    pub(super) fn parse(event_type: &str, data: Option<&RawValue>) -> Result<Self, InvalidEvent> {
        Ok(match event_type {
            "user.sign_up_attempted" => Self::SignUpAttempted(parse(data)?),
            "user.confirmed" => Self::Confirmed(parse(data)?),
            "user.password_reset" => Self::PasswordReset(parse_optional(data)?),
            "user.sign_in_attempted" => Self::SignInAttempted(parse(data)?),
            "user.signed_in" => Self::SignedIn(parse(data)?),
            "user.token_refreshed" => Self::TokenRefreshed(parse(data)?),
            "user.message_requested" => Self::MessageRequested(parse(data)?),
            "user.suspended" => Self::Suspended(parse_optional(data)?),
            "user.reinstated" => Self::Reinstated(parse_optional(data)?),
            "user.deleted" => Self::Deleted(parse_optional(data)?),
            "profile.updated" => Self::ProfileUpdated(parse_optional(data)?),
            "order.placed" => Self::OrderPlaced(parse(data)?),
            "order.cancelled" => Self::OrderCancelled(parse(data)?),
            "activity.recorded" => Self::ActivityRecorded(parse(data)?),
            "notification.created" => Self::NotificationCreated(parse(data)?),
            "notification.read" => Self::NotificationRead(parse(data)?),
            "user.data_changed" => Self::DataChanged(parse(data)?),
            "user.groups_mapped" => Self::GroupsMapped(parse(data)?),
            "permission.granted" => Self::PermissionGranted(parse(data)?),
            "permission.revoked" => Self::PermissionRevoked(parse(data)?),
            "user.password_changed" => Self::PasswordChanged(parse(data)?),
            "user.mfa_enabled" => Self::MfaEnabled(parse(data)?),
            "user.mfa_disabled" => Self::MfaDisabled(parse(data)?),
            "user.disabled" => Self::Disabled(parse_optional(data)?),
            "user.enabled" => Self::Enabled(parse_optional(data)?),
            "user.signed_out" => Self::SignedOut(parse(data)?),
            "user.group_changed" => Self::GroupChanged(parse(data)?),
            "user.sign_in_failed" => Self::SignInFailed(parse_optional(data)?),
            _ => return Err(InvalidEvent::UnknownType),
        })
    }

    /// True for the types that belong on user-events. The others belong on the queue of another
    /// worker, or are made by account-activity.
    pub fn belongs_on_user_events(&self) -> bool {
        !matches!(
            self,
            Self::DataChanged(_)
                | Self::GroupsMapped(_)
                | Self::PermissionGranted(_)
                | Self::PermissionRevoked(_)
                | Self::PasswordChanged(_)
                | Self::MfaEnabled(_)
                | Self::MfaDisabled(_)
                | Self::Disabled(_)
                | Self::Enabled(_)
                | Self::SignedOut(_)
                | Self::GroupChanged(_)
                | Self::SignInFailed(_)
        )
    }

    /// The attribute `type` of CloudEvents.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::SignUpAttempted(_) => "user.sign_up_attempted",
            Self::Confirmed(_) => "user.confirmed",
            Self::PasswordReset(_) => "user.password_reset",
            Self::SignInAttempted(_) => "user.sign_in_attempted",
            Self::SignedIn(_) => "user.signed_in",
            Self::TokenRefreshed(_) => "user.token_refreshed",
            Self::MessageRequested(_) => "user.message_requested",
            Self::Suspended(_) => "user.suspended",
            Self::Reinstated(_) => "user.reinstated",
            Self::Deleted(_) => "user.deleted",
            Self::ProfileUpdated(_) => "profile.updated",
            Self::OrderPlaced(_) => "order.placed",
            Self::OrderCancelled(_) => "order.cancelled",
            Self::ActivityRecorded(_) => "activity.recorded",
            Self::NotificationCreated(_) => "notification.created",
            Self::NotificationRead(_) => "notification.read",
            Self::DataChanged(_) => "user.data_changed",
            Self::GroupsMapped(_) => "user.groups_mapped",
            Self::PermissionGranted(_) => "permission.granted",
            Self::PermissionRevoked(_) => "permission.revoked",
            Self::PasswordChanged(_) => "user.password_changed",
            Self::MfaEnabled(_) => "user.mfa_enabled",
            Self::MfaDisabled(_) => "user.mfa_disabled",
            Self::Disabled(_) => "user.disabled",
            Self::Enabled(_) => "user.enabled",
            Self::SignedOut(_) => "user.signed_out",
            Self::GroupChanged(_) => "user.group_changed",
            Self::SignInFailed(_) => "user.sign_in_failed",
        }
    }

    /// The subject of a sign-up is a domain. The subject of a sign-in attempt may be unknown. All
    /// other events are about a user.
    pub(super) fn check_subject(&self, subject: &Subject) -> Result<(), InvalidSubject> {
        match (self, subject) {
            (Self::SignUpAttempted(_), Subject::Domain(_)) => Ok(()),
            (Self::SignUpAttempted(_), _) => {
                Err(InvalidSubject("expected an email domain, such as \"domain:example.com\""))
            }
            (_, Subject::User(_)) | (Self::SignInAttempted(_), Subject::Unknown) => Ok(()),
            (_, Subject::Domain(_) | Subject::Unknown) => Err(InvalidSubject("expected a user's sub")),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(data: Option<&'a RawValue>) -> Result<T, InvalidEvent> {
    let json = data.map_or("null", RawValue::get);
    from_json("data", json).map_err(|error| match error {
        JsonError::NotJson(reason) | JsonError::Field(reason) => InvalidEvent::InvalidData(reason),
    })
}

/// For types whose `data` may be left out.
fn parse_optional<'a, T: Deserialize<'a> + Default>(data: Option<&'a RawValue>) -> Result<T, InvalidEvent> {
    match data {
        None => Ok(T::default()),
        Some(data) if data.get() == "null" => Ok(T::default()),
        Some(_) => parse(data),
    }
}

/// No data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Empty {}
