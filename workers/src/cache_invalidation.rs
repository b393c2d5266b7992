//! cache-invalidation: evicts the cached pages of users whose data changed, and nobody else's, at the lowest
//! cost known: CloudFront charges for every item, and takes about one call in two seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use shared::aws::WORKER_CALL_SECONDS;
use shared::config::{ConfigError, Environment};
use shared::events::{Data, DataChanged, Event, InvalidEvent, Subject};
use shared::function_context::FunctionContext;
use shared::queues::Queue;
use shared::store::{CacheMark, CollapseClaim, Reservation, Store};
use shared::telemetry::{Metrics, Unit, chain};
use shared::time::{Clock, minus_seconds, plus_seconds, seconds_between};

use crate::batch::{Batch, BatchError, Rejection};
use shared::deadline::Deadline;

pub mod distribution;
pub mod items;
pub mod planner;

use distribution::{CLOUDFRONT_SECONDS, Distribution, InvalidationError};
use items::Target;
use planner::{COLLAPSE_INTERVAL_SECONDS, Call, Change, Known, Limits, Plan, Waiting};

/// How long messages wait that CloudFront had no room for; it doubles with each receive.
const FIRST_DELAY: Duration = Duration::from_secs(30);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// A call takes at most so long (reservation, claim, another reservation where the budget is spent, CloudFront, giving both
/// back), with delays after it.
const CALL_SECONDS: i64 = 5 * WORKER_CALL_SECONDS + CLOUDFRONT_SECONDS + 3;
/// Reading marks is given up after this time.
const READING_PATIENCE: Duration = Duration::from_secs(15);
/// Writing marks is given up when the deadline is this close.
const MARKS_MARGIN_SECONDS: i64 = 2;
/// What is noted as evicted ends this long before the call, for clocks that differ.
const CLOCK_SKEW_SECONDS: i64 = 1;
/// CloudFront: each item costs this much, after the first 1,000 of a month.
pub const DOLLARS_PER_ITEM: f64 = 0.005;
/// Marks are kept this long after they have lost their meaning.
const MARK_GRACE_SECONDS: i64 = 24 * 3600;

/// What to do when the month's budget is spent: ON_BUDGET_EXHAUSTED.
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
    /// ON_BUDGET_EXHAUSTED.
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
                collapse_above: environment.number("PURGE_ALL_THRESHOLD", 3000, 1..=1_000_000)?,
                max_staleness_seconds: environment.number("PURGE_ALL_THRESHOLD_HALVING_SECONDS", 300, 1..=86_400)?,
                max_cache_lifetime_seconds: environment.number(
                    "MAX_CACHE_LIFETIME_SECONDS",
                    1800,
                    0..=31_536_000,
                )?,
            },
            monthly_item_budget: (budget > 0).then_some(u64::from(budget)),
            budget_exhausted: environment.choice("ON_BUDGET_EXHAUSTED", BudgetExhausted::Expire, &exhausted)?,
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
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
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
    let deadline = Deadline::new(deadline, deps.clock.clone());
    let (changes, rejections) = sort(&batch, deps.config.limits.target, deps.clock.now());
    batch.park(rejections, &deps.dead_letters, &deps.metrics, &deadline).await;
    if changes.is_empty() {
        return batch.finish(&deps.cache_invalidations, &deadline).await;
    }

    let subs: BTreeSet<&str> = changes.iter().map(|change| change.sub.as_str()).collect();
    let reading = deps.store.cache_marks(&deps.config.distribution_id, subs.into_iter());
    // Without marks, more is invalidated than needed, and nothing too little.
    let known = match tokio::time::timeout(READING_PATIENCE, reading).await {
        Ok(Ok((users, collapse))) => Known { users, collapse },
        Ok(Err(error)) => {
            tracing::error!(error_type = "store", cause = chain(&error), "the marks could not be read");
            Known::default()
        }
        Err(_) => {
            tracing::error!(error_type = "deadline", "the marks took too long to read");
            Known::default()
        }
    };
    let now = deps.clock.now();
    let plan = planner::plan(&changes, &known, &deps.config.limits, now);
    count(deps, &plan);

    if let Some(Waiting { messages, until }) = plan.waiting {
        // Not all at the same moment: the first collapse spares the others their call.
        let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        batch.fail_for(messages, left + FIRST_DELAY.mul_f64(0.1 + fastrand::f64()));
    }
    let mut calls = plan.calls.into_iter();
    for call in calls.by_ref() {
        let in_time = deadline.leaves(CALL_SECONDS);
        let outcome =
            if in_time { invalidate(deps, &batch, &call, &deadline).await } else { Outcome::NotNow };
        match outcome {
            Outcome::Done => {}
            Outcome::Collapsed => return batch.finish(&deps.cache_invalidations, &deadline).await,
            Outcome::NotNow => {
                batch.fail_with_backoff(call.messages, FIRST_DELAY, LONGEST_DELAY);
                break;
            }
        }
    }
    for call in calls {
        batch.fail_with_backoff(call.messages, FIRST_DELAY, LONGEST_DELAY);
    }
    batch.finish(&deps.cache_invalidations, &deadline).await
}

