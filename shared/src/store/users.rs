//! What the read API reads about users: several items in one consistent read.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::batch::Consistency;
use super::error::StoreError;
use super::grants;
use super::item::Item;
use super::keys::{self, PK, PROFILE, SK, STATS, SUSPENSION, VERSION};
use super::notifications::{self, NotificationState};
use super::stats::StoredStatistics;
use super::suspensions::{read_flag, read_suspension};
use super::table::Store;
use crate::events::{EventReference, Resource};
use crate::grant::Grant;
use crate::suspension::SuspensionStatus;

/// What to read for a request.
#[derive(Clone, Debug, Default)]
pub struct UserRead<'a> {
    /// The sub of the caller, whose suspension is read.
    pub caller: &'a str,
    /// The user whose STATS and PROFILE are read.
    pub user: Option<&'a str>,
    /// The resource of which the caller's GRANT is read.
    pub resource: Option<&'a Resource>,
    /// The ids of the caller's notifications that are read.
    pub notification_ids: &'a [&'a str],
    /// An event that the caller waits for.
    pub after: Option<&'a EventReference>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct UserData {
    /// The suspension of the caller.
    pub suspension: SuspensionStatus,
    /// `None` if there is no STATS item.
    pub statistics: Option<StoredStatistics>,
    /// `None` if there is no profile.
    pub profile: Option<UserProfile>,
    /// The permissions of the caller on the resource. An unreadable item grants nothing.
    pub grant: Option<Grant>,
    /// The notifications that exist, in the order of their ids.
    pub notifications: Vec<NotificationState>,
    /// The version of STATS that the commit of the event wrote. `None` if the event is not stored.
    pub after_version: Option<u64>,
}

/// A profile for people. An attribute of another type counts as missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserProfile {
    pub username: Option<String>,
    pub preferred_username: Option<String>,
    pub email: Option<String>,
    pub is_email_verified: Option<bool>,
    pub name: Option<String>,
    pub created_at: Option<Timestamp>,
}

impl UserProfile {
    /// `None` if the item holds only the flag `isBanned`.
    fn of_item(item: &Item) -> Option<Self> {
        let created_at = item.get("createdAt").and_then(|value| value.as_n().ok()?.parse().ok());
        item.contains_key("cognitoId").then(|| Self {
            username: text(item, "username"),
            preferred_username: text(item, "preferredUsername"),
            email: text(item, "email"),
            is_email_verified: item.get("isEmailVerified").and_then(|value| value.as_bool().ok()).copied(),
            name: text(item, "name"),
            created_at: created_at.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        })
    }
}

impl Store {
    /// Reads the items that `read` names with one consistent BatchGetItem.
    ///
    /// An unreadable suspension is not an error here: see [`SuspensionStatus`].
    pub async fn read_user_data(&self, read: &UserRead<'_>) -> Result<UserData, StoreError> {
        let suspension = keys::key(keys::suspension(read.caller), SUSPENSION);
        let flag = keys::key(keys::user(read.caller), PROFILE);
        let statistics = read.user.map(|sub| keys::key(keys::user(sub), STATS));
        let profile = read.user.map(|sub| keys::key(keys::user(sub), PROFILE));
        let grant = read.resource.map(|resource| grants::key(read.caller, resource));
        let notifications: Vec<Item> =
            read.notification_ids.iter().map(|id| notifications::key(read.caller, id)).collect();

        let after = read.after.map(|event| keys::key(keys::user(read.caller), event.event_key()));

        let wanted = [&suspension, &flag].into_iter().chain(&statistics).chain(&profile).chain(&grant);
        let wanted = wanted.chain(&after);
        // DynamoDB refuses a key that occurs twice.
        let wanted: BTreeSet<_> = wanted.chain(&notifications).filter_map(key_of).collect();
        let wanted = wanted.into_iter().map(|(partition, sort)| keys::key(partition, sort)).collect();
        let items = self.read_items(wanted, Consistency::Strong).await?;
        let items: HashMap<_, Item> =
            items.into_iter().filter_map(|item| Some((key_of(&item)?, item))).collect();
        let item = |key: &Item| items.get(&key_of(key)?);

        let notifications = notifications.iter().filter_map(item).cloned().map(NotificationState::from_item);
        Ok(UserData {
            suspension: SuspensionStatus {
                is_banned: item(&flag).map(read_flag).unwrap_or_default(),
                suspension: item(&suspension).map(read_suspension).unwrap_or_default(),
            },
            statistics: statistics.as_ref().and_then(item).cloned().map(StoredStatistics::from_item),
            profile: profile.as_ref().and_then(item).and_then(UserProfile::of_item),
            grant: grant.as_ref().and_then(item).cloned().and_then(readable_grant),
            notifications: notifications.collect::<Result<_, _>>()?,
            after_version: after.as_ref().and_then(item).map(version),
        })
    }
}

/// The version of STATS with a stored event. 0 if the item has none.
fn version(item: &Item) -> u64 {
    item.get(VERSION).and_then(|version| version.as_n().ok()?.parse().ok()).unwrap_or_default()
}

fn readable_grant(item: Item) -> Option<Grant> {
    let grant = grants::parse(item);
    grant.inspect_err(|error| tracing::error!(error_type = error.code(), "a grant is unreadable")).ok()
}

/// Partition key and sort key.
fn key_of(item: &Item) -> Option<(String, String)> {
    Some((text(item, PK)?, text(item, SK)?))
}

fn text(item: &Item, name: &str) -> Option<String> {
    match item.get(name) {
        Some(AttributeValue::S(text)) => Some(text.clone()),
        _ => None,
    }
}
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn profile_leaves_out_what_has_another_type() {
        let read =
            |attributes: serde_json::Value| UserProfile::of_item(&serde_dynamo::to_item(attributes).unwrap());
        let profile = read(json!({
            "cognitoId": "ana", "username": "ana", "email": 7, "isEmailVerified": "true", "name": "Ana",
            "createdAt": 1_772_442_000_000_i64, "isBanned": false,
        }));
        let expected = UserProfile {
            username: Some("ana".into()),
            name: Some("Ana".into()),
            created_at: Some("2026-03-02T09:00:00Z".parse().unwrap()),
            ..UserProfile::default()
        };
        assert_eq!(profile, Some(expected));
        assert_eq!(read(json!({"cognitoId": true, "createdAt": "x"})), Some(UserProfile::default()));
        assert_eq!(read(json!({"isBanned": false})), None);
    }
}
