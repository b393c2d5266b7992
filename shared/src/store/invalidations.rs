//! CACHE and LEDGER: when a user's cache entries were evicted last, and what invalidations have cost.

use std::collections::HashMap;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::commits::Consistency;
use super::keys::{self, CACHE, COLLAPSE, EXPIRES_AT, PK};
use super::{Item, Store, StoreError, number, string};
use crate::events;
use crate::time::millis;

/// Ledger months are kept this long.
const LEDGER_DAYS: i64 = 400;

/// Up to when a user's cache entries, or everybody's, are known to be evicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheMark {
    /// A change that is not later needs no invalidation.
    #[serde(with = "millis")]
    pub last_invalidated_at: Timestamp,
}

/// The right to evict everybody's entries.
#[derive(Debug)]
pub struct CollapseClaim(String);

/// Whether the month's budget has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The items are booked.
    Granted,
    /// The budget is spent.
    Exhausted,
}

impl Store {
    /// Reads the marks of users, and the mark of the distribution's last collapse.
    pub async fn cache_marks(
        &self,
        distribution: &str,
        subs: impl Iterator<Item = &str>,
    ) -> Result<(HashMap<String, CacheMark>, Option<CacheMark>), StoreError> {
        let by_key: HashMap<String, &str> = subs.map(|sub| (keys::user(sub), sub)).collect();
        let mut wanted: Vec<Item> = by_key.keys().map(|user| keys::key(user, CACHE)).collect();
        wanted.push(keys::key(keys::ledger(distribution), COLLAPSE));
        let (mut marks, mut collapse) = (HashMap::new(), None);
        // A mark that is read too old costs an invalidation; one that is missed is no loss.
        for item in self.read_items(wanted, Consistency::Eventual).await? {
            let sub = item.get(PK).and_then(|key| by_key.get(key.as_s().ok()?.as_str())).copied();
            // A collapse that was claimed and not made yet has no mark.
            let Ok(mark) = serde_dynamo::from_item(item) else { continue };
            match sub {
                Some(sub) => drop(marks.insert(sub.to_owned(), mark)),
                None => collapse = Some(mark),
            }
        }
        Ok((marks, collapse))
    }

    /// Notes that users' entries were evicted. Of two workers the later writer wins, even with an earlier
    /// time: that costs one more invalidation, never a stale page.
    pub async fn mark_invalidated(
        &self,
        subs: impl Iterator<Item = &str>,
        mark: &CacheMark,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let keys: Vec<Item> = subs.map(|sub| keys::key(keys::user(sub), CACHE)).collect();
        self.put_marks(keys, mark, expires_at).await
    }

