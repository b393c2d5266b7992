//! cache-invalidation: evicts the cached pages of users whose data changed, and nobody else's, at the lowest
//! cost known: CloudFront charges for every item, and takes about one call in two seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use shared::config::{ConfigError, Environment};
use shared::events::{Data, DataChanged, Event, InvalidEvent, Subject};
use shared::function::Function;
use shared::queues::Queue;
use shared::store::{CacheMark, Reservation, Store};
use shared::telemetry::{Metrics, Unit, chain};
use shared::time::{Clock, minus_seconds, plus_seconds, seconds_between};

use crate::batch::{Batch, BatchError, Rejection};

pub mod distribution;
pub mod items;
pub mod planner;

use distribution::{Distribution, InvalidationError};
use items::Target;
use planner::{COLLAPSE_INTERVAL_SECONDS, Call, Change, Known, Limits, Plan};

/// How long messages wait that CloudFront had no room for; it doubles with each receive.
const FIRST_DELAY: Duration = Duration::from_secs(30);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// No call is begun when the deadline is this close.
const DEADLINE_MARGIN_SECONDS: i64 = 20;
/// What is noted as evicted ends this long before the call, for clocks that differ.
const CLOCK_SKEW_SECONDS: i64 = 1;
/// CloudFront: each item costs this much, after the first 1,000 of a month.
pub const DOLLARS_PER_ITEM: f64 = 0.005;
/// Marks are kept this long after they have lost their meaning.
const MARK_GRACE_SECONDS: i64 = 24 * 3600;

/// What to do when the month's budget is spent: BUDGET_EXHAUSTED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetExhausted {
    /// Evict everybody's entries with one item, at most once in five minutes.
    Collapse,
    /// Let the entries expire.
    Expire,
}

/// How cache-invalidation works.
#[derive(Clone, Debug)]
pub struct Config {
    /// DISTRIBUTION_ID.
    pub distribution_id: String,
    /// What the planner keeps to.
    pub limits: Limits,
    /// MONTHLY_ITEM_BUDGET; `None` without one.
    pub monthly_item_budget: Option<u64>,
    /// BUDGET_EXHAUSTED.
    pub budget_exhausted: BudgetExhausted,
}

impl Config {
    /// Reads the configuration.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let budget = environment.number("MONTHLY_ITEM_BUDGET", 0, 0..=u32::MAX)?;
        let exhausted = [("collapse", BudgetExhausted::Collapse), ("expire", BudgetExhausted::Expire)];
        Ok(Self {
            distribution_id: environment.required("DISTRIBUTION_ID")?,
            limits: Limits {
                target: Target::from_environment(environment)?,
                collapse_above: environment.number("COLLAPSE_ABOVE", 3000, 1..=1_000_000)?,
                max_staleness_seconds: environment.number("MAX_STALENESS_SECONDS", 300, 1..=86_400)?,
                max_cache_lifetime_seconds: environment.number(
                    "MAX_CACHE_LIFETIME_SECONDS",
                    1800,
                    0..=31_536_000,
                )?,
            },
            monthly_item_budget: (budget > 0).then_some(u64::from(budget)),
            budget_exhausted: environment.choice("BUDGET_EXHAUSTED", BudgetExhausted::Expire, &exhausted)?,
        })
    }
}

/// What the worker works with.
pub struct Deps {
    config: Config,
    store: Store,
    distribution: Distribution,
    cache_invalidations: Queue,
    dead_letters: Queue,
    clock: Clock,
    metrics: Metrics,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &Function) -> Result<Self, ConfigError> {
        let config = Config::from_environment(&function.environment)?;
        Ok(Self {
            distribution: Distribution::new(
                aws_sdk_cloudfront::Client::new(&function.aws),
                config.distribution_id.clone(),
            ),
            store: function.store()?,
            cache_invalidations: function.queue("CACHE_INVALIDATIONS_QUEUE_URL")?,
            dead_letters: function.queue("DEAD_LETTER_QUEUE_URL")?,
            clock: function.clock.clone(),
            metrics: function.metrics.clone(),
            config,
        })
    }
}

/// What becomes of a call, and of the messages behind it.
enum Outcome {
    /// Evicted, or not worth it: the messages are done.
    Done,
    /// Everybody's entries were evicted: all messages of the batch are done.
    Collapsed,
    /// CloudFront has no room, or refuses: the messages come again later, and further calls make no sense.
    NotNow,
}

