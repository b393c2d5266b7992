//! Finds the events in logs that triggers could not publish. Pure.
//!
//! The log can have any format: lines as Lambda writes them, as text or JSON, the output of `aws
//! logs tail` or `aws logs filter-log-events`, or an export. Each event is complete in one log
//! message with the text [`UNSENT_EVENT`].

pub mod command;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Deserializer, Value};
use shared::events::{Data, Event, InvalidEvent, Subject};
use shared::telemetry::UNSENT_EVENT;

#[derive(Debug, Default)]
pub struct RecoveredEvents {
    /// Events for user-events, each once, in the order of the logs.
    pub events: Vec<Event>,
    /// Events that are not sent.
    pub skipped: BTreeMap<SkipReason, usize>,
    /// Places of events that are not complete: the log and the line number.
    pub incomplete: Vec<(String, usize)>,
    /// Source, id and subject of each event, which identify it.
    seen: BTreeSet<(String, String, Subject)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// `user.groups_mapped` goes to group-memberships, and the user's next token publishes it
    /// again.
    GroupsMapped,
    /// user-stats rejects events that are more than 30 days old.
    TooOld,
}

impl RecoveredEvents {
    /// Adds the events of the log `name`.
    pub fn read(&mut self, name: &str, log: &str, now: Timestamp) {
        LogReader { recovered: self, name, now }.read(log, 1, 1);
    }

    fn add(&mut self, event: Event, now: Timestamp) {
        // An event can be in two logs. A trigger that Cognito invokes again publishes some events
        // twice.
        if !self.seen.insert((event.source.clone(), event.id.clone(), event.subject.clone())) {
            return;
        }
        match (&event.data, event.check_time(now)) {
            (Data::GroupsMapped(_), _) => self.skip(SkipReason::GroupsMapped),
            (_, Err(InvalidEvent::TooOld)) => self.skip(SkipReason::TooOld),
            _ => self.events.push(event),
        }
    }

    fn skip(&mut self, reason: SkipReason) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// Number of events of each type.
    pub fn by_type(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for event in &self.events {
            *counts.entry(event.data.event_type()).or_default() += 1;
        }
        counts
    }
}

struct LogReader<'a> {
    recovered: &'a mut RecoveredEvents,
    name: &'a str,
    now: Timestamp,
}

impl LogReader<'_> {
    /// Reads a mixture of JSON documents, each on one or several lines, and lines of text. `line`
    /// is the number of the first line. `step` is 1 for a log, and 0 for a string within a JSON
    /// document, all of which counts as one line.
    fn read(&mut self, text: &str, line: usize, step: usize) {
        let (mut rest, mut line) = (text, line);
        while let Some(start) = rest.find(['{', '[']) {
            let (before, from) = rest.split_at(start);
            let line_of_start = line + step * line_breaks(before);
            let mut values = Deserializer::from_str(from).into_iter::<Value>();
            let end = match values.next() {
                Some(Ok(json)) => {
                    self.read_lines(before, line, step);
                    self.search(&json, line_of_start);
                    start + values.byte_offset()
                }
                // Not JSON, such as the name of a log stream, or an event within text. Continue
                // with the next line.
                _ => {
                    let end_of_line = from.find('\n').map_or(from.len(), |end| end + 1);
                    let start_of_line = before.rfind('\n').map_or(0, |at| at + 1);
                    let (lines, start_of_text) = before.split_at(start_of_line);
                    let (from_bracket, _) = from.split_at(end_of_line);
                    self.read_lines(lines, line, step);
                    self.read_line(&format!("{start_of_text}{from_bracket}"), from_bracket, line_of_start);
                    start + end_of_line
                }
            };
            let (done, next) = rest.split_at(end);
            line += step * line_breaks(done);
            rest = next;
        }
        self.read_lines(rest, line, step);
    }

    /// Reads a line whose first bracket does not start JSON. A later bracket in `from_bracket` may.
    fn read_line(&mut self, line: &str, from_bracket: &str, number: usize) {
        if !line.contains(UNSENT_EVENT) {
            return;
        }
        let json = from_bracket.match_indices('{').find_map(|(start, _)| {
            let mut values = Deserializer::from_str(from_bracket.get(start..)?).into_iter::<Value>();
            values.next()?.ok().filter(contains_unsent_event)
        });
        match json {
            Some(json) => self.search(&json, number),
            None => self.read_lines(line, number, 0),
        }
    }

    /// Reads lines without JSON, in the format `ERROR unsent event error_type="unsent_event"
    /// event_type="…" event="{\"specversion\":…}" cause="…"`.
    fn read_lines(&mut self, text: &str, first: usize, step: usize) {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.contains(UNSENT_EVENT)) {
            let event = line.split_once(" event=\"").and_then(|(_, rest)| unescape(rest));
            self.add(event.as_deref(), first + step * index);
        }
    }

    /// Searches a JSON document for the log message, also in strings that are log lines themselves.
    fn search(&mut self, json: &Value, line: usize) {
        match json {
            Value::Object(fields) => match fields.get("message").and_then(Value::as_str) {
                Some(UNSENT_EVENT) => self.add(fields.get("event").and_then(Value::as_str), line),
                _ => fields.values().for_each(|value| self.search(value, line)),
            },
            Value::Array(values) => values.iter().for_each(|value| self.search(value, line)),
            Value::String(text) if text.contains(UNSENT_EVENT) => self.read(text, line, 0),
            _ => {}
        }
    }

    fn add(&mut self, event: Option<&str>, line: usize) {
        match event.and_then(|event| Event::parse(event).ok()) {
            Some(event) => self.recovered.add(event, self.now),
            None => self.recovered.incomplete.push((self.name.to_owned(), line)),
        }
    }
}

