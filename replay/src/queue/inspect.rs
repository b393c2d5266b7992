//! Counts the messages of a queue without removing any: receives each message, counts it, and makes
//! it visible again.

pub mod command;
pub mod next_step;
pub mod report;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use jiff::Timestamp;
use shared::events::StatedAttributes;
use shared::time::{Clock, seconds_between};

use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::output::counted;
use crate::queue::description::QueueDescription;
use crate::queue::envelope::Envelope;
use crate::queue::filter::Filter;
use crate::queue::message::QueuedMessage;
use crate::queue::reader::{QueueReader, Received, Unseen};
use crate::queue::redact;

/// If the process is killed, messages become visible again after this time.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(300);

/// Counts of the messages in a queue.
#[derive(Debug, Default, PartialEq)]
pub struct Inspection {
    /// Messages that the filter selects.
    pub messages: usize,
    /// Messages that the filter does not select.
    pub others: usize,
    /// The same, by event type.
    pub others_by_type: BTreeMap<String, usize>,
    /// The same, by reason.
    pub others_by_reason: BTreeMap<String, usize>,
    pub unseen: Unseen,
    /// By event type, or `not_an_event`.
    pub by_type: BTreeMap<String, usize>,
    /// By `error.type`, or `received_too_often` for a message without one.
    pub by_reason: BTreeMap<String, usize>,
    pub by_age: BTreeMap<Age, usize>,
    pub by_subject: BTreeMap<String, usize>,
    /// Bodies in which SNS or EventBridge has wrapped the event.
    pub by_envelope: BTreeMap<Envelope, usize>,
    /// One `error.message` for each reason.
    pub error_messages: BTreeMap<String, String>,
    /// Some bodies for each reason, with personal data masked.
    pub samples: BTreeMap<String, Vec<String>>,
}

/// Time since a message was sent, or since a worker dead-lettered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    LessThanAnHour,
    LessThanADay,
    LessThanAWeek,
    AWeekOrMore,
}

impl Age {
    fn of(seconds: f64) -> Self {
        match seconds {
            s if s < 3_600.0 => Self::LessThanAnHour,
            s if s < 86_400.0 => Self::LessThanADay,
            s if s < 604_800.0 => Self::LessThanAWeek,
            _ => Self::AWeekOrMore,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::LessThanAnHour => "less than an hour",
            Self::LessThanADay => "less than a day",
            Self::LessThanAWeek => "less than a week",
            Self::AWeekOrMore => "a week or more",
        }
    }
}

/// Receives every message of a queue, counts those that the filter selects, and makes all of them
/// visible again. Keeps at most `samples` bodies for each reason. Rejects a queue that has a
/// dead-letter queue.
pub async fn inspect(
    (sqs, queue): (&Client, &QueueDescription),
    filter: &Filter,
    samples: usize,
    clock: &Clock,
    stop: &StopSignal,
    progress: &dyn Fn(usize),
) -> Result<Inspection> {
    queue.reject_source_queue()?;
    let inspection = RefCell::new(Inspection::default());
    let count = async |reader: &QueueReader<'_>, received: Vec<Received>| {
        for Received { message, .. } in &received {
            let mut inspection = inspection.borrow_mut();
            if filter.matches(message, clock) {
                inspection.add(message, samples, clock.now());
            } else {
                inspection.add_other(message);
            }
        }
        reader.hold(received)?;
        let inspection = inspection.borrow();
        progress(inspection.messages + inspection.others);
        Ok(())
    };
    let reader = QueueReader::new((sqs, queue), VISIBILITY_TIMEOUT, clock, stop)?;
    let report = reader.for_each_batch(count).await;
    if let Some(error) = report.error {
        return Err(error.into());
    }
    if report.still_invisible > 0 {
        return Err(CommandError::failed(format!(
            "{} stay invisible for up to five minutes. Check that your role may change the visibility of messages",
            counted(report.still_invisible, "message")
        )));
    }
    if stop.is_requested() {
        let seen = counted(report.unseen.seen, "message");
        return Err(CommandError::interrupted(format!("{seen} were seen and are visible again")));
    }
    Ok(Inspection { unseen: report.unseen, ..inspection.into_inner() })
}

impl Inspection {
    /// Counts one more message that the filter does not select.
    pub fn add_other(&mut self, message: &QueuedMessage) {
        self.others += 1;
        increment(&mut self.others_by_type, &message.type_name());
        increment(&mut self.others_by_reason, redact::code(message.reason()));
    }

    /// Counts one more message.
    pub fn add(&mut self, message: &QueuedMessage, samples: usize, now: Timestamp) {
        self.messages += 1;
        increment(&mut self.by_type, &message.type_name());
        let StatedAttributes { subject, .. } = message.stated();
        if let Some(envelope) = Envelope::of(&message.body) {
            *self.by_envelope.entry(envelope).or_default() += 1;
        }
        let reason = redact::code(message.reason());
        increment(&mut self.by_reason, reason);
        if let Some(subject) = subject {
            increment(&mut self.by_subject, redact::subject(&subject));
        }
        if let Some(sent_at) = message.sent_at() {
            *self.by_age.entry(Age::of(seconds_between(sent_at, now))).or_default() += 1;
        }
        if let Some(text) = message.error_message().filter(|text| !text.contains('@')) {
            self.error_messages.entry(reason.to_owned()).or_insert_with(|| text.to_owned());
        }
        if samples > 0 {
            let of_reason = self.samples.entry(reason.to_owned()).or_default();
            if of_reason.len() < samples {
                of_reason.push(redact::body(&message.body));
            }
        }
    }
}

fn increment(counts: &mut BTreeMap<String, usize>, name: &str) {
    *counts.entry(name.to_owned()).or_default() += 1;
}
