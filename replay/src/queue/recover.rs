//! Finds the events in logs that triggers could not publish. Pure.
//!
//! A log is a text in which events are searched, wherever they are: see [`text`]. It can also contain
//! compressed text in Base64, as a log subscription sends it. Each log message with the text
//! [`UNSENT_EVENT`] has an event. If there are more messages than events, some could not be read.

pub mod command;
pub mod log_groups;
pub mod report;
pub mod text;
pub mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;

use aws_smithy_types::base64;
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::events::{Data, Event, InvalidEvent, Subject};
use shared::telemetry::UNSENT_EVENT;

/// Maximum size of a log after decompression, in bytes.
pub const MAX_LOG_BYTES: u64 = 1024 * 1024 * 1024;
/// The beginning of compressed text (gzip) in Base64.
const GZIP_BASE64: &str = "H4sI";
/// CloudWatch Logs replaces each character of a masked value by an asterisk.
const MASK: &str = "***";
const MASKED: &str = "the event has masked values";
const MAY_BE_MASKED: &str = "a value of the event has asterisks, which may be a mask";
const TRUNCATED: &str = "no complete event (truncated log)";

#[derive(Debug, Default)]
pub struct RecoveredEvents {
    /// Events for user-events, each once, in the order of the logs.
    pub events: Vec<Event>,
    /// Events that are not sent.
    pub skipped: BTreeMap<SkipReason, usize>,
    /// Places of events that are not complete.
    pub incomplete: Vec<Place>,
    /// Places of events with values that a data protection policy has masked.
    pub masked: Vec<Place>,
    /// Source, id and subject of each event, which identify it.
    seen: BTreeSet<(String, String, Subject)>,
}

