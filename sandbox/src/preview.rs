//! A preview of custom-message: a file for each message in each language, and a page that shows them
//! side by side. The trigger's own code renders them, with your variables.

pub mod command;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use shared::config::Environment;
use shared::events::MessageKind;
use shared::function_id::FunctionId;
use triggers::TriggerEvent;
use triggers::custom_message::templates::{Locale, Message};
use triggers::custom_message::text::{Placeholders, longest_sms_chars};
use triggers::custom_message::{Config, render_message};

use crate::journey::format::Variables;

/// A message of the preview.
struct Example {
    /// The name of its heading and its files.
    name: &'static str,
    kind: MessageKind,
    user_name: &'static str,
    /// The user's other attributes.
    attributes: &'static [(&'static str, &'static str)],
    /// Whether the pool verifies by link. `None` for the configured setting.
    verifies_by_link: Option<bool>,
}

/// A user name that Cognito generated.
const GENERATED: &str = "3f0d97ac-15e8-4c62-b7d4-92a86e1f5c08";
const CODE_VALUE: &str = "123456";
/// A temporary password begins with these characters.
const PASSWORD_VALUE: &str = "k7Fq2Zp9xW4tRb8n";

/// Every kind, and the variants that depend on the user or on the pool.
const EXAMPLES: [Example; 10] = [
    example("sign-up", MessageKind::SignUp),
    Example { verifies_by_link: Some(true), ..example("sign-up-by-link", MessageKind::SignUp) },
    example("resend-code", MessageKind::ResendCode),
    example("forgot-password", MessageKind::ForgotPassword),
    example("admin-create-user", MessageKind::AdminCreateUser),
    Example {
        user_name: GENERATED,
        attributes: &[("email", "ana@example.com")],
        ..example("admin-create-user-with-email", MessageKind::AdminCreateUser)
    },
    Example {
        user_name: GENERATED,
        attributes: &[("phone_number", "+15550100")],
        ..example("admin-create-user-with-phone-number", MessageKind::AdminCreateUser)
    },
    example("update-user-attribute", MessageKind::UpdateUserAttribute),
    example("verify-user-attribute", MessageKind::VerifyUserAttribute),
    example("authentication", MessageKind::Authentication),
];

const fn example(name: &'static str, kind: MessageKind) -> Example {
    Example { name, kind, user_name: "ana", attributes: &[], verifies_by_link: None }
}

/// Cognito replaces these placeholders when it sends a message.
const CODE: &str = "{####}";
const USERNAME: &str = "{username}";
const LINK: &str = "{##Click Here##}";
/// The link that replaces the placeholder.
const LINK_VALUE: &str = r##"<a href="#">Click Here</a>"##;

/// Writes all messages and the page to a folder. Returns the page's path.
pub fn write(folder: &Path, variables: &Variables) -> Result<PathBuf> {
    let own = variables.get(FunctionId::CustomMessage.resource_name()).cloned().unwrap_or_default();
    let environment: Environment = own.into_iter().collect();
    let config = Config::from_environment(&environment)?;
    let mut page = String::from(HEAD);
    for example in &EXAMPLES {
        write_row(&mut page, folder, &config, example)?;
    }
    page.push_str("</html>\n");
    let index = folder.join("index.html");
    write_file(&index, &page)?;
    Ok(index)
}

/// Writes one message in every language: the files, and their row in the page.
fn write_row(page: &mut String, folder: &Path, config: &Config, example: &Example) -> Result<()> {
    let Example { name, kind, user_name, .. } = *example;
    let verifies_by_link = example.verifies_by_link.unwrap_or(config.verifies_by_link);
    let config = Config { verifies_by_link, ..config.clone() };
    let invitation = (kind == MessageKind::AdminCreateUser).then_some(config.invitation_lengths);
    let code: String = match invitation {
        Some(lengths) => PASSWORD_VALUE.chars().cycle().take(lengths.temporary_password).collect(),
        None => CODE_VALUE.to_owned(),
    };
    writeln!(page, "<h2>{name}</h2>\n<div class=\"row\">")?;
    for locale in Locale::ALL {
        let Message { subject, html, sms } = message(&config, example, locale)?;
        let locale = locale.code();
        let file = format!("{locale}/{name}.html");
        let email = filled(&html, &escape(&code), user_name).replace(LINK, LINK_VALUE);
        write_file(&folder.join(&file), &email)?;
        let placeholders =
            Placeholders { code: CODE, username: invitation.is_some().then_some(USERNAME), link: None };
        let longest = longest_sms_chars(&sms, &placeholders, invitation);
        let sms = filled(&sms, &code, user_name);
        let (subject, characters, sms_text) = (escape(&subject), sms.chars().count(), escape(&sms));
        writeln!(
            page,
            "<figure><figcaption><b>{locale}</b> <a href=\"{file}\">{subject}</a></figcaption>\
             <iframe src=\"{file}\" title=\"{subject}\"></iframe>\
             <p class=\"sms\" lang=\"{locale}\">{sms_text}</p><p class=\"count\">SMS, {characters} characters, \
             {longest} of 140 with the longest values</p></figure>"
        )?;
    }
    page.push_str("</div>\n");
    Ok(())
}

