//! cache-invalidation: invalidates the cached pages of users whose data changed, and no other
//! pages.
//!
//! CloudFront charges for every item and has capacity for about one call in two seconds. So the
//! worker coalesces the changes of a batch, skips changes that need no invalidation, and keeps to a
//! monthly budget.
//!
//! - [`config`]: the settings
//! - [`planner`]: which calls to make for a batch
//! - [`items`]: the cache tags and paths of an invalidation
//! - [`security`]: which changes are always invalidated
//! - [`marks`]: when pages were last invalidated
//! - [`ledger`]: the booked items of a month, and the right to purge all pages
//! - [`distribution`]: the call to CloudFront

use std::borrow::Cow;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use shared::aws::WORKER_CALL_SECONDS;
use shared::config::ConfigError;
use shared::events::{Data, DataChanged, Event, InvalidEvent, Subject, UrgentReason};
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::store::{PurgeAllClaim, Store};
use shared::telemetry::{Unit, chain};
use shared::time::{minus_seconds, plus_seconds, seconds_between};

use crate::batch::{Batch, BatchContext, BatchError};
use crate::rejection::Rejection;

pub mod config;
pub mod distribution;
pub mod items;
pub mod ledger;
pub mod marks;
pub mod planner;
pub mod security;

pub use config::{Config, OnBudgetExhausted};
use distribution::{CLOUDFRONT_SECONDS, Distribution, InvalidationError};
use items::Target;
use ledger::{Booking, Ledger, LedgerFailed, Reserved};
use planner::{CLOCK_SKEW_SECONDS, CacheMarks, Change, Deferred, InvalidationCall, Plan, Waiting};

/// Initial visibility timeout of messages whose call could not be made. Doubles with each receive.
const FIRST_DELAY: Duration = Duration::from_secs(30);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// Upper bound for one call: a claim, two reservations if the budget is spent, CloudFront, the
/// release of booking and claim, and the visibility changes that follow.
pub const CALL_SECONDS: i64 = 5 * WORKER_CALL_SECONDS + CLOUDFRONT_SECONDS + 3;
/// CloudFront's price of an item, after the first 1,000 items of a month.
pub const DOLLARS_PER_ITEM: f64 = 0.005;
/// How much longer than the interval a change waits, so that the interval is over for every clock.
/// The messages of a user return one after another: the first one is invalidated, and covers the
/// others.
const INTERVAL_MARGIN: Duration = Duration::from_secs(2);
const INTERVAL_SPREAD: Duration = Duration::from_secs(4);

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
    let mut batch = Batch::new(&deps.context, event, deadline, CALL_SECONDS);
    let (target, now) = (deps.config.limits.target, deps.context.clock.now());
    let changes = batch.accept(|batch, index| accept(batch, index, target, now));
    batch.dead_letter().await;
    if !changes.is_empty() {
        // Boxed, because the nested futures exceed the compiler's recursion limit otherwise.
        Box::pin(process(deps, &mut batch, changes)).await;
    }
    batch.finish().await
}

/// The change that a message reports. `now` replaces a missing time of sending.
fn accept(batch: &Batch<'_>, index: usize, target: Target, now: Timestamp) -> Result<Change, Rejection> {
    let event = Event::parse(batch.body(index))?;
    let Event { subject: Subject::User(sub), data: Data::DataChanged(changed), .. } = event else {
        return Err(Rejection::wrong_queue(&event));
    };
    let DataChanged { views, changed_at, reason, pages_expire_at } = changed;
    if views.is_empty() {
        return Err(InvalidEvent::InvalidData("data.views: is empty".to_owned()).into());
    }
    let items = target.items_for_user(&sub, &views);
    if items.iter().any(|item| item.len() > target.max_item_bytes()) {
        let reason = "subject: too long for a cache tag or path".to_owned();
        return Err(InvalidEvent::InvalidData(reason).into());
    }
    let sent_at = batch.sent_at(index).unwrap_or(now);
    // The change was committed before its message was sent. A later `changed_at` would not be covered
    // by an invalidation that was made in the meantime.
    let changed_at = changed_at.min(plus_seconds(sent_at, CLOCK_SKEW_SECONDS));
    // Lost permissions and the policy need no confirmation: only the workers and operators can send to
    // this queue. user-stats publishes the other reasons for events that any producer can send.
    let is_always = matches!(reason, Some(UrgentReason::PermissionRevoked | UrgentReason::Policy));
    let claims_security = reason.is_some() && !is_always;
    Ok(Change {
        message: index,
        sub,
        views,
        changed_at,
        sent_at,
        pages_expire_at,
        is_always,
        claims_security,
        security_change_at: None,
    })
}

