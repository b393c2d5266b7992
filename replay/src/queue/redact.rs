//! Masks personal data in what is shown of a message. Pure.
//!
//! A dead letter can contain anything in any field, so a value is shown only if it has the format
//! of its field, and the name of a field only if the schema or an envelope has it. `docs/replay.md`
//! lists what is shown.

use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Number, Value, json};
use shared::email_domain::Domain;
use uuid::Uuid;

use crate::output::counted;
use crate::queue::body_field::Fields;
use crate::queue::cloudtrail;

const MASK: &str = "***";

/// Objects and lists nested deeper are masked.
const MAX_DEPTH: usize = 16;

/// Characters of a text whose shape is shown.
const SHAPE_CHARS: usize = 60;

/// The names of fields in the schema of events.
const EVENT_NAMES: [&str; 49] = [
    "add",
    "amount",
    "by",
    "change",
    "changed",
    "changed_at",
    "channel",
    "claimed_by_client",
    "client_id",
    "clientaware",
    "currency",
    "data",
    "datacontenttype",
    "description",
    "email",
    "email_verified",
    "expires_at",
    "flow",
    "granted_by",
    "group",
    "groups",
    "id",
    "ip",
    "ip_address",
    "kind",
    "locale",
    "name",
    "notification_id",
    "order_id",
    "outcome",
    "pages_expire_at",
    "permissions",
    "preferred_username",
    "reason",
    "remove",
    "resource",
    "revoked_by",
    "source",
    "specversion",
    "subject",
    "time",
    "title",
    "traceparent",
    "type",
    "until",
    "userAgent",
    "user_pool_id",
    "username",
    "views",
];

/// Names of fields that SNS and EventBridge write. Sources: see `envelope.rs`.
const ENVELOPE_NAMES: [&str; 19] = [
    "Message",
    "MessageAttributes",
    "MessageId",
    "Signature",
    "SignatureVersion",
    "SigningCertURL",
    "Subject",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
    "UnsubscribeURL",
    "account",
    "detail",
    "detail-type",
    "region",
    "resources",
    "version",
];

/// Names of fields that CloudTrail writes about a call to Cognito. Source: CloudTrail user guide, *CloudTrail
/// record contents*, and the examples of the Amazon Cognito developer guide.
const CLOUDTRAIL_NAMES: [&str; 22] = [
    "additionalEventData",
    "awsRegion",
    "errorCode",
    "errorMessage",
    "eventCategory",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "managementEvent",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "responseElements",
    "sourceIPAddress",
    "sub",
    "tlsDetails",
    "userIdentity",
    "userPoolId",
];

/// Words that an id can have before and after its number.
const ID_WORDS: [&str; 26] = [
    "activity",
    "cancelled",
    "created",
    "deleted",
    "ended",
    "event",
    "evt",
    "granted",
    "invoice",
    "message",
    "msg",
    "notification",
    "order",
    "payment",
    "permission",
    "placed",
    "read",
    "recorded",
    "req",
    "request",
    "revoked",
    "share",
    "shipment",
    "shipped",
    "updated",
    "user",
];
/// Most digits of a number that is shown. Longer ones can be of a card or an account.
const MAX_DIGITS: usize = 12;

/// Values of the fields that have a few values only.
const FLOWS: [&str; 7] =
    ["pre_authentication", "hosted", "password", "new_password", "device", "refresh", "other"];
const OUTCOMES: [&str; 3] = ["allowed", "denied", "auto_confirmed"];
const CHANNELS: [&str; 7] = ["sms", "email_and_sms", "default", "self", "admin", "external", "other"];
const KINDS: [&str; 7] = [
    "sign_up",
    "admin_create_user",
    "resend_code",
    "forgot_password",
    "update_user_attribute",
    "verify_user_attribute",
    "authentication",
];