/// Invalidates for a batch before the time `deadline`, and reports what must come again.
pub async fn handle(
    deps: &Deps,
    event: SqsEvent,
    deadline: Timestamp,
) -> Result<SqsBatchResponse, BatchError> {
    let mut batch = Batch::new(event);
    let (changes, rejections) = sort(&batch, deps.config.limits.target);
    batch.park(rejections, &deps.dead_letters, &deps.metrics).await;
    if changes.is_empty() {
        return batch.finish(&deps.cache_invalidations).await;
    }

    let subs: BTreeSet<&str> = changes.iter().map(|change| change.sub.as_str()).collect();
    let known = match deps.store.cache_marks(&deps.config.distribution_id, subs.into_iter()).await {
        Ok((users, collapse)) => Known { users, collapse },
        Err(error) => {
            // Without marks, more is invalidated than needed, and nothing too little.
            tracing::error!(error_type = "store", cause = chain(&error), "the marks could not be read");
            Known::default()
        }
    };
    let oldest = changes.iter().filter_map(|change| batch.sent_at(change.message)).min();
    let now = deps.clock.now();
    let mut plan = planner::plan(&changes, &known, &deps.config.limits, now, oldest.unwrap_or(now));
    if plan.calls.iter().any(|call| call.collapse) && !may_collapse(deps, now).await {
        let limits = Limits { collapse_above: u32::MAX, ..deps.config.limits };
        plan = planner::plan(&changes, &known, &limits, now, now);
    }
    count(deps, &changes, &plan);

    let mut calls = plan.calls.into_iter();
    for call in calls.by_ref() {
        let in_time = deps.clock.now() <= minus_seconds(deadline, DEADLINE_MARGIN_SECONDS);
        let outcome = if in_time { invalidate(deps, &batch, &call).await } else { Outcome::NotNow };
        match outcome {
            Outcome::Done => {}
            Outcome::Collapsed => return batch.finish(&deps.cache_invalidations).await,
            Outcome::NotNow => {
                batch.fail_with_backoff(call.messages, FIRST_DELAY, LONGEST_DELAY);
                break;
            }
        }
    }
    for call in calls {
        batch.fail_with_backoff(call.messages, FIRST_DELAY, LONGEST_DELAY);
    }
    batch.finish(&deps.cache_invalidations).await
}

/// Sorts the messages of a batch into changes, and what can never succeed.
fn sort(batch: &Batch, target: Target) -> (Vec<Change>, Vec<(usize, Rejection)>) {
    let (mut changes, mut rejections) = (Vec::new(), Vec::new());
    for index in 0..batch.len() {
        match Event::parse(batch.body(index)) {
            Err(error) => rejections.push((index, Rejection::from(error))),
            Ok(Event { subject: Subject::User(sub), data: Data::DataChanged(changed), .. }) => {
                let DataChanged { views, changed_at } = changed;
                let reason = if views.is_empty() {
                    Some("data.views: is empty")
                } else if target.of_user(&sub, &views).iter().any(|item| item.len() > target.max_item_bytes())
                {
                    Some("subject: too long for a cache tag or path")
                } else {
                    None
                };
                if let Some(reason) = reason {
                    rejections.push((index, InvalidEvent::InvalidData(reason.to_owned()).into()));
                    continue;
                }
                changes.push(Change { message: index, sub, views, changed_at });
            }
            Ok(event) => rejections.push((index, Rejection::wrong_queue(&event))),
        }
    }
    (changes, rejections)
}

fn count(deps: &Deps, changes: &[Change], plan: &Plan) {
    let items: usize = plan.calls.iter().filter(|call| !call.collapse).map(|call| call.subs.len()).sum();
    let changes_left = changes.len() - plan.skipped.len();
    let coalesced = changes_left.saturating_sub(items) as u64;
    deps.metrics.count(&[("InvalidationsCoalesced", coalesced)]);
    for (_, reason) in &plan.skipped {
        deps.metrics.count_by(Some(("reason", reason.name())), &[("InvalidationsSkipped", 1)]);
    }
}

/// Books the items, makes the call and notes what was evicted.
async fn invalidate(deps: &Deps, batch: &Batch, call: &Call) -> Outcome {
    let Deps { config, store, .. } = deps;
    let now = deps.clock.now();
    let reserved = store
        .reserve_invalidation(&config.distribution_id, now, call.items.len(), config.monthly_item_budget)
        .await;
    match reserved {
        Ok(Reservation::Granted) => create(deps, batch, call, now).await,
        Ok(Reservation::Exhausted) => without_budget(deps, batch, call).await,
        Err(error) => {
            tracing::error!(error_type = "store", cause = chain(&error), "the ledger could not be written");
            Outcome::NotNow
        }
    }
}

