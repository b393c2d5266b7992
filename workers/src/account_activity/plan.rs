//! The events of a batch that are committed, from the calls, the table and the user pool. Pure.

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
    /// Cognito throttles. The messages are retried with a growing delay.
    Throttled,
    /// No time is left. SQS redelivers the messages.
    OutOfTime,
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
    /// Messages that wait because Cognito throttles.
    pub throttled: Vec<usize>,
    pub out_of_time: Vec<usize>,
    pub failed: Vec<usize>,
}

/// The users to look up. `accounts` is what the table has of the users.
pub fn subs_to_look_up(
    calls: &[AcceptedCall],
    accounts: &HashMap<String, StoredAccount>,
    deletion: Deletion,
) -> BTreeSet<String> {
    let deleted = deleted_users(calls, accounts, deletion);
    let needs_lookup = |call: &&AcceptedCall| {
        let Activity { sub, change, .. } = &call.activity;
        let account = accounts.get(sub);
        match change {
            // A deleted user is in no pool.
            Change::Known(Data::Deleted(_)) => false,
            // An attacker would decide how often users are looked up.
            change if change.is_failed_sign_in() => false,
            Change::Known(_) => !is_known(&call.activity, account),
            Change::Attributes(_) | Change::Mfa(_) => !is_erased(account) && !deleted.contains(sub.as_str()),
        }
    };
    calls.iter().filter(needs_lookup).map(|call| call.activity.sub.clone()).collect()
}

/// The users of the pool that this batch erases. A deletion of another user is ignored.
fn deleted_users<'a>(
    calls: &'a [AcceptedCall],
    accounts: &HashMap<String, StoredAccount>,
    deletion: Deletion,
) -> BTreeSet<&'a str> {
    let is_erasure = |call: &&AcceptedCall| {
        deletion == Deletion::Erase
            && matches!(call.activity.change, Change::Known(Data::Deleted(_)))
            && is_known(&call.activity, accounts.get(&call.activity.sub))
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
        let mut counts = FailureCounts::default();
        let deleted = deleted_users(&calls, accounts, deletion);
        for AcceptedCall { message, activity } in &calls {
            let account = accounts.get(&activity.sub);
            // The pipeline drops the events of erased users.
            let is_dropped = is_erased(account) || deleted.contains(activity.sub.as_str());
            if activity.change.is_failed_sign_in() && !is_known(activity, account) {
                // A lookup that another call made changes nothing: the user is not in the table.
                plan.ignored.push(IgnoreReason::UnknownUser);
                continue;
            }
            let lookup = lookups.get(&activity.sub).filter(|_| !is_dropped);
            let needs_lookup = activity.change.needs_lookup() || !is_known(activity, account);
            let waiting = match lookup.filter(|_| needs_lookup) {
                Some(Lookup::Throttled) => Some(&mut plan.throttled),
                Some(Lookup::OutOfTime) => Some(&mut plan.out_of_time),
                Some(Lookup::Failed) => Some(&mut plan.failed),
                Some(Lookup::Found(_) | Lookup::NotFound) | None => None,
            };
            if let Some(waiting) = waiting {
                waiting.push(*message);
                continue;
            }
            let user = match lookup {
                Some(Lookup::Found(user)) => Some(user),
                _ => None,
            };
            if activity.change.is_failed_sign_in() && !is_dropped {
                if let Some(address) = activity.ip_address {
                    plan.addresses.add(address, &activity.sub, activity.time, *message);
                }
                if !counts.has_room(activity, account) {
                    plan.ignored.push(IgnoreReason::Uncounted);
                    continue;
                }
            }
            match event_data(activity, account, user, is_dropped) {
                Ok((data, Effect::Event)) => plan.accepted.push(accepted(source, *message, activity, data)),
                Ok((data, Effect::Nothing)) => {
                    plan.unchanged.push(accepted(source, *message, activity, data));
                }
                Ok((data, Effect::Profile(changes))) => {
                    plan.profile_changes.insert(Partition::User(activity.sub.clone()), changes);
                    plan.accepted.push(accepted(source, *message, activity, data));
                }
                Err(reason) => plan.ignored.push(reason),
            }
        }
        plan
    }
}

