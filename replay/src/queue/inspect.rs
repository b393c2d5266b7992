//! What lies in a queue, without taking anything out of it: each message is received, counted, and made visible again.

pub mod command;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Result, bail};
use aws_sdk_sqs::Client;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::time::{Clock, seconds_between};

use crate::queue::filter::Filter;
use crate::queue::redact as mask;
use crate::queue::message::{NOT_AN_EVENT, QueuedMessage};
use crate::queue::description::QueueDescription;
use crate::queue::reader::{Received, QueueReader, Report};
use shared::text::{plural, printable};
use crate::interrupt::{Interrupted, StopSignal};

/// While they are counted, messages are invisible. Where counting is cut off, they come back after this time.
const HOLD: Duration = Duration::from_secs(300);
/// Users shown, those with the most messages first.
const USERS_SHOWN: usize = 10;
/// What lies in a queue.
#[derive(Debug, Default, PartialEq)]
pub struct Inspection {
    /// All messages that were seen, and meant.
    pub messages: usize,
    /// Messages that were seen, and not meant.
    pub others: usize,
    /// About so many were invisible before: somebody is working on them, or counting.
    pub hidden: usize,
    /// About so many that were visible were not seen.
    pub unseen: usize,
    /// What was not seen, for people.
    unseen_text: String,
    /// By event type; `not_an_event` for the rest.
    pub by_type: BTreeMap<String, usize>,
    /// By `error.type`; `received_too_often` where there is none.
    pub by_reason: BTreeMap<String, usize>,
    /// By age.
    pub by_age: BTreeMap<Age, usize>,
    /// By subject.
    pub by_subject: BTreeMap<String, usize>,
    /// By reason, one of the sentences that go with it (`error.message`).
    pub sentences: BTreeMap<String, String>,
    /// Some of the bodies, as many of each reason, with personal data masked.
    pub samples: BTreeMap<String, Vec<String>>,
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
    /// Receives every message of a queue, counts those that are meant, with `samples` bodies for each reason, and makes all of
    /// them visible again. Refuses a queue that workers read from.
    pub async fn of_queue(
        (sqs, queue): (&Client, &QueueDescription),
        filter: &Filter,
        samples: usize,
        clock: &Clock,
        stop: &StopSignal,
        progress: &dyn Fn(usize),
    ) -> Result<Self> {
        queue.refuse_source_queue()?;
        let found = std::cell::RefCell::new(Self { hidden: queue.invisible, ..Self::default() });
        let count = async |receiving: &QueueReader<'_>, received: Vec<Received>| {
            for Received { message, .. } in &received {
                let mut found = found.borrow_mut();
                if filter.is_met_by(message, clock) {
                    found.add(message, samples, clock.now());
                } else {
                    found.others += 1;
                }
            }
            receiving.hold(received)?;
            let found = found.borrow();
            progress(found.messages + found.others);
            Ok(())
        };
        let mut report = QueueReader::new((sqs, queue), HOLD, clock, stop)?.each(count).await;
        if let Some(error) = report.error.take() {
            return Err(error);
        }
        let Report { seen, unseen, still_invisible, .. } = report;
        if still_invisible > 0 {
            bail!(
                "{still_invisible} messages were received, and stay invisible for up to five minutes: may you change \
                 their visibility?"
            );
        }
        if stop.is_requested() {
            return Err(
                Interrupted(format!("{} were seen, and are visible again", plural(seen, "message"))).into()
            );
        }
        Ok(Self { unseen, unseen_text: report.unseen_text(queue), ..found.into_inner() })
    }

    /// Counts one more.
    pub fn add(&mut self, message: &QueuedMessage, samples: usize, now: Timestamp) {
        self.messages += 1;
        let json = message.json();
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let reason = mask::word(message.reason());
        count(&mut self.by_type, text("type").map_or(NOT_AN_EVENT, mask::word));
        count(&mut self.by_reason, reason);
        if let Some(text) = text("subject") {
            count(&mut self.by_subject, mask::subject(text));
        }
        if let Some(sent_at) = message.sent_at() {
            *self.by_age.entry(Age::of(seconds_between(sent_at, now))).or_default() += 1;
        }
        if let Some(sentence) = message.sentence().filter(|sentence| !sentence.contains('@')) {
            self.sentences.entry(reason.to_owned()).or_insert_with(|| sentence.to_owned());
        }
        if samples > 0 {
            let of_reason = self.samples.entry(reason.to_owned()).or_default();
            if of_reason.len() < samples {
                of_reason.push(mask::body(&message.body));
            }
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
        if self.others > 0 {
            write!(out, ", and {} that are not meant", self.others)?;
        }
        writeln!(out, "\n{}", self.unseen_text.trim_end())?;
        if out.ends_with("\n\n") {
            out.pop();
        }
        self.write_tables(out)?;
        for (reason, samples) in &self.samples {
            writeln!(out, "\nSamples: {reason}")?;
            samples.iter().try_for_each(|body| writeln!(out, "  {}", printable(body)))?;
        }
        Ok(())
    }

    /// The counts by type, reason, age and subject.
    pub(crate) fn write_tables(&self, out: &mut String) -> std::fmt::Result {
        let ages: BTreeMap<String, usize> =
            self.by_age.iter().map(|(age, count)| (age.words().to_owned(), *count)).collect();
        let tables = [
            ("By type", &self.by_type),
            ("By reason", &self.by_reason),
            ("By age", &ages),
            ("By subject", &self.by_subject),
        ];
        for (title, counts) in tables.into_iter().filter(|(_, counts)| !counts.is_empty()) {
            writeln!(out, "\n{title}")?;
            let mut counts: Vec<(&String, &usize)> = counts.iter().collect();
            counts.sort_by(|a, b| b.1.cmp(a.1));
            for (name, count) in counts.iter().take(USERS_SHOWN) {
                writeln!(out, "{count:>7}  {}", printable(name))?;
                if let Some(sentence) = self.sentences.get(*name).filter(|_| title == "By reason") {
                    writeln!(out, "         {}", printable(sentence))?;
                }
            }
            if let Some(more) = counts.len().checked_sub(USERS_SHOWN).filter(|more| *more > 0) {
                writeln!(out, "         and {more} more")?;
            }
        }
        Ok(())
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let ages: BTreeMap<&str, usize> =
            self.by_age.iter().map(|(age, count)| (age.words(), *count)).collect();
        json!({
            "messages": self.messages, "others": self.others, "unseen": self.unseen, "hidden": self.hidden,
            "byType": self.by_type, "byReason": self.by_reason, "byAge": ages, "bySubject": self.by_subject,
            "sentences": self.sentences, "samples": self.samples,
        })
    }
}

fn count(counts: &mut BTreeMap<String, usize>, name: &str) {
    *counts.entry(name.to_owned()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use shared::queues::ERROR_TYPE;

    use super::*;

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
            Samples: received_too_often\n  1 bytes that are no JSON\n\n\
            Samples: unknown_type\n  {\"subject\":\"domain:example.com\",\"type\":\"order.shipped\"}\n";
        assert_eq!(found.text(), expected);
    }
}
