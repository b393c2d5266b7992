//! The table: DynamoDB operations named by intent. `docs/data-model.md` is its contract for readers.
//!
//! - [`keys`]: partitions and sort keys
//! - [`profiles`]: PROFILE: profile and suspension
//! - [`commits`]: STATS and EVENT: the versioned, transactional commit of events
//! - [`rebuilding`]: STATS and EVENT: what it takes to work the statistics out anew
//! - [`invalidations`]: CACHE and LEDGER: what was evicted, and what it cost

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;

pub mod commits;
pub mod invalidations;
pub mod keys;
pub mod profiles;
pub mod rebuilding;

pub use commits::{Commit, CommitError, Consistency, StoredStatistics};
pub use invalidations::{CacheMark, CollapseClaim, Reservation};
pub use keys::Partition;
pub use profiles::{Known, Profile, ProfileState};

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

/// The table.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    table: String,
}

/// A DynamoDB operation that failed, or an item that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub struct StoreError {
    operation: &'static str,
    code: Option<String>,
    unreadable: bool,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// For an SDK error of the operation `operation`.
    fn call<E, R>(operation: &'static str) -> impl Fn(SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        move |error| Self {
            operation,
            code: error.code().map(str::to_owned),
            unreadable: false,
            cause: crate::aws::cause(&error).into(),
        }
    }

    /// For an item that does not hold what it should.
    fn unreadable(operation: &'static str, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { operation, code: None, unreadable: true, cause: Box::new(cause) }
    }

    /// Whether the item was there and could not be understood: asking again does not help.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable
    }

    /// Whether a transaction was at work on the item.
    fn is_conflict(&self) -> bool {
        self.code.as_deref() == Some("TransactionConflictException")
    }

    /// Whether a condition of the write was not met.
    fn is_condition_failed(&self) -> bool {
        self.code.as_deref() == Some("ConditionalCheckFailedException")
    }
}

impl Store {
    /// The table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Opens the connection, so that the first request does not pay for it. Whether the call succeeds does
    /// not matter.
    pub async fn warm_up(&self) {
        let key = keys::key("WARM_UP", "WARM_UP");
        let _ = self.client.get_item().table_name(&self.table).set_key(Some(key)).send().await;
    }
}

/// A DynamoDB number.
fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A DynamoDB string.
fn string(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// An update expression with its names and values, built attribute by attribute. Every name is replaced by a
/// placeholder, because DynamoDB reserves hundreds of words.
#[derive(Default)]
struct UpdateExpression {
    set: Vec<String>,
    remove: Vec<String>,
    names: HashMap<String, String>,
    values: Item,
}

impl UpdateExpression {
    fn placeholders(&mut self, name: &str, value: AttributeValue) -> (String, String) {
        let (key, placeholder) = (format!("#{name}"), format!(":{name}"));
        self.names.insert(key.clone(), name.to_owned());
        self.values.insert(placeholder.clone(), value);
        (key, placeholder)
    }

    /// Sets `name`.
    fn set(&mut self, name: &str, value: AttributeValue) {
        let (key, placeholder) = self.placeholders(name, value);
        self.set.push(format!("{key} = {placeholder}"));
    }

    /// Sets `name` where the item does not have it.
    fn set_if_missing(&mut self, name: &str, value: AttributeValue) {
        let (key, placeholder) = self.placeholders(name, value);
        self.set.push(format!("{key} = if_not_exists({key}, {placeholder})"));
    }

    /// Takes `name` away.
    fn remove(&mut self, name: &str) {
        let key = format!("#{name}");
        self.names.insert(key.clone(), name.to_owned());
        self.remove.push(key);
    }

    /// The condition that the item has the version that was read; 0 where it had none. Goes with a `version` that is
    /// set.
    fn has_version(&mut self, read_version: u64) -> &'static str {
        if read_version == 0 {
            return "attribute_not_exists(#version)";
        }
        self.values.insert(":readVersion".to_owned(), number(read_version));
        "#version = :readVersion"
    }

    fn expression(&self) -> String {
        let set = format!("SET {}", self.set.join(", "));
        if self.remove.is_empty() { set } else { format!("{set} REMOVE {}", self.remove.join(", ")) }
    }
}
