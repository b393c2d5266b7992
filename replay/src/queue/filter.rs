//! Options that select messages of a queue.

use clap::Args;
use shared::events::StatedAttributes;
use shared::time::Clock;

use crate::time_option::{When, parse_when};

use crate::queue::body_field::{Path, is_text};
use crate::queue::message::{NOT_AN_EVENT, QueuedMessage};

/// Selects the messages that match every given option. Without options, it selects all messages.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct Filter {
    /// Event type, such as order.placed, or not_an_event for a body without a type. Can be
    /// repeated.
    #[arg(long = "type", value_name = "TYPE", help_heading = "Message selection")]
    pub types: Vec<String>,
    /// Event subject: a user's sub, or domain:example.com. Can be repeated.
    #[arg(long = "subject", value_name = "SUBJECT", help_heading = "Message selection")]
    pub subjects: Vec<String>,
    /// Reason (the message attribute error.type), or received_too_often for a message without one.
    /// Can be repeated.
    #[arg(long = "error", value_name = "REASON", help_heading = "Message selection")]
    pub errors: Vec<String>,
    /// Field of the body with a value, or with any: data.order_id=42, data.lines.0.sku, type. Repeat it
    /// with the same path for alternatives, with another path for one more condition.
    #[arg(long = "where", value_name = "PATH[=VALUE]", value_parser = parse_field, help_heading = "Message selection")]
    pub fields: Vec<FieldCondition>,
    /// Message attribute with a value, or with any: tenant=blue, tenant. Repeat it like --where.
    #[arg(long = "attribute", value_name = "NAME[=VALUE]", value_parser = parse_attribute, help_heading = "Message selection")]
    pub attributes: Vec<AttributeCondition>,
    /// Message group. Can be repeated.
    #[arg(long = "group", value_name = "ID", help_heading = "Message selection")]
    pub groups: Vec<String>,
    /// SQS's id of the message, as in a file of `replay save`. Can be repeated.
    #[arg(long = "message-id", value_name = "ID", help_heading = "Message selection")]
    pub message_ids: Vec<String>,
    /// Messages sent before a time, or longer ago than a duration: 2026-04-01T12:00:00Z, 90m, 2d.
    #[arg(long, value_name = "WHEN", value_parser = parse_when, help_heading = "Message selection")]
    pub older_than: Option<When>,
    /// Messages sent since a time, or within a duration.
    #[arg(long, value_name = "WHEN", value_parser = parse_when, help_heading = "Message selection")]
    pub newer_than: Option<When>,
}

/// A field of the body, and its value unless any will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldCondition {
    path: Path,
    value: Option<String>,
}

/// A message attribute, and its value unless any will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeCondition {
    name: String,
    value: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("expected the name of a field, or names joined by dots, such as data.order_id=42")]
pub struct InvalidField;

#[derive(Debug, thiserror::Error)]
#[error("expected the name of a message attribute, such as tenant=blue")]
pub struct InvalidAttribute;

fn split_value(text: &str) -> (&str, Option<String>) {
    match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    }
}

/// Parses `PATH=VALUE`, or a path for any value.
pub fn parse_field(text: &str) -> Result<FieldCondition, InvalidField> {
    let (path, value) = split_value(text);
    Ok(FieldCondition { path: Path::parse(path).ok_or(InvalidField)?, value })
}

fn parse_attribute(text: &str) -> Result<AttributeCondition, InvalidAttribute> {
    let (name, value) = split_value(text);
    if name.is_empty() {
        return Err(InvalidAttribute);
    }
    Ok(AttributeCondition { name: name.to_owned(), value })
}

impl FieldCondition {
    fn matches(&self, message: &QueuedMessage) -> bool {
        let found = self.path.find(&message.body);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| is_text(found, value)))
    }
}

impl AttributeCondition {
    /// The value of a Binary is compared in base64.
    fn matches(&self, message: &QueuedMessage) -> bool {
        let Some(attribute) = message.message_attributes.get(&self.name) else { return false };
        let values = [&attribute.string_value, &attribute.binary_value];
        self.value.is_none() || values.into_iter().any(|value| value.is_some() && *value == self.value)
    }
}

/// True if one of the conditions about each key holds.
fn all_hold<C, K: PartialEq>(conditions: &[C], key: impl Fn(&C) -> &K, holds: impl Fn(&C) -> bool) -> bool {
    conditions
        .iter()
        .all(|condition| conditions.iter().any(|other| key(other) == key(condition) && holds(other)))
}