/// Sorts the messages of a batch into changes, and what can never succeed.
fn sort(batch: &Batch, target: Target, now: Timestamp) -> (Vec<Change>, Vec<(usize, Rejection)>) {
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
                let sent_at = batch.sent_at(index).unwrap_or(now);
                changes.push(Change { message: index, sub, views, changed_at, sent_at });
            }
            Ok(event) => rejections.push((index, Rejection::wrong_queue(&event))),
        }
    }
    (changes, rejections)
}

fn count(deps: &Deps, plan: &Plan) {
    let calls = plan.calls.iter().filter(|call| !call.collapse);
    let coalesced: usize = calls.map(|call| call.messages.len() - call.subs.len()).sum();
    let waiting = plan.waiting.as_ref().map_or(0, |waiting| waiting.messages.len());
    deps.metrics
        .count(&[("InvalidationsCoalesced", coalesced as u64), ("InvalidationsDeferred", waiting as u64)]);
    for (_, reason) in &plan.skipped {
        deps.metrics.count_by(Some(("reason", reason.name())), &[("InvalidationsSkipped", 1)]);
    }
}

/// What was taken before a call, to be given back where the call was surely not made.
struct Taken {
    /// When, for the month of the ledger.
    at: Timestamp,
    items: usize,
    claim: Option<CollapseClaim>,
}

/// Books the items, makes the call and notes what was evicted.
async fn invalidate(deps: &Deps, batch: &Batch, call: &Call, deadline: &Deadline) -> Outcome {
    let (config, now) = (&deps.config, deps.clock.now());
    let claim = match call.collapse {
        true => match claim_collapse(deps, now).await {
            Some(claim) => Some(claim),
            None => return Outcome::NotNow,
        },
        false => None,
    };
    let taken = Taken { at: now, items: call.items.len(), claim };
    match reserve(deps, &taken, config.monthly_item_budget).await {
        Some(Reservation::Granted) => create(deps, batch, call, taken, deadline).await,
        Some(Reservation::Exhausted) => without_budget(deps, batch, call, taken.claim, deadline).await,
        None => {
            give_back_claim(deps, taken.claim).await;
            Outcome::NotNow
        }
    }
}

/// Books items in the month's ledger. `None` where that failed.
async fn reserve(deps: &Deps, taken: &Taken, budget: Option<u64>) -> Option<Reservation> {
    let distribution = &deps.config.distribution_id;
    match deps.store.reserve_invalidation(distribution, taken.at, taken.items, budget).await {
        Ok(reservation) => Some(reservation),
        Err(error) => {
            tracing::error!(error_type = "store", cause = chain(&error), "the ledger could not be written");
            None
        }
    }
}

/// Takes the right to the one collapse in five minutes. The planner only guesses: another worker may be first.
async fn claim_collapse(deps: &Deps, now: Timestamp) -> Option<CollapseClaim> {
    let since = minus_seconds(now, COLLAPSE_INTERVAL_SECONDS);
    match deps.store.claim_collapse(&deps.config.distribution_id, now, since).await {
        Ok(claim) => claim,
        Err(error) => {
            tracing::error!(error_type = "store", cause = chain(&error), "the collapse could not be claimed");
            None
        }
    }
}

