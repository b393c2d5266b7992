//! custom-message: renders the email or SMS that Cognito is about to send.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use shared::config::{ConfigError, Environment};
use shared::events::{Data, MessageChannel, MessageKind, MessageRequested, Subject};
use shared::function_context::FunctionContext;
use shared::metric::Metric;

use crate::{EventPublisher, TriggerError, TriggerEvent};

pub mod error;
pub mod templates;
pub mod text;

use error::RenderError;
use templates::{Fields, Locale, render};

/// Limit for PRODUCT_NAME, so that subjects and SMS stay within Cognito's limits.
const MAX_PRODUCT_NAME_CHARS: usize = 40;

#[derive(Clone, Debug)]
pub struct Config {
    pub product_name: String,
    /// EMAIL_THROUGH_SES: whether the user pool sends its email through SES. If not, Cognito
    /// rejects email texts from a trigger.
    pub email_through_ses: bool,
    /// DEFAULT_LOCALE: for users whose locale is missing or has no templates.
    pub default_locale: Locale,
    /// SUPPORT_URL: a help page for the reader.
    pub support_url: Option<String>,
    /// LINK_BASE_URL: the links in messages begin with it and lead to pages that accept a code.
    pub link_base_url: Option<String>,
}

impl Config {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let product_name = environment.required("PRODUCT_NAME")?;
        let is_unsafe = |c: char| text::is_unsafe(c) || matches!(c, '{' | '}');
        if product_name.chars().count() > MAX_PRODUCT_NAME_CHARS || product_name.contains(is_unsafe) {
            let reason = "is too long or contains an invalid character. \
                Use at most 40 characters, and no braces, control or format characters";
            return Err(ConfigError::new("PRODUCT_NAME", reason));
        }
        let url = |name: &str| match environment.optional(name) {
            Some(url) if !is_url(url) => Err(ConfigError::new(
                name,
                "is not a valid URL. Use a percent-encoded URL such as https://www.example.com/help",
            )),
            url => Ok(url.map(str::to_owned)),
        };
        let link_base_url = url("LINK_BASE_URL")?;
        if link_base_url.as_deref().is_some_and(|url| url.contains(['?', '#'])) {
            // The trigger appends the page and a query.
            let reason = "contains a query or a fragment. Use a URL without a query and a fragment";
            return Err(ConfigError::new("LINK_BASE_URL", reason));
        }
        let locales = Locale::ALL.map(|locale| (locale.code(), locale));
        Ok(Self {
            product_name,
            email_through_ses: environment.flag("EMAIL_THROUGH_SES", false)?,
            default_locale: environment.choice("DEFAULT_LOCALE", Locale::En, &locales)?,
            support_url: url("SUPPORT_URL")?,
            link_base_url,
        })
    }
}

