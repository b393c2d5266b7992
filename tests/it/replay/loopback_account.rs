//! A sandbox account on loopback, so that the binary `replay` can call it.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use sandbox::aws::{SandboxAccount, TABLE};
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use shared::store::{Item, Store};
use workers::user_stats;

use super::support::{self, CommandRun};

pub struct LoopbackAccount {
    pub sandbox: Arc<SandboxAccount>,
    endpoint: String,
}

impl LoopbackAccount {
    /// An empty account. Its clock starts at 2026-03-02T09:00:00Z.
    pub async fn start() -> Self {
        let start = "2026-03-02T09:00:00Z".parse().unwrap();
        let sandbox = Arc::new(SandboxAccount::start(start).await.unwrap());
        let endpoint = format!("http://{}", tests::lambda::serve_aws(sandbox.backend().clone()).await);
        Self { sandbox, endpoint }
    }

    /// Runs `replay`. Options name the region and the endpoint, not the environment.
    pub async fn replay(&self, arguments: &[&str]) -> CommandRun {
        self.replay_with(&[], arguments).await
    }

    /// The same, with environment variables.
    pub async fn replay_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> CommandRun {
        let mut command = support::command(&self.endpoint, arguments);
        command.env_remove("AWS_REGION").env_remove("AWS_ENDPOINT_URL").envs(variables.iter().copied());
        command.args(["--region", "eu-central-1", "--endpoint-url", &self.endpoint]);
        support::run(command).await
    }

    /// Runs `replay` with the name of the table.
    pub async fn replay_on_table(&self, arguments: &[&str]) -> CommandRun {
        self.replay(&[arguments, &["--table", TABLE]].concat()).await
    }

    pub fn store(&self) -> Store {
        Store::new(self.sandbox.dynamodb(), TABLE)
    }

    /// An item of the table, or null.
    pub async fn item(&self, partition: &str, sort_key: &str) -> Value {
        let key = (partition.to_owned(), sort_key.to_owned());
        self.sandbox.items().await.unwrap().remove(&key).unwrap_or_default()
    }

    /// Sets attributes of an item. Null removes an attribute.
    pub async fn set_attributes(&self, partition: &str, sort_key: &str, attributes: Value) {
        let client = self.sandbox.dynamodb();
        let key = |name: &str, value: &str| (name.to_owned(), AttributeValue::S(value.to_owned()));
        let keys = Item::from([key("PK", partition), key("SK", sort_key)]);
        let stored = client.get_item().table_name(TABLE).set_key(Some(keys.clone())).send().await.unwrap();
        let mut item = stored.item.unwrap_or(keys);
        for (name, value) in attributes.as_object().unwrap() {
            match value {
                Value::Null => drop(item.remove(name)),
                value => drop(item.insert(name.clone(), serde_dynamo::to_attribute_value(value).unwrap())),
            }
        }
        client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }

    /// Deletes an item.
    pub async fn delete(&self, partition: &str, sort_key: &str) {
        let key = |value: &str| AttributeValue::S(value.to_owned());
        let call = self.sandbox.dynamodb().delete_item().table_name(TABLE);
        call.key("PK", key(partition)).key("SK", key(sort_key)).send().await.unwrap();
    }

    /// Applies events with user-stats.
    pub async fn apply(&self, events: impl IntoIterator<Item = Value>) {
        let context = self.sandbox.function(FunctionId::UserStats, &Default::default());
        let worker = user_stats::Deps::new(&context).unwrap();
        let records = events.into_iter().map(|event| {
            json!({"messageId": event["id"], "receiptHandle": event["id"], "body": event.to_string()})
        });
        let batch = serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap();
        let response = user_stats::handle(&worker, batch, jiff::Timestamp::MAX).await.unwrap();
        assert_eq!(response.batch_item_failures.len(), 0);
    }

    /// Receives up to ten events of a queue.
    pub async fn receive_events(&self, queue_url: &str) -> Vec<Value> {
        let sqs = self.sandbox.sqs();
        let call = sqs.receive_message().queue_url(queue_url).max_number_of_messages(10);
        let messages = call.send().await.unwrap().messages.unwrap_or_default();
        messages.iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()).collect()
    }

    /// Receives up to ten events of user-events.
    pub async fn receive_user_events(&self) -> Vec<Value> {
        self.receive_events(&self.sandbox.user_events.url).await
    }
}

/// An event with the time 2026-03-02T08:00:00Z.
fn event(id: &str, event_type: &str, subject: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/shop", "type": event_type, "subject": subject,
        "time": "2026-03-02T08:00:00Z", "data": data,
    })
}

/// An order of 4.90 EUR.
pub fn order_event(id: &str, sub: &str) -> Value {
    event(id, "order.placed", sub, json!({"order_id": id, "amount": "4.90", "currency": "EUR"}))
}

/// A sign-up with the outcome `allowed` or `denied`.
pub fn sign_up_event(id: &str, domain: &str, outcome: &str) -> Value {
    let data = json!({"outcome": outcome, "reason": "x", "channel": "self"});
    event(id, "user.sign_up_attempted", &format!("domain:{domain}"), data)
}
