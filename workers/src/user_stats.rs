//! user-stats: folds the events of the user-events queue into statistics, each exactly once, and says whose
//! cached pages are out of date.
//!
//! The stored event is the idempotency marker: for each user of a batch, one transaction puts the events where
//! they are not there yet and updates the statistics where their version is the one that was read. A crash at
//! any point leaves all of it or nothing; the next delivery does the rest.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use shared::aws::WORKER_CALL_SETTLED_SECONDS;
use shared::config::{ConfigError, Environment};
use shared::events::{Data, DataChanged, Event, Subject, View};
use shared::function_context::FunctionContext;
use shared::queues::{Message, Queue};
use shared::erasure;
use shared::statistics::{DomainStats, Fold, UserStats, changed_views};
use shared::store::commits::{ATTEMPT_SECONDS, StatsMetadata, Failure, MAX_ATTEMPTS, transaction_size, conflict_backoff};
use shared::store::{
    Commit, CommitError, Consistency, Partition, Profile, Store, StoreError, StoredStatistics, keys,
};
use shared::telemetry::{Metrics, Unit, chain};
use shared::time::{Clock, plus_seconds, seconds_between};

use crate::batch::{Batch, BatchError, Rejection};
use shared::deadline::Deadline;

pub mod inactive;

use inactive::InactiveUserRule;

/// The CloudEvents source of what this worker says.
pub const SOURCE: &str = "/user-stats";
/// Partitions worked on at once.
const CONCURRENCY: usize = 16;
/// How long a user's messages wait after all attempts failed; it doubles with each receive.
const FIRST_DELAY: Duration = Duration::from_secs(5);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// Sending is given up when the deadline is this close.
const SENDING_MARGIN_SECONDS: i64 = 2;

/// How user-stats works.
#[derive(Clone, Debug)]
pub struct Config {
    /// EVENT_RETENTION_DAYS: how long stored events stay after their time.
    pub event_retention_days: u32,
    /// When a user is idle, and costs no invalidation. `None` where nobody is.
    pub idle: Option<InactiveUserRule>,
    /// ALLOW_ERASURE_EVENTS: whether `user.deleted` erases. Whoever may send to the queue could erase anyone.
    pub allow_erasure_events: bool,
}

impl Config {
    /// Reads the configuration.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let rule = InactiveUserRule {
            token_validity_minutes: environment.number("TOKEN_VALIDITY_MINUTES", 60, 5..=1440)?,
            max_cache_lifetime_seconds: environment.number(
                "MAX_CACHE_LIFETIME_SECONDS",
                1800,
                0..=31_536_000,
            )?,
        };
        let by_tag = environment.choice("INVALIDATION_TARGET", true, &[("tag", true), ("path", false)])?;
        // Without the token in the cache key (which comes with tags), anybody may have filled an entry.
        let skip_idle = environment.flag("SKIP_INACTIVE_USERS", true)? && by_tag;
        Ok(Self {
            event_retention_days: environment.number("EVENT_RETENTION_DAYS", 90, 32..=3650)?,
            idle: skip_idle.then_some(rule),
            allow_erasure_events: environment.flag("ALLOW_ERASURE_EVENTS", false)?,
        })
    }
}

/// What the worker works with.
pub struct Deps {
    config: Config,
    store: Store,
    user_events: Queue,
    cache_invalidations: Queue,
    dead_letters: Queue,
    clock: Clock,
    metrics: Metrics,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            config: Config::from_environment(&function.environment)?,
            store: function.store()?,
            user_events: function.queue("USER_EVENTS_QUEUE_URL")?,
            cache_invalidations: function.queue("CACHE_INVALIDATIONS_QUEUE_URL")?,
            dead_letters: function.queue("DEAD_LETTER_QUEUE_URL")?,
            clock: function.clock.clone(),
            metrics: function.metrics.clone(),
        })
    }
}

/// The events of one partition in a batch.
struct Work {
    partition: Partition,
    /// No two with the same key.
    events: Vec<Pending>,
    /// The messages that carry them, duplicates included.
    messages: Vec<usize>,
}

/// An event with its body, as it will be stored.
struct Pending {
    event: Event,
    body: String,
}

