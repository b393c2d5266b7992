//! Reading back from logs what the triggers could not send.
//!
//! Whatever form the log comes in (lines as Lambda writes them, as text or JSON; what `aws logs tail` or
//! `filter-log-events` prints; an export): a lost event stands in it whole, under one message. Pure.

pub mod command;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Deserializer, Value};
use shared::events::{Data, Event, InvalidEvent};
use shared::telemetry::UNSENT_EVENT;

/// What was found in logs.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The events for user-events, each once, in the order in which they were found.
    pub events: Vec<Event>,
    /// Those that are found but not sent, by their reason.
    pub left: BTreeMap<&'static str, usize>,
    seen: BTreeSet<(String, String)>,
}

/// What is said of an event for group-memberships.
const GROUPS: &str = "for group-memberships, where the user's next token says it anew";
/// What is said of an event that user-events takes no more.
const TOO_OLD: &str = "more than 30 days old: user-stats would park it";
/// What is said of what looks like an event.
const UNREADABLE: &str = "no event: the log is cut off, or of a newer release";

impl Recovered {
    /// Adds what stands in a log, at the time `now`.
    pub fn read(&mut self, log: &str, now: Timestamp) {
        // JSON documents, however many and over however many lines, with other text around them; and lines of text.
        let mut rest = log;
        while let Some(start) = rest.find(['{', '[']) {
            let (before, from) = rest.split_at(start);
            let mut values = Deserializer::from_str(from).into_iter::<Value>();
            match values.next() {
                Some(Ok(json)) => {
                    self.text(before, now);
                    self.search(&json, now);
                    rest = from.get(values.byte_offset()..).unwrap_or_default();
                }
                // No JSON, such as the name of a stream, or an event within text: on to what follows in this line.
                _ => {
                    let end = from.find('\n').map_or(from.len(), |end| end + 1);
                    let (line, after) = from.split_at(end);
                    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                    let whole = format!("{}{line}", before.get(line_start..).unwrap_or_default());
                    self.text(before.get(..line_start).unwrap_or_default(), now);
                    self.line(&whole, line, now);
                    rest = after;
                }
            }
        }
        self.text(rest, now);
    }

    /// A line that has a bracket which begins no JSON; `from` it on there may be some.
    fn line(&mut self, line: &str, from: &str, now: Timestamp) {
        if !line.contains(UNSENT_EVENT) {
            return;
        }
        let json = from.match_indices('{').find_map(|(start, _)| {
            let mut values = Deserializer::from_str(from.get(start..)?).into_iter::<Value>();
            values.next()?.ok().filter(has_lost_event)
        });
        match json {
            Some(json) => self.search(&json, now),
            None => self.text(line, now),
        }
    }

    /// Lines without JSON, of the form
    /// `ERROR event not sent error_type="unsent_event" event_type="…" event="{\"specversion\":…}" cause="…"`.
    fn text(&mut self, text: &str, now: Timestamp) {
        for line in text.lines().filter(|line| line.contains(UNSENT_EVENT)) {
            match line.split_once(" event=\"").and_then(|(_, rest)| unescaped(rest)) {
                Some(event) => self.add(&event, now),
                None => self.leave(UNREADABLE),
            }
        }
    }

    /// How many lost events could not be read.
    pub fn unreadable(&self) -> usize {
        self.left.get(UNREADABLE).copied().unwrap_or_default()
    }

    /// Looks for the message in JSON, and in strings that are lines themselves.
    fn search(&mut self, json: &Value, now: Timestamp) {
        match json {
            Value::Object(fields) => match fields.get("message").and_then(Value::as_str) {
                Some(UNSENT_EVENT) => match fields.get("event").and_then(Value::as_str) {
                    Some(event) => self.add(event, now),
                    None => self.leave(UNREADABLE),
                },
                _ => fields.values().for_each(|value| self.search(value, now)),
            },
            Value::Array(values) => values.iter().for_each(|value| self.search(value, now)),
            Value::String(text) if text.contains(UNSENT_EVENT) => self.read(text, now),
            _ => {}
        }
    }

