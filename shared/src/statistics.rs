//! The statistics, and the effect of each event on them. Pure: no I/O, no clock.
//!
//! A standard queue keeps no order. So applying events is commutative and associative: counters
//! add, times take the minimum or the maximum, a state follows its latest change, and `recent` keeps the
//! latest ten. This file does
//! not know whether an event was applied before. The stored event in the table shows that.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::events::{ChangedBy, Data, Event, SignInOutcome, SignUpOutcome, Spent, View};
use crate::time::millis;

mod failed_sign_ins;

pub use failed_sign_ins::{FailuresByHour, MAX_FAILED_SIGN_INS_PER_HOUR};

/// Maximum number of activities in `recent`.
pub const MAX_RECENT: usize = 10;
/// Maximum length of an activity's text. It keeps the statistics below 1 KB, because DynamoDB
/// charges writes by the kilobyte.
pub const MAX_DETAIL_BYTES: usize = 20;

/// The activity of a user. Times are milliseconds since 1970, in JSON and in the table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserStats {
    /// When the user was first active. Sign-in attempts do not count, because anyone can make them.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub first_seen_at: Option<Timestamp>,
    /// When the user was last active.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_seen_at: Option<Timestamp>,
    /// When the account was confirmed. The earliest time of all `user.confirmed` events.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub confirmed_at: Option<Timestamp>,
    /// Cognito may invoke a trigger more than once for one sign-in. A refresh through
    /// GetTokensFromRefreshToken counts as a sign-in, because Cognito reports it as one.
    pub sign_ins: u64,
    /// Attempts that were denied because of a suspension, or because the table could not be read.
    /// Attempts with one app client, in one flow and for one reason count once in ten minutes, or twice
    /// if they are on both sides of the end of such an interval.
    pub sign_ins_denied: u64,
    pub token_refreshes: u64,
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_sign_in_at: Option<Timestamp>,
    /// When the user last got a token, by a sign-in or by a refresh.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_token_issued_at: Option<Timestamp>,
    /// Forgotten passwords that the user replaced.
    pub password_resets: u64,
    /// Messages that Cognito was about to send, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub messages: BTreeMap<String, u64>,
    pub orders: u64,
    pub orders_cancelled: u64,
    /// Sum of the orders by currency, minus canceled orders. Decimal strings.
    #[serde(skip_serializing_if = "Spent::is_empty")]
    pub spent: Spent,
    pub activities: u64,
    /// Notifications created minus notifications read. Negative while `notification.read` has
    /// arrived before its `notification.created`.
    pub unread_notifications: i64,
    /// The latest activities to show, latest first. At most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<RecentActivity>,
    /// Passwords that the user or an administrator changed, without forgotten ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub password_changes: u64,
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_password_changed_at: Option<Timestamp>,
    /// Whether MFA is on for the user. `None` if it was never changed since account events are on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_mfa_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub mfa_changed_at: Option<Timestamp>,
    /// True if the account is disabled in the user pool. `None` if it never was, since account events are
    /// on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub disabled_changed_at: Option<Timestamp>,
    /// When the user was last signed out on all devices.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_signed_out_at: Option<Timestamp>,
    /// When the account was deleted in the user pool, if ACCOUNT_DELETION is `keep`.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub deleted_at: Option<Timestamp>,
    /// Sign-ins that failed because of a wrong password, at most [`MAX_FAILED_SIGN_INS_PER_HOUR`] in an
    /// hour, or twice as many if two invocations run at the same time.
    #[serde(skip_serializing_if = "is_zero")]
    pub sign_ins_failed: u64,
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_sign_in_failed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "FailuresByHour::is_empty")]
    pub failures_by_hour: FailuresByHour,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One of a user's latest activities.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecentActivity {
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// The type of the event.
    pub r#type: String,
    /// The order id, the notification id or the description, cut to 20 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Sign-ups per email domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DomainStats {
    pub sign_ups: u64,
    /// With or without a confirmation code.
    pub sign_ups_allowed: u64,
    pub sign_ups_denied: u64,
}

