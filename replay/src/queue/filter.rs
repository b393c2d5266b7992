//! Which messages are meant.

use clap::Args;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde_json::Value;
use shared::time::{Clock, plus};

use crate::queue::message::{NOT_AN_EVENT, QueuedMessage};

/// Which messages are meant: those that meet all that is said. Without an option, all.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct Filter {
    /// Events of this type, such as order.placed; `not_an_event` for bodies without one. May be given several times.
    #[arg(long = "type", value_name = "TYPE", help_heading = "Which messages")]
    pub types: Vec<String>,
    /// Events about this subject: a user's sub, or domain:example.com. May be given several times.
    #[arg(long = "subject", value_name = "SUBJECT", help_heading = "Which messages")]
    pub subjects: Vec<String>,
    /// Messages with this reason, the attribute error.type; `received_too_often` for those without one. May be given
    /// several times.
    #[arg(long = "error", value_name = "REASON", help_heading = "Which messages")]
    pub errors: Vec<String>,
    /// Messages sent before this time, or longer ago than this: 2026-04-01T12:00:00Z, 90m, 2d.
    #[arg(long, value_name = "WHEN", value_parser = parse_when, help_heading = "Which messages")]
    pub older_than: Option<When>,
    /// Messages sent since this time, or no longer ago than this.
    #[arg(long, value_name = "WHEN", value_parser = parse_when, help_heading = "Which messages")]
    pub newer_than: Option<When>,
}

/// A time, or so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At.
    At(Timestamp),
    /// So long before now.
    Ago(SignedDuration),
}

impl When {
    fn time(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(duration) => plus(now, -duration),
        }
    }
}

/// A time or a date, or a duration such as `2h 30m`; days have 24 hours.
fn parse_when(text: &str) -> Result<When, String> {
    if let Ok(time) = parse_time(text) {
        return Ok(When::At(time));
    }
    let span = text.parse::<Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let duration = duration.filter(|duration| !duration.is_negative());
    duration.map(When::Ago).ok_or_else(|| {
        "expected a duration such as 90m or 2d, a date such as 2026-04-01, or a time such as 2026-04-01T12:00:00Z"
            .to_owned()
    })
}

/// A date, at its first moment in UTC, or a time with its offset.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    // jiff would read the date of "2026-04-01T12:00" and leave out the time.
    let is_date = text.len() == "2026-04-01".len();
    let midnight = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    let date = || midnight().filter(|_| is_date).map(|time| time.timestamp());
    text.parse().ok().or_else(date).ok_or_else(|| {
        "expected a date such as 2026-04-01 (from 00:00 UTC on), or a time such as 2026-04-01T12:00:00Z"
            .to_owned()
    })
}

impl Filter {
    /// Whether all are meant.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a message is meant. One that does not say when it was sent has no age that could be asked for.
    pub fn is_met_by(&self, message: &QueuedMessage, clock: &Clock) -> bool {
        let json = message.json();
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let (sent_at, now) = (message.sent_at(), clock.now());
        let is_one_of = |wanted: &[String], text: &str| wanted.is_empty() || wanted.iter().any(|w| w == text);
        is_one_of(&self.types, text("type").unwrap_or(NOT_AN_EVENT))
            && (self.subjects.is_empty() || text("subject").is_some_and(|s| is_one_of(&self.subjects, s)))
            && is_one_of(&self.errors, message.reason())
            && self.older_than.is_none_or(|when| sent_at.is_some_and(|sent_at| sent_at < when.time(now)))
            && self.newer_than.is_none_or(|when| sent_at.is_some_and(|sent_at| sent_at >= when.time(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_meant_where_it_meets_everything() {
        let line = serde_json::json!({
            "messageId": "1", "attributes": {"SentTimestamp": "1700000000000"},
            "messageAttributes": {"error.type": {"dataType": "String", "stringValue": "unknown_type"}},
            "body": {"type": "order.shipped", "subject": "ana"},
        });
        let message: QueuedMessage = serde_json::from_str(&line.to_string()).unwrap();
        let plain = QueuedMessage { body: "x".into(), message_attributes: [].into(), ..message.clone() };
        let clock = Clock::from_fn(|| Timestamp::from_second(1_700_000_000 + 3_600).unwrap());
        let meets = |filter: &Filter| [&message, &plain].map(|message| filter.is_met_by(message, &clock));
        let words = |word: &str| vec!["other".to_owned(), word.to_owned()];
        let when = |text: &str| Some(parse_when(text).unwrap());
        let all = Filter::default;
        assert!(all().is_empty());
        for (filter, expected) in [
            (all(), [true, true]),
            (Filter { types: words("order.shipped"), ..all() }, [true, false]),
            (Filter { types: words("not_an_event"), ..all() }, [false, true]),
            (Filter { subjects: words("ana"), ..all() }, [true, false]),
            (Filter { errors: words("unknown_type"), ..all() }, [true, false]),
            (Filter { errors: words("received_too_often"), ..all() }, [false, true]),
            (Filter { older_than: when("59m"), ..all() }, [true, true]),
            (Filter { older_than: when("1h"), ..all() }, [false, false]),
            (Filter { newer_than: when("1h"), ..all() }, [true, true]),
            (Filter { newer_than: when("2023-11-15"), ..all() }, [false, false]),
            (Filter { older_than: when("2023-11-15"), newer_than: when("2d"), ..all() }, [true, true]),
            (Filter { types: words("order.shipped"), subjects: words("ben"), ..all() }, [false, false]),
        ] {
            assert_eq!(meets(&filter), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_time_is_a_duration_a_date_or_a_time() {
        let ago = |hours| Ok(When::Ago(SignedDuration::from_hours(hours)));
        assert_eq!(
            (parse_when("2d"), parse_when("1d 2h"), parse_when("90m").is_ok()),
            (ago(48), ago(26), true)
        );
        for wrong in ["", "soon", "-2d", "5", "2026-04-01T12:00", "1month"] {
            assert!(parse_when(wrong).is_err(), "{wrong}");
        }
    }
}
