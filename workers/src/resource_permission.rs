//! resource-permission: writes what users may do with resources of other users, and reports which
//! users' cached pages are stale.
//!
//! The events come from the queue resource-permissions, on which only the producers that the operator
//! names may send. An event on user-events never grants or revokes anything.
//!
//! - [`mod@plan`]: which of the events of a batch wins, and the notices after the writes
//!
//! SQS keeps no order. So a write has the condition that its event wins against the stored one: see
//! [`shared::grant`]. Duplicates and outdated events change nothing, and the notice is sent again.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use shared::aws::WORKER_CALL_SECONDS;
use shared::config::ConfigError;
use shared::events::{Data, DataChanged, Event, InvalidEvent, PermissionGranted, View};
use shared::freshness::CacheLifetime;
use shared::function_context::FunctionContext;
use shared::grant::GrantChange;
use shared::metric::Metric;
use shared::queues::Queue;
use shared::store::Store;
use shared::store::grants::GrantWrite;
use shared::telemetry::chain;

use crate::batch::{Batch, BatchContext, BatchError};
use crate::invalidation_policy::{InvalidationPolicy, PolicyRule};
use crate::notices;
use crate::rejection::Rejection;

pub mod plan;

use plan::{AcceptedChange, PlannedWrite, Written, notices_by_user, plan};

/// CloudEvents source of the events that resource-permission publishes.
pub const SOURCE: &str = "/resource-permission";
/// Maximum number of concurrent writes.
const CONCURRENCY: usize = 16;
/// The time of an event may be this far ahead of the worker's clock. The later event wins, so a grant
/// from a clock that is ahead would win against a revocation in the meantime.
const MAX_AHEAD_SECONDS: i64 = 60;
/// Initial visibility timeout of messages that DynamoDB throttled. Doubles with each receive.
const FIRST_DELAY: Duration = Duration::from_secs(5);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// Upper bound for one write and its notice, and the dead letters and visibility changes that follow.
pub const WRITE_SECONDS: i64 = 2 * WORKER_CALL_SECONDS + 5;

pub struct Deps {
    /// The rule of INVALIDATION_POLICY for a permission of which nothing was lost.
    rule_of_grants: PolicyRule,
    store: Store,
    cache_invalidations: Queue,
    context: BatchContext,
}

impl Deps {
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        let environment = &function.environment;
        let lifetime = CacheLifetime::from_environment(environment)?;
        let policy = InvalidationPolicy::from_environment(environment, &lifetime)?;
        Ok(Self {
            rule_of_grants: policy.rule_of_type("permission.granted"),
            store: function.store()?,
            cache_invalidations: function.queue("CACHE_INVALIDATIONS_QUEUE_URL")?,
            context: BatchContext::new(function, "RESOURCE_PERMISSIONS_QUEUE_URL")?,
        })
    }
}

/// The result of a [`PlannedWrite`].
enum WriteOutcome {
    /// The table has the event, or one that wins against it.
    Done(Written),
    /// DynamoDB throttled the write.
    Throttled,
    /// DynamoDB failed.
    Failed,
    /// The time of the invocation is used up.
    OutOfTime,
}

/// Handles a batch. `deadline` is the time at which Lambda ends the invocation.
pub async fn handle(
    deps: &Deps,
    event: SqsEvent,
    deadline: Timestamp,
) -> Result<SqsBatchResponse, BatchError> {
    let mut batch = Batch::new(&deps.context, event, deadline, WRITE_SECONDS);
    let now = deps.context.clock.now();
    let changes = batch.accept(|batch, index| {
        Ok(AcceptedChange { message: index, change: accept(batch.body(index), now)? })
    });
    batch.dead_letter().await;
    process(deps, &mut batch, changes).await;
    batch.finish().await
}

