//! What user-stats and account-activity do with accepted events: commit them, or erase their user, and
//! publish the notices.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use shared::config::{ConfigError, Environment};
use shared::deadline::Deadline;
use shared::erasure;
use shared::events::{Data, DataChanged, Event, UrgentReason, View};
use shared::freshness::CacheLifetime;
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::queues::Queue;
use shared::statistics::{DomainStats, UserStats};
use shared::store::{CommitFailure, Partition, Store, StoreError, StoredStatistics};
use shared::telemetry::chain;

use super::accept::PartitionEvents;
use super::commit::Committer;
use super::counts::InvocationCounts;
use super::inactive::InactiveUserRule;
use super::notice::{self, Notice, NoticeRules};
use crate::batch::{Batch, BatchContext};
use crate::invalidation_policy::InvalidationPolicy;
use crate::notices::{self, data_changed};

/// Maximum number of partitions that one invocation processes concurrently.
const CONCURRENCY: usize = 16;
/// Initial visibility timeout after all attempts failed. Doubles with each receive.
pub const FIRST_DELAY: Duration = Duration::from_secs(5);
pub const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// The settings of a [`Pipeline`].
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// EVENT_RETENTION_DAYS: the days for which an event is stored after its time.
    pub event_retention_days: u32,
    pub notice_rules: NoticeRules,
}

impl PipelineConfig {
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
            notice_rules: NoticeRules {
                policy: InvalidationPolicy::from_environment(environment, &lifetime)?,
                lifetime,
                inactive_user: skip_inactive.then_some(rule),
            },
        })
    }
}

/// What `user.deleted` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Erases the user.
    Erase,
    /// Keeps the data, and records the time in STATS.
    Keep,
}

/// Commits accepted events and publishes their notices, with the settings of one worker.
pub struct Pipeline {
    /// CloudEvents source of the notices.
    pub source: &'static str,
    pub config: PipelineConfig,
    pub deletion: Deletion,
    /// Number of failed sign-ins of a user in an hour that are counted in UsersWithManyFailures. `None`
    /// for a worker that gets no failed sign-ins.
    pub many_failures: Option<u64>,
    pub store: Store,
    cache_invalidations: Queue,
}

