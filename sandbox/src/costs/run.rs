//! Runs a day through the rules of the workers and of the origin.
//!
//! The day has at most [`SAMPLE`] users. A larger pool has as many such users as the [`Outcome::ratio`]
//! says: all of them do the same, at other times. So its budget, its threshold for a purge and the size of
//! its batches are divided by the ratio.
//!
//! The cache keeps one page for each device. Rendering takes no time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;
use shared::events::{Activity, Data, Event, Subject, TokenRefreshed};
use shared::store::StatsMetadata;
use workers::invalidation_policy::{InvalidationPolicy, PolicyRule};
use workers::user_stats::inactive::InactiveUserRule;
use workers::user_stats::notice::{CommitSummary, Notice, NoticeRules, after_commit, record_change};

use super::assumptions::{POLL_SECONDS, SAMPLE, TOKEN_VALIDITY_MINUTES};
use super::browser::{Browser, Page};
use super::day::{Cause, DAY_SECONDS, Device, Model, Moment, Step, day, time};
use super::invalidations::{Evictions, Invalidations};
use super::outcome::Outcome;
use super::policy::{Invalidation, Settings};
use super::spread::Spread;

/// A day that can be run under several policies.
pub struct Simulation {
    users: u32,
    day: Vec<Moment>,
    events: Events,
}

impl Simulation {
    pub fn new(model: &Model) -> Self {
        let users = model.users.min(SAMPLE);
        Self { users, day: day(model, users), events: Events::new() }
    }

    /// Users of the sample.
    pub fn users(&self) -> u32 {
        self.users
    }

    /// The day of a pool of `users` users.
    pub fn run(&self, settings: &Settings, users: u32) -> Outcome {
        let ratio = self.ratio(users);
        let mut run = Run::new(self, *settings, ratio);
        for moment in &self.day {
            run.advance(moment.at);
            run.step(*moment);
        }
        run.finish()
    }

    /// The day in pools of several sizes. Runs it once if nothing that happens depends on the size.
    pub fn run_sizes(&self, settings: &Settings, sizes: &[u32]) -> Vec<Outcome> {
        let outcome = self.run(settings, self.users);
        let notices = outcome.people_notices + outcome.job_notices;
        if notices > 0 && settings.invalidation != Invalidation::EachChange {
            let run = |users: &u32| {
                if *users <= self.users { outcome.clone() } else { self.run(settings, *users) }
            };
            return sizes.iter().map(run).collect();
        }
        let sized = |users: &u32| {
            let ratio = self.ratio(*users);
            let calls = outcome.user_items as f64 * ratio;
            Outcome { ratio, planned_calls: calls, calls, ..outcome.clone() }
        };
        sizes.iter().map(sized).collect()
    }

    /// Users of a pool for each user of the sample.
    fn ratio(&self, users: u32) -> f64 {
        f64::from(users.max(self.users)) / f64::from(self.users.max(1))
    }

    /// Tokens, changes and page views of the sample.
    pub fn counts(&self) -> [u64; 3] {
        let count = |is: fn(Step) -> bool| self.day.iter().filter(|moment| is(moment.step)).count() as u64;
        [
            count(|step| matches!(step, Step::Token { .. })),
            count(|step| matches!(step, Step::Commit(_))),
            count(|step| matches!(step, Step::PageView(_))),
        ]
    }
}

/// A sample of the events of each kind.
struct Events {
    of_user: Event,
    of_service: Event,
    token: Event,
}

impl Events {
    fn new() -> Self {
        let event = |data| Event::new("/shop", Subject::user("ana"), time(0), data);
        let change = || event(Data::ActivityRecorded(Activity { description: String::new() }));
        Self {
            of_user: Event { client_aware: true, ..change() },
            of_service: change(),
            token: event(Data::TokenRefreshed(TokenRefreshed { client_id: String::new() })),
        }
    }
}

fn notice_rules(settings: &Settings) -> NoticeRules {
    let inactive_user = InactiveUserRule {
        token_validity_minutes: TOKEN_VALIDITY_MINUTES,
        max_cache_lifetime_seconds: settings.lifetime.max_seconds,
    };
    let policy = match settings.invalidation {
        Invalidation::EachChange => "",
        Invalidation::Rules { policy, .. } => policy,
    };
    let environment = [("INVALIDATION_POLICY", policy)].into_iter().collect();
    let policy = InvalidationPolicy::from_environment(&environment, &settings.lifetime);
    NoticeRules {
        // The rules of the model are valid.
        policy: policy.unwrap_or(InvalidationPolicy::of_all_types(PolicyRule::Never)),
        lifetime: settings.lifetime,
        inactive_user: Some(inactive_user),
    }
}