/// An event that is not sent: where it is, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Place {
    /// The log file, or the log group with its stream and the time.
    pub log: String,
    /// The line in the file. Null in a log group.
    pub line: Option<usize>,
    /// What is wrong with the event.
    pub problem: String,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}: line {line}: {}", self.log, self.problem),
            None => write!(out, "{}: {}", self.log, self.problem),
        }
    }
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
        let line_breaks: Vec<usize> = log.match_indices('\n').map(|(at, _)| at).collect();
        let line = |at| 1 + line_breaks.partition_point(|line_break| *line_break < at);
        self.read_text(log, &|at| (name.to_owned(), Some(line(at))), now);
    }

    /// Adds the events of one event of a log group.
    pub fn read_log_event(&mut self, place: &str, message: &str, now: Timestamp) {
        self.read_text(message, &|_| (place.to_owned(), None), now);
    }

    /// Adds the events of a text. `place` is the log and the line of a position in the text.
    fn read_text(&mut self, log: &str, place: &dyn Fn(usize) -> (String, Option<usize>), now: Timestamp) {
        let problem = |at: usize, problem: &str| {
            let (log, line) = place(at);
            Place { log, line, problem: problem.to_owned() }
        };
        let first = self.incomplete.len();
        let found = text::find(log);
        for event in &found {
            match event.json.as_deref() {
                Some(json) => match (mask(json), Event::parse(json)) {
                    (Some(mask), _) => self.masked.push(problem(event.start, mask)),
                    (None, Ok(event)) => self.add(event, now),
                    (None, Err(invalid)) => self.incomplete.push(problem(event.start, &invalid.to_string())),
                },
                None => self.incomplete.push(problem(event.start, TRUNCATED)),
            }
        }
        let unread = messages_without_event(log, &found);
        self.incomplete.extend(unread.into_iter().map(|at| problem(at, TRUNCATED)));
        for (at, text) in compressed_texts(log) {
            match text {
                Some(text) => self.read_text(&text, &|_| place(at), now),
                None => self.incomplete.push(problem(at, "compressed text is truncated")),
            }
        }
        self.incomplete[first..].sort();
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

/// Positions of the log messages about unsent events that have no event.
fn messages_without_event(log: &str, found: &[text::Found]) -> Vec<usize> {
    let events: Vec<usize> = found.iter().map(|event| event.start).collect();
    let messages = messages_outside_events(log, found);
    // A message and its event are on the same line. Only YAML breaks it.
    let (mut messages_left, mut events_left) = (Vec::new(), Vec::new());
    let (mut message, mut event) = (0, 0);
    while message < messages.len() || event < events.len() {
        let next =
            messages.get(message).into_iter().chain(events.get(event)).min().copied().unwrap_or(log.len());
        let end = log[next..].find('\n').map_or(log.len(), |at| next + at);
        let (of_message, of_event) =
            (messages.partition_point(|at| *at < end), events.partition_point(|at| *at < end));
        let left = without_partner(&messages[message..of_message], &events[event..of_event]);
        messages_left.extend(left.0);
        events_left.extend(left.1);
        (message, event) = (of_message, of_event);
    }
    without_partner(&messages_left, &events_left).0
}

/// Positions of the log messages that are not words of an event.
fn messages_outside_events(log: &str, found: &[text::Found]) -> Vec<usize> {
    let mut messages = messages(log);
    for event in found {
        let words = event.json.as_deref().map_or(0, |json| self::messages(json).len());
        if words > 0 {
            let first = messages.partition_point(|at| *at < event.start);
            messages.drain(first..messages.len().min(first + words));
        }
    }
    messages
}

/// The messages and the events that are left if each message takes the next event, or one before it.
fn without_partner(messages: &[usize], events: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut events: BTreeSet<usize> = events.iter().copied().collect();
    let mut left = Vec::new();
    for (index, at) in messages.iter().enumerate() {
        let next = messages.get(index + 1).copied().unwrap_or(usize::MAX);
        match events.range(at..&next).next().copied() {
            Some(event) => drop(events.remove(&event)),
            None => left.push(*at),
        }
    }
    // A tool that sorts the fields of a log line writes the event before the message.
    left.retain(|at| {
        let before = events.range(..at).next_back().copied();
        !before.is_some_and(|event| events.remove(&event))
    });
    (left, events.into_iter().collect())
}

/// Positions of [`UNSENT_EVENT`].
fn messages(text: &str) -> Vec<usize> {
    let (first, second) = UNSENT_EVENT.split_once(' ').unwrap_or((UNSENT_EVENT, ""));
    text::find_words(text, first, second)
}

/// Compressed texts in Base64 within a text, with their positions. `None` for one that is cut off.
fn compressed_texts(text: &str) -> Vec<(usize, Option<String>)> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let mut texts = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(GZIP_BASE64).map(|at| from + at) {
        let end = text[at..].find(|c| !is_base64(c)).map_or(text.len(), |length| at + length);
        from = end;
        // A shorter text is a word that begins in the same way.
        if end - at >= MIN_COMPRESSED_CHARS {
            texts.push((at, base64::decode(&text[at..end]).ok().and_then(|bytes| decompress(&bytes).ok())));
        }
    }
    texts
}

/// The header and the trailer of gzip have 18 bytes, which are 24 characters.
const MIN_COMPRESSED_CHARS: usize = 24;

/// Decompresses text (gzip, also several files one after the other). Fails above [`MAX_LOG_BYTES`]: an event
/// behind them would be lost.
pub fn decompress(bytes: &[u8]) -> std::io::Result<String> {
    decompress_up_to(MAX_LOG_BYTES, bytes)
}

fn decompress_up_to(limit: u64, bytes: &[u8]) -> std::io::Result<String> {
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes).take(limit + 1).read_to_end(&mut text)?;
    if text.len() as u64 > limit {
        return Err(std::io::Error::other("it has more than 1 GiB. Decompress it, and pass parts of it"));
    }
    String::from_utf8(text).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))
}

