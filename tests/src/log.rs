//! Watches the log of the code under test for email addresses, names, codes, tokens and client
//! metadata. Only the line of an unsent event may contain an email address. It must not contain a code.
//!
//! [`watch`] installs a subscriber for the whole test binary. A test fails at the line that logs
//! personal data in its thread.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{LazyLock, Once};

use serde_json::Value;
use shared::telemetry::UNSENT_EVENT;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{DefaultGuard, NoSubscriber};

use crate::fixtures;

/// Length in bytes from which on a text of the fixtures is searched. Shorter texts occur by chance.
const MIN_LENGTH: usize = 6;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Watches the log of this process at DEBUG, the most verbose level that the template offers.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().json().with_max_level(LevelFilter::DEBUG);
        log.with_writer(|| Watcher).init();
    });
}

/// Disables the log of this thread until the guard is dropped, for tests with thousands of cases.
pub fn disable() -> DefaultGuard {
    tracing::subscriber::set_default(NoSubscriber::new())
}

/// The lines that this thread has logged since the last call.
pub fn take_lines() -> Vec<String> {
    LINES.take()
}

/// Collects the lines of each thread. Panics at personal data.
struct Watcher;

impl Write for Watcher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // After a panic, the subscriber's buffer still has earlier lines. They were checked before.
        let text = String::from_utf8_lossy(bytes);
        let line = text.trim_end().lines().last().unwrap_or_default().to_owned();
        let found = personal(&line);
        LINES.with_borrow_mut(|lines| lines.push(line.clone()));
        match found {
            Some(found) if !std::thread::panicking() => panic!("{found} is in the log: {line}"),
            _ => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The personal data in a log line, if there is any.
pub fn personal(line: &str) -> Option<String> {
    let Texts { codes, people } = &*TEXTS;
    let forbidden = |texts: &BTreeSet<String>| texts.iter().find(|text| line.contains(*text)).cloned();
    // Every JSON Web Token begins with this.
    let token = || line.contains("eyJ").then(|| "a token".to_owned());
    let found = forbidden(codes).or_else(token);
    if found.is_some() || is_unsent_event(line) {
        return found;
    }
    forbidden(people).or_else(|| has_address(line).then(|| "an email address".to_owned()))
}

fn is_unsent_event(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line.pointer("/fields/message").is_some_and(|message| message == UNSENT_EVENT)
}

/// Whether an `@` is between two characters of a word.
fn has_address(line: &str) -> bool {
    let chars: Vec<char> = line.chars().collect();
    let is_of_word = |c: char| c.is_alphanumeric() || "_-+.'~".contains(c);
    chars.windows(3).any(|three| three[1] == '@' && is_of_word(three[0]) && is_of_word(three[2]))
}

/// Values of the fixtures that must not be logged.
struct Texts {
    /// Placeholders of codes and links.
    codes: BTreeSet<String>,
    /// Attributes of people, and client metadata.
    people: BTreeSet<String>,
}

static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    let mut texts = Texts { codes: BTreeSet::new(), people: BTreeSet::new() };
    for name in fixtures::all() {
        let event = fixtures::json(&name);
        let mut collect = |place: &str, into: fn(&mut Texts) -> &mut BTreeSet<String>| {
            let value = event.pointer(place).cloned().unwrap_or_default();
            let found = match value {
                Value::Object(fields) => fields.into_values().collect(),
                value => vec![value],
            };
            let found = found.iter().filter_map(Value::as_str).filter(|text| text.len() >= MIN_LENGTH);
            into(&mut texts).extend(found.map(str::to_owned));
        };
        for place in ["codeParameter", "linkParameter"] {
            collect(&format!("/request/{place}"), |texts| &mut texts.codes);
        }
        for place in ["clientMetadata", "validationData"] {
            collect(&format!("/request/{place}"), |texts| &mut texts.people);
        }
        for place in ["email", "name", "phone_number", "custom:department", "identities"] {
            collect(&format!("/request/userAttributes/{place}"), |texts| &mut texts.people);
        }
    }
    texts
});
