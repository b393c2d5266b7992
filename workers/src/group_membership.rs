//! group-membership: changes a user's groups in the user pool, as the group rules of
//! pre-token-generation say.
//!
//! Tokens do not depend on this worker: pre-token-generation maps the groups into each token. The
//! worker serves readers of the user pool. If a message is late or missing, the user's next token
//! sends another one.
//!
//! The worker changes only the groups that GROUP_RULES manages, whatever a message says.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use shared::aws::WORKER_CALL_SECONDS;
use shared::config::ConfigError;
use shared::events::{Data, Event, GroupsMapped, InvalidEvent, MAX_AHEAD_SECONDS, pool_source};
use shared::function_context::FunctionContext;
use shared::group_rules;
use shared::metric::Metric;
use shared::telemetry::chain;
use shared::time::minus_seconds;

use crate::batch::{Batch, BatchContext, BatchError};
use crate::rejection::Rejection;

pub mod plan;
pub mod user_pools;

use plan::{Action, MembershipChange, MembershipRequest, User, plan};
use user_pools::{MembershipError, UserPools};

/// Initial visibility timeout of messages while Cognito throttles. Doubles with each receive.
const FIRST_DELAY: Duration = Duration::from_secs(10);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// Maximum age of a message. After a day, the user's next token has published the current groups,
/// and a redrive must not restore a group that was removed since.
pub const MAX_REQUEST_AGE_SECONDS: i64 = 24 * 3600;
/// Maximum age of a request to add a user to a group. SQS has no order, so the user may have lost
/// the group since. The user's next token requests it again.
pub const MAX_ADD_AGE_SECONDS: i64 = 15 * 60;
/// Upper bound for one change: three calls if a group is created, and the dead letters and
/// visibility changes that follow.
pub const CHANGE_SECONDS: i64 = 3 * WORKER_CALL_SECONDS + 5;

pub struct Deps {
    /// The groups that GROUP_RULES manages. A message about another group is forged, or older than
    /// the rules.
    managed_groups: BTreeSet<String>,
    /// CREATE_GROUPS: whether the worker creates groups that the user pool does not have.
    create_groups: bool,
    user_pools: UserPools,
    context: BatchContext,
}

impl Deps {
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            managed_groups: group_rules::managed_groups(&group_rules::read(&function.environment)?),
            create_groups: function.environment.flag("CREATE_GROUPS", false)?,
            user_pools: UserPools::new(aws_sdk_cognitoidentityprovider::Client::new(&function.aws)),
            context: BatchContext::new(function, "GROUP_MEMBERSHIPS_QUEUE_URL")?,
        })
    }
}

/// The result of a [`MembershipChange`].
enum ChangeOutcome {
    /// The user pool has the wanted state, or the change is no longer wanted.
    Done,
    /// The change can never succeed.
    Rejected(Rejection),
    /// Cognito throttles, or no time is left. The messages are retried with a growing delay.
    RetryLater,
    /// The call failed. SQS redelivers the messages after the visibility timeout of the queue.
    Failed,
}

/// Handles a batch. `deadline` is the time at which Lambda ends the invocation.
pub async fn handle(
    deps: &Deps,
    event: SqsEvent,
    deadline: Timestamp,
) -> Result<SqsBatchResponse, BatchError> {
    let mut batch = Batch::new(&deps.context, event, deadline, CHANGE_SECONDS);
    let now = deps.context.clock.now();
    let requests = batch.accept(|batch, index| accept(batch.body(index), index, now));
    process(deps, &mut batch, &requests).await;
    batch.finish().await
}

/// The request in a message. `message` is the index of the message in the batch.
fn accept(body: &str, message: usize, now: Timestamp) -> Result<MembershipRequest, Rejection> {
    let event = Event::parse(body)?;
    event.check_not_ahead(now, MAX_AHEAD_SECONDS)?;
    let Event { data: Data::GroupsMapped(mapped), time, source, .. } = event else {
        return Err(Rejection::wrong_queue(&event));
    };
    if time < minus_seconds(now, MAX_REQUEST_AGE_SECONDS) {
        return Err(Rejection::GroupsTooOld);
    }
    if let Some(problem) = find_problem(&mapped, &source) {
        return Err(InvalidEvent::InvalidData(problem.to_owned()).into());
    }
    Ok(MembershipRequest {
        message,
        requested_at: time,
        user: User { user_pool_id: mapped.user_pool_id, username: mapped.username },
        add: mapped.add,
        remove: mapped.remove,
    })
}

