//! Values of settings for a terminal. Pure.

use serde_json::Value;
use shared::lambda_config::CalledFunction;
use shared::text::printable;

use super::settings::SettingDifference;
use crate::aws_error::sentence::shorten;

/// Maximum length of a value in characters.
const MAX_LENGTH: usize = 60;
/// Settings that a sentence names.
const MAX_NAMES: usize = 10;

/// A value in one line: the name of a function, a text without email addresses, or JSON.
pub fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None => return "not set".to_owned(),
        Some(Value::String(text)) if text.starts_with("arn:") => {
            shorten(CalledFunction { arn: text.clone(), event_version: None }.name())
        }
        Some(Value::String(text)) if text.is_empty() => "\"\"".to_owned(),
        Some(Value::String(text)) => shorten(text),
        Some(value) => shorten(&value.to_string()),
    };
    let text = printable(&text);
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text,
    }
}

/// The path of a setting without email addresses: the key of a tag can have one.
pub fn path(setting: &str) -> String {
    shorten(setting)
}

/// True if the value of a setting is not shown: another account could use it to send SMS with the role.
pub fn is_secret(setting: &str) -> bool {
    setting.ends_with(".ExternalId")
}

/// The settings with their values, for a sentence: `Name (shop, now test)`.
pub fn list(differences: &[SettingDifference]) -> String {
    let named = differences.iter().take(MAX_NAMES).map(|difference| {
        let SettingDifference { setting, before, after } = difference;
        match is_secret(setting) {
            true => path(setting),
            false => format!("{} ({}, now {})", path(setting), shown(before.as_ref()), shown(after.as_ref())),
        }
    });
    let mut text = named.collect::<Vec<_>>().join(", ");
    if let Some(more) = differences.len().checked_sub(MAX_NAMES).filter(|more| *more > 0) {
        text += &format!(" and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_fit_in_a_line_and_have_no_address() {
        let arn = "arn:aws:lambda:eu-central-1:123456789012:function:guard:live";
        for (value, expected) in [
            (None, "not set".to_owned()),
            (Some(json!(arn)), "guard:live".to_owned()),
            (
                Some(json!("arn:aws:ses:eu-central-1:123456789012:identity/ana@example.com")),
                "arn:aws:ses:eu-central-1:123456789012:identity/[address]".to_owned(),
            ),
            (Some(json!("")), "\"\"".to_owned()),
            (Some(json!(12)), "12".to_owned()),
            (Some(json!(["email"])), "[\"email\"]".to_owned()),
            (Some(json!("Shop <help@example.com>")), "Shop <[address]>".to_owned()),
            (Some(json!("a\nb")), "a b".to_owned()),
            (Some(json!("é".repeat(61))), format!("{}…", "é".repeat(60))),
        ] {
            assert_eq!(shown(value.as_ref()), expected);
        }
    }

    #[test]
    fn list_names_ten_settings() {
        let difference = |index: usize| SettingDifference {
            setting: format!("S{index}"),
            before: Some(json!(index)),
            after: None,
        };
        assert_eq!(list(&[difference(1)]), "S1 (1, now not set)");
        let named = |setting: &str| SettingDifference { setting: setting.to_owned(), ..difference(1) };
        assert_eq!(list(&[named("SmsConfiguration.ExternalId")]), "SmsConfiguration.ExternalId");
        assert_eq!(
            list(&[named("UserPoolTags.of ana@example.com")]),
            "UserPoolTags.of [address] (1, now not set)"
        );
        let many: Vec<_> = (0..12).map(difference).collect();
        assert!(list(&many).ends_with("S9 (9, now not set) and 2 more"));
    }
}
