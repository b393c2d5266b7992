//! cache-invalidation: invalidates the cached pages of users whose data changed, and no other
//! pages.
//!
//! CloudFront charges for every item and has capacity for about one call in two seconds. So the
//! worker coalesces the changes of a batch, skips changes that need no invalidation, and keeps to a
//! monthly budget.
//!
//! - [`planner`]: which calls to make for a batch
//! - [`items`]: the cache tags and paths of an invalidation
//! - [`ledger`]: the booked items of a month, and the right to purge all pages
//! - [`distribution`]: the call to CloudFront

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use shared::aws::WORKER_CALL_SECONDS;
use shared::config::{ConfigError, Environment};
use shared::events::{Data, DataChanged, Event, InvalidEvent, Subject};
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::store::{CacheMark, Store};
use shared::telemetry::{Unit, chain};
use shared::time::{minus_seconds, plus_seconds, seconds_between};

use crate::batch::{Batch, BatchContext, BatchError};
use crate::rejection::Rejection;

pub mod distribution;
pub mod items;
pub mod ledger;
pub mod planner;

use distribution::{CLOUDFRONT_SECONDS, Distribution, InvalidationError};
use items::Target;
use ledger::{Booking, Ledger, Reserved};
use planner::{CacheMarks, Change, Deferred, InvalidationCall, Limits, Plan};

/// Initial visibility timeout of messages whose call could not be made. Doubles with each receive.
const FIRST_DELAY: Duration = Duration::from_secs(30);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// Upper bound for one call: a claim, two reservations if the budget is spent, CloudFront, the
/// release of booking and claim, and the visibility changes that follow.
const CALL_SECONDS: i64 = 5 * WORKER_CALL_SECONDS + CLOUDFRONT_SECONDS + 3;
/// Timeout for reading the marks.
const READ_MARKS_TIMEOUT: Duration = Duration::from_secs(15);
/// Time before the deadline at which the worker stops writing marks.
const MARKS_MARGIN_SECONDS: i64 = 2;
/// A mark is this much earlier than its call, because the clocks of two workers can differ.
const CLOCK_SKEW_SECONDS: i64 = 1;
/// CloudFront's price of an item, after the first 1,000 items of a month.
pub const DOLLARS_PER_ITEM: f64 = 0.005;
/// How long a mark is stored after all pages from before it have expired.
const MARK_GRACE_SECONDS: i64 = 24 * 3600;

/// ON_BUDGET_EXHAUSTED: what happens when the budget of the month is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBudgetExhausted {
    /// Purge the pages of all users with one item, at most once in five minutes.
    PurgeAll,
    /// Let the pages expire.
    Expire,
}

impl OnBudgetExhausted {
    /// The value of the variable, and the dimension `reason` of BudgetExhausted.
    fn code(self) -> &'static str {
        match self {
            Self::PurgeAll => "purge_all",
            Self::Expire => "expire",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    /// DISTRIBUTION_ID.
    pub distribution_id: String,
    pub limits: Limits,
    /// MONTHLY_ITEM_BUDGET. `None` for 0, which means no budget.
    pub monthly_item_budget: Option<u64>,
    pub on_budget_exhausted: OnBudgetExhausted,
}

impl Config {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let budget = environment.number("MONTHLY_ITEM_BUDGET", 0, 0..=u32::MAX)?;
        let on_budget_exhausted =
            [OnBudgetExhausted::PurgeAll, OnBudgetExhausted::Expire].map(|value| (value.code(), value));
        Ok(Self {
            distribution_id: environment.required("DISTRIBUTION_ID")?,
            limits: Limits {
                target: Target::from_environment(environment)?,
                purge_all_threshold: environment.number("PURGE_ALL_THRESHOLD", 3000, 1..=1_000_000)?,
                purge_all_threshold_halving_seconds: environment.number(
                    "PURGE_ALL_THRESHOLD_HALVING_SECONDS",
                    300,
                    1..=86_400,
                )?,
                max_cache_lifetime_seconds: environment.number(
                    "MAX_CACHE_LIFETIME_SECONDS",
                    1800,
                    0..=31_536_000,
                )?,
            },
            monthly_item_budget: (budget > 0).then_some(u64::from(budget)),
            on_budget_exhausted: environment.choice(
                "ON_BUDGET_EXHAUSTED",
                OnBudgetExhausted::Expire,
                &on_budget_exhausted,
            )?,
        })
    }
}

