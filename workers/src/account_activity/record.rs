//! Reads what EventBridge delivers: CloudTrail's record of an API call in EventBridge's envelope. Pure.
//!
//! Only the fields that account-activity uses are read. Every other field may hold anything, because
//! clients of Cognito write into some of them.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use shared::time::whole_milliseconds;

use crate::rejection::Rejection;

/// Source of Cognito's events on EventBridge's bus.
const SOURCE: &str = "aws.cognito-idp";
/// Detail type of a recorded API call.
const DETAIL_TYPE: &str = "AWS API Call via CloudTrail";
/// CloudTrail's `eventSource` of calls to user pools.
const EVENT_SOURCE: &str = "cognito-idp.amazonaws.com";
/// What CloudTrail writes instead of a value that may be personal.
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";
const MAX_ID_CHARS: usize = 128;

/// An API call, as far as account-activity needs it. Texts that CloudTrail hides are `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The account in which the call was made.
    pub account: Option<String>,
    pub region: Option<String>,
    /// CloudTrail's `eventID`, unique for each call.
    pub id: String,
    pub time: Timestamp,
    /// The operation, such as `DeleteUser`.
    pub name: String,
    /// The user that the call is about.
    pub sub: Option<String>,
    /// The user pool that the call names. Calls with an access token name none.
    pub user_pool_id: Option<String>,
    pub auth_flow: Option<String>,
    pub group: Option<String>,
    /// Why the call failed. `None` if it succeeded.
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    /// `None` if an AWS service made the call.
    pub ip_address: Option<IpAddr>,
}

impl Record {
    pub fn read(body: &str) -> Result<Self, Rejection> {
        let not_cloudtrail = Rejection::NotCloudTrail;
        let envelope: Envelope =
            object(body).ok_or_else(|| not_cloudtrail("The message is not a JSON object"))?;
        if envelope.source.as_deref() != Some(SOURCE) {
            return Err(not_cloudtrail("source: expected aws.cognito-idp"));
        }
        if envelope.detail_type.as_deref() != Some(DETAIL_TYPE) {
            return Err(not_cloudtrail("detail-type: expected AWS API Call via CloudTrail"));
        }
        let detail = envelope.detail.ok_or_else(|| not_cloudtrail("detail: expected an object"))?;
        if detail.event_source.as_deref() != Some(EVENT_SOURCE) {
            return Err(not_cloudtrail("detail.eventSource: expected cognito-idp.amazonaws.com"));
        }
        let id = detail.event_id.filter(|id| (1..=MAX_ID_CHARS).contains(&id.chars().count()));
        let id = id.ok_or_else(|| not_cloudtrail("detail.eventID: expected 1 to 128 characters"))?;
        let time = detail.event_time.and_then(|time| time.parse::<Timestamp>().ok());
        let time = time.ok_or_else(|| not_cloudtrail("detail.eventTime: expected a time with an offset"))?;
        let request = detail.request_parameters.unwrap_or_default();
        Ok(Self {
            account: envelope.account,
            region: envelope.region,
            id,
            time: whole_milliseconds(time),
            name: detail.event_name.unwrap_or_default(),
            sub: visible(detail.additional_event_data.unwrap_or_default().sub),
            user_pool_id: visible(request.user_pool_id),
            auth_flow: visible(request.auth_flow),
            group: visible(request.group_name),
            error_code: detail.error_code,
            error_message: visible(detail.error_message),
            ip_address: detail.source_ip_address.and_then(|address| address.parse().ok()),
        })
    }
}

fn visible(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text != HIDDEN)
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default, deserialize_with = "lenient")]
    account: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    region: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    source: Option<String>,
    #[serde(default, rename = "detail-type", deserialize_with = "lenient")]
    detail_type: Option<String>,
    #[serde(default, deserialize_with = "lenient_object")]
    detail: Option<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default, rename = "eventID", deserialize_with = "lenient")]
    event_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    event_time: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    event_source: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    event_name: Option<String>,
    #[serde(default, deserialize_with = "code")]
    error_code: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    error_message: Option<String>,
    #[serde(default, rename = "sourceIPAddress", deserialize_with = "lenient")]
    source_ip_address: Option<String>,
    #[serde(default, deserialize_with = "lenient_object")]
    request_parameters: Option<RequestParameters>,
    #[serde(default, deserialize_with = "lenient_object")]
    additional_event_data: Option<AdditionalEventData>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestParameters {
    #[serde(default, deserialize_with = "lenient")]
    user_pool_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    auth_flow: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    group_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct AdditionalEventData {
    #[serde(default, deserialize_with = "lenient")]
    sub: Option<String>,
}

/// serde also reads a struct from a list.
fn object<T: DeserializeOwned>(json: &str) -> Option<T> {
    json.trim_start().starts_with('{').then(|| serde_json::from_str(json).ok())?
}

/// A value that is no object counts as missing.
fn lenient_object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = <&RawValue>::deserialize(deserializer)?;
    Ok(object(value.get()))
}

