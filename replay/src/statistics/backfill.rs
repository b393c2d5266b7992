//! Events that are too old for user-stats (more than 30 days), counted all the same: each once, because the marker of one that
//! was counted is there for EVENT_RETENTION_DAYS after its time. Of older ones nobody knows.

pub mod command;

use std::collections::{BTreeMap, HashSet};

use anyhow::{Result, bail};
use shared::events::{Data, Event};
use shared::statistics::{DomainStats, Fold, UserStats};
use shared::store::commits::{MAX_ATTEMPTS, transaction_size, conflict_backoff};
use shared::store::{Commit, CommitError, Consistency, Partition, Store, StoredStatistics};
use shared::time::{Clock, minus_seconds, plus_seconds};

use crate::queue::message::QueuedMessage;

/// Markers go after EVENT_RETENTION_DAYS; no event is taken in so shortly before.
const MARGIN_SECONDS: i64 = 24 * 3600;

/// Events by user or domain, with their bodies.
#[derive(Debug, Default)]
pub struct BackfillEvents {
    /// The events of each.
    pub of: BTreeMap<Partition, Vec<(Event, String)>>,
    /// About users that the pool did not know: they count for nobody.
    pub of_unknown_users: usize,
    seen: HashSet<(String, String)>,
}

/// What became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Counted now.
    pub applied: usize,
    /// Counted before.
    pub duplicates: usize,
    /// Of users who were erased, or of whom the table knows nothing, which may be because they were erased: dropped.
    pub of_erased_users: usize,
}

/// Reads a line of a file of `replay save`, and adds its event. Errors say why it cannot be counted, and quote nothing.
pub fn read(
    events: &mut BackfillEvents,
    line: &[u8],
    event_retention_days: u32,
    clock: &Clock,
) -> Result<(), String> {
    let Some(message) = QueuedMessage::from_line(line)? else { return Ok(()) };
    let event = Event::parse(&message.body).map_err(|error| format!("body: {error}"))?;
    let kept = i64::from(event_retention_days) * 24 * 3600 - MARGIN_SECONDS;
    if event.time < minus_seconds(clock.now(), kept) {
        return Err(format!(
            "body: time: so long ago that its marker may have gone, {event_retention_days} days after it: nobody knows \
             whether it was counted"
        ));
    }
    if event.time > plus_seconds(clock.now(), shared::events::MAX_AHEAD_SECONDS) {
        return Err("body: time: more than 15 minutes ahead".to_owned());
    }
    if matches!(event.data, Data::Deleted(_) | Data::DataChanged(_) | Data::GroupsMapped(_)) {
        return Err(format!("body: {} counts for nobody", event.data.event_type()));
    }
    if event.check_time(clock.now()).is_ok() {
        return Err("body: time: within the last 30 days: user-stats takes it (replay send)".to_owned());
    }
    match Partition::of(&event) {
        None => events.of_unknown_users += 1,
        // A transaction takes each key once.
        Some(partition) if events.seen.insert((event.source.clone(), event.id.clone())) => {
            events.of.entry(partition).or_default().push((event, message.body));
        }
        Some(_) => {}
    }
    Ok(())
}

/// Counts the events of one user or domain.
pub async fn count(
    store: &Store,
    partition: &Partition,
    events: &[(Event, String)],
    event_retention_days: u32,
) -> Result<Counted> {
    match partition {
        Partition::User(_) => commit::<UserStats>(store, partition, events, event_retention_days).await,
        Partition::Domain { .. } => {
            commit::<DomainStats>(store, partition, events, event_retention_days).await
        }
    }
}

async fn commit<S: Fold>(
    store: &Store,
    partition: &Partition,
    events: &[(Event, String)],
    event_retention_days: u32,
) -> Result<Counted> {
    let mut counted = Counted::default();
    let mut left: Vec<(&Event, &str)> = events.iter().map(|(event, body)| (event, body.as_str())).collect();
    let mut attempts = 0;
    while !left.is_empty() {
        let stored = store.statistics(&[partition], Consistency::Strong).await?.into_values().next();
        // The marker of an erasure goes after 32 days: who is not known may have been erased.
        let is_unknown = stored.is_none() && matches!(partition, Partition::User(_));
        let stored = stored.unwrap_or_default();
        let metadata = StoredStatistics::metadata(&stored)?;
        if is_unknown || metadata.erased_at.is_some() {
            counted.of_erased_users += left.len();
            return Ok(counted);
        }
        let mut folded: S = stored.folded()?;
        let count = transaction_size(left.iter().map(|(_, body)| body.len())).min(left.len());
        let batch = &left[..count];
        batch.iter().for_each(|(event, _)| folded.apply(event));
        let commit = Commit {
            partition,
            read_version: metadata.version,
            folded: &folded,
            metadata,
            events: batch,
            event_retention_days,
            profile: None,
        };
        match store.commit(commit).await {
            Ok(()) => {
                counted.applied += count;
                left.drain(..count);
                attempts = 0;
            }
            Err(CommitError::Duplicates(indexes)) => {
                counted.duplicates += indexes.len();
                let mut index = 0;
                left.retain(|_| {
                    index += 1;
                    !indexes.contains(&(index - 1))
                });
            }
            Err(CommitError::Conflict) => {
                attempts += 1;
                if attempts == MAX_ATTEMPTS {
                    bail!("others kept committing first; run it again");
                }
                tokio::time::sleep(conflict_backoff(attempts, fastrand::f64())).await;
            }
            Err(CommitError::Store(error)) => return Err(error.into()),
        }
    }
    Ok(counted)
}