pub struct Deps {
    config: Config,
    store: Store,
    ledger: Ledger,
    distribution: Distribution,
    context: BatchContext,
}

impl Deps {
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        let config = Config::from_environment(&function.environment)?;
        let store = function.store()?;
        let distribution_id = config.distribution_id.clone();
        let cloudfront = aws_sdk_cloudfront::Client::new(&function.aws);
        Ok(Self {
            distribution: Distribution::new(cloudfront, distribution_id.clone()),
            ledger: Ledger { store: store.clone(), distribution_id, metrics: function.metrics.clone() },
            store,
            context: BatchContext::new(function, "CACHE_INVALIDATIONS_QUEUE_URL")?,
            config,
        })
    }
}

/// The result of an [`InvalidationCall`].
enum CallOutcome {
    /// CloudFront made the invalidation, or the budget is spent and the pages expire. The messages
    /// of the call are done.
    Done,
    /// CloudFront purges the pages of all users. All messages of the batch are done.
    PurgedAll,
    /// The call could not be made. Its messages are retried later, and so are the remaining calls
    /// of the batch.
    RetryLater,
}

/// Handles a batch. `deadline` is the time at which Lambda ends the invocation.
pub async fn handle(
    deps: &Deps,
    event: SqsEvent,
    deadline: Timestamp,
) -> Result<SqsBatchResponse, BatchError> {
    let mut batch = Batch::new(&deps.context, event, deadline);
    let (target, now) = (deps.config.limits.target, deps.context.clock.now());
    let changes = batch.accept(|batch, index| accept(batch, index, target, now));
    batch.dead_letter().await;
    if !changes.is_empty() {
        // Boxed, because the nested futures exceed the compiler's recursion limit otherwise.
        Box::pin(process(deps, &mut batch, &changes)).await;
    }
    batch.finish().await
}

/// The change that a message reports. `now` replaces a missing time of sending.
fn accept(batch: &Batch<'_>, index: usize, target: Target, now: Timestamp) -> Result<Change, Rejection> {
    let event = Event::parse(batch.body(index))?;
    let Event { subject: Subject::User(sub), data: Data::DataChanged(changed), .. } = event else {
        return Err(Rejection::wrong_queue(&event));
    };
    let DataChanged { views, changed_at } = changed;
    if views.is_empty() {
        return Err(InvalidEvent::InvalidData("data.views: is empty".to_owned()).into());
    }
    let items = target.items_for_user(&sub, &views);
    if items.iter().any(|item| item.len() > target.max_item_bytes()) {
        let reason = "subject: too long for a cache tag or path".to_owned();
        return Err(InvalidEvent::InvalidData(reason).into());
    }
    Ok(Change { message: index, sub, views, changed_at, sent_at: batch.sent_at(index).unwrap_or(now) })
}

async fn process(deps: &Deps, batch: &mut Batch<'_>, changes: &[Change]) {
    let marks = read_marks(deps, changes).await;
    let now = deps.context.clock.now();
    let plan = planner::plan(changes, &marks, &deps.config.limits, now);
    report(deps, &plan);

    if let Some(Deferred { messages, until }) = plan.deferred {
        // The delay varies, so that the messages do not all return in the batches of one moment.
        // The first batch purges all pages, and the later ones are then skipped.
        let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        batch.fail_with_delay(messages, left + FIRST_DELAY.mul_f64(0.1 + fastrand::f64()));
    }
    let mut calls = plan.calls.into_iter();
    for call in calls.by_ref() {
        let outcome = if batch.deadline().leaves(CALL_SECONDS) {
            invalidate(deps, batch, &call).await
        } else {
            CallOutcome::RetryLater
        };
        match outcome {
            CallOutcome::Done => {}
            CallOutcome::PurgedAll => return,
            CallOutcome::RetryLater => {
                batch.fail_with_backoff(call.messages, FIRST_DELAY, LONGEST_DELAY);
                break;
            }
        }
    }
    for call in calls {
        batch.fail_with_backoff(call.messages, FIRST_DELAY, LONGEST_DELAY);
    }
}

