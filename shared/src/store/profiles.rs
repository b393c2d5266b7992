//! PROFILE: a user's profile and suspension.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Deserialize;

use super::batch::Consistency;
use super::error::StoreError;
use super::item::{Item, UpdateExpression, number, string};
use super::keys::{self, Partition};
use super::table::Store;
use crate::backoff::ConflictRetry;
use crate::events::Confirmed;
use crate::suspension::{Suspension, SuspensionStatus};

/// 1973-03-03. An earlier time of a suspension is a mistake: probably seconds instead of
/// milliseconds.
const EARLIEST_SUSPENSION_MILLIS: i64 = 100_000_000_000;

/// A user's profile as it is written when the account is confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub sub: String,
    pub confirmed: Confirmed,
    pub created_at: Timestamp,
}

/// What the triggers read of PROFILE at a sign-in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileState {
    /// Whether the profile was written. `false` if PROFILE holds only a suspension.
    pub exists: bool,
    pub suspension: SuspensionStatus,
}

/// What the table knows about a user who gets no imported profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownUser {
    HasProfile,
    /// The user was erased, and the marker has not expired.
    Erased,
}

impl Profile {
    /// The update that writes the profile and changes no existing attribute. A second confirmation
    /// changes nothing, and a suspension that was written first stays.
    pub(super) fn update(&self) -> (Item, UpdateExpression) {
        let mut update = UpdateExpression::default();
        update.set_if_missing("cognitoId", string(&self.sub));
        update.set_if_missing("username", string(&self.confirmed.username));
        for (name, value) in [("email", &self.confirmed.email), ("name", &self.confirmed.name)] {
            if let Some(value) = value {
                update.set_if_missing(name, string(value));
            }
        }
        update.set_if_missing("createdAt", number(self.created_at.as_millisecond()));
        update.set_if_missing("isEmailVerified", AttributeValue::Bool(self.confirmed.email_verified));
        update.set_if_missing("isBanned", AttributeValue::Bool(false));
        (keys::key(keys::user(&self.sub), keys::PROFILE), update)
    }
}

