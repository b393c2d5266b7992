//! The marks in the table: when each user's pages, and the pages of all users, were last
//! invalidated.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use shared::deadline::Deadline;
use shared::events::View;
use shared::metric::Metric;
use shared::store::{Millis, PurgeAllMark, Store};
use shared::telemetry::Metrics;
use shared::time::{minus_seconds, plus_seconds};

use super::config::Config;
use super::planner::{CLOCK_SKEW_SECONDS, CacheMarks, Change, InvalidationCall};

/// Timeout for reading the marks.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Time before the deadline at which the worker stops writing marks.
const WRITE_MARGIN_SECONDS: i64 = 2;
/// How long a mark is stored after all pages from before it have expired.
pub const GRACE_SECONDS: i64 = 24 * 3600;

/// Reads when the users' pages were last invalidated. Without marks, the worker only invalidates
/// more than necessary.
pub async fn read(store: &Store, metrics: &Metrics, config: &Config, changes: &[Change]) -> CacheMarks {
    let subs: BTreeSet<&str> = changes.iter().map(|change| change.sub.as_str()).collect();
    let read = store.read_cache_marks(&config.distribution_id, subs.into_iter());
    match tokio::time::timeout(READ_TIMEOUT, read).await {
        Ok(Ok((users, purge_all))) => CacheMarks { users, purge_all },
        Ok(Err(error)) => {
            error.report(metrics, "could not read the cache marks");
            CacheMarks::default()
        }
        Err(_) => {
            tracing::error!(error_type = "deadline", "reading the cache marks timed out");
            metrics.count(&[(Metric::StoreFailures, 1)]);
            CacheMarks::default()
        }
    }
}

/// Records an invalidation that CloudFront made at `invalidated_at`. `marks` are those that were
/// read before the call. A mark that is not written costs at most one more invalidation.
pub async fn write(
    store: &Store,
    metrics: &Metrics,
    config: &Config,
    deadline: &Deadline,
    call: &InvalidationCall,
    marks: &CacheMarks,
    invalidated_at: Timestamp,
) {
    // The clocks of two workers can differ.
    let covered_until = minus_seconds(invalidated_at, CLOCK_SKEW_SECONDS);
    let lifetime = i64::from(config.limits.max_cache_lifetime_seconds);
    let expires_at = plus_seconds(invalidated_at, lifetime + GRACE_SECONDS);
    let write = async {
        if call.is_purge_all {
            let mark = PurgeAllMark { last_invalidated_at: covered_until };
            return store.mark_all_purged(&config.distribution_id, &mark, expires_at).await;
        }
        let marks = call.users.iter().map(|user| {
            let mut mark = marks.users.get(&user.sub).cloned().unwrap_or_default();
            if user.views.len() == View::ALL.len() {
                mark.last_invalidated_at = Some(covered_until);
                mark.views.clear();
            } else {
                mark.views.extend(user.views.iter().map(|view| (*view, Millis(covered_until))));
            }
            mark.last_security_change_at = mark.last_security_change_at.max(user.security_change_at);
            (user.sub.as_str(), mark)
        });
        store.mark_invalidated(marks, expires_at).await
    };
    match tokio::time::timeout(deadline.until(WRITE_MARGIN_SECONDS), write).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => error.report_as_warning(metrics, "could not write the cache marks"),
        Err(_) => tracing::warn!(error_type = "deadline", "no time left to write the cache marks"),
    }
}
