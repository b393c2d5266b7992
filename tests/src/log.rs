//! What the code under test logs, and what must not stand there: e-mail addresses, names, codes, tokens and what
//! clients say. The one line that may hold an address is that of a lost event, and even that holds no code.
//!
//! [`watch`] puts a subscriber under everything that a test binary logs. A test in whose thread something
//! personal is logged fails at that line.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{LazyLock, Once};

use serde_json::Value;
use shared::telemetry::UNSENT_EVENT;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{DefaultGuard, NoSubscriber};

use crate::fixtures;

/// Texts of the fixtures that belong to people. Shorter ones stand in a log by chance.
const SHORTEST: usize = 6;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Watches the log of this process at the level DEBUG, the most that an operator is offered.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().json().with_max_level(LevelFilter::DEBUG);
        log.with_writer(|| Watcher).init();
    });
}

/// Logs nothing in this thread until the answer is dropped: for tests of many thousand cases.
pub fn silence() -> DefaultGuard {
    tracing::subscriber::set_default(NoSubscriber::new())
}

/// The lines that this thread has logged since it last asked.
pub fn taken() -> Vec<String> {
    LINES.take()
}

/// Writes lines to the list of their thread, and panics over what is personal.
struct Watcher;

impl Write for Watcher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What comes before the last line stayed in the subscriber's buffer over a panic, and was seen then.
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

/// What stands in a line of a log and must not.
pub fn personal(line: &str) -> Option<String> {
    let Texts { codes, people } = &*TEXTS;
    let forbidden = |texts: &BTreeSet<String>| texts.iter().find(|text| line.contains(*text)).cloned();
    // Every JSON Web Token begins like this.
    let token = || line.contains("eyJ").then(|| "a token".to_owned());
    let found = forbidden(codes).or_else(token);
    if found.is_some() || is_lost_event(line) {
        return found;
    }
    forbidden(people).or_else(|| has_address(line).then(|| "an e-mail address".to_owned()))
}

fn is_lost_event(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line.pointer("/fields/message").is_some_and(|message| message == UNSENT_EVENT)
}

/// Whether an `@` stands between two characters of a word.
fn has_address(line: &str) -> bool {
    let chars: Vec<char> = line.chars().collect();
    let is_of_word = |c: char| c.is_alphanumeric() || "_-+.'~".contains(c);
    chars.windows(3).any(|three| three[1] == '@' && is_of_word(three[0]) && is_of_word(three[2]))
}

/// What the fixtures hold.
struct Texts {
    /// Placeholders of codes and links.
    codes: BTreeSet<String>,
    /// Attributes of people, and what clients say of themselves.
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
            let found = found.iter().filter_map(Value::as_str).filter(|text| text.len() >= SHORTEST);
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
