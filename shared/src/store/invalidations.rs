//! CACHE and LEDGER: when a user's cached pages were last invalidated, and what invalidations have
//! cost.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::batch::{Consistency, put_request};
use super::error::StoreError;
use super::item::{Item, number, string};
use super::keys::{self, CACHE, EXPIRES_AT, PK, PURGE_ALL};
use super::table::Store;
use crate::events::{self, View};
use crate::time::millis;

/// Days for which the months of a ledger stay in the table.
const LEDGER_DAYS: i64 = 400;

/// Records the last purge of all users' pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeAllMark {
    /// A change at this time or earlier needs no invalidation.
    #[serde(with = "millis")]
    pub last_invalidated_at: Timestamp,
}

/// Records the last invalidations of a user's cached pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheMark {
    /// A change at this time or earlier needs no invalidation: all pages of the user were
    /// invalidated.
    #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub last_invalidated_at: Option<Timestamp>,
    /// The same for views that were invalidated one by one, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub views: BTreeMap<View, Millis>,
    /// The last suspension, reinstatement or erasure for which the user's pages were invalidated.
    #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub last_security_change_at: Option<Timestamp>,
}

/// A time, in milliseconds since 1970 in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(#[serde(with = "millis")] pub Timestamp);

impl CacheMark {
    /// A change of `view` at this time or earlier needs no invalidation.
    pub fn invalidated_until(&self, view: View) -> Option<Timestamp> {
        self.last_invalidated_at.max(self.views.get(&view).map(|at| at.0))
    }
}

/// The right to purge all users' pages, which one worker has at a time.
#[derive(Debug)]
pub struct PurgeAllClaim(String);

/// Result of booking invalidation items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    Granted {
        /// The items of the month, with these.
        booked: u64,
    },
    /// The items would exceed the month's budget. Nothing was booked.
    Exhausted,
}

impl Store {
    /// Reads the marks of users, and the mark of the distribution's last purge of all pages.
    pub async fn read_cache_marks(
        &self,
        distribution: &str,
        subs: impl Iterator<Item = &str>,
    ) -> Result<(HashMap<String, CacheMark>, Option<PurgeAllMark>), StoreError> {
        let by_key: HashMap<String, &str> = subs.map(|sub| (keys::cache(sub), sub)).collect();
        let mut wanted: Vec<Item> = by_key.keys().map(|partition| keys::key(partition, CACHE)).collect();
        wanted.push(keys::key(keys::ledger(distribution), PURGE_ALL));
        let (mut marks, mut purge_all) = (HashMap::new(), None);
        // An eventually consistent read could miss the last invalidation of a user, and the next one
        // would come before INVALIDATION_INTERVAL_SECONDS have passed.
        for item in self.read_items(wanted, Consistency::Strong).await? {
            let sub = item.get(PK).and_then(|key| by_key.get(key.as_s().ok()?.as_str())).copied();
            match sub {
                Some(sub) => {
                    drop(marks.insert(sub.to_owned(), serde_dynamo::from_item(item).unwrap_or_default()))
                }
                // A purge that was claimed but not made yet has no mark.
                None => purge_all = serde_dynamo::from_item(item).ok(),
            }
        }
        Ok((marks, purge_all))
    }

    /// Records that users' pages were invalidated: the mark of each `sub`. Of two workers the later
    /// writer wins, even with an earlier time: that costs one more invalidation, and never leaves a
    /// stale page.
    pub async fn mark_invalidated(
        &self,
        marks: impl Iterator<Item = (&str, CacheMark)>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "BatchWriteItem CACHE";
        let requests = marks.map(|(sub, mark)| {
            let mut item = keys::key(keys::cache(sub), CACHE);
            let mark: Item =
                serde_dynamo::to_item(mark).map_err(|error| StoreError::invalid_request(OPERATION, error))?;
            item.extend(mark);
            item.insert(EXPIRES_AT.to_owned(), number(expires_at.as_second()));
            put_request(item)
        });
        self.write_items(requests.collect::<Result<Vec<_>, StoreError>>()?).await
    }

