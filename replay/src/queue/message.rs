//! A message of a queue with all its attributes: as received, as a line of a file, and as it is
//! sent again.

use std::collections::BTreeMap;

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName};
use aws_smithy_types::base64;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use shared::events::{Event, InvalidEvent, StatedAttributes};
use shared::queues::{ERROR_MESSAGE, ERROR_TYPE, MAX_ATTRIBUTES, MAX_BATCH_BYTES, Message, is_group_id};

use crate::output::number;
use crate::queue::cloudtrail::{self, CloudTrailEvent};
use crate::queue::description::QueueDescription;
use crate::queue::redact;
use crate::queue::template_queue::TemplateQueue;

/// Reason of a message without `error.type`: SQS moved it after too many receives.
pub const RECEIVED_TOO_OFTEN: &str = "received_too_often";
/// Event type of a message whose body has none.
pub const NOT_AN_EVENT: &str = "not_an_event";

/// A message of a queue. Its JSON has the format of a record of Lambda's SQS event, without the
/// fields that belong to one receive. A body that is a JSON object on one line is embedded
/// unchanged, so that it can be read and edited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Record")]
pub struct QueuedMessage {
    /// SQS's id. Changes with every redrive.
    pub message_id: String,
    /// Attributes of SQS: SentTimestamp, ApproximateReceiveCount, MessageGroupId, AWSTraceHeader
    /// and others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Attributes of the sender. If a worker dead-lettered the message, also `error.type` and
    /// `error.message`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub message_attributes: BTreeMap<String, MessageAttribute>,
    #[serde(with = "body")]
    pub body: String,
}

/// What is read: a line of `replay save`, a record of Lambda's SQS event, or a message of `aws sqs
/// receive-message`, which begins its names with a capital letter. The fields of one receive are
/// ignored. Any other field is refused, because it would be lost.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    #[serde(alias = "MessageId")]
    message_id: String,
    #[serde(default, alias = "Attributes")]
    attributes: BTreeMap<String, String>,
    #[serde(default, alias = "MessageAttributes")]
    message_attributes: BTreeMap<String, MessageAttribute>,
    #[serde(alias = "Body", with = "body")]
    body: String,
    #[serde(default, rename = "receiptHandle", alias = "ReceiptHandle")]
    _receipt_handle: IgnoredAny,
    #[serde(default, rename = "md5OfBody", alias = "MD5OfBody")]
    _md5_of_body: IgnoredAny,
    #[serde(default, rename = "md5OfMessageAttributes", alias = "MD5OfMessageAttributes")]
    _md5_of_message_attributes: IgnoredAny,
    #[serde(default, rename = "eventSource")]
    _event_source: IgnoredAny,
    #[serde(default, rename = "eventSourceARN")]
    _event_source_arn: IgnoredAny,
    #[serde(default, rename = "awsRegion")]
    _aws_region: IgnoredAny,
}