    fn add(&mut self, body: &str, now: Timestamp) {
        let Ok(event) = Event::parse(body) else { return self.leave(UNREADABLE) };
        // The same line may be in two files, and a trigger that Cognito invokes again says some things twice.
        if !self.seen.insert((event.source.clone(), event.id.clone())) {
            return;
        }
        match (&event.data, event.check_time(now)) {
            (Data::GroupsMapped(_), _) => self.leave(GROUPS),
            (_, Err(InvalidEvent::TooOld)) => self.leave(TOO_OLD),
            _ => self.events.push(event),
        }
    }

    fn leave(&mut self, reason: &'static str) {
        *self.left.entry(reason).or_default() += 1;
    }

    /// How many events there are of each type.
    pub fn by_type(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for event in &self.events {
            *counts.entry(event.data.event_type()).or_default() += 1;
        }
        counts
    }
}

fn has_lost_event(json: &Value) -> bool {
    match json {
        Value::Object(fields) => fields.values().any(has_lost_event),
        Value::Array(values) => values.iter().any(has_lost_event),
        Value::String(text) => text.contains(UNSENT_EVENT),
        _ => false,
    }
}

/// A string as Rust's `Debug` writes it, up to its quotation mark.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                '0' => out.push('\0'),
                'u' => {
                    let digits: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    out.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use shared::events::{Confirmed, Subject};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    const NOW: &str = "2026-03-02T10:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn event(name: &str) -> Event {
        let name = Some(name.to_owned());
        let confirmed = Confirmed { username: "ana".into(), email: None, email_verified: false, name };
        Event::new("/pool", Subject::user("ana"), now(), Data::Confirmed(confirmed))
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What the triggers log, as JSON or as text.
    fn logged(event: &Event, as_json: bool) -> String {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
        let lose = || shared::telemetry::log_unsent_event(event, &std::io::Error::other("no \"connection\""));
        if as_json {
            tracing::subscriber::with_default(subscriber.json().finish(), lose);
        } else {
            tracing::subscriber::with_default(subscriber.finish(), lose);
        }
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_lost_event_is_found_in_every_form_of_log() {
        let lost = event("Zoë \"Z\" O'Neil\u{200b}\u{7f}");
        let (line, text) = (logged(&lost, true), logged(&lost, false));
        let others = r#"{"level":"INFO","fields":{"message":"hello"}}"#;
        let forms = [
            format!("{others}\n{line}START RequestId\n"),
            text.clone(),
            format!("2026-03-02T09:00:00.000Z 2026/03/02/[$LATEST]0123 {line}"),
            format!("2026-03-02T09:00:00.000Z {text}"),
            json!({"events": [{"message": others}, {"message": line}]}).to_string(),
            serde_json::to_string_pretty(&json!([line.trim_end()])).unwrap(),
            json!({"results": [[{"field": "@message", "value": text}]]}).to_string(),
            format!(
                "{}{}",
                json!({"logEvents": [{"message": "x"}]}),
                json!({"logEvents": [{"message": line}]})
            ),
            format!(
                "{0}\n{0}\n",
                serde_json::to_string_pretty(&json!({"events": [{"message": line}]})).unwrap()
            ),
            format!("2026-03-02T09:00:00.000Z 2026/03/02/[$LATEST]0123 {text}\nREPORT {{x}} [y"),
        ];
        for form in forms {
            let mut recovered = Recovered::default();
            recovered.read(&form, now());
            assert_eq!(recovered.events, std::slice::from_ref(&lost), "{form}");
            assert!(recovered.left.is_empty(), "{form}");
        }
    }

    #[test]
    fn an_event_that_is_found_twice_is_sent_once() {
        let (ana, ben) = (event("Ana"), event("Ben"));
        let mut recovered = Recovered::default();
        for lost in [&ana, &ben, &ana] {
            recovered.read(&logged(lost, true), now());
        }
        assert_eq!(recovered.events, [ana, ben]);
        assert_eq!(recovered.by_type(), [("user.confirmed", 2)].into());
    }

    #[test]
    fn what_user_events_would_not_take_is_left() {
        let mut recovered = Recovered::default();
        recovered.read(&logged(&event("Ana"), true), shared::time::plus_seconds(now(), 31 * 24 * 3600));
        let cut_off = logged(&event("Ben"), true);
        recovered.read(&cut_off[..cut_off.len() / 2], now());
        recovered.read("nothing at all", now());
        assert!(recovered.events.is_empty());
        assert_eq!(recovered.left, [(TOO_OLD, 1), (UNREADABLE, 1)].into());
    }
}
