//! custom-message: renders the email or SMS that Cognito is about to send.

use std::ops::RangeInclusive;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use shared::config::{ConfigError, Environment};
use shared::events::{Data, MessageChannel, MessageKind, MessageRequested, Subject};
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::user_attributes::display_name;

use crate::{EventPublisher, TriggerError, TriggerEvent};

pub mod error;
pub mod templates;
pub mod text;

use error::RenderError;
use templates::{Fields, Locale, SignInName, render, render_sms};
use text::{InvitationLengths, Placeholders, fits_sms, longest_sms_chars};

/// Limit for PRODUCT_NAME, so that subjects and SMS stay within Cognito's limits.
const MAX_PRODUCT_NAME_CHARS: usize = 40;
/// Length of a user name that Cognito generates: a UUID.
const DEFAULT_USERNAME_CHARS: u32 = 36;
/// AWS does not document how long a generated temporary password is. It satisfies the password
/// policy, whose minimum is 12 in `template.yaml`.
const DEFAULT_TEMPORARY_PASSWORD_CHARS: u32 = 16;

const MAX_USERNAME_LENGTH: &str = "MAX_USERNAME_LENGTH";
const MAX_TEMPORARY_PASSWORD_LENGTH: &str = "MAX_TEMPORARY_PASSWORD_LENGTH";

#[derive(Clone, Debug)]
pub struct Config {
    pub product_name: String,
    /// EMAIL_THROUGH_SES: whether the user pool sends its email through SES. If not, Cognito
    /// rejects email texts from a trigger.
    pub email_through_ses: bool,
    /// DEFAULT_LOCALE: for users whose locale is missing or has no templates.
    pub default_locale: Locale,
    /// LOCALE_FROM_CLIENT_METADATA: whether the app can choose the language of a message that it
    /// causes.
    pub locale_from_client_metadata: bool,
    /// EMAIL_VERIFICATION: whether the user pool verifies a new user's address with Cognito's link.
    pub verifies_by_link: bool,
    /// MAX_USERNAME_LENGTH and MAX_TEMPORARY_PASSWORD_LENGTH.
    pub invitation_lengths: InvitationLengths,
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
        let chars = |name: &str, default: u32, range: RangeInclusive<u32>| {
            environment.number(name, default, range).map(|chars| chars as usize)
        };
        // Cognito's limits: 128 characters for a user name, 6 to 256 for a password.
        let invitation_lengths = InvitationLengths {
            username: chars(MAX_USERNAME_LENGTH, DEFAULT_USERNAME_CHARS, 1..=128)?,
            temporary_password: chars(
                MAX_TEMPORARY_PASSWORD_LENGTH,
                DEFAULT_TEMPORARY_PASSWORD_CHARS,
                6..=256,
            )?,
        };
        let config = Self {
            product_name,
            email_through_ses: environment.flag("EMAIL_THROUGH_SES", false)?,
            default_locale: environment.choice("DEFAULT_LOCALE", Locale::En, &locales)?,
            locale_from_client_metadata: environment.flag("LOCALE_FROM_CLIENT_METADATA", false)?,
            verifies_by_link: environment.choice(
                "EMAIL_VERIFICATION",
                false,
                &[("code", false), ("link", true)],
            )?,
            invitation_lengths,
            support_url: url("SUPPORT_URL")?,
            link_base_url,
        };
        config.check_invitation_sms()?;
        Ok(config)
    }

    /// Fails if the SMS of an invitation does not fit in one of the languages. Messages with a code
    /// always fit, because their only variable part is the product name.
    fn check_invitation_sms(&self) -> Result<(), ConfigError> {
        let placeholders = Placeholders { code: "{####}", username: Some("{username}"), link: None };
        let Self { product_name, invitation_lengths: lengths, .. } = self;
        let sms_chars = |locale: Locale, sign_in_name| {
            let fields = sms_fields(product_name, &placeholders, locale, sign_in_name);
            let sms = render_sms(MessageKind::AdminCreateUser, locale, &fields).unwrap_or_default();
            (longest_sms_chars(&sms, &placeholders, Some(*lengths)), locale.code())
        };
        let texts = Locale::ALL.into_iter().flat_map(|locale| SignInName::ALL.map(|name| (locale, name)));
        let longest = texts.map(|(locale, name)| sms_chars(locale, name)).max();
        let Some((chars, locale)) = longest.filter(|(chars, _)| !fits_sms(*chars)) else { return Ok(()) };
        // The other two fit with every product name if they have their defaults.
        let too_long = if lengths.temporary_password > DEFAULT_TEMPORARY_PASSWORD_CHARS as usize {
            MAX_TEMPORARY_PASSWORD_LENGTH
        } else {
            MAX_USERNAME_LENGTH
        };
        let reason = format!(
            "is too high for the SMS of an invitation: in `{locale}` it has {chars} of at most 140 characters, with {} \
             of PRODUCT_NAME, {} of {MAX_USERNAME_LENGTH} and {} of {MAX_TEMPORARY_PASSWORD_LENGTH}. Lower one of \
             the two, or shorten PRODUCT_NAME",
            product_name.chars().count(),
            lengths.username,
            lengths.temporary_password,
        );
        Err(ConfigError::new(too_long, reason))
    }
}

