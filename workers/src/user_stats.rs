//! user-stats: applies each event of the user-events queue to the statistics exactly once, and
//! reports which users' cached pages are stale.
//!
//! - [`mod@accept`]: which messages are accepted, and their events by partition
//! - [`attempts`]: allowed sign-in attempts, which are stored outside the transactions
//! - [`commit`]: the transactions that make an event count once
//! - [`notice`]: which event is published after a commit, and why
//! - [`inactive`]: the rule for users who cannot have a cached page
//! - [`counts`]: the metrics of one invocation
//!
//! A crash leaves a transaction applied or not applied. SQS then redelivers the messages, and the
//! worker continues from there.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use shared::config::{ConfigError, Environment};
use shared::erasure;
use shared::events::{Data, DataChanged, Event, UrgentReason, View};
use shared::freshness::CacheLifetime;
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::queues::Queue;
use shared::statistics::{DomainStats, UserStats};
use shared::store::commit::ATTEMPT_SECONDS;
use shared::store::{CommitFailure, Consistency, Partition, Store, StoredStatistics};
use shared::telemetry::{Unit, chain};

use crate::batch::{Batch, BatchContext, BatchError};
use crate::invalidation_policy::InvalidationPolicy;
use crate::notices::{self, data_changed};

pub mod accept;
pub mod attempts;
pub mod commit;
pub mod counts;
pub mod inactive;
pub mod notice;

use accept::{AcceptedMessage, EventsByPartition, PartitionEvents, PendingEvent, accept, group_by_partition};
use attempts::{AttemptWriter, Unstored};
use commit::Committer;
use counts::InvocationCounts;
use inactive::InactiveUserRule;
use notice::{Notice, NoticeRules};

/// CloudEvents source of the events that user-stats publishes.
pub const SOURCE: &str = "/user-stats";
/// Maximum number of partitions that one invocation processes concurrently.
const CONCURRENCY: usize = 16;
/// Initial visibility timeout after all attempts failed. Doubles with each receive.
const FIRST_DELAY: Duration = Duration::from_secs(5);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Debug)]
pub struct Config {
    /// EVENT_RETENTION_DAYS: the days for which an event is stored after its time.
    pub event_retention_days: u32,
    /// SIGN_IN_ATTEMPT_RETENTION_DAYS: the days for which an allowed sign-in attempt is stored after its
    /// time.
    pub sign_in_attempt_retention_days: u32,
    pub notice_rules: NoticeRules,
    /// ALLOW_ERASURE_EVENTS: whether `user.deleted` erases the user. Any sender to the queue could
    /// then erase any user.
    pub allow_erasure_events: bool,
}

impl Config {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let lifetime = CacheLifetime::from_environment(environment)?;
        let rule = InactiveUserRule {
            token_validity_minutes: environment.token_validity_minutes()?,
            max_cache_lifetime_seconds: lifetime.max_seconds,
        };
        let by_tag = environment.choice("INVALIDATION_TARGET", true, &[("tag", true), ("path", false)])?;
        // Only with cache tags is the token part of the cache key. Without it, a page may be in the
        // cache although its user has no token.
        let skip_inactive = environment.flag("SKIP_INACTIVE_USERS", true)? && by_tag;
        Ok(Self {
            event_retention_days: environment.number("EVENT_RETENTION_DAYS", 90, 32..=3650)?,
            sign_in_attempt_retention_days: environment.number(
                "SIGN_IN_ATTEMPT_RETENTION_DAYS",
                7,
                1..=90,
            )?,
            notice_rules: NoticeRules {
                policy: InvalidationPolicy::from_environment(environment, &lifetime)?,
                lifetime,
                inactive_user: skip_inactive.then_some(rule),
            },
            allow_erasure_events: environment.flag("ALLOW_ERASURE_EVENTS", false)?,
        })
    }
}

pub struct Deps {
    config: Config,
    store: Store,
    cache_invalidations: Queue,
    context: BatchContext,
}

impl Deps {
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            config: Config::from_environment(&function.environment)?,
            store: function.store()?,
            cache_invalidations: function.queue("CACHE_INVALIDATIONS_QUEUE_URL")?,
            context: BatchContext::new(function, "USER_EVENTS_QUEUE_URL")?,
        })
    }
}

