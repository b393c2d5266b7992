//! Erasing a user, at somebody's request: what user-stats does on `user.deleted`, without the queue.

pub mod command;

use anyhow::{Context, Result};
use jiff::Timestamp;
use shared::events::{Data, DataChanged, Event, Subject, View};
use shared::queues::Queue;
use shared::store::commits::StatsMetadata;
use shared::store::{Consistency, Partition, Store};
use shared::time::Clock;
use shared::deadline::Deadline;
use shared::erasure;

use crate::user::suspension::SOURCE;

/// What there is of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredUserData {
    /// Whether there is a profile.
    pub profile: bool,
    /// Whether there are statistics, and no marker of an erasure.
    pub statistics: bool,
    /// Whether the user was erased before.
    pub erased: bool,
    /// How many stored events there are.
    pub events: usize,
}

impl StoredUserData {
    /// Reads it.
    pub async fn read(store: &Store, sub: &str) -> Result<Self> {
        let partition = Partition::User(sub.to_owned());
        let stored = store.statistics(&[&partition], Consistency::Strong).await?.into_values().next();
        let erased = match &stored {
            Some(stored) => stored.metadata()?.erased_at.is_some(),
            None => false,
        };
        let profile = match store.profile_state(sub).await {
            Ok(profile) => profile.exists,
            // A suspension that cannot be read is something to erase, too.
            Err(error) if error.is_unreadable() => true,
            Err(error) => return Err(error.into()),
        };
        let events = store.event_times(&partition).await?.len();
        Ok(Self { profile, statistics: stored.is_some() && !erased, erased, events })
    }
}

/// Erases a user, and has their cached pages evicted. A suspension in force stays, and so does a marker, for 32 days, so that
/// late events count for nobody.
pub async fn forget(store: &Store, cache_invalidations: &Queue, sub: &str, clock: &Clock) -> Result<()> {
    let partition = Partition::User(sub.to_owned());
    let deadline = Deadline::new(Timestamp::MAX, clock.clone());
    let erasing = erasure::erase(store, &partition, StatsMetadata::default(), clock, &deadline);
    erasing.await.context("not everything was erased; run it again")?;
    let now = clock.now();
    let data = Data::DataChanged(DataChanged { views: View::ALL.into(), changed_at: now });
    let notice = Event::new(SOURCE, Subject::user(sub), now, data);
    let holds = "everything was erased, but cached pages were not evicted; run it again";
    cache_invalidations.send(&notice).await.context(holds)
}
