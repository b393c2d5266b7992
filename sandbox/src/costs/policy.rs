//! Which invalidations a day leads to under each policy, worked out from rates instead of running the day. Pure.
//!
//! People come evenly through the day. The job changes its users evenly while it runs.

use workers::cache_invalidation::planner::{COLLAPSE_INTERVAL_SECONDS, MAX_ITEMS};

use super::assumptions::{
    CLOUDFRONT_CALLS_A_SECOND, CLOUDFRONT_ITEMS_A_SECOND, MONTHLY_ITEM_BUDGET, TRIGGERS_OF_A_SIGN_IN,
};
use super::day::{ACTION_SECONDS, PURGE_ALL_THRESHOLD, DAY_SECONDS, DAYS_PER_MONTH, INACTIVE, Model, WINDOW_SECONDS};

/// What is done about a change of a user's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A call of CreateInvalidation with one item for each change.
    EachChange,
    /// One item for the changes of a user in a window.
    Coalesced,
    /// And one for everybody where a window has more than PURGE_ALL_THRESHOLD users.
    CoalescedCollapse,
    /// One item for a user in a window, and none for those who are idle.
    IdleSkipped,
    /// The template's default: all three.
    IdleSkippedCollapse,
    /// The default with MONTHLY_ITEM_BUDGET, and ON_BUDGET_EXHAUSTED=expire.
    Budget,
    /// Pages live for seconds, and nothing is invalidated: a change that has waited a second counts as expired.
    ShortLifetimes,
}

impl Policy {
    /// All of them: first what costs most.
    pub const ALL: [Self; 7] = [
        Self::EachChange,
        Self::Coalesced,
        Self::CoalescedCollapse,
        Self::IdleSkipped,
        Self::IdleSkippedCollapse,
        Self::Budget,
        Self::ShortLifetimes,
    ];

    /// Its name in tables and pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::EachChange => "one invalidation for each change",
            Self::Coalesced => "coalescing",
            Self::CoalescedCollapse => "coalescing, collapse",
            Self::IdleSkipped => "coalescing, idle users skipped",
            Self::IdleSkippedCollapse => "coalescing, idle users skipped, collapse",
            Self::Budget => "all of these, and a budget of 100,000 items",
            Self::ShortLifetimes => "short lifetimes, nothing invalidated",
        }
    }

    fn skips_idle(self) -> bool {
        !matches!(self, Self::EachChange | Self::Coalesced | Self::CoalescedCollapse)
    }

    fn collapses(self) -> bool {
        matches!(self, Self::CoalescedCollapse | Self::IdleSkippedCollapse | Self::Budget)
    }
}

/// A part of the day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    /// It lasts so long.
    pub seconds: f64,
    /// Events of user-stats.
    pub events: f64,
    /// Messages to cache-invalidation: one for each commit that changes a view of somebody who is not idle.
    pub notices: f64,
    /// Users to evict, each counted once in a window.
    evictions: f64,
}

impl Phase {
    /// Events in a second.
    pub fn rate(&self) -> f64 {
        self.events / self.seconds
    }
}

/// Sign-ins of a day.
pub(super) fn sign_ins(model: &Model) -> f64 {
    f64::from(model.users) * f64::from(model.active_percent) / 100.0
}

/// People, all day.
pub(super) fn people(model: &Model) -> Phase {
    let actions = sign_ins(model) * f64::from(model.actions_in_session);
    let changes = f64::from(model.changes_of_action);
    // From the first change of an action to the last: that far into a window's end, they lie in two.
    let spread = ACTION_SECONDS as f64 * (changes - 1.0).max(0.0);
    Phase {
        seconds: DAY_SECONDS as f64,
        events: sign_ins(model) * TRIGGERS_OF_A_SIGN_IN + actions * changes,
        notices: actions * changes,
        evictions: actions * (1.0 + spread / WINDOW_SECONDS as f64),
    }
}

/// The job, at night.
pub(super) fn job(model: &Model, policy: Policy) -> Phase {
    let users = f64::from(model.users) * f64::from(model.job_percent) / 100.0;
    let notices = if policy.skips_idle() { users * awake_share(model) } else { users };
    let seconds = f64::from(model.job_minutes.max(1)) * 60.0;
    Phase { seconds, events: users, notices, evictions: notices }
}

/// Of all users, how many have at some moment a token that an entry of the cache can live of.
fn awake_share(model: &Model) -> f64 {
    let awake = f64::from(INACTIVE.token_validity_minutes) * 60.0 + f64::from(INACTIVE.max_cache_lifetime_seconds);
    // Sessions end on the day that they begin on.
    let beginnings = DAY_SECONDS as f64 - f64::from(model.session_minutes) * 60.0;
    f64::from(model.active_percent) / 100.0 * (awake / beginnings).min(1.0)
}

/// What cache-invalidation does on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Invalidations {
    /// Calls that it wants to make: each is booked in the ledger first, or refused there.
    pub planned: f64,
    /// Calls of CreateInvalidation.
    pub calls: f64,
    /// Of these, how many evict everybody.
    pub collapses: f64,
    /// Items, those that are free among them.
    pub items: f64,
}

