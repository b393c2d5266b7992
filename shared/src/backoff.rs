//! Delays between attempts.

use std::time::Duration;

/// Delay after the failed attempt number `attempt`, counted from 1.
///
/// The delay is `first` after the first attempt, doubles with each further attempt, and is at most
/// `longest`. `random`, from 0 to 1, shortens it by up to half, so that operations that failed
/// together do not all retry at the same time.
pub fn backoff(first: Duration, longest: Duration, attempt: u32, random: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let delay = first.saturating_mul(1 << doublings).min(longest);
    delay.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

/// Counts the attempts of an optimistic write, and waits between them.
///
/// The caller reads an item and writes it back on the condition that it did not change in between.
/// After a conflict, the caller calls [`wait`](Self::wait) and starts again with the read. If
/// DynamoDB throttled the write, the caller waits in the same way.
#[derive(Debug, Default)]
pub struct ConflictRetry {
    conflicts: u32,
}

/// Concurrent writers changed the item on every attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("concurrent writers changed the item on all {} attempts", ConflictRetry::MAX_ATTEMPTS)]
pub struct TooManyConflicts;

impl ConflictRetry {
    pub const MAX_ATTEMPTS: u32 = 8;
    const FIRST_DELAY: Duration = Duration::from_millis(20);
    const LONGEST_DELAY: Duration = Duration::from_millis(500);

    pub fn new() -> Self {
        Self::default()
    }

    /// Records a failed attempt and waits before the next attempt. An error if no attempt is left.
    pub async fn wait(&mut self) -> Result<(), TooManyConflicts> {
        self.conflicts += 1;
        if self.conflicts >= Self::MAX_ATTEMPTS {
            return Err(TooManyConflicts);
        }
        let delay = backoff(Self::FIRST_DELAY, Self::LONGEST_DELAY, self.conflicts, fastrand::f64());
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_to_its_limit_and_is_half_random() {
        let (first, longest) = (Duration::from_secs(30), Duration::from_secs(900));
        let delays = [1, 2, 5, 6, 99].map(|attempt| backoff(first, longest, attempt, 1.0).as_secs());
        assert_eq!(delays, [30, 60, 480, 900, 900]);
        assert_eq!(backoff(first, longest, 1, 0.0), Duration::from_secs(15));
    }
}
