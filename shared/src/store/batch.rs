//! Reading and writing many items, in as few calls as DynamoDB allows.

use std::time::Duration;

use aws_sdk_dynamodb::types::{DeleteRequest, KeysAndAttributes, PutRequest, WriteRequest};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::StoreError;
use super::item::Item;
use super::table::Store;

/// DynamoDB: a BatchGetItem reads at most 100 items.
pub const MAX_READ_ITEMS: usize = 100;
/// DynamoDB: a BatchWriteItem writes at most 25 items.
pub const MAX_WRITE_ITEMS: usize = 25;
/// Maximum number of calls that one operation makes concurrently.
const CALLS_IN_FLIGHT: usize = 8;
/// Longest delay before a read of which DynamoDB processed nothing is repeated.
const REPEAT_DELAY: Duration = Duration::from_millis(50);

/// Whether a read sees the latest writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// May return an older version, at half the price. If it does, the condition of the commit
    /// fails.
    Eventual,
    /// Sees every write that DynamoDB has acknowledged.
    Strong,
}

/// The request of a BatchWriteItem that puts this item.
pub(super) fn put_request(item: Item) -> Result<WriteRequest, StoreError> {
    let request = PutRequest::builder().set_item(Some(item)).build();
    let request = request.map_err(|error| StoreError::invalid_request("BatchWriteItem", error))?;
    Ok(WriteRequest::builder().put_request(request).build())
}

/// The request of a BatchWriteItem that deletes the item with this key.
pub(super) fn delete_request(key: Item) -> Result<WriteRequest, StoreError> {
    let request = DeleteRequest::builder().set_key(Some(key)).build();
    let request = request.map_err(|error| StoreError::invalid_request("BatchWriteItem", error))?;
    Ok(WriteRequest::builder().delete_request(request).build())
}

impl Store {
    /// Reads items by their keys. Keys without an item are left out.
    pub(super) async fn read_items(
        &self,
        keys: Vec<Item>,
        consistency: Consistency,
    ) -> Result<Vec<Item>, StoreError> {
        self.read_attributes(keys, consistency, None).await
    }

    /// The same, of which DynamoDB sends only the attributes of the projection expression. The price does
    /// not depend on it.
    pub(super) async fn read_attributes(
        &self,
        keys: Vec<Item>,
        consistency: Consistency,
        projection: Option<&str>,
    ) -> Result<Vec<Item>, StoreError> {
        let batches: Vec<Vec<Item>> = keys.chunks(MAX_READ_ITEMS).map(<[_]>::to_vec).collect();
        let calls = stream::iter(batches).map(|batch| self.read_batch(batch, consistency, projection));
        calls.buffer_unordered(CALLS_IN_FLIGHT).try_concat().await
    }

    async fn read_batch(
        &self,
        mut remaining: Vec<Item>,
        consistency: Consistency,
        projection: Option<&str>,
    ) -> Result<Vec<Item>, StoreError> {
        const OPERATION: &str = "BatchGetItem";
        let mut items = Vec::new();
        let mut is_repeated = false;
        // DynamoDB returns a part if it throttles, or if the answer exceeds 16 MB. The loop ends if
        // two calls in a row make no progress: the read then fails.
        while !remaining.is_empty() {
            let requested = remaining.len();
            let request = KeysAndAttributes::builder()
                .set_keys(Some(remaining))
                .consistent_read(consistency == Consistency::Strong)
                .set_projection_expression(projection.map(str::to_owned))
                .build()
                .map_err(|error| StoreError::invalid_request(OPERATION, error))?;
            let call = self.client.batch_get_item().request_items(&self.table, request);
            let output = call.send().await.map_err(StoreError::from_sdk(OPERATION))?;
            items.extend(output.responses.unwrap_or_default().into_values().flatten());
            remaining =
                output.unprocessed_keys.unwrap_or_default().into_values().flat_map(|k| k.keys).collect();
            if remaining.len() < requested {
                is_repeated = false;
                continue;
            }
            if is_repeated {
                return Err(StoreError::throttled(OPERATION));
            }
            is_repeated = true;
            tokio::time::sleep(REPEAT_DELAY.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
        Ok(items)
    }

    /// Writes or deletes items.
    pub(super) async fn write_items(&self, requests: Vec<WriteRequest>) -> Result<(), StoreError> {
        let batches: Vec<Vec<WriteRequest>> = requests.chunks(MAX_WRITE_ITEMS).map(<[_]>::to_vec).collect();
        let calls = stream::iter(batches).map(|batch| self.write_batch(batch));
        calls.buffer_unordered(CALLS_IN_FLIGHT).try_for_each(|()| std::future::ready(Ok(()))).await
    }

    async fn write_batch(&self, mut remaining: Vec<WriteRequest>) -> Result<(), StoreError> {
        const OPERATION: &str = "BatchWriteItem";
        while !remaining.is_empty() {
            let requested = remaining.len();
            let call = self.client.batch_write_item().request_items(&self.table, remaining);
            let output = call.send().await.map_err(StoreError::from_sdk(OPERATION))?;
            remaining = output.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
            if remaining.len() == requested {
                return Err(StoreError::throttled(OPERATION));
            }
        }
        Ok(())
    }
}
