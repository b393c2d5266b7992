//! The JSON of `replay inspect`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::queue::description::QueueDescription;
use crate::queue::inspect::Inspection;
use crate::queue::reader::Unseen;

/// The messages of a queue, counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InspectReport {
    /// ARN of the queue.
    pub queue: String,
    /// Number of messages that the options select.
    pub messages: usize,
    /// Number of messages that the options do not select.
    pub others: usize,
    /// The same, by event type.
    pub others_by_type: BTreeMap<String, usize>,
    /// Messages that were not received.
    pub unseen: UnseenReport,
    /// Number of messages by event type, or not_an_event.
    pub by_type: BTreeMap<String, usize>,
    /// Number of messages by reason (error.type), or received_too_often for a message without one.
    pub by_reason: BTreeMap<String, usize>,
    /// Number of messages by the time since they were sent or dead-lettered.
    pub by_age: BTreeMap<String, usize>,
    /// Number of messages by event subject.
    pub by_subject: BTreeMap<String, usize>,
    /// Number of messages whose event is wrapped: sns_notification or eventbridge_event.
    pub by_envelope: BTreeMap<String, usize>,
    /// One error.message for each reason.
    pub error_messages: BTreeMap<String, String>,
    /// Bodies for each reason with personal data masked, if --sample is given.
    pub samples: BTreeMap<String, Vec<String>>,
}

/// Messages of a queue that were not received. All numbers are approximations of SQS.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnseenReport {
    /// Number of visible messages that SQS did not return.
    pub missing: usize,
    /// Number of messages that another consumer has received.
    pub invisible: usize,
    /// Number of messages whose delay is not over.
    pub delayed: usize,
}

impl From<&Unseen> for UnseenReport {
    fn from(unseen: &Unseen) -> Self {
        Self { missing: unseen.missing, invisible: unseen.invisible, delayed: unseen.delayed }
    }
}

impl InspectReport {
    pub fn of(queue: &QueueDescription, inspection: &Inspection) -> Self {
        let ages = inspection.by_age.iter().map(|(age, count)| (age.name().to_owned(), *count));
        let envelopes = inspection.by_envelope.iter();
        Self {
            queue: queue.arn.clone(),
            messages: inspection.messages,
            others: inspection.others,
            others_by_type: inspection.others_by_type.clone(),
            unseen: (&inspection.unseen).into(),
            by_type: inspection.by_type.clone(),
            by_reason: inspection.by_reason.clone(),
            by_age: ages.collect(),
            by_subject: inspection.by_subject.clone(),
            by_envelope: envelopes.map(|(envelope, count)| (envelope.code().to_owned(), *count)).collect(),
            error_messages: inspection.error_messages.clone(),
            samples: inspection.samples.clone(),
        }
    }
}
