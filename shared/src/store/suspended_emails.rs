//! SUSPENSION items of email addresses: reading, writing and deleting them.
//!
//! The partition key is a keyed hash of the address. The item has neither the address nor a sub. No
//! function's role can write it. Operators write it with `replay`.

use jiff::Timestamp;

use super::error::StoreError;
use super::item::number;
use super::keys::{self, EXPIRES_AT, SUSPENSION};
use super::suspensions::read_suspension;
use super::table::Store;
use crate::suspended_email::SuspendedEmailHash;
use crate::suspension::{Stored, Suspension};

/// An item of the same time or earlier, or one whose time is unreadable: not a number, or later than
/// any time in milliseconds.
const NOT_NEWER: &str = "attribute_not_exists(#at) OR NOT #at > :at OR #at > :latest";

impl Store {
    /// Reads the suspension of an email address with one consistent GetItem. Its `reason` and `by`
    /// are empty.
    pub async fn read_suspended_email(
        &self,
        hash: &SuspendedEmailHash,
    ) -> Result<Stored<Suspension>, StoreError> {
        let key = keys::key(keys::suspended_email(hash), SUSPENSION);
        let call = self.client.get_item().table_name(&self.table).set_key(Some(key)).consistent_read(true);
        let output = call.send().await.map_err(StoreError::from_sdk("GetItem SUSPENDED_EMAIL"))?;
        Ok(output.item.map_or(Stored::Missing, |item| read_suspension(&item)))
    }

    /// Suspends an email address from `at` to `until`. Returns `false`, and changes nothing, if the
    /// table has a later suspension of the address.
    ///
    /// DynamoDB deletes the item after its end. It denies nothing from its end on, also while it is
    /// still there.
    pub async fn write_suspended_email(
        &self,
        hash: &SuspendedEmailHash,
        at: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let mut item = keys::key(keys::suspended_email(hash), SUSPENSION);
        item.insert("at".to_owned(), number(at.as_millisecond()));
        if let Some(until) = until {
            item.insert("until".to_owned(), number(until.as_millisecond()));
            // Time to live counts whole seconds. Not before the end.
            item.insert(EXPIRES_AT.to_owned(), number(until.as_second() + 1));
        }
        let call = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let call = call
            .condition_expression(NOT_NEWER)
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":at", number(at.as_millisecond()))
            .expression_attribute_values(":latest", number(Timestamp::MAX.as_millisecond()));
        written(call.send().await.map_err(StoreError::from_sdk("PutItem SUSPENDED_EMAIL")))
    }

    /// Ends the suspension of an email address by a decision of the time `at`. Returns `false`, and
    /// changes nothing, if the table has a later suspension of the address.
    pub async fn delete_suspended_email(
        &self,
        hash: &SuspendedEmailHash,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = keys::key(keys::suspended_email(hash), SUSPENSION);
        let call = self.client.delete_item().table_name(&self.table).set_key(Some(key));
        let call = call
            .condition_expression(NOT_NEWER)
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":at", number(at.as_millisecond()))
            .expression_attribute_values(":latest", number(Timestamp::MAX.as_millisecond()));
        written(call.send().await.map_err(StoreError::from_sdk("DeleteItem SUSPENDED_EMAIL")))
    }
}

/// `false` if the condition of the write was not met.
fn written<T>(result: Result<T, StoreError>) -> Result<bool, StoreError> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.is_condition_failed() => Ok(false),
        Err(error) => Err(error),
    }
}
