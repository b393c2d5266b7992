//! Erases what the table stores about a user, as user-stats does on the event `user.deleted`.

pub mod command;

use anyhow::Result;
use jiff::Timestamp;
use shared::deadline::Deadline;
use shared::erasure;
use shared::events::{Data, DataChanged, Event, OPERATOR_SOURCE, Subject, UrgentReason, View};
use shared::queues::{Queue, QueueError};
use shared::store::{CommitFailure, Consistency, Partition, StatsMetadata, Store, StoreError};
use shared::suspension::{Stored, SuspensionStatus};
use shared::time::Clock;

/// What the table stores about a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredUserData {
    pub has_profile: bool,
    /// The triggers enforce a part of it, or none. An erasure keeps exactly the parts that they
    /// enforce.
    pub suspension: SuspensionStatus,
    /// `false` for an erased user: then STATS is only the erasure marker.
    pub has_statistics: bool,
    /// True if the user was erased before, and the erasure marker has not expired.
    pub is_erased: bool,
    /// Number of stored events.
    pub events: usize,
    /// Number of stored sign-in attempts that were allowed.
    pub attempts: usize,
    /// Number of resources of other users for which the user has or had permissions.
    pub grants: usize,
}

/// An erasure that was not completed.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("the user's data was not erased completely. Run the command again")]
    NotErased(#[source] CommitFailure),
    #[error("the user's permissions for resources of other users were not deleted. Run the command again")]
    GrantsNotDeleted(#[source] StoreError),
    #[error("the user's data was erased, but the cached pages were not invalidated. Run the command again")]
    NotPublished(#[source] QueueError),
}

impl StoredUserData {
    pub async fn read(store: &Store, sub: &str) -> Result<Self> {
        let partition = Partition::User(sub.to_owned());
        let stored = store.read_statistics(&[&partition], Consistency::Strong).await?.into_values().next();
        let metadata = stored.as_ref().map(|stored| stored.metadata()).transpose()?;
        let is_erased = metadata.is_some_and(|metadata| metadata.erased_at.is_some());
        let state = store.read_sign_in_state(sub).await?;
        let events = store.read_event_times(&partition).await?.len();
        Ok(Self {
            has_profile: state.has_profile,
            suspension: state.suspension,
            has_statistics: stored.is_some() && !is_erased,
            is_erased,
            events,
            attempts: store.count_attempts(&partition).await?,
            grants: store.read_grants(sub).await?.len(),
        })
    }

    /// Whether the table stores nothing about the user, not even an erasure marker.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the erasure does to the user's suspension, in a few words.
    pub fn describe_suspension(&self, now: Timestamp) -> String {
        if self.suspension.denial(now).is_some() {
            return format!("stays: {}", self.suspension.describe(now));
        }
        match self.suspension.suspension {
            Stored::Missing => "no".to_owned(),
            _ => "yes, over: its record is erased too".to_owned(),
        }
    }
}

/// Erases a user's data, then publishes an event that invalidates the user's cached pages.
///
/// The parts of a suspension that the triggers enforce stay, and the record of a suspension that is over is
/// deleted. So are the user's permissions for resources of other users. An erasure marker stays for 32 days, so that late events do not count.
pub async fn erase(
    store: &Store,
    cache_invalidations: &Queue,
    sub: &str,
    clock: &Clock,
) -> Result<(), EraseError> {
    let partition = Partition::User(sub.to_owned());
    let no_deadline = Deadline::new(Timestamp::MAX, clock.clone());
    let erasing = erasure::erase(store, &partition, StatsMetadata::default(), clock, &no_deadline);
    erasing.await.map_err(EraseError::NotErased)?;
    let now = clock.now();
    store.delete_ended_suspension(sub, now).await.map_err(EraseError::NotErased)?;
    store.delete_grants(sub).await.map_err(EraseError::GrantsNotDeleted)?;
    let data = Data::DataChanged(DataChanged {
        views: View::ALL.into(),
        changed_at: now,
        reason: Some(UrgentReason::Erased),
        pages_expire_at: None,
    });
    let event = Event::new(OPERATOR_SOURCE, Subject::user(sub), now, data);
    cache_invalidations.send(&event).await.map_err(EraseError::NotPublished)
}
