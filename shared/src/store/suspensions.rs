//! SUSPENSION: reading it together with PROFILE, writing a decision, deleting a record that is
//! over.
//!
//! No function's role can write a SUSPENSION item. Operators write it with `replay`.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use jiff::Timestamp;

use super::batch::Consistency;
use super::error::{CommitFailure, StoreError, cancellation_codes};
use super::item::{Item, number, string};
use super::keys::{self, EXPIRES_AT, PK, PROFILE, SK, SUSPENSION};
use super::profile_changes::FollowedAttributes;
use super::table::Store;
use crate::backoff::ConflictRetry;
use crate::suspension::{Stored, Suspension, SuspensionStatus};

/// Attribute of PROFILE: whether the user may not sign in, whatever SUSPENSION says.
pub(super) const IS_BANNED: &str = "isBanned";
/// 1973-03-03. An earlier time is a mistake: probably seconds instead of milliseconds.
const EARLIEST_MILLIS: i64 = 100_000_000_000;
/// Time after the end of a suspension at which its record expires.
const RECORD_SECONDS: i64 = 365 * 24 * 3600;

/// The data of a user that the triggers read at a sign-in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignInState {
    /// `false` if PROFILE holds only the flag `isBanned`, or does not exist.
    pub has_profile: bool,
    pub followed: FollowedAttributes,
    pub suspension: SuspensionStatus,
}

impl Store {
    /// Reads a user's PROFILE and SUSPENSION items with one consistent BatchGetItem.
    ///
    /// An unreadable suspension is not an error here: see [`SuspensionStatus`].
    pub async fn read_sign_in_state(&self, sub: &str) -> Result<SignInState, StoreError> {
        Ok(self.read_sign_in_states(&[sub]).await?.remove(sub).unwrap_or_default())
    }

    /// Reads the suspensions of users, by sub, with strong consistency. A user without either item has
    /// no entry in the result.
    pub async fn read_suspensions(
        &self,
        subs: &[&str],
    ) -> Result<HashMap<String, SuspensionStatus>, StoreError> {
        let states = self.read_sign_in_states(subs).await?;
        Ok(states.into_iter().map(|(sub, state)| (sub, state.suspension)).collect())
    }

    async fn read_sign_in_states(&self, subs: &[&str]) -> Result<HashMap<String, SignInState>, StoreError> {
        let mut sub_by_partition: HashMap<String, &str> = HashMap::new();
        for sub in subs {
            sub_by_partition.insert(keys::user(sub), sub);
            sub_by_partition.insert(keys::suspension(sub), sub);
        }
        let sort_key = |partition: &str| if keys::is_user(partition) { PROFILE } else { SUSPENSION };
        let wanted = sub_by_partition.keys().map(|partition| keys::key(partition, sort_key(partition)));
        let mut states: HashMap<String, SignInState> = HashMap::new();
        for item in self.read_items(wanted.collect(), Consistency::Strong).await? {
            let partition = item.get(PK).and_then(|key| key.as_s().ok());
            let Some(sub) = partition.and_then(|partition| sub_by_partition.get(partition)) else { continue };
            let state = states.entry((*sub).to_owned()).or_default();
            if item.get(SK).and_then(|key| key.as_s().ok()).is_some_and(|sort_key| sort_key == PROFILE) {
                state.has_profile = item.contains_key("cognitoId");
                state.followed = FollowedAttributes::of_item(&item);
                state.suspension.is_banned = read_flag(&item);
            } else {
                state.suspension.suspension = read_suspension(&item);
            }
        }
        Ok(states)
    }

    /// Writes a suspension or a reinstatement, and the flag `isBanned` of PROFILE, in one
    /// transaction. Returns `false`, and changes nothing, if the table has a decision of the same
    /// time or later. An unreadable item is replaced, whatever its time.
    ///
    /// If there is no profile, PROFILE holds only the flag afterwards. The profile can still be
    /// written.
    pub async fn write_suspension(&self, sub: &str, suspension: &Suspension) -> Result<bool, StoreError> {
        let mut retry = ConflictRetry::new();
        // The time of an unreadable item that a read found, which the write may replace.
        let mut unreadable_at = None;
        loop {
            let call = self.client.transact_write_items();
            let call = call.transact_items(self.put_suspension(sub, suspension, unreadable_at.clone())?);
            let call = call.transact_items(self.set_flag(sub, suspension.sets_flag())?);
            let Err(error) = call.send().await else { return Ok(true) };
            let codes = cancellation_codes(&error).unwrap_or_default();
            // Only the first write has a condition.
            if codes.contains(&"ConditionalCheckFailed") {
                let key = keys::key(keys::suspension(sub), SUSPENSION);
                let stored = self.read_items(vec![key], Consistency::Strong).await?.pop();
                let at = stored.filter(|item| matches!(read_suspension(item), Stored::Unreadable(_)));
                let at = at.and_then(|item| item.get("at").cloned());
                // A second failure means that another tool has changed the item in the meantime.
                if at.is_none() || at == unreadable_at {
                    return Ok(false);
                }
                unreadable_at = at;
                continue;
            }
            let is_conflict = codes.contains(&"TransactionConflict");
            let error = StoreError::from_sdk(WRITE)(error);
            if !error.is_conflict() && !is_conflict {
                return Err(error);
            }
            retry.wait().await.map_err(|_| error)?;
        }
    }

