//! The messages on the queues: one CloudEvents 1.0 event in JSON (structured mode) per message
//! body.
//!
//! [`Event::parse`] is the only way from a message body to an [`Event`], and validates it. The
//! worker then checks that the event is recent enough ([`Event::check_time`]) and on the right
//! queue.
//!
//! To add an event type, add a variant to [`Data`], its name to [`Data::parse`] and
//! [`Data::event_type`], and its effect to `shared/src/statistics.rs`. Then run
//! `cargo xtask schema` (see CONTRIBUTING.md).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

mod data;
mod invalid_event;
mod json;
mod key;
mod limits;
mod media_type;
mod money;
mod permission;
mod reference;
#[cfg(feature = "schema")]
pub mod schema;
mod subject;

pub use data::*;
pub use invalid_event::InvalidEvent;
pub use json::StatedAttributes;
pub use key::{ATTEMPT_PREFIX, EVENT_PREFIX, MAX_KEY_BYTES, attempt_key, event_key};
pub use limits::*;
pub use media_type::is_json_media_type;
pub use money::{Amount, Currency, InvalidAmount, Money, Spent};
pub use permission::{
    InvalidPermission, InvalidResource, MAX_ACTOR_CHARS, MAX_PERMISSIONS, Permission, Resource,
};
pub use reference::{EventReference, InvalidReference};
pub use subject::{InvalidSubject, Subject};

use crate::time;
use json::{JsonError, from_json};

/// Something that happened. It never changes. Its source, id and subject identify it: the same source
/// and id with another subject is another event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Unique within the source and the subject, at most 128 characters. Derive it from what happened, so that a
    /// producer's retry has the same id.
    pub id: String,
    /// The producer, at most 128 characters.
    pub source: String,
    pub subject: Subject,
    /// In whole milliseconds.
    pub time: Timestamp,
    /// W3C trace context of the request that caused the event.
    pub traceparent: Option<String>,
    /// True if the client that caused the event reads its own write with `after`. Then the acting
    /// device needs no invalidation.
    pub client_aware: bool,
    pub data: Data,
}

impl Event {
    /// An event of this repository's functions, with a new id (UUIDv7 of its time).
    pub fn new(source: impl Into<String>, subject: Subject, time: Timestamp, data: Data) -> Self {
        let time = time::whole_milliseconds(time);
        Self {
            id: unique_id(time),
            source: source.into(),
            subject,
            time,
            traceparent: None,
            client_aware: false,
            data,
        }
    }

