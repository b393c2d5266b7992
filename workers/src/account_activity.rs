//! account-activity: applies what happened to accounts in the user pool, as CloudTrail reports it through
//! EventBridge: deleted, changed, disabled, signed out, failed passwords.
//!
//! - [`record`]: reads EventBridge's envelope and CloudTrail's record
//! - [`mod@translate`]: which event a call becomes, and which calls are ignored
//! - [`user_pool`]: looks users up, because records hide values
//! - [`plan`]: which events are committed, from the calls, the table and the user pool
//! - [`addresses`]: from which IP addresses sign-ins of many users fail
//!
//! The events are committed as those of user-events are ([`crate::user_stats::pipeline`]). Only EventBridge
//! may send to this queue, so its events may erase users and refresh profiles.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use shared::aws::WORKER_CALL_SECONDS;
use shared::config::{ConfigError, Environment};
use shared::events::{check_time, pool_source};
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::store::addresses::MAX_USERS;
use shared::store::commit::ATTEMPT_SECONDS;
use shared::store::{AddressWindow, Consistency, Partition, StoreError, StoredAccount};
use shared::telemetry::{Unit, chain};

use crate::batch::{Batch, BatchContext, BatchError};
use crate::rejection::Rejection;
use crate::user_stats::accept::{EventsByPartition, group_by_partition};
use crate::user_stats::counts::InvocationCounts;
use crate::user_stats::pipeline::{
    Deletion, FIRST_DELAY, LONGEST_DELAY, Pipeline, PipelineConfig, fail_read,
};

pub mod addresses;
pub mod plan;
pub mod record;
pub mod translate;
pub mod user_pool;

use addresses::{Failures, RememberedWindows};
use plan::{AcceptedCall, Lookup, Plan, subs_to_look_up};
use record::Record;
use translate::{Activity, IgnoreReason, Scope, translate};
use user_pool::{LOOKUP_SECONDS, LookupError, UserPool};

/// CloudEvents source of the notices that account-activity publishes.
pub const SOURCE: &str = "/account-activity";
/// Maximum number of concurrent lookups. Cognito: 120 requests that read users per second and account
/// (category UserRead), which other services share. Two invocations with two lookups each stay below it.
const LOOKUPS_IN_FLIGHT: usize = 2;
/// Initial visibility timeout of messages whose user could not be looked up. Doubles with each receive.
const FIRST_LOOKUP_DELAY: Duration = Duration::from_secs(30);
/// Upper bound for the longest step: one attempt to commit. A lookup is shorter.
pub const STEP_SECONDS: i64 = ATTEMPT_SECONDS;
const _: () = assert!(LOOKUP_SECONDS < STEP_SECONDS);
/// Maximum number of concurrent writes of address windows.
const ADDRESSES_IN_FLIGHT: usize = 8;
/// Time before the deadline after which no address window is written: one call, and the visibility
/// changes that follow.
const ADDRESS_SECONDS: i64 = WORKER_CALL_SECONDS + 3;

#[derive(Clone, Debug)]
pub struct Config {
    pub pipeline: PipelineConfig,
    /// ACCOUNT_DELETION: whether a deleted account is erased from the table, or kept.
    pub deletion: Deletion,
    /// FAILED_SIGN_INS_PER_USER: threshold of UsersWithManyFailures.
    pub failed_sign_ins_per_user: u32,
    /// FAILED_USERS_PER_ADDRESS: threshold of AddressesWithManyUsers.
    pub failed_users_per_address: u32,
}

impl Config {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            pipeline: PipelineConfig::from_environment(environment)?,
            deletion: environment.choice(
                "ACCOUNT_DELETION",
                Deletion::Erase,
                &[("erase", Deletion::Erase), ("keep", Deletion::Keep)],
            )?,
            failed_sign_ins_per_user: environment.number("FAILED_SIGN_INS_PER_USER", 10, 2..=20)?,
            failed_users_per_address: environment.number("FAILED_USERS_PER_ADDRESS", 10, 2..=50)?,
        })
    }
}

pub struct Deps {
    failed_users_per_address: usize,
    scope: Scope,
    /// CloudEvents source of the events.
    source: String,
    user_pool: UserPool,
    remembered: RememberedWindows,
    pipeline: Pipeline,
    context: BatchContext,
}