/// The body, with every value masked that does not have the format of its field. For a body that is no
/// JSON object, also its kind, its length and the shape of its beginning.
pub fn body(body: &str) -> String {
    let bytes = counted(body.len(), "byte");
    let json = match serde_json::from_str::<&RawValue>(body) {
        Ok(json) => json,
        Err(error) => return format!("not JSON, {bytes} of {}: {}", text_kind(body, &error), shape(body)),
    };
    match json.get().as_bytes().first() {
        Some(b'{') => mask("", json, 0).to_string(),
        Some(b'[') => format!("not a JSON object, {bytes}: a list: {}", mask("", json, 0)),
        Some(b'"') => match serde_json::from_str::<String>(json.get()) {
            Ok(text) if is_object(&text) => {
                format!("not a JSON object, {bytes}: JSON in a string: {}", self::body(&text))
            }
            Ok(text) => format!("not a JSON object, {bytes}: a string: {}", shape(&text)),
            Err(_) => format!("not a JSON object, {bytes}: a string with half of a surrogate pair"),
        },
        Some(b't' | b'f' | b'n') => format!("not a JSON object, {bytes}: {}", json.get()),
        _ => format!("not a JSON object, {bytes}: a number"),
    }
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The kind of a text that is not JSON.
fn text_kind(text: &str, error: &serde_json::Error) -> &'static str {
    let start = text.trim_start();
    let is_base64 = |text: &str| text.len() >= 16 && aws_smithy_types::base64::decode(text).is_ok();
    match () {
        () if start.is_empty() => "white space",
        () if start.starts_with(['{', '[']) && error.is_eof() => "JSON that is cut off",
        () if start.starts_with("{'") => "an object in single quotes",
        () if start.starts_with('<') => "XML or HTML",
        () if start.starts_with("H4sI") && is_base64(text.trim()) => "base64 of gzip",
        () if is_base64(text.trim()) => "base64",
        () => "text",
    }
}

/// The beginning of a text with every letter replaced by a or A, and every digit by 0.
fn shape(text: &str) -> String {
    let masked = text.chars().map(|c| match c {
        c if c.is_uppercase() => 'A',
        c if c.is_alphabetic() => 'a',
        c if c.is_numeric() => '0',
        c if c.is_ascii_punctuation() || c.is_whitespace() => c,
        _ => '?',
    });
    let mut shape: String = masked.take(SHAPE_CHARS).collect();
    if text.chars().nth(SHAPE_CHARS).is_some() {
        shape.push('…');
    }
    shape
}

/// Reads value by value, so that one that cannot be shown masks nothing else: half of a surrogate
/// pair, or a number of any size. What is masked still shows its type.
fn mask(name: &str, json: &RawValue, depth: usize) -> Value {
    let masked = |kind: &str| json!(format!("{MASK}{kind}"));
    match json.get().as_bytes().first() {
        Some(b'{') if depth < MAX_DEPTH => {
            let Ok(Fields(fields)) = serde_json::from_str(json.get()) else { return masked(" object") };
            let (known, unknown): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(name, _)| is_known(name));
            let values: Vec<Value> =
                unknown.iter().map(|(name, value)| mask(name, value, depth + 1)).collect();
            let known = known.into_iter().map(|(name, value)| {
                let value = mask(&name, value, depth + 1);
                (name, value)
            });
            let unknown = match values.len() {
                0 => None,
                1 => values.into_iter().next().map(|value| ("unknown field".to_owned(), value)),
                count => Some((format!("{count} unknown fields"), values.into())),
            };
            Value::Object(known.chain(unknown).collect())
        }
        Some(b'[') if depth < MAX_DEPTH => {
            let values = serde_json::from_str::<Vec<&RawValue>>(json.get()).unwrap_or_default();
            values.into_iter().map(|value| mask(name, value, depth + 1)).collect()
        }
        Some(b'{') => masked(" object"),
        Some(b'[') => masked(" list"),
        Some(b't' | b'f' | b'n') => serde_json::from_str(json.get()).unwrap_or_else(|_| masked("")),
        Some(b'"') => match serde_json::from_str::<String>(json.get()) {
            Ok(text) if name == "subject" => json!(subject(&text)),
            Ok(text) if has_format(name, &text) => json!(text),
            Ok(text) if is_object(&text) && depth < MAX_DEPTH => {
                let inner = serde_json::from_str(text.trim_start()).map(|inner| mask("", inner, depth + 1));
                inner.map_or_else(|_| masked(""), |inner| json!(inner.to_string()))
            }
            _ => masked(""),
        },
        // An amount must be a string. A number is the mistake that an operator looks for.
        Some(_) if name == "amount" && is_number(json.get()) => {
            serde_json::from_str::<Number>(json.get()).map_or_else(|_| masked(" number"), Value::Number)
        }
        _ => masked(" number"),
    }
}

