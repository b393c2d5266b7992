//! The event that Cognito sends and expects back.
//!
//! A trigger reads single fields and edits only `response`. All other fields go back byte for byte,
//! so a field, a trigger source or a type that Cognito adds later cannot make a sign-in fail.
//!
//! A value that cannot be decoded counts as missing. JavaScript cuts strings in the middle of an
//! emoji, and sends the half as `"\ud83d"`, which no Rust string can hold. Only the fields that say
//! who the event is about must be readable ([`TriggerEvent::check_readable`]).

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::Error;
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

/// Answer if a field that a trigger needs cannot be decoded.
const UNREADABLE: TriggerError =
    TriggerError { error_type: "unreadable_event", message: "Something went wrong, please try again" };

/// Levels of objects and lists that [`decode`] searches for readable values. Cognito's own events
/// have three.
const MAX_DEPTH: usize = 8;

/// An event of any user pool trigger.
pub struct TriggerEvent {
    raw: Box<RawValue>,
    /// The top-level fields. Empty if the event is not a JSON object.
    fields: Fields,
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

    /// Fails if the trigger source, the username or the attribute `sub` exists but cannot be decoded.
    /// The other methods would treat such a field as missing, and the trigger would take the event
    /// for another user's, or for one that needs no decision.
    pub fn check_readable(&self) -> Result<(), TriggerError> {
        let needed: [&[&str]; 3] = [&["triggerSource"], &["userName"], &["request", "userAttributes", "sub"]];
        if !needed.into_iter().any(|path| self.is_unreadable(path)) {
            return Ok(());
        }
        tracing::error!(
            error_type = UNREADABLE.error_type,
            "a needed field of Cognito's event cannot be decoded"
        );
        Err(UNREADABLE)
    }

    /// Whether a field, named by its path, exists but cannot be decoded.
    fn is_unreadable(&self, path: &[&str]) -> bool {
        // Most events can be decoded completely, so this is on the way of every invocation.
        let outer = self.fields.0.iter().find(|field| path.first().is_some_and(|name| field.has_name(name)));
        if outer.is_some_and(|field| serde_json::from_str::<Value>(field.value.get()).is_ok()) {
            return false;
        }
        let mut raw = self.raw.clone();
        for name in path {
            let Some(Fields(fields)) = Fields::of(&raw) else { break };
            let Some(field) = fields.into_iter().find(|field| field.has_name(name)) else { return false };
            raw = field.value;
        }
        decode(&raw, MAX_DEPTH).is_none()
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

    /// A user attribute that decides about a sign-up. If it exists but cannot be decoded, it is a
    /// text that is no valid value of any attribute, so that it does not count as missing.
    pub fn attribute_or_invalid(&self, name: &str) -> Option<Cow<'_, str>> {
        let unreadable = || self.is_unreadable(&["request", "userAttributes", name]);
        self.attribute(name).or_else(|| unreadable().then_some(Cow::Borrowed("\u{fffd}")))
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
        let field = self.fields.0.iter().find(|field| field.has_name(name));
        field.and_then(|field| decode(&field.value, MAX_DEPTH)).unwrap_or_default()
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
        let fields = Fields::of(&raw).unwrap_or_default();
        let mut event =
            Self { raw, fields, request: Value::Null, response: None, traceparent: None, invoked_at: None };
        event.request = event.field("request");
        Ok(event)
    }
}

impl Serialize for TriggerEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(response) = &self.response else { return self.raw.serialize(serializer) };
        let mut json = String::with_capacity(self.raw.get().len());
        json.push('{');
        for field in self.fields.0.iter().filter(|field| !field.has_name("response")) {
            json.extend([field.key.get(), ":", field.value.get(), ","]);
        }
        json.push_str("\"response\":");
        json.push_str(&serde_json::to_string(response).map_err(S::Error::custom)?);
        json.push('}');
        RawValue::from_string(json).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Decodes a value. In an object, fields that cannot be decoded are left out. In a list, they are