impl Deps {
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        let Config { pipeline, deletion, failed_sign_ins_per_user, failed_users_per_address } =
            Config::from_environment(&function.environment)?;
        let region = function.aws.region().map(ToString::to_string);
        let scope = Scope {
            account_id: function.environment.required("ACCOUNT_ID")?,
            region: region.ok_or_else(|| ConfigError::new("AWS_REGION", "is required but not set"))?,
            user_pool_id: function.environment.required("USER_POOL_ID")?,
        };
        let cognito = aws_sdk_cognitoidentityprovider::Client::new(&function.aws);
        let many_failures = Some(u64::from(failed_sign_ins_per_user));
        Ok(Self {
            failed_users_per_address: failed_users_per_address as usize,
            source: cloudtrail_source(&scope.user_pool_id),
            user_pool: UserPool::new(cognito, scope.user_pool_id.clone()),
            scope,
            remembered: RememberedWindows::default(),
            pipeline: Pipeline::new(function, SOURCE, pipeline, deletion, many_failures)?,
            context: BatchContext::new(function, "ACCOUNT_ACTIVITIES_QUEUE_URL")?,
        })
    }
}

/// CloudEvents source of the events that are made of CloudTrail's records about a user pool.
pub fn cloudtrail_source(user_pool_id: &str) -> String {
    format!("{}/cloudtrail", pool_source(user_pool_id))
}

/// Handles a batch. `deadline` is the time at which Lambda ends the invocation.
pub async fn handle(
    deps: &Deps,
    event: SqsEvent,
    deadline: Timestamp,
) -> Result<SqsBatchResponse, BatchError> {
    let mut batch = Batch::new(&deps.context, event, deadline, STEP_SECONDS);
    deps.context.metrics.measure(Metric::BatchSize, Unit::Count, batch.len() as f64);
    let now = deps.context.clock.now();
    let read = batch.accept(|batch, message| {
        let activity = accept(batch.body(message), &deps.scope, now)?;
        Ok((message, activity))
    });
    batch.dead_letter().await;
    let (mut calls, mut ignored) = (Vec::new(), Vec::new());
    for (message, activity) in read {
        match activity {
            Ok(activity) => calls.push(AcceptedCall { message, activity }),
            Err(reason) => ignored.push(reason),
        }
    }
    process(deps, &mut batch, calls, ignored).await;
    batch.finish().await
}

/// The call in a message, or why it is ignored.
fn accept(body: &str, scope: &Scope, now: Timestamp) -> Result<Result<Activity, IgnoreReason>, Rejection> {
    let activity = translate(Record::read(body)?, scope);
    if let Ok(activity) = &activity {
        check_time(activity.time, now)?;
    }
    Ok(activity)
}

/// Commits the events of the calls, publishes the notices, and then records the addresses of failed
/// sign-ins.
async fn process(
    deps: &Deps,
    batch: &mut Batch<'_>,
    calls: Vec<AcceptedCall>,
    mut ignored: Vec<IgnoreReason>,
) {
    let accounts = match read_accounts(deps, &calls).await {
        Ok(accounts) => accounts,
        Err(error) => {
            let users: BTreeSet<&str> = calls.iter().map(|call| call.activity.sub.as_str()).collect();
            let messages = calls.iter().map(|call| call.message);
            let counts = InvocationCounts::default();
            deps.pipeline.fail_unread(&deps.context, batch, &error, users.len() as u64, messages, counts);
            report_ignored(deps, &ignored);
            return;
        }
    };
    let lookups = look_up(deps, batch, subs_to_look_up(&calls, &accounts, deps.pipeline.deletion)).await;
    let mut plan = Plan::new(&deps.source, calls, &accounts, &lookups, deps.pipeline.deletion);
    batch.fail(plan.failed.drain(..));
    batch.fail_with_backoff(plan.throttled.drain(..), FIRST_LOOKUP_DELAY, LONGEST_DELAY);
    let unchanged = std::mem::take(&mut plan.unchanged);
    match deps.pipeline.store.find_stored(unchanged.iter().map(|message| &message.pending.event)).await {
        // The commit of a stored event may owe a notice. As a duplicate, the event gets it.
        Ok(stored) => {
            for (message, is_stored) in unchanged.into_iter().zip(stored) {
                if is_stored { plan.accepted.push(message) } else { ignored.push(IgnoreReason::Unchanged) }
            }
        }
        Err(error) => {
            let messages = unchanged.iter().map(|message| message.index);
            fail_read(&deps.context, batch, &error, "could not read stored events", messages);
        }
    }
    ignored.extend(plan.ignored);
    report_ignored(deps, &ignored);

    let EventsByPartition { mut partitions, duplicates, .. } = group_by_partition(plan.accepted);
    for group in &mut partitions {
        group.profile_changes = plan.profile_changes.remove(&group.partition);
    }
    let statistics =
        accounts.into_iter().filter_map(|(sub, account)| Some((Partition::User(sub), account.statistics?)));
    let statistics: HashMap<_, _> = statistics.collect();
    let results = deps.pipeline.commit(&deps.context, batch.deadline(), partitions, &statistics).await;
    let counts = InvocationCounts { duplicates, ..InvocationCounts::default() };
    deps.pipeline.settle(&deps.context, batch, results, plan.out_of_time, counts).await;
    record_addresses(deps, batch, plan.addresses).await;
}

