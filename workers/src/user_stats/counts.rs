//! The metrics of one invocation of user-stats or account-activity.

use jiff::Timestamp;
use shared::metric::Metric;
use shared::telemetry::{Metrics, Unit};
use shared::time::seconds_between;

use super::notice::SkipReason;

/// Counts of one invocation. Reported once, as one set of metrics, however many users the batch is
/// about.
#[derive(Default)]
pub struct InvocationCounts {
    pub applied: u64,
    pub duplicates: u64,
    pub sign_ins_of_unknown_users: u64,
    pub events_of_erased_users: u64,
    pub users_erased: u64,
    pub users_in_conflict: u64,
    pub users_throttled: u64,
    pub attempts_stored: u64,
    pub sign_ins_failed: u64,
    pub users_with_many_failures: u64,
    /// One reason for each user whose change needs no invalidation.
    pub notices_skipped: Vec<SkipReason>,
    /// The time of the oldest applied event.
    pub oldest_applied: Option<Timestamp>,
}

impl InvocationCounts {
    pub fn add(&mut self, other: &Self) {
        self.applied += other.applied;
        self.duplicates += other.duplicates;
        self.sign_ins_of_unknown_users += other.sign_ins_of_unknown_users;
        self.events_of_erased_users += other.events_of_erased_users;
        self.users_erased += other.users_erased;
        self.users_in_conflict += other.users_in_conflict;
        self.users_throttled += other.users_throttled;
        self.attempts_stored += other.attempts_stored;
        self.sign_ins_failed += other.sign_ins_failed;
        self.users_with_many_failures += other.users_with_many_failures;
        self.notices_skipped.extend(&other.notices_skipped);
        self.oldest_applied = self.oldest_applied.into_iter().chain(other.oldest_applied).min();
    }

    pub fn report(&self, metrics: &Metrics, now: Timestamp) {
        metrics.count(&[
            (Metric::EventsApplied, self.applied),
            (Metric::DuplicateEvents, self.duplicates),
            (Metric::SignInsOfUnknownUsers, self.sign_ins_of_unknown_users),
            (Metric::EventsOfErasedUsers, self.events_of_erased_users),
            (Metric::UsersErased, self.users_erased),
            (Metric::UsersInConflict, self.users_in_conflict),
            (Metric::UsersThrottled, self.users_throttled),
            (Metric::SignInAttemptsStored, self.attempts_stored),
            (Metric::SignInsFailed, self.sign_ins_failed),
            (Metric::UsersWithManyFailures, self.users_with_many_failures),
        ]);
        for reason in SkipReason::ALL {
            let skipped = self.notices_skipped.iter().filter(|skipped| **skipped == reason).count();
            metrics
                .count_by(Some(("reason", reason.code())), &[(Metric::InvalidationsSkipped, skipped as u64)]);
        }
        if let Some(oldest) = self.oldest_applied {
            metrics.measure(Metric::EventAge, Unit::Seconds, seconds_between(oldest, now));
        }
    }
}
