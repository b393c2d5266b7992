//! The invalidations of a day under each policy, calculated from rates. Pure.
//!
//! Users are active evenly through the day. The job changes its users evenly while it runs.

use workers::cache_invalidation::planner::{MAX_ITEMS, PURGE_ALL_INTERVAL_SECONDS};

use super::assumptions::{
    ATTEMPTS_PER_SIGN_IN, CLOUDFRONT_CALLS_PER_SECOND, CLOUDFRONT_ITEMS_PER_SECOND, EVENTS_PER_COMMIT,
    EventKind, MONTHLY_ITEM_BUDGET, PLAIN_WRITE_UNITS, TRIGGERS_PER_SIGN_IN, write_units,
};
use super::day::{
    ACTION_SECONDS, DAY_SECONDS, DAYS_PER_MONTH, INACTIVE, Model, PURGE_ALL_THRESHOLD, WINDOW_SECONDS,
};

/// How changes of a user's data are invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One call with one item for each change.
    EachChange,
    /// One item for all changes of a user in a window.
    Coalesced,
    /// As above, but a window with more than PURGE_ALL_THRESHOLD users purges all.
    CoalescedPurgeAll,
    /// One item for a user in a window, and none for inactive users.
    InactiveSkipped,
    /// All three.
    InactiveSkippedPurgeAll,
    /// All three with MONTHLY_ITEM_BUDGET, and ON_BUDGET_EXHAUSTED=expire. The template's default.
    Budget,
    /// Pages are cached for seconds and never invalidated.
    ShortLifetimes,
}

impl Policy {
    /// The most expensive one first.
    pub const ALL: [Self; 7] = [
        Self::EachChange,
        Self::Coalesced,
        Self::CoalescedPurgeAll,
        Self::InactiveSkipped,
        Self::InactiveSkippedPurgeAll,
        Self::Budget,
        Self::ShortLifetimes,
    ];

    /// Name in tables and pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::EachChange => "one invalidation for each change",
            Self::Coalesced => "coalescing",
            Self::CoalescedPurgeAll => "coalescing, purge all",
            Self::InactiveSkipped => "coalescing, inactive users skipped",
            Self::InactiveSkippedPurgeAll => "coalescing, inactive users skipped, purge all",
            Self::Budget => "all of these, and a budget of 10,000 items",
            Self::ShortLifetimes => "short lifetimes, no invalidations",
        }
    }

    fn skips_inactive_users(self) -> bool {
        !matches!(self, Self::EachChange | Self::Coalesced | Self::CoalescedPurgeAll)
    }

    fn purges_all(self) -> bool {
        matches!(self, Self::CoalescedPurgeAll | Self::InactiveSkippedPurgeAll | Self::Budget)
    }
}

/// A part of the day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub seconds: f64,
    /// Events for user-stats.
    pub events: f64,
    /// Allowed sign-in attempts among the events.
    pub attempts: f64,
    /// Changes of a user's data among the events. Each has an entry in a list.
    pub changes: f64,
    /// Messages to cache-invalidation: one for each commit that changes a view of an active user.
    pub notices: f64,
    /// Invalidations of a user, counted once per window.
    user_invalidations: f64,
}

impl Phase {
    /// Events per second.
    pub fn rate(&self) -> f64 {
        self.events / self.seconds
    }

    /// Write units of user-stats.
    pub fn write_units(&self) -> f64 {
        (self.events - self.attempts - self.changes) * write_units(EVENTS_PER_COMMIT, EventKind::Unlisted)
            + self.changes * write_units(EVENTS_PER_COMMIT, EventKind::Listed)
            + self.attempts * PLAIN_WRITE_UNITS
    }
}

/// Sign-ins per day.
pub(super) fn sign_ins(model: &Model) -> f64 {
    f64::from(model.users) * f64::from(model.active_percent) / 100.0
}

/// The day without the job.
pub(super) fn people(model: &Model) -> Phase {
    let actions = sign_ins(model) * f64::from(model.actions_in_session);
    let changes = f64::from(model.changes_of_action);
    // Time between the first and the last change of an action. An action that starts so close to the
    // end of a window is in two windows.
    let spread = ACTION_SECONDS as f64 * (changes - 1.0).max(0.0);
    Phase {
        seconds: DAY_SECONDS as f64,
        events: sign_ins(model) * TRIGGERS_PER_SIGN_IN + actions * changes,
        attempts: sign_ins(model) * ATTEMPTS_PER_SIGN_IN,
        changes: actions * changes,
        notices: actions * changes,
        user_invalidations: actions * (1.0 + spread / WINDOW_SECONDS as f64),
    }
}

/// The time of the job.
pub(super) fn job(model: &Model, policy: Policy) -> Phase {
    let users = f64::from(model.users) * f64::from(model.job_percent) / 100.0;
    let notices = if policy.skips_inactive_users() { users * active_share(model) } else { users };
    let seconds = f64::from(model.job_minutes.max(1)) * 60.0;
    Phase { seconds, events: users, attempts: 0.0, changes: users, notices, user_invalidations: notices }
}

/// Share of the users who can have a cached page at a given moment.
fn active_share(model: &Model) -> f64 {
    let active_seconds =
        f64::from(INACTIVE.token_validity_minutes) * 60.0 + f64::from(INACTIVE.max_cache_lifetime_seconds);
    // Sessions end on the day on which they begin.
    let beginnings = DAY_SECONDS as f64 - f64::from(model.session_minutes) * 60.0;
    f64::from(model.active_percent) / 100.0 * (active_seconds / beginnings).min(1.0)
}

