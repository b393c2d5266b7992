//! Applies events that are more than 30 days old, which user-stats rejects.
//!
//! Each event counts once: the marker of an applied event stays for EVENT_RETENTION_DAYS after the
//! event's time. After that it is unknown whether an event was applied, so older events are
//! rejected.

pub mod command;

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;
use jiff::Timestamp;
use shared::backoff::ConflictRetry;
use shared::events::{Data, Event, InvalidEvent, MAX_AHEAD_SECONDS};
use shared::statistics::{DomainStats, Statistics, UserStats};
use shared::store::commit::transaction_size;
use shared::store::{Commit, CommitError, CommitFailure, Consistency, Partition, Store};
use shared::time::{minus_seconds, plus_seconds};

use crate::queue::message_file::{InvalidLine, parse_line};

/// No event is applied this close to the expiry of its marker.
const MARGIN_DAYS: u32 = 1;
const DAY_SECONDS: i64 = 24 * 3600;

/// The events of a file.
#[derive(Debug, Default)]
pub struct BackfillEvents {
    /// By partition, with their bodies.
    pub by_partition: BTreeMap<Partition, Vec<(Event, String)>>,
    /// Number of events with the subject `unknown`, which change no statistics.
    pub without_user: usize,
    /// Number of allowed sign-in attempts, which change no statistics and have expired.
    pub allowed_attempts: usize,
    /// Partition and sort key of each event, because a transaction must not contain a key twice.
    keys: HashSet<(Partition, String)>,
}

/// Why an event of a file cannot be applied. The text quotes nothing of the line.
#[derive(Debug, thiserror::Error)]
pub enum BackfillLineError {
    #[error(transparent)]
    InvalidLine(#[from] InvalidLine),
    #[error("body: {0}")]
    InvalidEvent(#[from] InvalidEvent),
    #[error(
        "body: time: more than {max_age_days} days ago. The event's marker may have expired, so the \
         event could count twice. Remove the line"
    )]
    MarkerMayHaveExpired { max_age_days: u32 },
    #[error("body: type: {0} changes no statistics. Remove the line")]
    NotCounted(&'static str),
    #[error("body: time: within the last 30 days, so user-stats accepts the event. Send it with replay send")]
    NotTooOld,
}

/// What happened to the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackfillCounts {
    pub applied: usize,
    /// Applied before.
    pub duplicates: usize,
    /// Events of users who were erased or are not in the table. A missing user may have been erased
    /// so long ago that the erasure marker expired.
    pub dropped: usize,
}

impl BackfillEvents {
    /// Adds the event of a line of a file of `replay save`.
    pub fn add_line(
        &mut self,
        line: &[u8],
        event_retention_days: u32,
        now: Timestamp,
    ) -> Result<(), BackfillLineError> {
        let Some(message) = parse_line(line)? else { return Ok(()) };
        let event = Event::parse(&message.body)?;
        let max_age_days = event_retention_days.saturating_sub(MARGIN_DAYS);
        if event.time < minus_seconds(now, i64::from(max_age_days) * DAY_SECONDS) {
            return Err(BackfillLineError::MarkerMayHaveExpired { max_age_days });
        }
        if event.time > plus_seconds(now, MAX_AHEAD_SECONDS) {
            return Err(InvalidEvent::InTheFuture.into());
        }
        if matches!(event.data, Data::Deleted(_)) || !event.data.belongs_on_user_events() {
            return Err(BackfillLineError::NotCounted(event.data.event_type()));
        }
        if event.check_time(now).is_ok() {
            return Err(BackfillLineError::NotTooOld);
        }
        let Some(partition) = Partition::of(&event) else {
            self.without_user += 1;
            return Ok(());
        };
        if event.is_allowed_attempt() {
            self.allowed_attempts += 1;
            return Ok(());
        }
        if self.keys.insert((partition.clone(), event.key())) {
            self.by_partition.entry(partition).or_default().push((event, message.body));
        }
        Ok(())
    }
}

/// Applies the events of one partition, and adds to `counts`.
pub async fn apply_events(
    store: &Store,
    partition: &Partition,
    events: &[(Event, String)],
    event_retention_days: u32,
    counts: &mut BackfillCounts,
) -> Result<()> {
    match partition {
        Partition::User(_) => {
            commit::<UserStats>(store, partition, events, event_retention_days, counts).await
        }
        Partition::Domain { .. } => {
            commit::<DomainStats>(store, partition, events, event_retention_days, counts).await
        }
    }
}

