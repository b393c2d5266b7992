//! Stores the allowed sign-in attempts of a batch, outside the transactions.
//!
//! Anyone can cause such an attempt, because Cognito asks before it checks the password. So an attempt
//! takes one write and leaves the statistics as they are. Attempts of one user and client within a
//! minute have the same key, so the last one replaces the others.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, stream};
use shared::deadline::Deadline;
use shared::events::Event;
use shared::store::batch::MAX_WRITE_ITEMS;
use shared::store::commit::ATTEMPT_SECONDS;
use shared::store::{Partition, Store, StoredStatistics};
use shared::telemetry::{Metrics, chain};

use super::accept::Attempt;
use super::counts::InvocationCounts;

/// Maximum number of concurrent BatchWriteItem calls.
const CALLS_IN_FLIGHT: usize = 8;

/// Messages of attempts that were not stored.
#[derive(Default)]
pub struct Unstored {
    pub failed: Vec<usize>,
    /// DynamoDB throttled.
    pub throttled: Vec<usize>,
    /// No time was left.
    pub out_of_time: Vec<usize>,
}

/// Store and settings for the attempts of an invocation.
pub struct AttemptWriter<'a> {
    pub store: &'a Store,
    pub metrics: &'a Metrics,
    pub deadline: &'a Deadline,
    /// The days for which an attempt is stored after its time.
    pub retention_days: u32,
}

impl AttemptWriter<'_> {
    /// Stores the attempts. `statistics` are those of their users as they were read, and may be out of
    /// date. Attempts of erased users are dropped, those in `being_erased` included.
    pub async fn write(
        &self,
        attempts: Vec<Attempt>,
        statistics: &HashMap<Partition, StoredStatistics>,
        being_erased: &BTreeSet<Partition>,
        counts: &mut InvocationCounts,
    ) -> Unstored {
        let Self { store, metrics, deadline, retention_days } = *self;
        let mut unstored = Unstored::default();
        let mut stored = Vec::with_capacity(attempts.len());
        for attempt in attempts {
            let metadata = statistics.get(&attempt.partition).map(StoredStatistics::metadata).transpose();
            match metadata {
                Ok(metadata) => {
                    let is_erased = metadata.is_some_and(|metadata| metadata.erased_at.is_some());
                    if is_erased || being_erased.contains(&attempt.partition) {
                        counts.events_of_erased_users += 1;
                    } else {
                        stored.push(attempt);
                    }
                }
                Err(error) => {
                    error.report(metrics, "could not store a sign-in attempt");
                    unstored.failed.extend(attempt.messages);
                }
            }
        }
        if stored.is_empty() {
            return unstored;
        }
        if !deadline.leaves(ATTEMPT_SECONDS) {
            unstored.out_of_time.extend(stored.into_iter().flat_map(|attempt| attempt.messages));
            return unstored;
        }
        let calls = stream::iter(stored.chunks(MAX_WRITE_ITEMS)).map(async |attempts| {
            let items: Vec<(&Partition, &Event, &str)> = attempts
                .iter()
                .map(|Attempt { partition, pending, .. }| (partition, &pending.event, pending.body.as_str()))
                .collect();
            let writing = store.put_attempts(&items, retention_days);
            (attempts, tokio::time::timeout(deadline.until(ATTEMPT_SECONDS / 2), writing).await)
        });
        let results: Vec<_> = calls.buffer_unordered(CALLS_IN_FLIGHT).collect().await;
        for (attempts, result) in results {
            let messages = attempts.iter().flat_map(|attempt| attempt.messages.iter().copied());
            match result {
                Ok(Ok(())) => counts.attempts_stored += attempts.len() as u64,
                Ok(Err(error)) if error.is_throttled() => {
                    error.count(metrics);
                    let cause = chain(&error);
                    tracing::warn!(error_type = "throttled", cause, "DynamoDB throttled sign-in attempts");
                    let users: BTreeSet<&Partition> =
                        attempts.iter().map(|attempt| &attempt.partition).collect();
                    counts.users_throttled += users.len() as u64;
                    unstored.throttled.extend(messages);
                }
                Ok(Err(error)) => {
                    error.report(metrics, "could not store sign-in attempts");
                    unstored.failed.extend(messages);
                }
                Err(_) => unstored.out_of_time.extend(messages),
            }
        }
        unstored
    }
}