/// The result for the events of one partition.
enum PartitionOutcome {
    /// Every event is applied, in this invocation or earlier, or belongs to an erased user and is
    /// dropped.
    Done { notice: Option<Box<Event>> },
    /// Concurrent workers changed the statistics on every attempt. Says why the last one failed.
    Conflict(String),
    /// DynamoDB throttled every attempt. Says why the last one failed.
    Throttled(String),
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
    let mut batch = Batch::new(&deps.context, event, deadline, ATTEMPT_SECONDS);
    deps.context.metrics.measure(Metric::BatchSize, Unit::Count, batch.len() as f64);
    let now = deps.context.clock.now();
    let check = |batch: &Batch<'_>, index: usize| {
        let body = batch.body(index).to_owned();
        let event = accept(&body, now, deps.config.allow_erasure_events)?;
        Ok(AcceptedMessage { index, pending: PendingEvent { event, body } })
    };
    let accepted = batch.accept(check);
    batch.dead_letter().await;
    process(deps, &mut batch, accepted).await;
    batch.finish().await
}

/// Commits the events of the accepted messages, and then publishes the notices.
async fn process(deps: &Deps, batch: &mut Batch<'_>, accepted: Vec<AcceptedMessage>) {
    let BatchContext { clock, metrics, .. } = &deps.context;
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
    let statistics = match deps.store.read_statistics(&keys, Consistency::Eventual).await {
        Ok(statistics) => statistics,
        Err(error) => {
            let users = keys.len() as u64;
            let messages = partitions.into_iter().flat_map(|group| group.messages);
            let messages = messages.chain(attempts.into_iter().flat_map(|attempt| attempt.messages));
            if error.is_throttled() {
                error.count(metrics);
                tracing::warn!(error_type = "throttled", cause = chain(&error), "could not read statistics");
                counts.users_throttled += users;
                batch.fail_with_backoff(messages, FIRST_DELAY, LONGEST_DELAY);
            } else {
                error.report(metrics, "could not read statistics");
                batch.fail(messages);
            }
            counts.report(metrics, clock.now());
            return;
        }
    };

    let committer = &Committer {
        store: &deps.store,
        clock,
        deadline: batch.deadline(),
        event_retention_days: deps.config.event_retention_days,
        notice_rules: &deps.config.notice_rules,
    };
    let being_erased: BTreeSet<Partition> =
        partitions.iter().filter(|group| is_erasure(group)).map(|group| group.partition.clone()).collect();
    let writer = AttemptWriter {
        store: &deps.store,
        metrics,
        deadline: batch.deadline(),
        retention_days: deps.config.sign_in_attempt_retention_days,
    };
    let storing = writer.write(attempts, &statistics, &being_erased, &mut counts);
    let committing = commit_partitions(deps, committer, partitions, &statistics);
    let (Unstored { failed, throttled, mut out_of_time }, outcomes) = tokio::join!(storing, committing);
    batch.fail(failed);
    batch.fail_with_backoff(throttled, FIRST_DELAY, LONGEST_DELAY);

    let mut notices = Vec::new();
    let (mut conflicts, mut throttles) = (BTreeSet::new(), BTreeSet::new());
    let (mut users_in_conflict, mut users_throttled) = (0, 0);
    for (messages, outcome, partition_counts) in outcomes {
        counts.add(&partition_counts);
        match outcome {
            PartitionOutcome::Done { notice: None } => {}
            PartitionOutcome::Done { notice: Some(notice) } => notices.push((messages, notice)),
            PartitionOutcome::Failed => batch.fail(messages),
            PartitionOutcome::OutOfTime => out_of_time.extend(messages),
            PartitionOutcome::Conflict(cause) => {
                users_in_conflict += 1;
                conflicts.insert(cause);
                batch.fail_with_backoff(messages, FIRST_DELAY, LONGEST_DELAY);
            }
            PartitionOutcome::Throttled(cause) => {
                users_throttled += 1;
                throttles.insert(cause);
                batch.fail_with_backoff(messages, FIRST_DELAY, LONGEST_DELAY);
            }
        }
    }
    if !out_of_time.is_empty() {
        batch.report_out_of_time(out_of_time.len(), "no time left to commit events");
        batch.fail(out_of_time);
    }
    // One line of each kind, however many users it is about.
    if users_in_conflict > 0 {
        let (users, cause) = (users_in_conflict, join(&conflicts));
        tracing::warn!(error_type = "conflict", users, cause, "could not commit the events of some users");
    }
    if users_throttled > 0 {
        let (users, cause) = (users_throttled, join(&throttles));
        tracing::warn!(error_type = "throttled", users, cause, "could not commit the events of some users");
    }
    counts.users_in_conflict += users_in_conflict;
    counts.users_throttled += users_throttled;
    counts.report(metrics, clock.now());
    notices::publish(&deps.cache_invalidations, batch, notices).await;
}

