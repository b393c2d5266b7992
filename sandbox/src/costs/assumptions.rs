//! What the model of scale counts with. Where the code or the template decides a figure, the line says what holds it;
//! the rest is assumed, and says so.

use shared::queues::MAX_BATCH_ENTRIES;
use shared::store::commits::{MAX_EVENTS, MAX_READ_ITEMS};

// Load.

/// Assumed: the busiest hour of people has so many times the events of an average one. docs/operations.md plans with it.
pub const PEAK: f64 = 5.0;
/// What a sign-in runs: pre-authentication and pre-token-generation. Each sends one event.
pub const TRIGGERS_OF_A_SIGN_IN: f64 = 2.0;
/// Assumed, the worst case: each event of a user comes in a batch of its own, so that it has a commit of its own. What
/// a user does lies seconds apart, and user-stats waits for two.
pub const EVENTS_OF_A_COMMIT: usize = 1;
/// A stored event, and a message: as in docs/costs.md.
pub const EVENT_KILOBYTES: f64 = 0.7;
/// EVENT_RETENTION_DAYS, its default.
pub const RETENTION_DAYS: f64 = 90.0;
/// MONTHLY_ITEM_BUDGET of the row with a budget: 495 dollars.
pub const MONTHLY_ITEM_BUDGET: f64 = 100_000.0;

// The template. The test `the_model_of_scale_has_the_sizes_of_the_template` in tests/it/template.rs holds these.

/// MemorySize of a trigger.
pub const TRIGGER_MEGABYTES: f64 = 256.0;
/// MemorySize of user-stats and of cache-invalidation.
pub const WORKER_MEGABYTES: f64 = 512.0;
/// user-stats: BatchSize.
pub const USER_STATS_BATCH: f64 = 1_000.0;
/// user-stats: MaximumBatchingWindowInSeconds.
pub const USER_STATS_WINDOW_SECONDS: f64 = 2.0;
/// cache-invalidation: BatchSize.
pub const INVALIDATION_BATCH: f64 = 10_000.0;
/// cache-invalidation: MaximumBatchingWindowInSeconds.
pub const INVALIDATION_WINDOW_SECONDS: f64 = 10.0;
/// cache-invalidation: MaximumConcurrency. As many copies share what comes.
pub const INVALIDATION_CONCURRENCY: f64 = 2.0;
/// Queues that Lambda asks.
pub const QUEUES: f64 = 3.0;

// The code. The test `the_constants_of_scale_are_what_was_measured` in replay/tests/it/scale.rs holds these against
// tests/budgets/results.json.

/// AWS calls of pre-authentication and of pre-token-generation: a consistent read, and a message. Figure `calls` of both,
/// asserted in tests/it/triggers.
pub const CALLS_OF_A_TRIGGER: f64 = 2.0;
/// Processor time of a warm invocation of a trigger, in milliseconds. Figure `CPU per invocation, ms`, that of the
/// slower of the two; within a factor of two, since machines differ.
pub const TRIGGER_CPU_MILLISECONDS: f64 = 0.4;
/// Processor time of an event in user-stats, each of another user, in milliseconds. Figure `1000 users: CPU per event, ms`;
/// within a factor of two. cache-invalidation does less with a message, and is taken for the same.
pub const EVENT_CPU_MILLISECONDS: f64 = 0.12;

/// AWS calls of user-stats for a batch in which each of `users` has `events_of_each`: BatchGetItem, TransactWriteItems,
/// SendMessageBatch. Figures `calls per event` of all shapes; tests/it/user_stats.rs asserts 150 at most for a thousand
/// events of a hundred users.
pub fn calls_of_a_batch(users: usize, events_of_each: usize) -> usize {
    users.div_ceil(MAX_READ_ITEMS)
        + users * events_of_each.div_ceil(MAX_EVENTS)
        + users.div_ceil(MAX_BATCH_ENTRIES)
}

/// Write units of an event where a user has so many in a batch. DynamoDB: a write in a transaction takes two units for
/// each kilobyte; an event's item and STATS are below one each. Figures `write units per event` of all shapes.
pub fn write_units(events_of_each: usize) -> f64 {
    (2 * events_of_each + 2 * events_of_each.div_ceil(MAX_EVENTS)) as f64 / events_of_each as f64
}

/// A consistent read of an item of at most 4 KB: the profile, in each of the two triggers.
pub const CONSISTENT_READ_UNITS: f64 = 1.0;
/// Any other: STATS, and the marks of cache-invalidation.
pub const EVENTUAL_READ_UNITS: f64 = 0.5;
/// LEDGER, for each call; CACHE, for each user evicted: an item each, outside transactions.
pub const PLAIN_WRITE_UNITS: f64 = 1.0;
/// A collapse, beside LEDGER: the claim, and the mark.
pub const COLLAPSE_WRITE_UNITS: f64 = 2.0;
/// Partitions that user-stats works on at once: CONCURRENCY there.
pub const COMMITS_IN_FLIGHT: f64 = 16.0;
/// Other calls at once, in shared/src/queues.rs and shared/src/store/commits.rs.
pub const CALLS_IN_FLIGHT: f64 = 8.0;
/// Users in a BatchWriteItem.
pub const MARKS_OF_A_CALL: f64 = 25.0;

// AWS. What it does, from its documentation; how long it takes is assumed, since nothing here was measured on an account.

/// Lambda: memory that comes with one full processor.
pub const MEGABYTES_OF_A_PROCESSOR: f64 = 1_769.0;
/// Lambda asks a queue with five receives at once, at first.
pub const POLLERS: f64 = 5.0;
/// Each waits for 20 seconds where nothing comes: receives of an idle queue in a month.
pub const IDLE_RECEIVES_A_MONTH: f64 = POLLERS * 3.0 * 60.0 * 24.0 * 30.0;
/// SQS: so many kilobytes are one request.
pub const CHUNK_KILOBYTES: f64 = 64.0;
/// CloudFront: 3,000 items in progress, each for up to 25 seconds.
pub const CLOUDFRONT_ITEMS_A_SECOND: f64 = 3_000.0 / 25.0;
/// CloudFront: calls that it takes, by a maintainer's word (aws-sdk-js#3983). Not documented.
pub const CLOUDFRONT_CALLS_A_SECOND: f64 = 0.5;
/// Assumed: a read from DynamoDB, and a plain write to it.
pub const DYNAMODB_MILLISECONDS: f64 = 5.0;
/// Assumed: a transaction.
pub const TRANSACTION_MILLISECONDS: f64 = 12.0;
/// Assumed: a request to SQS.
pub const SQS_MILLISECONDS: f64 = 8.0;
/// Assumed: CreateInvalidation.
pub const CLOUDFRONT_MILLISECONDS: f64 = 500.0;