/// Statistics of a user or of one shard of an email domain.
pub trait Statistics: Clone + Default + Serialize + DeserializeOwned {
    /// The names of the attributes in the table.
    const ATTRIBUTES: &'static [&'static str];

    fn apply(&mut self, event: &Event);

    /// When the user last got a token. The rule about inactive users needs it.
    fn last_token_issued_at(&self) -> Option<Timestamp>;

    /// The failed sign-ins of a user. `None` for a domain.
    fn failures_by_hour(&self) -> Option<&FailuresByHour>;
}

impl Statistics for UserStats {
    const ATTRIBUTES: &'static [&'static str] = &[
        "firstSeenAt",
        "lastSeenAt",
        "confirmedAt",
        "signIns",
        "signInsDenied",
        "tokenRefreshes",
        "lastSignInAt",
        "lastTokenIssuedAt",
        "passwordResets",
        "messages",
        "orders",
        "ordersCancelled",
        "spent",
        "activities",
        "unreadNotifications",
        "recent",
        "passwordChanges",
        "lastPasswordChangedAt",
        "isMfaEnabled",
        "mfaChangedAt",
        "isDisabled",
        "disabledChangedAt",
        "lastSignedOutAt",
        "deletedAt",
        "signInsFailed",
        "lastSignInFailedAt",
        "failuresByHour",
    ];

    fn apply(&mut self, event: &Event) {
        let at = event.time;
        match &event.data {
            Data::Confirmed(_) => {
                self.confirmed_at = earliest(self.confirmed_at, at);
                self.mark_seen(at);
            }
            Data::PasswordReset(_) => {
                self.password_resets += 1;
                self.mark_seen(at);
            }
            Data::SignInAttempted(attempt) => {
                self.sign_ins_denied += u64::from(attempt.outcome == SignInOutcome::Denied);
            }
            Data::SignedIn(_) => {
                self.sign_ins += 1;
                self.last_sign_in_at = latest(self.last_sign_in_at, at);
                self.last_token_issued_at = latest(self.last_token_issued_at, at);
                self.mark_seen(at);
            }
            Data::TokenRefreshed(_) => {
                self.token_refreshes += 1;
                self.last_token_issued_at = latest(self.last_token_issued_at, at);
                self.mark_seen(at);
            }
            Data::MessageRequested(message) => {
                *self.messages.entry(message.kind.name().to_owned()).or_default() += 1;
            }
            Data::OrderPlaced(order) => {
                self.orders += 1;
                self.spent.add(order.amount, order.currency);
                self.mark_seen(at);
            }
            Data::OrderCancelled(order) => {
                self.orders_cancelled += 1;
                self.spent.subtract(order.amount, order.currency);
            }
            Data::ActivityRecorded(_) => {
                self.activities += 1;
                self.mark_seen(at);
            }
            Data::NotificationCreated(_) => self.unread_notifications += 1,
            Data::NotificationRead(_) => {
                self.unread_notifications -= 1;
                self.mark_seen(at);
            }
            Data::ProfileUpdated(updated) if updated.by == Some(ChangedBy::Administrator) => {}
            Data::ProfileUpdated(_) => self.mark_seen(at),
            Data::PasswordChanged(change) => {
                self.password_changes += 1;
                self.last_password_changed_at = latest(self.last_password_changed_at, at);
                self.mark_seen_by(change.by, at);
            }
            Data::MfaEnabled(change) => {
                follow(&mut self.is_mfa_enabled, &mut self.mfa_changed_at, (at, true), false);
                self.mark_seen_by(change.by, at);
            }
            Data::MfaDisabled(change) => {
                follow(&mut self.is_mfa_enabled, &mut self.mfa_changed_at, (at, false), false);
                self.mark_seen_by(change.by, at);
            }
            Data::Disabled(_) => {
                follow(&mut self.is_disabled, &mut self.disabled_changed_at, (at, true), true);
            }
            Data::Enabled(_) => {
                follow(&mut self.is_disabled, &mut self.disabled_changed_at, (at, false), true);
            }
            Data::SignedOut(change) => {
                self.last_signed_out_at = latest(self.last_signed_out_at, at);
                self.mark_seen_by(change.by, at);
            }
            Data::Deleted(_) => self.deleted_at = latest(self.deleted_at, at),
            Data::SignInFailed(_) => {
                self.sign_ins_failed += 1;
                self.last_sign_in_failed_at = latest(self.last_sign_in_failed_at, at);
                self.failures_by_hour.add(at);
            }
            // Counted per domain, or not an activity of the user.
            Data::SignUpAttempted(_)
            | Data::Suspended(_)
            | Data::Reinstated(_)
            | Data::GroupChanged(_)
            | Data::DataChanged(_)
            | Data::GroupsMapped(_)
            | Data::PermissionGranted(_)
            | Data::PermissionRevoked(_) => {}
        }
        self.update_recent(recent_activity(event));
    }

    fn last_token_issued_at(&self) -> Option<Timestamp> {
        self.last_token_issued_at
    }

    fn failures_by_hour(&self) -> Option<&FailuresByHour> {
        Some(&self.failures_by_hour)
    }
}

