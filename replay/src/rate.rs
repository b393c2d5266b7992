//! A limit of messages per second.

use std::time::Duration;

use shared::queues::MAX_BATCH_ENTRIES;
use tokio::time::Instant;

use crate::interrupt::StopSignal;

/// The entries of a batch at so many messages a second: no more than the rate has in a second.
pub fn entries_at(rate: Option<u32>) -> usize {
    rate.map_or(MAX_BATCH_ENTRIES, |rate| {
        usize::try_from(rate).unwrap_or(usize::MAX).clamp(1, MAX_BATCH_ENTRIES)
    })
}

/// Lets messages through at a rate.
#[derive(Debug)]
pub struct RateLimiter {
    each: Duration,
    next: std::cell::Cell<Option<Instant>>,
}

impl RateLimiter {
    /// So many messages a second; `None` for as many as there are.
    pub fn new(rate: Option<u32>) -> Self {
        let each = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1));
        Self { each, next: None.into() }
    }

    /// Waits for the turn of `count` messages. Answers `false` where it was asked to stop instead.
    pub async fn turn(&self, count: usize, stop: &StopSignal) -> bool {
        let now = Instant::now();
        let turn = self.next.get().unwrap_or(now).max(now);
        self.next.set(Some(turn + self.each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))));
        turn <= now || stop.sleep_until(turn).await
    }
}

