//! The JSON of a dashboard. Pure.
//!
//! It shows only figures that an invalidation follows (`changed_views`). A sign-in, for example, makes
//! no cached page stale, so a number of sign-ins would be wrong for as long as the page is cached.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use shared::events::Spent;
use shared::statistics::{RecentActivity, UserStats};
use shared::store::StatsMetadata;
use shared::store::lists::{ActivityEntry, MAX_NOTIFICATIONS, NotificationEntry};
use shared::store::users::UserProfile;

use crate::time;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DashboardView<'a> {
    user: User<'a>,
    statistics: Figures,
    activities: Vec<Activity>,
    notifications: Vec<Notification>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time::optional")]
    last_changed_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time::optional")]
    created_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    orders: u64,
    orders_cancelled: u64,
    spent: Vec<Sum>,
    activities: u64,
    password_resets: u64,
    unread_notifications: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time::optional")]
    confirmed_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Sum {
    currency: String,
    amount: String,
}

#[derive(Debug, Serialize)]
struct Activity {
    #[serde(serialize_with = "time::required")]
    at: Timestamp,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Debug, Serialize)]
struct Notification {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(serialize_with = "time::required")]
    at: Timestamp,
}

impl<'a> DashboardView<'a> {
    pub fn new(
        sub: &'a str,
        profile: UserProfile,
        statistics: UserStats,
        metadata: &StatsMetadata,
        notifications: Vec<NotificationEntry>,
        activities: Vec<ActivityEntry>,
    ) -> Self {
        let UserProfile { username, preferred_username, name, created_at, .. } = profile;
        let notification = |entry: NotificationEntry| Notification {
            id: entry.notification_id,
            title: entry.title,
            at: entry.at,
        };
        Self {
            user: User { sub, name, username, preferred_username, created_at },
            statistics: Figures {
                orders: statistics.orders,
                orders_cancelled: statistics.orders_cancelled,
                spent: sums(statistics.spent),
                activities: statistics.activities,
                password_resets: statistics.password_resets,
                unread_notifications: unread(statistics.unread_notifications, notifications.len()),
                confirmed_at: statistics.confirmed_at,
            },
            activities: with_descriptions(statistics.recent, activities),
            notifications: notifications.into_iter().map(notification).collect(),
            last_changed_at: metadata.last_changed_at,
        }
    }
}

/// The number of unread notifications. STATS counts events, and two services can both publish that a
/// notification was read. The list has each notification once, so it is exact unless it is cut off.
fn unread(counted: i64, listed: usize) -> u64 {
    let is_complete = listed < MAX_NOTIFICATIONS;
    let listed = u64::try_from(listed).unwrap_or(u64::MAX);
    if is_complete { listed } else { u64::try_from(counted).unwrap_or_default().max(listed) }
}

fn sums(spent: Spent) -> Vec<Sum> {
    let spent: BTreeMap<String, String> = spent.into();
    spent.into_iter().map(|(currency, amount)| Sum { currency, amount }).collect()
}