impl From<Record> for QueuedMessage {
    fn from(record: Record) -> Self {
        let Record { message_id, attributes, message_attributes, body, .. } = record;
        Self { message_id, attributes, message_attributes, body }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageAttribute {
    /// String, Number or Binary, optionally with a dot and a custom type.
    #[serde(alias = "DataType")]
    pub data_type: String,
    /// Value of a String or a Number.
    #[serde(default, alias = "StringValue", skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// Value of a Binary, in base64.
    #[serde(default, alias = "BinaryValue", skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
    /// SQS: not implemented. Lambda writes an empty list.
    #[serde(default, alias = "StringListValues", skip_serializing)]
    string_list_values: [(); 0],
    /// The same.
    #[serde(default, alias = "BinaryListValues", skip_serializing)]
    binary_list_values: [(); 0],
}

/// Why SQS would reject a message. The text quotes nothing of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsendable(String);

impl Unsendable {
    /// Rejects a message that is too long for a queue.
    pub fn check_length(message: &Message, queue: &QueueDescription) -> Result<(), Self> {
        if message.bytes() <= queue.max_message_bytes {
            return Ok(());
        }
        Err(Self(format!(
            "body: more than {} bytes together with the attributes, which is all that {} accepts (MaximumMessageSize)",
            number(queue.max_message_bytes),
            queue.name()
        )))
    }
}

impl Unsendable {
    /// Rejects an event that the worker of a queue would reject, because it belongs on another queue of the
    /// template, and the same event on the dead-letter queue. Any other body passes.
    pub fn check_queue(message: &QueuedMessage, queue: &QueueDescription) -> Result<(), Self> {
        let (Some(target), Some(event_type)) =
            (TemplateQueue::of_messages_in(queue.name()), message.stated().event_type)
        else {
            return Ok(());
        };
        let belongs = match CloudTrailEvent::of(&message.body) {
            Some(_) => TemplateQueue::AccountActivities,
            None => TemplateQueue::of_type(&event_type),
        };
        // A newer user-stats may know the type.
        let is_unknown = target == TemplateQueue::UserEvents
            && matches!(Event::parse(&message.body), Err(InvalidEvent::UnknownType));
        if belongs == target || is_unknown {
            return Ok(());
        }
        let event_type = message.type_name();
        Err(Self(format!("{event_type} belongs on {belongs}, and the worker of {target} rejects it")))
    }
}

impl QueuedMessage {
    /// Returns `None` if the id or the body is missing. SQS always sends both.
    pub fn received(message: aws_sdk_sqs::types::Message) -> Option<Self> {
        let attributes = message.attributes.unwrap_or_default().into_iter();
        let message_attributes = message.message_attributes.unwrap_or_default().into_iter();
        Some(Self {
            message_id: message.message_id?,
            attributes: attributes.map(|(name, value)| (name.as_str().to_owned(), value)).collect(),
            message_attributes: message_attributes.map(|(name, value)| (name, value.into())).collect(),
            body: message.body?,
        })
    }

    /// The message of a bare event, in the message group of its subject. `None` if the
    /// text is not a JSON object with `specversion`.
    pub fn of_event(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Event {
            #[serde(rename = "specversion")]
            _version: IgnoredAny,
        }
        serde_json::from_str::<Event>(text).ok().filter(|_| text.starts_with('{'))?;
        let group = StatedAttributes::read(text).subject.filter(|subject| is_group_id(subject));
        let group =
            group.map(|group| (MessageSystemAttributeName::MessageGroupId.as_str().to_owned(), group));
        Some(Self {
            message_id: String::new(),
            attributes: group.into_iter().collect(),
            message_attributes: BTreeMap::new(),
            body: text.to_owned(),
        })
    }

    fn attribute(&self, name: &MessageSystemAttributeName) -> Option<&str> {
        self.attributes.get(name.as_str()).map(String::as_str)
    }

    /// Time at which the message was sent, or at which a worker dead-lettered it.
    pub fn sent_at(&self) -> Option<Timestamp> {
        let millis = self.attribute(&MessageSystemAttributeName::SentTimestamp)?.parse().ok()?;
        Timestamp::from_millisecond(millis).ok()
    }

    pub fn group_id(&self) -> Option<&str> {
        self.attribute(&MessageSystemAttributeName::MessageGroupId)
    }

    /// A FIFO queue drops a message whose deduplication id it has seen in the last five minutes.
    pub fn deduplication_id(&self) -> Option<&str> {
        self.attribute(&MessageSystemAttributeName::MessageDeduplicationId)
    }

    /// Whether a worker dead-lettered the message, so that it has a reason.
    pub fn has_reason(&self) -> bool {
        [ERROR_TYPE, ERROR_MESSAGE].iter().any(|name| self.message_attributes.contains_key(*name))
    }

    /// Code that says why the message is a dead letter.
    pub fn reason(&self) -> &str {
        let attribute = self.message_attributes.get(ERROR_TYPE);
        attribute.and_then(|attribute| attribute.string_value.as_deref()).unwrap_or(RECEIVED_TOO_OFTEN)
    }

    /// Sentence that explains the reason.
    pub fn error_message(&self) -> Option<&str> {
        self.message_attributes.get(ERROR_MESSAGE)?.string_value.as_deref()
    }

    /// Type and subject that the body states, read as the workers read it. For an event of CloudTrail, the
    /// name of the call and the sub.
    pub fn stated(&self) -> StatedAttributes {
        CloudTrailEvent::of(&self.body)
            .map_or_else(|| StatedAttributes::read(&self.body), CloudTrailEvent::stated)
    }

    /// The type that the body states, or `not_an_event`. Masked if it does not have the format of a type or
    /// of the name of a call.
    pub fn type_name(&self) -> String {
        match CloudTrailEvent::of(&self.body) {
            Some(event) if cloudtrail::is_call_name(&event.event_name) => event.event_name,
            _ => self.stated().event_type.as_deref().map_or(NOT_AN_EVENT, redact::code).to_owned(),
        }
    }

    /// The message to send again: with attributes, message group and trace header, without the
    /// reason.
    pub fn to_message(&self, deduplication_id: Option<String>) -> Result<Message, Unsendable> {
        let mut attributes = Vec::new();
        for (name, attribute) in &self.message_attributes {
            if name != ERROR_TYPE && name != ERROR_MESSAGE {
                check_name(name)?;
                attributes.push((name.clone(), attribute.value(name)?));
            }
        }
        let trace = self.attribute(&MessageSystemAttributeName::AwsTraceHeader);
        let message = Message {
            body: self.body.clone(),
            attributes,
            group_id: self.group_id().map(str::to_owned),
            deduplication_id,
            trace_header: trace.map(str::to_owned),
        };
        let rejected = |reason: &str| Err(Unsendable(reason.to_owned()));
        match &message {
            message if message.body.is_empty() => rejected("body: empty"),
            message if !message.body.chars().all(is_allowed) => {
                rejected("body: contains a character that SQS rejects")
            }
            message if message.bytes() > MAX_BATCH_BYTES => {
                rejected("body: more than 1 MiB together with the attributes")
            }
            message if message.attributes.len() > MAX_ATTRIBUTES => {
                rejected("messageAttributes: more than 10")
            }
            message if !message.trace_header.iter().all(|header| header.chars().all(is_allowed)) => {
                rejected("attributes.AWSTraceHeader: contains a character that SQS rejects")
            }
            message if message.group_id.iter().any(|id| !is_group_id(id)) => {
                rejected("attributes.MessageGroupId: expected 1 to 128 ASCII letters, digits or punctuation")
            }
            _ => Ok(message),
        }
    }
}

impl MessageAttribute {
    fn value(&self, name: &str) -> Result<MessageAttributeValue, Unsendable> {
        let unsendable = |reason: &str| Unsendable(format!("messageAttributes.{name}: {reason}"));
        let binary = self.binary_value.as_deref().map(base64::decode).transpose();
        let binary = binary.map_err(|_| unsendable("binaryValue: expected base64"))?;
        let (kind, custom) = self.data_type.split_once('.').unwrap_or((&self.data_type, "custom"));
        if !["String", "Number", "Binary"].contains(&kind) || custom.is_empty() || self.data_type.len() > 256
        {
            return Err(unsendable(
                "dataType: expected String, Number or Binary, optionally with a dot and a custom type",
            ));
        }
        let has_value = match kind {
            "Binary" => binary.as_ref().is_some_and(|value| !value.is_empty()) && self.string_value.is_none(),
            _ => self.string_value.as_ref().is_some_and(|value| !value.is_empty()) && binary.is_none(),
        };
        if !has_value {
            return Err(unsendable(
                "expected a stringValue, or a binaryValue for a Binary, that is not empty",
            ));
        }
        let text = self.string_value.as_deref().unwrap_or_default();
        if !text.chars().all(is_allowed) {
            return Err(unsendable("stringValue: contains a character that SQS rejects"));
        }
        if kind == "Number" && !is_number(text) {
            return Err(unsendable(
                "stringValue: expected a number with at most 38 digits, between 10^-128 and 10^126",
            ));
        }
        let value = MessageAttributeValue::builder().data_type(&self.data_type);
        let value = value.set_string_value(self.string_value.clone()).set_binary_value(binary.map(Blob::new));
        value.build().map_err(|_| unsendable("expected a dataType"))
    }
}

impl From<MessageAttributeValue> for MessageAttribute {
    fn from(value: MessageAttributeValue) -> Self {
        Self {
            data_type: value.data_type,
            string_value: value.string_value,
            binary_value: value.binary_value.map(|value| base64::encode(value.as_ref())),
            ..Self::default()
        }
    }
}

/// SQS: positive or negative, up to 38 digits of precision without leading and trailing zeros, and
/// between 10^-128 and 10^126. No `NaN`, and no infinity.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let Ok(exponent) = exponent.parse::<i32>() else { return false };
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return true;
    }
    // The number is d.ddd times ten to this power.
    let leading = digits.len() - significant.len();
    let length = |text: &str| i32::try_from(text.len()).unwrap_or(i32::MAX);
    let power =
        exponent.saturating_add(length(whole)).saturating_sub(length(&digits[..leading])).saturating_sub(1);
    let significant = significant.trim_end_matches('0');
    significant.len() <= 38 && (-128..126).contains(&power) || (power == 126 && significant == "1")
}