/// True if the user is one of the pool, without a lookup.
fn is_known(activity: &Activity, account: Option<&StoredAccount>) -> bool {
    account.is_some() || activity.names_user_pool
}

/// The effect of a call on the table.
enum Effect {
    /// The event.
    Event,
    /// The event, and a changed profile.
    Profile(ProfileChanges),
    /// Nothing: the table already has what the call has set. A user may repeat such calls at will.
    Nothing,
}

/// The data of the event of a call, and its effect. `user` is the user in the pool, if there was a lookup
/// and it found the user.
fn event_data(
    activity: &Activity,
    account: Option<&StoredAccount>,
    user: Option<&PoolUser>,
    is_dropped: bool,
) -> Result<(Data, Effect), IgnoreReason> {
    let updated = |changed, by| Data::ProfileUpdated(ProfileUpdated { changed, by: Some(by) });
    let is_of_pool = is_known(activity, account) || user.is_some();
    match (&activity.change, user) {
        (Change::Known(data), _) if is_of_pool => Ok((data.clone(), Effect::Event)),
        (Change::Attributes(by), _) if is_dropped => Ok((updated(Vec::new(), *by), Effect::Event)),
        (Change::Mfa(by), _) if is_dropped => {
            Ok((Data::MfaDisabled(AccountChange { by: *by }), Effect::Event))
        }
        (Change::Attributes(by), Some(user)) => {
            let profile = account.and_then(|account| account.profile.as_ref());
            let changes = profile.map(|profile| profile.changes_from_all_attributes(&user.attributes));
            let changes = changes.unwrap_or_default();
            let changed = changes.names().into_iter().map(str::to_owned).collect();
            let effect = if changes.is_empty() { Effect::Nothing } else { Effect::Profile(changes) };
            Ok((updated(changed, *by), effect))
        }
        (Change::Mfa(by), Some(user)) => {
            let change = AccountChange { by: *by };
            let data = if user.is_mfa_enabled { Data::MfaEnabled(change) } else { Data::MfaDisabled(change) };
            let has_changed = mfa_state(account) != Some(user.is_mfa_enabled);
            Ok((data, if has_changed { Effect::Event } else { Effect::Nothing }))
        }
        (Change::Known(_) | Change::Attributes(_) | Change::Mfa(_), _) => Err(IgnoreReason::UnknownUser),
    }
}

