//! The figures of the model. Each comment names what a figure comes from: the code, the template, a
//! measurement, AWS's documentation or an assumption.

use std::ops::Range;

use shared::freshness::{CacheLifetime, OriginLifetime};
use shared::queues::MAX_BATCH_ENTRIES;
use shared::store::batch::MAX_READ_ITEMS;
use shared::store::commit::MAX_EVENT_ITEMS;

// The day. `day::Model` has the rest.

/// Users whose day is run. Larger pools consist of such users.
pub const SAMPLE: u32 = 10_000;
/// Time between two changes of an action.
pub const ACTION_SECONDS: i64 = 2;
/// Time from a write of the acting device to its first page view: the answer, and the next request.
pub const ANSWER_MILLISECONDS: Range<i64> = 50..250;
/// Time from an action to the second page view after it.
pub const SECOND_VIEW_SECONDS: i64 = 6;
/// Time from an action to the late change by a service.
pub const LATE_MINUTES: Range<i64> = 10..60;
/// `isChangePending`: the client asks again after this time.
pub const POLL_SECONDS: i64 = 1;

// Load.

/// Assumed: events of the busiest hour, relative to the average hour. docs/operations.md uses it.
pub const PEAK: f64 = 5.0;
/// pre-authentication and pre-token-generation. Each publishes one event.
pub const TRIGGERS_PER_SIGN_IN: f64 = 2.0;
/// The event of pre-authentication: an allowed attempt, which user-stats stores with a plain write.
pub const ATTEMPTS_PER_SIGN_IN: f64 = 1.0;
/// Assumed, the worst case: each event of a user arrives in a separate batch and has its own commit.
/// A user's actions are seconds apart, and user-stats waits for one second.
pub const EVENTS_PER_COMMIT: usize = 1;
/// Size of a stored event and of a message. Same as in docs/costs.md.
pub const EVENT_KILOBYTES: f64 = 0.7;
/// Assumed, the worst case: each change of a user's data is an order or an activity, which has an
/// entry in a list. Size of the entry, with the 100 bytes that DynamoDB adds to an item.
pub const ENTRY_KILOBYTES: f64 = 0.3;
/// Default of EVENT_RETENTION_DAYS.
pub const RETENTION_DAYS: f64 = 90.0;
/// Default of SIGN_IN_ATTEMPT_RETENTION_DAYS.
pub const ATTEMPT_RETENTION_DAYS: f64 = 7.0;
/// Default of MONTHLY_ITEM_BUDGET: 45 dollars.
pub const MONTHLY_ITEM_BUDGET: u32 = 10_000;
/// The lifetimes of the template with the read API.
pub const DEFAULT_LIFETIME: CacheLifetime =
    CacheLifetime { origin: OriginLifetime::Adaptive, divisor: 10, min_seconds: 5, max_seconds: 60 };
/// The lifetime before lifetimes by age: the earlier default of MAX_CACHE_LIFETIME_SECONDS.
pub const BEFORE_LIFETIME_SECONDS: u32 = 1_800;
/// Default of PURGE_ALL_THRESHOLD.
pub const PURGE_ALL_THRESHOLD: u32 = 3_000;
/// Default of PURGE_ALL_THRESHOLD_HALVING_SECONDS.
pub const PURGE_ALL_THRESHOLD_HALVING_SECONDS: u32 = 300;
/// Default of INVALIDATION_INTERVAL_SECONDS.
pub const INTERVAL_SECONDS: u32 = 60;
/// Default of TOKEN_VALIDITY_MINUTES.
pub const TOKEN_VALIDITY_MINUTES: u32 = 60;

// The template. tests/it/template.rs compares these with template.yaml.

/// MemorySize of the triggers.
pub const TRIGGER_MEGABYTES: f64 = 256.0;
/// MemorySize of user-stats and of cache-invalidation.
pub const WORKER_MEGABYTES: f64 = 512.0;
/// user-stats: BatchSize.
pub const USER_STATS_BATCH: f64 = 1_000.0;
/// user-stats: MaximumBatchingWindowInSeconds.
pub const USER_STATS_WINDOW_SECONDS: f64 = 1.0;
/// cache-invalidation: BatchSize.
pub const INVALIDATION_BATCH: f64 = 10_000.0;
/// cache-invalidation: MaximumBatchingWindowInSeconds.
pub const INVALIDATION_WINDOW_SECONDS: f64 = 10.0;
/// cache-invalidations: DelaySeconds.
pub const DELIVERY_DELAY_SECONDS: i64 = 5;
/// cache-invalidation: MaximumConcurrency. So many executions share the messages.
pub const INVALIDATION_CONCURRENCY: f64 = 2.0;
/// Queues that Lambda polls.
pub const QUEUES: f64 = 4.0;

