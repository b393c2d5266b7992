//! Which messages user-stats accepts, and the events of accepted messages by partition.

use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry};

use jiff::Timestamp;
use shared::events::{Data, Event};
use shared::store::{Partition, ProfileChanges};

use crate::rejection::Rejection;

/// An accepted message.
pub struct AcceptedMessage {
    /// Index in the batch.
    pub index: usize,
    pub pending: PendingEvent,
}

/// An event that is not committed yet.
pub struct PendingEvent {
    pub event: Event,
    /// The body as it arrived. It is stored as it is.
    pub body: String,
}

/// The events of one partition in a batch.
pub struct PartitionEvents {
    pub partition: Partition,
    /// No two of them have the same key.
    pub events: Vec<PendingEvent>,
    /// Changes of the profile that are written together with a `profile.updated` among the events.
    pub profile_changes: Option<ProfileChanges>,
    /// Indexes of the messages that carry these events, duplicates included.
    pub messages: Vec<usize>,
}

/// An allowed sign-in attempt. It changes no statistics.
pub struct Attempt {
    pub partition: Partition,
    pub pending: PendingEvent,
    /// Indexes of the messages that carry it, duplicates included.
    pub messages: Vec<usize>,
}

/// The accepted messages of a batch.
#[derive(Default)]
pub struct EventsByPartition {
    /// Events to commit.
    pub partitions: Vec<PartitionEvents>,
    /// No two of them have the same partition and key.
    pub attempts: Vec<Attempt>,
    /// Number of messages whose event is in the batch a second time.
    pub duplicates: u64,
    /// Number of sign-in attempts of users that the user pool does not know. They have no
    /// statistics.
    pub unknown_users: u64,
}

/// The event in a message body, if user-stats may apply it at `now`.
pub fn accept(body: &str, now: Timestamp, allow_erasure_events: bool) -> Result<Event, Rejection> {
    let event = Event::parse(body)?;
    event.check_time(now)?;
    match event.data {
        _ if !event.data.belongs_on_user_events() => Err(Rejection::wrong_queue(&event)),
        Data::Deleted(_) if !allow_erasure_events => Err(Rejection::ErasureNotAllowed),
        _ => Ok(event),
    }
}

pub fn group_by_partition(messages: Vec<AcceptedMessage>) -> EventsByPartition {
    let mut grouped = EventsByPartition::default();
    let mut partitions: BTreeMap<Partition, PartitionEvents> = BTreeMap::new();
    let mut attempts: BTreeMap<(Partition, String), Attempt> = BTreeMap::new();
    let mut seen = HashSet::new();
    for AcceptedMessage { index, pending } in messages {
        let Some(partition) = Partition::of(&pending.event) else {
            grouped.unknown_users += 1;
            continue;
        };
        let key = (partition.clone(), pending.event.key());
        if pending.event.is_allowed_attempt() {
            match attempts.entry(key) {
                Entry::Occupied(mut entry) => {
                    entry.get_mut().messages.push(index);
                    grouped.duplicates += 1;
                }
                Entry::Vacant(entry) => {
                    entry.insert(Attempt { partition, pending, messages: vec![index] });
                }
            }
            continue;
        }
        let group = match partitions.entry(partition) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let partition = entry.key().clone();
                entry.insert(PartitionEvents {
                    partition,
                    events: Vec::new(),
                    profile_changes: None,
                    messages: Vec::new(),
                })
            }
        };
        group.messages.push(index);
        if seen.insert(key) {
            group.events.push(pending);
        } else {
            grouped.duplicates += 1;
        }
    }
    grouped.partitions = partitions.into_values().collect();
    grouped.attempts = attempts.into_values().collect();
    grouped
}
