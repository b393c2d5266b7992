//! The figures of all subjects, as they are stored. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::figures::Spread;

/// The subject that every other one is held against.
pub const FLOOR: &str = "echo";

/// From spawn to the first request for an event, in milliseconds.
pub const FIRST_NEXT: &str = "first next, ms";
/// From spawn to the first answer.
pub const FIRST_ANSWER: &str = "first answer, ms";
/// Processor time until then.
pub const START_CPU: &str = "CPU of the start, ms";
/// From event to answer, half of the warm invocations.
pub const WARM_MEDIAN: &str = "warm p50, ms";
/// 99 of 100 of them.
pub const WARM_TAIL: &str = "warm p99, ms";
/// Processor time of a warm invocation.
pub const CPU: &str = "CPU per invocation, ms";
/// The most memory that was ever resident.
pub const PEAK: &str = "peak memory, MiB";
/// Calls to AWS until the first answer, those that open connections included.
pub const START_CALLS: &str = "calls of the start";
/// Calls to AWS of a warm invocation.
pub const CALLS: &str = "calls";

/// Of batches: how many events a second.
pub const EVENTS_PER_SECOND: &str = "events per second";
/// Of batches: processor time of an event.
pub const CPU_PER_EVENT: &str = "CPU per event, ms";
/// Of batches: calls to AWS of an event.
pub const CALLS_PER_EVENT: &str = "calls per event";
/// Of batches: write units of an event.
pub const UNITS_PER_EVENT: &str = "write units per event";

/// The name of a figure of a batch of 1,000 events of so many users.
pub fn of_users(users: usize, figure: &str) -> String {
    format!("{users} users: {figure}")
}

/// The name of the calls of one operation, behind the figure that counts them all.
pub fn of_operation(figure: &str, operation: &str) -> String {
    format!("{figure}, {operation}")
}

/// The name of a subject whose AWS is behind TLS.
pub fn over_tls(subject: &str) -> String {
    format!("{subject}, TLS")
}

/// What one run of all has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Where: processor, kernel, versions of the peers.
    pub machine: BTreeMap<String, String>,
    /// How often each subject was started.
    pub runs: usize,
    /// By subject, by figure.
    pub subjects: BTreeMap<String, BTreeMap<String, Spread>>,
}

impl Results {
    /// The median of a figure.
    pub fn median(&self, subject: &str, figure: &str) -> Option<f64> {
        Some(self.subjects.get(subject)?.get(figure)?.median)
    }

    /// How many times as large a figure of one subject is as that of another.
    pub fn ratio(&self, subject: &str, other: &str, figure: &str) -> Option<f64> {
        let ratio = self.median(subject, figure)? / self.median(other, figure)?;
        ratio.is_finite().then_some(ratio)
    }
}

/// What was measured, run by run.
#[derive(Clone, Debug, Default)]
pub struct Samples(BTreeMap<String, BTreeMap<String, Vec<f64>>>);

impl Samples {
    /// Adds what one run has found.
    pub fn add(&mut self, subject: &str, measured: impl IntoIterator<Item = (String, f64)>) {
        let figures = self.0.entry(subject.to_owned()).or_default();
        for (figure, value) in measured {
            figures.entry(figure).or_default().push(value);
        }
    }

    /// The middle half of each.
    pub fn spreads(&self) -> BTreeMap<String, BTreeMap<String, Spread>> {
        let spreads = self.0.iter().map(|(subject, figures)| {
            let figures =
                figures.iter().filter_map(|(name, sample)| Some((name.clone(), Spread::of(sample)?)));
            (subject.clone(), figures.collect())
        });
        spreads.collect()
    }
}

/// Results with these medians, for tests.
#[cfg(test)]
pub(crate) fn medians(figures: &[(&str, &str, f64)]) -> Results {
    let mut samples = Samples::default();
    for (subject, figure, value) in figures {
        samples.add(subject, [((*figure).to_owned(), *value)]);
    }
    Results { machine: BTreeMap::new(), runs: 1, subjects: samples.spreads() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_one_median_by_another() {
        let results = medians(&[("a", CPU, 3.0), ("a", CPU, 5.0), ("b", CPU, 2.0), ("c", CPU, 0.0)]);
        assert_eq!(results.median("a", CPU), Some(4.0));
        assert_eq!(results.ratio("a", "b", CPU), Some(2.0));
        assert_eq!(results.ratio("a", "c", CPU), None);
        assert_eq!(results.ratio("a", "nobody", CPU), None);
    }
}