// Measured. tests/it/sandbox/costs.rs compares these with tests/budgets/results.json.

/// AWS calls of pre-authentication and of pre-token-generation: a consistent read and a send. Figure
/// `calls` of both, which tests/it/triggers asserts.
pub const CALLS_PER_TRIGGER: f64 = 2.0;
/// Processor time of a warm invocation of the slower trigger. Figure `CPU per invocation, ms`, within
/// a factor of two, because machines differ.
pub const TRIGGER_CPU_MILLISECONDS: f64 = 0.4;
/// Processor time per event in user-stats, if each event has another user. Figure `1000 users: CPU
/// per event, ms`, within a factor of two. cache-invalidation does less per message. The model uses
/// the same figure.
pub const EVENT_CPU_MILLISECONDS: f64 = 0.12;

/// What user-stats writes for an event in addition to STATS, which all events of a commit share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// EVENT: a sign-in, and all others that are in no list.
    Unlisted,
    /// EVENT and LIST: an order, a cancellation, an activity.
    Listed,
    /// EVENT, NOTIFICATION and LIST.
    NotificationCreated,
    /// EVENT, NOTIFICATION and the deletion in LIST.
    NotificationRead,
}

impl EventKind {
    pub const ALL: [Self; 4] =
        [Self::Unlisted, Self::Listed, Self::NotificationCreated, Self::NotificationRead];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlisted => "sign-in",
            Self::Listed => "order or activity",
            Self::NotificationCreated => "notification created",
            Self::NotificationRead => "notification read",
        }
    }

    fn items(self) -> usize {
        match self {
            Self::Unlisted => 1,
            Self::Listed => 2,
            Self::NotificationCreated | Self::NotificationRead => 3,
        }
    }

    /// Items for which a transaction keeps room: a notification can replace an entry with a later time.
    fn reserved_items(self) -> usize {
        self.items() + usize::from(self == Self::NotificationCreated)
    }

    /// Transactions for `events` events of one user.
    fn transactions(self, events: usize) -> usize {
        events.div_ceil(MAX_EVENT_ITEMS / self.reserved_items())
    }
}

/// AWS calls of user-stats for a batch of orders: BatchGetItem, TransactWriteItems, SendMessageBatch.
/// Figures `calls per event`. tests/it/user_stats.rs asserts at most 150 for 1,000 events of 100 users.
pub fn calls_per_batch(users: usize, events_per_user: usize) -> usize {
    users.div_ceil(MAX_READ_ITEMS)
        + users * EventKind::Listed.transactions(events_per_user)
        + users.div_ceil(MAX_BATCH_ENTRIES)
}

/// Write units per event, for a user with `events_per_user` such events in a batch. DynamoDB: a write
/// in a transaction takes two units per KB, a deletion as much as a put. Each item has less than 1 KB.
/// Figures `write units per event`, for orders.
pub fn write_units(events_per_user: usize, kind: EventKind) -> f64 {
    let items = events_per_user * kind.items() + kind.transactions(events_per_user);
    (2 * items) as f64 / events_per_user as f64
}

/// Consistent reads of two items of at most 4 KB, PROFILE and SUSPENSION, in each of the two triggers.
/// DynamoDB charges one unit for an item that does not exist.
pub const TRIGGER_READ_UNITS: f64 = 2.0;
/// A consistent read of an item of at most 4 KB: the marks of cache-invalidation.
pub const MARK_READ_UNITS: f64 = 1.0;
/// An eventually consistent read: STATS.
pub const EVENTUAL_READ_UNITS: f64 = 0.5;
/// A write outside a transaction: LEDGER for each call, CACHE for each invalidated user, ATTEMPT for
/// each allowed sign-in attempt.
pub const PLAIN_WRITE_UNITS: f64 = 1.0;
/// A purge: the claim and the mark, in addition to LEDGER.
pub const PURGE_ALL_WRITE_UNITS: f64 = 2.0;
/// Partitions that user-stats processes concurrently (CONCURRENCY).
pub const COMMITS_IN_FLIGHT: f64 = 16.0;
/// Other concurrent calls, in shared/src/queues.rs and shared/src/store.
pub const CALLS_IN_FLIGHT: f64 = 8.0;
/// Users in a BatchWriteItem.
pub const MARKS_PER_CALL: f64 = 25.0;

