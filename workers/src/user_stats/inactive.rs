//! Idle users cost nothing. Pure.
//!
//! With the token in the cache key, only someone with a live token can have filled a cache entry that still
//! lives. A user who has had none for long enough needs no invalidation. The statistics then note the time of
//! the commit that was not followed by one (`lastSkippedAt`); a token event that arrives late, of a token that
//! could have filled an entry living at that time, makes up for it.

use jiff::Timestamp;
use shared::aws::WORKER_CALL_SETTLED_SECONDS;
use shared::time::plus_seconds;

/// The clocks of a trigger and of the worker differ by less than this.
const CLOCK_SKEW_SECONDS: i64 = 1;

/// How long a token can keep an entry alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InactiveUserRule {
    /// TOKEN_VALIDITY_MINUTES: the longest of all app clients.
    pub token_validity_minutes: u32,
    /// MAX_CACHE_LIFETIME_SECONDS: the longest time that CloudFront keeps an entry.
    pub max_cache_lifetime_seconds: u32,
}

impl InactiveUserRule {
    /// The last moment at which an entry can live that was filled with a token issued at `issued_at`.
    fn last_entry_at(&self, issued_at: Timestamp) -> Timestamp {
        let validity = i64::from(self.token_validity_minutes) * 60;
        plus_seconds(issued_at, validity + i64::from(self.max_cache_lifetime_seconds) + CLOCK_SKEW_SECONDS)
    }

    /// Whether no entry of the user can live at the time `at`. Not where no token is known: its event may be
    /// on its way.
    pub fn is_inactive(&self, last_token_issued_at: Option<Timestamp>, at: Timestamp) -> bool {
        last_token_issued_at.is_some_and(|issued_at| self.last_entry_at(issued_at) < at)
    }

    /// Whether a token issued at `issued_at` could have filled an entry that lived when an invalidation was
    /// skipped. Later tokens see what was committed then; the commit came soon after the time that was noted.
    pub fn is_late_token(&self, issued_at: Timestamp, last_skipped_at: Option<Timestamp>) -> bool {
        last_skipped_at.is_some_and(|skipped_at| {
            issued_at <= plus_seconds(skipped_at, WORKER_CALL_SETTLED_SECONDS + CLOCK_SKEW_SECONDS)
                && self.last_entry_at(issued_at) >= skipped_at
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: InactiveUserRule = InactiveUserRule { token_validity_minutes: 60, max_cache_lifetime_seconds: 1800 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_user_is_idle_once_no_entry_of_theirs_can_live() {
        assert!(!RULE.is_inactive(None, at(100_000)));
        assert!(!RULE.is_inactive(Some(at(0)), at(5401)));
        assert!(RULE.is_inactive(Some(at(0)), at(5402)));
    }

    #[test]
    fn a_late_token_is_one_that_would_have_kept_the_invalidation_from_being_skipped() {
        for issued_at in -10_000..10_000 {
            let (issued_at, skipped_at) = (at(issued_at), at(0));
            let before =
                issued_at <= plus_seconds(skipped_at, WORKER_CALL_SETTLED_SECONDS + CLOCK_SKEW_SECONDS);
            let late = RULE.is_late_token(issued_at, Some(skipped_at));
            assert_eq!(late, before && !RULE.is_inactive(Some(issued_at), skipped_at), "{issued_at}");
        }
        assert!(!RULE.is_late_token(at(0), None));
    }
}
