//! What a day of a pool leads to under a policy. Pure.

use super::assumptions::{CLOUDFRONT_CALLS_PER_SECOND, CLOUDFRONT_ITEMS_PER_SECOND};
use super::day::{Cause, DAY_SECONDS};
use super::spread::Spread;

/// A day of a pool under a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Users of the pool for each user of the sample. All counts below are those of the sample.
    pub ratio: f64,
    /// Notices to cache-invalidation after changes by users and services.
    pub people_notices: u64,
    /// Notices after changes by the job.
    pub job_notices: u64,
    /// Items for single users.
    pub user_items: u64,
    /// Calls that cache-invalidation planned, in the whole pool. The budget refuses some of them.
    pub planned_calls: f64,
    /// Calls of CreateInvalidation, in the whole pool.
    pub calls: f64,
    /// Items that purge all, in the whole pool.
    pub purges: u64,
    pub page_views: u64,
    /// Page views that the cache answered.
    pub hits: u64,
    /// Requests of a client whose change is not yet committed, after its first one.
    pub polls: u64,
    /// How long a change had been committed that a page view did not show.
    pub acting: Spread,
    pub other: Spread,
    /// Time from a write until the acting device can see the change.
    pub own_change: Spread,
}

impl Outcome {
    pub(super) fn count_notice(&mut self, cause: Cause) {
        match cause {
            Cause::Job => self.job_notices += 1,
            Cause::User | Cause::Service => self.people_notices += 1,
        }
    }

    /// Invalidation items per day of the whole pool.
    pub fn items(&self) -> f64 {
        self.user_items as f64 * self.ratio + self.purges as f64
    }

    /// Requests to the origin per day of the whole pool.
    pub fn origin_requests(&self) -> f64 {
        (self.page_views - self.hits + self.polls) as f64 * self.ratio
    }

    /// Share of the page views that the cache answered.
    pub fn hit_ratio(&self) -> f64 {
        if self.page_views == 0 { 0.0 } else { self.hits as f64 / self.page_views as f64 }
    }

    /// True if CloudFront accepts so many items and calls, on the average of a day.
    pub fn is_accepted_by_cloudfront(&self) -> bool {
        let day = DAY_SECONDS as f64;
        self.items() / day <= CLOUDFRONT_ITEMS_PER_SECOND && self.calls / day <= CLOUDFRONT_CALLS_PER_SECOND
    }
}
