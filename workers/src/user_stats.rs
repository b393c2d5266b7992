//! user-stats: applies each event of the user-events queue to the statistics exactly once, and
//! reports which users' cached pages are stale.
//!
//! - [`mod@accept`]: which messages are accepted, and their events by partition
//! - [`attempts`]: allowed sign-in attempts, which are stored outside the transactions
//! - [`pipeline`]: commits accepted events and publishes the notices, for account-activity too
//! - [`commit`]: the transactions that make an event count once
//! - [`notice`]: which event is published after a commit, and why
//! - [`inactive`]: the rule for users who cannot have a cached page
//! - [`counts`]: the metrics of one invocation
//!
//! A crash leaves a transaction applied or not applied. SQS then redelivers the messages, and the
//! worker continues from there.

use std::collections::BTreeSet;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use shared::config::{ConfigError, Environment};
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::store::commit::ATTEMPT_SECONDS;
use shared::store::{Consistency, Partition};
use shared::telemetry::Unit;

use crate::batch::{Batch, BatchContext, BatchError};

pub mod accept;
pub mod attempts;
pub mod commit;
pub mod counts;
pub mod inactive;
pub mod notice;
pub mod pipeline;

use accept::{AcceptedMessage, EventsByPartition, PendingEvent, accept, group_by_partition};
use attempts::{AttemptWriter, Unstored};
use counts::InvocationCounts;
use pipeline::{Deletion, FIRST_DELAY, LONGEST_DELAY, Pipeline, PipelineConfig};

/// CloudEvents source of the events that user-stats publishes.
pub const SOURCE: &str = "/user-stats";

#[derive(Clone, Debug)]
pub struct Config {
    pub pipeline: PipelineConfig,
    /// SIGN_IN_ATTEMPT_RETENTION_DAYS: the days for which an allowed sign-in attempt is stored after its
    /// time.
    pub sign_in_attempt_retention_days: u32,
    /// ALLOW_ERASURE_EVENTS: whether `user.deleted` erases the user. Any sender to the queue could
    /// then erase any user.
    pub allow_erasure_events: bool,
}

impl Config {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            pipeline: PipelineConfig::from_environment(environment)?,
            sign_in_attempt_retention_days: environment.number(
                "SIGN_IN_ATTEMPT_RETENTION_DAYS",
                7,
                1..=90,
            )?,
            allow_erasure_events: environment.flag("ALLOW_ERASURE_EVENTS", false)?,
        })
    }
}

pub struct Deps {
    sign_in_attempt_retention_days: u32,
    allow_erasure_events: bool,
    pipeline: Pipeline,
    context: BatchContext,
}

impl Deps {
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        let Config { pipeline, sign_in_attempt_retention_days, allow_erasure_events } =
            Config::from_environment(&function.environment)?;
        Ok(Self {
            sign_in_attempt_retention_days,
            allow_erasure_events,
            pipeline: Pipeline::new(function, SOURCE, pipeline, Deletion::Erase, None)?,
            context: BatchContext::new(function, "USER_EVENTS_QUEUE_URL")?,
        })
    }
}

/// Handles a batch. `deadline` is the time at which Lambda ends the invocation.
pub async fn handle(
    deps: &Deps,
    event: SqsEvent,
    deadline: Timestamp,
) -> Result<SqsBatchResponse, BatchError> {
    let mut batch = Batch::new(&deps.context, event, deadline, ATTEMPT_SECONDS);
    deps.context.metrics.measure(Metric::BatchSize, Unit::Count, batch.len() as f64);
    let now = deps.context.clock.now();
    let check = |batch: &Batch<'_>, index: usize| {
        let body = batch.body(index).to_owned();
        let event = accept(&body, now, deps.allow_erasure_events)?;
        Ok(AcceptedMessage { index, pending: PendingEvent { event, body } })
    };
    let accepted = batch.accept(check);
    batch.dead_letter().await;
    process(deps, &mut batch, accepted).await;
    batch.finish().await
}

/// Commits the events of the accepted messages, and then publishes the notices.
async fn process(deps: &Deps, batch: &mut Batch<'_>, accepted: Vec<AcceptedMessage>) {
    let EventsByPartition { partitions, attempts, duplicates, unknown_users } = group_by_partition(accepted);
    let mut counts = InvocationCounts {
        duplicates,
        sign_ins_of_unknown_users: unknown_users,
        ..InvocationCounts::default()
    };

    let of_attempts = attempts.iter().map(|attempt| &attempt.partition);
    let keys: BTreeSet<&Partition> =
        partitions.iter().map(|group| &group.partition).chain(of_attempts).collect();
    let keys: Vec<&Partition> = keys.into_iter().collect();
    let statistics = match deps.pipeline.store.read_statistics(&keys, Consistency::Eventual).await {
        Ok(statistics) => statistics,
        Err(error) => {
            let users = keys.len() as u64;
            let messages = partitions.into_iter().flat_map(|group| group.messages);
            let messages = messages.chain(attempts.into_iter().flat_map(|attempt| attempt.messages));
            deps.pipeline.fail_unread(&deps.context, batch, &error, users, messages, counts);
            return;
        }
    };

    let erased = partitions.iter().filter(|group| deps.pipeline.is_erasure(group));
    let being_erased: BTreeSet<Partition> = erased.map(|group| group.partition.clone()).collect();
    let writer = AttemptWriter {
        store: &deps.pipeline.store,
        metrics: &deps.context.metrics,
        deadline: batch.deadline(),
        retention_days: deps.sign_in_attempt_retention_days,
    };
    let storing = writer.write(attempts, &statistics, &being_erased, &mut counts);
    let committing = deps.pipeline.commit(&deps.context, batch.deadline(), partitions, &statistics);
    let (Unstored { failed, throttled, out_of_time }, results) = tokio::join!(storing, committing);
    batch.fail(failed);
    batch.fail_with_backoff(throttled, FIRST_DELAY, LONGEST_DELAY);
    deps.pipeline.settle(&deps.context, batch, results, out_of_time, counts).await;
}