impl Statistics for DomainStats {
    const ATTRIBUTES: &'static [&'static str] = &["signUps", "signUpsAllowed", "signUpsDenied"];

    fn apply(&mut self, event: &Event) {
        if let Data::SignUpAttempted(attempt) = &event.data {
            self.sign_ups += 1;
            match attempt.outcome {
                SignUpOutcome::Allowed | SignUpOutcome::AutoConfirmed => self.sign_ups_allowed += 1,
                SignUpOutcome::Denied => self.sign_ups_denied += 1,
            }
        }
    }

    fn last_token_issued_at(&self) -> Option<Timestamp> {
        None
    }

    fn failures_by_hour(&self) -> Option<&FailuresByHour> {
        None
    }
}

impl UserStats {
    fn mark_seen(&mut self, at: Timestamp) {
        self.first_seen_at = earliest(self.first_seen_at, at);
        self.last_seen_at = latest(self.last_seen_at, at);
    }

    /// Only the signed-in user can do it with an access token. A change by an administrator is not an
    /// activity of the user.
    fn mark_seen_by(&mut self, by: ChangedBy, at: Timestamp) {
        if by == ChangedBy::User {
            self.mark_seen(at);
        }
    }

    /// Keeps the latest ten activities.
    ///
    /// The confirmation can be published twice with different times. So its entry is derived from
    /// `confirmed_at`, which does not depend on the order of events, and is shown only while there
    /// are fewer than ten others.
    fn update_recent(&mut self, activity: Option<RecentActivity>) {
        self.recent.retain(|activity| activity.r#type != CONFIRMED);
        self.recent.extend(activity);
        sort_latest_first(&mut self.recent);
        self.recent.truncate(MAX_RECENT);
        if let Some(at) = self.confirmed_at.filter(|_| self.recent.len() < MAX_RECENT) {
            self.recent.push(RecentActivity { at, r#type: CONFIRMED.to_owned(), detail: None });
            sort_latest_first(&mut self.recent);
        }
    }
}

impl DomainStats {
    /// Adds the statistics of two shards of a domain.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            sign_ups: self.sign_ups + other.sign_ups,
            sign_ups_allowed: self.sign_ups_allowed + other.sign_ups_allowed,
            sign_ups_denied: self.sign_ups_denied + other.sign_ups_denied,
        }
    }
}

/// The views that an event changes, and whose cached pages become stale.
///
/// A sign-in changes none: a new token is a new cache key.
pub fn changed_views(data: &Data) -> &'static [View] {
    match data {
        Data::Confirmed(_) | Data::ProfileUpdated(_) => &[View::Dashboard, View::Profile],
        Data::OrderPlaced(_) | Data::OrderCancelled(_) => &[View::Dashboard, View::Orders],
        Data::PasswordReset(_)
        | Data::PasswordChanged(_)
        | Data::MfaEnabled(_)
        | Data::MfaDisabled(_)
        | Data::ActivityRecorded(_)
        | Data::NotificationCreated(_)
        | Data::NotificationRead(_) => &[View::Dashboard],
        Data::Suspended(_) | Data::Reinstated(_) | Data::Deleted(_) => &View::ALL,
        Data::SignUpAttempted(_)
        | Data::SignInAttempted(_)
        | Data::SignedIn(_)
        | Data::TokenRefreshed(_)
        | Data::MessageRequested(_)
        | Data::DataChanged(_)
        | Data::GroupsMapped(_)
        | Data::PermissionGranted(_)
        | Data::PermissionRevoked(_)
        | Data::Disabled(_)
        | Data::Enabled(_)
        | Data::SignedOut(_)
        | Data::GroupChanged(_)
        | Data::SignInFailed(_) => &[],
    }
}