/// The texts as Cognito receives them, with placeholders.
fn message(config: &Config, example: &Example, locale: Locale) -> Result<Message> {
    let Example { kind, user_name, attributes, .. } = *example;
    let mut user_attributes = json!({"sub": GENERATED, "name": "Ana Example"});
    for (name, value) in attributes {
        user_attributes[*name] = (*value).into();
    }
    let event = json!({
        "userName": user_name,
        "request": {
            "userAttributes": user_attributes,
            "codeParameter": CODE,
            "linkParameter": LINK,
            "usernameParameter": USERNAME,
        },
    });
    let event = TriggerEvent::from_json(&event.to_string())?;
    let message = render_message(config, kind, locale, &event);
    message.map_err(|reason| anyhow!("{} in {}: {reason}", kind.name(), locale.code()))
}

/// The text without placeholders, as the user receives it.
fn filled(text: &str, code: &str, user_name: &str) -> String {
    text.replace(CODE, code).replace(USERNAME, user_name)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

/// Start of the page. The checkbox switches only the frames, because an email follows its reader's
/// color scheme.
const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Messages of custom-message</title>
<style>
body { margin: 24px; font: 15px/1.4 system-ui, sans-serif; color: #0f172a; background: #fff }
h1 { font-size: 20px } h2 { margin: 32px 0 8px; font-size: 17px }
.row { display: grid; grid-template-columns: repeat(6, 340px); gap: 16px }
figure { margin: 0 } figcaption { height: 42px; overflow: hidden } figcaption a { color: #1d4ed8 }
iframe { width: 100%; height: 1080px; border: 1px solid #cbd5e1; border-radius: 6px; color-scheme: light }
#dark:checked ~ .row iframe { color-scheme: dark }
.sms { margin: 8px 0 0; padding: 8px 12px; border-radius: 12px; background: #dcfce7; overflow-wrap: anywhere }
.count { margin: 2px 12px; font-size: 12px; color: #475569 }
</style>
<h1>Messages of custom-message</h1>
<input type="checkbox" id="dark"> <label for="dark">dark color scheme</label>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preview_shows_every_kind_in_every_language() {
        let folder = tempfile::tempdir().unwrap();
        let own = [("PRODUCT_NAME", "Shop & Sons"), ("LINK_BASE_URL", "https://www.example.com/account")];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let variables = Variables::from([("CustomMessageFunction".to_owned(), own)]);
        let index = write(folder.path(), &variables).unwrap();
        let page = std::fs::read_to_string(index).unwrap();
        assert_eq!(page.matches("<iframe").count(), 60);
        assert_eq!(page.matches("of 140 with the longest values").count(), 60);
        for file in page.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let mail = std::fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(![CODE, USERNAME, LINK].iter().any(|placeholder| mail.contains(placeholder)), "{file}");
            let value = match file.split_once('/').unwrap().1 {
                "sign-up-by-link.html" => LINK_VALUE,
                name if name.starts_with("admin-create-user") => PASSWORD_VALUE,
                _ => CODE_VALUE,
            };
            assert!(mail.contains(value), "{file}");
            assert!(mail.contains("Shop &#38; Sons") && !mail.contains("Shop & Sons"), "{file}: escaped");
        }
        // 12 characters of the product name, 36 of the user name and 16 of the password.
        let sms = "Shop &amp; Sons: sign in with your email and password k7Fq2Zp9xW4tRb8n \
                   (ID 3f0d97ac-15e8-4c62-b7d4-92a86e1f5c08)</p><p class=\"count\">SMS, 108 characters, \
                   108 of 140 with the longest values";
        assert!(page.contains(sms), "{page}");
        let wrong = write(folder.path(), &Variables::new()).unwrap_err().to_string();
        assert_eq!(wrong, "PRODUCT_NAME: is required but not set");
    }
}