/// Why the data cannot be used. `None` if it can.
fn find_problem(mapped: &GroupsMapped, source: &str) -> Option<&'static str> {
    let GroupsMapped { user_pool_id, username, add, remove } = mapped;
    if source != pool_source(user_pool_id) {
        Some("source: does not belong to the user pool in the data")
    } else if user_pool_id.is_empty() {
        Some("data.user_pool_id: is empty")
    } else if username.is_empty() {
        Some("data.username: is empty")
    } else if add.is_empty() && remove.is_empty() {
        Some("data: has no group to add or to remove")
    } else if !add.is_disjoint(remove) {
        Some("data: has a group both to add and to remove")
    } else {
        None
    }
}

async fn process(deps: &Deps, batch: &mut Batch<'_>, requests: &[MembershipRequest]) {
    let BatchContext { clock, metrics, .. } = &deps.context;
    let (mut retry_later, mut out_of_time) = (false, 0);
    for change in plan(requests) {
        let oldest_add = minus_seconds(clock.now(), MAX_ADD_AGE_SECONDS);
        let outcome = if !deps.managed_groups.contains(&change.group) {
            let reason = Some(("reason", Rejection::UnmanagedGroup.code()));
            metrics.count_by(reason, &[(Metric::MembershipsFailed, 1)]);
            ChangeOutcome::Rejected(Rejection::UnmanagedGroup)
        } else if !batch.deadline().leaves(CHANGE_SECONDS) {
            out_of_time += change.messages.len();
            ChangeOutcome::RetryLater
        } else if retry_later {
            ChangeOutcome::RetryLater
        } else if change.action == Action::Add && change.requested_at < oldest_add {
            metrics.count_by(Some(("reason", "outdated")), &[(Metric::MembershipsSkipped, 1)]);
            ChangeOutcome::Done
        } else {
            apply(deps, &change).await
        };
        match outcome {
            ChangeOutcome::Done => {}
            ChangeOutcome::Rejected(rejection) => batch.reject(change.messages, &rejection),
            ChangeOutcome::RetryLater => {
                retry_later = true;
                batch.fail_with_backoff(change.messages, FIRST_DELAY, LONGEST_DELAY);
            }
            ChangeOutcome::Failed => batch.fail(change.messages),
        }
    }
    if out_of_time > 0 {
        batch.report_out_of_time(out_of_time, "no time left to change group memberships");
    }
}

/// Makes one change. It succeeds if the user pool already has the wanted state.
async fn apply(deps: &Deps, change: &MembershipChange) -> ChangeOutcome {
    let MembershipChange { user, group, action, .. } = change;
    let metrics = &deps.context.metrics;
    let (result, metric) = match action {
        Action::Remove => (deps.user_pools.remove(user, group).await, Metric::MembershipsRemoved),
        Action::Add => (add(deps, user, group).await, Metric::MembershipsAdded),
    };
    let error = match result {
        Ok(()) => {
            metrics.count(&[(metric, 1)]);
            return ChangeOutcome::Done;
        }
        Err(error) => error,
    };
    let error_type = error.code();
    let outcome = match (&error, action) {
        // The user was deleted since, or is not in the group, because the group does not exist.
        // Cognito has the same error for an unknown user pool, which changes nothing here.
        (MembershipError::UserNotFound(_), _) | (MembershipError::NotFound(_), Action::Remove) => {
            metrics.count_by(Some(("reason", error_type)), &[(Metric::MembershipsSkipped, 1)]);
            return ChangeOutcome::Done;
        }
        (MembershipError::NotFound(_), Action::Add) if deps.create_groups => {
            ChangeOutcome::Rejected(Rejection::UnknownUserPool)
        }
        (MembershipError::NotFound(_), Action::Add) => ChangeOutcome::Rejected(Rejection::UnknownGroup),
        (MembershipError::Invalid(_), _) => ChangeOutcome::Rejected(Rejection::InvalidName),
        (MembershipError::TooManyGroups(_), _) => ChangeOutcome::Rejected(Rejection::TooManyGroups),
        (MembershipError::Throttled(_), _) => ChangeOutcome::RetryLater,
        (MembershipError::Failed(_), _) => ChangeOutcome::Failed,
    };
    tracing::error!(error_type, cause = chain(&error), "could not change a group membership");
    metrics.count_by(Some(("reason", error_type)), &[(Metric::MembershipsFailed, 1)]);
    outcome
}

/// Adds a user to a group. Creates the group if it does not exist and CREATE_GROUPS is true.
async fn add(deps: &Deps, user: &User, group: &str) -> Result<(), MembershipError> {
    match deps.user_pools.add(user, group).await {
        Err(MembershipError::NotFound(_)) if deps.create_groups => {
            deps.user_pools.create_group(&user.user_pool_id, group).await?;
            deps.context.metrics.count(&[(Metric::GroupsCreated, 1)]);
            deps.user_pools.add(user, group).await
        }
        result => result,
    }
}