/// The parts of a day, and what cache-invalidation does in each.
pub(super) fn phases(model: &Model, policy: Policy) -> [(Phase, Invalidations); 2] {
    let phases = [people(model), job(model, policy)].map(|phase| (phase, wanted(&phase, policy)));
    let items: f64 = phases.iter().map(|(_, wanted)| wanted.items).sum();
    let budget = MONTHLY_ITEM_BUDGET / DAYS_PER_MONTH as f64;
    let share = if policy == Policy::Budget && items > budget { budget / items } else { 1.0 };
    phases.map(|(phase, Invalidations { planned, calls, collapses, items })| {
        let (calls, collapses, items) = (calls * share, collapses * share, items * share);
        (phase, Invalidations { planned, calls, collapses, items })
    })
}

/// What a part of the day asks for, before the budget.
fn wanted(phase: &Phase, policy: Policy) -> Invalidations {
    let windows = phase.seconds / WINDOW_SECONDS as f64;
    let users = phase.evictions / windows;
    match policy {
        Policy::EachChange => {
            let changes = phase.notices;
            Invalidations { planned: changes, calls: changes, collapses: 0.0, items: changes }
        }
        Policy::ShortLifetimes => Invalidations::default(),
        _ if policy.collapses() && users > f64::from(PURGE_ALL_THRESHOLD) => {
            // At once, then once in every interval, and at last for what waits then.
            let intervals = (phase.seconds / COLLAPSE_INTERVAL_SECONDS as f64).ceil();
            let collapses = (intervals + 1.0).min(windows.ceil());
            Invalidations { planned: collapses, calls: collapses, collapses, items: collapses }
        }
        _ => {
            let items = phase.evictions;
            let calls = items.min(windows * (users / MAX_ITEMS as f64).ceil());
            Invalidations { planned: calls, calls, collapses: 0.0, items }
        }
    }
}

/// What cache-invalidation does on a day.
pub fn invalidations(model: &Model, policy: Policy) -> Invalidations {
    let [(_, people), (_, job)] = phases(model, policy);
    Invalidations {
        planned: people.planned + job.planned,
        calls: people.calls + job.calls,
        collapses: people.collapses + job.collapses,
        items: people.items + job.items,
    }
}

/// Whether CloudFront takes so many items and calls, on the average of a day.
pub fn is_taken(model: &Model, policy: Policy) -> bool {
    let Invalidations { items, calls, .. } = invalidations(model, policy);
    let day = DAY_SECONDS as f64;
    items / day <= CLOUDFRONT_ITEMS_A_SECOND && calls / day <= CLOUDFRONT_CALLS_A_SECOND
}

#[cfg(test)]
mod tests {
    use super::super::{day, run};
    use super::*;

    #[test]
    fn rates_say_what_running_the_day_says() {
        let quiet = Model { users: 100_000, ..Model::default() };
        // A job so quick that it is collapsed.
        let hasty = Model { job_minutes: 1, ..quiet };
        for model in [quiet, hasty] {
            let day = day(&model);
            for (policy, skip_idle, collapse) in [
                (Policy::Coalesced, false, false),
                (Policy::CoalescedCollapse, false, true),
                (Policy::IdleSkipped, true, false),
                (Policy::IdleSkippedCollapse, true, true),
            ] {
                let (by_rate, by_running) = (invalidations(&model, policy), run(&day, skip_idle, collapse));
                let is_near = |rate: f64, ran: u64| (rate - ran as f64).abs() <= 0.03 * ran as f64;
                assert!(is_near(by_rate.items, by_running.items), "{policy:?}: {by_rate:?} {by_running:?}");
                assert!(is_near(by_rate.calls, by_running.calls), "{policy:?}: {by_rate:?} {by_running:?}");
                assert_eq!(by_rate.collapses as u64, by_running.collapses, "{policy:?}");
            }
        }
    }

    #[test]
    fn a_budget_bounds_the_items_of_a_month_and_not_what_asks_for_them() {
        let model = Model::default();
        let (all, bounded) =
            (invalidations(&model, Policy::IdleSkippedCollapse), invalidations(&model, Policy::Budget));
        assert!((bounded.items * 30.0 - MONTHLY_ITEM_BUDGET).abs() < 1e-3, "{bounded:?}");
        assert_eq!(bounded.planned, all.planned);
        // A small pool stays below it.
        let model = Model { users: 1_000, ..model };
        assert_eq!(invalidations(&model, Policy::Budget), invalidations(&model, Policy::IdleSkippedCollapse));
    }

    #[test]
    fn cloudfront_takes_what_is_coalesced_up_to_some_millions_of_users() {
        let takes = |users, policy| is_taken(&Model { users, ..Model::default() }, policy);
        assert!(takes(10_000, Policy::EachChange) && !takes(100_000, Policy::EachChange));
        assert!(takes(10_000_000, Policy::IdleSkipped) && !takes(100_000_000, Policy::IdleSkipped));
        assert!(takes(100_000_000, Policy::IdleSkippedCollapse));
    }
}
