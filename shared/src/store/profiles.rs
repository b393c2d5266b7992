//! PROFILE: a user's profile.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::batch::Consistency;
use super::error::{CommitFailure, StoreError};
use super::item::{Item, UpdateExpression, number, string};
use super::keys::{self, PK, Partition, SK};
use super::profile_changes::FollowedAttributes;
use super::suspensions::{IS_BANNED, read_flag};
use super::table::Store;
use crate::backoff::ConflictRetry;
use crate::events::Confirmed;

/// A user's profile as it is written when the account is confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub sub: String,
    pub confirmed: Confirmed,
    pub created_at: Timestamp,
}

/// Why a user gets no imported profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownUser {
    HasProfile,
    /// The user was erased, and the marker has not expired.
    Erased,
}

impl Profile {
    /// The update that writes the profile and changes no existing attribute. A second confirmation
    /// changes nothing, and a flag `isBanned` that was written first stays.
    pub(super) fn update(&self) -> (Item, UpdateExpression) {
        let mut update = UpdateExpression::default();
        update.set_if_missing("cognitoId", string(&self.sub));
        update.set_if_missing("username", string(&self.confirmed.username));
        let Confirmed { email, name, preferred_username, .. } = &self.confirmed;
        let optional = [("email", email), ("name", name), ("preferredUsername", preferred_username)];
        for (name, value) in optional {
            if let Some(value) = value {
                update.set_if_missing(name, string(value));
            }
        }
        update.set_if_missing("createdAt", number(self.created_at.as_millisecond()));
        update.set_if_missing("isEmailVerified", AttributeValue::Bool(self.confirmed.email_verified));
        update.set_if_missing(IS_BANNED, AttributeValue::Bool(false));
        (keys::key(keys::user(&self.sub), keys::PROFILE), update)
    }
}

/// The attributes of a profile that are written once. The others are [`FollowedAttributes::NAMES`].
const WRITTEN_ONCE: [&str; 3] = ["cognitoId", "username", "createdAt"];

impl Store {
    /// Reads the email address in a user's profile, with strong consistency.
    pub async fn read_email(&self, sub: &str) -> Result<Option<String>, StoreError> {
        let call = self.client.get_item().table_name(&self.table).consistent_read(true);
        let call =
            call.set_key(Some(keys::key(keys::user(sub), keys::PROFILE))).projection_expression("email");
        let item = call.send().await.map_err(StoreError::from_sdk("GetItem PROFILE"))?.item;
        Ok(item.and_then(|item| item.get("email")?.as_s().ok().cloned()))
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

    /// Writes a profile if there is none. Returns whether it did. A flag `isBanned` that was
    /// written first stays.
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

    /// Deletes a profile. If the triggers enforce the flag `isBanned`, PROFILE keeps this flag and
    /// nothing else: an event must not let a suspended user in.
    ///
    /// A flag that is written between the read and the delete stays too.
    pub async fn delete_profile(&self, partition: &Partition) -> Result<(), CommitFailure> {
        let key = || keys::key(partition.key(), keys::PROFILE);
        let mut retry = ConflictRetry::new();
        loop {
            let profile = self.read_items(vec![key()], Consistency::Strong).await?.pop();
            let Some(profile) = profile else { return Ok(()) };
            let result = if read_flag(&profile).denial().is_none() {
                let call = self.client.delete_item().table_name(&self.table).set_key(Some(key()));
                let call = call
                    .condition_expression(format!(
                        "attribute_not_exists({IS_BANNED}) OR {IS_BANNED} = :false"
                    ))
                    .expression_attribute_values(":false", AttributeValue::Bool(false));
                call.send().await.map(drop).map_err(StoreError::from_sdk("DeleteItem PROFILE"))
            } else {
                // Also the attributes that a trigger may write between the read and this update.
                let written = WRITTEN_ONCE.into_iter().chain(FollowedAttributes::NAMES);
                let names: BTreeSet<&str> = profile.keys().map(String::as_str).chain(written).collect();
                let others = names.into_iter().filter(|name| ![PK, SK, IS_BANNED].contains(name));
                let names: HashMap<String, String> =
                    others.enumerate().map(|(index, name)| (format!("#n{index}"), name.to_owned())).collect();
                let placeholders: Vec<&str> = names.keys().map(String::as_str).collect();
                let call = self.client.update_item().table_name(&self.table).set_key(Some(key()));
                let call = call
                    .update_expression(format!("REMOVE {}", placeholders.join(", ")))
                    .condition_expression(format!(
                        "attribute_exists({IS_BANNED}) AND NOT {IS_BANNED} = :false"
                    ))
                    .set_expression_attribute_names(Some(names))
                    .expression_attribute_values(":false", AttributeValue::Bool(false));
                call.send().await.map(drop).map_err(StoreError::from_sdk("UpdateItem PROFILE"))
            };
            match result {
                Err(error) if error.is_condition_failed() || error.is_conflict() => retry.wait().await?,
                result => return Ok(result?),
            }
        }
    }
}