/// Why an event is not sent that has a value with several asterisks in a row: a data protection policy
/// masks the part of a value that matches, so the value can have other characters too.
fn mask(json: &str) -> Option<&'static str> {
    fn values(value: &Value) -> Vec<&str> {
        match value {
            Value::String(text) => vec![text],
            Value::Array(list) => list.iter().flat_map(values).collect(),
            Value::Object(fields) => fields.values().flat_map(values).collect(),
            _ => Vec::new(),
        }
    }
    if !json.contains(MASK) {
        return None;
    }
    let json: Value = serde_json::from_str(json).ok()?;
    let masks: Vec<&str> = values(&json).into_iter().filter(|text| text.contains(MASK)).collect();
    let is_whole = masks.iter().any(|text| text.chars().all(|c| c == '*'));
    (!masks.is_empty()).then_some(if is_whole { MASKED } else { MAY_BE_MASKED })
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

    fn line(log: &str, line: usize) -> (String, Option<usize>) {
        (log.to_owned(), Some(line))
    }

    fn places(places: &[Place]) -> Vec<(String, Option<usize>)> {
        places.iter().map(|place| (place.log.clone(), place.line)).collect()
    }

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

    /// Contents that are hard to quote.
    const NAMES: [&str; 7] = [
        "Ana Example",
        "Zoë \"Z\" O'Neil\u{200b}\u{7f}",
        "{\"specversion\": 1}, [x]",
        "back\\slash \\\" \\u0041 %",
        "two\nlines\tand a tab, a comma",
        "😀 unsent event ''",
        "H4sIAAAAAAAAA",
    ];

    fn compressed(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// A payload of a log subscription, as Lambda and Kinesis get it.
    fn subscription(line: &str) -> String {
        let message = json!({"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": line}]});
        base64::encode(compressed(&message.to_string()))
    }

    /// Wraps single-quoted YAML at 80 characters, as the AWS CLI does.
    fn folded(text: &str) -> String {
        let (mut out, mut width) = (String::new(), 0);
        for word in text.split_inclusive(' ') {
            if width > 60 && out.ends_with(' ') && !out.ends_with("  ") && !word.starts_with(' ') {
                out.truncate(out.trim_end_matches(' ').len());
                out.push_str("\n    ");
                width = 0;
            }
            width += word.len();
            out.push_str(word);
        }
        out
    }

    /// A log with the line `line`, in every form in which people have it.
    fn forms(line: &str) -> Vec<(&'static str, String)> {
        let line = line.trim_end();
        let others = r#"{"level":"INFO","fields":{"message":"hello"}}"#;
        let pretty = |json: serde_json::Value| serde_json::to_string_pretty(&json).unwrap();
        let csv = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let yaml = |text: &str| format!("'{}'", folded(&text.replace('\'', "''")));
        vec![
            ("file", format!("{others}\n{line}\nSTART RequestId\n")),
            (
                "aws logs tail",
                format!("2026-03-02T09:00:00.000Z 2026/03/02/[$LATEST]0123 {line}\nREPORT {{x}} [y"),
            ),
            ("short", format!("2026-03-02T09:00:00.000Z {line}")),
            ("several events on one line", format!("{others}\t{line}\t{others}\t{others}")),
            ("filter-log-events", json!({"events": [{"message": others}, {"message": line}]}).to_string()),
            ("pretty list", pretty(json!([line]))),
            ("Logs Insights", json!({"results": [[{"field": "@message", "value": line}]]}).to_string()),
            (
                "objects one after the other",
                format!(
                    "{}{}",
                    json!({"logEvents": [{"message": "x"}]}),
                    json!({"logEvents": [{"message": line}]})
                ),
            ),
            ("pretty objects", format!("{0}\n{0}\n", pretty(json!({"events": [{"message": line}]})))),
            ("CSV", format!("@timestamp,@message\n2026-03-02 09:00:00.000,{}\n", csv(line))),
            ("JSON in CSV", format!("a,{}\n", csv(&json!({"message": line}).to_string()))),
            ("YAML", format!("events:\n- eventId: '1'\n  message: {}\n  timestamp: 1\n", yaml(line))),
            ("subscription", json!({"awslogs": {"data": subscription(line)}}).to_string()),
            ("Kinesis record", json!({"Records": [{"kinesis": {"data": subscription(line)}}]}).to_string()),
        ]
    }

    #[test]
    fn unsent_event_is_found_in_every_form_of_a_log() {
        for name in NAMES {
            let unsent = event(name);
            for (as_json, (form, log)) in [true, false].into_iter().flat_map(|as_json| {
                forms(&logged(&unsent, as_json)).into_iter().map(move |form| (as_json, form))
            }) {
                let mut recovered = RecoveredEvents::default();
                recovered.read("log", &log, now());
                assert_eq!(recovered.events, std::slice::from_ref(&unsent), "{form}, JSON: {as_json}: {log}");
                assert!(
                    recovered.skipped.is_empty() && recovered.incomplete.is_empty(),
                    "{form}: {recovered:?}"
                );
            }
        }
    }

    #[test]
    fn cut_off_event_is_counted_in_every_form_of_a_log() {
        for as_json in [true, false] {
            let line = logged(&event("Ana Example"), as_json);
            let cut = &line[..line.find("specversion").unwrap() + 40];
            for (form, log) in forms(cut) {
                let mut recovered = RecoveredEvents::default();
                recovered.read("log", &log, now());
                let copies = if form == "pretty objects" { 2 } else { 1 };
                assert_eq!(
                    (recovered.events.len(), recovered.incomplete.len()),
                    (0, copies),
                    "{form}: {log}"
                );
            }
            // Nothing of the event is left.
            for (form, log) in forms(&line[..line.find("specversion").unwrap() - 20]) {
                let mut recovered = RecoveredEvents::default();
                recovered.read("log", &log, now());
                assert!(!recovered.incomplete.is_empty(), "{form}: {log}");
            }
        }
        let mut recovered = RecoveredEvents::default();
        let data = subscription(&logged(&event("Ana"), true));
        recovered.read("log", &format!("x\n{}", &data[..data.len() / 2]), now());
        assert_eq!(places(&recovered.incomplete), [line("log", 2)]);
    }

    #[test]
    fn sorted_fields_are_read() {
        let line: Value = serde_json::from_str(&logged(&event("Ana"), true)).unwrap();
        let fields = line["fields"].clone();
        let sorted = format!("{{\"event\": {}, \"message\": {}}}", fields["event"], fields["message"]);
        let mut recovered = RecoveredEvents::default();
        recovered.read("log", &format!("{sorted}\n{sorted}"), now());
        assert_eq!((recovered.events.len(), recovered.incomplete.len()), (1, 0));
    }

    #[test]
    fn masked_event_is_not_recovered() {
        let mut masked = event("Ana");
        let Data::Confirmed(confirmed) = &mut masked.data else { panic!() };
        confirmed.email = Some("***************".into());
        let mut recovered = RecoveredEvents::default();
        recovered.read("log", &format!("START\n{}", logged(&masked, true)), now());
        recovered.read("log", &logged(&event("two ** asterisks"), true), now());
        assert_eq!((recovered.events.len(), places(&recovered.masked)), (1, vec![line("log", 2)]));
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
        assert_eq!(places(&recovered.incomplete), [line("ben.log", 1)]);
    }

    #[test]
    fn incomplete_event_has_a_line_number() {
        let (json, text) = (logged(&event("Ana"), true), logged(&event("Ana"), false));
        let (json, text) = (&json[..json.len() / 2], &text[..text.len() / 2]);
        let pretty = serde_json::to_string_pretty(&json!({"a": 1, "b": [2]})).unwrap();
        let exported = json!({"message": format!("x\n{text}")}).to_string();
        for (log, number) in [
            (format!("START\n{json}\nEND\n"), 2),
            (format!("{pretty}\nSTART [x\n{text}"), 8),
            (format!("START\n\n{text}\n{pretty}"), 3),
            (format!("START\n{exported}\nEND\n"), 2),
        ] {
            let mut recovered = RecoveredEvents::default();
            recovered.read("log", &log, now());
            assert_eq!(places(&recovered.incomplete), [line("log", number)], "{log}");
        }
    }
    #[test]
    fn complete_event_that_a_worker_would_reject_is_skipped_with_the_reason() {
        let rejected = |from: &str, to: &str| {
            let mut recovered = RecoveredEvents::default();
            let json = event("Ana").to_json().replace(from, to);
            assert!(json.contains(to), "{json}");
            recovered.read("log", &json, now());
            recovered.incomplete.iter().map(|place| place.problem.clone()).collect::<Vec<String>>()
        };
        let renamed = rejected("\"username\"", "\"user\"");
        assert!(renamed.len() == 1 && renamed[0].contains("username"), "{renamed:?}");
        let unknown = rejected("user.confirmed", "user.renamed");
        assert!(unknown.len() == 1 && unknown[0] != TRUNCATED, "{unknown:?}");
    }

    #[test]
    fn line_with_a_missing_event_is_named_among_events_with_the_words_of_the_message() {
        let quoted = logged(&event("unsent event"), true);
        let (other, cut) = (logged(&event("Ben"), true), logged(&event("Cem"), true));
        let cut = &cut[..cut.find("specversion").unwrap() - 20];
        let mut recovered = RecoveredEvents::default();
        recovered.read("log", &format!("{cut}\n{quoted}{other}"), now());
        assert_eq!((recovered.events.len(), places(&recovered.incomplete)), (2, vec![line("log", 1)]));
        let sorted = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            format!("{{\"event\": {}, \"message\": \"unsent event\"}}", line["fields"]["event"])
        };
        let log = format!("{}\n{cut}\n{}\n", sorted(&quoted), sorted(&other));
        let mut recovered = RecoveredEvents::default();
        recovered.read("log", &log, now());
        assert_eq!((recovered.events.len(), places(&recovered.incomplete)), (2, vec![line("log", 2)]));
    }

    #[test]
    fn asterisks_within_a_value_may_be_a_mask() {
        for (name, expected) in [
            ("*****", Some(MASKED)),
            ("A***a", Some(MAY_BE_MASKED)),
            ("mail *********", Some(MAY_BE_MASKED)),
            ("two ** asterisks", None),
        ] {
            assert_eq!(mask(&event(name).to_json()), expected, "{name}");
        }
    }

    #[test]
    fn log_line_that_was_wrapped_sends_no_altered_event() {
        for as_json in [true, false] {
            let log = logged(&event("Ana Example"), as_json).replace("Ana Example", "Ana\n  Example");
            let mut recovered = RecoveredEvents::default();
            recovered.read("log", &log, now());
            assert_eq!((recovered.events.len(), places(&recovered.incomplete)), (0, vec![line("log", 1)]));
        }
    }

    #[test]
    fn compressed_log_above_the_limit_is_refused() {
        let bytes = compressed("0123456789é");
        assert_eq!(decompress_up_to(12, &bytes).unwrap(), "0123456789é");
        for limit in [11, 10, 0] {
            let error = decompress_up_to(limit, &bytes).unwrap_err().to_string();
            assert!(error.contains("more than 1 GiB"), "{error}");
        }
    }

    #[test]
    fn many_incomplete_events_are_counted_with_their_lines() {
        let line = logged(&event("Ana"), true);
        let cut = format!("{}\n", &line[..line.find("specversion").unwrap() + 60]);
        for (log, count) in [(cut.repeat(20_000), 20_000), ("{\"specversion\":".repeat(100_000), 100_000)] {
            let mut recovered = RecoveredEvents::default();
            recovered.read("log", &log, now());
            assert_eq!(recovered.incomplete.len(), count);
            let lines = recovered.incomplete.iter().filter_map(|place| place.line).max();
            assert_eq!(lines, Some(log.lines().count()));
        }
    }
}