/// Else nobody could make the collapse for five minutes.
async fn give_back_claim(deps: &Deps, claim: Option<CollapseClaim>) {
    let Some(claim) = claim else { return };
    if let Err(error) = deps.store.release_collapse(&deps.config.distribution_id, claim).await {
        tracing::warn!(
            error_type = "store",
            cause = chain(&error),
            "the next collapse comes five minutes late"
        );
    }
}

/// What happens to a call when the month's budget is spent.
async fn without_budget(
    deps: &Deps,
    batch: &Batch,
    call: &Call,
    claim: Option<CollapseClaim>,
    deadline: &Deadline,
) -> Outcome {
    let now = deps.clock.now();
    let reason = match deps.config.budget_exhausted {
        BudgetExhausted::Expire => "expire",
        BudgetExhausted::Collapse => "collapse",
    };
    deps.metrics.count_by(Some(("reason", reason)), &[("BudgetExhausted", 1)]);
    tracing::error!(error_type = "budget_exhausted", reason, "the month's invalidation items are spent");
    if deps.config.budget_exhausted == BudgetExhausted::Expire {
        give_back_claim(deps, claim).await;
        return Outcome::Done;
    }
    let claim = match claim {
        Some(claim) => claim,
        None => match claim_collapse(deps, now).await {
            Some(claim) => claim,
            None => return Outcome::NotNow,
        },
    };
    let everybody =
        Call { items: vec![deps.config.limits.target.everybody()], collapse: true, ..call.clone() };
    let taken = Taken { at: now, items: 1, claim: Some(claim) };
    match reserve(deps, &taken, None).await {
        Some(_) => create(deps, batch, &everybody, taken, deadline).await,
        None => {
            give_back_claim(deps, taken.claim).await;
            Outcome::NotNow
        }
    }
}

/// Makes a call that is booked.
async fn create(deps: &Deps, batch: &Batch, call: &Call, taken: Taken, deadline: &Deadline) -> Outcome {
    let Deps { config, store, .. } = deps;
    let now = deps.clock.now();
    let message_ids = call.messages.iter().map(|message| batch.message_id(*message));
    let reference = distribution::caller_reference(message_ids, &call.items);
    let created_at = match deps.distribution.invalidate(&call.items, &reference).await {
        Ok(created_at) => created_at,
        Err(error) => {
            let error_type = error.error_type();
            tracing::error!(error_type, cause = chain(&error), "nothing was invalidated");
            deps.metrics.count_by(Some(("reason", error_type)), &[("InvalidationsFailed", 1)]);
            // What CloudFront surely did not do costs nothing. A time-out says nothing of the kind.
            if !matches!(error, InvalidationError::Unanswered(_)) {
                give_back(deps, taken).await;
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
    let noting = async {
        match (call.collapse, config.limits.target) {
            (true, _) => store.mark_collapsed(&config.distribution_id, &mark, expires_at).await,
            (false, Target::Tag) => {
                store.mark_invalidated(call.subs.iter().map(String::as_str), &mark, expires_at).await
            }
            // One view of a user says nothing of the others.
            (false, Target::Path) => Ok(()),
        }
    };
    if call.collapse {
        deps.metrics.count(&[("InvalidationsReplacedByPurgeAll", call.subs.len() as u64)]);
    }
    // Without the mark, it costs at most another invalidation.
    match tokio::time::timeout(deadline.until(MARKS_MARGIN_SECONDS), noting).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error_type = "store", cause = chain(&error), "the mark was not written");
        }
        Err(_) => tracing::warn!(error_type = "deadline", "no time left to write the marks"),
    }
    // What was evicted for an earlier delivery says nothing of this one's other messages.
    let is_fresh = evicted_at >= minus_seconds(now, CLOCK_SKEW_SECONDS);
    if call.collapse && is_fresh { Outcome::Collapsed } else { Outcome::Done }
}

async fn give_back(deps: &Deps, taken: Taken) {
    let released = deps.store.release_invalidation(&deps.config.distribution_id, taken.at, taken.items);
    if let Err(error) = released.await {
        tracing::warn!(error_type = "store", cause = chain(&error), "the ledger counts too much");
    }
    give_back_claim(deps, taken.claim).await;
}
