//! group-membership: makes permanent in the user pool which groups the rules of pre-token-generation gave and
//! took away.
//!
//! The token is right without it: pre-token-generation maps groups into every token anew. What the pool says is
//! for those who read it there, and where a message comes late or not at all, the next token sends another.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use shared::aws::WORKER_CALL_SECONDS;
use shared::config::ConfigError;
use shared::events::{Data, Event, GroupsMapped, InvalidEvent, MAX_AHEAD_SECONDS, pool_source};
use shared::function_context::FunctionContext;
use shared::queues::Queue;
use shared::telemetry::{Metrics, chain};
use shared::time::{Clock, minus_seconds, plus_seconds};

use crate::batch::{Batch, BatchError, Rejection};
use shared::deadline::Deadline;

pub mod plan;
pub mod user_pools;

use plan::{Action, Change, Request, User, plan};
use user_pools::{MembershipError, UserPools};

/// How long messages wait where Cognito throttles; it doubles with each receive.
const FIRST_DELAY: Duration = Duration::from_secs(10);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// What pre-token-generation said longer ago is not done any more: the user's next token says how it is now, and a
/// redrive must not give a group back that was taken away since.
pub const MAX_AGE_SECONDS: i64 = 24 * 3600;
/// Nobody is put into a group on a word older than this: SQS has no order, and the group may have been taken away
/// since. The user's next token says it anew.
pub const MAX_ADD_AGE_SECONDS: i64 = 15 * 60;
/// A change takes at most so long (a group that is not there takes three calls), with parking and the delays after it.
const CHANGE_SECONDS: i64 = 3 * WORKER_CALL_SECONDS + 5;

/// What the worker works with.
pub struct Deps {
    /// CREATE_GROUPS: whether a group that the pool does not have is created.
    create_groups: bool,
    user_pools: UserPools,
    group_memberships: Queue,
    dead_letters: Queue,
    clock: Clock,
    metrics: Metrics,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            create_groups: function.environment.flag("CREATE_GROUPS", false)?,
            user_pools: UserPools::new(aws_sdk_cognitoidentityprovider::Client::new(&function.aws)),
            group_memberships: function.queue("GROUP_MEMBERSHIPS_QUEUE_URL")?,
            dead_letters: function.queue("DEAD_LETTER_QUEUE_URL")?,
            clock: function.clock.clone(),
            metrics: function.metrics.clone(),
        })
    }
}

/// What became of a change.
#[derive(Clone)]
enum Outcome {
    /// It is so now.
    Done,
    /// It can never succeed.
    Rejected(Rejection),
    /// Cognito has no room: later.
    NotNow,
    /// Somebody must look, or nobody knows: after the queue's own time-out.
    Failed,
}

/// Changes the memberships that a batch asks for before the time `deadline`, and reports what must come again.
pub async fn handle(
    deps: &Deps,
    event: SqsEvent,
    deadline: Timestamp,
) -> Result<SqsBatchResponse, BatchError> {
    let mut batch = Batch::new(event);
    let deadline = Deadline::new(deadline, deps.clock.clone());
    let (requests, mut rejections) = sort(&batch, deps.clock.now());
    let mut throttled = false;
    for change in plan(&requests) {
        let now = deps.clock.now();
        let outcome = if throttled {
            Outcome::NotNow
        } else if !deadline.leaves(CHANGE_SECONDS) {
            tracing::warn!(error_type = "deadline", "no time left for group memberships");
            Outcome::NotNow
        } else if change.action == Action::Add && change.at < minus_seconds(now, MAX_ADD_AGE_SECONDS) {
            deps.metrics.count_by(Some(("reason", "outdated")), &[("MembershipsSkipped", 1)]);
            Outcome::Done
        } else {
            apply(deps, &change).await
        };
        match outcome {
            Outcome::Done => {}
            Outcome::Rejected(rejection) => {
                rejections.extend(change.messages.into_iter().map(|message| (message, rejection.clone())));
            }
            Outcome::NotNow => {
                throttled = true;
                batch.fail_with_backoff(change.messages, FIRST_DELAY, LONGEST_DELAY);
            }
            Outcome::Failed => batch.fail(change.messages),
        }
    }
    // What comes again is not parked as well, and what is parked is parked once.
    rejections.retain(|(message, _)| !batch.has_failed(*message));
    rejections.sort_by_key(|(message, _)| *message);
    rejections.dedup_by_key(|(message, _)| *message);
    batch.park(rejections, &deps.dead_letters, &deps.metrics, &deadline).await;
    batch.finish(&deps.group_memberships, &deadline).await
}

