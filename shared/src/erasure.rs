//! Erasing a user: the erasure marker in STATS first, so that no later commit succeeds, then
//! everything else.
//!
//! If an erasure is interrupted, repeat it.

use crate::backoff::ConflictRetry;
use crate::deadline::Deadline;
use crate::store::commit::ATTEMPT_SECONDS;
use crate::store::{CommitError, CommitFailure, Consistency, Partition, StatsMetadata, Store};
use crate::time::Clock;

/// Days for which the marker of an erased user stays. Longer than an event of the user is accepted.
pub const ERASURE_MARKER_DAYS: u32 = 32;

/// Erases everything in a partition except the marker, and the flag `isBanned` of PROFILE if the
/// triggers enforce it. SUSPENSION is in another partition, and stays.
///
/// `metadata` is what was last read of STATS. It may be out of date.
pub async fn erase(
    store: &Store,
    partition: &Partition,
    mut metadata: StatsMetadata,
    clock: &Clock,
    deadline: &Deadline,
) -> Result<(), CommitFailure> {
    let mut retry = ConflictRetry::new();
    // A second erasure keeps the marker for 32 more days, with the time of the first erasure.
    loop {
        check(deadline)?;
        match store.mark_erased(partition, &metadata, clock.now(), ERASURE_MARKER_DAYS).await {
            Ok(()) => break,
            Err(CommitError::Store(error)) => return Err(error.into()),
            // Marking is a single write: it stores no events, and the SDK repeats it if DynamoDB throttles.
            Err(CommitError::Throttled(reasons)) => return Err(CommitFailure::Throttled(reasons)),
            Err(CommitError::Duplicates(_)) => retry.wait().await?,
            Err(CommitError::Conflict(reasons)) => {
                retry.wait().await.map_err(|_| CommitFailure::Conflict(reasons))?;
                let stored = store.read_statistics(&[partition], Consistency::Strong).await?;
                let stored = stored.into_values().next().map(|stored| stored.metadata());
                metadata = stored.transpose()?.unwrap_or_default();
            }
        }
    }
    check(deadline)?;
    store.delete_profile(partition).await?;
    loop {
        check(deadline)?;
        if !store.delete_events(partition).await? {
            return Ok(());
        }
    }
}

fn check(deadline: &Deadline) -> Result<(), CommitFailure> {
    if deadline.leaves(ATTEMPT_SECONDS) { Ok(()) } else { Err(CommitFailure::OutOfTime) }
}
