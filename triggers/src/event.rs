//! The event that Cognito sends and expects back.
//!
//! A trigger reads single fields and edits only `response`. All other fields go back byte for byte,
//! so a field, a trigger source or a type that Cognito adds later cannot make a sign-in fail.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::events::Subject;

/// A denial or a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerError {
    /// Stable code for the log and for alarms.
    pub error_type: &'static str,
    /// Cognito shows this to the user and appends a period. One sentence without a final period. It
    /// contains nothing from the event, from the code or about the cause.
    pub message: &'static str,
}

/// Answer if a field of the event cannot be parsed.
const UNREADABLE: TriggerError =
    TriggerError { error_type: "unreadable_event", message: "Something went wrong, please try again" };

/// An event of any user pool trigger.
pub struct TriggerEvent {
    raw: Box<RawValue>,
    /// The top-level fields in their order. Empty if the event is not a JSON object.
    fields: Vec<(String, Box<RawValue>)>,
    request: Value,
    response: Option<Map<String, Value>>,
    traceparent: Option<String>,
    invoked_at: Option<Timestamp>,
}

/// Shows only the trigger source, so that `{:?}` cannot write personal data to a log.
impl fmt::Debug for TriggerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerEvent").field("trigger_source", &self.trigger_source()).finish_non_exhaustive()
    }
}

impl TriggerEvent {
    pub fn from_json(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    pub fn with_traceparent(self, traceparent: Option<String>) -> Self {
        Self { traceparent, ..self }
    }

    /// W3C trace context of the invocation.
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    pub fn with_invoked_at(self, time: Timestamp) -> Self {
        Self { invoked_at: Some(time), ..self }
    }

    /// The start of the invocation. `None` outside Lambda.
    pub fn invoked_at(&self) -> Option<Timestamp> {
        self.invoked_at
    }

    /// Fails if a field exists but cannot be parsed, such as a string with half of a surrogate
    /// pair. The other methods would treat such a field as missing.
    pub fn check_readable(&self) -> Result<(), TriggerError> {
        let is_readable =
            |(_, raw): &(String, Box<RawValue>)| serde_json::from_str::<Value>(raw.get()).is_ok();
        if self.fields.iter().all(is_readable) {
            return Ok(());
        }
        tracing::error!(error_type = UNREADABLE.error_type, "a field of Cognito's event cannot be parsed");
        Err(UNREADABLE)
    }

    /// The trigger and its cause, such as `PreSignUp_SignUp`.
    pub fn trigger_source(&self) -> String {
        self.text("triggerSource")
    }

    /// The event version: `1`, or for pre-token-generation also `2` or `3`.
    pub fn version(&self) -> String {
        self.text("version")
    }

    pub fn user_pool_id(&self) -> String {
        self.text("userPoolId")
    }

    pub fn user_name(&self) -> String {
        self.text("userName")
    }

    pub fn client_id(&self) -> String {
        let context: Value = self.field("callerContext");
        context.get("clientId").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// `request`, or null if it is missing.
    pub fn request(&self) -> &Value {
        &self.request
    }

    /// A user attribute. Cognito sends strings. The examples in the AWS documentation also have
    /// booleans and nulls. A null counts as missing.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.request.get("userAttributes")?.get(name)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Null => None,
            other => Some(Cow::Owned(other.to_string())),
        }
    }

    /// The key of the user in the table: the `sub`, or the username if Cognito sends no `sub`. A
    /// name that looks like another kind of subject gets a prefix, as in events.
    pub fn sub(&self) -> String {
        let sub = self.attribute("sub").filter(|sub| !sub.is_empty());
        let name = sub.map_or_else(|| self.user_name(), Cow::into_owned);
        Subject::user(&name).to_string()
    }

    /// The current `response`. Empty if Cognito sent none.
    pub fn response(&self) -> Map<String, Value> {
        self.response.clone().unwrap_or_else(|| match self.field("response") {
            Value::Object(response) => response,
            _ => Map::new(),
        })
    }

    /// Replaces `response`. There is no way to change any other field.
    pub fn set_response(&mut self, response: Map<String, Value>) {
        self.response = Some(response);
    }

    /// The first field with this name, or null if there is none.
    fn field(&self, name: &str) -> Value {
        let raw = self.fields.iter().find(|(field, _)| field == name);
        raw.and_then(|(_, raw)| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    fn text(&self, name: &str) -> String {
        match self.field(name) {
            Value::String(text) => text,
            // The examples in the AWS documentation have the version as a number.
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        }
    }
}

impl<'de> Deserialize<'de> for TriggerEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        // An event that is not an object has no fields. The triggers return it unchanged.
        let Fields(fields) = serde_json::from_str(raw.get()).unwrap_or_default();
        let mut event =
            Self { raw, fields, request: Value::Null, response: None, traceparent: None, invoked_at: None };
        event.request = event.field("request");
        Ok(event)
    }
}

impl Serialize for TriggerEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(response) = &self.response else { return self.raw.serialize(serializer) };
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.fields.iter().filter(|(name, _)| name != "response") {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("response", response)?;
        map.end()
    }
}

/// The fields of an object in their order.
#[derive(Default)]
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unedited_fields_go_back_byte_for_byte() {
        let json = r#"{"b" : 1.0e2,"new":{"z":1, "a":[ ]},  "response":{"x":null},"request":{}}"#;
        let mut event = TriggerEvent::from_json(json).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
        event.set_response(Map::from_iter([("y".to_owned(), Value::Bool(true))]));
        let expected = r#"{"b":1.0e2,"new":{"z":1, "a":[ ]},"request":{},"response":{"y":true}}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), expected);
    }

    #[test]
    fn unparsable_field_is_an_error_and_does_not_count_as_missing() {
        let event =
            TriggerEvent::from_json(r#"{"request": {"userAttributes": {"name": "\ud800"}}}"#).unwrap();
        assert_eq!(event.check_readable(), Err(UNREADABLE));
    }

    #[test]
    fn unexpected_types_count_as_missing() {
        for json in [
            "null",
            "[]",
            "7",
            r#""text""#,
            "{}",
            r#"{"request": null}"#,
            r#"{"request": [1], "version": {}}"#,
        ] {
            let event = TriggerEvent::from_json(json).unwrap();
            assert_eq!((event.version(), event.sub(), event.attribute("email")), Default::default());
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
        }
        let json = r#"{"version": 2, "request": {"userAttributes": {"email_verified": true, "name": null}}}"#;
        let event = TriggerEvent::from_json(json).unwrap();
        assert_eq!(event.version(), "2");
        assert_eq!(event.attribute("email_verified").as_deref(), Some("true"));
        assert_eq!(event.attribute("name"), None);
    }
}
