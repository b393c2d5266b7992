//! The message templates `triggers/templates/<locale>/<kind>.html`, compiled into the binary. Each
//! has a subject, an SMS text and an email. To change a text, edit its file. A mistake in a
//! template fails the build.

use askama::Template;
use shared::events::MessageKind;

use super::error::RenderError;

/// The texts of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The subject of the email, on one line.
    pub subject: String,
    /// The email in HTML.
    pub html: String,
    pub sms: String,
}

/// The fields that templates can use. `templates/layout.html` describes each.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    pub product_name: &'a str,
    pub name: Option<&'a str>,
    pub code: &'a str,
    pub username: Option<&'a str>,
    pub sign_in_name: SignInName,
    pub cognito_link: Option<&'a str>,
    pub link: Option<&'a str>,
    pub support_url: Option<&'a str>,
    pub locale: &'a str,
}

/// What a user signs in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInName {
    Username,
    Email,
    PhoneNumber,
}

impl SignInName {
    pub const ALL: [Self; 3] = [Self::Username, Self::Email, Self::PhoneNumber];
}

/// The texts of a message.
#[derive(Clone, Copy, Debug)]
enum Part {
    Subject,
    Html,
    Sms,
}

/// Defines the enum, the list of its variants and their codes from one list, so that the list of
/// variants is complete.
macro_rules! locales {
    ($($locale:ident $code:literal,)+) => {
        /// A language that has templates.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Locale {
            $($locale,)+
        }

        impl Locale {
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$locale,)+];

            /// The ISO 639-1 code.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$locale => $code,)+
                }
            }
        }
    };
}

locales! {
    En "en",
    De "de",
    Es "es",
    Fr "fr",
    Pt "pt",
    Ja "ja",
}

impl Locale {
    /// Reads the language of a tag such as `pt-BR` or `pt_BR`.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_']).next()?.trim().to_ascii_lowercase();
        Self::ALL.into_iter().find(|locale| locale.code() == language)
    }
}

/// Renders the texts of a message.
pub fn render(kind: MessageKind, locale: Locale, fields: &Fields<'_>) -> Result<Message, RenderError> {
    Ok(Message {
        subject: render_part(kind, locale, Part::Subject, fields)?,
        html: render_part(kind, locale, Part::Html, fields)?,
        sms: render_sms(kind, locale, fields)?,
    })
}

/// Renders only the SMS text of a message.
pub fn render_sms(kind: MessageKind, locale: Locale, fields: &Fields<'_>) -> Result<String, RenderError> {
    render_part(kind, locale, Part::Sms, fields)
}

fn render_part(
    kind: MessageKind,
    locale: Locale,
    part: Part,
    fields: &Fields<'_>,
) -> Result<String, RenderError> {
    match locale {
        Locale::En => en(kind, part, fields),
        Locale::De => de(kind, part, fields),
        Locale::Es => es(kind, part, fields),
        Locale::Fr => fr(kind, part, fields),
        Locale::Pt => pt(kind, part, fields),
        Locale::Ja => ja(kind, part, fields),
    }
}

/// Renders one block of one template. askama needs a struct for each block, with the path as a
/// literal.
macro_rules! block {
    ($fields:expr, $path:tt, $block:tt, $escape:tt) => {{
        #[derive(Template)]
        #[template(path = $path, block = $block, escape = $escape)]
        #[allow(dead_code, reason = "not every block uses every field")]
        struct Block<'a> {
            product_name: &'a str,
            name: Option<&'a str>,
            code: &'a str,
            username: Option<&'a str>,
            sign_in_name: SignInName,
            cognito_link: Option<&'a str>,
            link: Option<&'a str>,
            support_url: Option<&'a str>,
            locale: &'a str,
        }
        let Fields {
            product_name,
            name,
            code,
            username,
            sign_in_name,
            cognito_link,
            link,
            support_url,
            locale,
        } = *$fields;
        let block = Block {
            product_name,
            name,
            code,
            username,
            sign_in_name,
            cognito_link,
            link,
            support_url,
            locale,
        };
        block.render().map_err(|_| RenderError::TemplateFailed)?.trim().to_owned()
    }};
}

/// Defines the function that renders the messages of one locale.
macro_rules! locale {
    ($locale:ident: $($kind:ident $path:tt),+ $(,)?) => {
        fn $locale(kind: MessageKind, part: Part, fields: &Fields<'_>) -> Result<String, RenderError> {
            match kind {
                $(MessageKind::$kind => Ok(match part {
                    Part::Subject => block!(fields, $path, "subject", "none"),
                    Part::Html => block!(fields, $path, "html", "html"),
                    Part::Sms => block!(fields, $path, "sms", "none"),
                }),)+
            }
        }
    };
}

locale! {
    en:
    SignUp "en/sign-up.html",
    AdminCreateUser "en/admin-create-user.html",
    ResendCode "en/resend-code.html",
    ForgotPassword "en/forgot-password.html",
    UpdateUserAttribute "en/update-user-attribute.html",
    VerifyUserAttribute "en/verify-user-attribute.html",
    Authentication "en/authentication.html",
}

locale! {
    de:
    SignUp "de/sign-up.html",
    AdminCreateUser "de/admin-create-user.html",
    ResendCode "de/resend-code.html",
    ForgotPassword "de/forgot-password.html",
    UpdateUserAttribute "de/update-user-attribute.html",
    VerifyUserAttribute "de/verify-user-attribute.html",
    Authentication "de/authentication.html",
}

locale! {
    es:
    SignUp "es/sign-up.html",
    AdminCreateUser "es/admin-create-user.html",
    ResendCode "es/resend-code.html",
    ForgotPassword "es/forgot-password.html",
    UpdateUserAttribute "es/update-user-attribute.html",
    VerifyUserAttribute "es/verify-user-attribute.html",
    Authentication "es/authentication.html",
}

locale! {
    fr:
    SignUp "fr/sign-up.html",
    AdminCreateUser "fr/admin-create-user.html",
    ResendCode "fr/resend-code.html",
    ForgotPassword "fr/forgot-password.html",
    UpdateUserAttribute "fr/update-user-attribute.html",
    VerifyUserAttribute "fr/verify-user-attribute.html",
    Authentication "fr/authentication.html",
}

locale! {
    pt:
    SignUp "pt/sign-up.html",
    AdminCreateUser "pt/admin-create-user.html",
    ResendCode "pt/resend-code.html",
    ForgotPassword "pt/forgot-password.html",
    UpdateUserAttribute "pt/update-user-attribute.html",
    VerifyUserAttribute "pt/verify-user-attribute.html",
    Authentication "pt/authentication.html",
}

locale! {
    ja:
    SignUp "ja/sign-up.html",
    AdminCreateUser "ja/admin-create-user.html",
    ResendCode "ja/resend-code.html",
    ForgotPassword "ja/forgot-password.html",
    UpdateUserAttribute "ja/update-user-attribute.html",
    VerifyUserAttribute "ja/verify-user-attribute.html",
    Authentication "ja/authentication.html",
}
