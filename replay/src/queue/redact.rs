//! Masks personal data in what is shown of a message. Pure.
//!
//! A dead letter can contain anything in any field, so a value is shown only if it has the format
//! of its field.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Number, Value, json};
use shared::email_domain::Domain;
use uuid::Uuid;

use crate::output::counted;

const MASK: &str = "***";

/// Objects and lists nested deeper are masked.
const MAX_DEPTH: usize = 16;

/// The body, with every value masked that does not have the format of its field.
pub fn body(body: &str) -> String {
    match serde_json::from_str::<&RawValue>(body) {
        Ok(json) if json.get().starts_with('{') => mask("", json, 0).to_string(),
        Ok(_) => format!("not a JSON object, {}", counted(body.len(), "byte")),
        Err(_) => format!("not JSON, {}", counted(body.len(), "byte")),
    }
}

/// Reads value by value, so that one that cannot be shown masks nothing else: half of a surrogate
/// pair, or a number of any size.
fn mask(name: &str, json: &RawValue, depth: usize) -> Value {
    let masked = || json!(MASK);
    match json.get().as_bytes().first() {
        Some(b'{') if depth < MAX_DEPTH => {
            let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json.get()) else {
                return masked();
            };
            let fields = fields.into_iter().map(|(name, value)| {
                let value = mask(&name, value, depth + 1);
                (if is_name(&name) { name } else { MASK.to_owned() }, value)
            });
            Value::Object(fields.collect())
        }
        Some(b'[') if depth < MAX_DEPTH => {
            let values = serde_json::from_str::<Vec<&RawValue>>(json.get()).unwrap_or_default();
            values.into_iter().map(|value| mask(name, value, depth + 1)).collect()
        }
        Some(b't' | b'f' | b'n') => serde_json::from_str(json.get()).unwrap_or_else(|_| masked()),
        Some(b'"') => match serde_json::from_str::<String>(json.get()) {
            Ok(text) if name == "subject" => json!(subject(&text)),
            Ok(text) if has_format(name, &text) => json!(text),
            _ => masked(),
        },
        // An amount must be a string. A number is the mistake that an operator looks for.
        Some(_) if name == "amount" => {
            serde_json::from_str::<Number>(json.get()).map_or_else(|_| masked(), Value::Number)
        }
        _ => masked(),
    }
}

/// Returns `true` if a key has the format of a field name.
fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 32 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(is_part)
}

/// Returns `true` if a string has the format of the field `name`.
fn has_format(name: &str, text: &str) -> bool {
    let is_made_of = |others: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    let has_digit = text.contains(|c: char| c.is_ascii_digit());
    match name {
        "specversion" => text.len() <= 5 && text.chars().all(|c| c.is_ascii_digit() || c == '.'),
        // A text without a digit could be a person's name.
        "id" | "order_id" | "notification_id" => text.len() <= 64 && has_digit && is_made_of("-_.:/"),
        "source" => text.len() <= 64 && text.starts_with('/') && is_made_of("-_./"),
        "type" | "outcome" | "flow" | "channel" | "kind" => code(text) == text,
        "time" | "changed_at" => text.parse::<Timestamp>().is_ok(),
        "datacontenttype" => {
            let (media_type, parameters) = text.split_once(';').unwrap_or((text, "charset=utf-8"));
            media_type.trim_end().eq_ignore_ascii_case("application/json")
                && parameters.trim().eq_ignore_ascii_case("charset=utf-8")
        }
        "amount" => {
            text.len() <= 32 && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | ','))
        }
        "currency" => text.len() == 3 && text.chars().all(|c| c.is_ascii_alphabetic()),
        _ => false,
    }
}

/// The subject if it is a sub (a UUID) or a domain, neither of which names a person.
pub fn subject(subject: &str) -> &str {
    let is_sub = subject.len() == 36 && Uuid::parse_str(subject).is_ok();
    let is_domain = subject.strip_prefix("domain:").is_some_and(|domain| {
        ["other", "none", "invalid"].contains(&domain) || Domain::parse(domain).is_ok()
    });
    if is_sub || is_domain || subject == "unknown" { subject } else { "masked (not a sub or a domain)" }
}

/// The text if it has the format of an event type or a reason.
pub fn code(text: &str) -> &str {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if text.len() <= 64 && text.chars().all(is_part) { text } else { "masked (not a code)" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_shows_no_personal_data() {
        let shown = |json: Value| serde_json::from_str::<Value>(&body(&json.to_string())).unwrap();
        let event = json!({
            "type": "user.confirmed", "subject": "ana", "id": "order-1001", "source": "/shop",
            "time": "2026-03-02T08:00:00Z",
            "data": {"email": "ana@example.com", "name": "Ana", "phone": 491511234567_u64, "other": ["ana@example.com", 7]},
        });
        let expected = json!({
            "type": "user.confirmed", "subject": "masked (not a sub or a domain)", "id": "order-1001", "source": "/shop",
            "time": "2026-03-02T08:00:00Z",
            "data": {"email": "***", "name": "***", "phone": "***", "other": ["***", "***"]},
        });
        assert_eq!(shown(event), expected);
        let odd = json!({
            "id": "Ana Lopez", "source": "+49 151 1234567", "order_id": "Ana", "currency": "Ana Lopez",
            "Ana Lopez": 1, "ana@example.com": true, "amount": "call +49 151", "type": "Ana Lopez", "time": "Ana",
        });
        let text = body(&odd.to_string());
        assert!(!text.contains("Ana") && !text.contains('@') && !text.contains("151"), "{text}");
        assert_eq!(
            shown(json!({"amount": 4.9, "currency": "EUR"})),
            json!({"amount": 4.9, "currency": "EUR"})
        );
        let half = body(
            r#"{"note": "\ud83d", "size": 1e999, "id": "order-1", "deep": [[{"type": "order.placed"}]]}"#,
        );
        let expected = json!({
            "note": "***", "size": "***", "id": "order-1", "deep": [[{"type": "order.placed"}]],
        });
        assert_eq!(half, expected.to_string());
        assert_eq!(
            shown(json!({"datacontenttype": "Application/JSON; charset=UTF-8"}))["datacontenttype"],
            "Application/JSON; charset=UTF-8"
        );
        assert_eq!(shown(json!({"datacontenttype": "application/json; ana"}))["datacontenttype"], "***");
        assert_eq!(body("ana@example.com"), "not JSON, 15 bytes");
        assert_eq!(body("\"ana@example.com\""), "not a JSON object, 17 bytes");
    }

    #[test]
    fn subject_is_shown_if_it_is_a_sub_or_a_domain() {
        let masked = "masked (not a sub or a domain)";
        for (text, shown) in [
            ("7d8ca528-4931-4254-9273-ea5ee853f271", "7d8ca528-4931-4254-9273-ea5ee853f271"),
            ("domain:example.com", "domain:example.com"),
            ("domain:other", "domain:other"),
            ("unknown", "unknown"),
            ("domain:Ana Lopez, Main St 5", masked),
            ("123456789012345678901234567890123456", masked),
            ("ana@example.com", masked),
        ] {
            assert_eq!(subject(text), shown);
        }
    }
}
