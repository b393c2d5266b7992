//! A day of users, run through the rules that the workers use.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use shared::events::View;
use shared::store::{CacheMark, PurgeAllMark};
use shared::time::plus_seconds;
use workers::cache_invalidation::items::Target;
use workers::cache_invalidation::planner::{CacheMarks, Change, Deferred, Limits, Waiting, plan};
use workers::user_stats::inactive::InactiveUserRule;

use super::prices;

/// How users behave on a day.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Users in the pool.
    pub users: u32,
    /// Percentage of users who sign in on a day: once, with a token refresh each hour after that.
    pub active_percent: u32,
    /// Actions of an active user in a session.
    pub actions_in_session: u32,
    /// Changes of the user's data for each action, within seconds: an order, its payment, its
    /// notification.
    pub changes_of_action: u32,
    pub session_minutes: u32,
    /// Percentage of users that a background job changes, active or not.
    pub job_percent: u32,
    /// Duration of the job.
    pub job_minutes: u32,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            users: 1_000_000,
            active_percent: 20,
            actions_in_session: 2,
            changes_of_action: 3,
            session_minutes: 25,
            job_percent: 30,
            job_minutes: 10,
        }
    }
}

/// Window of cache-invalidation: delivery delay of 5 s plus batching window of 10 s.
pub(super) const WINDOW_SECONDS: i64 = 15;
/// Default of PURGE_ALL_THRESHOLD.
pub(super) const PURGE_ALL_THRESHOLD: u32 = 3_000;
/// Default of INVALIDATION_INTERVAL_SECONDS.
const INTERVAL_SECONDS: u32 = 60;
/// Lambda: a batch from a standard queue has at most 10,000 messages.
const MAX_BATCH: usize = 10_000;
pub(super) const DAYS_PER_MONTH: u64 = 30;
pub(super) const DAY_SECONDS: i64 = 24 * 3600;
/// Time between two changes of an action.
pub(super) const ACTION_SECONDS: i64 = 2;
/// The job starts at 02:00.
const JOB_SECOND: i64 = 2 * 3600;
/// The template's defaults: tokens are valid for an hour, pages are cached for half an hour.
pub(super) const INACTIVE: InactiveUserRule =
    InactiveUserRule { token_validity_minutes: 60, max_cache_lifetime_seconds: 1_800 };

/// The invalidations of a day under a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Items that CloudFront charges for.
    pub items: u64,
    /// Calls of CreateInvalidation.
    pub calls: u64,
    /// Calls that purge all.
    pub purges: u64,
}

impl Cost {
    pub fn dollars_per_month(&self) -> f64 {
        let items = (self.items * DAYS_PER_MONTH) as f64;
        (items - prices::CLOUDFRONT_FREE_ITEMS).max(0.0) * prices::CLOUDFRONT_ITEM
    }
}

/// A change of a user's data, or a new token, at a second of the day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DayEvent {
    second: i64,
    user: u32,
    pub is_token: bool,
}

pub(super) fn day(model: &Model) -> Vec<DayEvent> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut day = Vec::new();
    for user in 0..model.users {
        if random.u32(0..100) < model.active_percent {
            let session = i64::from(model.session_minutes) * 60;
            let begins = random.i64(0..DAY_SECONDS - session);
            let tokens = 1 + session / (i64::from(INACTIVE.token_validity_minutes) * 60);
            let token = |n: i64| DayEvent { second: begins + n * 3_600, user, is_token: true };
            day.extend((0..tokens).map(token));
            for _ in 0..model.actions_in_session {
                let action = begins + random.i64(0..session);
                let change =
                    |n| DayEvent { second: action + ACTION_SECONDS * i64::from(n), user, is_token: false };
                day.extend((0..model.changes_of_action).map(change));
            }
        }
        if random.u32(0..100) < model.job_percent {
            let second = JOB_SECOND + random.i64(0..i64::from(model.job_minutes) * 60);
            day.push(DayEvent { second, user, is_token: false });
        }
    }
    day.sort_unstable();
    day
}

/// The rules with which a day is run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    pub skip_inactive: bool,
    pub purge_all: bool,
    /// Items per day, after which nothing is invalidated.
    pub budget: Option<u64>,
}

