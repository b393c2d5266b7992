//! cache-invalidation in a pool: its queue, batches, marks and budget, and what CloudFront removes.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use shared::events::View;
use shared::store::{CacheMark, PurgeAllMark};
use shared::time::plus_seconds;
use workers::cache_invalidation::items::Target;
use workers::cache_invalidation::planner::{
    CLOCK_SKEW_SECONDS, CacheMarks, Change, Deferred, Limits, MAX_ITEMS, Waiting, plan,
};

use super::assumptions::{
    CLOUDFRONT_SECONDS, DELIVERY_DELAY_SECONDS, INTERVAL_SECONDS, INVALIDATION_BATCH,
    INVALIDATION_WINDOW_SECONDS, PURGE_ALL_THRESHOLD, PURGE_ALL_THRESHOLD_HALVING_SECONDS,
};
use super::browser::Page;
use super::day::{DAYS_PER_MONTH, milliseconds, time};
use super::outcome::Outcome;
use super::policy::{Invalidation, Settings};

/// The calls that removed pages, in the order of time.
#[derive(Default)]
pub(super) struct Evictions(Vec<i64>);

impl Evictions {
    pub fn add(&mut self, called_at: i64) {
        self.0.push(called_at);
    }

    /// The time at which a page of `rendered_at` is removed.
    fn end(&self, rendered_at: i64) -> Option<i64> {
        let first = self.0.partition_point(|called_at| *called_at < rendered_at);
        self.0.get(first).map(|called_at| called_at + CLOUDFRONT_SECONDS * 1_000)
    }
}

struct Message {
    user: u32,
    /// When SQS delivers the message again.
    visible_at: i64,
    change: Change,
}

pub(super) struct Invalidations {
    limits: Limits,
    ratio: f64,
    /// Items of the pool that the day may still have.
    budget: Option<f64>,
    /// Messages of a batch.
    batch: usize,
    queue: VecDeque<Message>,
    /// Messages that wait for the interval, or for the next purge of all pages.
    waiting: Vec<Message>,
    marks: CacheMarks,
    purges: Evictions,
}

impl Invalidations {
    pub fn new(settings: &Settings, ratio: f64) -> Self {
        let share = |value: f64| (value / ratio) as u32;
        let limits = Limits {
            target: Target::Tag,
            purge_all_threshold: share(f64::from(PURGE_ALL_THRESHOLD)),
            purge_all_threshold_halving_seconds: PURGE_ALL_THRESHOLD_HALVING_SECONDS,
            invalidation_interval_seconds: INTERVAL_SECONDS,
            max_cache_lifetime_seconds: settings.lifetime.max_seconds,
        };
        let budget = match settings.invalidation {
            Invalidation::Rules { budget, .. } => budget,
            Invalidation::EachChange => None,
        };
        Self {
            limits,
            ratio,
            budget: budget.map(|items| f64::from(items) / DAYS_PER_MONTH as f64),
            batch: share(INVALIDATION_BATCH).max(1) as usize,
            queue: VecDeque::new(),
            waiting: Vec::new(),
            marks: CacheMarks::default(),
            purges: Evictions::default(),
        }
    }

    /// The time at which a page is gone.
    pub fn end(&self, page: &Page, of_user: &Evictions) -> i64 {
        let removed = [of_user.end(page.rendered_at), self.purges.end(page.rendered_at)];
        removed.into_iter().flatten().fold(page.expires_at, i64::min)
    }

    /// Puts a notice into the queue.
    pub fn send(
        &mut self,
        user: u32,
        views: BTreeSet<View>,
        changed_at: Timestamp,
        pages_expire_at: Option<Timestamp>,
        at: i64,
    ) {
        let change = Change {
            message: 0,
            sub: user.to_string(),
            views,
            changed_at,
            sent_at: time(at),
            pages_expire_at,
            is_always: false,
            claims_security: false,
            security_change_at: None,
        };
        self.queue.push_back(Message { user, visible_at: at + DELIVERY_DELAY_SECONDS * 1_000, change });
    }

    /// The end of the next batching window with messages. Windows follow each other without a pause, as in
    /// a large pool.
    pub fn next_batch_at(&self) -> Option<i64> {
        let waiting = self.waiting.iter().map(|message| message.visible_at);
        let first = self.queue.front().map(|message| message.visible_at);
        let window = (INVALIDATION_WINDOW_SECONDS * 1_000.0) as i64;
        waiting.chain(first).min().map(|at| (at.div_euclid(window) + 1) * window)
    }

    /// Processes the messages of the next window. Returns the users whose pages are invalidated, each with
    /// the time of the call.
    pub fn batch(&mut self, outcome: &mut Outcome) -> Vec<(u32, i64)> {
        let Some(now) = self.next_batch_at() else { return Vec::new() };
        let mut messages: Vec<Message> =
            self.waiting.extract_if(.., |message| message.visible_at < now).collect();
        while let Some(message) = self.queue.pop_front_if(|message| message.visible_at < now) {
            messages.push(message);
        }
        let mut invalidated = Vec::new();
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let batch: Vec<Message> = messages.by_ref().take(self.batch).collect();
            self.invocation(batch, now, outcome, &mut invalidated);
        }
        invalidated
    }

    fn invocation(
        &mut self,
        batch: Vec<Message>,
        now: i64,
        outcome: &mut Outcome,
        invalidated: &mut Vec<(u32, i64)>,
    ) {
        let mut batch = batch;
        for (index, message) in batch.iter_mut().enumerate() {
            message.change.message = index;
        }
        let changes: Vec<Change> = batch.iter().map(|message| message.change.clone()).collect();
        let plan = plan(&changes, &self.marks, &self.limits, time(now));
        for call in plan.calls {
            let items = if call.is_purge_all { 1.0 } else { call.items.len() as f64 * self.ratio };
            let calls = (items / MAX_ITEMS as f64).ceil();
            outcome.planned_calls += calls;
            if let Some(budget) = &mut self.budget {
                if items > *budget {
                    continue;
                }
                *budget -= items;
            }
            outcome.calls += calls;
            let last_invalidated_at = plus_seconds(time(now), -CLOCK_SKEW_SECONDS);
            if call.is_purge_all {
                outcome.purges += 1;
                self.marks.purge_all = Some(PurgeAllMark { last_invalidated_at });
                self.purges.add(now);
                continue;
            }
            outcome.user_items += call.items.len() as u64;
            let mark = CacheMark { last_invalidated_at: Some(last_invalidated_at), ..CacheMark::default() };
            let subs = call.users.into_iter().map(|user| (user.sub, mark.clone()));
            self.marks.users.extend(subs);
            invalidated.extend(call.messages.iter().map(|index| (batch[*index].user, now)));
        }
        let mut visible_at: Vec<Option<i64>> = vec![None; batch.len()];
        if let Some(Deferred { messages, until }) = plan.deferred {
            messages.into_iter().for_each(|index| visible_at[index] = Some(milliseconds(until)));
        }
        for Waiting { message, until } in plan.waiting {
            visible_at[message] = Some(milliseconds(until));
        }
        let waiting = batch.into_iter().zip(visible_at).filter_map(|(message, visible_at)| {
            visible_at.map(|visible_at| Message { visible_at, ..message })
        });
        self.waiting.extend(waiting);
    }
}