/// The latest activities. STATS holds the first bytes of a description, and the list the rest of it.
fn with_descriptions(recent: Vec<RecentActivity>, mut entries: Vec<ActivityEntry>) -> Vec<Activity> {
    let complete = |RecentActivity { at, r#type, detail }| {
        let found = entries.iter().position(|entry| {
            let begins = detail.as_deref().is_some_and(|detail| entry.description.starts_with(detail));
            entry.at == at && entry.r#type == r#type && begins
        });
        // Each entry completes one activity.
        let detail = found.map(|index| entries.remove(index).description).or(detail);
        Activity { at, r#type, detail }
    };
    recent.into_iter().map(complete).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn dashboard(
        statistics: serde_json::Value,
        notifications: Vec<NotificationEntry>,
        activities: Vec<ActivityEntry>,
    ) -> serde_json::Value {
        let profile =
            UserProfile { name: Some("Ana".into()), created_at: Some(time(1)), ..UserProfile::default() };
        let metadata = serde_json::from_value(statistics.clone()).unwrap();
        let statistics = serde_json::from_value(statistics).unwrap();
        let view = DashboardView::new("ana", profile, statistics, &metadata, notifications, activities);
        serde_json::to_value(view).unwrap()
    }

    #[test]
    fn user_without_statistics_has_zeros() {
        let expected = json!({
            "user": {"sub": "ana", "name": "Ana", "createdAt": "1970-01-01T00:00:01.000Z"},
            "statistics": {
                "orders": 0, "ordersCancelled": 0, "spent": [], "activities": 0, "passwordResets": 0,
                "unreadNotifications": 0,
            },
            "activities": [],
            "notifications": [],
        });
        assert_eq!(dashboard(json!({}), Vec::new(), Vec::new()), expected);
    }

    #[test]
    fn dashboard_shows_only_figures_that_an_invalidation_follows() {
        let statistics = json!({
            "firstSeenAt": 1, "lastSeenAt": 2, "confirmedAt": 3_000, "signIns": 4, "signInsDenied": 5,
            "tokenRefreshes": 6, "lastSignInAt": 7, "lastTokenIssuedAt": 8, "passwordResets": 9,
            "messages": {"sign_up": 10}, "orders": 11, "ordersCancelled": 12,
            "spent": {"EUR": "13.50", "JPY": "1400"}, "activities": 15, "unreadNotifications": 16,
            "version": 17, "lastChangedAt": 18_019,
        });
        let notification =
            NotificationEntry { at: time(20), notification_id: "n-7".into(), title: Some("<b>".into()) };
        let expected = json!({
            "user": {"sub": "ana", "name": "Ana", "createdAt": "1970-01-01T00:00:01.000Z"},
            "statistics": {
                "orders": 11, "ordersCancelled": 12,
                "spent": [{"currency": "EUR", "amount": "13.50"}, {"currency": "JPY", "amount": "1400"}],
                "activities": 15, "passwordResets": 9, "unreadNotifications": 1,
                "confirmedAt": "1970-01-01T00:00:03.000Z",
            },
            "activities": [],
            "notifications": [{"id": "n-7", "title": "<b>", "at": "1970-01-01T00:00:20.000Z"}],
            "lastChangedAt": "1970-01-01T00:00:18.019Z",
        });
        assert_eq!(dashboard(statistics, vec![notification], Vec::new()), expected);
    }

    #[test]
    fn unread_notifications_are_those_of_the_list_unless_it_is_cut_off() {
        for (counted, listed, expected) in [
            (0, 0, 0),
            (16, 1, 1),
            (-1, 0, 0),
            (-1, 2, 2),
            (49, 49, 49),
            (120, 50, 120),
            (3, 50, 50),
            (-1, 50, 50),
        ] {
            assert_eq!(unread(counted, listed), expected, "{counted} {listed}");
        }
    }

    #[test]
    fn activity_has_its_whole_description() {
        let recent = json!({"recent": [
            {"at": 3_000, "type": "activity.recorded", "detail": "Read a long chapter "},
            {"at": 3_000, "type": "activity.recorded", "detail": "Read a long chapter "},
            {"at": 2_000, "type": "order.placed", "detail": "1001"},
            {"at": 1_000, "type": "activity.recorded", "detail": "Too old for the list"},
            {"at": 500, "type": "user.confirmed"},
        ]});
        let entry = |second, description: &str| ActivityEntry {
            at: time(second),
            r#type: "activity.recorded".into(),
            description: description.into(),
        };
        let entries = vec![
            entry(3, "Read a long chapter of one book"),
            entry(3, "Read a long chapter of another"),
            entry(2, "1001"),
            entry(1, "Another description"),
        ];
        let details: Vec<_> = dashboard(recent, Vec::new(), entries)["activities"]
            .as_array()
            .unwrap()
            .iter()
            .map(|activity| activity["detail"].clone())
            .collect();
        let expected = json!([
            "Read a long chapter of one book",
            "Read a long chapter of another",
            "1001",
            "Too old for the list",
            null,
        ]);
        assert_eq!(json!(details), expected);
    }
}