/// Whether `url` is an https URL with a host and needs no escaping in an `href`.
fn is_url(url: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>{}\\^`|".contains(&byte);
    let host = url.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
    host.is_some_and(|host| !host.is_empty()) && url.bytes().all(is_plain)
}

/// Fields of a message of which only the SMS is rendered: an SMS has neither a name nor links.
fn sms_fields<'a>(
    product_name: &'a str,
    placeholders: &Placeholders<'a>,
    locale: Locale,
    sign_in_name: SignInName,
) -> Fields<'a> {
    Fields {
        product_name,
        name: None,
        code: placeholders.code,
        username: placeholders.username,
        sign_in_name,
        cognito_link: None,
        link: None,
        support_url: None,
        locale: locale.code(),
    }
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
    let locale = choose_locale(&deps.config, &event);
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

/// The language of the message: what the app asks for if the configuration allows it, else the
/// user's attribute `locale`, else the default.
fn choose_locale(config: &Config, event: &TriggerEvent) -> Locale {
    let from_client = || event.request().get("clientMetadata")?.get("locale")?.as_str();
    let asked = if config.locale_from_client_metadata { from_client() } else { None };
    let stored = || event.attribute("locale").and_then(|tag| Locale::from_tag(&tag));
    asked.and_then(Locale::from_tag).or_else(stored).unwrap_or(config.default_locale)
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
    let is_invitation = kind == MessageKind::AdminCreateUser;
    let username = match is_invitation {
        // Cognito rejects this message if it lacks the placeholder for the user name.
        true => Some(placeholder("usernameParameter").ok_or(RenderError::NoUsernameParameter)?),
        false => None,
    };
    // Every event has `linkParameter`, whatever the pool's setting is. Cognito replaces it only in
    // these two emails. The emails of other operations have codes in every pool (AWS, "Configuring
    // MFA, authentication, verification and invitation messages").
    let cognito_link = match kind {
        MessageKind::SignUp | MessageKind::ResendCode if config.verifies_by_link => {
            Some(placeholder("linkParameter").ok_or(RenderError::NoLinkParameter)?)
        }
        _ => None,
    };
    let is_verified = event.attribute("email_verified").is_some_and(|value| value == "true");
    let name =
        if may_show_name(kind, is_verified) { display_name(|name| event.attribute(name)) } else { None };
    let name = name.and_then(|name| text::sanitize_name(&name));
    let user_name = event.user_name();
    let link = build_link(config, kind, &user_name, code);
    let fields = Fields {
        product_name: &config.product_name,
        name: name.as_deref(),
        code,
        username,
        sign_in_name: sign_in_name(event),
        cognito_link,
        link: link.as_deref(),
        support_url: config.support_url.as_deref(),
        locale: locale.code(),
    };
    let message = match cognito_link {
        // The second link confirms the same account as the first, so its email is the same.
        Some(_) => {
            let sms = render_sms(kind, locale, &fields)?;
            templates::Message { sms, ..render(MessageKind::SignUp, locale, &fields)? }
        }
        None => render(kind, locale, &fields)?,
    };
    let placeholders = Placeholders { code, username, link: cognito_link };
    text::check_message(&message, &placeholders)?;
    let lengths = InvitationLengths { username: user_name.chars().count(), ..config.invitation_lengths };
    let sms_chars = longest_sms_chars(&message.sms, &placeholders, is_invitation.then_some(lengths));
    // Cognito sends no SMS to a user without a phone number.
    if event.attribute("phone_number").is_some() && !fits_sms(sms_chars) {
        return Err(RenderError::SmsInvalid);
    }
    Ok(message)
}

/// The name with which the user signs in. A user name that Cognito generated is unknown to the user: in a pool whose
/// users sign in with an email address or a phone number, it equals the `sub`.
fn sign_in_name(event: &TriggerEvent) -> SignInName {
    let user_name = event.user_name();
    let is_generated = is_uuid(&user_name) || event.attribute("sub").is_some_and(|sub| sub == user_name);
    let has = |name: &str| event.attribute(name).is_some_and(|value| !value.is_empty());
    if !is_generated {
        SignInName::Username
    } else if has("email") {
        SignInName::Email
    } else if has("phone_number") {
        SignInName::PhoneNumber
    } else {
        SignInName::Username
    }
}

/// True if the text has the form of a UUID.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
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

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCT_NAME: &str = "A product name of exactly 40 characters.";

    #[test]
    fn longest_product_name_fits_into_every_sms_with_the_default_lengths() {
        let config =
            Config::from_environment(&Environment::from_iter([("PRODUCT_NAME", PRODUCT_NAME)])).unwrap();
        assert_eq!(config.product_name.chars().count(), MAX_PRODUCT_NAME_CHARS);
        let placeholders = Placeholders { code: "{####}", username: Some("{username}"), link: None };
        let kinds = [
            MessageKind::SignUp,
            MessageKind::AdminCreateUser,
            MessageKind::ResendCode,
            MessageKind::ForgotPassword,
            MessageKind::UpdateUserAttribute,
            MessageKind::VerifyUserAttribute,
            MessageKind::Authentication,
        ];
        let mut measured = 0;
        for kind in kinds {
            for (locale, sign_in_name) in
                Locale::ALL.into_iter().flat_map(|locale| SignInName::ALL.map(|name| (locale, name)))
            {
                let fields = sms_fields(&config.product_name, &placeholders, locale, sign_in_name);
                let sms = render_sms(kind, locale, &fields).unwrap();
                let lengths = (kind == MessageKind::AdminCreateUser).then_some(config.invitation_lengths);
                let chars = longest_sms_chars(&sms, &placeholders, lengths);
                assert!(fits_sms(chars), "{kind:?} {locale:?} {sign_in_name:?}: {chars}");
                measured += 1;
            }
        }
        assert_eq!(measured, 7 * 6 * 3);
    }

    #[test]
    fn lengths_that_do_not_fit_into_an_sms_stop_startup() {
        let error = |name: &str, value: &str| {
            let variables = [("PRODUCT_NAME", PRODUCT_NAME), (name, value)];
            Config::from_environment(&Environment::from_iter(variables))
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        assert_eq!(error(MAX_TEMPORARY_PASSWORD_LENGTH, "17"), Ok(()));
        assert_eq!(
            error(MAX_TEMPORARY_PASSWORD_LENGTH, "18").unwrap_err(),
            "MAX_TEMPORARY_PASSWORD_LENGTH: is too high for the SMS of an invitation: in `fr` it has 141 of at most \
             140 characters, with 40 of PRODUCT_NAME, 36 of MAX_USERNAME_LENGTH and 18 of \
             MAX_TEMPORARY_PASSWORD_LENGTH. Lower one of the two, or shorten PRODUCT_NAME"
        );
        assert!(
            error(MAX_USERNAME_LENGTH, "50").unwrap_err().starts_with("MAX_USERNAME_LENGTH: is too high")
        );
        assert!(error(MAX_USERNAME_LENGTH, "129").unwrap_err().contains("from 1 to 128"));
    }

    #[test]
    fn generated_user_name_is_not_what_the_user_signs_in_with() {
        const SUB: &str = "3f0d97ac-15e8-4c62-b7d4-92a86e1f5c08";
        for (user_name, sub, email, phone_number, expected) in [
            (SUB, SUB, Some("carla@example.com"), None, SignInName::Email),
            (SUB, SUB, Some("carla@example.com"), Some("+15550100"), SignInName::Email),
            (SUB, SUB, None, Some("+15550100"), SignInName::PhoneNumber),
            (SUB, SUB, None, None, SignInName::Username),
            (SUB, SUB, Some(""), None, SignInName::Username),
            // A pool with aliases. The administrator chose a UUID.
            (SUB, "another", Some("carla@example.com"), None, SignInName::Email),
            ("equal", "equal", Some("carla@example.com"), None, SignInName::Email),
            ("carla", SUB, Some("carla@example.com"), None, SignInName::Username),
            (
                "3f0d97ac-15e8-4c62-b7d4-92a86e1f5c0x",
                SUB,
                Some("carla@example.com"),
                None,
                SignInName::Username,
            ),
        ] {
            let event = serde_json::json!({
                "userName": user_name,
                "request": {"userAttributes": {"sub": sub, "email": email, "phone_number": phone_number}},
            });
            let event = TriggerEvent::from_json(&event.to_string()).unwrap();
            assert_eq!(sign_in_name(&event), expected, "{user_name} {email:?} {phone_number:?}");
        }
    }

    #[test]
    fn app_chooses_the_language_only_if_the_configuration_allows_it() {
        let event = |attribute: Option<&str>, asked: Value| {
            let event = serde_json::json!({
                "request": {"userAttributes": {"locale": attribute}, "clientMetadata": {"locale": asked}},
            });
            TriggerEvent::from_json(&event.to_string()).unwrap()
        };
        let config = |allowed: &str| {
            let variables = [
                ("PRODUCT_NAME", "Shop"),
                ("LOCALE_FROM_CLIENT_METADATA", allowed),
                ("DEFAULT_LOCALE", "ja"),
            ];
            Config::from_environment(&Environment::from_iter(variables)).unwrap()
        };
        for (allowed, attribute, asked, expected) in [
            ("false", None, Value::from("de"), Locale::Ja),
            ("false", Some("fr"), Value::from("de"), Locale::Fr),
            ("true", None, Value::from("de"), Locale::De),
            ("true", Some("fr"), Value::from("de-AT"), Locale::De),
            ("true", Some("fr"), Value::from("xx"), Locale::Fr),
            ("true", Some("fr"), Value::from(7), Locale::Fr),
            ("true", Some("xx"), Value::Null, Locale::Ja),
        ] {
            let event = event(attribute, asked.clone());
            assert_eq!(choose_locale(&config(allowed), &event), expected, "{allowed} {attribute:?} {asked}");
        }
    }
}