/// When the users' pages were last invalidated. Without marks, the worker only invalidates more
/// than necessary.
async fn read_marks(deps: &Deps, changes: &[Change]) -> CacheMarks {
    let subs: BTreeSet<&str> = changes.iter().map(|change| change.sub.as_str()).collect();
    let read = deps.store.read_cache_marks(&deps.config.distribution_id, subs.into_iter());
    match tokio::time::timeout(READ_MARKS_TIMEOUT, read).await {
        Ok(Ok((users, purge_all))) => CacheMarks { users, purge_all },
        Ok(Err(error)) => {
            tracing::error!(error_type = "store", cause = chain(&error), "could not read the cache marks");
            error.count(&deps.context.metrics);
            CacheMarks::default()
        }
        Err(_) => {
            tracing::error!(error_type = "deadline", "reading the cache marks timed out");
            deps.context.metrics.count(&[(Metric::StoreFailures, 1)]);
            CacheMarks::default()
        }
    }
}

fn report(deps: &Deps, plan: &Plan) {
    let metrics = &deps.context.metrics;
    let calls = plan.calls.iter().filter(|call| !call.is_purge_all);
    let coalesced: usize = calls.map(|call| call.messages.len() - call.subs.len()).sum();
    let deferred = plan.deferred.as_ref().map_or(0, |deferred| deferred.messages.len());
    metrics.count(&[
        (Metric::InvalidationsCoalesced, coalesced as u64),
        (Metric::InvalidationsDeferred, deferred as u64),
    ]);
    for (_, reason) in &plan.skipped {
        metrics.count_by(Some(("reason", reason.code())), &[(Metric::InvalidationsSkipped, 1)]);
    }
}

/// Books the items, makes the call and writes the marks.
async fn invalidate(deps: &Deps, batch: &Batch<'_>, call: &InvalidationCall) -> CallOutcome {
    let BatchContext { clock, metrics, .. } = &deps.context;
    let Booked { call, booking } = match book(deps, call).await {
        Ok(booked) => booked,
        Err(outcome) => return outcome,
    };
    let now = clock.now();
    let message_ids = call.messages.iter().map(|message| batch.message_id(*message));
    let reference = distribution::caller_reference(message_ids, &call.items);
    let created_at = match deps.distribution.invalidate(&call.items, &reference).await {
        Ok(created_at) => created_at,
        Err(error) => {
            let error_type = error.code();
            tracing::error!(error_type, cause = chain(&error), "could not create an invalidation");
            metrics.count_by(Some(("reason", error_type)), &[(Metric::InvalidationsFailed, 1)]);
            // Without an answer, CloudFront may have made the invalidation, so the booking stays.
            if !matches!(error, InvalidationError::Unanswered(_)) {
                deps.ledger.release(booking).await;
            }
            return CallOutcome::RetryLater;
        }
    };
    let items = call.items.len() as u64;
    metrics.count(&[(Metric::InvalidationItems, items), (Metric::InvalidationCalls, 1)]);
    metrics.measure(Metric::InvalidationDollars, Unit::Dollars, items as f64 * DOLLARS_PER_ITEM);
    metrics.measure(Metric::InvalidationAge, Unit::Seconds, seconds_between(call.oldest_changed_at, now));
    if call.is_purge_all {
        metrics.count(&[(Metric::InvalidationsReplacedByPurgeAll, call.subs.len() as u64)]);
    }
    // CloudFront may have returned the invalidation of an earlier delivery. Pages that were cached
    // after that one are still in the cache.
    let invalidated_at = created_at.map_or(now, |created_at| created_at.min(now));
    write_marks(deps, batch, &call, invalidated_at, now).await;
    // A purge of an earlier delivery does not cover the other messages of this batch.
    let is_new = invalidated_at >= minus_seconds(now, CLOCK_SKEW_SECONDS);
    if call.is_purge_all && is_new { CallOutcome::PurgedAll } else { CallOutcome::Done }
}

