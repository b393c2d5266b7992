//! Commits the events of one partition, each exactly once.
//!
//! The stored event is the idempotency marker. One transaction puts the events that are not stored
//! yet, updates the statistics if their version is still the one that was read, and writes the lists
//! and the notifications that follow from the events (`shared::store::commit`). Three
//! failures are expected:
//!
//! - Duplicates: some events are already stored. The next attempt leaves them out.
//! - Conflict: another worker changed the statistics or a notification. The next attempt starts from the new state.
//! - Throttled: DynamoDB had no capacity. The next attempt is the same one, after a delay.
//!
//! Each transaction has eight attempts of its own, so a user whose events need several transactions
//! makes progress while others commit in between.

use jiff::Timestamp;
use shared::backoff::ConflictRetry;
use shared::deadline::Deadline;
use shared::events::{Data, Event};
use shared::statistics::Statistics;
use shared::store::commit::{ATTEMPT_SECONDS, transaction_size};
use shared::store::{
    Commit, CommitError, CommitFailure, Consistency, Partition, Profile, ProfileChanges, ProfileWrite,
    StatsMetadata, Store, StoreError, StoredStatistics,
};
use shared::time::Clock;

use super::accept::{PartitionEvents, PendingEvent};
use super::counts::InvocationCounts;
use super::notice::{self, CommitSummary, Decision, NoticeRules};

/// Store, clock and settings that every commit of an invocation uses.
pub struct Committer<'a> {
    pub store: &'a Store,
    pub clock: &'a Clock,
    /// The deadline of the invocation. No attempt starts if it has less than [`ATTEMPT_SECONDS`]
    /// left.
    pub deadline: &'a Deadline,
    /// The days for which an event is stored after its time.
    pub event_retention_days: u32,
    pub notice_rules: &'a NoticeRules,
    /// See [`Pipeline`](super::pipeline::Pipeline).
    pub many_failures: Option<u64>,
}

/// STATS as this invocation last read or committed it. See [`CommitSummary`].
#[derive(Default)]
struct State<S> {
    statistics: S,
    metadata: StatsMetadata,
    committed_no_later_than: Option<Timestamp>,
}

impl<S: Statistics> State<S> {
    fn from_stored(stored: Option<StoredStatistics>) -> Result<Self, StoreError> {
        let Some(stored) = stored else { return Ok(Self::default()) };
        Ok(Self {
            statistics: stored.statistics()?,
            metadata: stored.metadata()?,
            committed_no_later_than: None,
        })
    }
}

