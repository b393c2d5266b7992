//! What may be shown of a message. Above all in a dead letter anything may stand anywhere, so that a value is shown only
//! where it has the form that its field should have. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::email_domain::Domain;
use uuid::Uuid;

/// In place of what may be personal.
const MASK: &str = "***";

/// The body with everything masked that does not have its field's form.
pub fn body(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(json @ Value::Object(_)) => mask("", json).to_string(),
        Ok(_) => format!("{} bytes of JSON that is no event", body.len()),
        Err(_) => format!("{} bytes that are no JSON", body.len()),
    }
}

fn mask(name: &str, json: Value) -> Value {
    match json {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = mask(&name, value);
                (if is_name(&name) { name } else { MASK.to_owned() }, value)
            });
            Value::Object(fields.collect())
        }
        Value::Array(values) => values.into_iter().map(|value| mask(name, value)).collect(),
        Value::String(text) if name == "subject" => json!(subject(&text)),
        Value::String(text) if has_form(name, &text) => json!(text),
        // A number where a decimal string should be is what one looks for.
        Value::Number(number) if name == "amount" => json!(number),
        Value::String(_) | Value::Number(_) => json!(MASK),
        other => other,
    }
}

/// Names of fields look like this; a key may be anything.
fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 32 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(is_part)
}

/// Whether a string looks as the field of this name should.
fn has_form(name: &str, text: &str) -> bool {
    let is_made_of = |others: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    let has_digit = text.contains(|c: char| c.is_ascii_digit());
    match name {
        "specversion" => text.len() <= 5 && text.chars().all(|c| c.is_ascii_digit() || c == '.'),
        // Without a digit it could be somebody's name.
        "id" | "order_id" | "notification_id" => text.len() <= 64 && has_digit && is_made_of("-_.:/"),
        "source" => text.len() <= 64 && text.starts_with('/') && is_made_of("-_./"),
        "type" | "outcome" | "flow" | "channel" | "kind" => word(text) == text,
        "time" | "changed_at" => text.parse::<Timestamp>().is_ok(),
        "datacontenttype" => text == "application/json",
        "amount" => {
            text.len() <= 32 && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | ','))
        }
        "currency" => text.len() == 3 && text.chars().all(|c| c.is_ascii_alphabetic()),
        _ => false,
    }
}

/// A subject that names nobody: a sub, which is a UUID, or a domain.
pub fn subject(subject: &str) -> &str {
    let is_sub = subject.len() == 36 && Uuid::parse_str(subject).is_ok();
    let is_domain = subject.strip_prefix("domain:").is_some_and(|domain| {
        ["other", "none", "invalid"].contains(&domain) || Domain::parse(domain).is_ok()
    });
    if is_sub || is_domain || subject == "unknown" { subject } else { "no sub (masked)" }
}

/// A type or a reason as they look; anything else could be anything.
pub fn word(text: &str) -> &str {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if text.len() <= 64 && text.chars().all(is_part) { text } else { "no word (masked)" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_shows_nothing_personal() {
        let shown = |json: Value| serde_json::from_str::<Value>(&body(&json.to_string())).unwrap();
        let event = json!({
            "type": "user.confirmed", "subject": "ana", "id": "order-1001", "source": "/shop",
            "time": "2026-03-02T08:00:00Z",
            "data": {"email": "ana@example.com", "name": "Ana", "phone": 491511234567_u64, "other": ["ana@example.com", 7]},
        });
        let expected = json!({
            "type": "user.confirmed", "subject": "no sub (masked)", "id": "order-1001", "source": "/shop",
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
        assert_eq!(body("ana@example.com"), "15 bytes that are no JSON");
        assert_eq!(body("\"ana@example.com\""), "17 bytes of JSON that is no event");
    }

    #[test]
    fn a_subject_is_a_sub_or_a_domain() {
        let masked = "no sub (masked)";
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
