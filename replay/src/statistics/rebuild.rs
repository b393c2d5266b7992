//! Rebuilds statistics and lists from the stored events, as user-stats applies them, and finds the
//! differences.
//!
//! user-stats may commit at any time. A result counts only if STATS still has the version that was
//! read: a write has that as its condition, and without a write the version is read again.

pub mod command;
pub mod difference;
pub mod report;

use std::collections::BTreeMap;

use anyhow::Result;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::backoff::ConflictRetry;
use shared::events::Event;
use shared::statistics::{DomainStats, Statistics, UserStats};
use shared::store::list_corrections::items_of;
use shared::store::list_writes::max_items;
use shared::store::stored_events::StoredEvent;
use shared::store::{
    CommitError, Consistency, ListCorrections, ListDifference, ListWrites, Partition, StatsMetadata, Store,
    StoreError,
};

use difference::{Difference, differences};

/// Maximum number of partitions that are rebuilt concurrently.
const CONCURRENT_PARTITIONS: usize = 8;
/// Code of a STATS item that is unreadable, among the codes of unreadable events.
pub const UNREADABLE_STATISTICS: &str = "statistics";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RebuildMode {
    /// Whether to write the rebuilt statistics and lists. Otherwise differences are only found.
    pub write: bool,
    /// True if a figure may fall, and if entries may be removed.
    pub lower: bool,
    /// True to rebuild only the lists and the states of notifications, and not the figures.
    pub lists_only: bool,
}

/// What differs in a partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    pub figures: Vec<Difference>,
    pub lists: Vec<ListDifference>,
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        self.figures.is_empty() && self.lists.is_empty()
    }

    /// True if a figure would fall, or an item would be removed whose events may have expired.
    pub fn falls(&self) -> bool {
        self.figures.iter().any(Difference::falls) || self.lists.iter().any(|list| list.unexplained > 0)
    }
}

/// What a rebuild did with a partition.
#[derive(Clone, Debug, PartialEq)]
pub enum RebuildOutcome {
    /// The partition has neither statistics nor events.
    Empty,
    /// The statistics match the events.
    Correct,
    /// The user was erased, so nothing is rebuilt.
    Erased,
    /// The statistics differ, and were not written.
    Differs(Differences),
    /// The statistics differed, and were written.
    Written(Differences),
    /// The statistics differ, and were not written because a figure would fall.
    Refused(Differences),
    /// Number of stored events that are unreadable, by the code of the reason. If STATS is
    /// unreadable, the code is [`UNREADABLE_STATISTICS`].
    Unreadable(BTreeMap<&'static str, usize>),
    /// Concurrent writers changed the statistics on every attempt.
    Conflict,
}

impl RebuildOutcome {
    /// Whether the statistics differ, or could not be compared.
    pub fn needs_attention(&self) -> bool {
        !matches!(self, Self::Empty | Self::Correct | Self::Erased)
    }

    pub fn differences(&self) -> Option<&Differences> {
        match self {
            Self::Differs(differences) | Self::Written(differences) | Self::Refused(differences) => {
                Some(differences)
            }
            Self::Empty | Self::Correct | Self::Erased | Self::Unreadable(_) | Self::Conflict => None,
        }
    }
}

/// Number of partitions by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RebuildSummary {
    /// Number of users.
    pub users: usize,
    /// Number of domain shards.
    pub domain_shards: usize,
    /// Number of partitions that are correct or empty.
    pub correct: usize,
    /// Number of erased users, who stay erased.
    pub erased: usize,
    /// Number of partitions that differ, including those that were written or refused.
    pub differing: usize,
    /// Number of partitions that were written.
    pub written: usize,
    /// Number of partitions that were not written, because a figure would fall.
    pub refused: usize,
    /// Number of partitions with unreadable events or statistics.
    pub unreadable: usize,
    /// Number of partitions that concurrent writers changed on every attempt.
    pub conflicts: usize,
}

impl RebuildSummary {
    pub fn add(&mut self, partition: &Partition, outcome: &RebuildOutcome) {
        match partition {
            Partition::User(_) => self.users += 1,
            Partition::Domain { .. } => self.domain_shards += 1,
        }
        match outcome {
            RebuildOutcome::Empty | RebuildOutcome::Correct => self.correct += 1,
            RebuildOutcome::Erased => self.erased += 1,
            RebuildOutcome::Differs(_) => self.differing += 1,
            RebuildOutcome::Written(_) => {
                self.differing += 1;
                self.written += 1;
            }
            RebuildOutcome::Refused(_) => {
                self.differing += 1;
                self.refused += 1;
            }
            RebuildOutcome::Unreadable(_) => self.unreadable += 1,
            RebuildOutcome::Conflict => self.conflicts += 1,
        }
    }
}

/// Rebuilds the statistics of every user and every shard of a domain, and calls `report` for each.
pub async fn rebuild_all(
    store: &Store,
    mode: RebuildMode,
    now: Timestamp,
    report: &mut dyn FnMut(&Partition, &RebuildOutcome) -> Result<()>,
) -> Result<()> {
    let (mut start, mut last) = (None, None);
    loop {
        let (mut partitions, next) = store.scan_partitions(start).await?;
        // A scan returns the items of a partition next to each other, so only the last partition of
        // a page can be in the next page as well.
        if last.is_some() && partitions.first() == last.as_ref() {
            partitions.remove(0);
        }
        last = partitions.last().cloned().or(last);
        let outcomes = stream::iter(partitions).map(|partition| async move {
            let outcome = rebuild(store, &partition, mode, now).await;
            (partition, outcome)
        });
        let mut outcomes = outcomes.buffered(CONCURRENT_PARTITIONS);
        while let Some((partition, outcome)) = outcomes.next().await {
            report(&partition, &outcome?)?;
        }
        start = next;
        if start.is_none() {
            return Ok(());
        }
    }
}

