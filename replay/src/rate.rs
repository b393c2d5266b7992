//! Limit of messages per second.

use std::cell::Cell;
use std::time::Duration;

use shared::queues::MAX_BATCH_ENTRIES;
use tokio::time::Instant;

use crate::interrupt::StopSignal;

/// Messages in a batch: ten, or fewer if the rate is below ten messages per second.
pub fn batch_entries(rate: Option<u32>) -> usize {
    rate.map_or(MAX_BATCH_ENTRIES, |rate| {
        usize::try_from(rate).unwrap_or(usize::MAX).clamp(1, MAX_BATCH_ENTRIES)
    })
}

#[derive(Debug)]
pub struct RateLimiter {
    /// Time that one message takes at the rate.
    per_message: Duration,
    next: Cell<Option<Instant>>,
}

impl RateLimiter {
    /// A limit in messages per second. `None` means no limit.
    pub fn new(rate: Option<u32>) -> Self {
        let per_message = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1));
        Self { per_message, next: None.into() }
    }

    /// Waits until `count` messages may be sent. Returns `false` if a stop is requested.
    pub async fn acquire(&self, count: usize, stop: &StopSignal) -> bool {
        let now = Instant::now();
        let start = self.next.get().unwrap_or(now).max(now);
        let duration = self.per_message.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        self.next.set(Some(start + duration));
        start <= now || stop.sleep_until(start).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn messages_are_sent_at_the_rate() {
        let (limiter, stop, start) = (RateLimiter::new(Some(20)), StopSignal::default(), Instant::now());
        for _ in 0..5 {
            assert!(limiter.acquire(10, &stop).await);
        }
        assert_eq!(start.elapsed().as_millis(), 2_000, "ten at once, forty more in two seconds");
        let unlimited = RateLimiter::new(None);
        assert!(unlimited.acquire(1_000_000, &stop).await && unlimited.acquire(1, &stop).await);
        assert_eq!(start.elapsed().as_millis(), 2_000);
    }

    #[tokio::test(start_paused = true)]
    async fn stop_request_ends_the_wait() {
        let (limiter, stop) = (RateLimiter::new(Some(1)), StopSignal::default());
        assert!(limiter.acquire(1_000, &stop).await);
        stop.request();
        assert!(!limiter.acquire(1, &stop).await);
    }
}