/// The work of cache-invalidation on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Invalidations {
    /// Calls before the budget. Each is booked in the ledger, or refused there.
    pub planned: f64,
    /// Calls of CreateInvalidation.
    pub calls: f64,
    /// Calls that purge all.
    pub purges: f64,
    /// Items, including the free ones.
    pub items: f64,
}

/// The phases of a day, and the work of cache-invalidation in each.
pub(super) fn phases(model: &Model, policy: Policy) -> [(Phase, Invalidations); 2] {
    let phases = [people(model), job(model, policy)].map(|phase| (phase, wanted(&phase, policy)));
    let items: f64 = phases.iter().map(|(_, wanted)| wanted.items).sum();
    let budget = MONTHLY_ITEM_BUDGET / DAYS_PER_MONTH as f64;
    let share = if policy == Policy::Budget && items > budget { budget / items } else { 1.0 };
    phases.map(|(phase, Invalidations { planned, calls, purges, items })| {
        let (calls, purges, items) = (calls * share, purges * share, items * share);
        (phase, Invalidations { planned, calls, purges, items })
    })
}

/// The invalidations of a phase, before the budget.
fn wanted(phase: &Phase, policy: Policy) -> Invalidations {
    let windows = phase.seconds / WINDOW_SECONDS as f64;
    let users = phase.user_invalidations / windows;
    match policy {
        Policy::EachChange => {
            let changes = phase.notices;
            Invalidations { planned: changes, calls: changes, purges: 0.0, items: changes }
        }
        Policy::ShortLifetimes => Invalidations::default(),
        _ if policy.purges_all() && users > f64::from(PURGE_ALL_THRESHOLD) => {
            // One at once, one in every interval, and one at the end for the changes that wait.
            let intervals = (phase.seconds / PURGE_ALL_INTERVAL_SECONDS as f64).ceil();
            let purges = (intervals + 1.0).min(windows.ceil());
            Invalidations { planned: purges, calls: purges, purges, items: purges }
        }
        _ => {
            let items = phase.user_invalidations;
            let calls = items.min(windows * (users / MAX_ITEMS as f64).ceil());
            Invalidations { planned: calls, calls, purges: 0.0, items }
        }
    }
}

/// The work of cache-invalidation on a day.
pub fn invalidations(model: &Model, policy: Policy) -> Invalidations {
    let [(_, people), (_, job)] = phases(model, policy);
    Invalidations {
        planned: people.planned + job.planned,
        calls: people.calls + job.calls,
        purges: people.purges + job.purges,
        items: people.items + job.items,
    }
}

/// Whether CloudFront accepts so many items and calls, on the average of a day.
pub fn is_accepted_by_cloudfront(model: &Model, policy: Policy) -> bool {
    let Invalidations { items, calls, .. } = invalidations(model, policy);
    let day = DAY_SECONDS as f64;
    items / day <= CLOUDFRONT_ITEMS_PER_SECOND && calls / day <= CLOUDFRONT_CALLS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::super::day::{Rules, day, run};
    use super::*;

    #[test]
    fn rates_agree_with_a_day_that_was_run() {
        let quiet = Model { users: 100_000, ..Model::default() };
        // A job so fast that it purges all.
        let hasty = Model { job_minutes: 1, ..quiet };
        for model in [quiet, hasty] {
            let day = day(&model);
            for (policy, skip_inactive, purge_all) in [
                (Policy::Coalesced, false, false),
                (Policy::CoalescedPurgeAll, false, true),
                (Policy::InactiveSkipped, true, false),
                (Policy::InactiveSkippedPurgeAll, true, true),
            ] {
                let (by_rate, by_running) = (
                    invalidations(&model, policy),
                    run(&day, Rules { skip_inactive, purge_all, budget: None }),
                );
                let is_near = |rate: f64, ran: u64| (rate - ran as f64).abs() <= 0.03 * ran as f64;
                assert!(is_near(by_rate.items, by_running.items), "{policy:?}: {by_rate:?} {by_running:?}");
                assert!(is_near(by_rate.calls, by_running.calls), "{policy:?}: {by_rate:?} {by_running:?}");
                assert_eq!(by_rate.purges as u64, by_running.purges, "{policy:?}");
            }
        }
    }

    #[test]
    fn budget_limits_the_items_and_not_the_planned_calls() {
        let model = Model::default();
        let (all, bounded) =
            (invalidations(&model, Policy::InactiveSkippedPurgeAll), invalidations(&model, Policy::Budget));
        assert!((bounded.items * 30.0 - MONTHLY_ITEM_BUDGET).abs() < 1e-3, "{bounded:?}");
        assert_eq!(bounded.planned, all.planned);
        // A small pool stays below it.
        let model = Model { users: 500, ..model };
        assert_eq!(
            invalidations(&model, Policy::Budget),
            invalidations(&model, Policy::InactiveSkippedPurgeAll)
        );
    }

    #[test]
    fn cloudfront_accepts_coalesced_items_of_ten_million_users() {
        let accepts = |users, policy| is_accepted_by_cloudfront(&Model { users, ..Model::default() }, policy);
        assert!(accepts(10_000, Policy::EachChange) && !accepts(100_000, Policy::EachChange));
        assert!(
            accepts(10_000_000, Policy::InactiveSkipped) && !accepts(100_000_000, Policy::InactiveSkipped)
        );
        assert!(accepts(100_000_000, Policy::InactiveSkippedPurgeAll));
    }
}