/// The result for the events of one partition.
pub enum PartitionOutcome {
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

/// The messages of one partition, their outcome and their counts.
pub type PartitionResult = (Vec<usize>, PartitionOutcome, InvocationCounts);

impl Pipeline {
    pub fn new(
        function: &FunctionContext,
        source: &'static str,
        config: PipelineConfig,
        deletion: Deletion,
        many_failures: Option<u64>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            source,
            config,
            deletion,
            many_failures,
            store: function.store()?,
            cache_invalidations: function.queue("CACHE_INVALIDATIONS_QUEUE_URL")?,
        })
    }

    /// Fails `messages`, because the state of `users` could not be read.
    pub fn fail_unread(
        &self,
        context: &BatchContext,
        batch: &mut Batch<'_>,
        error: &StoreError,
        users: u64,
        messages: impl IntoIterator<Item = usize>,
        mut counts: InvocationCounts,
    ) {
        if error.is_throttled() {
            counts.users_throttled += users;
        }
        fail_read(context, batch, error, "could not read statistics", messages);
        counts.report(&context.metrics, context.clock.now());
    }

    /// Commits the events of each partition, or erases its user. `statistics` are those that were read,
    /// and may be out of date.
    pub async fn commit(
        &self,
        context: &BatchContext,
        deadline: &Deadline,
        partitions: Vec<PartitionEvents>,
        statistics: &HashMap<Partition, StoredStatistics>,
    ) -> Vec<PartitionResult> {
        let committer = &Committer {
            store: &self.store,
            clock: &context.clock,
            deadline,
            event_retention_days: self.config.event_retention_days,
            notice_rules: &self.config.notice_rules,
            many_failures: self.many_failures,
        };
        stream::iter(partitions)
            .map(|group| {
                let stored = statistics.get(&group.partition).cloned();
                async move {
                    let mut counts = InvocationCounts::default();
                    let outcome =
                        self.process_partition(context, committer, &group, stored, &mut counts).await;
                    (group.messages, outcome, counts)
                }
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await
    }

    /// Reports the outcomes to the batch and in metrics, and publishes the notices. `out_of_time` are
    /// other messages for which no time was left, and `counts` what was counted so far.
    pub async fn settle(
        &self,
        context: &BatchContext,
        batch: &mut Batch<'_>,
        results: Vec<PartitionResult>,
        mut out_of_time: Vec<usize>,
        mut counts: InvocationCounts,
    ) {
        let BatchContext { clock, metrics, .. } = context;
        let mut notices = Vec::new();
        let (mut conflicts, mut throttles) = (BTreeSet::new(), BTreeSet::new());
        let (mut users_in_conflict, mut users_throttled) = (0, 0);
        for (messages, outcome, partition_counts) in results {
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
        for (error_type, users, causes) in
            [("conflict", users_in_conflict, &conflicts), ("throttled", users_throttled, &throttles)]
        {
            if users > 0 {
                let cause = join(causes);
                tracing::warn!(error_type, users, cause, "could not commit the events of some users");
            }
        }
        counts.users_in_conflict += users_in_conflict;
        counts.users_throttled += users_throttled;
        counts.report(metrics, clock.now());
        notices::publish(&self.cache_invalidations, batch, notices).await;
    }

    /// True if an event erases the user.
    pub fn is_erasure(&self, group: &PartitionEvents) -> bool {
        let is_deletion = |data: &Data| matches!(data, Data::Deleted(_));
        self.deletion == Deletion::Erase
            && group.events.iter().any(|pending| is_deletion(&pending.event.data))
    }

    /// Commits the events of one partition, or erases its user. `stored` is STATS as it was read, and
    /// may be out of date.
    async fn process_partition(
        &self,
        context: &BatchContext,
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
            Partition::User(sub) if self.is_erasure(group) => {
                self.erase(context, committer, group, stored, counts).await.map(|()| {
                    let now = context.clock.now();
                    let reason = Some(UrgentReason::Erased);
                    Some(data_changed(
                        self.source,
                        sub,
                        DataChanged {
                            views: View::ALL.into(),
                            changed_at: now,
                            reason,
                            pages_expire_at: None,
                        },
                        now,
                    ))
                })
            }
            Partition::User(sub) => {
                self.apply_user_events(context, committer, sub, group, stored, counts).await
            }
        };
        match result {
            Ok(notice) => PartitionOutcome::Done { notice: notice.map(Box::new) },
            Err(error @ CommitFailure::Conflict(_)) => PartitionOutcome::Conflict(error.to_string()),
            Err(error @ CommitFailure::Throttled(_)) => {
                context.metrics.count(&[(Metric::StoreFailures, 1)]);
                PartitionOutcome::Throttled(error.to_string())
            }
            Err(CommitFailure::Store(error)) if error.is_throttled() => {
                error.count(&context.metrics);
                PartitionOutcome::Throttled(chain(&error))
            }
            Err(CommitFailure::OutOfTime) => PartitionOutcome::OutOfTime,
            Err(CommitFailure::Store(error)) => {
                error.report(&context.metrics, "could not commit the events of a user or domain");
                PartitionOutcome::Failed
            }
        }
    }

    /// Commits the events of one user, and returns the notice to publish.
    async fn apply_user_events(
        &self,
        context: &BatchContext,
        committer: &Committer<'_>,
        sub: &str,
        group: &PartitionEvents,
        stored: Option<StoredStatistics>,
        counts: &mut InvocationCounts,
    ) -> Result<Option<Event>, CommitFailure> {
        let summary = committer.commit::<UserStats>(group, stored, counts).await?;
        let events: Vec<&Event> = group.events.iter().map(|pending| &pending.event).collect();
        let now = context.clock.now();
        Ok(match notice::after_commit(&events, &summary, &self.config.notice_rules, now) {
            Notice::Unneeded => None,
            Notice::Skipped(reason) => {
                counts.notices_skipped.push(reason);
                None
            }
            Notice::Needed { views, changed_at, reason, pages_expire_at } => Some(data_changed(
                self.source,
                sub,
                DataChanged { views, changed_at, reason, pages_expire_at },
                now,
            )),
        })
    }

    /// Erases the user. The user's other events in the batch are dropped, because they would be erased
    /// too.
    async fn erase(
        &self,
        context: &BatchContext,
        committer: &Committer<'_>,
        group: &PartitionEvents,
        stored: Option<StoredStatistics>,
        counts: &mut InvocationCounts,
    ) -> Result<(), CommitFailure> {
        let metadata = stored.map(|stored| stored.metadata()).transpose()?.unwrap_or_default();
        let clock = &context.clock;
        erasure::erase(&self.store, &group.partition, metadata, clock, committer.deadline).await?;
        counts.users_erased += 1;
        Ok(())
    }
}

/// Fails `messages`, because a read failed. `what` is the log message. A throttled read is a warning, and
/// its messages wait.
pub fn fail_read(
    context: &BatchContext,
    batch: &mut Batch<'_>,
    error: &StoreError,
    what: &str,
    messages: impl IntoIterator<Item = usize>,
) {
    if error.is_throttled() {
        error.count(&context.metrics);
        tracing::warn!(error_type = "throttled", cause = chain(error), "{what}");
        batch.fail_with_backoff(messages, FIRST_DELAY, LONGEST_DELAY);
    } else {
        error.report(&context.metrics, what);
        batch.fail(messages);
    }
}

fn join(causes: &BTreeSet<String>) -> String {
    causes.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
}
