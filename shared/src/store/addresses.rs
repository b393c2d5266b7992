//! FAILURES: the users whose sign-ins from an IP address failed, in windows of ten minutes.
//!
//! A window holds no sub, but hashes, and at most twice [`MAX_USERS`] of them. It expires after a day.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::Timestamp;

use super::error::StoreError;
use super::item::number;
use super::keys::{self, EXPIRES_AT};
use super::table::Store;

/// Number of users at which a window is full and takes no more users.
pub const MAX_USERS: usize = 50;
/// Length of a window.
pub const WINDOW_SECONDS: i64 = 600;
/// Time for which a window is kept after its end.
const KEPT_SECONDS: i64 = 24 * 3600;

const USERS: &str = "users";

/// Ten minutes of the failed sign-ins from an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressWindow {
    start: Timestamp,
    address: String,
}

/// The number of users in a window before and after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedUsers {
    pub before: usize,
    pub after: usize,
}

impl AddressWindow {
    /// The window that contains `at`.
    pub fn new(address: String, at: Timestamp) -> Self {
        let second = at.as_second().div_euclid(WINDOW_SECONDS) * WINDOW_SECONDS;
        // A time that is in range stays in range, except near its ends.
        Self { start: Timestamp::from_second(second).unwrap_or(at), address }
    }

    pub fn start(&self) -> Timestamp {
        self.start
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Store {
    /// Adds users, given as hashes, to a window. Adding a user again changes nothing. Returns `None`,
    /// and changes nothing, if the window is full.
    pub async fn add_failed_users(
        &self,
        window: &AddressWindow,
        users: &BTreeSet<String>,
    ) -> Result<Option<FailedUsers>, StoreError> {
        let expires_at = window.start.as_second() + WINDOW_SECONDS + KEPT_SECONDS;
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::address(&window.address), keys::failures(window.start))))
            .update_expression("ADD #users :users SET #expiresAt = :expiresAt")
            .condition_expression("attribute_not_exists(#users) OR size(#users) < :full")
            .expression_attribute_names("#users", USERS)
            .expression_attribute_names("#expiresAt", EXPIRES_AT)
            .expression_attribute_values(":users", AttributeValue::Ss(users.iter().cloned().collect()))
            .expression_attribute_values(":full", number(MAX_USERS))
            .expression_attribute_values(":expiresAt", number(expires_at))
            .return_values(ReturnValue::AllOld);
        match call.send().await.map_err(StoreError::from_sdk("UpdateItem FAILURES")) {
            Ok(output) => {
                let old = output.attributes.as_ref().and_then(|item| item.get(USERS)?.as_ss().ok());
                let old: BTreeSet<&String> = old.into_iter().flatten().collect();
                let added = users.iter().filter(|user| !old.contains(user)).count();
                Ok(Some(FailedUsers { before: old.len(), after: old.len() + added }))
            }
            Err(error) if error.is_condition_failed() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_begins_at_a_multiple_of_ten_minutes() {
        for (at, start) in [
            ("2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z"),
            ("2026-03-02T09:09:59.999Z", "2026-03-02T09:00:00Z"),
            ("2026-03-02T09:10:00Z", "2026-03-02T09:10:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:50:00Z"),
        ] {
            let window = AddressWindow::new("198.51.100.7".to_owned(), at.parse().unwrap());
            assert_eq!(window.start(), start.parse().unwrap(), "{at}");
        }
    }
}