// AWS. Limits are from its documentation. Durations are assumed, not measured in an account.

/// Lambda: memory size that has one full processor.
pub const MEGABYTES_PER_PROCESSOR: f64 = 1_769.0;
/// Lambda polls a queue with five concurrent receives at first.
pub const POLLERS: f64 = 5.0;
/// Receives of an empty queue in a month: each waits for 20 seconds.
pub const EMPTY_RECEIVES_PER_MONTH: f64 = POLLERS * 3.0 * 60.0 * 24.0 * 30.0;
/// SQS: kilobytes that count as one request.
pub const CHUNK_KILOBYTES: f64 = 64.0;
/// CloudFront: 3,000 items in progress, each for up to 25 seconds.
pub const CLOUDFRONT_ITEMS_PER_SECOND: f64 = 3_000.0 / 25.0;
/// CloudFront: calls per second, from a maintainer's comment (aws-sdk-js#3983). Not documented.
pub const CLOUDFRONT_CALLS_PER_SECOND: f64 = 0.5;
/// Assumed: a read from DynamoDB, and a write outside a transaction.
pub const DYNAMODB_MILLISECONDS: f64 = 5.0;
/// Assumed: a transaction.
pub const TRANSACTION_MILLISECONDS: f64 = 12.0;
/// Assumed: a request to SQS.
pub const SQS_MILLISECONDS: f64 = 8.0;
/// Assumed: processing of an event in user-stats after the batching window: the invocation, a read and a
/// transaction.
pub const COMMIT_MILLISECONDS: Range<i64> = 20..180;
/// Assumed: time until CloudFront has removed the pages of an invalidation.
pub const CLOUDFRONT_SECONDS: i64 = 5;
/// Assumed: dollars for a million requests to the read API. HTTP API ($1.00), an invocation of 15 ms and
/// 256 MB ($0.25), and three read units ($0.38), which the profile takes. The dashboard and the orders take
/// one more, and `after` takes one: up to $1.88.
pub const ORIGIN_DOLLARS_PER_MILLION: f64 = 1.6;
/// Assumed: CreateInvalidation.
pub const CLOUDFRONT_MILLISECONDS: f64 = 500.0;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::events::Event;
    use shared::store::list_writes::max_items;

    use super::*;

    #[test]
    fn transaction_keeps_room_for_as_many_items_as_the_store() {
        let order = json!({"order_id": "1", "amount": "1.00", "currency": "EUR"});
        let notification = json!({"notification_id": "n"});
        for (kind, event_type, data) in [
            (EventKind::Unlisted, "user.signed_in", json!({"flow": "password", "client_id": "c"})),
            (EventKind::Listed, "order.placed", order.clone()),
            (EventKind::Listed, "order.cancelled", order),
            (EventKind::Listed, "activity.recorded", json!({"description": "a"})),
            (EventKind::NotificationCreated, "notification.created", notification.clone()),
            (EventKind::NotificationRead, "notification.read", notification),
        ] {
            let body: Value = json!({
                "specversion": "1.0", "id": "a", "source": "/shop", "type": event_type, "subject": "ana",
                "time": "2026-03-02T09:00:00Z", "data": data,
            });
            let event = Event::parse(&body.to_string()).unwrap();
            assert_eq!(kind.reserved_items(), max_items(&event.data), "{event_type}");
        }
    }

    #[test]
    fn write_units_of_an_event_fall_with_the_events_in_its_commit() {
        for (events, kind, expected) in [
            (1, EventKind::Unlisted, 4.0),
            (98, EventKind::Unlisted, 2.0 + 2.0 / 98.0),
            (1, EventKind::Listed, 6.0),
            (49, EventKind::Listed, 4.0 + 2.0 / 49.0),
            (50, EventKind::Listed, 4.0 + 4.0 / 50.0),
            (1, EventKind::NotificationCreated, 8.0),
            (1, EventKind::NotificationRead, 8.0),
        ] {
            assert_eq!(write_units(events, kind), expected, "{events} {kind:?}");
        }
    }
}