/// Takes the right to the one collapse in five minutes. The planner only guesses: another worker may be first.
async fn may_collapse(deps: &Deps, now: Timestamp) -> bool {
    let since = minus_seconds(now, COLLAPSE_INTERVAL_SECONDS);
    match deps.store.claim_collapse(&deps.config.distribution_id, now, since).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::error!(error_type = "store", cause = chain(&error), "the collapse could not be claimed");
            false
        }
    }
}

/// What happens to a call when the month's budget is spent.
async fn without_budget(deps: &Deps, batch: &Batch, call: &Call) -> Outcome {
    let now = deps.clock.now();
    let reason = match deps.config.budget_exhausted {
        BudgetExhausted::Expire => "expire",
        BudgetExhausted::Collapse => "collapse",
    };
    deps.metrics.count_by(Some(("reason", reason)), &[("BudgetExhausted", 1)]);
    tracing::error!(error_type = "budget_exhausted", reason, "the month's invalidation items are spent");
    if deps.config.budget_exhausted == BudgetExhausted::Expire {
        return Outcome::Done;
    }
    if !call.collapse && !may_collapse(deps, now).await {
        return Outcome::NotNow;
    }
    let everybody =
        Call { items: vec![deps.config.limits.target.everybody()], collapse: true, ..call.clone() };
    match deps.store.reserve_invalidation(&deps.config.distribution_id, now, 1, None).await {
        Ok(_) => create(deps, batch, &everybody, now).await,
        Err(error) => {
            tracing::error!(error_type = "store", cause = chain(&error), "the ledger could not be written");
            Outcome::NotNow
        }
    }
}

async fn create(deps: &Deps, batch: &Batch, call: &Call, now: Timestamp) -> Outcome {
    let Deps { config, store, .. } = deps;
    let message_ids = call.messages.iter().map(|message| batch.message_id(*message));
    let reference = distribution::caller_reference(message_ids, &call.items);
    let created_at = match deps.distribution.invalidate(&call.items, &reference).await {
        Ok(created_at) => created_at,
        Err(error) => {
            tracing::error!(
                error_type = error.error_type(),
                cause = chain(&error),
                "nothing was invalidated"
            );
            deps.metrics.count_by(Some(("reason", error.error_type())), &[("InvalidationsFailed", 1)]);
            // What CloudFront surely did not do costs nothing. A time-out says nothing of the kind.
            if !matches!(error, InvalidationError::Unanswered(_))
                && let Err(error) =
                    store.release_invalidation(&config.distribution_id, now, call.items.len()).await
            {
                tracing::warn!(error_type = "store", cause = chain(&error), "the ledger counts too much");
            }
            return Outcome::NotNow;
        }
    };
    let items = call.items.len() as u64;
    deps.metrics.count(&[("InvalidationItems", items), ("InvalidationCalls", 1)]);
    deps.metrics.measure("InvalidationDollars", Unit::Dollars, items as f64 * DOLLARS_PER_ITEM);
    deps.metrics.measure("InvalidationAge", Unit::Seconds, seconds_between(call.oldest_change, now));
    // An invalidation that was made for an earlier delivery evicted nothing that was filled since.
    let evicted_at = created_at.map_or(now, |created_at| created_at.min(now));
    let mark = CacheMark { last_invalidated_at: minus_seconds(evicted_at, CLOCK_SKEW_SECONDS) };
    let lifetime = i64::from(config.limits.max_cache_lifetime_seconds);
    let expires_at = plus_seconds(now, lifetime + MARK_GRACE_SECONDS);
    let noted = match (call.collapse, config.limits.target) {
        (true, _) => {
            deps.metrics.count(&[("InvalidationsCollapsed", call.subs.len() as u64)]);
            store.mark_collapsed(&config.distribution_id, &mark, expires_at).await
        }
        (false, Target::Tag) => {
            store.mark_invalidated(call.subs.iter().map(String::as_str), &mark, expires_at).await
        }
        // One view of a user says nothing of the others.
        (false, Target::Path) => Ok(()),
    };
    if let Err(error) = noted {
        // It costs at most another invalidation.
        tracing::warn!(error_type = "store", cause = chain(&error), "the mark was not written");
    }
    // What was evicted for an earlier delivery says nothing of this one's other messages.
    let is_fresh = evicted_at >= minus_seconds(now, CLOCK_SKEW_SECONDS);
    if call.collapse && is_fresh { Outcome::Collapsed } else { Outcome::Done }
}