/// A call that may be made now.
struct Booked<'a> {
    call: Cow<'a, InvalidationCall>,
    booking: Booking,
}

/// Books the items of a call in the ledger. If the budget is spent, a purge of all pages may
/// replace the call. The error is the outcome of a call that is not made.
async fn book<'a>(deps: &Deps, call: &'a InvalidationCall) -> Result<Booked<'a>, CallOutcome> {
    let Deps { config, ledger, context, .. } = deps;
    let now = context.clock.now();
    let mut claim = None;
    if call.is_purge_all {
        claim = Some(ledger.claim_purge_all(now).await.ok_or(CallOutcome::RetryLater)?);
    }
    let booking = Booking { booked_at: now, items: call.items.len(), claim };
    let booking = match ledger.reserve(booking, config.monthly_item_budget).await {
        Reserved::Granted(booking) => return Ok(Booked { call: Cow::Borrowed(call), booking }),
        Reserved::Failed => return Err(CallOutcome::RetryLater),
        Reserved::Exhausted(booking) => booking,
    };

    let reason = config.on_budget_exhausted.code();
    context.metrics.count_by(Some(("reason", reason)), &[(Metric::BudgetExhausted, 1)]);
    tracing::error!(
        error_type = "budget_exhausted",
        reason,
        "the invalidation budget of this month is spent"
    );
    if config.on_budget_exhausted == OnBudgetExhausted::Expire {
        ledger.release_claim(booking.claim).await;
        return Err(CallOutcome::Done);
    }
    let claim = match booking.claim {
        Some(claim) => claim,
        None => ledger.claim_purge_all(context.clock.now()).await.ok_or(CallOutcome::RetryLater)?,
    };
    let items = vec![config.limits.target.item_for_all_users()];
    let purge_all = InvalidationCall { items, is_purge_all: true, ..call.clone() };
    // This one item exceeds the budget, and is booked without a limit.
    let booking = Booking { booked_at: context.clock.now(), items: 1, claim: Some(claim) };
    match ledger.reserve(booking, None).await {
        Reserved::Granted(booking) | Reserved::Exhausted(booking) => {
            Ok(Booked { call: Cow::Owned(purge_all), booking })
        }
        Reserved::Failed => Err(CallOutcome::RetryLater),
    }
}

/// Notes what was invalidated. A mark that is not written costs at most one more invalidation.
async fn write_marks(
    deps: &Deps,
    batch: &Batch<'_>,
    call: &InvalidationCall,
    invalidated_at: Timestamp,
    now: Timestamp,
) {
    let Deps { config, store, .. } = deps;
    let mark = CacheMark { last_invalidated_at: minus_seconds(invalidated_at, CLOCK_SKEW_SECONDS) };
    let lifetime = i64::from(config.limits.max_cache_lifetime_seconds);
    let expires_at = plus_seconds(now, lifetime + MARK_GRACE_SECONDS);
    let write = async {
        match (call.is_purge_all, config.limits.target) {
            (true, _) => store.mark_all_purged(&config.distribution_id, &mark, expires_at).await,
            (false, Target::Tag) => {
                store.mark_invalidated(call.subs.iter().map(String::as_str), &mark, expires_at).await
            }
            // A path covers one view, but a mark would cover all views of the user.
            (false, Target::Path) => Ok(()),
        }
    };
    match tokio::time::timeout(batch.deadline().until(MARKS_MARGIN_SECONDS), write).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error_type = "store", cause = chain(&error), "could not write the cache marks");
            error.count(&deps.context.metrics);
        }
        Err(_) => tracing::warn!(error_type = "deadline", "no time left to write the cache marks"),
    }
}
