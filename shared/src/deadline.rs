//! The deadline of an invocation.

use std::time::Duration;

use crate::time::Clock;
use jiff::Timestamp;

/// The time at which Lambda stops an invocation.
///
/// Workers stop before it. If Lambda interrupted them, SQS would redeliver the whole batch, and the
/// receive count of every message would grow.
#[derive(Clone, Debug)]
pub struct Deadline {
    at: Timestamp,
    clock: Clock,
}

impl Deadline {
    pub fn new(at: Timestamp, clock: Clock) -> Self {
        Self { at, clock }
    }

    /// Whether at least `seconds` are left, so that work that takes that long may start.
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
    fn work_starts_only_if_enough_time_is_left() {
        let now = Timestamp::UNIX_EPOCH;
        let deadline = Deadline::new(crate::time::plus_seconds(now, 20), Clock::from_fn(move || now));
        assert!(deadline.leaves(19));
        assert!(!deadline.leaves(20));
        assert_eq!(deadline.until(15), Duration::from_secs(5));
        assert_eq!(deadline.until(21), Duration::ZERO);
    }

    #[test]
    fn latest_timestamp_means_no_deadline() {
        let clock = Clock::from_fn(|| Timestamp::MIN);
        assert!(Deadline::new(Timestamp::MAX, clock).leaves(1_000_000));
    }
}
