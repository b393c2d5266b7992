//! Inactive users: users who cannot have a cached page, so that a change needs no invalidation.
//! Pure.
//!
//! The access token is part of the cache key. So every cached page of a user was requested with a
//! token of that user, and it lives at most MAX_CACHE_LIFETIME_SECONDS. (Shared orders are requested with
//! another user's token. read-api lets them end with the owner's last token.) A user whose last token
//! expired longer ago than that has no cached page.
//!
//! The worker may learn of a token too late, because a standard queue has no order. So STATS
//! records the last commit that skipped its notice (`lastSkippedAt`). When a token event arrives
//! later, [`is_late_token`] detects that the skip was wrong.
//!
//! [`is_late_token`]: InactiveUserRule::is_late_token

use jiff::Timestamp;
use shared::aws::WORKER_CALL_SETTLED_SECONDS;
use shared::freshness::RENDER_SECONDS;
use shared::time::plus_seconds;

/// Maximum difference between the clocks of a trigger and a worker.
const CLOCK_SKEW_SECONDS: i64 = 1;

/// How long a token can keep a page in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InactiveUserRule {
    /// TOKEN_VALIDITY_MINUTES: the longest validity among all app clients.
    pub token_validity_minutes: u32,
    /// MAX_CACHE_LIFETIME_SECONDS: the longest time that CloudFront keeps a page.
    pub max_cache_lifetime_seconds: u32,
}

impl InactiveUserRule {
    /// The time until which a page can live that was requested with a token issued at `issued_at`:
    /// the origin renders the page in the token's last second, and it stays for the longest lifetime.
    fn last_page_expires_at(&self, issued_at: Timestamp) -> Timestamp {
        let validity = i64::from(self.token_validity_minutes) * 60;
        let lifetime = RENDER_SECONDS + i64::from(self.max_cache_lifetime_seconds);
        plus_seconds(issued_at, validity + lifetime + CLOCK_SKEW_SECONDS)
    }

    /// Returns true if the user can have no cached page at `at`. A user without a known token is
    /// not inactive: the event of the token may still be in the queue.
    pub fn is_inactive(&self, last_token_issued_at: Option<Timestamp>, at: Timestamp) -> bool {
        last_token_issued_at.is_some_and(|issued_at| self.last_page_expires_at(issued_at) < at)
    }

    /// Whether a page requested with a token issued at `issued_at` could have been in the cache
    /// when the commit at `last_skipped_at` skipped its notice. Such a page can show the state
    /// before that commit.
    ///
    /// Pages of tokens that were issued after that commit show its changes. `last_skipped_at` was
    /// taken before the transaction was sent, so the commit is certain only
    /// WORKER_CALL_SETTLED_SECONDS later.
    pub fn is_late_token(&self, issued_at: Timestamp, last_skipped_at: Option<Timestamp>) -> bool {
        last_skipped_at.is_some_and(|skipped_at| {
            let committed_no_later_than =
                plus_seconds(skipped_at, WORKER_CALL_SETTLED_SECONDS + CLOCK_SKEW_SECONDS);
            issued_at <= committed_no_later_than && self.last_page_expires_at(issued_at) >= skipped_at
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: InactiveUserRule =
        InactiveUserRule { token_validity_minutes: 60, max_cache_lifetime_seconds: 1800 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn user_is_inactive_once_none_of_their_pages_can_be_cached() {
        assert!(!RULE.is_inactive(None, at(100_000)));
        assert!(!RULE.is_inactive(Some(at(0)), at(5406)));
        assert!(RULE.is_inactive(Some(at(0)), at(5407)));
    }

    #[test]
    fn late_token_is_one_that_would_have_prevented_the_skip() {
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