/// Sorts the messages of a batch into requests, and what can never succeed.
fn sort(batch: &Batch, now: Timestamp) -> (Vec<Request>, Vec<(usize, Rejection)>) {
    let (mut requests, mut rejections) = (Vec::new(), Vec::new());
    for message in 0..batch.len() {
        match Event::parse(batch.body(message)) {
            Err(error) => rejections.push((message, Rejection::from(error))),
            Ok(event) if event.time > plus_seconds(now, MAX_AHEAD_SECONDS) => {
                rejections.push((message, Rejection::from(InvalidEvent::InTheFuture)));
            }
            Ok(Event { data: Data::GroupsMapped(_), time, .. })
                if time < minus_seconds(now, MAX_AGE_SECONDS) =>
            {
                let text = "time: more than a day ago; the user's next token says how it is now".to_owned();
                rejections.push((message, Rejection { error_type: "too_old", message: text }));
            }
            Ok(Event { data: Data::GroupsMapped(mapped), time, source, .. }) => {
                if let Some(wrong) = what_is_wrong(&mapped, &source) {
                    rejections.push((message, InvalidEvent::InvalidData(wrong.to_owned()).into()));
                    continue;
                }
                requests.push(Request {
                    message,
                    at: time,
                    user: User { user_pool_id: mapped.user_pool_id, username: mapped.username },
                    add: mapped.add,
                    remove: mapped.remove,
                });
            }
            Ok(event) => rejections.push((message, Rejection::wrong_queue(&event))),
        }
    }
    (requests, rejections)
}

/// Why nothing can be done about a message, where that is so.
fn what_is_wrong(mapped: &GroupsMapped, source: &str) -> Option<&'static str> {
    let GroupsMapped { user_pool_id, username, add, remove } = mapped;
    if source != pool_source(user_pool_id) {
        Some("source: is not that of the user pool")
    } else if user_pool_id.is_empty() {
        Some("data.user_pool_id: is empty")
    } else if username.is_empty() {
        Some("data.username: is empty")
    } else if add.is_empty() && remove.is_empty() {
        Some("data: no group to add or to remove")
    } else if !add.is_disjoint(remove) {
        Some("data: a group both to add and to remove")
    } else {
        None
    }
}

/// Makes one change. What is so already is success.
async fn apply(deps: &Deps, change: &Change) -> Outcome {
    let Change { user, group, action, .. } = change;
    let result = match action {
        Action::Remove => deps.user_pools.remove(user, group).await,
        Action::Add => match deps.user_pools.add(user, group).await {
            Err(MembershipError::NotFound(_)) if deps.create_groups => {
                create_and_add(deps, user, group).await
            }
            result => result,
        },
    };
    let error = match (result, action) {
        (Ok(()), Action::Add) => {
            deps.metrics.count(&[("MembershipsAdded", 1)]);
            return Outcome::Done;
        }
        (Ok(()), Action::Remove) => {
            deps.metrics.count(&[("MembershipsRemoved", 1)]);
            return Outcome::Done;
        }
        (Err(error), _) => error,
    };
    let error_type = error.error_type();
    let rejected = |message: &str| Outcome::Rejected(Rejection { error_type, message: message.to_owned() });
    let outcome = match (&error, action) {
        // Deleted since: there is nobody to put into a group. Nor is anybody in a group that is not there, unless it is
        // the pool that is not there.
        (MembershipError::UserNotFound(_), _) | (MembershipError::NotFound(_), Action::Remove) => {
            deps.metrics.count_by(Some(("reason", error_type)), &[("MembershipsSkipped", 1)]);
            return Outcome::Done;
        }
        (MembershipError::NotFound(_), _) if deps.create_groups => rejected("there is no such user pool"),
        (MembershipError::NotFound(_), _) => {
            rejected("the user pool or the group is not there; CREATE_GROUPS=true creates groups")
        }
        (MembershipError::Invalid(_), _) => rejected("Cognito does not take the user name or the group"),
        (MembershipError::TooManyGroups(_), _) => rejected("the user pool can have no more groups"),
        (MembershipError::Throttled(_), _) => Outcome::NotNow,
        (MembershipError::Failed(_), _) => Outcome::Failed,
    };
    tracing::error!(error_type, cause = chain(&error), "a group membership was not changed");
    deps.metrics.count_by(Some(("reason", error_type)), &[("MembershipsFailed", 1)]);
    outcome
}

async fn create_and_add(deps: &Deps, user: &User, group: &str) -> Result<(), MembershipError> {
    deps.user_pools.create_group(&user.user_pool_id, group).await?;
    deps.metrics.count(&[("GroupsCreated", 1)]);
    deps.user_pools.add(user, group).await
}
