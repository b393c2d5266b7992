//! Every event type with its data. Optional fields have defaults, unknown fields are ignored; a change that
//! older workers could misread gets a new type (`user.confirmed.v2`).

use std::collections::BTreeSet;

use jiff::Timestamp;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::invalid_event::InvalidEvent;
use super::json::{describe, from_json};
use super::money::{Amount, Currency};
use super::subject::{InvalidSubject, Subject};

/// What happened: CloudEvents' `type` and `data`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(tag = "type", content = "data")]
pub enum Data {
    /// Somebody tried to sign up. Sent by pre-sign-up; the subject is the e-mail domain.
    #[serde(rename = "user.sign_up_attempted")]
    SignUpAttempted(SignUpAttempted),
    /// A user's account was confirmed. Sent by post-confirmation, and by pre-token-generation where the
    /// profile is missing.
    #[serde(rename = "user.confirmed")]
    Confirmed(Confirmed),
    /// A user chose a new password after having forgotten the old one. Sent by post-confirmation.
    #[serde(rename = "user.password_reset")]
    PasswordReset(Empty),
    /// Somebody tried to sign in. Sent by pre-authentication, and by pre-token-generation when it denies.
    #[serde(rename = "user.sign_in_attempted")]
    SignInAttempted(SignInAttempted),
    /// A user signed in and gets tokens. Sent by pre-token-generation.
    #[serde(rename = "user.signed_in")]
    SignedIn(SignedIn),
    /// A user's token was refreshed. Sent by pre-token-generation.
    #[serde(rename = "user.token_refreshed")]
    TokenRefreshed(TokenRefreshed),
    /// Cognito is about to send a message to a user. Sent by custom-message.
    #[serde(rename = "user.message_requested")]
    MessageRequested(MessageRequested),
    /// A notice that a suspension was written to the table. It suspensions nobody by itself.
    #[serde(rename = "user.suspended")]
    Suspended(SuspensionNotice),
    /// A notice that a suspension was lifted in the table. It frees nobody by itself.
    #[serde(rename = "user.reinstated")]
    Reinstated(SuspensionNotice),
    /// A user is to be erased, with everything the table holds of them.
    #[serde(rename = "user.deleted")]
    Deleted(Empty),
    /// A user's profile was changed by another service.
    #[serde(rename = "profile.updated")]
    ProfileUpdated(ProfileUpdated),
    /// A user placed an order.
    #[serde(rename = "order.placed")]
    OrderPlaced(Order),
    /// An order was cancelled: its amount comes off what the user spent.
    #[serde(rename = "order.cancelled")]
    OrderCancelled(Order),
    /// Something else that a user did and that is worth showing.
    #[serde(rename = "activity.recorded")]
    ActivityRecorded(Activity),
    /// A user has one more unread notification.
    #[serde(rename = "notification.created")]
    NotificationCreated(Notification),
    /// A user read a notification.
    #[serde(rename = "notification.read")]
    NotificationRead(Notification),
    /// What a user sees has changed. Sent by user-stats to the queue cache-invalidations.
    #[serde(rename = "user.data_changed")]
    DataChanged(DataChanged),
    /// Group rules gave other groups than the user pool has. Sent by pre-token-generation to the queue
    /// group-memberships.
    #[serde(rename = "user.groups_mapped")]
    GroupsMapped(GroupsMapped),
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
            _ => return Err(InvalidEvent::UnknownType),
        })
    }

    /// CloudEvents' `type`.
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
        }
    }

    /// A sign-up is about a domain, an attempt to sign in may be about nobody known, all else about a user.
    pub(super) fn check_subject(&self, subject: &Subject) -> Result<(), InvalidSubject> {
        match (self, subject) {
            (Self::SignUpAttempted(_), Subject::Domain(_)) => Ok(()),
            (Self::SignUpAttempted(_), _) => {
                Err(InvalidSubject("expected an e-mail domain, as \"domain:example.com\""))
            }
            (_, Subject::User(_)) | (Self::SignInAttempted(_), Subject::Unknown) => Ok(()),
            (_, Subject::Domain(_) | Subject::Unknown) => Err(InvalidSubject("expected a user's sub")),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(data: Option<&'a RawValue>) -> Result<T, InvalidEvent> {
    let json = data.map_or("null", RawValue::get);
    from_json(json).map_err(|error| InvalidEvent::InvalidData(describe("data", &error)))
}

/// For types whose data may be left out.
fn parse_optional<'a, T: Deserialize<'a> + Default>(data: Option<&'a RawValue>) -> Result<T, InvalidEvent> {
    match data {
        None => Ok(T::default()),
        Some(data) if data.get() == "null" => Ok(T::default()),
        Some(_) => parse(data),
    }
}

/// No data: the type says it all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Empty {}

/// Data of `user.sign_up_attempted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct SignUpAttempted {
    /// What became of it.
    pub outcome: SignUpOutcome,
    /// Why, as a stable word such as `blocked_domain`.
    pub reason: String,
    /// Who tried.
    pub channel: SignUpChannel,
}

/// What became of a sign-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignUpOutcome {
    /// Goes on; Cognito asks for confirmation.
    Allowed,
    /// Refused.
    Denied,
    /// Goes on, confirmed and verified without a code.
    AutoConfirmed,
}

/// Through which door a user comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignUpChannel {
    /// The user's own sign-up.
    #[serde(rename = "self")]
    SelfService,
    /// Created by an administrator.
    Admin,
    /// First sign-in through an identity provider.
    External,
    /// A way that Cognito has added since.
    Other,
}

