//! What lies in a queue, without taking anything out of it: each message is received, counted, and made visible again.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::queues::Queue;
use shared::time::seconds_between;
use workers::batch::ERROR_TYPE;

use crate::report::printable;

/// While they are counted, messages are invisible. Where counting is cut off, they come back after this time.
const VISIBILITY_SECONDS: i32 = 300;
/// After so many receives without a message that is new, all have been seen.
const RECEIVES_WITHOUT_NEWS: u32 = 3;
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

/// A message, as far as counting needs it.
struct Seen {
    body: String,
    reason: Option<String>,
    sent_at: Option<Timestamp>,
    receipt: String,
}

/// What lies in a queue.
#[derive(Debug, Default, PartialEq)]
pub struct Inspection {
    /// All messages that were seen.
    pub messages: usize,
    /// About so many were visible before, by SQS's own count.
    pub about: usize,
    /// About so many were invisible before: somebody is working on them, or counting.
    pub hidden: usize,
    /// By event type; `not an event` for the rest.
    pub by_type: BTreeMap<String, usize>,
    /// By `error.type`; `received too often` where there is none.
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
    /// Receives every message of the queue at `url`, and makes it visible again. Refuses a queue with a redrive policy:
    /// each receive would bring its messages nearer to the dead-letter queue.
    pub async fn of_queue(sqs: &Client, url: &str, samples: usize, now: Timestamp) -> Result<Self> {
        let attributes = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let attributes = attributes.send().await.map_err(told)?.attributes.unwrap_or_default();
        if attributes.contains_key(&QueueAttributeName::RedrivePolicy) {
            bail!(
                "it has a dead-letter queue, and counting is a receive of every message, of which each has only so many; \
                 inspect the dead-letter queue, or look at the metrics"
            );
        }
        let about = attributes.get(&QueueAttributeName::ApproximateNumberOfMessages);
        let about = about.and_then(|count| count.parse().ok()).unwrap_or_default();
        let hidden = attributes.get(&QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
        let hidden = hidden.and_then(|count| count.parse().ok()).unwrap_or_default();
        let mut seen = HashMap::new();
        let received = receive_all(sqs, url, &mut seen).await;
        // Also what was received before an error.
        let receipts = seen.values().map(|message| (message.receipt.clone(), Duration::ZERO)).collect();
        let left = Queue::new(sqs.clone(), url).delay(receipts, Duration::MAX).await;
        received?;
        if left > 0 {
            bail!(
                "{left} messages were received, and stay invisible for up to five minutes: may you change their visibility?"
            );
        }
        Ok(Self { about, hidden, ..Self::of(seen.values(), samples, now) })
    }

    fn of<'a>(messages: impl Iterator<Item = &'a Seen>, samples: usize, now: Timestamp) -> Self {
        let mut found = Self::default();
        for Seen { body, reason, sent_at, .. } in messages {
            found.messages += 1;
            let json: Value = serde_json::from_str(body).unwrap_or_default();
            let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
            let event_type =
                text("type").map_or("not an event".to_owned(), |text| event_type(&text).to_owned());
            *found.by_type.entry(event_type).or_default() += 1;
            let reason = reason.clone().unwrap_or_else(|| "received too often".to_owned());
            *found.by_reason.entry(reason).or_default() += 1;
            if let Some(text) = text("subject") {
                *found.by_subject.entry(subject(&text).to_owned()).or_default() += 1;
            }
            if let Some(sent_at) = sent_at {
                *found.by_age.entry(Age::of(seconds_between(*sent_at, now))).or_default() += 1;
            }
            if found.samples.len() < samples {
                found.samples.push(masked(body));
            }
        }
        found
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "{}", crate::local::plural(self.messages, "message"))?;
        if self.about > self.messages {
            write!(
                out,
                ", of about {}: others are reading, or there are too many for five minutes",
                self.about
            )?;
        }
        writeln!(out)?;
        if self.hidden > 0 {
            writeln!(out, "and about {} that are invisible now: somebody has received them", self.hidden)?;
        }
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
            }
            if let Some(more) = counts.len().checked_sub(USERS_SHOWN).filter(|more| *more > 0) {
                writeln!(out, "         and {more} more")?;
            }
        }
        if !self.samples.is_empty() {
            writeln!(out, "\nSamples")?;
        }
        self.samples.iter().try_for_each(|body| writeln!(out, "  {}", printable(body)))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let ages: BTreeMap<&str, usize> =
            self.by_age.iter().map(|(age, count)| (age.words(), *count)).collect();
        json!({
            "messages": self.messages, "about": self.about, "hidden": self.hidden, "byType": self.by_type, "byReason": self.by_reason, "byAge": ages,
            "bySubject": self.by_subject, "samples": self.samples,
        })
    }
}

/// Every message by its id. What is received again while counting goes on counts once.
async fn receive_all(sqs: &Client, url: &str, seen: &mut HashMap<String, Seen>) -> Result<()> {
    let mut without_news = 0;
    while without_news < RECEIVES_WITHOUT_NEWS {
        let call = sqs.receive_message().queue_url(url).max_number_of_messages(10);
        // Waiting a second asks all of SQS's servers, and not some.
        let call = call.wait_time_seconds(1);
        let call = call.visibility_timeout(VISIBILITY_SECONDS).message_attribute_names("All");
        let call = call.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let messages = call.send().await.map_err(told)?.messages.unwrap_or_default();
        let before = seen.len();
        for message in messages {
            let (id, message) = read(message).context("a message without an id")?;
            seen.insert(id, message);
        }
        without_news = if seen.len() > before { 0 } else { without_news + 1 };
    }
    Ok(())
}

fn read(message: Message) -> Option<(String, Seen)> {
    let attribute = message.message_attributes.as_ref().and_then(|attributes| attributes.get(ERROR_TYPE));
    let reason = attribute.and_then(|value| value.string_value.clone());
    let sent = message.attributes.as_ref().and_then(|a| a.get(&MessageSystemAttributeName::SentTimestamp));
    let sent_at = sent.and_then(|millis| Timestamp::from_millisecond(millis.parse().ok()?).ok());
    let body = message.body.unwrap_or_default();
    Some((message.message_id?, Seen { body, reason, sent_at, receipt: message.receipt_handle? }))
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
fn event_type(text: &str) -> &str {
    let is_type = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if text.len() <= 64 && text.chars().all(is_type) { text } else { "no type (masked)" }
}

fn told<E, R>(error: aws_sdk_sqs::error::SdkError<E, R>) -> anyhow::Error
where
    E: aws_sdk_sqs::error::ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    anyhow::anyhow!("{}", shared::aws::cause(&error))
}

#[cfg(test)]
mod tests {
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
        let message = |body: &str, reason: Option<&str>, seconds_ago: i64| Seen {
            body: body.to_owned(),
            reason: reason.map(str::to_owned),
            sent_at: Some(shared::time::minus_seconds(now, seconds_ago)),
            receipt: String::new(),
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
        let found = Inspection::of(messages.iter(), 1, now);
        let expected = "3 messages\n\nBy type\n      2  order.shipped\n      1  not an event\n\n\
            By reason\n      2  unknown_type\n      1  received too often\n\n\
            By age\n      1  a week or more\n      1  less than a day\n      1  less than an hour\n\n\
            By subject\n      1  domain:example.com\n      1  no sub (masked)\n\n\
            Samples\n  {\"subject\":\"domain:example.com\",\"type\":\"order.shipped\"}\n";
        assert_eq!(found.text(), expected);
    }
}
