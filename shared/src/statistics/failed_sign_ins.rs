//! Failed sign-ins of a user by hour. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Maximum number of failed sign-ins of one user in one hour that are stored. An attacker can cause any
/// number of them.
pub const MAX_FAILED_SIGN_INS_PER_HOUR: u64 = 20;
/// Number of hours that are kept. Two, because failures of an hour still arrive when the next hour has
/// begun.
const HOURS: usize = 2;

/// The failed sign-ins in the latest two hours that have any. The keys are hours in UTC, such as
/// `2026-03-02T09`.
///
/// Adding is commutative: an hour is dropped only if two later hours have failures, and it would be
/// dropped again in any other order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FailuresByHour(BTreeMap<String, u64>);

impl FailuresByHour {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn add(&mut self, at: Timestamp) {
        *self.0.entry(hour(at)).or_default() += 1;
        while self.0.len() > HOURS {
            self.0.pop_first();
        }
    }

    /// True if a failure at `at` is worth a write: its hour has fewer than
    /// [`MAX_FAILED_SIGN_INS_PER_HOUR`], and is not older than the hours that are kept.
    pub fn has_room(&self, at: Timestamp) -> bool {
        let hour = hour(at);
        match self.0.get(&hour) {
            Some(count) => *count < MAX_FAILED_SIGN_INS_PER_HOUR,
            None => self.0.len() < HOURS || self.0.first_key_value().is_none_or(|(first, _)| *first < hour),
        }
    }

    /// The number of hours whose failures were fewer than `threshold` in `before` and are not any more.
    pub fn reached(&self, threshold: u64, before: &Self) -> u64 {
        let count_before = |hour: &String| before.0.get(hour).copied().unwrap_or_default();
        let reached =
            self.0.iter().filter(|(hour, count)| **count >= threshold && count_before(hour) < threshold);
        reached.count() as u64
    }
}

fn hour(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64, minute: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600 + minute * 60).unwrap()
    }

    fn failures(times: &[(i64, i64)]) -> FailuresByHour {
        let mut failures = FailuresByHour::default();
        times.iter().for_each(|(hour, minute)| failures.add(at(*hour, *minute)));
        failures
    }

    #[test]
    fn latest_two_hours_are_kept_in_whatever_order_failures_arrive() {
        let expected = FailuresByHour(
            [("1970-01-01T02".to_owned(), 2), ("1970-01-01T05".to_owned(), 1)].into_iter().collect(),
        );
        for times in [
            [(1, 0), (2, 0), (2, 59), (5, 0)],
            [(5, 0), (2, 59), (2, 0), (1, 0)],
            [(2, 59), (5, 0), (1, 0), (2, 0)],
        ] {
            assert_eq!(failures(&times), expected, "{times:?}");
        }
    }

    #[test]
    fn hour_has_room_for_twenty_failures_and_an_hour_that_is_not_kept_has_none() {
        let mut flood = failures(&[(3, 0)]);
        for _ in 1..MAX_FAILED_SIGN_INS_PER_HOUR {
            assert!(flood.has_room(at(3, 30)));
            flood.add(at(3, 30));
        }
        for (hour, expected) in [(2, true), (3, false), (4, true)] {
            assert_eq!(flood.has_room(at(hour, 0)), expected, "{hour}");
        }
        flood.add(at(4, 0));
        for (hour, expected) in [(2, false), (3, false), (4, true), (5, true)] {
            assert_eq!(flood.has_room(at(hour, 0)), expected, "{hour}");
        }
    }

    #[test]
    fn threshold_is_reached_once_in_each_hour() {
        let none = FailuresByHour::default();
        let two = failures(&[(1, 0), (1, 1)]);
        let three = failures(&[(1, 0), (1, 1), (1, 2)]);
        let both = failures(&[(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]);
        for (before, after, expected) in
            [(&none, &two, 0), (&two, &three, 1), (&none, &three, 1), (&three, &three, 0), (&two, &both, 2)]
        {
            assert_eq!(after.reached(3, before), expected, "{before:?} {after:?}");
        }
    }
}