fn is_known(name: &str) -> bool {
    [&EVENT_NAMES[..], &ENVELOPE_NAMES, &CLOUDTRAIL_NAMES].iter().any(|names| names.contains(&name))
}

/// True for a UUID or a number, also with words that name its kind: `order-1001-placed`, `n-7`.
fn is_id(text: &str) -> bool {
    fn without_words(mut text: &str) -> &str {
        let is_word = |word: &str| {
            ID_WORDS.contains(&word) || word.len() == 1 && word.chars().all(|c| c.is_ascii_lowercase())
        };
        while let Some((_, rest)) = text.split_once('-').filter(|(word, _)| is_word(word)) {
            text = rest;
        }
        while let Some((rest, _)) = text.rsplit_once('-').filter(|(_, word)| ID_WORDS.contains(word)) {
            text = rest;
        }
        text
    }
    let id = without_words(text);
    let is_digits = !id.is_empty() && id.chars().all(|c| c.is_ascii_digit());
    text.len() <= 64 && (is_digits && id.len() <= MAX_DIGITS || is_uuid(id))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::parse_str(text).is_ok()
}

/// True for digits with a sign and a point.
fn is_number(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let others = text.strip_prefix('-').unwrap_or(text).replacen('.', "", 1);
    (1..=MAX_DIGITS).contains(&digits) && others.chars().all(|c| c.is_ascii_digit())
}

/// True for the source of a user pool, and for paths and reverse domains of lower-case words.
fn is_source(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    if text.len() > 64 {
        return false;
    }
    if let Some(pool) = text.strip_prefix("/cognito/") {
        return pool.split_once('_').is_some_and(|(region, id)| {
            region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && id.chars().all(|c| c.is_ascii_alphanumeric())
        });
    }
    match text.strip_prefix('/') {
        Some(path) => path.split('/').all(is_word),
        None => {
            ["aws.", "com."].iter().any(|prefix| text.starts_with(prefix)) && text.split('.').all(is_word)
        }
    }
}

/// Returns `true` if a string has the format of the field `name`.
fn has_format(name: &str, text: &str) -> bool {
    let is_made_of = |others: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    let has_digit = text.contains(|c: char| c.is_ascii_digit());
    match name {
        "specversion" | "version" | "SignatureVersion" => {
            text.len() <= 5 && text.chars().all(|c| c.is_ascii_digit() || c == '.')
        }
        "id" | "order_id" | "notification_id" => is_id(text),
        "source" => is_source(text),
        "Type" => ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"].contains(&text),
        "TopicArn" => text.starts_with("arn:aws") && text.contains(":sns:") && is_made_of(":-_."),
        "MessageId" => is_uuid(text),
        "account" => text.len() == 12 && text.chars().all(|c| c.is_ascii_digit()),
        "region" | "awsRegion" => text.len() <= 25 && has_digit && code(text) == text,
        "Timestamp" => text.parse::<Timestamp>().is_ok(),
        "detail-type" if text == cloudtrail::API_CALL => true,
        "eventName" | "errorCode" => cloudtrail::is_call_name(text),
        "eventSource" => text.ends_with(".amazonaws.com") && code(text) == text,
        "eventID" | "sub" => is_uuid(text),
        "detail-type" | "type" => code(text) == text,
        "outcome" => OUTCOMES.contains(&text),
        "flow" => FLOWS.contains(&text),
        "channel" => CHANNELS.contains(&text),
        "kind" => KINDS.contains(&text),
        "time" | "eventTime" | "changed_at" => text.parse::<Timestamp>().is_ok(),
        "datacontenttype" => {
            let (media_type, parameters) = text.split_once(';').unwrap_or((text, "charset=utf-8"));
            media_type.trim_end().eq_ignore_ascii_case("application/json")
                && parameters.trim().eq_ignore_ascii_case("charset=utf-8")
        }
        "amount" => is_number(text),
        "currency" => text.len() == 3 && text.chars().all(|c| c.is_ascii_uppercase()),
        _ => false,
    }
}

