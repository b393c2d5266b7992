//! Events of CloudTrail in the envelope of EventBridge: the messages of account-activities. Pure.
//!
//! Source: Amazon EventBridge User Guide, *AWS service events delivered via AWS CloudTrail*.

use serde::Deserialize;
use serde_json::Value;
use shared::events::StatedAttributes;

/// `detail-type` of a call to the API of an AWS service.
pub const API_CALL: &str = "AWS API Call via CloudTrail";

/// The longest name of a call that is shown.
const MAX_NAME_CHARS: usize = 64;

/// `source` of the calls to Cognito user pools.
const COGNITO: &str = "aws.cognito-idp";

/// The event of a call to Cognito user pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudTrailEvent {
    /// The name of the call, such as `DeleteUser`. Any text.
    pub event_name: String,
    /// The sub of the user.
    pub sub: Option<String>,
}

impl CloudTrailEvent {
    /// The event of a body. `None` for any other body.
    pub fn of(body: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct BusEvent {
            #[serde(rename = "detail-type")]
            kind: String,
            source: String,
            detail: Detail,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Detail {
            event_name: String,
            #[serde(default)]
            additional_event_data: Value,
        }
        // serde would also read the fields from a list.
        if !body.trim_start().starts_with('{') {
            return None;
        }
        let event: BusEvent = serde_json::from_str(body).ok()?;
        let sub = event.detail.additional_event_data["sub"].as_str().map(str::to_owned);
        (event.kind == API_CALL && event.source == COGNITO)
            .then_some(Self { event_name: event.detail.event_name, sub })
    }

    /// The name of the call in place of an event type, and the user.
    pub fn stated(self) -> StatedAttributes {
        StatedAttributes { event_type: Some(self.event_name), subject: self.sub }
    }
}

/// True if a text has the format of the name of a call.
pub fn is_call_name(text: &str) -> bool {
    text.len() <= MAX_NAME_CHARS
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_is_recognized_by_its_detail_type_and_its_name() {
        let deleted = r#"{"version": "0", "detail-type": "AWS API Call via CloudTrail", "source": "aws.cognito-idp",
            "detail": {"eventName": "DeleteUser", "additionalEventData": {"sub": "ana"}}}"#;
        let event = |sub: Option<&str>| {
            Some(CloudTrailEvent { event_name: "DeleteUser".to_owned(), sub: sub.map(str::to_owned) })
        };
        for (body, expected) in [
            (deleted.to_owned(), event(Some("ana"))),
            (deleted.replace(r#"{"sub": "ana"}"#, "null"), event(None)),
            (deleted.replace("additionalEventData", "other"), event(None)),
            // account-activity counts a field of another type as missing.
            (deleted.replace(r#""ana""#, "7"), event(None)),
            (deleted.replace(r#"{"sub": "ana"}"#, "[]"), event(None)),
            (deleted.replace("API Call", "Service Event"), None),
            (deleted.replace("eventName", "name"), None),
            (deleted.replace("source", "from"), None),
            (deleted.replace("aws.cognito-idp", "aws.s3"), None),
            (format!("[{deleted}]"), None),
            (r#"{"specversion": "1.0", "type": "order.placed"}"#.to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(CloudTrailEvent::of(&body), expected, "{body}");
        }
    }

    #[test]
    fn name_of_a_call_is_shown_only_in_its_format() {
        for (text, expected) in [
            ("DeleteUser", true),
            ("ana", false),
            ("Ana Lopez", false),
            ("ana@example.com", false),
            ("", false),
        ] {
            assert_eq!(is_call_name(text), expected, "{text}");
        }
        assert!(!is_call_name(&"A".repeat(MAX_NAME_CHARS + 1)));
    }
}
