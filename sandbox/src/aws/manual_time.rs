//! The account's time. It moves only when the player or a test moves it.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use shared::time::{Clock, plus_seconds};

/// A time that moves only by [`ManualTime::move_to`]. Clones share it.
#[derive(Clone, Debug)]
pub struct ManualTime(Arc<Mutex<Timestamp>>);

impl ManualTime {
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }

    pub fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves forward to `time`. An earlier time changes nothing.
    pub fn move_to(&self, time: Timestamp) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = time.max(*now);
    }

    pub fn advance(&self, seconds: i64) {
        self.move_to(plus_seconds(self.now(), seconds));
    }

    /// A clock that shows this time.
    pub fn clock(&self) -> Clock {
        let time = self.clone();
        Clock::from_fn(move || time.now())
    }
}
