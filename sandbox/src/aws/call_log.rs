//! The requests that reached the services. It keeps what the services do not report afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;

/// The requests of an account. Clones share them.
#[derive(Clone, Default)]
pub struct CallLog(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    operations: Vec<String>,
    invalidations: Vec<Vec<String>>,
    caller_references: Vec<String>,
    visibility_timeouts: HashMap<String, i64>,
    writes: Vec<(String, Bytes)>,
}

impl CallLog {
    /// The operations so far, such as `SendMessage`, with the SDK's retries.
    pub fn operations(&self) -> Vec<String> {
        self.calls().operations.clone()
    }

    /// Forgets the operations and the writes so far. Invalidations and visibility timeouts stay.
    pub fn clear_operations(&self) {
        let mut calls = self.calls();
        calls.operations.clear();
        calls.writes.clear();
    }

    /// The items of each invalidation that CloudFront accepted, in order.
    pub fn invalidations(&self) -> Vec<Vec<String>> {
        self.calls().invalidations.clone()
    }

    /// The caller reference of each invalidation. winterbaume's CloudFront ignores it.
    pub fn caller_references(&self) -> Vec<String> {
        self.calls().caller_references.clone()
    }

    /// The latest visibility timeout in seconds that a worker set, by receipt handle.
    pub fn visibility_timeouts(&self) -> HashMap<String, i64> {
        self.calls().visibility_timeouts.clone()
    }

    /// The operation and the body of each write that DynamoDB accepted.
    pub fn writes(&self) -> Vec<(String, Bytes)> {
        self.calls().writes.clone()
    }

    /// Records that a request arrived.
    pub(super) fn record_operation(&self, operation: &str) {
        self.calls().operations.push(operation.to_owned());
    }

    /// Records what an accepted request asked for.
    pub(super) fn record_request(&self, operation: &str, body: &Bytes) {
        match operation {
            "CreateInvalidation" => {
                let xml = String::from_utf8_lossy(body);
                let mut calls = self.calls();
                calls.invalidations.push(xml_elements(&xml, "Path"));
                calls.caller_references.extend(xml_elements(&xml, "CallerReference"));
            }
            "ChangeMessageVisibilityBatch" => {
                let body: Value = serde_json::from_slice(body).unwrap_or_default();
                for entry in body.get("Entries").and_then(Value::as_array).into_iter().flatten() {
                    let receipt = entry.get("ReceiptHandle").and_then(Value::as_str).unwrap_or_default();
                    let seconds = entry.get("VisibilityTimeout").and_then(Value::as_i64).unwrap_or_default();
                    self.calls().visibility_timeouts.insert(receipt.to_owned(), seconds);
                }
            }
            "TransactWriteItems" | "BatchWriteItem" | "PutItem" | "UpdateItem" | "DeleteItem" => {
                self.calls().writes.push((operation.to_owned(), body.clone()));
            }
            _ => {}
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of every element with this name. The elements have no attributes.
pub fn xml_elements(xml: &str, name: &str) -> Vec<String> {
    let tag = format!("<{name}>");
    let texts = xml.split(&tag).skip(1).filter_map(|rest| rest.split("</").next());
    texts.map(str::to_owned).collect()
}
