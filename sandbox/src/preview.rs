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
use triggers::custom_message::{Config, render_message};

use crate::journey::format::Variables;

/// Every kind, with the code or password that the preview shows.
const KINDS: [(MessageKind, &str); 7] = [
    (MessageKind::SignUp, "123456"),
    (MessageKind::ResendCode, "123456"),
    (MessageKind::ForgotPassword, "123456"),
    (MessageKind::AdminCreateUser, "k7Fq2Zp9-x"),
    (MessageKind::UpdateUserAttribute, "123456"),
    (MessageKind::VerifyUserAttribute, "123456"),
    (MessageKind::Authentication, "123456"),
];

/// Cognito replaces these placeholders when it sends a message.
const CODE: &str = "{####}";
const USERNAME: &str = "{username}";

/// Writes all messages and the page to a folder. Returns the page's path.
pub fn write(folder: &Path, variables: &Variables) -> Result<PathBuf> {
    let own = variables.get(FunctionId::CustomMessage.resource_name()).cloned().unwrap_or_default();
    let environment: Environment = own.into_iter().collect();
    let config = Config::from_environment(&environment)?;
    let mut page = String::from(HEAD);
    let mut page_of = |kind: MessageKind, code: &str| -> Result<()> {
        let name = kind.name().replace('_', "-");
        writeln!(page, "<h2>{name}</h2>\n<div class=\"row\">")?;
        for locale in Locale::ALL {
            let Message { subject, html, sms } = message(&config, kind, locale)?;
            let locale = locale.code();
            let file = format!("{locale}/{name}.html");
            write_file(&folder.join(&file), &filled(&html, &escape(code)))?;
            let (subject, sms_text) = (escape(&subject), escape(&filled(&sms, code)));
            let characters = sms.chars().count();
            writeln!(
                page,
                "<figure><figcaption><b>{locale}</b> <a href=\"{file}\">{subject}</a></figcaption>\
                 <iframe src=\"{file}\" title=\"{subject}\"></iframe>\
                 <p class=\"sms\" lang=\"{locale}\">{sms_text}</p><p class=\"count\">SMS, {characters} of 140 characters \
                 as Cognito counts them</p></figure>"
            )?;
        }
        page.push_str("</div>\n");
        Ok(())
    };
    for (kind, code) in KINDS {
        page_of(kind, code)?;
    }
    page.push_str("</html>\n");
    let index = folder.join("index.html");
    write_file(&index, &page)?;
    Ok(index)
}

/// The texts as Cognito receives them, with placeholders.
fn message(config: &Config, kind: MessageKind, locale: Locale) -> Result<Message> {
    let event = json!({
        "userName": "ana",
        "request": {
            "userAttributes": {"sub": "ana", "name": "Ana Example"},
            "codeParameter": CODE,
            "usernameParameter": USERNAME,
        },
    });
    let event = TriggerEvent::from_json(&event.to_string())?;
    let message = render_message(config, kind, locale, &event);
    message.map_err(|reason| anyhow!("{} in {}: {reason}", kind.name(), locale.code()))
}

/// The text without placeholders, as the user receives it.
fn filled(text: &str, code: &str) -> String {
    text.replace(CODE, code).replace(USERNAME, "ana")
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
        assert_eq!(page.matches("<iframe").count(), 42);
        for file in page.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let mail = std::fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(!mail.contains("{####}") && !mail.contains("{username}"), "{file}");
            assert!(mail.contains("123456") || mail.contains("k7Fq2Zp9-x"), "{file}");
            assert!(mail.contains("Shop &#38; Sons") && !mail.contains("Shop & Sons"), "{file}: escaped");
        }
        let wrong = write(folder.path(), &Variables::new()).unwrap_err().to_string();
        assert_eq!(wrong, "PRODUCT_NAME: is required but not set");
    }
}