/// Reads what the table has of the users. A profile that may be refreshed is read with strong
/// consistency, before the user is looked up: otherwise an older state could replace a newer one.
async fn read_accounts(
    deps: &Deps,
    calls: &[AcceptedCall],
) -> Result<HashMap<String, StoredAccount>, StoreError> {
    let subs: BTreeSet<&str> = calls.iter().map(|call| call.activity.sub.as_str()).collect();
    let subs: Vec<&str> = subs.into_iter().collect();
    let needs_lookup = calls.iter().any(|call| call.activity.change.needs_lookup());
    let consistency = if needs_lookup { Consistency::Strong } else { Consistency::Eventual };
    deps.pipeline.store.read_accounts(&subs, consistency).await
}

fn report_ignored(deps: &Deps, ignored: &[IgnoreReason]) {
    for reason in IgnoreReason::ALL {
        let count = ignored.iter().filter(|ignored| **ignored == reason).count() as u64;
        let reason = Some(("reason", reason.code()));
        deps.context.metrics.count_by(reason, &[(Metric::AccountEventsIgnored, count)]);
    }
}

/// Looks users up in the user pool. After a throttled lookup, no further one starts.
async fn look_up(deps: &Deps, batch: &Batch<'_>, subs: BTreeSet<String>) -> BTreeMap<String, Lookup> {
    let metrics = &deps.context.metrics;
    let deadline = batch.deadline();
    let throttled = &AtomicBool::new(false);
    let lookups = stream::iter(subs).map(async |sub: String| {
        if throttled.load(Ordering::Relaxed) {
            return (sub, Lookup::Throttled);
        }
        if !deadline.leaves(STEP_SECONDS) {
            return (sub, Lookup::OutOfTime);
        }
        let lookup = match deps.user_pool.find(&sub).await {
            Ok(Some(user)) => Lookup::Found(user),
            Ok(None) => Lookup::NotFound,
            Err(error) => {
                let error_type = error.code();
                tracing::warn!(error_type, cause = chain(&error), "could not look up a user");
                metrics.count_by(Some(("reason", error_type)), &[(Metric::UserLookupsFailed, 1)]);
                match error {
                    LookupError::Throttled(_) => {
                        throttled.store(true, Ordering::Relaxed);
                        Lookup::Throttled
                    }
                    LookupError::Failed(_) => Lookup::Failed,
                }
            }
        };
        (sub, lookup)
    });
    lookups.buffer_unordered(LOOKUPS_IN_FLIGHT).collect().await
}

/// Adds the users of failed sign-ins to the windows of the addresses, and counts addresses with many
/// users. If a write fails, SQS redelivers the messages, and their events are duplicates by then. If the
/// answer to a write is lost, the address may not be counted, because the users are in the window then.
async fn record_addresses(deps: &Deps, batch: &mut Batch<'_>, failures: addresses::FailuresByAddress) {
    let metrics = &deps.context.metrics;
    let deadline = batch.deadline();
    let writes = stream::iter(failures).map(async |(window, failures): (AddressWindow, Failures)| {
        let users = deps.remembered.new_users(&window, &failures.users);
        if users.is_empty() {
            return (failures, Some(Ok(false)));
        }
        if !deadline.leaves(ADDRESS_SECONDS) {
            return (failures, None);
        }
        let written = deps.pipeline.store.add_failed_users(&window, &users).await;
        let has_reached = written.map(|written| {
            let is_full = written.is_none_or(|written| written.after >= MAX_USERS);
            let many = deps.failed_users_per_address;
            let has_reached = written.is_some_and(|written| written.before < many && many <= written.after);
            if has_reached {
                // Not the address, which is personal data. The table has it.
                let window = window.start().to_string();
                tracing::warn!(
                    error_type = "many_users",
                    window,
                    "sign-ins of many users failed from an address"
                );
            }
            deps.remembered.remember(window, users, is_full);
            has_reached
        });
        (failures, Some(has_reached))
    });
    let results: Vec<_> = writes.buffer_unordered(ADDRESSES_IN_FLIGHT).collect().await;
    let (mut addresses, mut out_of_time) = (0, 0);
    for (failures, result) in results {
        match result {
            Some(Ok(has_reached)) => addresses += u64::from(has_reached),
            None => {
                // The messages whose events were not committed are counted already.
                out_of_time += failures.messages.iter().filter(|index| !batch.has_failed(**index)).count();
                batch.fail(failures.messages);
            }
            Some(Err(error)) => {
                error.report_as_warning(metrics, "could not record the address of failed sign-ins");
                batch.fail_with_backoff(failures.messages, FIRST_DELAY, LONGEST_DELAY);
            }
        }
    }
    if out_of_time > 0 {
        batch.report_out_of_time(out_of_time, "no time left to record addresses");
    }
    metrics.count(&[(Metric::AddressesWithManyUsers, addresses)]);
}