/// A user of the sample.
struct User {
    /// What STATS has.
    metadata: StatsMetadata,
    token: Timestamp,
    /// Times of the commits that changed the data.
    commits: Vec<i64>,
    acting: Browser,
    other: Browser,
    evictions: Evictions,
}

struct Run<'a> {
    simulation: &'a Simulation,
    settings: Settings,
    rules: NoticeRules,
    users: Vec<User>,
    invalidations: Invalidations,
    /// Times at which clients ask again for a change, and their users.
    polls: BinaryHeap<Reverse<(i64, u32)>>,
    outcome: Outcome,
    /// In milliseconds.
    acting: Vec<i64>,
    other: Vec<i64>,
    own_change: Vec<i64>,
}

impl<'a> Run<'a> {
    fn new(simulation: &'a Simulation, settings: Settings, ratio: f64) -> Self {
        let yesterday = time(-DAY_SECONDS * 1_000);
        let user = || User {
            metadata: StatsMetadata {
                version: 1,
                last_changed_at: Some(yesterday),
                ..StatsMetadata::default()
            },
            token: yesterday,
            commits: Vec::new(),
            acting: Browser::default(),
            other: Browser::default(),
            evictions: Evictions::default(),
        };
        let outcome = Outcome { ratio, ..Outcome::default() };
        Self {
            simulation,
            settings,
            rules: notice_rules(&settings),
            users: (0..simulation.users).map(|_| user()).collect(),
            invalidations: Invalidations::new(&settings, ratio),
            polls: BinaryHeap::new(),
            outcome,
            acting: Vec::new(),
            other: Vec::new(),
            own_change: Vec::new(),
        }
    }

    /// Does what happens before `at` on its own: batches of cache-invalidation and polls.
    fn advance(&mut self, at: i64) {
        loop {
            let poll = self.polls.peek().map_or(i64::MAX, |Reverse((at, _))| *at);
            let batch = self.invalidations.next_batch_at().unwrap_or(i64::MAX);
            if poll.min(batch) >= at {
                return;
            }
            if batch <= poll {
                for (user, called_at) in self.invalidations.batch(&mut self.outcome) {
                    self.users[user as usize].evictions.add(called_at);
                }
            } else if let Some(Reverse((at, user))) = self.polls.pop() {
                self.poll(at, user);
            }
        }
    }

    fn step(&mut self, Moment { at, user: index, step }: Moment) {
        match step {
            Step::Token { issued_at } => self.commit_token(index, issued_at, at),
            Step::Write if self.settings.reads_own_writes => self.users[index as usize].acting.write(at),
            Step::Write => self.users[index as usize].acting.write_unaware(at),
            Step::Commit(cause) => self.commit(index, cause, at),
            Step::PageView(device) => self.page_view(index, device, at),
        }
    }

    fn commit_token(&mut self, index: u32, issued_at: i64, at: i64) {
        let event = Event { time: time(issued_at), ..self.simulation.events.token.clone() };
        let user = &mut self.users[index as usize];
        user.token = user.token.max(event.time);
        let (metadata, decision) =
            record_change(&user.metadata, &[&event], Some(user.token), &self.rules, time(at));
        user.metadata = metadata;
        let summary = CommitSummary {
            metadata: user.metadata.clone(),
            committed_no_later_than: Some(time(at)),
            decision,
            has_duplicates: false,
        };
        let notice = after_commit(&[&event], &summary, &self.rules, time(at));
        self.publish(index, Cause::User, notice, at);
    }

    fn commit(&mut self, index: u32, cause: Cause, at: i64) {
        let events = &self.simulation.events;
        let is_aware = cause == Cause::User && self.settings.reads_own_writes;
        let event = if is_aware { &events.of_user } else { &events.of_service };
        let user = &mut self.users[index as usize];
        let (metadata, decision) =
            record_change(&user.metadata, &[event], Some(user.token), &self.rules, time(at));
        user.metadata = metadata;
        user.commits.push(at);
        if cause == Cause::User {
            let end = |page: &Page| self.invalidations.end(page, &user.evictions);
            if let Some(wait) = user.acting.commit(at, end) {
                self.own_change.push(wait);
            }
        }
        if self.settings.invalidation == Invalidation::EachChange {
            user.evictions.add(at);
            self.outcome.count_notice(cause);
            self.outcome.user_items += 1;
            self.outcome.planned_calls += self.outcome.ratio;
            self.outcome.calls += self.outcome.ratio;
            return;
        }
        let summary = CommitSummary {
            metadata: user.metadata.clone(),
            committed_no_later_than: Some(time(at)),
            decision,
            has_duplicates: false,
        };
        let notice = after_commit(&[event], &summary, &self.rules, time(at));
        self.publish(index, cause, notice, at);
    }