/// null. `None` if the value itself cannot be decoded, or is an object or a list that is invalid
/// below `depth` levels.
fn decode(raw: &RawValue, depth: usize) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(raw.get()) {
        return Some(value);
    }
    let depth = depth.checked_sub(1)?;
    if let Some(Fields(fields)) = Fields::of(raw) {
        let decoded = fields.into_iter().filter_map(|field| {
            let value = decode(&field.value, depth)?;
            Some((field.name?, value))
        });
        return Some(Value::Object(decoded.collect()));
    }
    let items: Vec<Box<RawValue>> = serde_json::from_str(raw.get()).ok()?;
    Some(items.iter().map(|item| decode(item, depth).unwrap_or_default()).collect())
}

/// The fields of an object in their order.
#[derive(Default)]
struct Fields(Vec<Field>);

struct Field {
    /// `None` if it cannot be decoded.
    name: Option<String>,
    /// The name as JSON text, with quotation marks.
    key: Box<RawValue>,
    value: Box<RawValue>,
}

impl Field {
    fn has_name(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

impl Fields {
    /// The fields of an object. `None` for other JSON.
    fn of(raw: &RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }
}

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
                while let Some((key, value)) = map.next_entry::<Box<RawValue>, Box<RawValue>>()? {
                    let name = serde_json::from_str(key.get()).ok();
                    fields.push(Field { name, key, value });
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
    fn undecodable_values_count_as_missing_and_go_back_byte_for_byte() {
        let json = r#"{"n\ud83d":1,"callerContext":{"clientId":"\ud83d"},"request":{"userAttributes":{"sub":"u",
            "name":"hi \ud83d","\udc00":"x","custom:n":1e999,"email":"ana@example.com"},"clientMetadata":"\ud83d",
            "groups":["a","\ud83d"]}}"#;
        let mut event = TriggerEvent::from_json(json).unwrap();
        assert_eq!(event.check_readable(), Ok(()));
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
        assert_eq!((event.sub().as_str(), event.client_id().as_str()), ("u", ""));
        assert_eq!(event.attribute("email").as_deref(), Some("ana@example.com"));
        assert_eq!((event.attribute("name"), event.attribute("custom:n")), (None, None));
        assert_eq!(event.request()["groups"], serde_json::json!(["a", null]));
        event.set_response(Map::new());
        let edited = serde_json::to_string(&event).unwrap();
        assert_eq!(edited, format!("{},\"response\":{{}}}}", json.strip_suffix('}').unwrap()));
    }

    #[test]
    fn undecodable_field_that_names_the_user_or_the_trigger_is_an_error() {
        for json in [
            r#"{"triggerSource": "\ud83d"}"#,
            r#"{"userName": "\ud83d"}"#,
            r#"{"userName": "ana", "request": {"userAttributes": {"sub": "\ud83d"}}}"#,
            r#"{"userName": "ana", "request": {"userAttributes": "\ud83d"}}"#,
            r#"{"userName": "ana", "request": {"userAttributes": {"sub": 1e999}}}"#,
        ] {
            let event = TriggerEvent::from_json(json).unwrap();
            assert_eq!(event.check_readable(), Err(UNREADABLE), "{json}");
        }
    }

    #[test]
    fn undecodable_attribute_that_decides_does_not_count_as_missing() {
        for (email, read) in [
            (r#""\ud83d@example.com""#, Some("\u{fffd}")),
            (r#""ana@example.com""#, Some("ana@example.com")),
            ("null", None),
        ] {
            let json = format!(r#"{{"request": {{"userAttributes": {{"x": "\ud83d", "email": {email}}}}}}}"#);
            let event = TriggerEvent::from_json(&json).unwrap();
            assert_eq!(event.attribute_or_invalid("email").as_deref(), read, "{email}");
            assert_eq!(event.attribute_or_invalid("name"), None);
        }
    }

    #[test]
    fn deeply_nested_values_are_neither_followed_nor_copied() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let json = format!(r#"{{"userName":"ana","request":{{"userAttributes":{{"sub":"u","x":{deep}}}}}}}"#);
        let event = TriggerEvent::from_json(&json).unwrap();
        assert_eq!((event.check_readable(), event.sub().as_str()), (Ok(()), "u"));
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
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
