//! What the read API reads about users: several items in one consistent read.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::batch::Consistency;
use super::error::StoreError;
use super::item::Item;
use super::keys::{self, PK, PROFILE, SK, STATS, SUSPENSION};
use super::stats::StoredStatistics;
use super::suspensions::{read_flag, read_suspension};
use super::table::Store;
use crate::suspension::SuspensionStatus;

/// What to read for a request.
#[derive(Clone, Debug, Default)]
pub struct UserRead<'a> {
    /// The sub of the caller, whose suspension is read.
    pub caller: &'a str,
    /// The user whose STATS are read.
    pub statistics_of: Option<&'a str>,
    /// The user whose PROFILE is read.
    pub profile_of: Option<&'a str>,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserData {
    /// The suspension of the caller.
    pub suspension: SuspensionStatus,
    /// `None` if there is no STATS item.
    pub statistics: Option<StoredStatistics>,
    /// `None` if there is no profile.
    pub profile: Option<UserProfile>,
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
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let created_at = item.get("createdAt").and_then(|value| value.as_n().ok()?.parse().ok());
        item.contains_key("cognitoId").then(|| Self {
            username: text("username"),
            preferred_username: text("preferredUsername"),
            email: text("email"),
            is_email_verified: item.get("isEmailVerified").and_then(|value| value.as_bool().ok()).copied(),
            name: text("name"),
            created_at: created_at.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        })
    }
}

impl Store {
    /// Reads the items that `read` names with one consistent BatchGetItem.
    ///
    /// An unreadable suspension is not an error here: see [`SuspensionStatus`].
    pub async fn read_user_data(&self, read: &UserRead<'_>) -> Result<UserData, StoreError> {
        let key_of = |sub: &str, sort: &str| (keys::user(sub), sort.to_owned());
        let suspension = (keys::suspension(read.caller), SUSPENSION.to_owned());
        let flag = key_of(read.caller, PROFILE);
        let statistics = read.statistics_of.map(|sub| key_of(sub, STATS));
        let profile = read.profile_of.map(|sub| key_of(sub, PROFILE));
        // DynamoDB refuses a key that occurs twice.
        let wanted: BTreeSet<_> =
            [&suspension, &flag].into_iter().chain(&statistics).chain(&profile).collect();
        let wanted = wanted.into_iter().map(|(partition, sort)| keys::key(partition, sort)).collect();
        let items = self.read_items(wanted, Consistency::Strong).await?;
        let items: HashMap<(String, String), Item> =
            items.into_iter().filter_map(|item| Some(((text(&item, PK)?, text(&item, SK)?), item))).collect();
        Ok(UserData {
            suspension: SuspensionStatus {
                is_banned: items.get(&flag).map(read_flag).unwrap_or_default(),
                suspension: items.get(&suspension).map(read_suspension).unwrap_or_default(),
            },
            statistics: statistics.and_then(|key| items.get(&key)).cloned().map(StoredStatistics::from_item),
            profile: profile.and_then(|key| UserProfile::of_item(items.get(&key)?)),
        })
    }
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