impl Store {
    /// Reads whether the user has a profile and a suspension, with strong consistency.
    ///
    /// Fails with [`Unreadable`](super::StoreErrorKind::Unreadable) if the suspension cannot be
    /// understood. The caller must not treat that as "not suspended".
    pub async fn read_profile_state(&self, sub: &str) -> Result<ProfileState, StoreError> {
        const OPERATION: &str = "GetItem PROFILE";

        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Attributes {
            cognito_id: Option<String>,
            is_banned: bool,
            suspension: Option<Suspension>,
        }

        let call = self.client.get_item().table_name(&self.table).consistent_read(true);
        let output = call
            .set_key(Some(keys::key(keys::user(sub), keys::PROFILE)))
            .projection_expression("cognitoId, isBanned, suspension")
            .send()
            .await
            .map_err(StoreError::from_sdk(OPERATION))?;
        let Some(item) = output.item else { return Ok(ProfileState::default()) };
        let attributes: Attributes =
            serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(OPERATION, error))?;
        let Attributes { cognito_id, is_banned, suspension } = attributes;
        // If `until` was written in seconds, the suspension would have ended in 1970.
        let is_too_early = |time: Timestamp| time.as_millisecond() < EARLIEST_SUSPENSION_MILLIS;
        let has_wrong_unit = |suspension: &Suspension| {
            is_too_early(suspension.at) || suspension.until.is_some_and(is_too_early)
        };
        if suspension.as_ref().is_some_and(has_wrong_unit) {
            let error = std::io::Error::other("the times of the suspension are not in milliseconds");
            return Err(StoreError::unreadable(OPERATION, error));
        }
        Ok(ProfileState {
            exists: cognito_id.is_some(),
            suspension: SuspensionStatus { is_banned, suspension },
        })
    }

    /// Writes the attributes of a profile that do not exist yet.
    pub async fn write_profile(&self, profile: &Profile) -> Result<(), StoreError> {
        let (key, update) = profile.update();
        let call = self.client.update_item().table_name(&self.table).set_key(Some(key));
        let call = call
            .update_expression(update.expression())
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values));
        call.send().await.map(|_| ()).map_err(StoreError::from_sdk("UpdateItem PROFILE"))
    }

    /// Finds out which of these users, by sub, have a profile or were erased. Other users have no
    /// entry in the result. The read is eventually consistent: it may miss a profile that was just
    /// written.
    pub async fn find_known_users(&self, subs: &[&str]) -> Result<HashMap<String, KnownUser>, StoreError> {
        let by_key: HashMap<String, &str> = subs.iter().map(|sub| (keys::user(sub), *sub)).collect();
        let wanted =
            by_key.keys().flat_map(|user| [keys::key(user, keys::PROFILE), keys::key(user, keys::STATS)]);
        let mut known = HashMap::new();
        for item in self.read_items(wanted.collect(), Consistency::Eventual).await? {
            let sub = item.get(keys::PK).and_then(|key| by_key.get(key.as_s().ok()?.as_str()));
            let Some(sub) = sub else { continue };
            if item.contains_key("erasedAt") {
                known.insert((*sub).to_owned(), KnownUser::Erased);
            } else if item.contains_key("cognitoId") {
                known.entry((*sub).to_owned()).or_insert(KnownUser::HasProfile);
            }
        }
        Ok(known)
    }

    /// Writes a profile if there is none. Returns whether it did. A suspension that was written
    /// first stays.
    pub async fn write_missing_profile(&self, profile: &Profile) -> Result<bool, StoreError> {
        let mut retry = ConflictRetry::new();
        loop {
            let (key, update) = profile.update();
            let call = self.client.update_item().table_name(&self.table).set_key(Some(key));
            let call = call
                .update_expression(update.expression())
                .condition_expression("attribute_not_exists(#cognitoId)")
                .set_expression_attribute_names(Some(update.names))
                .set_expression_attribute_values(Some(update.values));
            match call.send().await.map_err(StoreError::from_sdk("UpdateItem PROFILE")) {
                Ok(_) => return Ok(true),
                Err(error) if error.is_condition_failed() => return Ok(false),
                Err(error) if error.is_conflict() => retry.wait().await.map_err(|_| error)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes a suspension, or a reinstatement. Returns `false`, and changes nothing, if the table
    /// has a decision of the same time or later.
    pub async fn write_suspension(&self, sub: &str, suspension: &Suspension) -> Result<bool, StoreError> {
        const OPERATION: &str = "UpdateItem PROFILE suspension";
        let item: AttributeValue = serde_dynamo::to_attribute_value(suspension)
            .map_err(|error| StoreError::invalid_request(OPERATION, error))?;
        let mut update = UpdateExpression::default();
        update.set("suspension", item);
        update.set("isBanned", AttributeValue::Bool(!suspension.is_reinstatement()));
        update.names.insert("#at".to_owned(), "at".to_owned());
        update.values.insert(":at".to_owned(), number(suspension.at.as_millisecond()));
        update.values.insert(":number".to_owned(), string("N"));
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::user(sub), keys::PROFILE)))
            .update_expression(update.expression())
            // A suspension that cannot be understood is replaced.
            .condition_expression(
                "attribute_not_exists(#suspension) OR attribute_not_exists(#suspension.#at) \
                 OR #suspension.#at < :at OR NOT attribute_type(#suspension.#at, :number)",
            )
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values));
        match call.send().await.map_err(StoreError::from_sdk(OPERATION)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_condition_failed() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a profile. If a suspension is in force at the time `now`, only the attributes of the
    /// profile are removed and the suspension stays: an event must not let a suspended user in.
    pub async fn delete_profile(&self, partition: &Partition, now: Timestamp) -> Result<(), StoreError> {
        let key = keys::key(partition.key(), keys::PROFILE);
        let call = self.client.delete_item().table_name(&self.table).set_key(Some(key.clone()));
        let call = call
            .condition_expression(
                "((attribute_not_exists(isBanned) OR isBanned = :false) \
                  AND (attribute_not_exists(suspension) OR suspension.#until <= :now)) \
                 OR (suspension.#until <= :now AND suspension.#until > suspension.#at)",
            )
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":now", number(now.as_millisecond()))
            .expression_attribute_values(":false", AttributeValue::Bool(false));
        match call.send().await.map_err(StoreError::from_sdk("DeleteItem PROFILE")) {
            Ok(_) => return Ok(()),
            Err(error) if error.is_condition_failed() => {}
            Err(error) => return Err(error),
        }
        let call = self.client.update_item().table_name(&self.table).set_key(Some(key));
        let call = call
            .update_expression("REMOVE cognitoId, username, email, #name, createdAt, isEmailVerified")
            .expression_attribute_names("#name", "name");
        call.send().await.map(|_| ()).map_err(StoreError::from_sdk("UpdateItem PROFILE"))
    }
}
