//! How events fold into statistics. Pure: no I/O, no clock.
//!
//! A standard queue has no order, so each fold is commutative and associative: counters add, times take the
//! minimum or the maximum, `recent` keeps the latest ten. Whether an event was already folded in is not known
//! here; its stored copy in the table says so.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::events::{Data, Event, SignInOutcome, SignUpOutcome, Spent, View};
use crate::time::millis;

/// `recent` holds this many activities.
pub const MAX_RECENT: usize = 10;
/// The text of an activity is cut after this many bytes, so that the statistics stay below 1 KB: DynamoDB
/// charges a write by the kilobyte.
pub const MAX_DETAIL_BYTES: usize = 20;

/// What is known of a user's doings. Times are milliseconds since 1970 in JSON and in the table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserStats {
    /// The first time that the user did something. Attempts to sign in do not count: anyone can make them.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub first_seen_at: Option<Timestamp>,
    /// The last time that the user did something.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_seen_at: Option<Timestamp>,
    /// When the account was confirmed: the earliest time that was said.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub confirmed_at: Option<Timestamp>,
    /// Sign-ins. Cognito may invoke a trigger up to three times for one of them, and a token refreshed through
    /// GetTokensFromRefreshToken looks like a sign-in.
    pub sign_ins: u64,
    /// Attempts that were denied because of a suspension, or because the store could not be asked.
    pub sign_ins_denied: u64,
    /// Tokens refreshed.
    pub token_refreshes: u64,
    /// The last sign-in.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_sign_in_at: Option<Timestamp>,
    /// The last time that the user got a token, by signing in or by a refresh.
    #[serde(skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub last_token_issued_at: Option<Timestamp>,
    /// Passwords chosen anew after they were forgotten.
    pub password_resets: u64,
    /// Messages that Cognito was about to send, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub messages: BTreeMap<String, u64>,
    /// Orders placed.
    pub orders: u64,
    /// Orders cancelled.
    pub orders_cancelled: u64,
    /// What was spent by currency, cancelled orders taken off. Decimal strings.
    #[serde(skip_serializing_if = "Spent::is_empty")]
    pub spent: Spent,
    /// Activities recorded.
    pub activities: u64,
    /// Notifications created less notifications read. Below zero while a notice of reading overtakes the
    /// notification.
    pub unread_notifications: i64,
    /// The latest activities worth showing, latest first, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<RecentActivity>,
}

/// One of a user's latest activities.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecentActivity {
    /// When.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// The event's type.
    pub r#type: String,
    /// The order's id, the notification's id or the description, cut to 20 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Sign-ups per e-mail domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DomainStats {
    /// Sign-ups tried.
    pub sign_ups: u64,
    /// Of these, allowed to go on, with or without a code.
    pub sign_ups_allowed: u64,
    /// Of these, denied.
    pub sign_ups_denied: u64,
}

impl UserStats {
    /// The names of the attributes that hold it.
    pub const ATTRIBUTES: &'static [&'static str] = &[
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
    ];

    /// Folds one event in.
    pub fn apply(&mut self, event: &Event) {
        let at = event.time;
        match &event.data {
            Data::Confirmed(_) => {
                self.confirmed_at = earliest(self.confirmed_at, at);
                self.see(at);
            }
            Data::PasswordReset(_) => {
                self.password_resets += 1;
                self.see(at);
            }
            Data::SignInAttempted(attempt) => {
                self.sign_ins_denied += u64::from(attempt.outcome == SignInOutcome::Denied);
            }
            Data::SignedIn(_) => {
                self.sign_ins += 1;
                self.last_sign_in_at = latest(self.last_sign_in_at, at);
                self.last_token_issued_at = latest(self.last_token_issued_at, at);
                self.see(at);
            }
            Data::TokenRefreshed(_) => {
                self.token_refreshes += 1;
                self.last_token_issued_at = latest(self.last_token_issued_at, at);
                self.see(at);
            }
            Data::MessageRequested(message) => {
                *self.messages.entry(message.kind.name().to_owned()).or_default() += 1;
            }
            Data::OrderPlaced(order) => {
                self.orders += 1;
                self.spent.add(order.amount, order.currency);
                self.see(at);
            }
            Data::OrderCancelled(order) => {
                self.orders_cancelled += 1;
                self.spent.subtract(order.amount, order.currency);
            }
            Data::ActivityRecorded(_) => {
                self.activities += 1;
                self.see(at);
            }
            Data::NotificationCreated(_) => self.unread_notifications += 1,
            Data::NotificationRead(_) => {
                self.unread_notifications -= 1;
                self.see(at);
            }
            Data::ProfileUpdated(_) => self.see(at),
            // Counted per domain, or no doing of the user's.
            Data::SignUpAttempted(_)
            | Data::Suspended(_)
            | Data::Reinstated(_)
            | Data::Deleted(_)
            | Data::DataChanged(_)
            | Data::GroupsMapped(_) => {}
        }
        self.remember(worth_showing(event));
    }

    fn see(&mut self, at: Timestamp) {
        self.first_seen_at = earliest(self.first_seen_at, at);
        self.last_seen_at = latest(self.last_seen_at, at);
    }

    /// The latest ten activities, and the confirmation only while there are fewer: it can be said twice with
    /// two times, and only what follows from `confirmed_at` is the same in every order of events.
    fn remember(&mut self, activity: Option<RecentActivity>) {
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
    /// The names of the attributes that hold it.
    pub const ATTRIBUTES: &'static [&'static str] = &["signUps", "signUpsAllowed", "signUpsDenied"];

    /// Folds one event in.
    pub fn apply(&mut self, event: &Event) {
        if let Data::SignUpAttempted(attempt) = &event.data {
            self.sign_ups += 1;
            match attempt.outcome {
                SignUpOutcome::Allowed | SignUpOutcome::AutoConfirmed => self.sign_ups_allowed += 1,
                SignUpOutcome::Denied => self.sign_ups_denied += 1,
            }
        }
    }

    /// The sum: a domain is counted in several shards, which a reader adds up.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            sign_ups: self.sign_ups + other.sign_ups,
            sign_ups_allowed: self.sign_ups_allowed + other.sign_ups_allowed,
            sign_ups_denied: self.sign_ups_denied + other.sign_ups_denied,
        }
    }
}

