//! PROFILE: the attributes that follow the user pool.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::error::StoreError;
use super::item::{Item, UpdateExpression, string};
use super::keys;
use super::table::Store;
use crate::events::Confirmed;

const EMAIL: &str = "email";
const IS_EMAIL_VERIFIED: &str = "isEmailVerified";
const NAME: &str = "name";
const PREFERRED_USERNAME: &str = "preferredUsername";

/// The attributes of a PROFILE item that follow the user pool, as they are stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FollowedAttributes(HashMap<&'static str, AttributeValue>);

/// New values for attributes of PROFILE. Empty if the profile is up to date.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileChanges(Vec<Change>);

#[derive(Clone, Debug, PartialEq)]
struct Change {
    name: &'static str,
    stored: Option<AttributeValue>,
    /// `None` if the attribute is removed.
    value: Option<AttributeValue>,
}

impl FollowedAttributes {
    pub const NAMES: [&'static str; 4] = [EMAIL, IS_EMAIL_VERIFIED, NAME, PREFERRED_USERNAME];

    pub(super) fn of_item(item: &Item) -> Self {
        let stored = |name: &'static str| Some((name, item.get(name)?.clone()));
        Self(Self::NAMES.into_iter().filter_map(stored).collect())
    }

    /// `None` if the item is no profile, because it holds only the flag `isBanned`.
    pub(super) fn of_profile(item: &Item) -> Option<Self> {
        item.contains_key(IS_EMAIL_VERIFIED).then(|| Self::of_item(item))
    }

    pub fn preferred_username(&self) -> Option<&str> {
        self.0.get(PREFERRED_USERNAME)?.as_s().ok().map(String::as_str)
    }

    /// The changes that make the profile equal to the user in the pool. `user` may not have all attributes
    /// of that user.
    ///
    /// An email address counts only if it is verified. An attribute that the user does not have
    /// changes nothing: the profile keeps the last value.
    pub fn changes(&self, user: &Confirmed) -> ProfileChanges {
        let text = |name, value: &Option<String>| {
            let value = value.as_ref().filter(|value| !value.is_empty())?;
            Some((name, string(value)))
        };
        let email = text(EMAIL, &user.email).filter(|_| user.email_verified);
        let is_verified = email.is_some().then_some((IS_EMAIL_VERIFIED, AttributeValue::Bool(true)));
        let name = text(NAME, &user.name);
        let preferred_username = text(PREFERRED_USERNAME, &user.preferred_username);
        let wanted = [email, is_verified, name, preferred_username].into_iter().flatten();
        let changed = wanted.filter(|(name, value)| self.0.get(name) != Some(value));
        ProfileChanges(changed.map(|(name, value)| self.change(name, Some(value))).collect())
    }

    /// The changes that make the profile equal to the user in the pool. `user` has all attributes of that
    /// user.
    ///
    /// Removes what the user no longer has. An email address counts only if it is verified, but a stored
    /// address loses the flag if the pool no longer has it as verified.
    pub fn changes_from_all_attributes(&self, user: &Confirmed) -> ProfileChanges {
        let ProfileChanges(mut changes) = self.changes(user);
        let is_missing = |value: &Option<String>| value.as_ref().is_none_or(String::is_empty);
        let attributes =
            [(EMAIL, &user.email), (NAME, &user.name), (PREFERRED_USERNAME, &user.preferred_username)];
        let removed =
            attributes.into_iter().filter(|(name, value)| is_missing(value) && self.0.contains_key(name));
        changes.extend(removed.map(|(name, _)| self.change(name, None)));
        let stored_email = self.0.get(EMAIL).and_then(|email| email.as_s().ok());
        let is_unverified =
            is_missing(&user.email) || (!user.email_verified && user.email.as_ref() == stored_email);
        let unverified = AttributeValue::Bool(false);
        if is_unverified && self.0.get(IS_EMAIL_VERIFIED) != Some(&unverified) {
            changes.push(self.change(IS_EMAIL_VERIFIED, Some(unverified)));
        }
        ProfileChanges(changes)
    }

    fn change(&self, name: &'static str, value: Option<AttributeValue>) -> Change {
        Change { name, stored: self.0.get(name).cloned(), value }
    }
}

impl ProfileChanges {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the attributes.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|change| change.name).collect()
    }

    /// The key of the profile, the update, and its condition: the profile exists and has the values that
    /// were read.
    ///
    /// The update names no other attribute, not even in its condition, so that IAM can restrict it.
    /// Every profile has `isEmailVerified`, and PROFILE has no other attribute of a profile after an
    /// erasure.
    pub(super) fn update(&self, partition: &str) -> (Item, UpdateExpression, String) {
        let mut update = UpdateExpression::default();
        let mut conditions = vec![format!("attribute_exists(#{IS_EMAIL_VERIFIED})")];
        update.names.insert(format!("#{IS_EMAIL_VERIFIED}"), IS_EMAIL_VERIFIED.to_owned());
        for Change { name, stored, value } in &self.0 {
            match value {
                Some(value) => update.set(name, value.clone()),
                None => update.remove(name),
            }
            conditions.push(match stored {
                Some(stored) => {
                    update.values.insert(format!(":{name}Read"), stored.clone());
                    format!("#{name} = :{name}Read")
                }
                None => format!("attribute_not_exists(#{name})"),
            });
        }
        (keys::key(partition, keys::PROFILE), update, conditions.join(" AND "))
    }
}