    /// Claims the right to purge all users' pages. `None` if another worker claimed it after
    /// `since`.
    pub async fn claim_purge_all(
        &self,
        distribution: &str,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<Option<PurgeAllClaim>, StoreError> {
        let claim = events::unique_id(now);
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::ledger(distribution), PURGE_ALL)))
            .update_expression("SET claimedAt = :now, claimedBy = :claim")
            // If a reply is lost, the SDK repeats the request, and finds the item with this claim.
            .condition_expression(
                "attribute_not_exists(claimedAt) OR claimedAt <= :since OR claimedBy = :claim",
            )
            .expression_attribute_values(":claim", string(&claim))
            .expression_attribute_values(":now", number(now.as_millisecond()))
            .expression_attribute_values(":since", number(since.as_millisecond()));
        match call.send().await.map_err(StoreError::from_sdk("UpdateItem PURGE_ALL")) {
            Ok(_) => Ok(Some(PurgeAllClaim(claim))),
            Err(error) if error.is_condition_failed() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives up the right to purge all users' pages. Call it only if the purge certainly did not
    /// happen.
    pub async fn release_purge_all(
        &self,
        distribution: &str,
        claim: PurgeAllClaim,
    ) -> Result<(), StoreError> {
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::ledger(distribution), PURGE_ALL)))
            .update_expression("REMOVE claimedAt, claimedBy")
            .condition_expression("claimedBy = :claim")
            .expression_attribute_values(":claim", string(claim.0));
        match call.send().await.map_err(StoreError::from_sdk("UpdateItem PURGE_ALL")) {
            // If the condition failed, another worker has a new claim, or an attempt whose reply
            // was lost has removed this one.
            Err(error) if !error.is_condition_failed() => Err(error),
            _ => Ok(()),
        }
    }

    /// Records that all users' pages were purged.
    pub async fn mark_all_purged(
        &self,
        distribution: &str,
        mark: &PurgeAllMark,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::ledger(distribution), PURGE_ALL)))
            .update_expression(format!("SET lastInvalidatedAt = :mark, {EXPIRES_AT} = :expiresAt"))
            .expression_attribute_values(":mark", number(mark.last_invalidated_at.as_millisecond()))
            .expression_attribute_values(":expiresAt", number(expires_at.as_second()));
        call.send().await.map(|_| ()).map_err(StoreError::from_sdk("UpdateItem PURGE_ALL"))
    }

    /// Books invalidation items and one call in the month's ledger. With a `budget`, only if the
    /// month stays within it.
    ///
    /// Book before the call to CloudFront: after a crash, the ledger then counts too much, never
    /// too little.
    pub async fn reserve_invalidation(
        &self,
        distribution: &str,
        now: Timestamp,
        items: usize,
        budget: Option<u64>,
    ) -> Result<Reservation, StoreError> {
        let items = i64::try_from(items).unwrap_or(i64::MAX);
        let max_booked = budget.map(|budget| i64::try_from(budget).unwrap_or(i64::MAX).saturating_sub(items));
        // The condition below also accepts a month that does not exist yet.
        if max_booked.is_some_and(|max_booked| max_booked < 0) {
            return Ok(Reservation::Exhausted);
        }
        let booking = Booking { items, calls: 1, max_booked, config: Builder::default() };
        match self.book(distribution, now, booking).await {
            Ok(booked) => Ok(Reservation::Granted { booked }),
            Err(error) if error.is_condition_failed() => Ok(Reservation::Exhausted),
            Err(error) => Err(error),
        }
    }

    /// Takes back what was booked for a call that CloudFront certainly refused.
    pub async fn release_invalidation(
        &self,
        distribution: &str,
        now: Timestamp,
        items: usize,
    ) -> Result<(), StoreError> {
        let items = i64::try_from(items).unwrap_or(i64::MAX);
        // One attempt: a repeated request would take the items back twice, and the ledger would
        // count too little.
        let config = Builder::new().retry_config(RetryConfig::disabled());
        let booking = Booking { items: -items, calls: -1, max_booked: None, config };
        self.book(distribution, now, booking).await.map(|_| ())
    }

    /// Returns the items of the month after the booking.
    async fn book(&self, distribution: &str, now: Timestamp, booking: Booking) -> Result<u64, StoreError> {
        let Booking { items, calls, max_booked, config } = booking;
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::ledger(distribution), keys::month(now))))
            .update_expression(format!("ADD #items :items, calls :calls SET {EXPIRES_AT} = :expiresAt"))
            .expression_attribute_names("#items", "items")
            .expression_attribute_values(":items", number(items))
            .expression_attribute_values(":calls", number(calls))
            .expression_attribute_values(":expiresAt", number(now.as_second() + LEDGER_DAYS * 24 * 3600))
            .return_values(ReturnValue::AllNew);
        let call = match max_booked {
            None => call,
            Some(max_booked) => call
                .condition_expression("attribute_not_exists(#items) OR #items <= :maxBooked")
                .expression_attribute_values(":maxBooked", number(max_booked)),
        };
        let call = call.customize().config_override(config);
        let output = call.send().await.map_err(StoreError::from_sdk("UpdateItem LEDGER"))?;
        let booked =
            output.attributes.as_ref().and_then(|month| month.get("items")?.as_n().ok()?.parse().ok());
        Ok(booked.unwrap_or_default())
    }
}

/// A change of the ledger.
struct Booking {
    items: i64,
    calls: i64,
    /// The items that the month may already have for the booking to succeed. `None` for any number.
    max_booked: Option<i64>,
    config: Builder,
}