/// Runs a day through the rules of the workers.
pub(super) fn run(day: &[DayEvent], rules: Rules) -> Cost {
    let limits = Limits {
        target: Target::Tag,
        purge_all_threshold: if rules.purge_all { PURGE_ALL_THRESHOLD } else { u32::MAX },
        purge_all_threshold_halving_seconds: 300,
        invalidation_interval_seconds: INTERVAL_SECONDS,
        max_cache_lifetime_seconds: INACTIVE.max_cache_lifetime_seconds,
    };
    let at = |second| plus_seconds(Timestamp::UNIX_EPOCH, second);
    let (mut tokens, mut marks, mut cost) = (HashMap::new(), CacheMarks::default(), Cost::default());
    let views = BTreeSet::from([View::Dashboard]);
    // Changes that wait, and until when.
    let mut waiting: Vec<(Timestamp, Change)> = Vec::new();
    let (mut events, mut window) = (day.iter().peekable(), 0);
    while events.peek().is_some() || !waiting.is_empty() {
        window += WINDOW_SECONDS;
        let now = at(window);
        let mut changes = Vec::new();
        while let Some(event) = events.next_if(|event| event.second < window) {
            let changed_at = at(event.second);
            if event.is_token {
                tokens.insert(event.user, changed_at);
            // A user without a token on this day counts as a user with an old token.
            } else if !rules.skip_inactive
                || tokens
                    .get(&event.user)
                    .is_some_and(|token| !INACTIVE.is_inactive(Some(*token), changed_at))
            {
                let sub = event.user.to_string();
                changes.push(Change {
                    message: 0,
                    sub,
                    views: views.clone(),
                    changed_at,
                    sent_at: changed_at,
                    pages_expire_at: None,
                    is_always: false,
                    claims_security: false,
                    security_change_at: None,
                });
            }
        }
        changes.extend(waiting.extract_if(.., |(until, _)| *until <= now).map(|(_, change)| change));
        for batch in changes.chunks_mut(MAX_BATCH) {
            batch.iter_mut().enumerate().for_each(|(index, change)| change.message = index);
            let plan = plan(batch, &marks, &limits, now);
            let mut wait = |messages: Vec<usize>, until| {
                waiting.extend(messages.into_iter().map(|index| (until, batch[index].clone())));
            };
            if let Some(Deferred { messages, until }) = plan.deferred {
                wait(messages, until);
            }
            for Waiting { message, until } in plan.waiting {
                wait(vec![message], until);
            }
            for call in plan.calls {
                let items = call.items.len() as u64;
                if rules.budget.is_some_and(|budget| cost.items + items > budget) {
                    continue;
                }
                cost.calls += 1;
                cost.items += items;
                cost.purges += u64::from(call.is_purge_all);
                let covered_until = plus_seconds(now, -1);
                if call.is_purge_all {
                    marks.purge_all = Some(PurgeAllMark { last_invalidated_at: covered_until });
                } else {
                    let mark = CacheMark { last_invalidated_at: Some(covered_until), ..CacheMark::default() };
                    marks.users.extend(call.users.into_iter().map(|user| (user.sub, mark.clone())));
                }
            }
        }
    }
    cost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_cost_no_more_than_the_one_before() {
        let model = Model { users: 20_000, ..Model::default() };
        let day = day(&model);
        let changes = day.iter().filter(|event| !event.is_token).count() as u64;
        let skip = |skip_inactive| run(&day, Rules { skip_inactive, ..Rules::default() });
        let (coalesced, skipped) = (skip(false), skip(true));
        assert!(changes > coalesced.items && coalesced.items > skipped.items, "{coalesced:?} {skipped:?}");
        assert!(skipped.calls <= coalesced.calls && coalesced.calls < changes);
        assert_eq!(
            Cost { items: 100, ..Cost::default() }.dollars_per_month(),
            10.0,
            "3,000 items, 1,000 of them free"
        );
    }

    #[test]
    fn job_that_changes_many_users_at_once_purges_all() {
        let model = Model { users: 100_000, job_minutes: 1, ..Model::default() };
        let day = day(&model);
        let purge = |purge_all| run(&day, Rules { purge_all, ..Rules::default() });
        let (without, with) = (purge(false), purge(true));
        assert!(with.purges > 0 && with.items < without.items, "{with:?}");
    }

    #[test]
    fn budget_bounds_the_items() {
        let day = day(&Model { users: 20_000, ..Model::default() });
        let cost = run(&day, Rules { budget: Some(333), ..Rules::default() });
        assert!((300..=333).contains(&cost.items), "{cost:?}");
    }
}