/// A value of another type counts as missing.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(value.get()).ok())
}

/// The error code of a failed call. A call with any value here has failed, because what it reports must
/// not erase a user by mistake. Values other than text stay as JSON.
fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let json = <&RawValue>::deserialize(deserializer)?.get();
    Ok((json != "null").then(|| serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body(change: impl FnOnce(&mut Value)) -> String {
        let mut body = json!({
            "version": "0", "id": "e", "account": "123456789012", "region": "eu-central-1",
            "source": "aws.cognito-idp", "detail-type": "AWS API Call via CloudTrail",
            "detail": {
                "eventID": "1", "eventTime": "2026-03-02T09:00:00Z", "eventName": "DeleteUser",
                "eventSource": "cognito-idp.amazonaws.com",
                "sourceIPAddress": "198.51.100.7", "requestParameters": {"accessToken": HIDDEN},
                "additionalEventData": {"sub": "ana"},
            },
        });
        change(&mut body);
        body.to_string()
    }

    #[test]
    fn body_without_envelope_id_or_time_is_rejected_and_the_reason_names_the_field() {
        for (body, field) in [
            ("no JSON".to_owned(), "The message"),
            ("[]".to_owned(), "The message"),
            (body(|body| body["source"] = json!("aws.s3")), "source"),
            (body(|body| body["detail-type"] = json!("Scheduled Event")), "detail-type"),
            (body(|body| body["detail-type"] = json!("AWS Service Event via CloudTrail")), "detail-type"),
            (body(|body| body["detail-type"] = json!(1)), "detail-type"),
            (body(|body| body["detail"]["eventSource"] = json!("s3.amazonaws.com")), "detail.eventSource"),
            (body(|body| body["detail"]["eventSource"] = json!(null)), "detail.eventSource"),
            (body(|body| body["detail"] = json!("x")), "detail"),
            (body(|body| body["detail"]["eventID"] = json!("")), "detail.eventID"),
            (body(|body| body["detail"]["eventID"] = json!("x".repeat(129))), "detail.eventID"),
            (body(|body| body["detail"]["eventTime"] = json!("today")), "detail.eventTime"),
            (body(|body| body["detail"]["eventTime"] = json!(7)), "detail.eventTime"),
        ] {
            let rejection = Record::read(&body).unwrap_err();
            assert_eq!(rejection.code(), "not_cloudtrail", "{body}");
            assert!(rejection.to_string().starts_with(field), "{rejection}: {body}");
        }
    }

    #[test]
    fn field_of_another_type_counts_as_missing_and_unused_fields_may_hold_anything() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for (name, value) in [
            ("userAgent", r#""\ud83d""#),
            ("userAgent", &deep),
            ("requestParameters", "null"),
            ("requestParameters", r#"["eu-central-1_EXAMPLE01"]"#),
            ("requestParameters", r#"{"clientMetadata": {"x": "\udc00"}, "userPoolId": 7}"#),
            ("requestParameters", &deep),
            ("responseElements", "1e999"),
            ("sourceIPAddress", r#""cognito-idp.amazonaws.com""#),
        ] {
            let marked = body(|body| body["detail"][name] = json!("?"));
            let record = Record::read(&marked.replacen("\"?\"", value, 1)).unwrap();
            assert_eq!((record.sub.as_deref(), record.user_pool_id), (Some("ana"), None), "{name}: {value}");
        }
        for data in [json!(null), json!("ana"), json!(["ana"]), json!({"sub": 7}), json!({"sub": HIDDEN})] {
            let record = Record::read(&body(|body| body["detail"]["additionalEventData"] = data)).unwrap();
            assert_eq!(record.sub, None);
        }
    }

    #[test]
    fn call_with_any_error_code_has_failed() {
        for (value, expected) in [
            (json!(null), None),
            (json!("NotAuthorizedException"), Some("NotAuthorizedException")),
            (json!(""), Some("")),
            (json!(7), Some("7")),
            (json!({"code": "x"}), Some(r#"{"code":"x"}"#)),
        ] {
            let record = Record::read(&body(|body| body["detail"]["errorCode"] = value)).unwrap();
            assert_eq!(record.error_code.as_deref(), expected);
        }
    }
}
