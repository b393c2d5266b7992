//! How long CloudFront may keep a user's page, and when the last page from before a change is gone.
//! Pure. `docs/caching.md` is the contract with the origin.
//!
//! The origin gives a page the lifetime `clamp(age / divisor, minimum, maximum)`. The age is the time
//! since the last change of the user's data (RFC 9111, 4.2.2, calls such a lifetime heuristic). A page
//! that has just changed lives for seconds, so that the changes that follow it show. The maximum is how
//! long another device of the user can miss a change.

use jiff::Timestamp;

use crate::config::{ConfigError, Environment};
use crate::time::plus_seconds;

/// A change should show on every device within this time, in seconds. An invalidation takes as long:
/// the delivery delay of the queue and the batching window of cache-invalidation.
pub const FRESHNESS_TARGET_SECONDS: i64 = 15;
/// Maximum time from the read of the table to the arrival of the page at CloudFront, in seconds.
/// read-api answers within 2.5 seconds. The delivery delay of cache-invalidations is as long.
pub const RENDER_SECONDS: i64 = 5;
/// Maximum difference between the clocks of the origin and of a worker, in seconds. The lifetime of a
/// page is wrong by the difference divided by the divisor, so a larger one does little harm.
pub const CLOCK_SKEW_SECONDS: i64 = 2;

/// ORIGIN_LIFETIME: how the origin chooses the lifetime of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginLifetime {
    /// Any lifetime up to the maximum. The workers assume the maximum.
    Fixed,
    /// The lifetime of [`CacheLifetime::seconds`]. The origin also knows the query parameter `after`.
    Adaptive,
}

/// The lifetimes of users' pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLifetime {
    /// ORIGIN_LIFETIME.
    pub origin: OriginLifetime,
    /// CACHE_LIFETIME_DIVISOR: a page lives for its age divided by this number. At least 1.
    pub divisor: u32,
    /// MIN_CACHE_LIFETIME_SECONDS. If it is above the maximum, the maximum applies.
    pub min_seconds: u32,
    /// MAX_CACHE_LIFETIME_SECONDS. 0: CloudFront caches no page.
    pub max_seconds: u32,
}

impl CacheLifetime {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let origins = [("fixed", OriginLifetime::Fixed), ("adaptive", OriginLifetime::Adaptive)];
        Ok(Self {
            origin: environment.choice("ORIGIN_LIFETIME", OriginLifetime::Fixed, &origins)?,
            divisor: environment.number("CACHE_LIFETIME_DIVISOR", 10, 1..=1_000)?,
            min_seconds: environment.number("MIN_CACHE_LIFETIME_SECONDS", 5, 1..=3_600)?,
            max_seconds: environment.max_cache_lifetime_seconds()?,
        })
    }

    /// The lifetime of a page that is rendered at `now`, in seconds.
    ///
    /// Without `last_changed_at`, or if it is in the future, the page gets the minimum: nothing says
    /// that the data is old.
    pub fn seconds(&self, last_changed_at: Option<Timestamp>, now: Timestamp) -> u32 {
        match self.origin {
            OriginLifetime::Fixed => self.max_seconds,
            OriginLifetime::Adaptive => {
                let age = last_changed_at.map_or(0, |changed_at| now.duration_since(changed_at).as_secs());
                let share = u32::try_from(age.max(0) / i64::from(self.divisor.max(1))).unwrap_or(u32::MAX);
                share.max(self.min_seconds).min(self.max_seconds)
            }
        }
    }

    /// The time at which the last page is gone that was rendered before a change at `changed_at`, and
    /// after the change before it at `last_changed_at`.
    ///
    /// A page that is rendered later ends later, so the last one was rendered at `changed_at`.
    pub fn last_page_expires_at(
        &self,
        last_changed_at: Option<Timestamp>,
        changed_at: Timestamp,
    ) -> Timestamp {
        let rendered_at = plus_seconds(changed_at, 2 * CLOCK_SKEW_SECONDS);
        let lifetime = i64::from(self.seconds(last_changed_at, rendered_at));
        plus_seconds(changed_at, RENDER_SECONDS + lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAPTIVE: CacheLifetime =
        CacheLifetime { origin: OriginLifetime::Adaptive, divisor: 10, min_seconds: 5, max_seconds: 60 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(100_000 + second).unwrap()
    }

    #[test]
    fn lifetime_is_a_tenth_of_the_age_within_its_bounds() {
        for (changed, now, expected) in [
            (Some(0), 0, 5),
            (Some(0), 49, 5),
            (Some(0), 59, 5),
            (Some(0), 60, 6),
            (Some(0), 599, 59),
            (Some(0), 600, 60),
            (Some(0), 1_000_000_000, 60),
            // In the future, by a second or by a year.
            (Some(1), 0, 5),
            (Some(31_536_000), 0, 5),
            (None, 0, 5),
        ] {
            assert_eq!(ADAPTIVE.seconds(changed.map(at), at(now)), expected, "{changed:?} {now}");
        }
        let seconds = |change: fn(&mut CacheLifetime)| {
            let mut lifetime = ADAPTIVE;
            change(&mut lifetime);
            lifetime.seconds(Some(at(0)), at(100))
        };
        assert_eq!(seconds(|lifetime| lifetime.divisor = 2), 50);
        assert_eq!(seconds(|lifetime| lifetime.min_seconds = 30), 30);
        assert_eq!(seconds(|lifetime| lifetime.max_seconds = 3), 3, "below the minimum");
        assert_eq!(seconds(|lifetime| lifetime.max_seconds = 0), 0);
        assert_eq!(seconds(|lifetime| lifetime.origin = OriginLifetime::Fixed), 60);
    }

    #[test]
    fn no_page_outlives_the_last_one_before_a_change() {
        let fixed = CacheLifetime { origin: OriginLifetime::Fixed, ..ADAPTIVE };
        for lifetime in [ADAPTIVE, fixed, CacheLifetime { divisor: 1, max_seconds: 1_800, ..ADAPTIVE }] {
            for changed in [1, 5, 49, 60, 100, 599, 600, 3_600] {
                let last = lifetime.last_page_expires_at(Some(at(0)), at(changed));
                // The clock of the origin differs from the one of the worker.
                for (rendered, skew) in
                    (0..=changed).flat_map(|second| [(second, -2), (second, 0), (second, 2)])
                {
                    let seconds = lifetime.seconds(Some(at(0)), at(rendered + skew));
                    let ends = at(rendered + RENDER_SECONDS + i64::from(seconds));
                    assert!(ends <= last, "{lifetime:?}: rendered at {rendered}, changed at {changed}");
                }
            }
        }
        assert_eq!(ADAPTIVE.last_page_expires_at(None, at(0)), at(RENDER_SECONDS + 5));
    }

    #[test]
    fn settings_have_their_documented_defaults() {
        let default = CacheLifetime::from_environment(&Environment::default()).unwrap();
        assert_eq!(default, CacheLifetime { origin: OriginLifetime::Fixed, ..ADAPTIVE });
        let environment = [("CACHE_LIFETIME_DIVISOR", "0")].into_iter().collect();
        let error = CacheLifetime::from_environment(&environment).unwrap_err().to_string();
        assert_eq!(error, "CACHE_LIFETIME_DIVISOR: \"0\" is not a whole number from 1 to 1000");
    }
}
