//! Data of the events that the triggers publish.

use std::collections::BTreeSet;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Data of `user.sign_up_attempted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct SignUpAttempted {
    /// The decision of the trigger.
    pub outcome: SignUpOutcome,
    /// A stable code, such as `blocked_domain`.
    pub reason: String,
    /// How the account is created.
    pub channel: SignUpChannel,
}

/// Decision about a sign-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignUpOutcome {
    /// The user must confirm the account.
    Allowed,
    /// The sign-up is denied.
    Denied,
    /// The account is confirmed, and the email address verified, without a code.
    AutoConfirmed,
}

/// How an account is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignUpChannel {
    /// The user signs up.
    #[serde(rename = "self")]
    SelfService,
    /// An administrator creates the user.
    Admin,
    /// The user signs in through an identity provider for the first time.
    External,
    /// A way that this release does not know.
    Other,
}

/// Data of `user.confirmed`, for the profile. No other event carries an email address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Confirmed {
    /// The username in Cognito.
    pub username: String,
    /// The email address, if the user has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether Cognito has verified the email address.
    #[serde(default)]
    pub email_verified: bool,
    /// The user's name: the attribute `name`, or the given and the family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user's attribute `preferred_username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
}

/// Data of `user.sign_in_attempted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct SignInAttempted {
    /// How the sign-in was attempted.
    pub flow: AttemptFlow,
    /// The decision of the trigger. Cognito may still deny the sign-in.
    pub outcome: SignInOutcome,
    /// A stable code, such as `suspended`.
    pub reason: String,
    /// What the client claims about itself. Not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by_client: Option<ClaimedByClient>,
}

/// How a sign-in was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttemptFlow {
    /// Observed by pre-authentication, before Cognito checks the password.
    PreAuthentication,
    /// Managed login, or the first sign-in through an identity provider.
    Hosted,
    /// A password, or another challenge of the API.
    Password,
    /// A new password that replaces a temporary one.
    NewPassword,
    /// A remembered device.
    Device,
    /// A refresh token.
    Refresh,
    /// A way that this release does not know.
    Other,
}

/// Decision about a sign-in attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignInOutcome {
    /// The password may still be wrong.
    Allowed,
    /// The sign-in is denied.
    Denied,
}

/// What a client claims about itself. Not verified.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct ClaimedByClient {
    /// IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// User agent.
    #[serde(default, rename = "userAgent", skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// Data of `user.signed_in`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct SignedIn {
    /// How the user signed in.
    pub flow: SignInFlow,
    /// The app client in Cognito.
    pub client_id: String,
    /// The groups in the token.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// How a user signed in. A refresh through GetTokensFromRefreshToken appears as `password`, because
/// Cognito reports it as TokenGeneration_Authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignInFlow {
    /// Managed login, including sign-in through an identity provider.
    Hosted,
    /// A password, or another challenge of the API.
    Password,
    /// A new password that replaces a temporary one.
    NewPassword,
    /// A remembered device.
    Device,
    /// A way that this release does not know.
    Other,
}

/// Data of `user.token_refreshed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct TokenRefreshed {
    /// The app client in Cognito.
    pub client_id: String,
}

/// Data of `user.message_requested`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct MessageRequested {
    /// The message that Cognito is about to send.
    pub kind: MessageKind,
    /// Which texts the trigger set.
    pub channel: MessageChannel,
    /// The locale of the text, such as `en`.
    pub locale: String,
}

/// The message that Cognito is about to send. The trigger source without `CustomMessage_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
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
    /// The name in events and in the statistics.
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

/// Which texts the trigger set. They decide how Cognito can send the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MessageChannel {
    /// Only the SMS text.
    Sms,
    /// The SMS text and the email.
    EmailAndSms,
    /// None. Cognito sends its default text.
    Default,
}

/// Data of `user.groups_mapped`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct GroupsMapped {
    /// ID of the user pool.
    pub user_pool_id: String,
    /// The username in Cognito.
    pub username: String,
    /// Groups to add the user to.
    #[serde(default)]
    pub add: BTreeSet<String>,
    /// Groups to remove the user from.
    #[serde(default)]
    pub remove: BTreeSet<String>,
}