    /// The same event with another id, for something that can happen only once.
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: id.into(), ..self }
    }

    /// The value of `after` for a client that reads this write.
    pub fn reference(&self) -> EventReference {
        EventReference::new(&self.source, &self.id)
    }

    /// The sort key under which the table stores the event, in the partition of its subject. Two
    /// events of one subject with the same key are the same event.
    pub fn key(&self) -> String {
        if self.is_allowed_attempt() {
            return attempt_key(&self.source, &self.id);
        }
        event_key(&self.source, &self.id)
    }

    /// True for a sign-in attempt that was allowed. It changes no statistics, so it is stored
    /// outside the transaction, and for a short time.
    pub fn is_allowed_attempt(&self) -> bool {
        matches!(&self.data, Data::SignInAttempted(attempt) if attempt.outcome == SignInOutcome::Allowed)
    }

    /// Reads a message body.
    pub fn parse(body: &str) -> Result<Self, InvalidEvent> {
        if body.len() >= MAX_BODY_BYTES {
            return Err(InvalidEvent::TooLarge(body.len()));
        }
        let envelope: Envelope = from_json("", body).map_err(|error| match error {
            JsonError::NotJson(place) => InvalidEvent::NotJson(place),
            JsonError::Field(reason) => InvalidEvent::NotCloudEvent(reason),
        })?;
        let not_cloud_event = |reason: &str| InvalidEvent::NotCloudEvent(reason.to_owned());
        if envelope.specversion != "1.0" {
            return Err(not_cloud_event("specversion: expected 1.0"));
        }
        if envelope.datacontenttype.is_some_and(|media_type| !is_json_media_type(&media_type)) {
            return Err(not_cloud_event("datacontenttype: expected application/json or application/…+json"));
        }
        if !(1..=MAX_ID_CHARS).contains(&envelope.id.chars().count()) {
            return Err(not_cloud_event("id: expected 1 to 128 characters"));
        }
        if !(1..=MAX_SOURCE_CHARS).contains(&envelope.source.chars().count()) {
            return Err(not_cloud_event("source: expected 1 to 128 characters"));
        }
        let data = Data::parse(&envelope.r#type, envelope.data.as_deref())?;
        let subject = envelope
            .subject
            .ok_or(InvalidSubject("is missing"))
            .and_then(|subject| subject.parse())
            .and_then(|subject| data.check_subject(&subject).map(|()| subject))
            .map_err(|InvalidSubject(reason)| InvalidEvent::InvalidData(format!("subject: {reason}")))?;
        let time = time::whole_milliseconds(envelope.time);
        let Envelope { id, source, traceparent, clientaware: client_aware, .. } = envelope;
        let event = Self { id, source, subject, time, traceparent, client_aware, data };
        if event.key().len() > MAX_KEY_BYTES {
            return Err(InvalidEvent::NotCloudEvent(
                "id and source: together more than DynamoDB's 1,024 bytes for a key".to_owned(),
            ));
        }
        Ok(event)
    }

    /// The message body.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            specversion: &'static str,
            id: &'a str,
            source: &'a str,
            subject: String,
            time: Timestamp,
            datacontenttype: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            traceparent: Option<&'a str>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            clientaware: bool,
            #[serde(flatten)]
            data: &'a Data,
        }
        let body = Body {
            specversion: "1.0",
            id: &self.id,
            source: &self.source,
            subject: self.subject.to_string(),
            time: self.time,
            datacontenttype: "application/json",
            traceparent: self.traceparent.as_deref(),
            clientaware: self.client_aware,
            data: &self.data,
        };
        // serde_json cannot fail: the body has only strings, numbers and maps with string keys.
        let json = serde_json::to_string(&body).unwrap_or_default();
        // SQS accepts every character except these two. In JSON, they can occur only inside
        // strings.
        json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
    }

    /// Checks that the time of the event is at most 30 days before `now`, and at most 15 minutes
    /// after it.
    pub fn check_time(&self, now: Timestamp) -> Result<(), InvalidEvent> {
        check_time(self.time, now)
    }

    /// Checks that the time of the event is at most `max_seconds` after `now`.
    pub fn check_not_ahead(&self, now: Timestamp, max_seconds: i64) -> Result<(), InvalidEvent> {
        check_not_ahead(self.time, now, max_seconds)
    }
}

/// Checks that `at` is at most 30 days before `now`, and at most 15 minutes after it.
pub fn check_time(at: Timestamp, now: Timestamp) -> Result<(), InvalidEvent> {
    if at < time::minus_seconds(now, MAX_AGE_SECONDS) {
        return Err(InvalidEvent::TooOld);
    }
    check_not_ahead(at, now, MAX_AHEAD_SECONDS)
}

fn check_not_ahead(at: Timestamp, now: Timestamp, max_seconds: i64) -> Result<(), InvalidEvent> {
    if at > time::plus_seconds(now, max_seconds) { Err(InvalidEvent::InTheFuture) } else { Ok(()) }
}

/// A new unique id: a UUIDv7 of the time `time`.
pub fn unique_id(time: Timestamp) -> String {
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    let nanoseconds = u32::try_from(time.subsec_nanosecond()).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanoseconds)).to_string()
}

/// The id of an event that can happen only once: a UUIDv5 of a name that says what happened.
pub fn once_id(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}

/// The id of a user's `user.confirmed`, from user pool and user. It stays the same if Cognito invokes
/// a trigger more than once.
pub fn confirmation_id(pool_id: &str, sub: &str) -> String {
    once_id(&format!("{pool_id}/{sub}/user.confirmed"))
}

/// Attempts of one user that are allowed count as one event within this time, in seconds.
pub const ALLOWED_ATTEMPT_SECONDS: i64 = 60;
/// Attempts of one user that are denied for one reason count as one event within this time, in
/// seconds. Longer than for allowed ones, because denied attempts are stored for longer.
pub const DENIED_ATTEMPT_SECONDS: i64 = 600;

/// The id of a sign-in attempt: a UUIDv5 of user pool, app client, flow, outcome, reason, user and
/// interval. It stays the same if Cognito invokes a trigger more than once, and if a client library
/// repeats a denied sign-in. Attempts on both sides of the end of an interval have two ids.
pub fn attempt_id(
    pool_id: &str,
    client_id: &str,
    sub: &str,
    attempt: &SignInAttempted,
    time: Timestamp,
) -> String {
    let seconds = match attempt.outcome {
        SignInOutcome::Allowed => ALLOWED_ATTEMPT_SECONDS,
        SignInOutcome::Denied => DENIED_ATTEMPT_SECONDS,
    };
    let interval = time.as_second().div_euclid(seconds);
    let SignInAttempted { flow, outcome, reason, .. } = attempt;
    // The sub is last, because a username may contain a slash.
    let name = format!(
        "{pool_id}/user.sign_in_attempted/{client_id}/{flow:?}/{outcome:?}/{reason}/{interval}/{sub}"
    );
    once_id(&name)
}