fn join(causes: &BTreeSet<String>) -> String {
    causes.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// Commits the events of each partition. Returns its messages, its outcome and its counts.
async fn commit_partitions(
    deps: &Deps,
    committer: &Committer<'_>,
    partitions: Vec<PartitionEvents>,
    statistics: &HashMap<Partition, StoredStatistics>,
) -> Vec<(Vec<usize>, PartitionOutcome, InvocationCounts)> {
    stream::iter(partitions)
        .map(|group| {
            let stored = statistics.get(&group.partition).cloned();
            async move {
                let mut counts = InvocationCounts::default();
                let outcome = process_partition(deps, committer, &group, stored, &mut counts).await;
                (group.messages, outcome, counts)
            }
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

/// Commits the events of one partition, or erases its user. `stored` is STATS as it was read, and
/// may be out of date.
async fn process_partition(
    deps: &Deps,
    committer: &Committer<'_>,
    group: &PartitionEvents,
    stored: Option<StoredStatistics>,
    counts: &mut InvocationCounts,
) -> PartitionOutcome {
    let result = match &group.partition {
        // Domains have no cached pages.
        Partition::Domain { .. } => {
            committer.commit::<DomainStats>(group, stored, counts).await.map(|_| None)
        }
        Partition::User(sub) if is_erasure(group) => {
            erase(deps, committer, group, stored, counts).await.map(|()| {
                let now = deps.context.clock.now();
                let reason = Some(UrgentReason::Erased);
                Some(data_changed(
                    SOURCE,
                    sub,
                    DataChanged { views: View::ALL.into(), changed_at: now, reason, pages_expire_at: None },
                    now,
                ))
            })
        }
        Partition::User(sub) => apply_user_events(deps, committer, sub, group, stored, counts).await,
    };
    match result {
        Ok(notice) => PartitionOutcome::Done { notice: notice.map(Box::new) },
        Err(error @ CommitFailure::Conflict(_)) => PartitionOutcome::Conflict(error.to_string()),
        Err(error @ CommitFailure::Throttled(_)) => {
            deps.context.metrics.count(&[(Metric::StoreFailures, 1)]);
            PartitionOutcome::Throttled(error.to_string())
        }
        Err(CommitFailure::Store(error)) if error.is_throttled() => {
            error.count(&deps.context.metrics);
            PartitionOutcome::Throttled(chain(&error))
        }
        Err(CommitFailure::OutOfTime) => PartitionOutcome::OutOfTime,
        Err(CommitFailure::Store(error)) => {
            error.report(&deps.context.metrics, "could not commit the events of a user or domain");
            PartitionOutcome::Failed
        }
    }
}

/// Commits the events of one user, and returns the notice to publish.
async fn apply_user_events(
    deps: &Deps,
    committer: &Committer<'_>,
    sub: &str,
    group: &PartitionEvents,
    stored: Option<StoredStatistics>,
    counts: &mut InvocationCounts,
) -> Result<Option<Event>, CommitFailure> {
    let summary = committer.commit::<UserStats>(group, stored, counts).await?;
    let events: Vec<&Event> = group.events.iter().map(|pending| &pending.event).collect();
    let now = deps.context.clock.now();
    Ok(match notice::after_commit(&events, &summary, &deps.config.notice_rules, now) {
        Notice::Unneeded => None,
        Notice::Skipped(reason) => {
            counts.notices_skipped.push(reason);
            None
        }
        Notice::Needed { views, changed_at, reason, pages_expire_at } => {
            Some(data_changed(SOURCE, sub, DataChanged { views, changed_at, reason, pages_expire_at }, now))
        }
    })
}

fn is_erasure(group: &PartitionEvents) -> bool {
    group.events.iter().any(|pending| matches!(pending.event.data, Data::Deleted(_)))
}

/// Erases the user. The user's other events in the batch are dropped, because they would be erased
/// too.
async fn erase(
    deps: &Deps,
    committer: &Committer<'_>,
    group: &PartitionEvents,
    stored: Option<StoredStatistics>,
    counts: &mut InvocationCounts,
) -> Result<(), CommitFailure> {
    let metadata = stored.map(|stored| stored.metadata()).transpose()?.unwrap_or_default();
    let clock = &deps.context.clock;
    erasure::erase(&deps.store, &group.partition, metadata, clock, committer.deadline).await?;
    counts.users_erased += 1;
    Ok(())
}
