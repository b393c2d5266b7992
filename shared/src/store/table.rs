//! The table and its client.

use aws_sdk_dynamodb::Client;

use super::keys;

/// The DynamoDB table. The other files of this module add its operations.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) client: Client,
    pub(super) table: String,
}

impl Store {
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    pub fn table(&self) -> &str {
        &self.table
    }

    /// Opens the connection, so that the first request does not wait for it. The result of the call
    /// does not matter.
    pub async fn warm_up(&self) {
        let key = keys::key("WARM_UP", "WARM_UP");
        let _ = self.client.get_item().table_name(&self.table).set_key(Some(key)).send().await;
    }
}