/// What STATS says about MFA. `None` if no event said it yet, or if the item is unreadable: its user fails
/// when the event is committed.
fn mfa_state(account: Option<&StoredAccount>) -> Option<bool> {
    account?.statistics.as_ref()?.statistics::<UserStats>().ok()?.is_mfa_enabled
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use shared::events::{ChangedBy, Empty, SignInFailed};

    use super::*;

    fn call(change: Change, names_user_pool: bool) -> AcceptedCall {
        let activity = Activity {
            id: "1".to_owned(),
            time: Timestamp::UNIX_EPOCH,
            sub: "ana".to_owned(),
            names_user_pool,
            change,
            ip_address: Some([198, 51, 100, 7].into()),
        };
        AcceptedCall { message: 7, activity }
    }

    fn disabled() -> Change {
        Change::Known(Data::Disabled(Empty {}))
    }

    fn deleted() -> Change {
        Change::Known(Data::Deleted(Empty {}))
    }

    fn failed() -> Change {
        Change::Known(Data::SignInFailed(SignInFailed::default()))
    }

    fn accounts(is_known: bool) -> HashMap<String, StoredAccount> {
        is_known.then(|| ("ana".to_owned(), StoredAccount::default())).into_iter().collect()
    }

    #[test]
    fn user_is_looked_up_only_if_the_answer_decides() {
        let (attributes, mfa) = (Change::Attributes(ChangedBy::User), Change::Mfa(ChangedBy::User));
        for (change, names_user_pool, is_in_table, expected) in [
            (attributes.clone(), true, true, true),
            (mfa, true, true, true),
            (attributes, false, false, true),
            (disabled(), false, false, true),
            (disabled(), true, false, false),
            (disabled(), false, true, false),
            (deleted(), false, false, false),
            (failed(), false, false, false),
        ] {
            let calls = [call(change.clone(), names_user_pool)];
            let subs = subs_to_look_up(&calls, &accounts(is_in_table), Deletion::Erase);
            assert_eq!(!subs.is_empty(), expected, "{change:?} {names_user_pool} {is_in_table}");
        }
        let both = [call(Change::Mfa(ChangedBy::User), true), call(deleted(), true)];
        assert_eq!(subs_to_look_up(&both, &accounts(true), Deletion::Erase).len(), 0);
        assert_eq!(subs_to_look_up(&both, &accounts(true), Deletion::Keep).len(), 1);
        // The deletion is ignored, because the user may be of another pool.
        let both = [call(Change::Mfa(ChangedBy::User), false), call(deleted(), false)];
        assert_eq!(subs_to_look_up(&both, &accounts(false), Deletion::Erase).len(), 1);
    }

    /// What happens to one call, given what the lookup found.
    fn planned(change: Change, names_user_pool: bool, lookup: Option<Lookup>) -> String {
        let lookups = lookup.map(|lookup| ("ana".to_owned(), lookup)).into_iter().collect();
        let calls = vec![call(change, names_user_pool)];
        let plan = Plan::new("/test", calls, &accounts(false), &lookups, Deletion::Erase);
        let events = plan.accepted.iter().map(|message| message.pending.event.data.event_type().to_owned());
        let unchanged = plan.unchanged.iter().map(|message| format!("unchanged {}", message.index));
        let ignored = plan.ignored.iter().map(|reason| reason.code().to_owned());
        let waiting =
            [("throttled", &plan.throttled), ("out of time", &plan.out_of_time), ("failed", &plan.failed)];
        let waiting = waiting.into_iter().filter(|(_, messages)| **messages == [7]);
        let waiting = waiting.map(|(name, _)| name.to_owned());
        events.chain(unchanged).chain(ignored).chain(waiting).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn call_without_an_answer_waits_and_one_about_an_unknown_user_is_ignored() {
        let user = |is_mfa_enabled| {
            let attributes = shared::user_attributes::confirmed("ana".to_owned(), |_| None);
            Some(Lookup::Found(PoolUser { attributes, is_mfa_enabled }))
        };
        let mfa = || Change::Mfa(ChangedBy::User);
        for (change, names_user_pool, lookup, expected) in [
            (mfa(), true, user(true), "user.mfa_enabled"),
            (mfa(), false, user(false), "user.mfa_disabled"),
            (mfa(), true, Some(Lookup::NotFound), "unknown_user"),
            (mfa(), true, Some(Lookup::Throttled), "throttled"),
            (mfa(), true, Some(Lookup::OutOfTime), "out of time"),
            (mfa(), true, Some(Lookup::Failed), "failed"),
            (Change::Attributes(ChangedBy::User), true, user(false), "unchanged 7"),
            (disabled(), true, None, "user.disabled"),
            // Another call of the user needs the lookup.
            (disabled(), true, Some(Lookup::Throttled), "user.disabled"),
            (disabled(), false, user(false), "user.disabled"),
            (disabled(), false, Some(Lookup::NotFound), "unknown_user"),
            (disabled(), false, Some(Lookup::Failed), "failed"),
            (deleted(), false, None, "unknown_user"),
            (deleted(), true, None, "user.deleted"),
            (failed(), false, None, "unknown_user"),
            // Another call of the user needs the lookup.
            (failed(), false, user(true), "unknown_user"),
            (failed(), false, Some(Lookup::Throttled), "unknown_user"),
            (failed(), true, None, "user.sign_in_failed"),
        ] {
            let found = planned(change.clone(), names_user_pool, lookup.clone());
            assert_eq!(found, expected, "{change:?} {names_user_pool} {lookup:?}");
        }
    }
}
