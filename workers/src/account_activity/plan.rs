//! Which events of a batch are committed, from the calls, the table and the user pool. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use shared::events::{AccountChange, Data, Event, ProfileUpdated, Subject};
use shared::statistics::{FailuresByHour, UserStats};
use shared::store::{Partition, ProfileChanges, StoredAccount};

use super::addresses::FailuresByAddress;
use super::translate::{Activity, Change, IgnoreReason};
use super::user_pool::PoolUser;
use crate::user_stats::accept::{AcceptedMessage, PendingEvent};
use crate::user_stats::pipeline::Deletion;

/// A call that may become an event.
#[derive(Clone, Debug)]
pub struct AcceptedCall {
    /// Index of the message in the batch.
    pub message: usize,
    pub activity: Activity,
}

/// The result of looking a user up.
#[derive(Clone, Debug)]
pub enum Lookup {
    Found(PoolUser),
    NotFound,
    /// Cognito throttles, or no time is left. The messages are retried with a growing delay.
    Retry,
    /// The call failed. SQS redelivers the messages.
    Failed,
}

/// What happens to the calls of a batch.
#[derive(Default)]
pub struct Plan {
    /// Events to commit.
    pub accepted: Vec<AcceptedMessage>,
    /// Events about profiles that are up to date already. They are committed only if they are stored.
    pub unchanged: Vec<AcceptedMessage>,
    /// Profiles to write, by partition.
    pub profile_changes: BTreeMap<Partition, ProfileChanges>,
    pub addresses: FailuresByAddress,
    pub ignored: Vec<IgnoreReason>,
    /// Messages to retry with a growing delay.
    pub retried: Vec<usize>,
    pub failed: Vec<usize>,
}

/// The users to look up. `accounts` is what the table has of the users.
pub fn subs_to_look_up(
    calls: &[AcceptedCall],
    accounts: &HashMap<String, StoredAccount>,
    deletion: Deletion,
) -> BTreeSet<String> {
    let deleted = deleted_users(calls, deletion);
    let needs_lookup = |call: &&AcceptedCall| {
        let Activity { sub, change, .. } = &call.activity;
        let account = accounts.get(sub);
        match change {
            // A deleted user is in no pool.
            Change::Known(Data::Deleted(_)) => false,
            // An attacker would decide how often users are looked up.
            change if change.is_failed_sign_in() => false,
            Change::Known(_) => !call.activity.names_user_pool && account.is_none(),
            Change::Attributes(_) | Change::Mfa(_) => !is_erased(account) && !deleted.contains(sub.as_str()),
        }
    };
    calls.iter().filter(needs_lookup).map(|call| call.activity.sub.clone()).collect()
}

/// The users whom this batch erases.
fn deleted_users(calls: &[AcceptedCall], deletion: Deletion) -> BTreeSet<&str> {
    let is_erasure = |call: &&AcceptedCall| {
        deletion == Deletion::Erase && matches!(call.activity.change, Change::Known(Data::Deleted(_)))
    };
    calls.iter().filter(is_erasure).map(|call| call.activity.sub.as_str()).collect()
}

fn is_erased(account: Option<&StoredAccount>) -> bool {
    let metadata = account.and_then(|account| account.statistics.as_ref()?.metadata().ok());
    metadata.is_some_and(|metadata| metadata.erased_at.is_some())
}