/// SQS: 1 to 256 letters, digits, hyphens, underscores and dots. No dot at an end or next to
/// another dot, and no prefix of AWS.
fn check_name(name: &str) -> Result<(), Unsendable> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_reserved = ["aws.", "amazon."].iter().any(|prefix| name.to_ascii_lowercase().starts_with(prefix));
    let is_dotted = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if (1..=256).contains(&name.len()) && name.chars().all(is_allowed) && !is_reserved && !is_dotted {
        return Ok(());
    }
    Err(Unsendable("messageAttributes: SQS rejects the name of an attribute".to_owned()))
}

/// SQS: #x9, #xA, #xD, and #x20 and above except #xFFFE and #xFFFF.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'))
}

/// A body that is a JSON object or list on one line is written unchanged, byte for byte. Any other
/// body is written as a string.
mod body {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use serde_json::value::RawValue;

    pub fn serialize<S: Serializer>(body: &str, serializer: S) -> Result<S::Ok, S::Error> {
        let is_embeddable = body.starts_with(['{', '[']) && body.ends_with(['}', ']']);
        match serde_json::from_str::<&RawValue>(body) {
            Ok(json) if is_embeddable && !body.contains(['\n', '\r']) => json.serialize(serializer),
            _ => serializer.serialize_str(body),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        match json.get() {
            text if text.starts_with('"') => serde_json::from_str(text).map_err(D::Error::custom),
            text if text.starts_with(['{', '[']) => Ok(text.to_owned()),
            _ => Err(D::Error::custom("body: expected a JSON object, or a string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> QueuedMessage {
        let attribute = |value: &str| MessageAttribute {
            data_type: "String".into(),
            string_value: Some(value.into()),
            ..MessageAttribute::default()
        };
        let binary = MessageAttribute {
            data_type: "Binary.png".into(),
            binary_value: Some("AP8=".into()),
            ..MessageAttribute::default()
        };
        QueuedMessage {
            message_id: "1".into(),
            attributes: [
                ("SentTimestamp", "1700000000000"),
                ("MessageGroupId", "ana"),
                ("AWSTraceHeader", "Root=1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            message_attributes: [
                ("error.type".to_owned(), attribute("unknown_type")),
                ("tenant".to_owned(), attribute("blue")),
                ("thumbnail".to_owned(), binary),
            ]
            .into(),
            body: body.into(),
        }
    }

    #[test]
    fn line_contains_the_message_byte_for_byte() {
        for body in [
            r#"{"a": 1,  "a":2}"#,
            "[1]",
            "{\n}",
            "plain",
            r#""quoted""#,
            "7",
            " {}",
            "{} ",
            "{\"a\":1}\u{2028}",
            "{",
            "é\t\"\\",
        ] {
            let line = serde_json::to_string(&message(body)).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<QueuedMessage>(&line).unwrap(), message(body), "{line}");
        }
        let line = serde_json::to_string(&message(r#"{"a": 1}"#)).unwrap();
        assert!(line.ends_with(r#""body":{"a": 1}}"#), "an object can be edited: {line}");
    }

    #[test]
    fn record_of_lambda_and_message_of_the_aws_cli_are_read() {
        let record = r#"{"messageId": "1", "receiptHandle": "r", "body": "{\"a\": 1}",
            "attributes": {"SentTimestamp": "1700000000000"}, "messageAttributes": {"tenant": {"stringValue": "blue",
            "stringListValues": [], "binaryListValues": [], "dataType": "String"}}, "md5OfBody": "x",
            "md5OfMessageAttributes": "x", "eventSource": "aws:sqs", "eventSourceARN": "arn", "awsRegion": "x"}"#;
        let received = r#"{"MessageId": "1", "ReceiptHandle": "r", "MD5OfBody": "x", "Body": "{\"a\": 1}",
            "Attributes": {"SentTimestamp": "1700000000000"}, "MD5OfMessageAttributes": "x",
            "MessageAttributes": {"tenant": {"StringValue": "blue", "DataType": "String"}}}"#;
        let saved = r#"{"messageId":"1","attributes":{"SentTimestamp":"1700000000000"},"messageAttributes":{"tenant":{"dataType":"String","stringValue":"blue"}},"body":{"a": 1}}"#;
        for text in [record, received, saved] {
            let message: QueuedMessage = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&message).unwrap(), saved);
        }
        for (known, unknown) in
            [("\"eventSource\"", "\"source\""), ("\"stringListValues\": []", "\"stringListValues\": [\"a\"]")]
        {
            let text = record.replace(known, unknown);
            assert!(
                serde_json::from_str::<QueuedMessage>(&text).is_err(),
                "a value would be lost: {unknown}"
            );
        }
    }

    #[test]
    fn number_is_one_that_sqs_accepts() {
        let digits = |count| "7".repeat(count);
        for (text, expected) in [
            ("7", true),
            ("-7.50", true),
            ("+.5", true),
            ("5.", true),
            ("0", true),
            ("0.000", true),
            ("1e126", true),
            ("1.000E+126", true),
            ("1.1e126", false),
            ("1e127", false),
            ("1e-128", true),
            ("0.1e-127", true),
            ("9.9e-129", false),
            (&digits(38), true),
            (&digits(39), false),
            (&format!("000{}000", digits(38)), true),
            (&format!("0.{}", digits(38)), true),
            ("1e400", false),
            ("1e99999999999", false),
            ("NaN", false),
            ("inf", false),
            ("", false),
            ("-", false),
            (".", false),
            ("e5", false),
            ("1e", false),
            ("1 ", false),
            ("0x7", false),
            ("1_000", false),
            ("٣", false),
        ] {
            assert_eq!(is_number(text), expected, "{text}");
        }
    }

    #[test]
    fn message_is_sent_again_without_its_reason() {
        let sent = message("{}").to_message(None).unwrap();
        let names: Vec<&str> = sent.attributes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["tenant", "thumbnail"]);
        assert_eq!(sent.attributes[1].1.binary_value().unwrap().as_ref(), [0, 255]);
        assert_eq!((sent.group_id.as_deref(), sent.trace_header.as_deref()), (Some("ana"), Some("Root=1")));
        assert_eq!(message("{}").reason(), "unknown_type");
    }

    #[test]
    fn error_names_the_field_that_sqs_rejects() {
        let error = |change: fn(&mut QueuedMessage)| {
            let mut message = message("{}");
            change(&mut message);
            message.to_message(None).unwrap_err().to_string()
        };
        assert_eq!(error(|m| m.body.clear()), "body: empty");
        assert_eq!(error(|m| m.body.push('\u{1}')), "body: contains a character that SQS rejects");
        assert_eq!(
            error(|m| m.body = "x".repeat(1024 * 1024)),
            "body: more than 1 MiB together with the attributes"
        );
        assert!(
            error(|m| drop(m.attributes.insert("MessageGroupId".into(), "é".into()))).contains("GroupId")
        );
        let attribute = |m: &mut QueuedMessage, name: &str| {
            m.message_attributes.insert(name.into(), MessageAttribute::default());
        };
        let mut many = message("{}");
        (0..10).for_each(|n| {
            drop(many.message_attributes.insert(n.to_string(), many.message_attributes["tenant"].clone()));
        });
        assert_eq!(many.to_message(None).unwrap_err().to_string(), "messageAttributes: more than 10");
        let mut empty = message("{}");
        attribute(&mut empty, "x");
        assert!(
            empty
                .to_message(None)
                .unwrap_err()
                .to_string()
                .starts_with("messageAttributes.x: dataType: expected")
        );
        for (data_type, value, expected) in [
            ("Strng", Some("a"), "dataType: expected"),
            ("String.", Some("a"), "dataType: expected"),
            ("String", None, "expected a stringValue"),
            ("String", Some(""), "expected a stringValue"),
            ("String", Some("\u{1}"), "contains a character"),
            ("Number", Some("abc"), "expected a number"),
            ("Number.int", Some("7"), ""),
            ("String.json", Some("{}"), ""),
        ] {
            let value = MessageAttribute {
                data_type: data_type.into(),
                string_value: value.map(str::to_owned),
                ..MessageAttribute::default()
            };
            let mut message = message("{}");
            message.message_attributes.insert("x".into(), value);
            let sent = message.to_message(None).map_err(|reason| reason.to_string());
            assert!(sent.err().unwrap_or_default().contains(expected), "{data_type}");
        }
        for name in ["", ".a", "a.", "a..b", "AWS.x", "amazon.y", "a b", "é"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(check_name("a-b_c.9"), Ok(()));
    }
}
