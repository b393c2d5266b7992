//! How long an invocation may still take.

use std::time::Duration;

use crate::time::Clock;
use jiff::Timestamp;

/// When Lambda ends an invocation. What it interrupts comes again, and costs a receive of every message in the batch;
/// so workers stop by themselves before.
#[derive(Clone, Debug)]
pub struct Deadline {
    at: Timestamp,
    clock: Clock,
}

impl Deadline {
    /// The deadline at the time `at`.
    pub fn new(at: Timestamp, clock: Clock) -> Self {
        Self { at, clock }
    }

    /// Whether something may be begun that takes up to `seconds`.
    pub fn leaves(&self, seconds: i64) -> bool {
        !self.until(seconds).is_zero()
    }

    /// The time until `seconds` before the deadline.
    pub fn until(&self, seconds: i64) -> Duration {
        let left = self.at.duration_since(self.clock.now()) - jiff::SignedDuration::from_secs(seconds);
        Duration::try_from(left).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_than_is_left_is_not_begun() {
        let now = Timestamp::UNIX_EPOCH;
        let deadline = Deadline::new(crate::time::plus_seconds(now, 20), Clock::from_fn(move || now));
        assert!(deadline.leaves(19));
        assert!(!deadline.leaves(20));
        assert_eq!(deadline.until(15), Duration::from_secs(5));
        assert_eq!(deadline.until(21), Duration::ZERO);
    }

    #[test]
    fn there_may_be_no_deadline() {
        let clock = Clock::from_fn(|| Timestamp::MIN);
        assert!(Deadline::new(Timestamp::MAX, clock).leaves(1_000_000));
    }
}