impl Plan {
    /// `source` is the CloudEvents source of the events.
    pub fn new(
        source: &str,
        calls: Vec<AcceptedCall>,
        accounts: &HashMap<String, StoredAccount>,
        lookups: &BTreeMap<String, Lookup>,
        deletion: Deletion,
    ) -> Self {
        let mut plan = Self::default();
        let deleted: BTreeSet<String> =
            deleted_users(&calls, deletion).into_iter().map(str::to_owned).collect();
        let mut counts = FailureCounts::default();
        for AcceptedCall { message, activity } in calls {
            let account = accounts.get(&activity.sub);
            let lookup = lookups.get(&activity.sub);
            // The pipeline drops the events of erased users.
            let is_dropped = is_erased(account) || deleted.contains(&activity.sub);
            let is_known = account.is_some() || activity.names_user_pool;
            let data = match (&activity.change, lookup) {
                (Change::Attributes(by), _) if is_dropped => {
                    Data::ProfileUpdated(ProfileUpdated { changed: Vec::new(), by: Some(*by) })
                }
                (Change::Mfa(by), _) if is_dropped => Data::MfaDisabled(AccountChange { by: *by }),
                (change, Some(Lookup::Retry)) if change.needs_lookup() || !is_known => {
                    plan.retried.push(message);
                    continue;
                }
                (change, Some(Lookup::Failed)) if change.needs_lookup() || !is_known => {
                    plan.failed.push(message);
                    continue;
                }
                (Change::Known(data), lookup) => {
                    if !is_known && !matches!(lookup, Some(Lookup::Found(_))) {
                        plan.ignored.push(IgnoreReason::UnknownUser);
                        continue;
                    }
                    data.clone()
                }
                (Change::Attributes(by), Some(Lookup::Found(user))) => {
                    let profile = account.and_then(|account| account.profile.as_ref());
                    let changes =
                        profile.map(|profile| profile.changes_from_all_attributes(&user.attributes));
                    let changes = changes.unwrap_or_default();
                    let changed = changes.names().into_iter().map(str::to_owned).collect();
                    let data = Data::ProfileUpdated(ProfileUpdated { changed, by: Some(*by) });
                    if changes.is_empty() {
                        plan.unchanged.push(accepted(source, message, &activity, data));
                        continue;
                    }
                    plan.profile_changes.insert(Partition::User(activity.sub.clone()), changes);
                    data
                }
                (Change::Mfa(by), Some(Lookup::Found(user))) if user.is_mfa_enabled => {
                    Data::MfaEnabled(AccountChange { by: *by })
                }
                (Change::Mfa(by), Some(Lookup::Found(_))) => Data::MfaDisabled(AccountChange { by: *by }),
                (Change::Attributes(_) | Change::Mfa(_), _) => {
                    plan.ignored.push(IgnoreReason::UnknownUser);
                    continue;
                }
            };
            if activity.change.is_failed_sign_in() && !is_dropped {
                if let Some(address) = activity.ip_address {
                    plan.addresses.add(address, &activity.sub, activity.time, message);
                }
                if !counts.has_room(&activity, account) {
                    plan.ignored.push(IgnoreReason::Uncounted);
                    continue;
                }
            }
            plan.accepted.push(accepted(source, message, &activity, data));
        }
        plan
    }
}

/// The event of a call, with the id of the call.
fn accepted(source: &str, index: usize, activity: &Activity, data: Data) -> AcceptedMessage {
    let subject = Subject::User(activity.sub.clone());
    let event = Event::new(source, subject, activity.time, data).with_id(&activity.id);
    let body = event.to_json();
    AcceptedMessage { index, pending: PendingEvent { event, body } }
}

/// The failed sign-ins of the batch, with those that the table had.
#[derive(Default)]
struct FailureCounts {
    by_sub: HashMap<String, FailuresByHour>,
    /// A message may be in the batch twice.
    seen: HashSet<String>,
}

impl FailureCounts {
    /// True if the failed sign-in is stored. Counts it then.
    fn has_room(&mut self, activity: &Activity, account: Option<&StoredAccount>) -> bool {
        let stored = || {
            let statistics = account.and_then(|account| account.statistics.as_ref());
            // An unreadable item fails its own user when the event is committed.
            statistics.and_then(|stored| stored.statistics::<UserStats>().ok()).unwrap_or_default()
        };
        if self.seen.contains(&activity.id) {
            return true;
        }
        let failures = self.by_sub.entry(activity.sub.clone()).or_insert_with(|| stored().failures_by_hour);
        let has_room = failures.has_room(activity.time);
        if has_room {
            failures.add(activity.time);
            self.seen.insert(activity.id.clone());
        }
        has_room
    }
}