/// Data of `user.confirmed`: what the profile needs. The only event that carries an e-mail address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Confirmed {
    /// Cognito's username.
    pub username: String,
    /// The e-mail address, where the user has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether Cognito has verified the address.
    #[serde(default)]
    pub email_verified: bool,
    /// The attribute `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Data of `user.sign_in_attempted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct SignInAttempted {
    /// How they tried.
    pub flow: AttemptFlow,
    /// What became of it, as far as these triggers decide it.
    pub outcome: SignInOutcome,
    /// Why, as a stable word such as `suspended`.
    pub reason: String,
    /// What the client says of itself. Anybody can say anything here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by_client: Option<ClaimedByClient>,
}

/// How somebody tried to get tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttemptFlow {
    /// Seen by pre-authentication, before Cognito checks the password.
    PreAuthentication,
    /// Managed login, also the first sign-in through an identity provider.
    Hosted,
    /// With a password, or another challenge of the API.
    Password,
    /// With a new password in place of a temporary one.
    NewPassword,
    /// By a remembered device.
    Device,
    /// With a refresh token.
    Refresh,
    /// A way that Cognito has added since.
    Other,
}

/// What became of an attempt to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignInOutcome {
    /// Goes on; the password may still be wrong.
    Allowed,
    /// Refused.
    Denied,
}

/// What a client passed about itself. Not proven.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct ClaimedByClient {
    /// An IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// A user agent.
    #[serde(default, rename = "userAgent", skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// Data of `user.signed_in`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct SignedIn {
    /// How the user signed in.
    pub flow: SignInFlow,
    /// The app client.
    pub client_id: String,
    /// The groups in the token.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// How a user signed in. A refresh through GetTokensFromRefreshToken looks like `password`: Cognito sends it
/// as TokenGeneration_Authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignInFlow {
    /// Managed login, also through an identity provider.
    Hosted,
    /// With a password, or another challenge of the API.
    Password,
    /// With a new password in place of a temporary one.
    NewPassword,
    /// By a remembered device.
    Device,
    /// A way that Cognito has added since.
    Other,
}

/// Data of `user.token_refreshed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct TokenRefreshed {
    /// The app client.
    pub client_id: String,
}

/// Data of `user.message_requested`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct MessageRequested {
    /// Which message.
    pub kind: MessageKind,
    /// How it can go out: what texts were set.
    pub channel: MessageChannel,
    /// The locale of the text.
    pub locale: String,
}

/// Which message Cognito is about to send: the trigger source without `CustomMessage_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is named as Cognito's trigger source")]
pub enum MessageKind {
    SignUp,
    AdminCreateUser,
    ResendCode,
    ForgotPassword,
    UpdateUserAttribute,
    VerifyUserAttribute,
    Authentication,
}

impl MessageKind {
    /// The name in JSON and in the statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignUp => "sign_up",
            Self::AdminCreateUser => "admin_create_user",
            Self::ResendCode => "resend_code",
            Self::ForgotPassword => "forgot_password",
            Self::UpdateUserAttribute => "update_user_attribute",
            Self::VerifyUserAttribute => "verify_user_attribute",
            Self::Authentication => "authentication",
        }
    }
}

/// Which texts of a message were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MessageChannel {
    /// The SMS text alone.
    Sms,
    /// The SMS text and the e-mail.
    EmailAndSms,
    /// None: Cognito sends its own text.
    Default,
}

/// Data of `user.suspended` and `user.reinstated`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct SuspensionNotice {
    /// Why, for the administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when; for good where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub until: Option<Timestamp>,
}

/// Data of `profile.updated`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct ProfileUpdated {
    /// The names of the fields that changed, not their values.
    #[serde(default)]
    pub changed: Vec<String>,
}

/// Data of `order.placed` and `order.cancelled`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Order {
    /// The order.
    pub order_id: String,
    /// What was paid: a positive decimal as a string, at most 4 places, below 10^15.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("pattern" = r"^[0-9]{1,15}(\.[0-9]{1,4})?$")))]
    pub amount: Amount,
    /// The currency's code of ISO 4217.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("pattern" = "^[A-Z]{3}$")))]
    pub currency: Currency,
}

/// Data of `activity.recorded`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Activity {
    /// A few words to show.
    pub description: String,
}

/// Data of `notification.created` and `notification.read`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Notification {
    /// The notification.
    pub notification_id: String,
}

/// What a user sees of their own data, each cached by CloudFront for that user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Statistics and latest activities.
    Dashboard,
    /// The user's orders.
    Orders,
    /// The user's profile.
    Profile,
}

impl View {
    /// Every view.
    pub const ALL: [Self; 3] = [Self::Dashboard, Self::Orders, Self::Profile];

    /// The name in JSON and in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dashboard => "dashboard",
            Self::Orders => "orders",
            Self::Profile => "profile",
        }
    }
}

/// Data of `user.data_changed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct DataChanged {
    /// The views that changed.
    pub views: BTreeSet<View>,
    /// When the change was committed.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub changed_at: Timestamp,
}

/// Data of `user.groups_mapped`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct GroupsMapped {
    /// The user pool.
    pub user_pool_id: String,
    /// Cognito's username.
    pub username: String,
    /// Groups that the user should be in and is not.
    #[serde(default)]
    pub add: BTreeSet<String>,
    /// Groups that the user is in and should not be.
    #[serde(default)]
    pub remove: BTreeSet<String>,
}
