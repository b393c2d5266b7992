//! Bodies in which SNS or EventBridge has wrapped the event. Pure.
//!
//! Sources: Amazon SNS Developer Guide, *Parsing Amazon SNS message formats* and *Raw message delivery*.
//! Amazon EventBridge User Guide, *Events* (structure of an event) and *Input transformation*.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::queue::cloudtrail::CloudTrailEvent;

/// What wrapped a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Envelope {
    SnsNotification,
    EventBridgeEvent,
}

impl Envelope {
    /// The envelope of a body. `None` if it has none, or if it is an event of CloudTrail: account-activity
    /// reads these in their envelope.
    pub fn of(body: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Notification {
            #[serde(rename = "Type")]
            _kind: IgnoredAny,
            #[serde(rename = "TopicArn")]
            _topic: IgnoredAny,
            #[serde(rename = "Message")]
            _message: IgnoredAny,
        }
        #[derive(Deserialize)]
        struct BusEvent {
            #[serde(rename = "detail-type")]
            _kind: IgnoredAny,
            #[serde(rename = "detail")]
            _detail: IgnoredAny,
            #[serde(rename = "source")]
            _source: IgnoredAny,
        }
        // serde would also read the fields from a list.
        if !body.trim_start().starts_with('{') {
            return None;
        }
        if serde_json::from_str::<Notification>(body).is_ok() {
            return Some(Self::SnsNotification);
        }
        let is_bus_event =
            serde_json::from_str::<BusEvent>(body).is_ok() && CloudTrailEvent::of(body).is_none();
        is_bus_event.then_some(Self::EventBridgeEvent)
    }

    /// Stable identifier, for JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::SnsNotification => "sns_notification",
            Self::EventBridgeEvent => "eventbridge_event",
        }
    }

    /// The kind of a body, and the place of its event.
    pub fn description(self) -> &'static str {
        match self {
            Self::SnsNotification => "a notification of SNS, with the event in the field Message",
            Self::EventBridgeEvent => "an event of EventBridge, with the event in the field detail",
        }
    }

    /// How to make the sender send the event without the envelope.
    pub fn advice(self) -> &'static str {
        match self {
            Self::SnsNotification => "Turn on raw message delivery (RawMessageDelivery) in the subscription",
            Self::EventBridgeEvent => "Set InputPath to $.detail in the target of the rule",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_is_recognized_by_its_fields() {
        let sns = r#"{"Type": "Notification", "MessageId": "1", "TopicArn": "arn", "Message": "{}", "Signature": "x"}"#;
        let bus = r#"{"version": "0", "id": "1", "detail-type": "x", "source": "shop", "account": "1", "detail": {}}"#;
        for (body, expected) in [
            (sns, Some(Envelope::SnsNotification)),
            (bus, Some(Envelope::EventBridgeEvent)),
            (&format!("\n {sns}"), Some(Envelope::SnsNotification)),
            (&bus.replace("detail-type", "type"), None),
            (&bus.replace(r#""x""#, r#""AWS API Call via CloudTrail""#), Some(Envelope::EventBridgeEvent)),
            (
                &bus.replace(r#""x""#, r#""AWS API Call via CloudTrail""#)
                    .replace("shop", "aws.cognito-idp")
                    .replace("{}", r#"{"eventName": "DeleteUser"}"#),
                None,
            ),
            (&sns.replace("TopicArn", "Topic"), None),
            (r#"{"specversion": "1.0", "type": "order.placed", "source": "/shop"}"#, None),
            (r#"["Notification", "arn", "{}"]"#, None),
            ("", None),
        ] {
            assert_eq!(Envelope::of(body), expected, "{body}");
        }
    }
}