    /// `unreadable_at` is the time of an item that may be replaced although it is later.
    fn put_suspension(
        &self,
        sub: &str,
        suspension: &Suspension,
        unreadable_at: Option<AttributeValue>,
    ) -> Result<TransactWriteItem, StoreError> {
        let Suspension { reason, until, by, at } = suspension;
        let mut item = keys::key(keys::suspension(sub), SUSPENSION);
        item.insert("reason".to_owned(), string(reason));
        item.insert("by".to_owned(), string(by));
        item.insert("at".to_owned(), number(at.as_millisecond()));
        if let Some(until) = until {
            item.insert("until".to_owned(), number(until.as_millisecond()));
            item.insert(EXPIRES_AT.to_owned(), number(until.as_second() + RECORD_SECONDS));
        }
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let put = put
            // An item whose times are unreadable is replaced.
            .condition_expression(
                "attribute_not_exists(#at) OR #at < :at OR #at > :latest OR NOT attribute_type(#at, :number) \
                 OR #until < :earliest OR (attribute_exists(#until) AND NOT attribute_type(#until, :number)) \
                 OR #at = :unreadableAt",
            )
            .expression_attribute_values(":unreadableAt", unreadable_at.unwrap_or(AttributeValue::Null(true)))
            .expression_attribute_names("#at", "at")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":at", number(at.as_millisecond()))
            .expression_attribute_values(":earliest", number(EARLIEST_MILLIS))
            .expression_attribute_values(":latest", number(Timestamp::MAX.as_millisecond()))
            .expression_attribute_values(":number", string("N"))
            .build()
            .map_err(|error| StoreError::invalid_request(WRITE, error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn set_flag(&self, sub: &str, is_banned: bool) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(keys::key(keys::user(sub), PROFILE)))
            .update_expression(format!("SET {IS_BANNED} = :isBanned"))
            .expression_attribute_values(":isBanned", AttributeValue::Bool(is_banned))
            .build()
            .map_err(|error| StoreError::invalid_request(WRITE, error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Deletes a user's SUSPENSION item if it is over at the time `now`. Everything that the
    /// triggers enforce stays, and so does a decision that is written meanwhile and is in force.
    pub async fn delete_ended_suspension(&self, sub: &str, now: Timestamp) -> Result<(), CommitFailure> {
        let mut retry = ConflictRetry::new();
        loop {
            let stored = self.read_sign_in_state(sub).await?.suspension.suspension;
            let Stored::Readable(Suspension { at, until: Some(until), .. }) = &stored else { return Ok(()) };
            if stored.denial(now).is_some() {
                return Ok(());
            }
            let call = self.client.delete_item().table_name(&self.table);
            let call = call
                .set_key(Some(keys::key(keys::suspension(sub), SUSPENSION)))
                .condition_expression("#at = :at AND #until = :until")
                .expression_attribute_names("#at", "at")
                .expression_attribute_names("#until", "until")
                .expression_attribute_values(":at", number(at.as_millisecond()))
                .expression_attribute_values(":until", number(until.as_millisecond()));
            match call.send().await.map_err(StoreError::from_sdk("DeleteItem SUSPENSION")) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_condition_failed() || error.is_conflict() => retry.wait().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

const WRITE: &str = "TransactWriteItems SUSPENSION";

/// Reads the flag `isBanned` of a PROFILE item.
pub(super) fn read_flag(profile: &Item) -> Stored<bool> {
    match profile.get(IS_BANNED) {
        None => Stored::Missing,
        Some(AttributeValue::Bool(flag)) => Stored::Readable(*flag),
        Some(_) => Stored::Unreadable("isBanned of PROFILE is not true or false"),
    }
}

/// Reads a SUSPENSION item. `reason` and `by` may be missing.
pub(super) fn read_suspension(item: &Item) -> Stored<Suspension> {
    let text = |name: &str, problem: &'static str| match item.get(name) {
        None => Ok(String::new()),
        Some(AttributeValue::S(text)) => Ok(text.clone()),
        Some(_) => Err(problem),
    };
    let read = || {
        let at = match item.get("at").map(millis) {
            None => return Err("at of SUSPENSION is missing"),
            Some(at) => at.and_then(|at| Timestamp::from_millisecond(at).ok()),
        };
        let until = match item.get("until").map(millis) {
            None => None,
            Some(None) => return Err("until of SUSPENSION is not a time in milliseconds"),
            // Another tool may write a very large number for "no end".
            Some(Some(until)) => Some(Timestamp::from_millisecond(until).unwrap_or(Timestamp::MAX)),
        };
        Ok(Suspension {
            at: at.ok_or("at of SUSPENSION is not a time in milliseconds")?,
            until,
            reason: text("reason", "reason of SUSPENSION is not a string")?,
            by: text("by", "by of SUSPENSION is not a string")?,
        })
    };
    match read() {
        Ok(suspension) => Stored::Readable(suspension),
        Err(problem) => Stored::Unreadable(problem),
    }
}

/// A number of milliseconds since 1970. `None` if the value is not an integer, or so small that it
/// is probably in seconds.
fn millis(value: &AttributeValue) -> Option<i64> {
    value.as_n().ok()?.parse().ok().filter(|millis| *millis >= EARLIEST_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_772_442_000_000;

    fn item(attributes: serde_json::Value) -> Item {
        serde_dynamo::to_item(attributes).unwrap()
    }

    #[test]
    fn suspension_has_its_attributes_at_top_level() {
        let read = |attributes| match read_suspension(&item(attributes)) {
            Stored::Readable(suspension) => suspension,
            other => panic!("{other:?}"),
        };
        let suspension = read(serde_json::json!({"reason": "spam", "by": "ben", "at": AT, "until": AT + 1}));
        let time = |millis| Timestamp::from_millisecond(millis).unwrap();
        let expected =
            Suspension { reason: "spam".into(), by: "ben".into(), at: time(AT), until: Some(time(AT + 1)) };
        assert_eq!(suspension, expected);
        let suspension = read(serde_json::json!({"at": AT}));
        assert_eq!(
            suspension,
            Suspension { reason: String::new(), by: String::new(), until: None, at: time(AT) }
        );
        let very_large = read(serde_json::json!({"at": AT, "until": i64::MAX}));
        assert_eq!(very_large.until, Some(Timestamp::MAX));
    }

    #[test]
    fn value_of_a_wrong_form_is_unreadable_and_named() {
        let seconds = AT / 1000;
        for (attributes, problem) in [
            (serde_json::json!({}), "at of SUSPENSION is missing"),
            (serde_json::json!({"until": AT}), "at of SUSPENSION is missing"),
            (serde_json::json!({"at": AT.to_string()}), "at of SUSPENSION is not a time in milliseconds"),
            (serde_json::json!({"at": null}), "at of SUSPENSION is not a time in milliseconds"),
            (serde_json::json!({"at": seconds}), "at of SUSPENSION is not a time in milliseconds"),
            (serde_json::json!({"at": AT * 1000}), "at of SUSPENSION is not a time in milliseconds"),
            (
                serde_json::json!({"at": 1_772_442_000_000.5}),
                "at of SUSPENSION is not a time in milliseconds",
            ),
            (
                serde_json::json!({"at": AT, "until": seconds}),
                "until of SUSPENSION is not a time in milliseconds",
            ),
            (serde_json::json!({"at": AT, "until": 0}), "until of SUSPENSION is not a time in milliseconds"),
            (
                serde_json::json!({"at": AT, "until": null}),
                "until of SUSPENSION is not a time in milliseconds",
            ),
            (serde_json::json!({"at": AT, "until": {}}), "until of SUSPENSION is not a time in milliseconds"),
            (serde_json::json!({"at": AT, "reason": 7}), "reason of SUSPENSION is not a string"),
            (serde_json::json!({"at": AT, "by": []}), "by of SUSPENSION is not a string"),
        ] {
            assert_eq!(
                read_suspension(&item(attributes.clone())),
                Stored::Unreadable(problem),
                "{attributes}"
            );
        }
        for (flag, expected) in [
            (serde_json::json!({}), Stored::Missing),
            (serde_json::json!({"isBanned": true}), Stored::Readable(true)),
            (
                serde_json::json!({"isBanned": "true"}),
                Stored::Unreadable("isBanned of PROFILE is not true or false"),
            ),
            (
                serde_json::json!({"isBanned": 0}),
                Stored::Unreadable("isBanned of PROFILE is not true or false"),
            ),
            (
                serde_json::json!({"isBanned": null}),
                Stored::Unreadable("isBanned of PROFILE is not true or false"),
            ),
        ] {
            assert_eq!(read_flag(&item(flag.clone())), expected, "{flag}");
        }
    }
}
