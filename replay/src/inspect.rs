//! What lies in a queue, without taking anything out of it: each message is received, counted, and made visible again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Result, bail};
use aws_sdk_sqs::Client;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::time::{Clock, seconds_between};

use crate::messages::{NOT_AN_EVENT, QueuedMessage};
use crate::queues::QueueDescription;
use crate::receiving::{Received, Receiving, Report};
use crate::report::{plural, printable};
use crate::stop::{Interrupted, Stop};

/// While they are counted, messages are invisible. Where counting is cut off, they come back after this time.
const HOLD: Duration = Duration::from_secs(300);
/// Users shown, those with the most messages first.
const USERS_SHOWN: usize = 10;
/// What is shown of an event; the rest may be anything, above all in a message that could not be understood.
const SHOWN: [&str; 14] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "datacontenttype",
    "outcome",
    "flow",
    "channel",
    "kind",
    "amount",
    "currency",
    "order_id",
    "changed_at",
];

/// What lies in a queue.
#[derive(Debug, Default, PartialEq)]
pub struct Inspection {
    /// All messages that were seen.
    pub messages: usize,
    /// About so many were visible before, by SQS's own count.
    pub about: usize,
    /// About so many were invisible before: somebody is working on them, or counting.
    pub hidden: usize,
    /// Whether there may be more than were seen.
    pub may_be_more: bool,
    /// By event type; `not_an_event` for the rest.
    pub by_type: BTreeMap<String, usize>,
    /// By `error.type`; `received_too_often` where there is none.
    pub by_reason: BTreeMap<String, usize>,
    /// By age.
    pub by_age: BTreeMap<Age, usize>,
    /// By subject.
    pub by_subject: BTreeMap<String, usize>,
    /// Some of the bodies, with personal data masked.
    pub samples: Vec<String>,
}

/// How long ago a message was sent. (One that was parked: when it was parked.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Less than an hour.
    Hour,
    /// Less than a day.
    Day,
    /// Less than a week.
    Week,
    /// Longer.
    Longer,
}

impl Age {
    fn of(seconds: f64) -> Self {
        match seconds {
            s if s < 3_600.0 => Self::Hour,
            s if s < 86_400.0 => Self::Day,
            s if s < 604_800.0 => Self::Week,
            _ => Self::Longer,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Hour => "less than an hour",
            Self::Day => "less than a day",
            Self::Week => "less than a week",
            Self::Longer => "a week or more",
        }
    }
}

impl Inspection {
    /// Receives every message of a queue, and makes it visible again. Refuses a queue with a redrive policy: each receive
    /// would bring its messages nearer to the dead-letter queue.
    pub async fn of_queue(
        sqs: &Client,
        queue: &QueueDescription,
        samples: usize,
        clock: &Clock,
        stop: &Stop,
        progress: &dyn Fn(usize),
    ) -> Result<Self> {
        refuse_source_queue(queue)?;
        let found = std::cell::RefCell::new(Self {
            about: queue.visible,
            hidden: queue.invisible,
            ..Self::default()
        });
        let count = async |receiving: &Receiving<'_>, received: Vec<Received>| {
            for message in &received {
                found.borrow_mut().add(&message.message, samples, clock.now());
            }
            receiving.hold(received)?;
            progress(found.borrow().messages);
            Ok(())
        };
        let report = Receiving::new(sqs, queue, HOLD, stop)?.each(count).await;
        let Report { seen, may_be_more, still_invisible, error } = report;
        let may_be_more = may_be_more || (queue.is_fifo && queue.visible > seen);
        if let Some(error) = error {
            return Err(error);
        }
        if still_invisible > 0 {
            bail!(
                "{still_invisible} messages were received, and stay invisible for up to five minutes: may you change \
                 their visibility?"
            );
        }
        if stop.is_asked() {
            let seen = plural(found.borrow().messages, "message");
            return Err(Interrupted(format!("{seen} were seen, and are visible again")).into());
        }
        Ok(Self { may_be_more, ..found.into_inner() })
    }

    /// Counts one more.
    pub fn add(&mut self, message: &QueuedMessage, samples: usize, now: Timestamp) {
        self.messages += 1;
        let json = message.json();
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        count(&mut self.by_type, text("type").map_or(NOT_AN_EVENT, event_type));
        count(&mut self.by_reason, event_type(message.reason()));
        if let Some(text) = text("subject") {
            count(&mut self.by_subject, subject(text));
        }
        if let Some(sent_at) = message.sent_at() {
            *self.by_age.entry(Age::of(seconds_between(sent_at, now))).or_default() += 1;
        }
        if self.samples.len() < samples {
            self.samples.push(masked(&message.body));
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "{}", plural(self.messages, "message"))?;
        if self.may_be_more {
            write!(out, ", and more: SQS shows at most 120,000 at a time, of a FIFO group ten")?;
        } else if self.about > self.messages {
            write!(out, ", of about {}: others are reading, or the number is old", self.about)?;
        }
        writeln!(out)?;
        if self.hidden > 0 {
            writeln!(out, "and about {} that are invisible now: somebody has received them", self.hidden)?;
        }
        self.write_tables(out, "")?;
        if !self.samples.is_empty() {
            writeln!(out, "\nSamples")?;
        }
        self.samples.iter().try_for_each(|body| writeln!(out, "  {}", printable(body)))
    }

    /// The counts by type, reason, age and subject, each line after `indent`.
    pub(crate) fn write_tables(&self, out: &mut String, indent: &str) -> std::fmt::Result {
        let ages: BTreeMap<String, usize> =
            self.by_age.iter().map(|(age, count)| (age.words().to_owned(), *count)).collect();
        let tables = [
            ("By type", &self.by_type),
            ("By reason", &self.by_reason),
            ("By age", &ages),
            ("By subject", &self.by_subject),
        ];
        for (title, counts) in tables.into_iter().filter(|(_, counts)| !counts.is_empty()) {
            writeln!(out, "\n{indent}{title}")?;
            let mut counts: Vec<(&String, &usize)> = counts.iter().collect();
            counts.sort_by(|a, b| b.1.cmp(a.1));
            for (name, count) in counts.iter().take(USERS_SHOWN) {
                writeln!(out, "{indent}{count:>7}  {}", printable(name))?;
            }
            if let Some(more) = counts.len().checked_sub(USERS_SHOWN).filter(|more| *more > 0) {
                writeln!(out, "{indent}         and {more} more")?;
            }
        }
        Ok(())
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let ages: BTreeMap<&str, usize> =
            self.by_age.iter().map(|(age, count)| (age.words(), *count)).collect();
        json!({
            "messages": self.messages, "about": self.about, "hidden": self.hidden, "mayBeMore": self.may_be_more, "byType": self.by_type, "byReason": self.by_reason, "byAge": ages,
            "bySubject": self.by_subject, "samples": self.samples,
        })
    }
}