/// Rebuilds the statistics and lists of one partition. Entries that have expired at `now` are ignored.
pub async fn rebuild(
    store: &Store,
    partition: &Partition,
    mode: RebuildMode,
    now: Timestamp,
) -> Result<RebuildOutcome> {
    let mut retry = ConflictRetry::new();
    loop {
        let outcome = match partition {
            Partition::User(_) => attempt::<UserStats>(store, partition, mode, now).await?,
            Partition::Domain { .. } => attempt::<DomainStats>(store, partition, mode, now).await?,
        };
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
        if retry.wait().await.is_err() {
            return Ok(RebuildOutcome::Conflict);
        }
    }
}

/// One attempt to rebuild. `None` if another writer changed the statistics meanwhile.
async fn attempt<S: Statistics>(
    store: &Store,
    partition: &Partition,
    mode: RebuildMode,
    now: Timestamp,
) -> Result<Option<RebuildOutcome>> {
    // The statistics are read before the events: a commit in between then changes the version that
    // was read.
    let Some(current) = CurrentStatistics::read(store, partition).await? else {
        return Ok(Some(RebuildOutcome::Unreadable(BTreeMap::from([(UNREADABLE_STATISTICS, 1)]))));
    };
    let version = current.metadata.version;
    if current.metadata.erased_at.is_some() {
        return Ok(Some(RebuildOutcome::Erased));
    }
    let events = apply_stored_events::<S>(store, partition).await?;
    let rebuilt = serde_json::to_value(&events.statistics)?;
    let figures = match mode.lists_only {
        true => Vec::new(),
        false => differences(&current.attributes, &rebuilt, S::ATTRIBUTES),
    };
    let lists = match partition {
        Partition::User(_) => {
            let writes =
                ListWrites::of(events.of_lists.iter().map(|(event, at)| (event, *at)), &BTreeMap::new())?;
            let stored = store.read_list_items(partition).await?;
            ListCorrections::between(&stored, &items_of(writes)?, now)
        }
        Partition::Domain { .. } => ListCorrections::default(),
    };
    let differences = Differences { figures, lists: lists.differences.clone() };
    let outcome = if !events.unreadable.is_empty() {
        RebuildOutcome::Unreadable(events.unreadable)
    } else if differences.is_empty() {
        let is_empty = current.attributes.is_null() && events.count == 0;
        return Ok(Some(if is_empty { RebuildOutcome::Empty } else { RebuildOutcome::Correct }));
    } else if differences.falls() && !mode.lower {
        RebuildOutcome::Refused(differences)
    } else if mode.write {
        let is_removed =
            |name: &&str| current.attributes.get(*name).is_some() && rebuilt.get(*name).is_none();
        let removed: Vec<&str> = S::ATTRIBUTES.iter().copied().filter(is_removed).collect();
        // Each write has the condition that no commit came after the reads, and increases the version.
        let written = async {
            let version = store.correct_lists(partition, version, &lists).await?;
            if differences.figures.is_empty() {
                return Ok(());
            }
            store.replace_statistics(partition, version, &events.statistics, &removed).await
        };
        return match written.await {
            Ok(()) => Ok(Some(RebuildOutcome::Written(differences))),
            Err(CommitError::Store(error)) => Err(error.into()),
            Err(CommitError::Conflict(_) | CommitError::Throttled(_) | CommitError::Duplicates(_)) => {
                Ok(None)
            }
        };
    } else {
        RebuildOutcome::Differs(differences)
    };
    let now = CurrentStatistics::read(store, partition).await?;
    let is_unchanged = now.is_some_and(|now| now.metadata.version == version);
    Ok(is_unchanged.then_some(outcome))
}

/// STATS as it was read.
#[derive(Default)]
struct CurrentStatistics {
    /// Null if there is no item.
    attributes: Value,
    metadata: StatsMetadata,
}

impl CurrentStatistics {
    /// Reads STATS. `None` if it is unreadable.
    async fn read(store: &Store, partition: &Partition) -> Result<Option<Self>, StoreError> {
        let stored = store.read_statistics(&[partition], Consistency::Strong).await?.into_values().next();
        let Some(stored) = stored else { return Ok(Some(Self::default())) };
        Ok(match (stored.statistics(), stored.metadata()) {
            (Ok(attributes), Ok(metadata)) => Some(Self { attributes, metadata }),
            _ => None,
        })
    }
}

/// The stored events of a partition, applied.
struct AppliedEvents<S> {
    statistics: S,
    /// Number of events, including those that are unreadable.
    count: usize,
    /// Number of events that are unreadable, by the code of the reason.
    unreadable: BTreeMap<&'static str, usize>,
    /// The events that lists follow from, with the time to live of their items.
    of_lists: Vec<(Event, i64)>,
}

async fn apply_stored_events<S: Statistics>(
    store: &Store,
    partition: &Partition,
) -> Result<AppliedEvents<S>, StoreError> {
    let mut applied = AppliedEvents {
        statistics: S::default(),
        count: 0,
        unreadable: BTreeMap::new(),
        of_lists: Vec::new(),
    };
    let mut start = None;
    loop {
        let (events, next) = store.read_stored_events(partition, start).await?;
        for StoredEvent { body, expires_at } in events {
            applied.count += 1;
            match Event::parse(&body) {
                Ok(event) => {
                    applied.statistics.apply(&event);
                    if max_items(&event.data) > 1 {
                        applied.of_lists.extend(expires_at.map(|expires_at| (event, expires_at)));
                    }
                }
                Err(error) => *applied.unreadable.entry(error.error_type()).or_default() += 1,
            }
        }
        start = next;
        if start.is_none() {
            return Ok(applied);
        }
    }
}