/// The subject if it is a sub (a UUID) or a domain, neither of which names a person.
pub fn subject(subject: &str) -> &str {
    let is_sub = is_uuid(subject);
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
    use std::collections::BTreeSet;

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
            "data": {"email": "***", "name": "***", "2 unknown fields": [["***", "*** number"], "*** number"]},
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
            r#"{"title": "\ud83d", "amount": 1e999, "id": "order-1", "deep": [[{"type": "order.placed"}]]}"#,
        );
        let expected = json!({
            "title": "***", "amount": "*** number", "id": "order-1", "unknown field": [[{"type": "order.placed"}]],
        });
        assert_eq!(half, expected.to_string());
        assert_eq!(
            shown(json!({"datacontenttype": "Application/JSON; charset=UTF-8"}))["datacontenttype"],
            "Application/JSON; charset=UTF-8"
        );
        assert_eq!(shown(json!({"datacontenttype": "application/json; ana"}))["datacontenttype"], "***");
    }

    #[test]
    fn body_of_another_kind_shows_its_kind_and_its_shape() {
        for (text, expected) in [
            ("hello Ana 7", "not JSON, 11 bytes of text: aaaaa Aaa 0"),
            ("ana@example.com", "not JSON, 15 bytes of text: aaa@aaaaaaa.aaa"),
            ("\"José\"", "not a JSON object, 7 bytes: a string: Aaaa"),
            (r#""\ud83d""#, "not a JSON object, 8 bytes: a string with half of a surrogate pair"),
            (
                r#""{\"id\": \"order-1\"}""#,
                r#"not a JSON object, 23 bytes: JSON in a string: {"id":"order-1"}"#,
            ),
            (
                "[{\"id\": \"order-1\"}, 7]",
                r#"not a JSON object, 22 bytes: a list: [{"id":"order-1"},"*** number"]"#,
            ),
            ("491511234567", "not a JSON object, 12 bytes: a number"),
            ("null", "not a JSON object, 4 bytes: null"),
            ("{\"name\": \"Ana", "not JSON, 13 bytes of JSON that is cut off: {\"aaaa\": \"Aaa"),
            ("{'name': 'Ana'}", "not JSON, 15 bytes of an object in single quotes: {'aaaa': 'Aaa'}"),
            ("<order id=\"1\"/>", "not JSON, 15 bytes of XML or HTML: <aaaaa aa=\"0\"/>"),
            ("aGVsbG8gd29ybGQh", "not JSON, 16 bytes of base64: aAAaaA0aa00aaAAa"),
            (" \n", "not JSON, 2 bytes of white space:  \n"),
        ] {
            assert_eq!(body(text), expected);
        }
        let long = body(&"x ".repeat(50));
        assert_eq!(long, format!("not JSON, 100 bytes of text: {}…", "a ".repeat(SHAPE_CHARS / 2)));
    }

    #[test]
    fn envelope_shows_what_is_in_it() {
        let event = json!({"type": "order.placed", "data": {"email": "ana@example.com"}}).to_string();
        let sns = json!({
            "Type": "Notification", "MessageId": "7d8ca528-4931-4254-9273-ea5ee853f271",
            "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders", "Subject": "For Ana", "Message": event,
            "Timestamp": "2026-03-02T08:00:00.000Z", "SignatureVersion": "1", "Signature": "x",
        });
        let bus = json!({
            "version": "0", "id": "7d8ca528-4931-4254-9273-ea5ee853f271", "detail-type": "order.placed",
            "source": "com.example.shop", "account": "123456789012", "region": "eu-central-1", "resources": [],
            "time": "2026-03-02T08:00:00Z", "detail": {"type": "order.placed", "name": "Ana"},
        });
        assert_eq!(
            body(&sns.to_string()),
            json!({
                "Type": "Notification", "MessageId": "7d8ca528-4931-4254-9273-ea5ee853f271",
                "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders", "Subject": "***",
                "Message": r#"{"data":{"email":"***"},"type":"order.placed"}"#,
                "Timestamp": "2026-03-02T08:00:00.000Z", "SignatureVersion": "1", "Signature": "***",
            })
            .to_string()
        );
        let mut masked = bus.clone();
        masked["detail"]["name"] = json!("***");
        assert_eq!(body(&bus.to_string()), masked.to_string());
    }

    #[test]
    fn event_of_cloudtrail_shows_the_call_and_the_user_but_no_address_and_no_name() {
        let mut event = json!({
            "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "source": "aws.cognito-idp",
            "detail-type": "AWS API Call via CloudTrail", "account": "123456789012", "region": "eu-central-1",
            "detail": {
                "eventTime": "2026-03-02T08:00:00Z", "eventSource": "cognito-idp.amazonaws.com",
                "eventName": "InitiateAuth", "errorCode": "NotAuthorizedException", "awsRegion": "eu-central-1",
                "eventID": "bf3703467-0000", "sourceIPAddress": "192.0.2.1", "readOnly": false,
                "additionalEventData": {"sub": "7d8ca528-4931-4254-9273-ea5ee853f271"},
                "requestParameters": {"username": "ana"}, "errorMessage": "Incorrect username or password.",
            },
        });
        let shown: Value = serde_json::from_str(&body(&event.to_string())).unwrap();
        for field in ["eventID", "sourceIPAddress", "errorMessage"] {
            event["detail"][field] = json!("***");
        }
        event["detail"]["requestParameters"]["username"] = json!("***");
        assert_eq!(shown, event);
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

    #[test]
    fn value_is_shown_only_in_the_format_of_its_field() {
        for (name, shown, masked) in [
            (
                "id",
                vec![
                    "1",
                    "1001",
                    "order-1001-placed",
                    "n-7",
                    "7d8ca528-4931-4254-9273-ea5ee853f271",
                    "event-7d8ca528-4931-4254-9273-ea5ee853f271",
                ],
                vec![
                    "ana.miller1985",
                    "ana-7",
                    "order-ana-7",
                    "order",
                    "4915112345678",
                    "order-4915112345678",
                    "+491511234567",
                    "7-ana",
                    "",
                    "-",
                    "o-",
                ],
            ),
            ("order_id", vec!["order-7"], vec!["ana1", "A-7"]),
            ("currency", vec!["EUR"], vec!["Ana", "eur", "EURO"]),
            (
                "amount",
                vec!["4.90", "-10", "123456789012"],
                vec!["+4915112345678", "1234567890123", "1,5", "1.2.3", ""],
            ),
            (
                "source",
                vec![
                    "/shop",
                    "/shop/orders",
                    "/cognito/eu-central-1_EXAMPLE12",
                    "com.example.shop",
                    "aws.events",
                ],
                vec![
                    "/ana.miller/x",
                    "/Ana",
                    "/ana1985",
                    "/",
                    "/cognito/ana@example.com",
                    "/cognito/x_/y",
                    "ana",
                ],
            ),
            ("channel", vec!["sms"], vec!["ana.miller"]),
            ("flow", vec!["hosted"], vec!["ana"]),
            ("outcome", vec!["allowed"], vec!["ana"]),
            ("kind", vec!["sign_up"], vec!["ana"]),
        ] {
            for text in shown {
                assert!(has_format(name, text), "{name}: {text}");
            }
            for text in masked {
                assert!(!has_format(name, text), "{name}: {text}");
            }
        }
        assert_eq!(
            body(r#"{"amount": 4915112345678, "ana": 1}"#),
            r#"{"amount":"*** number","unknown field":"*** number"}"#
        );
    }

    #[test]
    fn names_and_values_of_the_schema_are_known() {
        let schema: Value = serde_json::from_str(include_str!("../../../events/schema/event.json")).unwrap();
        let (mut names, mut values) = (BTreeSet::new(), BTreeSet::new());
        fn visit(json: &Value, names: &mut BTreeSet<String>, values: &mut BTreeSet<String>) {
            let properties = json.get("properties").and_then(Value::as_object);
            names.extend(properties.into_iter().flat_map(|fields| fields.keys().cloned()));
            let list = json.get("enum").and_then(Value::as_array);
            values.extend(list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
            values.extend(json.get("const").and_then(Value::as_str).map(str::to_owned));
            match json {
                Value::Array(list) => list.iter().for_each(|value| visit(value, names, values)),
                Value::Object(fields) => fields.values().for_each(|value| visit(value, names, values)),
                _ => {}
            }
        }
        visit(&schema, &mut names, &mut values);
        assert_eq!(names, EVENT_NAMES.map(str::to_owned).into());
        for value in [&FLOWS[..], &OUTCOMES, &CHANNELS, &KINDS].concat() {
            assert!(values.contains(value), "{value}");
        }
    }
}
