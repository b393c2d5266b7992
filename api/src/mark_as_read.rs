//! The event that marks a notification as read. Pure.

use std::borrow::Cow;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use shared::events::{Data, Event, Notification, Subject, once_id};

/// CloudEvents source of the events that the read API publishes.
pub const SOURCE: &str = "/read-api";

/// The event of a user who has read a notification. The same for each click, so that it counts once.
pub fn event(sub: &str, notification_id: &str, now: Timestamp) -> Event {
    let id = once_id(&format!("{SOURCE}/{sub}/notification.read/{notification_id}"));
    let read = Notification { notification_id: notification_id.to_owned() };
    let event = Event::new(SOURCE, Subject::user(sub), now, Data::NotificationRead(read)).with_id(id);
    // The answer has the reference of the event, and the page waits for it.
    Event { client_aware: true, ..event }
}

/// The ids that a path segment may mean: as it is, or percent-decoded. API Gateway decodes the path
/// once. A client encodes an id with a slash or a question mark twice, because API Gateway would take
/// it for the end of the segment or of the path.
pub fn candidates(segment: &str) -> Vec<Cow<'_, str>> {
    let mut candidates = vec![Cow::Borrowed(segment)];
    let decoded = percent_decode_str(segment).decode_utf8();
    candidates.extend(decoded.ok().filter(|decoded| decoded != segment));
    candidates
}

/// The answer: which event was published, or would be if the notification were unread.
#[derive(Debug, Serialize)]
pub struct Accepted<'a> {
    pub source: &'a str,
    pub id: &'a str,
    /// The value of `after` for the next reads. `None` if nothing was published, because the table shows
    /// the notification as read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_click_is_the_same_event() {
        let at = |second| event("ana", "n-7", Timestamp::from_second(second).unwrap());
        assert_eq!((at(1).id, at(1).key()), (at(9).id, at(9).key()));
        let now = Timestamp::UNIX_EPOCH;
        let ids = [("ana", "n-7"), ("ana", "n-8"), ("ben", "n-7")].map(|(sub, id)| event(sub, id, now).id);
        assert!(ids[0] != ids[1] && ids[0] != ids[2], "{ids:?}");
        assert_eq!(Event::parse(&at(1).to_json()).unwrap(), at(1));
    }

    #[test]
    fn segment_is_an_id_or_an_encoded_id() {
        for (segment, expected) in [
            ("n-7", &["n-7"][..]),
            ("a b/c", &["a b/c"]),
            ("a%2Fb", &["a%2Fb", "a/b"]),
            ("100%", &["100%"]),
            ("%ff", &["%ff"]),
            ("", &[""]),
        ] {
            assert_eq!(candidates(segment), expected, "{segment}");
        }
    }
}