async fn commit<S: Statistics>(
    store: &Store,
    partition: &Partition,
    events: &[(Event, String)],
    event_retention_days: u32,
    counts: &mut BackfillCounts,
) -> Result<()> {
    let mut pending: Vec<(&Event, &str)> =
        events.iter().map(|(event, body)| (event, body.as_str())).collect();
    let mut retry = ConflictRetry::new();
    while !pending.is_empty() {
        let stored = store.read_statistics(&[partition], Consistency::Strong).await?.into_values().next();
        // The erasure marker expires after 32 days, so an unknown user may have been erased.
        let is_unknown = stored.is_none() && matches!(partition, Partition::User(_));
        let stored = stored.unwrap_or_default();
        let metadata = stored.metadata()?;
        if is_unknown || metadata.erased_at.is_some() {
            counts.dropped += pending.len();
            return Ok(());
        }
        let mut statistics: S = stored.statistics()?;
        let size = transaction_size(pending.iter().copied()).min(pending.len());
        let batch = &pending[..size];
        batch.iter().for_each(|(event, _)| statistics.apply(event));
        let commit = Commit {
            partition,
            read_version: metadata.version,
            statistics: &statistics,
            metadata,
            events: batch,
            event_retention_days,
            profile: None,
        };
        match store.commit(commit).await {
            Ok(()) => {
                counts.applied += size;
                pending.drain(..size);
                retry = ConflictRetry::new();
            }
            Err(CommitError::Duplicates(indexes)) => {
                counts.duplicates += indexes.len();
                let mut index = 0;
                pending.retain(|_| {
                    index += 1;
                    !indexes.contains(&(index - 1))
                });
            }
            Err(CommitError::Conflict(reasons)) => {
                retry.wait().await.map_err(|_| CommitFailure::Conflict(reasons))?;
            }
            Err(CommitError::Throttled(reasons)) => {
                retry.wait().await.map_err(|_| CommitFailure::Throttled(reasons))?;
            }
            Err(CommitError::Store(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn line(event_type: &str, days_ago: i64, now: Timestamp, data: Value) -> Vec<u8> {
        let event = json!({
            "specversion": "1.0", "id": "1", "source": "/shop", "type": event_type, "subject": "ana",
            "time": minus_seconds(now, days_ago * DAY_SECONDS).to_string(), "data": data,
        });
        json!({"messageId": "1", "body": event}).to_string().into_bytes()
    }

    #[test]
    fn line_is_accepted_if_its_event_is_too_old_for_user_stats_and_its_marker_exists() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let order = json!({"order_id": "1", "amount": "4.90", "currency": "EUR"});
        let add = |days_ago: i64| {
            let line = line("order.placed", days_ago, now, order.clone());
            BackfillEvents::default().add_line(&line, 90, now).map_err(|error| error.to_string())
        };
        assert_eq!((add(31), add(89)), (Ok(()), Ok(())));
        assert!(add(90).unwrap_err().starts_with("body: time: more than 89 days ago"));
        assert!(add(30).unwrap_err().starts_with("body: time: within the last 30 days"));
        assert_eq!(add(-1), Err("body: time: more than 15 minutes ahead".to_owned()));
    }

    #[test]
    fn event_counts_once_for_each_subject() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let order = json!({"order_id": "1", "amount": "4.90", "currency": "EUR"});
        let of_ana = String::from_utf8(line("order.placed", 40, now, order)).unwrap();
        let of_ben = of_ana.replace("\"ana\"", "\"ben\"");
        let mut events = BackfillEvents::default();
        for line in [&of_ana, &of_ben, &of_ana] {
            events.add_line(line.as_bytes(), 90, now).unwrap();
        }
        let counts: Vec<usize> = events.by_partition.values().map(Vec::len).collect();
        assert_eq!(counts, [1, 1]);
    }

    #[test]
    fn events_that_change_no_statistics_are_rejected() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let line = line("user.deleted", 40, now, json!({}));
        let error = BackfillEvents::default().add_line(&line, 90, now).unwrap_err().to_string();
        assert_eq!(error, "body: type: user.deleted changes no statistics. Remove the line");
    }
}
