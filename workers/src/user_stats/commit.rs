//! Commits the events of one partition, each exactly once.
//!
//! The stored event is the idempotency marker. One transaction puts the events that are not stored
//! yet, and updates the statistics if their version is still the one that was read. Two failures
//! are expected:
//!
//! - Duplicates: some events are already stored. The next attempt leaves them out.
//! - Conflict: another worker changed the statistics. The next attempt starts from the new state.

use jiff::Timestamp;
use shared::backoff::ConflictRetry;
use shared::deadline::Deadline;
use shared::events::{Data, Event};
use shared::statistics::Statistics;
use shared::store::commit::{ATTEMPT_SECONDS, transaction_size};
use shared::store::{
    Commit, CommitError, CommitFailure, Consistency, Partition, Profile, StatsMetadata, Store, StoreError,
    StoredStatistics,
};
use shared::time::Clock;

use super::accept::{PartitionEvents, PendingEvent};
use super::counts::InvocationCounts;
use super::inactive::InactiveUserRule;
use super::notice;

/// Commits the events of partitions.
pub struct Committer<'a> {
    pub store: &'a Store,
    pub clock: &'a Clock,
    pub deadline: &'a Deadline,
    pub event_retention_days: u32,
    pub inactive_user_rule: Option<InactiveUserRule>,
}

/// STATS after all events of a partition are committed, or dropped because the user is erased.
pub struct Committed {
    pub metadata: StatsMetadata,
    /// When the last transaction of this invocation was answered. `None` if there was none, or if
    /// STATS was read after it, because another worker may have committed in between.
    pub committed_by: Option<Timestamp>,
}

/// STATS as this invocation last read or committed it. See [`Committed`].
#[derive(Default)]
struct State<S> {
    statistics: S,
    metadata: StatsMetadata,
    committed_by: Option<Timestamp>,
}

impl<S: Statistics> State<S> {
    fn from_stored(stored: Option<StoredStatistics>) -> Result<Self, StoreError> {
        let Some(stored) = stored else { return Ok(Self::default()) };
        Ok(Self { statistics: stored.statistics()?, metadata: stored.metadata()?, committed_by: None })
    }
}

impl Committer<'_> {
    /// Commits the events in as few transactions as they fit into. `stored` is STATS as it was
    /// read, and may be out of date.
    pub async fn commit<S: Statistics>(
        &self,
        group: &PartitionEvents,
        stored: Option<StoredStatistics>,
        counts: &mut InvocationCounts,
    ) -> Result<Committed, CommitFailure> {
        let mut remaining: Vec<&PendingEvent> = group.events.iter().collect();
        let mut state = State::<S>::from_stored(stored)?;
        let mut retry = ConflictRetry::new();
        while !remaining.is_empty() && state.metadata.erased_at.is_none() {
            if !self.deadline.leaves(ATTEMPT_SECONDS) {
                return Err(CommitFailure::OutOfTime);
            }
            let count = transaction_size(remaining.iter().map(|pending| pending.body.len()));
            let events = &remaining[..count];
            match self.commit_once(&group.partition, &state, events).await {
                Ok(committed) => {
                    state = committed;
                    counts.applied += count as u64;
                    let times = events.iter().map(|pending| pending.event.time);
                    counts.oldest_applied = times.chain(counts.oldest_applied).min();
                    remaining.drain(..count);
                    continue;
                }
                // Each such attempt leaves fewer events, so the number of attempts needs no limit.
                Err(CommitError::Duplicates(indexes)) => {
                    counts.duplicates += indexes.len() as u64;
                    for index in indexes.into_iter().rev() {
                        remaining.remove(index);
                    }
                }
                Err(CommitError::Conflict) => retry.wait().await?,
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
            // The read is consistent, because the notice depends on the time of the latest commit.
            let stored = self.store.read_statistics(&[&group.partition], Consistency::Strong).await?;
            state = State::from_stored(stored.into_values().next())?;
        }
        counts.events_of_erased_users += remaining.len() as u64;
        Ok(Committed { metadata: state.metadata, committed_by: state.committed_by })
    }

    /// Sends one transaction, and returns the state after it.
    async fn commit_once<S: Statistics>(
        &self,
        partition: &Partition,
        state: &State<S>,
        pending: &[&PendingEvent],
    ) -> Result<State<S>, CommitError> {
        let bodies: Vec<(&Event, &str)> = pending.iter().map(|p| (&p.event, p.body.as_str())).collect();
        let events: Vec<&Event> = pending.iter().map(|pending| &pending.event).collect();
        let mut statistics = state.statistics.clone();
        for event in &events {
            statistics.apply(event);
        }
        let metadata = notice::record_change(
            &state.metadata,
            &events,
            statistics.last_token_issued_at(),
            self.inactive_user_rule,
            self.clock.now(),
        );
        let profile = new_profile(partition, &events);
        let commit = Commit {
            partition,
            read_version: state.metadata.version,
            statistics: &statistics,
            metadata: metadata.clone(),
            events: &bodies,
            event_retention_days: self.event_retention_days,
            profile: profile.as_ref(),
        };
        self.store.commit(commit).await?;
        Ok(State {
            statistics,
            metadata: StatsMetadata { version: state.metadata.version + 1, ..metadata },
            committed_by: Some(self.clock.now()),
        })
    }
}

/// The profile to write if the user has none: that of the earliest confirmation.
fn new_profile(partition: &Partition, events: &[&Event]) -> Option<Profile> {
    let Partition::User(sub) = partition else { return None };
    let confirmations = events.iter().filter_map(|event| match &event.data {
        Data::Confirmed(confirmed) => Some((event.time, confirmed)),
        _ => None,
    });
    let (created_at, confirmed) = confirmations.min_by_key(|(time, _)| *time)?;
    Some(Profile { sub: sub.clone(), confirmed: confirmed.clone(), created_at })
}
