//! The clock that is passed in, so that a test or a journey decides what time it is.

pub mod millis;

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

/// Tells the time. Cheap to clone; clones tell the same time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock. Only the Lambda binaries and the command line use it.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that tells whatever `now` returns.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current time, in whole milliseconds: what the table and the events keep.
    pub fn now(&self) -> Timestamp {
        whole_milliseconds((self.0)())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// `time` without what is finer than a millisecond, so that a time survives storage unchanged.
pub fn whole_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// `time` plus `duration`; the end of time where that lies beyond it.
pub fn plus(time: Timestamp, duration: SignedDuration) -> Timestamp {
    let beyond = if duration.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(duration).unwrap_or(beyond)
}

/// `time` plus `seconds`.
pub fn plus_seconds(time: Timestamp, seconds: i64) -> Timestamp {
    plus(time, SignedDuration::from_secs(seconds))
}

/// `time` minus `seconds`.
pub fn minus_seconds(time: Timestamp, seconds: i64) -> Timestamp {
    plus_seconds(time, seconds.saturating_neg())
}

/// The seconds from `earlier` to `later`; none where they are the other way round.
pub fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.duration_since(earlier).as_secs_f64().max(0.0)
}

/// The next millisecond after `time`.
pub fn plus_millisecond(time: Timestamp) -> Timestamp {
    plus(time, SignedDuration::from_millis(1))
}