/// The views that an event changes: the one table that decides what is evicted from the cache. A sign-in
/// changes none: a new token is a new cache key.
pub fn changed_views(data: &Data) -> &'static [View] {
    match data {
        Data::Confirmed(_) | Data::ProfileUpdated(_) => &[View::Dashboard, View::Profile],
        Data::OrderPlaced(_) | Data::OrderCancelled(_) => &[View::Dashboard, View::Orders],
        Data::PasswordReset(_)
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
        | Data::GroupsMapped(_) => &[],
    }
}

const CONFIRMED: &str = "user.confirmed";

/// The entry that an event leaves in `recent`; the confirmation's follows from `confirmed_at`.
fn worth_showing(event: &Event) -> Option<RecentActivity> {
    let detail = match &event.data {
        Data::OrderPlaced(order) | Data::OrderCancelled(order) => Some(cut(&order.order_id)),
        Data::ActivityRecorded(activity) => Some(cut(&activity.description)),
        Data::NotificationCreated(notification) => Some(cut(&notification.notification_id)),
        Data::PasswordReset(_) => None,
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

/// Statistics that events are folded into.
pub trait Fold: Clone + Default + Serialize + DeserializeOwned {
    /// The names of the attributes that hold them.
    const ATTRIBUTES: &'static [&'static str];

    /// Folds one event in.
    fn apply(&mut self, event: &Event);

    /// When the latest token was issued that is known, for the idle rule.
    fn last_token_issued_at(&self) -> Option<Timestamp>;
}

impl Fold for UserStats {
    const ATTRIBUTES: &'static [&'static str] = UserStats::ATTRIBUTES;

    fn apply(&mut self, event: &Event) {
        self.apply(event);
    }

    fn last_token_issued_at(&self) -> Option<Timestamp> {
        self.last_token_issued_at
    }
}

impl Fold for DomainStats {
    const ATTRIBUTES: &'static [&'static str] = DomainStats::ATTRIBUTES;

    fn apply(&mut self, event: &Event) {
        self.apply(event);
    }

    fn last_token_issued_at(&self) -> Option<Timestamp> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Activity, Empty, Subject};

    fn activity(second: i64, description: &str) -> Event {
        let data = Data::ActivityRecorded(Activity { description: description.into() });
        Event::new("/test", Subject::user("ana"), Timestamp::from_second(second).unwrap(), data)
    }

    #[test]
    fn every_attribute_has_its_name_in_the_list() {
        let (at, one) = (Some(Timestamp::UNIX_EPOCH), 1);
        let mut spent = Spent::default();
        spent.add("1".parse().unwrap(), "EUR".to_owned().try_into().unwrap());
        // Without `..`: a field that is added is missed here.
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
    fn recent_keeps_the_latest_ten_of_what_is_worth_showing() {
        let mut stats = UserStats::default();
        for second in [5, 1, 9, 3, 7, 11, 2, 10, 4, 8, 6] {
            stats.apply(&activity(second, &format!("no. {second}")));
        }
        let seconds: Vec<i64> = stats.recent.iter().map(|activity| activity.at.as_second()).collect();
        assert_eq!(seconds, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
        assert_eq!(stats.activities, 11);
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        let mut stats = UserStats::default();
        stats.apply(&activity(1, "ééééééééééééé and more"));
        assert_eq!(stats.recent[0].detail.as_deref(), Some("éééééééééé"));
    }

    #[test]
    fn a_password_reset_is_seen_and_an_attempt_is_not() {
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