impl Filter {
    /// True if the filter selects all messages.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A message without a send time matches no time option.
    pub fn matches(&self, message: &QueuedMessage, clock: &Clock) -> bool {
        let StatedAttributes { event_type, subject } = message.stated();
        let (sent_at, now) = (message.sent_at(), clock.now());
        let is_one_of = |wanted: &[String], text: &str| wanted.is_empty() || wanted.iter().any(|w| w == text);
        is_one_of(&self.types, event_type.as_deref().unwrap_or(NOT_AN_EVENT))
            && (self.subjects.is_empty()
                || subject.is_some_and(|subject| is_one_of(&self.subjects, &subject)))
            && is_one_of(&self.errors, message.reason())
            && is_one_of(&self.message_ids, &message.message_id)
            && (self.groups.is_empty() || message.group_id().is_some_and(|id| is_one_of(&self.groups, id)))
            && all_hold(&self.attributes, |condition| &condition.name, |condition| condition.matches(message))
            && all_hold(&self.fields, |condition| &condition.path, |condition| condition.matches(message))
            && self.older_than.is_none_or(|when| sent_at.is_some_and(|sent_at| sent_at < when.ago(now)))
            && self.newer_than.is_none_or(|when| sent_at.is_some_and(|sent_at| sent_at >= when.ago(now)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn message_matches_if_it_meets_every_option() {
        let line = serde_json::json!({
            "messageId": "1", "attributes": {"SentTimestamp": "1700000000000", "MessageGroupId": "ana"},
            "messageAttributes": {
                "error.type": {"dataType": "String", "stringValue": "unknown_type"},
                "size": {"dataType": "Number", "stringValue": "42"},
                "thumbnail": {"dataType": "Binary", "binaryValue": "AP8="},
            },
            "body": {"type": "order.shipped", "subject": "ana", "data": {"order_id": 42, "size": "L"}},
        });
        let message: QueuedMessage = serde_json::from_str(&line.to_string()).unwrap();
        let plain = QueuedMessage {
            message_id: "2".into(),
            attributes: [("SentTimestamp".to_owned(), "1700000000000".to_owned())].into(),
            message_attributes: [].into(),
            body: "x".into(),
        };
        let clock = Clock::from_fn(|| Timestamp::from_second(1_700_000_000 + 3_600).unwrap());
        let matches = |filter: &Filter| [&message, &plain].map(|message| filter.matches(message, &clock));
        let or_other = |value: &str| vec!["other".to_owned(), value.to_owned()];
        let when = |text: &str| Some(parse_when(text).unwrap());
        let fields = |texts: &[&str]| texts.iter().map(|text| parse_field(text).unwrap()).collect();
        let attributes = |texts: &[&str]| texts.iter().map(|text| parse_attribute(text).unwrap()).collect();
        let all = Filter::default;
        assert!(all().is_empty());
        for (filter, expected) in [
            (all(), [true, true]),
            (Filter { types: or_other("order.shipped"), ..all() }, [true, false]),
            (Filter { types: or_other("not_an_event"), ..all() }, [false, true]),
            (Filter { subjects: or_other("ana"), ..all() }, [true, false]),
            (Filter { errors: or_other("unknown_type"), ..all() }, [true, false]),
            (Filter { errors: or_other("received_too_often"), ..all() }, [false, true]),
            (Filter { message_ids: or_other("2"), ..all() }, [false, true]),
            (Filter { groups: or_other("ana"), ..all() }, [true, false]),
            (Filter { fields: fields(&["data.order_id=42"]), ..all() }, [true, false]),
            (Filter { fields: fields(&["data.order_id=41", "data.order_id=42"]), ..all() }, [true, false]),
            (Filter { fields: fields(&["data.order_id=42", "data.size=M"]), ..all() }, [false, false]),
            (
                Filter { fields: fields(&["data.order_id", "data.size=L", "data.size=M"]), ..all() },
                [true, false],
            ),
            (Filter { fields: fields(&["data.none"]), ..all() }, [false, false]),
            (Filter { attributes: attributes(&["size=42"]), ..all() }, [true, false]),
            (Filter { attributes: attributes(&["size=42", "thumbnail=AP8="]), ..all() }, [true, false]),
            (Filter { attributes: attributes(&["size=1", "size"]), ..all() }, [true, false]),
            (Filter { attributes: attributes(&["size", "color"]), ..all() }, [false, false]),
            (
                Filter { fields: fields(&["data.size=L"]), types: or_other("order.placed"), ..all() },
                [false, false],
            ),
            (Filter { older_than: when("59m"), ..all() }, [true, true]),
            (Filter { older_than: when("1h"), ..all() }, [false, false]),
            (Filter { newer_than: when("1h"), ..all() }, [true, true]),
            (Filter { newer_than: when("2023-11-15"), ..all() }, [false, false]),
            (Filter { older_than: when("2023-11-15"), newer_than: when("2d"), ..all() }, [true, true]),
            (Filter { types: or_other("order.shipped"), subjects: or_other("ben"), ..all() }, [false, false]),
        ] {
            assert_eq!(matches(&filter), expected, "{filter:?}");
        }
    }
    #[test]
    fn condition_needs_a_name() {
        for text in ["", "=", "=x", "a..b=x", ".a"] {
            assert!(parse_field(text).is_err(), "{text}");
        }
        assert!(parse_attribute("=x").is_err() && parse_attribute("error.type=x=y").is_ok());
    }
}