    fn publish(&mut self, user: u32, cause: Cause, notice: Notice, at: i64) {
        let Notice::Needed { views, changed_at, pages_expire_at, .. } = notice else { return };
        self.outcome.count_notice(cause);
        self.invalidations.send(user, views, changed_at, pages_expire_at, at);
    }

    fn page_view(&mut self, index: u32, device: Device, at: i64) {
        self.outcome.page_views += 1;
        let staleness = self.request(index, device, at);
        if staleness.is_some() {
            self.outcome.hits += 1;
        }
        let seen = if device == Device::Acting { &mut self.acting } else { &mut self.other };
        seen.push(staleness.unwrap_or(0));
    }

    fn poll(&mut self, at: i64, index: u32) {
        let acting = &mut self.users[index as usize].acting;
        acting.is_polling = false;
        if acting.is_waiting() {
            self.outcome.polls += 1;
            self.request(index, Device::Acting, at);
        }
    }

    /// A request for the page. Returns how long a change had been hidden, if the cache answers.
    fn request(&mut self, index: u32, device: Device, at: i64) -> Option<i64> {
        let user = &mut self.users[index as usize];
        let browser = if device == Device::Acting { &mut user.acting } else { &mut user.other };
        let mut is_pending = false;
        if browser.is_waiting() {
            match browser.confirm(at, self.settings.lifetime.max_seconds) {
                Some(wait) => self.own_change.push(wait),
                None => is_pending = true,
            }
            if browser.is_waiting() && !browser.is_polling {
                browser.is_polling = true;
                self.polls.push(Reverse((at + POLL_SECONDS * 1_000, index)));
            }
        }
        // A pending page is not stored.
        if is_pending {
            return None;
        }
        let key = browser.key(at);
        if let Some(page) = &browser.page {
            let end = self.invalidations.end(page, &user.evictions);
            if page.key == key && at < end {
                let hidden_since = user.commits.get(page.commits);
                return Some(hidden_since.map_or(0, |commit| at - commit));
            }
            self.own_change.extend(page.hides.iter().map(|written_at| end - written_at));
        }
        let lifetime = self.settings.lifetime.seconds(user.metadata.last_changed_at, time(at));
        browser.page = (lifetime > 0).then(|| Page {
            key,
            commits: user.commits.len(),
            rendered_at: at,
            expires_at: at + i64::from(lifetime) * 1_000,
            hides: Vec::new(),
        });
        None
    }