impl Store {
    /// Writes new values into a profile that exists. Returns `false`, and changes nothing, if the
    /// profile has other values than those that were read, or is being written or was erased.
    pub async fn update_profile(&self, sub: &str, changes: &ProfileChanges) -> Result<bool, StoreError> {
        let (key, update, condition) = changes.update(&keys::user(sub));
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(key))
            .update_expression(update.expression())
            .condition_expression(condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values));
        match call.send().await.map_err(StoreError::from_sdk("UpdateItem PROFILE")) {
            Ok(_) => Ok(true),
            Err(error) if error.is_condition_failed() || error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_follows_what_the_user_has_and_what_is_verified() {
        let user = |email: &str, email_verified, name: &str, preferred_username: &str| {
            let text = |value: &str| (value != "-").then(|| value.to_owned());
            Confirmed {
                username: "ana".to_owned(),
                email: text(email),
                email_verified,
                name: text(name),
                preferred_username: text(preferred_username),
            }
        };
        let stored: Item = [
            (EMAIL, string("a@example.com")),
            (IS_EMAIL_VERIFIED, AttributeValue::Bool(false)),
            (NAME, string("Ana")),
            ("cognitoId", string("x")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let stored = FollowedAttributes::of_item(&stored);
        for (user, expected) in [
            (user("a@example.com", false, "Ana", "-"), &[][..]),
            (user("-", false, "-", "-"), &[]),
            (user("-", true, "-", "-"), &[]),
            (user("", true, "", ""), &[]),
            (user("b@example.com", false, "Ana", "-"), &[]),
            (user("a@example.com", true, "Ana", "-"), &[IS_EMAIL_VERIFIED]),
            (user("b@example.com", true, "Ana", "-"), &[EMAIL, IS_EMAIL_VERIFIED]),
            (user("a@example.com", false, "Ana Silva", "zoe"), &[NAME, PREFERRED_USERNAME]),
        ] {
            assert_eq!(stored.changes(&user).names(), expected, "{user:?}");
        }
    }

    #[test]
    fn profile_loses_what_a_user_with_all_attributes_no_longer_has() {
        let text = |value: &str| (value != "-").then(|| value.to_owned());
        let user = |email: &str, email_verified, name: &str| Confirmed {
            username: "ana".to_owned(),
            email: text(email),
            email_verified,
            name: text(name),
            preferred_username: None,
        };
        let profile = |email: &str, is_verified| {
            let email = text(email).map(|email| (EMAIL, string(email)));
            let others = [(IS_EMAIL_VERIFIED, AttributeValue::Bool(is_verified)), (NAME, string("Ana"))];
            let item =
                email.into_iter().chain(others).map(|(name, value)| (name.to_owned(), value)).collect();
            FollowedAttributes::of_item(&item)
        };
        for (stored, user, expected) in [
            (profile("a@example.com", true), user("a@example.com", true, "Ana"), &[][..]),
            (profile("a@example.com", true), user("b@example.com", true, "Ana"), &[EMAIL]),
            (profile("a@example.com", true), user("b@example.com", false, "Ana"), &[]),
            (profile("a@example.com", true), user("a@example.com", false, "Ana"), &[IS_EMAIL_VERIFIED]),
            (profile("a@example.com", false), user("a@example.com", false, "Ana"), &[]),
            (profile("a@example.com", true), user("-", true, "Ana"), &[EMAIL, IS_EMAIL_VERIFIED]),
            (profile("a@example.com", false), user("", false, "-"), &[EMAIL, NAME]),
            (profile("-", false), user("-", false, "Ana"), &[]),
        ] {
            assert_eq!(stored.changes_from_all_attributes(&user).names(), expected, "{stored:?} {user:?}");
        }
    }

    #[test]
    fn value_of_a_wrong_type_is_replaced() {
        let stored: Item = [(NAME.to_owned(), AttributeValue::Bool(true))].into();
        let user = Confirmed {
            username: "ana".to_owned(),
            email: None,
            email_verified: false,
            name: Some("Ana".to_owned()),
            preferred_username: None,
        };
        let changes = FollowedAttributes::of_item(&stored).changes(&user);
        assert_eq!(changes.0[0].stored, Some(AttributeValue::Bool(true)));
    }
}