const CONFIRMED: &str = "user.confirmed";

/// The entry of an event in `recent`. The entry of the confirmation is derived from `confirmed_at`.
fn recent_activity(event: &Event) -> Option<RecentActivity> {
    let detail = match &event.data {
        Data::OrderPlaced(order) | Data::OrderCancelled(order) => Some(cut(&order.order_id)),
        Data::ActivityRecorded(activity) => Some(cut(&activity.description)),
        Data::NotificationCreated(notification) => Some(cut(&notification.notification_id)),
        Data::PasswordReset(_) | Data::PasswordChanged(_) | Data::MfaEnabled(_) | Data::MfaDisabled(_) => {
            None
        }
        // A failed sign-in is none: an attacker could push the user's own activities out.
        _ => return None,
    };
    Some(RecentActivity { at: event.time, r#type: event.data.event_type().to_owned(), detail })
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_DETAIL_BYTES)].to_owned()
}

fn sort_latest_first(activities: &mut [RecentActivity]) {
    activities.sort_by(|a, b| b.cmp(a));
}

fn earliest(known: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
    Some(known.map_or(at, |known| known.min(at)))
}

fn latest(known: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
    Some(known.map_or(at, |known| known.max(at)))
}

/// Applies a change of a state: the latest one wins, and at equal times the value `preferred`.
fn follow(
    state: &mut Option<bool>,
    changed_at: &mut Option<Timestamp>,
    (at, value): (Timestamp, bool),
    preferred: bool,
) {
    let known = changed_at.zip(*state);
    let rank = |(at, value): (Timestamp, bool)| (at, value == preferred);
    if known.is_none_or(|known| rank(known) < rank((at, value))) {
        (*state, *changed_at) = (Some(value), Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{AccountChange, Activity, Empty, Subject};

    fn activity(second: i64, description: &str) -> Event {
        let data = Data::ActivityRecorded(Activity { description: description.into() });
        Event::new("/test", Subject::user("ana"), Timestamp::from_second(second).unwrap(), data)
    }

    #[test]
    fn attributes_lists_every_field() {
        let (at, one) = (Some(Timestamp::UNIX_EPOCH), 1);
        let mut spent = Spent::default();
        spent.add("1".parse().unwrap(), "EUR".to_owned().try_into().unwrap());
        // Without `..`, so that a new field does not compile until it is here.
        let user = UserStats {
            first_seen_at: at,
            last_seen_at: at,
            confirmed_at: at,
            sign_ins: one,
            sign_ins_denied: one,
            token_refreshes: one,
            last_sign_in_at: at,
            last_token_issued_at: at,
            password_resets: one,
            messages: [("sign_up".to_owned(), one)].into(),
            orders: one,
            orders_cancelled: one,
            spent,
            activities: one,
            unread_notifications: 1,
            recent: vec![RecentActivity {
                at: Timestamp::UNIX_EPOCH,
                r#type: CONFIRMED.into(),
                detail: None,
            }],
            password_changes: one,
            last_password_changed_at: at,
            is_mfa_enabled: Some(true),
            mfa_changed_at: at,
            is_disabled: Some(false),
            disabled_changed_at: at,
            last_signed_out_at: at,
            deleted_at: at,
            sign_ins_failed: one,
            last_sign_in_failed_at: at,
            failures_by_hour: {
                let mut failures = FailuresByHour::default();
                failures.add(Timestamp::UNIX_EPOCH);
                failures
            },
        };
        let domain = DomainStats { sign_ups: one, sign_ups_allowed: one, sign_ups_denied: one };
        for (json, listed) in [
            (serde_json::to_value(user).unwrap(), UserStats::ATTRIBUTES),
            (serde_json::to_value(domain).unwrap(), DomainStats::ATTRIBUTES),
        ] {
            let mut names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
            let mut listed = listed.to_vec();
            names.sort_unstable();
            listed.sort_unstable();
            assert_eq!(names, listed);
        }
    }

    #[test]
    fn recent_keeps_the_latest_ten_activities() {
        let mut stats = UserStats::default();
        for second in [5, 1, 9, 3, 7, 11, 2, 10, 4, 8, 6] {
            stats.apply(&activity(second, &format!("no. {second}")));
        }
        let seconds: Vec<i64> = stats.recent.iter().map(|activity| activity.at.as_second()).collect();
        assert_eq!(seconds, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
        assert_eq!(stats.activities, 11);
    }

    #[test]
    fn state_follows_its_latest_change_and_the_safe_one_at_equal_times() {
        let by = AccountChange { by: ChangedBy::Administrator };
        let (on, off) = (Data::MfaEnabled(by.clone()), Data::MfaDisabled(by));
        let (disabled, enabled) = (Data::Disabled(Empty {}), Data::Enabled(Empty {}));
        for (changes, expected) in [
            ([(5, &on), (9, &off)], (Some(false), None)),
            ([(5, &off), (9, &on)], (Some(true), None)),
            ([(5, &on), (5, &off)], (Some(false), None)),
            ([(5, &disabled), (9, &enabled)], (None, Some(false))),
            ([(5, &enabled), (9, &disabled)], (None, Some(true))),
            ([(5, &disabled), (5, &enabled)], (None, Some(true))),
        ] {
            for changes in [changes, [changes[1], changes[0]]] {
                let mut stats = UserStats::default();
                for (second, data) in changes {
                    stats.apply(&Event { data: data.clone(), ..activity(second, "") });
                }
                assert_eq!((stats.is_mfa_enabled, stats.is_disabled), expected, "{changes:?}");
                assert_eq!(stats.last_seen_at, None, "an administrator's change is no activity");
            }
        }
    }

    #[test]
    fn change_by_the_user_updates_last_seen_and_a_failed_sign_in_does_not() {
        let by = |by| AccountChange { by };
        let (user, administrator) = (ChangedBy::User, ChangedBy::Administrator);
        let updated = |by| Data::ProfileUpdated(crate::events::ProfileUpdated { changed: Vec::new(), by });
        for (data, is_seen) in [
            (Data::PasswordChanged(by(user)), true),
            (Data::PasswordChanged(by(administrator)), false),
            (Data::MfaEnabled(by(user)), true),
            (Data::MfaDisabled(by(user)), true),
            (Data::SignedOut(by(user)), true),
            (Data::SignedOut(by(administrator)), false),
            (updated(None), true),
            (updated(Some(user)), true),
            (updated(Some(administrator)), false),
            (Data::SignInFailed(crate::events::SignInFailed::default()), false),
            (Data::Disabled(Empty {}), false),
            (Data::Deleted(Empty {}), false),
        ] {
            let event = Event { data, ..activity(50, "") };
            let mut stats = UserStats::default();
            stats.apply(&event);
            assert_eq!(stats.last_seen_at, is_seen.then_some(event.time), "{event:?}");
            let in_recent = matches!(
                event.data.event_type(),
                "user.password_changed" | "user.mfa_enabled" | "user.mfa_disabled"
            );
            assert_eq!(stats.recent.len(), usize::from(in_recent), "{event:?}");
        }
    }

    #[test]
    fn text_is_cut_at_a_character_boundary() {
        let mut stats = UserStats::default();
        stats.apply(&activity(1, "ééééééééééééé and more"));
        assert_eq!(stats.recent[0].detail.as_deref(), Some("éééééééééé"));
    }

    #[test]
    fn password_reset_updates_last_seen_and_a_sign_in_attempt_does_not() {
        let mut stats = UserStats::default();
        let mut event = activity(50, "");
        event.data = Data::SignInAttempted(crate::events::SignInAttempted {
            flow: crate::events::AttemptFlow::PreAuthentication,
            outcome: SignInOutcome::Denied,
            reason: "suspended".into(),
            claimed_by_client: None,
        });
        stats.apply(&event);
        assert_eq!((stats.sign_ins_denied, stats.last_seen_at), (1, None));
        event.data = Data::PasswordReset(Empty {});
        stats.apply(&event);
        assert_eq!((stats.password_resets, stats.last_seen_at), (1, Some(event.time)));
    }
}