/// What an invocation has done, for the metrics: told once, however many users it was for.
#[derive(Default)]
struct Tally {
    applied: u64,
    duplicates: u64,
    of_erased_users: u64,
    users_erased: u64,
    users_in_conflict: u64,
    skipped_idle: u64,
    /// When the oldest of the applied events happened.
    oldest: Option<Timestamp>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.applied += other.applied;
        self.duplicates += other.duplicates;
        self.of_erased_users += other.of_erased_users;
        self.users_erased += other.users_erased;
        self.users_in_conflict += other.users_in_conflict;
        self.skipped_idle += other.skipped_idle;
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
    }

    fn report(&self, metrics: &Metrics, now: Timestamp) {
        metrics.count(&[
            ("EventsApplied", self.applied),
            ("DuplicateEvents", self.duplicates),
            ("EventsOfErasedUsers", self.of_erased_users),
            ("UsersErased", self.users_erased),
            ("UsersInConflict", self.users_in_conflict),
            ("InvalidationsSkippedInactive", self.skipped_idle),
        ]);
        if let Some(oldest) = self.oldest {
            metrics.measure("EventAge", Unit::Seconds, seconds_between(oldest, now));
        }
    }
}

/// What became of a partition's events.
enum Outcome {
    /// All of them are in the statistics; perhaps somebody's pages have changed.
    Done(Option<Box<Event>>),
    /// Others kept committing first.
    Conflict,
    /// Something failed, or there was no time.
    Failed,
}

