//! The result of journeys: the JSON document of `sandbox play --json`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::statistics::DomainStats;

use super::view::ViewOutcome;

/// The result of one or more journeys.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    pub steps: Vec<StepOutcome>,
    /// The STATS item of each user, by sub.
    pub users: BTreeMap<String, Value>,
    /// The sign-ups of each email domain.
    pub domains: BTreeMap<String, DomainStats>,
    /// The calls of CreateInvalidation.
    pub invalidations: Vec<Invalidation>,
    /// The number of invalidations that were not needed, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// The groups of each user who got a token, by username.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Permissions of each user on resources of other users at the end, by sub and resource.
    pub permissions: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    pub dead_letters: Vec<DeadLetter>,
}

/// The result of one step.
#[derive(Debug, PartialEq, Serialize)]
pub struct StepOutcome {
    /// Name of the journey.
    pub journey: String,
    /// Name of the step.
    pub name: String,
    pub at: Timestamp,
    /// In a few words: the function's answer, or what was done.
    pub outcome: String,
    /// The response of a trigger that answered, or of the read API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
    /// The page that the user saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewOutcome>,
}

/// One call of CreateInvalidation.
#[derive(Debug, PartialEq, Serialize)]
pub struct Invalidation {
    pub at: Timestamp,
    pub items: Vec<String>,
}

/// A message in a dead-letter queue.
#[derive(Debug, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Name of the queue that it was sent to first.
    pub queue: String,
    /// The message attribute `error.type`. `None`: SQS moved the message after too many receives.
    pub error_type: Option<String>,
    /// The message attribute `error.message`.
    pub error_message: Option<String>,
    pub body: String,
}

impl Outcome {
    /// Adds the outcome of another journey.
    pub fn add(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.users.extend(other.users);
        for (domain, stats) in other.domains {
            let sum = self.domains.entry(domain).or_default();
            *sum = sum.plus(&stats);
        }
        self.invalidations.extend(other.invalidations);
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        self.groups.extend(other.groups);
        self.permissions.extend(other.permissions);
        self.dead_letters.extend(other.dead_letters);
    }
}
