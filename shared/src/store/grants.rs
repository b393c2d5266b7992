//! GRANT: what a user may do with a resource of another user.
//!
//! Only resource-permission has the right to write a GRANT item, and `replay user erase` deletes those
//! of a user.

use aws_sdk_dynamodb::types::ReturnValue;

use super::batch::delete_request;
use super::error::StoreError;
use super::item::{Item, number, string};
use super::keys::{self, EXPIRES_AT, PK, SK};
use super::table::Store;
use crate::events::Resource;
use crate::grant::{Grant, GrantChange};

/// The condition of a write: the event of the stored item does not win, as
/// [`Grant::cmp_event`] compares events. An item whose time is not a number is replaced.
const GRANT_WINS: &str = "attribute_not_exists(#changedAt) OR NOT attribute_type(#changedAt, :numberType) \
     OR #changedAt < :changedAt OR (#changedAt = :changedAt \
     AND attribute_not_exists(#revokedAt) AND #eventKey < :eventKey)";
const REVOCATION_WINS: &str = "attribute_not_exists(#changedAt) OR NOT attribute_type(#changedAt, :numberType) \
     OR #changedAt < :changedAt OR (#changedAt = :changedAt \
     AND (attribute_not_exists(#revokedAt) OR #eventKey < :eventKey))";

/// The primary key of the item with what the user `sub` may do with `resource`.
pub fn key(sub: &str, resource: &Resource) -> Item {
    keys::key(keys::grants(sub), keys::grant(resource))
}

/// Reads a GRANT item. An item that cannot be understood grants nothing.
pub fn parse(item: Item) -> Result<Grant, StoreError> {
    serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable("reading GRANT", error))
}

/// What a write of a GRANT item did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantWrite {
    /// The table has the grant of the event now.
    Applied {
        /// The grant that it replaced. `None` if there was none, or one that could not be understood.
        previous: Option<Grant>,
    },
    /// Nothing changed: the table has the grant of the same event, or of an event that wins.
    Outdated,
}

impl Store {
    /// Writes the grant of an event, unless the table has one of the same event or of an event that
    /// wins.
    pub async fn apply_grant_change(&self, change: &GrantChange) -> Result<GrantWrite, StoreError> {
        const OPERATION: &str = "PutItem GRANT";
        let GrantChange { sub, resource, grant } = change;
        let mut item = key(sub, resource);
        let attributes: Item =
            serde_dynamo::to_item(grant).map_err(|error| StoreError::invalid_request(OPERATION, error))?;
        item.extend(attributes);
        if let Some(expires_at) = grant.expires_at() {
            item.insert(EXPIRES_AT.to_owned(), number(expires_at));
        }
        let condition = if grant.is_revoked() { REVOCATION_WINS } else { GRANT_WINS };
        let call = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let call = call
            .return_values(ReturnValue::AllOld)
            .condition_expression(condition)
            .expression_attribute_names("#changedAt", "changedAt")
            .expression_attribute_names("#revokedAt", "revokedAt")
            .expression_attribute_names("#eventKey", "eventKey")
            .expression_attribute_values(":changedAt", number(grant.changed_at.as_millisecond()))
            .expression_attribute_values(":eventKey", string(&grant.event_key))
            .expression_attribute_values(":numberType", string("N"));
        match call.send().await.map_err(StoreError::from_sdk(OPERATION)) {
            Ok(output) => {
                let previous = output.attributes.and_then(|item| parse(item).ok());
                Ok(GrantWrite::Applied { previous })
            }
            Err(error) if error.is_condition_failed() => Ok(GrantWrite::Outdated),
            Err(error) => Err(error),
        }
    }

    /// Reads all grants of a user, by resource, with strong consistency. Also those that have ended or
    /// are revoked. An item that cannot be understood has an error in place of its grant.
    pub async fn read_grants(
        &self,
        sub: &str,
    ) -> Result<Vec<(String, Result<Grant, StoreError>)>, StoreError> {
        let items = self.query_grants(sub).await?.into_iter();
        let resource = |item: &Item| {
            let sort_key = item.get(SK).and_then(|key| key.as_s().ok())?;
            Some(sort_key.strip_prefix(keys::GRANT_PREFIX).unwrap_or(sort_key).to_owned())
        };
        Ok(items.map(|item| (resource(&item).unwrap_or_default(), parse(item))).collect())
    }

    /// Deletes all grants of a user. Returns how many. Repeating the call is safe.
    pub async fn delete_grants(&self, sub: &str) -> Result<usize, StoreError> {
        let items = self.query_grants(sub).await?;
        let requests = items.into_iter().filter_map(|mut item| {
            let key = keys::key(keys::grants(sub), item.remove(SK)?.as_s().ok()?);
            Some(delete_request(key))
        });
        let requests = requests.collect::<Result<Vec<_>, _>>()?;
        let deleted = requests.len();
        self.write_items(requests).await?;
        Ok(deleted)
    }

    async fn query_grants(&self, sub: &str) -> Result<Vec<Item>, StoreError> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let call = self.client.query().table_name(&self.table).consistent_read(true);
            let output = call
                .key_condition_expression(format!("{PK} = :partition"))
                .expression_attribute_values(":partition", string(keys::grants(sub)))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(StoreError::from_sdk("Query GRANT"))?;
            items.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(items);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn item(attributes: serde_json::Value) -> Item {
        serde_dynamo::to_item(attributes).unwrap()
    }

    #[test]
    fn item_of_another_form_grants_nothing() {
        let at = 1_772_442_000_000_i64;
        let now = Timestamp::from_millisecond(at).unwrap();
        let readable =
            serde_json::json!({"permissions": ["read"], "changedAt": at, "eventKey": "EVENT#/s#1"});
        assert!(parse(item(readable.clone())).unwrap().is_in_force(now));
        for (name, value) in [
            ("permissions", "read".into()),
            ("permissions", serde_json::json!(["Read"])),
            ("permissions", serde_json::json!([])),
            ("changedAt", serde_json::Value::Null),
            ("until", "2027-01-01".into()),
            // Seconds, where milliseconds are expected.
            ("until", (at / 1000 + 3600).into()),
            ("revokedAt", true.into()),
            ("revokedAt", at.into()),
        ] {
            let mut attributes = readable.clone();
            attributes[name] = value;
            let grant = parse(item(attributes.clone()));
            assert!(!grant.is_ok_and(|grant| grant.is_in_force(now)), "{attributes}");
        }
    }
}