/// A queue with a redrive policy is left alone.
pub(crate) fn refuse_source_queue(queue: &QueueDescription) -> Result<()> {
    if queue.has_redrive_policy {
        bail!(
            "it has a dead-letter queue, and looking is a receive of every message, of which each has only so many; look \
             at the dead-letter queue, or at the metrics"
        );
    }
    Ok(())
}

fn count(counts: &mut BTreeMap<String, usize>, name: &str) {
    *counts.entry(name.to_owned()).or_default() += 1;
}

/// The body with everything masked that may be personal: all strings but those of known fields, and what looks like an
/// address there.
fn masked(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(json @ Value::Object(_)) => mask("", json).to_string(),
        Ok(_) => format!("{} bytes of JSON that is no event", body.len()),
        Err(_) => format!("{} bytes that are no JSON", body.len()),
    }
}

fn mask(name: &str, json: Value) -> Value {
    match json {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = mask(&name, value);
                (if name.contains('@') { "***".to_owned() } else { name }, value)
            });
            Value::Object(fields.collect())
        }
        Value::Array(values) => values.into_iter().map(|value| mask(name, value)).collect(),
        Value::String(text) if name == "subject" => json!(subject(&text)),
        Value::String(text) if !SHOWN.contains(&name) || text.contains('@') => json!("***"),
        other => other,
    }
}

/// A subject that names nobody: a sub, which is a UUID, or a domain.
fn subject(subject: &str) -> &str {
    let is_sub = subject.len() == 36 && subject.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let is_harmless = is_sub || subject == "unknown" || subject.starts_with("domain:");
    if is_harmless && !subject.contains('@') { subject } else { "no sub (masked)" }
}

/// A type as types look; anything else could be anything.
pub(crate) fn event_type(text: &str) -> &str {
    let is_type = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if text.len() <= 64 && text.chars().all(is_type) { text } else { "no type (masked)" }
}

#[cfg(test)]
mod tests {
    use workers::batch::ERROR_TYPE;

    use super::*;

    #[test]
    fn a_sample_shows_nothing_personal() {
        let body = json!({
            "type": "user.confirmed", "subject": "ana",
            "data": {"email": "ana@example.com", "name": "Ana", "other": ["ana@example.com", 7]},
        });
        let expected = json!({
            "type": "user.confirmed", "subject": "no sub (masked)",
            "data": {"email": "***", "name": "***", "other": ["***", 7]},
        });
        assert_eq!(masked(&body.to_string()), expected.to_string());
        assert_eq!(masked("ana@example.com"), "15 bytes that are no JSON");
        assert_eq!(masked("\"ana@example.com\""), "17 bytes of JSON that is no event");
        let odd = json!({"id": "ana@example.com", "ana@example.com": {"Email": "Ana", "amount": "4.90"}});
        assert_eq!(masked(&odd.to_string()), r#"{"***":{"Email":"***","amount":"4.90"},"id":"***"}"#);
    }

    #[test]
    fn messages_are_counted_by_what_they_are() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let message = |body: &str, reason: Option<&str>, seconds_ago: i64| {
            let sent_at = shared::time::minus_seconds(now, seconds_ago).as_millisecond().to_string();
            let reason =
                reason.map(|reason| (ERROR_TYPE, json!({"dataType": "String", "stringValue": reason})));
            let line = json!({
                "messageId": "1", "attributes": {"SentTimestamp": sent_at}, "body": body,
                "messageAttributes": reason.into_iter().collect::<BTreeMap<_, _>>(),
            });
            serde_json::from_value::<QueuedMessage>(line).unwrap()
        };
        let messages = [
            message(
                r#"{"type": "order.shipped", "subject": "domain:example.com"}"#,
                Some("unknown_type"),
                10,
            ),
            message(r#"{"type": "order.shipped", "subject": "ben"}"#, Some("unknown_type"), 4_000),
            message("{", None, 700_000),
        ];
        let mut found = Inspection::default();
        messages.iter().for_each(|message| found.add(message, 1, now));
        let expected = "3 messages\n\nBy type\n      2  order.shipped\n      1  not_an_event\n\n\
            By reason\n      2  unknown_type\n      1  received_too_often\n\n\
            By age\n      1  a week or more\n      1  less than a day\n      1  less than an hour\n\n\
            By subject\n      1  domain:example.com\n      1  no sub (masked)\n\n\
            Samples\n  {\"subject\":\"domain:example.com\",\"type\":\"order.shipped\"}\n";
        assert_eq!(found.text(), expected);
    }
}