/// The change in a message body, if the worker may apply it at `now`.
fn accept(body: &str, now: Timestamp) -> Result<GrantChange, Rejection> {
    let event = Event::parse(body)?;
    event.check_time(now)?;
    event.check_not_ahead(now, MAX_AHEAD_SECONDS)?;
    let Some(change) = GrantChange::of(&event) else { return Err(Rejection::wrong_queue(&event)) };
    let has_ended =
        |granted: &PermissionGranted| granted.expires_at.is_some_and(|expires_at| expires_at <= event.time);
    if matches!(&event.data, Data::PermissionGranted(granted) if has_ended(granted)) {
        let reason = "data.expires_at: is not later than the time of the event".to_owned();
        return Err(InvalidEvent::InvalidData(reason).into());
    }
    Ok(change)
}

/// Writes the changes that win, and then publishes the notices.
async fn process(deps: &Deps, batch: &mut Batch<'_>, changes: Vec<AcceptedChange>) {
    let metrics = &deps.context.metrics;
    let deadline = batch.deadline();
    let writes = stream::iter(plan(changes)).map(async |planned: PlannedWrite| {
        if !deadline.leaves(WRITE_SECONDS) {
            return (planned, WriteOutcome::OutOfTime);
        }
        let outcome = write(deps, &planned).await;
        (planned, outcome)
    });
    let outcomes: Vec<(PlannedWrite, WriteOutcome)> = writes.buffer_unordered(CONCURRENCY).collect().await;

    let (mut done, mut out_of_time) = (Vec::new(), 0);
    let (mut granted, mut revoked, mut skipped) = (0, 0, 0);
    for (planned, outcome) in outcomes {
        match outcome {
            WriteOutcome::Done(written) => {
                let is_new = written != Written::Outdated;
                granted += u64::from(is_new && !planned.change.grant.is_revoked());
                revoked += u64::from(is_new && planned.change.grant.is_revoked());
                skipped += planned.messages.len() as u64 - u64::from(is_new);
                done.push((planned, written));
            }
            WriteOutcome::Throttled => batch.fail_with_backoff(planned.messages, FIRST_DELAY, LONGEST_DELAY),
            WriteOutcome::Failed => batch.fail(planned.messages),
            WriteOutcome::OutOfTime => {
                out_of_time += planned.messages.len();
                batch.fail(planned.messages);
            }
        }
    }
    if out_of_time > 0 {
        batch.report_out_of_time(out_of_time, "no time left to write permissions");
    }
    metrics.count(&[
        (Metric::PermissionsGranted, granted),
        (Metric::PermissionsRevoked, revoked),
        (Metric::PermissionEventsSkipped, skipped),
    ]);
    // Later than every write, so that a page from before a write is older than the notice.
    let now = deps.context.clock.now();
    let notices = notices_by_user(done, deps.rule_of_grants).into_iter().map(|(sub, notice)| {
        let data = DataChanged {
            views: View::ALL.into(),
            changed_at: now,
            reason: notice.reason,
            pages_expire_at: None,
        };
        (notice.messages, Box::new(notices::data_changed(SOURCE, &sub, data, now)))
    });
    notices::publish(&deps.cache_invalidations, batch, notices.collect()).await;
}

async fn write(deps: &Deps, planned: &PlannedWrite) -> WriteOutcome {
    let metrics = &deps.context.metrics;
    match deps.store.apply_grant_change(&planned.change).await {
        Ok(GrantWrite::Outdated) => WriteOutcome::Done(Written::Outdated),
        Ok(GrantWrite::Applied { previous }) => {
            let is_reduced = previous.is_some_and(|previous| !planned.change.grant.covers(&previous));
            WriteOutcome::Done(if is_reduced { Written::Reduced } else { Written::NothingLost })
        }
        Err(error) if error.is_throttled() => {
            error.count(metrics);
            tracing::warn!(error_type = "throttled", cause = chain(&error), "could not write a permission");
            WriteOutcome::Throttled
        }
        Err(error) => {
            error.report(metrics, "could not write a permission");
            WriteOutcome::Failed
        }
    }
}