    fn finish(mut self) -> Outcome {
        self.advance(i64::MAX);
        for user in &self.users {
            if let Some(page) = &user.acting.page {
                let end = self.invalidations.end(page, &user.evictions);
                self.own_change.extend(page.hides.iter().map(|written_at| end - written_at));
            }
        }
        Outcome {
            acting: Spread::of(self.acting),
            other: Spread::of(self.other),
            own_change: Spread::of(self.own_change),
            ..self.outcome
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::assumptions::DEFAULT_LIFETIME;
    use super::super::policy::Policy;
    use super::*;

    const USERS: u32 = 1_000;

    fn model() -> Model {
        Model { users: USERS, ..Model::default() }
    }

    fn run(policy: Policy) -> Outcome {
        Simulation::new(&model()).run(&policy.settings(), USERS)
    }

    #[test]
    fn without_a_cache_each_page_view_is_a_request_and_hides_nothing() {
        let outcome = run(Policy::NoCache);
        assert!(outcome.page_views > 1_000 && outcome.hits == 0, "{outcome:?}");
        assert_eq!((outcome.acting, outcome.other), (Spread::default(), Spread::default()));
        assert_eq!((outcome.items(), outcome.origin_requests()), (0.0, outcome.page_views as f64));
        assert!(outcome.own_change.max < 1.2, "the commit");
    }

    #[test]
    fn reader_of_its_own_writes_sees_them_within_three_seconds_at_every_lifetime() {
        for policy in Policy::ALL.into_iter().filter(|policy| policy.settings().reads_own_writes) {
            let outcome = run(policy);
            assert!(outcome.own_change.max < 3.0, "{policy:?}: {outcome:?}");
            assert!(outcome.polls > 0, "{policy:?}: {outcome:?}");
        }
        let outcome = run(Policy::Before);
        assert!(outcome.own_change.p99 > 15.0 && outcome.polls == 0, "{outcome:?}");
    }

    #[test]
    fn no_page_view_is_staler_than_the_longest_lifetime() {
        for policy in Policy::ALL {
            let outcome = run(policy);
            let longest = f64::from(policy.settings().lifetime.max_seconds);
            assert!(outcome.acting.max <= longest && outcome.other.max <= longest, "{policy:?}: {outcome:?}");
        }
        let (short, long) = (run(Policy::Default), run(Policy::ReadYourWrites120));
        assert!(long.other.max > short.other.max && long.hits > short.hits, "{short:?} {long:?}");
    }

    #[test]
    fn acting_device_sees_the_changes_of_services_within_the_shortest_lifetime() {
        let soon = Model { late_percent: 0, job_percent: 0, second_device_percent: 0, ..model() };
        let outcome = Simulation::new(&soon).run(&Policy::Default.settings(), USERS);
        // Each look is at a change that was made at most an action ago.
        assert!(outcome.acting.max <= f64::from(DEFAULT_LIFETIME.min_seconds), "{outcome:?}");
    }

    #[test]
    fn rules_need_fewer_items_than_an_invalidation_of_each_change() {
        let items = |policy| run(policy).user_items;
        let (each, before) = (items(Policy::EachChange), items(Policy::Before));
        let (adaptive, aware) = (items(Policy::Adaptive1800), items(Policy::ReadYourWrites1800));
        assert!(
            each > before && before >= adaptive && adaptive > aware && aware > 0,
            "{each} {before} {adaptive} {aware}"
        );
        for policy in [Policy::NoCache, Policy::Fixed30, Policy::Default, Policy::ReadYourWritesFixed120] {
            let outcome = run(policy);
            assert_eq!((outcome.items(), outcome.people_notices, outcome.calls), (0.0, 0, 0.0), "{policy:?}");
        }
    }

    /// The figures of docs/costs.md, "Comparison with an earlier model".
    #[test]
    fn day_agrees_with_an_earlier_model_that_had_no_rules() {
        let simulation = Simulation::new(&Model { users: 10_000, ..Model::default() });
        for (policy, items_per_month, hit_ratio) in [
            (Policy::NoCache, 0.0, Some(0.0)),
            (Policy::Fixed30, 0.0, Some(0.27)),
            (Policy::ReadYourWritesFixed120, 0.0, Some(0.43)),
            (Policy::Before, 156_930.0, Some(0.74)),
            // That model had no polls, so it had fewer hits.
            (Policy::ReadYourWrites1800, 36_450.0, None),
        ] {
            let outcome = simulation.run(&policy.settings(), 10_000);
            let items = outcome.items() * 30.0;
            assert!((items - items_per_month).abs() <= 0.03 * items_per_month, "{policy:?}: {items}");
            let hits = outcome.hit_ratio();
            assert!(hit_ratio.is_none_or(|expected| (hits - expected).abs() < 0.01), "{policy:?}: {hits}");
        }
    }

    #[test]
    fn budget_bounds_the_items_of_every_size() {
        let simulation = Simulation::new(&Model::default());
        let settings = Policy::OwnOrigin.settings();
        for users in [10_000, 100_000, 1_000_000, 10_000_000] {
            let outcome = simulation.run(&settings, users);
            assert!(outcome.items() * 30.0 <= 10_000.0 + 1e-6, "{users}: {outcome:?}");
            assert!(outcome.planned_calls >= outcome.calls, "{users}: {outcome:?}");
        }
        assert!(simulation.run(&settings, 10_000).items() * 30.0 > 9_900.0);
    }

    #[test]
    fn large_pool_purges_all_and_a_small_one_does_not() {
        let simulation = Simulation::new(&model());
        let settings = Policy::Before.settings();
        let (small, large) = (simulation.run(&settings, USERS), simulation.run(&settings, 100_000_000));
        assert_eq!(small.purges, 0);
        assert!(large.purges > 100 && large.purges <= 288 + 1, "{large:?}");
        assert!(large.items() < small.items() * 100_000.0, "{large:?}");
        assert!(large.is_accepted_by_cloudfront());
    }

    #[test]
    fn sizes_without_limits_have_the_outcome_of_their_ratio() {
        let simulation = Simulation::new(&model());
        for policy in [Policy::Fixed30, Policy::EachChange] {
            let sizes = [USERS, 50 * USERS];
            let together = simulation.run_sizes(&policy.settings(), &sizes);
            let one_by_one = sizes.map(|users| simulation.run(&policy.settings(), users));
            assert_eq!(together, one_by_one, "{policy:?}");
        }
    }
}
