//! The clock, which is a parameter so that tests and journeys control the time, and arithmetic that
//! cannot overflow.

pub mod millis;

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

/// The source of the current time. Clones share it, and cloning is cheap.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock. Only the Lambda binaries and the command lines use it.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current time in whole milliseconds, the precision of the table and the events.
    pub fn now(&self) -> Timestamp {
        whole_milliseconds((self.0)())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Truncates `time` to whole milliseconds, so that storing it does not change it.
pub fn whole_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// `time` plus `duration`, or the latest or earliest timestamp if the sum is out of range.
pub fn plus(time: Timestamp, duration: SignedDuration) -> Timestamp {
    let beyond = if duration.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(duration).unwrap_or(beyond)
}

pub fn plus_seconds(time: Timestamp, seconds: i64) -> Timestamp {
    plus(time, SignedDuration::from_secs(seconds))
}

pub fn minus_seconds(time: Timestamp, seconds: i64) -> Timestamp {
    plus_seconds(time, seconds.saturating_neg())
}

/// The seconds from `earlier` to `later`. 0 if `later` is before `earlier`.
pub fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.duration_since(earlier).as_secs_f64().max(0.0)
}

pub fn plus_millisecond(time: Timestamp) -> Timestamp {
    plus(time, SignedDuration::from_millis(1))
}