/// CloudEvents source of the events that operators publish with `replay`.
pub const OPERATOR_SOURCE: &str = "/replay";

/// CloudEvents source of the events that a user pool's triggers publish.
pub fn pool_source(pool_id: &str) -> String {
    format!("/cognito/{pool_id}")
}

/// The context attributes of CloudEvents, and the extension `clientaware`. Others are ignored.
#[derive(Deserialize)]
struct Envelope {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(deserialize_with = "json::time")]
    time: Timestamp,
    #[serde(default)]
    datacontenttype: Option<String>,
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(default, deserialize_with = "json::flag")]
    clientaware: bool,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(change: impl Fn(&mut serde_json::Value)) -> String {
        let mut body = serde_json::json!({
            "specversion": "1.0",
            "id": "order-1001-placed",
            "source": "/shop/orders",
            "type": "order.placed",
            "subject": "7d8ca528-4931-4254-9273-ea5ee853f271",
            "time": "2026-03-02T10:15:00.123456Z",
            "data": {"order_id": "1001", "amount": "49.90", "currency": "EUR"},
        });
        change(&mut body);
        body.to_string()
    }

    #[test]
    fn event_survives_serialization() {
        let event = Event::parse(&body(|_| {})).unwrap();
        assert_eq!(event.time.to_string(), "2026-03-02T10:15:00.123Z");
        assert_eq!(Event::parse(&event.to_json()).unwrap(), event);
    }

    #[test]
    fn body_has_no_character_that_sqs_refuses() {
        let json = body(|body| body["data"]["order_id"] = "a\u{ffff}b\u{fffe}".into());
        let event = Event::parse(&json).unwrap();
        assert!(!event.to_json().contains(['\u{fffe}', '\u{ffff}']));
        assert_eq!(Event::parse(&event.to_json()).unwrap(), event);
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let body = body(|body| {
            body["partitionkey"] = "x".into();
            body["data"]["gift"] = true.into();
        });
        assert!(Event::parse(&body).is_ok());
    }

    #[test]
    fn error_names_the_field_and_quotes_nothing_of_the_body() {
        type Change = fn(&mut serde_json::Value);
        let table: [(&str, Change, &str); 18] = [
            ("not_cloudevents", |b| b["specversion"] = "0.3".into(), "specversion: expected 1.0"),
            ("not_cloudevents", |b| b["id"] = "".into(), "id: expected 1 to 128 characters"),
            ("not_cloudevents", |b| b["id"] = "é".repeat(129).into(), "id: expected 1 to 128 characters"),
            ("not_cloudevents", |b| b["id"] = 7.into(), "id: expected a string"),
            ("not_cloudevents", |b| drop(b.as_object_mut().unwrap().remove("time")), "missing field `time`"),
            ("not_cloudevents", |b| b["time"] = "secret".into(), "time: expected a time with an offset"),
            ("not_cloudevents", |b| b["datacontenttype"] = "text/json".into(), "datacontenttype: expected"),
            ("unknown_type", |b| b["type"] = "order.shipped".into(), "unknown event type"),
            ("invalid_data", |b| b["data"] = serde_json::Value::Null, "data: expected"),
            ("invalid_data", |b| b["data"]["amount"] = "-1".into(), "data.amount: "),
            ("invalid_data", |b| b["data"]["amount"] = 49.9.into(), "data.amount: expected a string"),
            ("invalid_data", |b| b["data"]["amount"] = "secret, expected x".into(), "data.amount: "),
            ("invalid_data", |b| b["data"]["currency"] = "EURO".into(), "data.currency: "),
            (
                "invalid_data",
                |b| b["data"]["order_id"] = "".into(),
                "data.order_id: expected a string of 1 to",
            ),
            ("invalid_data", |b| b["data"]["order_id"] = "é".repeat(129).into(), "of 1 to 128 characters"),
            (
                "invalid_data",
                |b| b["data"]["order_id"] = 7.into(),
                "data.order_id: expected a string of 1 to",
            ),
            ("invalid_data", |b| b["subject"] = "domain:example.com".into(), "subject: "),
            ("invalid_data", |b| drop(b.as_object_mut().unwrap().remove("subject")), "subject: is missing"),
        ];
        for (error_type, change, message) in table {
            let body = body(change);
            let error = Event::parse(&body).unwrap_err();
            assert_eq!(error.error_type(), error_type, "{body}");
            let text = error.to_string();
            assert!(text.contains(message) && !text.contains("secret"), "{text}");
        }
        let long = body(|body| {
            body["id"] = "\u{1f4a1}".repeat(128).into();
            body["source"] = "\u{1f4a1}".repeat(128).into();
        });
        assert!(Event::parse(&long).unwrap_err().to_string().contains("id and source"));
        assert_eq!(Event::parse("{").unwrap_err().error_type(), "not_json");
        assert_eq!(Event::parse("").unwrap_err().error_type(), "not_json");
        assert_eq!(Event::parse("[]").unwrap_err().error_type(), "not_cloudevents");
        assert_eq!(Event::parse("{} {}").unwrap_err().error_type(), "not_json");
        assert_eq!(Event::parse(&" ".repeat(MAX_BODY_BYTES)).unwrap_err().error_type(), "too_large");
    }

    #[test]
    fn text_of_an_error_names_what_was_expected() {
        let order = r#"{"order_id": "1", "amount": "1", "currency": "EUR"}"#;
        let event = |change: &str, to: &str| {
            format!(
                r#"{{"specversion": "1.0", "id": "a", "source": "/s", "type": "order.placed", "subject": "a",
                "time": "2026-03-02T10:00:00Z", "data": {order}}}"#
            )
            .replacen(change, to, 1)
        };
        let time = "expected a time with an offset, such as 2026-03-02T10:15:00Z";
        let surrogate = r"expected text, found half of a surrogate pair (an escape such as \ud83d)";
        let kind = "expected one of `sign_up`, `admin_create_user`, `resend_code`, `forgot_password`, \
                    `update_user_attribute`, `verify_user_attribute`, `authentication`";
        let message = |kind: &str| {
            let data = format!(r#"{{"kind": {kind}, "channel": "sms", "locale": "en"}}"#);
            event("order.placed", "user.message_requested").replacen(order, &data, 1)
        };
        for (body, expected) in [
            (String::new(), "the body is not JSON: it is empty".to_owned()),
            ("{".into(), "the body is not JSON: line 1, column 1".into()),
            ("[1]".into(), "not a CloudEvents 1.0 event: expected an object".into()),
            ("7".into(), "not a CloudEvents 1.0 event: expected an object".into()),
            ("{}".into(), "not a CloudEvents 1.0 event: missing field `specversion`".into()),
            (event("}}", "}} x"), "the body is not JSON: line 2, column 110".into()),
            (event("\"a\"", r#""\x""#), "the body is not JSON: line 1, column 32".into()),
            (event("\"a\"", r#""\ud83d""#), format!("not a CloudEvents 1.0 event: id: {surrogate}")),
            (event("\"a\"", "7"), "not a CloudEvents 1.0 event: id: expected a string".into()),
            (
                event("\"id\"", r#""id": "b", "id""#),
                "not a CloudEvents 1.0 event: duplicate field `id`".into(),
            ),
            (event("T10:00:00Z", ""), format!("not a CloudEvents 1.0 event: time: {time}")),
            (event("10:00:00Z", "10:00:00"), format!("not a CloudEvents 1.0 event: time: {time}")),
            (event("2026-03", "2026-13"), format!("not a CloudEvents 1.0 event: time: {time}")),
            (event("2026-03-02T10:00:00Z", "secret"), format!("not a CloudEvents 1.0 event: time: {time}")),
            (
                event("2026-03-02T10:00:00Z", r"\ud83d"),
                format!("not a CloudEvents 1.0 event: time: {surrogate}"),
            ),
            (event("\"2026-03-02T10:00:00Z\"", "7"), format!("not a CloudEvents 1.0 event: time: {time}")),
            (event(order, "null"), "invalid data: data: expected an object".into()),
            (event(order, r#"["1", "1", "EUR"]"#), "invalid data: data: expected an object".into()),
            (event("\"1\"", r#""\udc00""#), format!("invalid data: data.order_id: {surrogate}")),
            (event("\"EUR\"", "1e999"), "invalid data: data.currency: expected a string".into()),
            (message("\"secret\""), format!("invalid data: data.kind: {kind}")),
            (message("7"), "invalid data: data.kind: expected a string".into()),
            (
                event("order.placed", "user.suspended").replacen(order, r#"{"until": "expected soon"}"#, 1),
                format!("invalid data: data.until: {time}"),
            ),
        ] {
            assert_eq!(Event::parse(&body).map_err(|error| error.to_string()), Err(expected), "{body}");
        }
    }

    #[test]
    fn field_that_nobody_reads_may_hold_any_json() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for value in [r#""\ud83d""#, r#""\u0000""#, r#"{"\udc00": 1}"#, "1e999", &deep, "null"] {
            let json = body(|body| body["note"] = "?".into()).replacen("\"?\"", value, 1);
            let nested = body(|body| body["data"]["note"] = "?".into()).replacen("\"?\"", value, 1);
            for json in [json, nested] {
                assert!(Event::parse(&json).is_ok(), "{json}");
                let stated = StatedAttributes::read(&json);
                assert_eq!(stated.event_type.as_deref(), Some("order.placed"), "{json}");
                assert_eq!(stated.subject.as_deref(), Some("7d8ca528-4931-4254-9273-ea5ee853f271"));
            }
        }
    }

    #[test]
    fn body_that_is_no_event_states_only_what_is_text() {
        let stated = |body: &str| {
            let StatedAttributes { event_type, subject } = StatedAttributes::read(body);
            (event_type.unwrap_or_default(), subject.unwrap_or_default())
        };
        for (body, event_type, subject) in [
            (r#"{"type": "order.shipped", "subject": "ana"}"#, "order.shipped", "ana"),
            (r#"{"type": 7, "subject": "ana"}"#, "", "ana"),
            (r#"{"type": "x", "subject": "\ud83d"}"#, "x", ""),
            (r#"{"type": "x", "type": "y"}"#, "", ""),
            (r#"["x", "ana"]"#, "", ""),
            (r#"{"type": "x"} {}"#, "", ""),
            ("", "", ""),
        ] {
            assert_eq!(stated(body), (event_type.to_owned(), subject.to_owned()), "{body}");
        }
    }

    #[test]
    fn event_is_accepted_for_thirty_days_and_fifteen_minutes_ahead() {
        let event = Event::parse(&body(|_| {})).unwrap();
        let at = |seconds| time::plus_seconds(event.time, seconds);
        assert_eq!(event.check_time(at(MAX_AGE_SECONDS)), Ok(()));
        assert_eq!(event.check_time(at(MAX_AGE_SECONDS + 1)), Err(InvalidEvent::TooOld));
        assert_eq!(event.check_time(at(-MAX_AHEAD_SECONDS)), Ok(()));
        assert_eq!(event.check_time(at(-MAX_AHEAD_SECONDS - 1)), Err(InvalidEvent::InTheFuture));
    }

    #[test]
    fn sign_in_attempt_has_one_id_per_user_client_flow_outcome_reason_and_interval() {
        let attempt = |outcome, reason: &str| SignInAttempted {
            flow: AttemptFlow::Refresh,
            outcome,
            reason: reason.to_owned(),
            claimed_by_client: None,
        };
        let at = |second: i64| Timestamp::from_second(1_772_442_000 + second).unwrap();
        let denied = attempt(SignInOutcome::Denied, "suspended");
        let allowed = attempt(SignInOutcome::Allowed, "not_suspended");
        let id = |attempt: &SignInAttempted, second| attempt_id("pool", "client", "ana", attempt, at(second));
        for (attempt, seconds) in [(&allowed, 60), (&denied, 600)] {
            assert_eq!(id(attempt, 0), id(attempt, seconds - 1));
            assert_ne!(id(attempt, 0), id(attempt, seconds));
            assert_ne!(id(attempt, 0), id(attempt, -1));
        }
        let claimed =
            SignInAttempted { claimed_by_client: Some(ClaimedByClient::default()), ..denied.clone() };
        assert_eq!(id(&claimed, 0), id(&denied, 0));
        let others = [
            id(&allowed, 0),
            id(&attempt(SignInOutcome::Denied, "store_error"), 0),
            id(&SignInAttempted { flow: AttemptFlow::PreAuthentication, ..denied.clone() }, 0),
            attempt_id("other", "client", "ana", &denied, at(0)),
            attempt_id("pool", "other", "ana", &denied, at(0)),
            attempt_id("pool", "client", "ben", &denied, at(0)),
        ];
        assert!(!others.contains(&id(&denied, 0)));
    }

    #[test]
    fn confirmation_has_one_id_per_user_and_pool() {
        assert_eq!(confirmation_id("pool", "ana"), confirmation_id("pool", "ana"));
        assert_ne!(confirmation_id("pool", "ana"), confirmation_id("pool", "ben"));
        assert_ne!(confirmation_id("pool", "ana"), confirmation_id("other", "ana"));
    }
}