/// Applies a batch before the time `deadline`, and reports what must come again.
pub async fn handle(
    deps: &Deps,
    event: SqsEvent,
    deadline: Timestamp,
) -> Result<SqsBatchResponse, BatchError> {
    let mut batch = Batch::new(event);
    let deadline = Deadline::new(deadline, deps.clock.clone());
    deps.metrics.measure("BatchSize", Unit::Count, batch.len() as f64);
    let (works, rejections) = sort(deps, &batch);
    batch.park(rejections, &deps.dead_letters, &deps.metrics, &deadline).await;

    let partitions: Vec<&Partition> = works.iter().map(|work| &work.partition).collect();
    let statistics = match deps.store.statistics(&partitions, Consistency::Eventual).await {
        Ok(statistics) => statistics,
        Err(error) => {
            tracing::error!(error_type = "store", cause = chain(&error), "statistics could not be read");
            batch.fail(works.into_iter().flat_map(|work| work.messages));
            return batch.finish(&deps.user_events, &deadline).await;
        }
    };

    let deadline = &deadline;
    let outcomes: Vec<(Vec<usize>, Outcome, Tally)> = stream::iter(works)
        .map(|work| {
            let known = statistics.get(&work.partition).cloned();
            async move {
                let mut tally = Tally::default();
                let outcome = apply(deps, &work, known, deadline, &mut tally).await;
                (work.messages, outcome, tally)
            }
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;

    let (mut notices, mut sum) = (Vec::new(), Tally::default());
    for (messages, outcome, tally) in outcomes {
        sum.add(&tally);
        match outcome {
            Outcome::Done(None) => {}
            Outcome::Done(Some(notice)) => notices.push((messages, notice)),
            Outcome::Failed => batch.fail(messages),
            Outcome::Conflict => {
                sum.users_in_conflict += 1;
                batch.fail_with_backoff(messages, FIRST_DELAY, LONGEST_DELAY);
            }
        }
    }
    sum.report(&deps.metrics, deps.clock.now());
    // After the commit, never before. A notice that SQS does not take comes again with its messages, all of
    // which are duplicates by then.
    let messages = notices.iter().map(|(_, notice)| Message::from(&**notice)).collect();
    let accepted =
        deps.cache_invalidations.send_batch(messages, deadline.until(SENDING_MARGIN_SECONDS)).await;
    for ((messages, _), accepted) in notices.into_iter().zip(accepted) {
        if !accepted {
            batch.fail(messages);
        }
    }
    batch.finish(&deps.user_events, deadline).await
}

/// Sorts the messages of a batch into the work of each partition, and what can never succeed.
fn sort(deps: &Deps, batch: &Batch) -> (Vec<Work>, Vec<(usize, Rejection)>) {
    let now = deps.clock.now();
    let mut rejections = Vec::new();
    let mut works: BTreeMap<Partition, Work> = BTreeMap::new();
    let (mut seen, mut duplicates, mut unknown_users) = (HashSet::new(), 0, 0);
    for index in 0..batch.len() {
        let event = match accept(&deps.config, batch.body(index), now) {
            Ok(event) => event,
            Err(rejection) => {
                rejections.push((index, rejection));
                continue;
            }
        };
        let Some(partition) = Partition::of(&event) else {
            unknown_users += 1;
            continue;
        };
        let key = (partition.clone(), keys::event(&event.source, &event.id));
        let work = works.entry(partition.clone()).or_insert_with(|| Work {
            partition,
            events: Vec::new(),
            messages: Vec::new(),
        });
        work.messages.push(index);
        if seen.insert(key) {
            work.events.push(Pending { event, body: batch.body(index).to_owned() });
        } else {
            duplicates += 1;
        }
    }
    deps.metrics.count(&[("DuplicateEvents", duplicates), ("SignInsOfUnknownUsers", unknown_users)]);
    (works.into_values().collect(), rejections)
}

/// The event in a body, where it may be applied at the time `now`.
fn accept(config: &Config, body: &str, now: Timestamp) -> Result<Event, Rejection> {
    let event = Event::parse(body)?;
    event.check_time(now)?;
    match event.data {
        Data::DataChanged(_) | Data::GroupsMapped(_) => Err(Rejection::wrong_queue(&event)),
        Data::Deleted(_) if !config.allow_erasure_events => Err(Rejection {
            error_type: "erasure_not_allowed",
            message: "user.deleted is accepted only where ALLOW_ERASURE_EVENTS is true".to_owned(),
        }),
        _ => Ok(event),
    }
}

/// Commits the events of one partition, and says what to send after it.
async fn apply(
    deps: &Deps,
    work: &Work,
    known: Option<StoredStatistics>,
    deadline: &Deadline,
    tally: &mut Tally,
) -> Outcome {
    let result = match &work.partition {
        Partition::Domain { .. } => {
            let result = commit::<DomainStats>(deps, work, known, deadline, tally).await;
            result.map(|_| None)
        }
        Partition::User(sub) if is_erasure(work) => erase(deps, work, known, deadline).await.map(|()| {
            tally.users_erased += 1;
            Some(data_changed(deps, sub, View::ALL.into(), deps.clock.now()))
        }),
        Partition::User(sub) => {
            let result = commit::<UserStats>(deps, work, known, deadline, tally).await;
            result.map(|state| notice(deps, sub, work, &state, tally))
        }
    };
    match result {
        Ok(notice) => Outcome::Done(notice.map(Box::new)),
        Err(Failure::OutOfTime) => {
            tracing::warn!(error_type = "deadline", "no time left for a user's events");
            Outcome::Failed
        }
        Err(Failure::Conflict) => Outcome::Conflict,
        Err(Failure::Store(error)) => {
            tracing::error!(
                error_type = "store",
                cause = chain(&error),
                "a user's events were not committed"
            );
            Outcome::Failed
        }
    }
}

/// What is known of a partition: what was read, and what was committed since.
#[derive(Default)]
struct State<S> {
    folded: S,
    metadata: StatsMetadata,
    /// When the latest commit of ours had been made for certain.
    committed_by: Option<Timestamp>,
}

impl<S: Fold> State<S> {
    fn from_stored(stored: Option<StoredStatistics>) -> Result<Self, StoreError> {
        let Some(stored) = stored else { return Ok(Self::default()) };
        Ok(Self { folded: stored.folded()?, metadata: stored.metadata()?, committed_by: None })
    }
}

/// Commits events until none is left, in as few transactions as they fit into.
async fn commit<S: Fold>(
    deps: &Deps,
    work: &Work,
    known: Option<StoredStatistics>,
    deadline: &Deadline,
    tally: &mut Tally,
) -> Result<State<S>, Failure> {
    let mut left: Vec<&Pending> = work.events.iter().collect();
    let mut state = State::<S>::from_stored(known)?;
    let mut attempts = 0;
    while !left.is_empty() && state.metadata.erased_at.is_none() {
        if !deadline.leaves(ATTEMPT_SECONDS) {
            return Err(Failure::OutOfTime);
        }
        let count = transaction_size(left.iter().map(|pending| pending.body.len()));
        let events = &left[..count];
        let next = fold(&deps.config, &state, events, deps.clock.now());
        let profile = profile(&work.partition, events);
        let bodies: Vec<(&Event, &str)> = events.iter().map(|p| (&p.event, p.body.as_str())).collect();
        let result = deps
            .store
            .commit(Commit {
                partition: &work.partition,
                read_version: state.metadata.version,
                folded: &next.folded,
                metadata: next.metadata.clone(),
                events: &bodies,
                event_retention_days: deps.config.event_retention_days,
                profile: profile.as_ref(),
            })
            .await;
        match result {
            Ok(()) => {
                tally.applied += count as u64;
                tally.oldest = events.iter().map(|pending| pending.event.time).chain(tally.oldest).min();
                left.drain(..count);
                let version = state.metadata.version + 1;
                state = State {
                    folded: next.folded,
                    metadata: StatsMetadata { version, ..next.metadata },
                    committed_by: Some(deps.clock.now()),
                };
                continue;
            }
            // Always progress: each of them is gone afterwards.
            Err(CommitError::Duplicates(indexes)) => {
                tally.duplicates += indexes.len() as u64;
                for index in indexes.into_iter().rev() {
                    left.remove(index);
                }
            }
            Err(CommitError::Conflict) => {
                attempts += 1;
                if attempts == MAX_ATTEMPTS {
                    return Err(Failure::Conflict);
                }
                tokio::time::sleep(conflict_backoff(attempts, fastrand::f64())).await;
            }
            Err(CommitError::Store(error)) => return Err(error.into()),
        }
        // Consistently: the time of a commit that was not seen decides about an invalidation.
        let stored = deps.store.statistics(&[&work.partition], Consistency::Strong).await?;
        // Whoever committed since may have done so later than the time that stands there: nothing is certain any more.
        state = State::from_stored(stored.into_values().next())?;
    }
    tally.of_erased_users += left.len() as u64;
    Ok(state)
}

/// The state after a commit of `events` at the time `now`.
fn fold<S: Fold>(config: &Config, state: &State<S>, events: &[&Pending], now: Timestamp) -> State<S> {
    let mut folded = state.folded.clone();
    for pending in events {
        folded.apply(&pending.event);
    }
    let mut metadata = state.metadata.clone();
    if events.iter().any(|pending| !changed_views(&pending.event.data).is_empty()) {
        // Later than whatever was noted before, so that the order of commits shows in it.
        let after = |time: Timestamp| shared::time::plus_millisecond(time);
        let earlier =
            [metadata.last_changed_at, metadata.last_skipped_at].into_iter().flatten().map(after);
        let changed_at = earlier.fold(now, Timestamp::max);
        metadata.last_changed_at = Some(changed_at);
        let is_inactive = config.idle.is_some_and(|rule| rule.is_inactive(folded.last_token_issued_at(), changed_at));
        if is_inactive && !events.iter().any(|pending| concerns_everyone(&pending.event.data)) {
            metadata.last_skipped_at = Some(changed_at);
        }
    }
    State { folded, metadata, committed_by: None }
}

/// Whether a change must reach the cache even of a user who seems idle.
fn concerns_everyone(data: &Data) -> bool {
    matches!(data, Data::Suspended(_) | Data::Reinstated(_) | Data::Deleted(_))
}

/// The profile that the events ask for: that of the earliest confirmation.
fn profile(partition: &Partition, events: &[&Pending]) -> Option<Profile> {
    let Partition::User(sub) = partition else { return None };
    let confirmations = events.iter().filter_map(|pending| match &pending.event.data {
        Data::Confirmed(confirmed) => Some((pending.event.time, confirmed)),
        _ => None,
    });
    let (created_at, confirmed) = confirmations.min_by_key(|(time, _)| *time)?;
    Some(Profile { sub: sub.clone(), confirmed: confirmed.clone(), created_at })
}

/// What to send after the commit, also where all events were duplicates: the crash may have come between a
/// commit and its notice.
fn notice(deps: &Deps, sub: &str, work: &Work, state: &State<UserStats>, tally: &mut Tally) -> Option<Event> {
    let events = || work.events.iter().map(|pending| &pending.event);
    let StatsMetadata { last_changed_at, last_skipped_at, erased_at, .. } = state.metadata;
    let noted_at = last_changed_at.filter(|_| erased_at.is_none())?;
    // The time in STATS was taken before the commit. An invalidation between the two evicted nothing of it.
    let changed_at = match state.committed_by {
        Some(committed_by) => committed_by.max(noted_at),
        None => plus_seconds(noted_at, WORKER_CALL_SETTLED_SECONDS),
    };
    let mut views: BTreeSet<View> = events().flat_map(|event| changed_views(&event.data)).copied().collect();
    let everyone = events().any(|event| concerns_everyone(&event.data));
    let late_token = deps.config.idle.is_some_and(|rule| {
        let tokens = events().filter(|event| is_token(&event.data));
        tokens.into_iter().any(|token| rule.is_late_token(token.time, last_skipped_at))
    });
    if everyone || late_token {
        views = View::ALL.into();
    } else if views.is_empty() {
        return None;
    } else if last_skipped_at >= last_changed_at {
        tally.skipped_idle += 1;
        return None;
    }
    Some(data_changed(deps, sub, views, changed_at))
}

fn data_changed(deps: &Deps, sub: &str, views: BTreeSet<View>, changed_at: Timestamp) -> Event {
    let data = Data::DataChanged(DataChanged { views, changed_at });
    Event::new(SOURCE, Subject::User(sub.to_owned()), deps.clock.now(), data)
}

fn is_token(data: &Data) -> bool {
    matches!(data, Data::SignedIn(_) | Data::TokenRefreshed(_))
}

fn is_erasure(work: &Work) -> bool {
    work.events.iter().any(|pending| matches!(pending.event.data, Data::Deleted(_)))
}

async fn erase(
    deps: &Deps,
    work: &Work,
    known: Option<StoredStatistics>,
    deadline: &Deadline,
) -> Result<(), Failure> {
    let known = known.map(|stored| stored.metadata()).transpose()?.unwrap_or_default();
    erasure::erase(&deps.store, &work.partition, known, &deps.clock, deadline).await
}
