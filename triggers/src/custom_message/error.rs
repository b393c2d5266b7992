//! Why a message cannot be rendered.

/// Cognito sends its own text instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("the event has no `codeParameter`")]
    NoCodeParameter,
    #[error("the event has no `usernameParameter`")]
    NoUsernameParameter,
    #[error("the event has no `linkParameter`")]
    NoLinkParameter,
    #[error("the template failed")]
    TemplateFailed,
    #[error("the subject breaks a limit of Cognito")]
    SubjectInvalid,
    #[error("the email text breaks a limit of Cognito")]
    EmailInvalid,
    #[error("the SMS text breaks a limit of Cognito")]
    SmsInvalid,
    #[error("the template leaves out a placeholder")]
    PlaceholderMissing,
}

impl RenderError {
    /// Stable code for the log and for metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCodeParameter => "no_code_parameter",
            Self::NoUsernameParameter => "no_username_parameter",
            Self::NoLinkParameter => "no_link_parameter",
            Self::TemplateFailed => "template_failed",
            Self::SubjectInvalid => "subject_invalid",
            Self::EmailInvalid => "email_invalid",
            Self::SmsInvalid => "sms_invalid",
            Self::PlaceholderMissing => "placeholder_missing",
        }
    }
}
