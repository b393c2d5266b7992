//! An AWS on loopback, and the command line that works on it.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use sandbox::aws::{SandboxAccount, TABLE};
use serde_json::{Value, json};
use shared::store::{Item, Store};

use super::support;

pub struct Shop {
    pub account: Arc<SandboxAccount>,
    endpoint: String,
}

pub async fn shop() -> Shop {
    let account = Arc::new(SandboxAccount::start("2026-03-02T09:00:00Z".parse().unwrap()).await.unwrap());
    let endpoint = format!("http://{}", tests::lambda::serve_aws(account.http_client().clone()).await);
    Shop { account, endpoint }
}

impl Shop {
    /// Runs `replay` with these arguments on the table.
    pub async fn run_on_table(&self, arguments: &[&str]) -> (bool, String, String) {
        self.run(&[arguments, &["--table", TABLE]].concat()).await
    }

    /// Runs it with these arguments alone.
    pub async fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let ran = support::run(support::command(&self.endpoint, arguments)).await;
        (ran.code == 0, ran.shown, ran.errors)
    }

    pub fn store(&self) -> Store {
        Store::new(self.account.dynamodb(), TABLE)
    }

    /// An item as it is stored; null where there is none.
    pub async fn item(&self, partition: &str, sort_key: &str) -> Value {
        let key = (partition.to_owned(), sort_key.to_owned());
        self.account.items().await.unwrap().remove(&key).unwrap_or_default()
    }

    /// Sets attributes of an item by hand; those that are null are taken away.
    pub async fn set(&self, partition: &str, sort_key: &str, attributes: Value) {
        let client = self.account.dynamodb();
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

    /// user-stats counts these events.
    pub async fn count(&self, events: impl IntoIterator<Item = Value>) {
        let worker = self.account.function("user-stats", &Default::default());
        let worker = workers::user_stats::Deps::new(&worker).unwrap();
        let records = events.into_iter().map(|event| {
            json!({"messageId": event["id"], "receiptHandle": event["id"], "body": event.to_string()})
        });
        let batch = serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap();
        let answer = workers::user_stats::handle(&worker, batch, jiff::Timestamp::MAX).await.unwrap();
        assert_eq!(answer.batch_item_failures.len(), 0);
    }
}

/// An event of eight o'clock.
fn event(id: &str, event_type: &str, subject: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/shop", "type": event_type, "subject": subject,
        "time": "2026-03-02T08:00:00Z", "data": data,
    })
}

/// An order of 4.90 euros.
pub fn order(id: &str, sub: &str) -> Value {
    event(id, "order.placed", sub, json!({"order_id": id, "amount": "4.90", "currency": "EUR"}))
}

/// A sign-up that is allowed.
pub fn sign_up(id: &str, domain: &str) -> Value {
    let data = json!({"outcome": "allowed", "reason": "x", "channel": "self"});
    event(id, "user.sign_up_attempted", &format!("domain:{domain}"), data)
}