async fn process(deps: &Deps, batch: &mut Batch<'_>, mut changes: Vec<Change>) {
    let limits = &deps.config.limits;
    let metrics = &deps.context.metrics;
    let marks = marks::read(&deps.store, metrics, &deps.config, &changes).await;
    let now = deps.context.clock.now();
    if security::confirm(&deps.store, metrics, &mut changes, &marks, limits, now).await.is_err() {
        let claimed = changes.extract_if(.., |change| change.needs_confirmation(&marks, limits, now));
        batch.fail_with_backoff(claimed.map(|change| change.message), FIRST_DELAY, LONGEST_DELAY);
    }
    let now = deps.context.clock.now();
    let plan = planner::plan(&changes, &marks, limits, now);
    report(deps, &plan);

    let left = |until: Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
    if let Some(Deferred { messages, until }) = plan.deferred {
        // The delay varies, so that the messages do not all return in the batches of one moment.
        // The first batch purges all pages, and the later ones are then skipped.
        batch.fail_with_delay(messages, left(until) + FIRST_DELAY.mul_f64(0.1 + fastrand::f64()));
    }
    for Waiting { message, until } in plan.waiting {
        let delay = left(until) + INTERVAL_MARGIN + INTERVAL_SPREAD.mul_f64(fastrand::f64());
        batch.fail_with_delay([message], delay);
    }
    let (mut calls, mut out_of_time) = (plan.calls.into_iter(), 0);
    for call in calls.by_ref() {
        let outcome = if batch.deadline().leaves(CALL_SECONDS) {
            invalidate(deps, batch, &call, &marks).await
        } else {
            out_of_time = call.messages.len();
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
        if out_of_time > 0 {
            out_of_time += call.messages.len();
        }
        batch.fail_with_backoff(call.messages, FIRST_DELAY, LONGEST_DELAY);
    }
    if out_of_time > 0 {
        batch.report_out_of_time(out_of_time, "no time left to call CloudFront");
    }
}

fn report(deps: &Deps, plan: &Plan) {
    let metrics = &deps.context.metrics;
    let calls = plan.calls.iter().filter(|call| !call.is_purge_all);
    let coalesced: usize = calls.map(|call| call.messages.len() - call.users.len()).sum();
    metrics.count(&[(Metric::InvalidationsCoalesced, coalesced as u64)]);
    let deferred = plan.deferred.as_ref().map_or(0, |deferred| deferred.messages.len());
    for (reason, messages) in [("purge_all", deferred), ("interval", plan.waiting.len())] {
        metrics.count_by(Some(("reason", reason)), &[(Metric::InvalidationsDeferred, messages as u64)]);
    }
    for (_, reason) in &plan.skipped {
        metrics.count_by(Some(("reason", reason.code())), &[(Metric::InvalidationsSkipped, 1)]);
    }
}

/// Books the items, makes the call and writes the marks.
async fn invalidate(
    deps: &Deps,
    batch: &Batch<'_>,
    call: &InvalidationCall,
    marks: &CacheMarks,
) -> CallOutcome {
    let BatchContext { clock, metrics, .. } = &deps.context;
    let Booked { call, booking } = match book(deps, call).await {
        Ok(booked) => booked,
        Err(outcome) => return outcome,
    };
    let now = clock.now();
    let message_ids = call.messages.iter().map(|message| batch.message_id(*message));
    let security_changes = call.users.iter().filter_map(|user| user.security_change_at);
    let reference = distribution::caller_reference(message_ids, &call.items, security_changes);
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
        metrics.count(&[(Metric::InvalidationsReplacedByPurgeAll, call.users.len() as u64)]);
    }
    // CloudFront may have returned the invalidation of an earlier delivery. Pages that were cached
    // after that one are still in the cache.
    let invalidated_at = created_at.map_or(now, |created_at| created_at.min(now));
    marks::write(&deps.store, metrics, &deps.config, batch.deadline(), &call, marks, invalidated_at).await;
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
        claim = Some(claim_purge_all(deps, call).await?);
    }
    let booking = Booking { booked_at: now, items: call.items.len(), claim };
    let budget = config.monthly_item_budget.filter(|_| !call.is_urgent);
    let booking = match ledger.reserve(booking, budget).await {
        Reserved::Granted { booking, month_items } => {
            report_budget(deps, month_items);
            return Ok(Booked { call: Cow::Borrowed(call), booking });
        }
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
        None => claim_purge_all(deps, call).await?,
    };
    let items = vec![config.limits.target.item_for_all_users()];
    let purge_all = InvalidationCall { items, is_purge_all: true, ..call.clone() };
    // This one item exceeds the budget, and is booked without a limit.
    let booking = Booking { booked_at: context.clock.now(), items: 1, claim: Some(claim) };
    match ledger.reserve(booking, None).await {
        Reserved::Granted { booking, .. } | Reserved::Exhausted(booking) => {
            Ok(Booked { call: Cow::Owned(purge_all), booking })
        }
        Reserved::Failed => Err(CallOutcome::RetryLater),
    }
}

/// Claims the right to purge all pages. The error is the outcome of a call that is not made.
async fn claim_purge_all(deps: &Deps, call: &InvalidationCall) -> Result<PurgeAllClaim, CallOutcome> {
    let now = deps.context.clock.now();
    match deps.ledger.claim_purge_all(now).await {
        Ok(Some(claim)) => Ok(claim),
        Ok(None) => {
            let messages = call.messages.len() as u64;
            let reason = Some(("reason", "purge_all"));
            deps.context.metrics.count_by(reason, &[(Metric::InvalidationsDeferred, messages)]);
            Err(CallOutcome::RetryLater)
        }
        // The ledger has logged the error.
        Err(LedgerFailed) => Err(CallOutcome::RetryLater),
    }
}

/// Reports how much of the budget the month's items are.
fn report_budget(deps: &Deps, month_items: u64) {
    if let Some(budget) = deps.config.monthly_item_budget {
        let percent = month_items as f64 * 100.0 / budget as f64;
        deps.context.metrics.measure(Metric::InvalidationBudgetUsed, Unit::Percent, percent);
    }
}
