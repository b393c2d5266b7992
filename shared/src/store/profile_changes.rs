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
    value: AttributeValue,
}

impl FollowedAttributes {
    pub const NAMES: [&'static str; 4] = [EMAIL, IS_EMAIL_VERIFIED, NAME, PREFERRED_USERNAME];

    pub(super) fn of_item(item: &Item) -> Self {
        let stored = |name: &'static str| Some((name, item.get(name)?.clone()));
        Self(Self::NAMES.into_iter().filter_map(stored).collect())
    }

    pub fn preferred_username(&self) -> Option<&str> {
        self.0.get(PREFERRED_USERNAME)?.as_s().ok().map(String::as_str)
    }

    /// The changes that make the profile equal to the user in the pool.
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
        let changes = changed.map(|(name, value)| Change { name, stored: self.0.get(name).cloned(), value });
        ProfileChanges(changes.collect())
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
}

impl Store {
    /// Writes new values into a profile that exists. Returns `false`, and changes nothing, if the
    /// profile has other values than those that were read, or is being written or was erased.
    ///
    /// The update names no other attribute, not even in its condition, so that IAM can restrict it.
    /// Every profile has `isEmailVerified`, and PROFILE has no other attribute of a profile after an
    /// erasure.
    pub async fn update_profile(&self, sub: &str, changes: &ProfileChanges) -> Result<bool, StoreError> {
        let mut update = UpdateExpression::default();
        let mut conditions = vec![format!("attribute_exists(#{IS_EMAIL_VERIFIED})")];
        update.names.insert(format!("#{IS_EMAIL_VERIFIED}"), IS_EMAIL_VERIFIED.to_owned());
        for Change { name, stored, value } in &changes.0 {
            update.set(name, value.clone());
            conditions.push(match stored {
                Some(stored) => {
                    update.values.insert(format!(":{name}Read"), stored.clone());
                    format!("#{name} = :{name}Read")
                }
                None => format!("attribute_not_exists(#{name})"),
            });
        }
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::user(sub), keys::PROFILE)))
            .update_expression(update.expression())
            .condition_expression(conditions.join(" AND "))
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
