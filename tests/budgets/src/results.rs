//! Names of subjects and figures, and the results of a benchmark run in the format of `results.json`. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::quartiles::Quartiles;

/// A Lambda function in Rust that returns its event. Times of all other subjects are compared with its times.
pub const BASELINE: &str = "baseline";

/// From spawn to the first request for an event, which ends Lambda's init phase.
pub const INIT: &str = "init, ms";
/// From spawn to the first answer.
pub const FIRST_ANSWER: &str = "first answer, ms";
/// Processor time from spawn until the function has answered the first event and requests the second.
pub const STARTUP_CPU: &str = "startup CPU, ms";
/// From event to answer when warm: median.
pub const WARM_P50: &str = "warm p50, ms";
/// From event to answer when warm: 99th percentile.
pub const WARM_P99: &str = "warm p99, ms";
/// Processor time of a warm invocation.
pub const INVOCATION_CPU: &str = "CPU per invocation, ms";
/// Peak resident memory.
pub const PEAK_MEMORY: &str = "peak memory, MiB";
/// AWS calls until the first answer, including calls that only open connections.
pub const STARTUP_CALLS: &str = "startup calls";
/// AWS calls of a warm invocation.
pub const CALLS: &str = "calls";

// Figures of batches. `of_users` adds the number of users.

pub const EVENTS_PER_SECOND: &str = "events per second";
/// Processor time of an event.
pub const CPU_PER_EVENT: &str = "CPU per event, ms";
/// AWS calls of an event.
pub const CALLS_PER_EVENT: &str = "calls per event";
/// DynamoDB write units of an event.
pub const WRITE_UNITS_PER_EVENT: &str = "write units per event";
/// DynamoDB write units of the two events of a sign-in, if each arrives in a batch of its own.
pub const WRITE_UNITS_PER_SIGN_IN: &str = "write units per sign-in";

/// Name of a batch figure, for a batch of 1,000 events of `users` users.
pub fn of_users(users: usize, figure: &str) -> String {
    format!("{users} users: {figure}")
}

/// Name of the figure that counts the calls of one AWS operation. `figure` counts the calls of all operations.
pub fn of_operation(figure: &str, operation: &str) -> String {
    format!("{figure}, {operation}")
}

/// Name of a subject that is measured over TLS.
pub fn over_tls(subject: &str) -> String {
    format!("{subject}, TLS")
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Day of the run, as `2026-11-21`.
    pub date: String,
    /// Processor, kernel, and versions of Node.js and Python.
    pub machine: BTreeMap<String, String>,
    /// Starts of each subject.
    pub runs: usize,
    /// Figures by subject and name.
    pub subjects: BTreeMap<String, BTreeMap<String, Quartiles>>,
}

impl Results {
    pub fn median(&self, subject: &str, figure: &str) -> Option<f64> {
        Some(self.subjects.get(subject)?.get(figure)?.median)
    }

    /// The figure of `subject` divided by the figure of `other`.
    pub fn ratio(&self, subject: &str, other: &str, figure: &str) -> Option<f64> {
        let ratio = self.median(subject, figure)? / self.median(other, figure)?;
        ratio.is_finite().then_some(ratio)
    }
}

/// Measured values by subject and figure, one of each run.
#[derive(Clone, Debug, Default)]
pub struct Samples(BTreeMap<String, BTreeMap<String, Vec<f64>>>);

impl Samples {
    /// Adds the figures of one run.
    pub fn add(&mut self, subject: &str, measured: impl IntoIterator<Item = (String, f64)>) {
        let figures = self.0.entry(subject.to_owned()).or_default();
        for (figure, value) in measured {
            figures.entry(figure).or_default().push(value);
        }
    }

    pub fn quartiles(&self) -> BTreeMap<String, BTreeMap<String, Quartiles>> {
        let quartiles = self.0.iter().map(|(subject, figures)| {
            let figures =
                figures.iter().filter_map(|(name, sample)| Some((name.clone(), Quartiles::of(sample)?)));
            (subject.clone(), figures.collect())
        });
        quartiles.collect()
    }
}

/// Results with these medians.
#[cfg(test)]
pub(crate) fn medians(figures: &[(&str, &str, f64)]) -> Results {
    let mut samples = Samples::default();
    for (subject, figure, value) in figures {
        samples.add(subject, [((*figure).to_owned(), *value)]);
    }
    Results { date: "2026-03-02".to_owned(), runs: 1, subjects: samples.quartiles(), ..Results::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_divides_the_medians() {
        let results = medians(&[
            ("a", INVOCATION_CPU, 3.0),
            ("a", INVOCATION_CPU, 5.0),
            ("b", INVOCATION_CPU, 2.0),
            ("c", INVOCATION_CPU, 0.0),
        ]);
        assert_eq!(results.median("a", INVOCATION_CPU), Some(4.0));
        assert_eq!(results.ratio("a", "b", INVOCATION_CPU), Some(2.0));
        assert_eq!(results.ratio("a", "c", INVOCATION_CPU), None, "division by zero");
        assert_eq!(results.ratio("a", "unknown", INVOCATION_CPU), None);
    }
}