impl Committer<'_> {
    /// Commits the events in as few transactions as possible. `stored` is STATS as it was read, and
    /// may be out of date. Returns when every event is either committed or dropped (the user is
    /// erased).
    pub async fn commit<S: Statistics>(
        &self,
        partition_events: &PartitionEvents,
        stored: Option<StoredStatistics>,
        counts: &mut InvocationCounts,
    ) -> Result<CommitSummary, CommitFailure> {
        let partition = &partition_events.partition;
        let mut remaining: Vec<&PendingEvent> = partition_events.events.iter().collect();
        let mut state = State::<S>::from_stored(stored)?;
        let (mut decision, mut has_duplicates) = (Decision::default(), false);
        let mut profile_changes = partition_events.profile_changes.as_ref();
        let mut retry = ConflictRetry::new();
        while !remaining.is_empty() && state.metadata.erased_at.is_none() {
            if !self.deadline.leaves(ATTEMPT_SECONDS) {
                return Err(CommitFailure::OutOfTime);
            }
            let count =
                transaction_size(remaining.iter().map(|pending| (&pending.event, pending.body.as_str())));
            let events = &remaining[..count];
            let updates_profile = events.iter().any(|p| matches!(p.event.data, Data::ProfileUpdated(_)));
            let changes = profile_changes.filter(|_| updates_profile);
            match self.commit_once(partition, &state, events, changes).await {
                Ok((committed, decision_of_commit)) => {
                    if updates_profile {
                        profile_changes = None;
                    }
                    self.count_failures(
                        partition,
                        (&state.statistics, &committed.statistics),
                        events,
                        counts,
                    );
                    state = committed;
                    decision = decision.max(decision_of_commit);
                    counts.applied += count as u64;
                    let times = events.iter().map(|pending| pending.event.time);
                    counts.oldest_applied = times.chain(counts.oldest_applied).min();
                    remaining.drain(..count);
                    retry = ConflictRetry::new();
                    continue;
                }
                // Each attempt removes at least one event, so the loop ends.
                Err(CommitError::Duplicates(indexes)) => {
                    has_duplicates = true;
                    counts.duplicates += indexes.len() as u64;
                    for index in indexes.into_iter().rev() {
                        remaining.remove(index);
                    }
                    retry = ConflictRetry::new();
                }
                Err(CommitError::Conflict(reasons)) => {
                    retry.wait().await.map_err(|_| CommitFailure::Conflict(reasons))?;
                }
                // Nothing was written, so the state is not older than before.
                Err(CommitError::Throttled(reasons)) => {
                    retry.wait().await.map_err(|_| CommitFailure::Throttled(reasons))?;
                    continue;
                }
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
            // Read with strong consistency: the notice needs the latest commit, even if no event remains.
            let stored = self.store.read_statistics(&[partition], Consistency::Strong).await?;
            state = State::from_stored(stored.into_values().next())?;
        }
        counts.events_of_erased_users += remaining.len() as u64;
        let State { metadata, committed_no_later_than, .. } = state;
        Ok(CommitSummary { metadata, committed_no_later_than, decision, has_duplicates })
    }

    /// Counts the failed sign-ins of a commit, and the users who have many since.
    fn count_failures<S: Statistics>(
        &self,
        partition: &Partition,
        (before, after): (&S, &S),
        events: &[&PendingEvent],
        counts: &mut InvocationCounts,
    ) {
        let Some(threshold) = self.many_failures else { return };
        let failures = events.iter().filter(|pending| matches!(pending.event.data, Data::SignInFailed(_)));
        counts.sign_ins_failed += failures.count() as u64;
        if let (Some(before), Some(after)) = (before.failures_by_hour(), after.failures_by_hour()) {
            let hours = after.reached(threshold, before);
            counts.users_with_many_failures += hours;
            if let (1.., Partition::User(user)) = (hours, partition) {
                tracing::warn!(error_type = "many_failures", user, "many sign-ins of a user failed");
            }
        }
    }

    /// Sends one transaction. Returns the state after it, and if its change needs a notice.
    async fn commit_once<S: Statistics>(
        &self,
        partition: &Partition,
        state: &State<S>,
        pending: &[&PendingEvent],
        profile_changes: Option<&ProfileChanges>,
    ) -> Result<(State<S>, Decision), CommitError> {
        let events_with_bodies: Vec<(&Event, &str)> =
            pending.iter().map(|pending| (&pending.event, pending.body.as_str())).collect();
        let events: Vec<&Event> = pending.iter().map(|pending| &pending.event).collect();
        let mut statistics = state.statistics.clone();
        for event in &events {
            statistics.apply(event);
        }
        let (metadata, decision) = notice::record_change(
            &state.metadata,
            &events,
            statistics.last_token_issued_at(),
            self.notice_rules,
            self.clock.now(),
        );
        let profile = new_profile(partition, &events);
        let commit = Commit {
            partition,
            read_version: state.metadata.version,
            statistics: &statistics,
            metadata,
            events: &events_with_bodies,
            event_retention_days: self.event_retention_days,
            profile: match profile_changes {
                Some(changes) => Some(ProfileWrite::Changes(changes)),
                None => profile.as_ref().map(ProfileWrite::Missing),
            },
        };
        let metadata = commit.metadata_after();
        self.store.commit(commit).await?;
        let committed_no_later_than = Some(self.clock.now());
        Ok((State { statistics, metadata, committed_no_later_than }, decision))
    }
}

/// The profile from the earliest confirmation, written only if the user has none.
fn new_profile(partition: &Partition, events: &[&Event]) -> Option<Profile> {
    let Partition::User(sub) = partition else { return None };
    let confirmations = events.iter().filter_map(|event| match &event.data {
        Data::Confirmed(confirmed) => Some((event.time, confirmed)),
        _ => None,
    });
    let (created_at, confirmed) = confirmations.min_by_key(|(time, _)| *time)?;
    Some(Profile { sub: sub.clone(), confirmed: confirmed.clone(), created_at })
}
