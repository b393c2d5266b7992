//! Erasing a user: first the marker in STATS, against which no commit can be made any more, then everything else. What
//! is interrupted is made good by erasing again.

use crate::store::commits::{ATTEMPT_SECONDS, StatsMetadata, Failure, MAX_ATTEMPTS, conflict_backoff};
use crate::store::{CommitError, Consistency, Partition, Store};
use crate::time::Clock;

use crate::deadline::Deadline;

/// The marker of an erased user stays this long: longer than an event of theirs is accepted.
pub const ERASURE_MARKER_DAYS: u32 = 32;

/// Erases everything of a partition but the marker and a suspension in force, where `known` is what was last read of it.
pub async fn erase(
    store: &Store,
    partition: &Partition,
    known: StatsMetadata,
    clock: &Clock,
    deadline: &Deadline,
) -> Result<(), Failure> {
    let mut metadata = known;
    let mut attempts = 0;
    // Also where there is a marker: it lasts from the latest erasure on.
    loop {
        in_time(deadline)?;
        match store.mark_erased(partition, metadata.version, clock.now(), ERASURE_MARKER_DAYS).await {
            Ok(()) => break,
            Err(CommitError::Store(error)) => return Err(error.into()),
            Err(CommitError::Conflict | CommitError::Duplicates(_)) => {
                attempts += 1;
                if attempts == MAX_ATTEMPTS {
                    return Err(Failure::Conflict);
                }
                tokio::time::sleep(conflict_backoff(attempts, fastrand::f64())).await;
                let stored = store.statistics(&[partition], Consistency::Strong).await?;
                let stored = stored.into_values().next().map(|stored| stored.metadata());
                metadata = stored.transpose()?.unwrap_or_default();
            }
        }
    }
    in_time(deadline)?;
    store.delete_profile(partition, clock.now()).await?;
    loop {
        in_time(deadline)?;
        if !store.delete_events(partition).await? {
            return Ok(());
        }
    }
}

fn in_time(deadline: &Deadline) -> Result<(), Failure> {
    if deadline.leaves(ATTEMPT_SECONDS) { Ok(()) } else { Err(Failure::OutOfTime) }
}