fn line_breaks(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn contains_unsent_event(json: &Value) -> bool {
    match json {
        Value::Object(fields) => fields.values().any(contains_unsent_event),
        Value::Array(values) => values.iter().any(contains_unsent_event),
        Value::String(text) => text.contains(UNSENT_EVENT),
        _ => false,
    }
}

/// Decodes a string in the format of Rust's `Debug`, up to the closing quotation mark.
fn unescape(text: &str) -> Option<String> {
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
    use shared::events::Confirmed;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    const NOW: &str = "2026-03-02T10:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn event(name: &str) -> Event {
        let name = Some(name.to_owned());
        let confirmed = Confirmed {
            username: "ana".into(),
            email: None,
            email_verified: false,
            name,
            preferred_username: None,
        };
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

    /// The log line of a trigger, as JSON or as text.
    fn logged(event: &Event, as_json: bool) -> String {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
        let log = || shared::telemetry::log_unsent_event(event, &std::io::Error::other("no \"connection\""));
        if as_json {
            tracing::subscriber::with_default(subscriber.json().finish(), log);
        } else {
            tracing::subscriber::with_default(subscriber.finish(), log);
        }
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn unsent_event_is_found_in_every_log_format() {
        let unsent = event("Zoë \"Z\" O'Neil\u{200b}\u{7f}");
        let (line, text) = (logged(&unsent, true), logged(&unsent, false));
        let others = r#"{"level":"INFO","fields":{"message":"hello"}}"#;
        let logs = [
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
        for log in logs {
            let mut recovered = RecoveredEvents::default();
            recovered.read("log", &log, now());
            assert_eq!(recovered.events, std::slice::from_ref(&unsent), "{log}");
            assert!(recovered.skipped.is_empty() && recovered.incomplete.is_empty(), "{log}");
        }
    }

    #[test]
    fn event_that_is_found_twice_is_recovered_once() {
        let (ana, ben) = (event("Ana"), event("Ben"));
        let mut recovered = RecoveredEvents::default();
        for event in [&ana, &ben, &ana] {
            recovered.read("log", &logged(event, true), now());
        }
        assert_eq!(recovered.events, [ana, ben]);
        assert_eq!(recovered.by_type(), [("user.confirmed", 2)].into());
    }

    #[test]
    fn same_source_and_id_of_another_subject_is_another_event() {
        let ana = event("Ana");
        let ben = Event { subject: Subject::user("ben"), ..ana.clone() };
        let mut recovered = RecoveredEvents::default();
        for event in [&ana, &ben] {
            recovered.read("log", &logged(event, true), now());
        }
        assert_eq!(recovered.events, [ana, ben]);
    }

    #[test]
    fn old_and_incomplete_events_are_skipped() {
        let mut recovered = RecoveredEvents::default();
        let later = shared::time::plus_seconds(now(), 31 * 24 * 3600);
        recovered.read("old.log", &logged(&event("Ana"), true), later);
        let incomplete = logged(&event("Ben"), true);
        recovered.read("ben.log", &incomplete[..incomplete.len() / 2], now());
        recovered.read("other.log", "nothing at all", now());
        assert!(recovered.events.is_empty());
        assert_eq!(recovered.skipped, [(SkipReason::TooOld, 1)].into());
        assert_eq!(recovered.incomplete, [("ben.log".to_owned(), 1)]);
    }

    #[test]
    fn incomplete_event_has_a_line_number() {
        let (json, text) = (logged(&event("Ana"), true), logged(&event("Ana"), false));
        let (json, text) = (&json[..json.len() / 2], &text[..text.len() / 2]);
        let pretty = serde_json::to_string_pretty(&json!({"a": 1, "b": [2]})).unwrap();
        let exported = json!({"message": format!("x\n{text}")}).to_string();
        for (log, line) in [
            (format!("START\n{json}\nEND\n"), 2),
            (format!("{pretty}\nSTART [x\n{text}"), 8),
            (format!("START\n\n{text}\n{pretty}"), 3),
            (format!("START\n{exported}\nEND\n"), 2),
        ] {
            let mut recovered = RecoveredEvents::default();
            recovered.read("log", &log, now());
            assert_eq!(recovered.incomplete, [("log".to_owned(), line)], "{log}");
        }
    }
}