/// Whether `url` is an https URL with a host and needs no escaping in an `href`.
fn is_url(url: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>{}\\^`|".contains(&byte);
    let host = url.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
    host.is_some_and(|host| !host.is_empty()) && url.bytes().all(is_plain)
}

/// Dependencies of the trigger.
pub struct Deps {
    config: Config,
    publisher: EventPublisher,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            config: Config::from_environment(&function.environment)?,
            publisher: EventPublisher::from_function(function)?,
        })
    }

    /// Opens the connection to SQS.
    pub async fn warm_up(&self) {
        self.publisher.warm_up().await;
    }
}

/// Renders the texts of the message. If that fails, the event goes back unchanged, and Cognito
/// sends its own text.
pub async fn handle(deps: &Deps, mut event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    event.check_readable()?;
    let kind = match event.trigger_source().as_str() {
        "CustomMessage_SignUp" => MessageKind::SignUp,
        "CustomMessage_AdminCreateUser" => MessageKind::AdminCreateUser,
        "CustomMessage_ResendCode" => MessageKind::ResendCode,
        "CustomMessage_ForgotPassword" => MessageKind::ForgotPassword,
        "CustomMessage_UpdateUserAttribute" => MessageKind::UpdateUserAttribute,
        "CustomMessage_VerifyUserAttribute" => MessageKind::VerifyUserAttribute,
        "CustomMessage_Authentication" => MessageKind::Authentication,
        _ => return Ok(event),
    };
    let locale = event
        .attribute("locale")
        .and_then(|tag| Locale::from_tag(&tag))
        .unwrap_or(deps.config.default_locale);
    let channel = match render_message(&deps.config, kind, locale, &event) {
        Ok(message) => {
            let mut response = event.response();
            response.insert("smsMessage".to_owned(), Value::from(message.sms));
            if deps.config.email_through_ses {
                response.insert("emailSubject".to_owned(), Value::from(message.subject));
                response.insert("emailMessage".to_owned(), Value::from(message.html));
            }
            event.set_response(response);
            if deps.config.email_through_ses { MessageChannel::EmailAndSms } else { MessageChannel::Sms }
        }
        Err(error) => {
            let reason = error.code();
            tracing::error!(error_type = "message_not_rendered", reason, "Cognito sends its own text");
            deps.publisher.count(Metric::MessagesNotRendered, reason);
            MessageChannel::Default
        }
    };
    let data = MessageRequested { kind, channel, locale: locale.code().to_owned() };
    let subject = Subject::user(&event.sub());
    deps.publisher.publish(deps.publisher.build_event(&event, subject, Data::MessageRequested(data))).await;
    Ok(event)
}

/// Renders the texts of a message and checks them against Cognito's limits.
pub fn render_message(
    config: &Config,
    kind: MessageKind,
    locale: Locale,
    event: &TriggerEvent,
) -> Result<templates::Message, RenderError> {
    let placeholder =
        |name: &str| event.request().get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let code = placeholder("codeParameter").ok_or(RenderError::NoCodeParameter)?;
    let username = match kind {
        // Cognito rejects this message if it lacks the placeholder for the user name.
        MessageKind::AdminCreateUser => {
            Some(placeholder("usernameParameter").ok_or(RenderError::NoUsernameParameter)?)
        }
        _ => None,
    };
    let is_verified = event.attribute("email_verified").is_some_and(|value| value == "true");
    let name = event.attribute("name").filter(|_| may_show_name(kind, is_verified));
    let name = name.and_then(|name| text::sanitize_name(&name));
    let link = build_link(config, kind, &event.user_name(), code);
    let message = render(
        kind,
        locale,
        &Fields {
            product_name: &config.product_name,
            name: name.as_deref(),
            code,
            username,
            link: link.as_deref(),
            support_url: config.support_url.as_deref(),
            locale: locale.code(),
        },
    )?;
    text::check_message(&message, code, username)?;
    Ok(message)
}

/// A message contains the user's name only if the address is verified or was set by an
/// administrator. Otherwise anyone could sign up with someone else's address and send them any text
/// as the name.
fn may_show_name(kind: MessageKind, is_verified: bool) -> bool {
    match kind {
        MessageKind::AdminCreateUser => true,
        // Cognito sends these to unverified addresses too.
        MessageKind::ForgotPassword | MessageKind::Authentication => is_verified,
        MessageKind::SignUp
        | MessageKind::ResendCode
        | MessageKind::UpdateUserAttribute
        | MessageKind::VerifyUserAttribute => false,
    }
}

/// Builds the link to the page that accepts the code. A temporary password or a second factor must
/// not be in a URL: the message with a temporary password links to the sign-in page, and the one
/// with a second factor has no link.
fn build_link(config: &Config, kind: MessageKind, user_name: &str, code: &str) -> Option<String> {
    let base = config.link_base_url.as_deref()?.trim_end_matches('/');
    let page = format!("{base}/{}", kind.name().replace('_', "-"));
    match kind {
        MessageKind::Authentication => None,
        MessageKind::AdminCreateUser => Some(page),
        _ => {
            let user_name = utf8_percent_encode(user_name, NON_ALPHANUMERIC);
            Some(format!("{page}?username={user_name}&code={code}"))
        }
    }
}
