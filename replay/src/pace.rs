//! The rate of calls to Cognito, and waiting while Cognito throttles.

use std::time::Duration;

use anyhow::Result;
use shared::aws::FailedCall;
use shared::backoff::backoff;
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};

use crate::user::pool::Throttled;

/// Maximum rate in calls per second.
pub const MAX_RATE: u32 = 100;
/// Attempts of a call that Cognito throttles. Each one includes the attempts of the SDK.
const MAX_ATTEMPTS: u32 = 6;
/// Delay after the first throttled attempt. Doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Limits the rate of calls.
#[derive(Debug)]
pub struct Pace(Mutex<Interval>);

impl Pace {
    /// A limit in calls per second, from 1 to [`MAX_RATE`].
    pub fn new(rate: u32) -> Self {
        let mut interval = tokio::time::interval(Duration::from_secs(1) / rate.clamp(1, MAX_RATE));
        // After a slow call, the next ones are not faster than the rate.
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(Mutex::new(interval))
    }

    /// Makes a call when the rate allows it, and again after a delay if Cognito throttles it.
    pub async fn call<T, F: Future<Output = Result<T>>>(&self, mut call: impl FnMut() -> F) -> Result<T> {
        let mut attempt = 0;
        loop {
            self.0.lock().await.tick().await;
            attempt += 1;
            match call().await {
                Err(error) if is_throttled(&error) && attempt < MAX_ATTEMPTS => {
                    tokio::time::sleep(backoff(FIRST_DELAY, LONGEST_DELAY, attempt, fastrand::f64())).await;
                }
                result => return result,
            }
        }
    }
}

/// True if Cognito throttled all attempts of the SDK.
fn is_throttled(error: &anyhow::Error) -> bool {
    let is_throttle = |call: &FailedCall| call.code() == Some("TooManyRequestsException");
    error.is::<Throttled>() || error.chain().any(|link| link.downcast_ref().is_some_and(is_throttle))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn throttled_call_is_repeated_after_growing_delays() {
        let (pace, start, calls) = (Pace::new(100), Instant::now(), Cell::new(0));
        let throttled_until = |last| {
            let calls = &calls;
            move || async move {
                calls.set(calls.get() + 1);
                if calls.get() < last { Err(Throttled("ListUsers").into()) } else { Ok(calls.get()) }
            }
        };
        assert_eq!(pace.call(throttled_until(4)).await.unwrap(), 4);
        let waited = start.elapsed().as_secs_f64();
        assert!((3.5..=7.1).contains(&waited), "1, 2 and 4 seconds, shortened by up to half: {waited}");
        calls.set(0);
        let error = pace.call(throttled_until(99)).await.unwrap_err();
        assert!(error.is::<Throttled>() && calls.get() == 6, "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_not_faster_than_the_rate() {
        let (pace, start) = (Pace::new(5), Instant::now());
        for _ in 0..11 {
            pace.call(|| async { Ok(()) }).await.unwrap();
        }
        assert_eq!(start.elapsed().as_millis(), 2_000);
    }
}