    /// Takes the right to evict everybody's entries, unless somebody took it after `since`. `None` where it was
    /// not there to take.
    pub async fn claim_collapse(
        &self,
        distribution: &str,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<Option<CollapseClaim>, StoreError> {
        let claim = events::unique_id(now);
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::ledger(distribution), COLLAPSE)))
            .update_expression("SET claimedAt = :now, claimedBy = :claim")
            // Its own claim is there already where the SDK tries again after a lost reply.
            .condition_expression(
                "attribute_not_exists(claimedAt) OR claimedAt <= :since OR claimedBy = :claim",
            )
            .expression_attribute_values(":claim", string(&claim))
            .expression_attribute_values(":now", number(now.as_millisecond()))
            .expression_attribute_values(":since", number(since.as_millisecond()));
        match call.send().await.map_err(StoreError::call("UpdateItem COLLAPSE")) {
            Ok(_) => Ok(Some(CollapseClaim(claim))),
            Err(error) if error.is_condition_failed() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives back the right to evict everybody's entries, where that was surely not done.
    pub async fn release_collapse(&self, distribution: &str, claim: CollapseClaim) -> Result<(), StoreError> {
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::ledger(distribution), COLLAPSE)))
            .update_expression("REMOVE claimedAt, claimedBy")
            .condition_expression("claimedBy = :claim")
            .expression_attribute_values(":claim", string(claim.0));
        match call.send().await.map_err(StoreError::call("UpdateItem COLLAPSE")) {
            // Somebody else's by now, or given back by an attempt whose reply was lost.
            Err(error) if !error.is_condition_failed() => Err(error),
            _ => Ok(()),
        }
    }

    /// Notes that everybody's entries were evicted.
    pub async fn mark_collapsed(
        &self,
        distribution: &str,
        mark: &CacheMark,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::ledger(distribution), COLLAPSE)))
            .update_expression(format!("SET lastInvalidatedAt = :mark, {EXPIRES_AT} = :expiresAt"))
            .expression_attribute_values(":mark", number(mark.last_invalidated_at.as_millisecond()))
            .expression_attribute_values(":expiresAt", number(expires_at.as_second()));
        call.send().await.map(|_| ()).map_err(StoreError::call("UpdateItem COLLAPSE"))
    }

    async fn put_marks(
        &self,
        keys: Vec<Item>,
        mark: &CacheMark,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let unreadable = |error| StoreError::unreadable("writing CACHE", error);
        let mark: Item = serde_dynamo::to_item(mark).map_err(unreadable)?;
        let requests = keys.into_iter().map(|mut item| {
            item.extend(mark.clone());
            item.insert(EXPIRES_AT.to_owned(), number(expires_at.as_second()));
            let request = PutRequest::builder().set_item(Some(item)).build();
            request.map(|request| WriteRequest::builder().put_request(request).build())
        });
        let requests = requests.collect::<Result<Vec<_>, _>>();
        self.write_items(requests.map_err(|error| StoreError::unreadable("writing CACHE", error))?).await
    }

    /// Books invalidation items and one call in the month's ledger, before the call is made: a crash counts
    /// too much, never too little. With a `budget`, only while the month stays within it.
    pub async fn reserve_invalidation(
        &self,
        distribution: &str,
        now: Timestamp,
        items: usize,
        budget: Option<u64>,
    ) -> Result<Reservation, StoreError> {
        let items = i64::try_from(items).unwrap_or(i64::MAX);
        // What may be booked already. An item that does not exist has booked nothing.
        let most = budget.map(|budget| i64::try_from(budget).unwrap_or(i64::MAX).saturating_sub(items));
        if most.is_some_and(|most| most < 0) {
            return Ok(Reservation::Exhausted);
        }
        match self.book(distribution, now, items, 1, most, None).await {
            Ok(()) => Ok(Reservation::Granted),
            Err(error) if error.is_condition_failed() => Ok(Reservation::Exhausted),
            Err(error) => Err(error),
        }
    }

    /// Gives back what was booked for a call that CloudFront surely refused.
    pub async fn release_invalidation(
        &self,
        distribution: &str,
        now: Timestamp,
        items: usize,
    ) -> Result<(), StoreError> {
        let items = i64::try_from(items).unwrap_or(i64::MAX);
        let once = aws_sdk_dynamodb::config::Builder::new().retry_config(RetryConfig::disabled());
        // One attempt: given back twice, the ledger would count too little.
        self.book(distribution, now, -items, -1, None, Some(once)).await
    }

    async fn book(
        &self,
        distribution: &str,
        now: Timestamp,
        items: i64,
        calls: i64,
        most: Option<i64>,
        config: Option<aws_sdk_dynamodb::config::Builder>,
    ) -> Result<(), StoreError> {
        let call = self.client.update_item().table_name(&self.table);
        let call = call
            .set_key(Some(keys::key(keys::ledger(distribution), keys::month(now))))
            .update_expression(format!("ADD #items :items, calls :calls SET {EXPIRES_AT} = :expiresAt"))
            .expression_attribute_names("#items", "items")
            .expression_attribute_values(":items", number(items))
            .expression_attribute_values(":calls", number(calls))
            .expression_attribute_values(":expiresAt", number(now.as_second() + LEDGER_DAYS * 24 * 3600));
        let call = match most {
            None => call,
            Some(most) => call
                .condition_expression("attribute_not_exists(#items) OR #items <= :most")
                .expression_attribute_values(":most", number(most)),
        };
        let call = call.customize().config_override(config.unwrap_or_default());
        call.send().await.map(|_| ()).map_err(StoreError::call("UpdateItem LEDGER"))
    }
}
