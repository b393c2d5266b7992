//! Confirms that a change is a suspension, a reinstatement, or an erasure or deletion. Pages that were cached before such
//! a change are invalidated even if the budget is spent, and without waiting for the interval.
//!
//! A message only claims it. Any service that may send to user-events can publish `user.suspended`.
//! So the worker reads the time of the last suspension, reinstatement or erasure from the table, which
//! no producer can write. The mark of a user has the time of the last one for which the pages were
//! invalidated. So each causes one such invalidation, however often it is claimed, and a claim without
//! one is an ordinary change.
//!
//! The times are those of one writer, so clocks are not compared.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::metric::Metric;
use shared::statistics::UserStats;
use shared::store::{CacheMark, Consistency, Partition, Store, StoreError};
use shared::suspension::Stored;
use shared::telemetry::Metrics;

use super::marks::GRACE_SECONDS;
use super::planner::{CacheMarks, Change, Limits};

/// Timeout for reading the table.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The claims of a batch cannot be checked. The reason is logged.
pub struct NotConfirmed;

/// Sets `security_change_at` of each change whose claim the table confirms. After an error, the
/// changes with a claim must be retried later: as ordinary changes, they could be dropped.
pub async fn confirm(
    store: &Store,
    metrics: &Metrics,
    changes: &mut [Change],
    marks: &CacheMarks,
    limits: &Limits,
    now: Timestamp,
) -> Result<(), NotConfirmed> {
    let claimed = changes.iter().filter(|change| change.needs_confirmation(marks, limits, now));
    let subs: BTreeSet<&str> = claimed.map(|change| change.sub.as_str()).collect();
    if subs.is_empty() {
        return Ok(());
    }
    let subs: Vec<&str> = subs.into_iter().collect();
    let security_changes = match tokio::time::timeout(READ_TIMEOUT, read(store, &subs)).await {
        Ok(Ok(security_changes)) => security_changes,
        Ok(Err(error)) => {
            error.report(metrics, "could not read suspensions and erasures");
            return Err(NotConfirmed);
        }
        Err(_) => {
            tracing::error!(error_type = "deadline", "reading suspensions and erasures timed out");
            metrics.count(&[(Metric::StoreFailures, 1)]);
            return Err(NotConfirmed);
        }
    };
    let lifetime_seconds = limits.max_cache_lifetime_seconds;
    for change in changes.iter_mut().filter(|change| change.claims_security) {
        let at = security_changes.get(&change.sub).copied();
        let mark = marks.users.get(&change.sub);
        change.security_change_at = at.filter(|at| is_new(*at, mark, lifetime_seconds, now));
    }
    Ok(())
}

/// True if the user's pages were not invalidated yet for a suspension, reinstatement or erasure at
/// `at`.
///
/// A mark stays for GRACE_SECONDS longer than any page. Without a limit, each suspension would become
/// new again when its mark expires, although no page from before it is left.
fn is_new(at: Timestamp, mark: Option<&CacheMark>, lifetime_seconds: u32, now: Timestamp) -> bool {
    let limit = SignedDuration::from_secs(i64::from(lifetime_seconds) + GRACE_SECONDS);
    let known = mark.and_then(|mark| mark.last_security_change_at);
    now.duration_since(at) < limit && known.is_none_or(|known| known < at)
}

/// The time of each user's last suspension, reinstatement, erasure or deletion, by sub. An unreadable
/// suspension has no time: its user is denied, and the change is an ordinary one.
async fn read(store: &Store, subs: &[&str]) -> Result<HashMap<String, Timestamp>, StoreError> {
    let partitions: Vec<Partition> = subs.iter().map(|sub| Partition::User((*sub).to_owned())).collect();
    let partitions: Vec<&Partition> = partitions.iter().collect();
    let (suspensions, statistics) = futures_util::try_join!(
        store.read_suspensions(subs),
        store.read_statistics(&partitions, Consistency::Strong),
    )?;
    let suspended = suspensions.into_iter().filter_map(|(sub, status)| match status.suspension {
        Stored::Readable(suspension) => Some((sub, suspension.at)),
        _ => None,
    });
    let mut security_changes: HashMap<String, Timestamp> = suspended.collect();
    for (partition, stored) in &statistics {
        // Statistics that a newer release wrote may be unreadable.
        let erased_at = stored.metadata().ok().and_then(|metadata| metadata.erased_at);
        let deleted_at = stored.statistics::<UserStats>().ok().and_then(|statistics| statistics.deleted_at);
        if let (Partition::User(sub), Some(gone_at)) = (partition, erased_at.max(deleted_at)) {
            let at = security_changes.entry(sub.clone()).or_insert(gone_at);
            *at = gone_at.max(*at);
        }
    }
    Ok(security_changes)
}

#[cfg(test)]
mod tests {
    use shared::time::plus_seconds;

    use super::*;

    #[test]
    fn suspension_is_new_until_its_invalidation_and_for_a_day_and_a_cache_lifetime() {
        let at = |second| plus_seconds(Timestamp::UNIX_EPOCH, second);
        const DAY: i64 = 24 * 3_600;
        for (changed, known, now, expected) in [
            (100, None, 100, true),
            (100, Some(99), 100, true),
            (100, Some(100), 100, false),
            (100, Some(101), 100, false),
            // The clock of the operator is ahead, or behind.
            (900, None, 100, true),
            (900, Some(900), 100, false),
            (100, None, 900, true),
            (0, None, DAY + 1_799, true),
            (0, None, DAY + 1_800, false),
        ] {
            let mark = CacheMark { last_security_change_at: known.map(at), ..CacheMark::default() };
            let found = is_new(at(changed), Some(&mark), 1_800, at(now));
            assert_eq!(found, expected, "{changed} {known:?} {now}");
        }
        assert!(is_new(at(100), None, 1_800, at(100)));
    }
}
