//! custom-message: words the e-mail or SMS that Cognito is about to send.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use shared::config::{ConfigError, Environment};
use shared::events::{Data, MessageChannel, MessageKind, MessageRequested, Subject};
use shared::function_context::FunctionContext;

use crate::{EventPublisher, TriggerError, TriggerEvent};

pub mod templates;
pub mod text;

use templates::{Fields, Locale, render};

/// PRODUCT_NAME has at most this many characters, so that subjects and SMS keep to Cognito's limits.
const MAX_PRODUCT_NAME_CHARS: usize = 40;

/// How messages are worded.
#[derive(Clone, Debug)]
pub struct Config {
    /// PRODUCT_NAME.
    pub product_name: String,
    /// EMAIL_THROUGH_SES: whether the pool sends through SES. Where it does not, Cognito refuses e-mail texts.
    pub email_through_ses: bool,
    /// DEFAULT_LOCALE: for users without a locale that there are templates for.
    pub default_locale: Locale,
    /// SUPPORT_URL: where a reader finds help.
    pub support_url: Option<String>,
    /// LINK_BASE_URL: the page that takes a code from a link.
    pub link_base_url: Option<String>,
}

impl Config {
    /// Reads the configuration.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let product_name = environment.required("PRODUCT_NAME")?;
        let is_unsafe = |c: char| text::is_unsafe(c) || matches!(c, '{' | '}');
        if product_name.chars().count() > MAX_PRODUCT_NAME_CHARS || product_name.contains(is_unsafe) {
            let reason = "expected at most 40 characters, and no brace, control or format character";
            return Err(ConfigError::new("PRODUCT_NAME", reason));
        }
        let url = |name: &str| match environment.optional(name) {
            Some(url) if !is_url(url) => Err(ConfigError::new(
                name,
                "expected a URL such as https://www.example.com/help, percent-encoded",
            )),
            url => Ok(url.map(str::to_owned)),
        };
        let link_base_url = url("LINK_BASE_URL")?;
        if link_base_url.as_deref().is_some_and(|url| url.contains(['?', '#'])) {
            // The message's own page and its query come behind it.
            return Err(ConfigError::new("LINK_BASE_URL", "expected a URL without a query and a fragment"));
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

/// Whether this can stand in an `href` as it is, and leads somewhere.
fn is_url(url: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>{}\\^`|".contains(&byte);
    let host = url.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
    host.is_some_and(|host| !host.is_empty()) && url.bytes().all(is_plain)
}

/// What the trigger works with.
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

    /// Opens the connections.
    pub async fn warm_up(&self) {
        self.publisher.warm_up().await;
    }
}

/// Sets the texts. On any failure the event goes back unchanged, and Cognito sends its own text.
pub async fn handle(deps: &Deps, mut event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    event.readable()?;
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
    let locale =
        event.attribute("locale").and_then(|tag| Locale::of_tag(&tag)).unwrap_or(deps.config.default_locale);
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
        Err(reason) => {
            tracing::error!(error_type = "message_not_worded", reason, "Cognito sends its own text");
            deps.publisher.count("MessagesNotRendered", reason);
            MessageChannel::Default
        }
    };
    let data = MessageRequested { kind, channel, locale: locale.code().to_owned() };
    let subject = Subject::user(&event.sub());
    deps.publisher.send(deps.publisher.event(&event, subject, Data::MessageRequested(data))).await;
    Ok(event)
}

/// Renders the texts and checks them against Cognito's limits; a stable word says why it cannot be done.
pub fn render_message(
    config: &Config,
    kind: MessageKind,
    locale: Locale,
    event: &TriggerEvent,
) -> Result<templates::Message, &'static str> {
    let placeholder =
        |name: &str| event.request().get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let code = placeholder("codeParameter").ok_or("no_code_parameter")?;
    let username = match kind {
        // Cognito refuses this message without the placeholder of the user name.
        MessageKind::AdminCreateUser => {
            Some(placeholder("usernameParameter").ok_or("no_username_parameter")?)
        }
        _ => None,
    };
    let is_verified = event.attribute("email_verified").is_some_and(|value| value == "true");
    let name = event.attribute("name").filter(|_| is_known_to_reader(kind, is_verified));
    let name = name.and_then(|name| text::displayable(&name));
    let link = link(config, kind, &event.user_name(), code);
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
    text::check(&message, code, username)?;
    Ok(message)
}

/// Whether the reader is whose name it is: the address is proven, or an administrator's choice. To any other
/// address, a name may be a stranger's, or what a stranger wants somebody to read.
fn is_known_to_reader(kind: MessageKind, is_verified: bool) -> bool {
    match kind {
        MessageKind::AdminCreateUser => true,
        // Cognito sends second factors to unverified addresses too.
        MessageKind::ForgotPassword | MessageKind::Authentication => is_verified,
        MessageKind::SignUp
        | MessageKind::ResendCode
        | MessageKind::UpdateUserAttribute
        | MessageKind::VerifyUserAttribute => false,
    }
}

/// The page that takes the code. A temporary password or a second factor does not belong into a URL: who has
/// one is led to the page to sign in at most.
fn link(config: &Config, kind: MessageKind, user_name: &str, code: &str) -> Option<String> {
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
