//! Options that select messages of a queue.

use clap::Args;
use shared::events::StatedAttributes;
use shared::time::Clock;

use crate::time_option::{When, parse_when};

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
    /// Messages sent before a time, or longer ago than a duration: 2026-04-01T12:00:00Z, 90m, 2d.
    #[arg(long, value_name = "WHEN", value_parser = parse_when, help_heading = "Message selection")]
    pub older_than: Option<When>,
    /// Messages sent since a time, or within a duration.
    #[arg(long, value_name = "WHEN", value_parser = parse_when, help_heading = "Message selection")]
    pub newer_than: Option<When>,
}

impl Filter {
    /// Whether the filter selects all messages.
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
            "messageId": "1", "attributes": {"SentTimestamp": "1700000000000"},
            "messageAttributes": {"error.type": {"dataType": "String", "stringValue": "unknown_type"}},
            "body": {"type": "order.shipped", "subject": "ana"},
        });
        let message: QueuedMessage = serde_json::from_str(&line.to_string()).unwrap();
        let plain = QueuedMessage { body: "x".into(), message_attributes: [].into(), ..message.clone() };
        let clock = Clock::from_fn(|| Timestamp::from_second(1_700_000_000 + 3_600).unwrap());
        let matches = |filter: &Filter| [&message, &plain].map(|message| filter.matches(message, &clock));
        let or_other = |value: &str| vec!["other".to_owned(), value.to_owned()];
        let when = |text: &str| Some(parse_when(text).unwrap());
        let all = Filter::default;
        assert!(all().is_empty());
        for (filter, expected) in [
            (all(), [true, true]),
            (Filter { types: or_other("order.shipped"), ..all() }, [true, false]),
            (Filter { types: or_other("not_an_event"), ..all() }, [false, true]),
            (Filter { subjects: or_other("ana"), ..all() }, [true, false]),
            (Filter { errors: or_other("unknown_type"), ..all() }, [true, false]),
            (Filter { errors: or_other("received_too_often"), ..all() }, [false, true]),
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
}
