//! An account in memory, and the functions on it.

use std::collections::BTreeMap;

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use jiff::Timestamp;
use sandbox::aws::{QueuePair, SandboxAccount, TABLE};
use sandbox::functions::invoke_trigger;
use serde_json::{Value, json};
use shared::events::Confirmed;
use shared::function_id::FunctionId;
use shared::store::{Item, Profile, Store, keys};
use triggers::{TriggerError, TriggerEvent};
use workers::{
    BatchError, account_activity, cache_invalidation, group_membership, resource_permission, user_stats,
};

/// Sub of the user Ana in the fixtures.
pub const ANA: &str = "7d8ca528-4931-4254-9273-ea5ee853f271";

/// A profile without attributes, of a user whose username is the sub.
pub fn empty_profile(sub: &str, created_at: Timestamp) -> Profile {
    let confirmed = Confirmed {
        username: sub.to_owned(),
        email: None,
        email_verified: false,
        name: None,
        preferred_username: None,
    };
    Profile { sub: sub.to_owned(), confirmed, created_at }
}

/// An account in memory, with helpers that invoke the functions and read the results.
pub struct TestStack {
    pub account: SandboxAccount,
}

pub type Variables<'a> = &'a [(&'a str, &'a str)];

/// A new account, at 09:00.
pub async fn test_stack() -> TestStack {
    tests::log::watch();
    TestStack { account: SandboxAccount::start("2026-03-02T09:00:00Z".parse().unwrap()).await.unwrap() }
}

fn owned(variables: Variables<'_>) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl TestStack {
    pub async fn invoke(
        &self,
        function: &str,
        variables: Variables<'_>,
        event: TriggerEvent,
    ) -> Result<Value, TriggerError> {
        let function = FunctionId::from_name(function).unwrap_or_else(|| panic!("no function {function}"));
        let answer = invoke_trigger(&self.account, function, &owned(variables), event).await.unwrap();
        answer.map(|event| serde_json::to_value(&event).unwrap())
    }

    /// The `response` of a trigger that answers.
    pub async fn response(&self, function: &str, variables: Variables<'_>, event: TriggerEvent) -> Value {
        self.invoke(function, variables, event).await.expect("an answer")["response"].clone()
    }

    pub fn user_stats(&self, variables: Variables<'_>) -> UserStats {
        UserStats(
            user_stats::Deps::new(&self.account.function(FunctionId::UserStats, &owned(variables))).unwrap(),
        )
    }

    pub fn cache_invalidation(&self, variables: Variables<'_>) -> CacheInvalidation {
        let function = self.account.function(FunctionId::CacheInvalidation, &owned(variables));
        CacheInvalidation(cache_invalidation::Deps::new(&function).unwrap())
    }

    pub fn group_membership(&self, variables: Variables<'_>) -> GroupMembership {
        let function = self.account.function(FunctionId::GroupMembership, &owned(variables));
        GroupMembership(group_membership::Deps::new(&function).unwrap())
    }

    pub fn resource_permission(&self) -> ResourcePermission {
        let function = self.account.function(FunctionId::ResourcePermission, &BTreeMap::new());
        ResourcePermission(resource_permission::Deps::new(&function).unwrap())
    }

    pub fn account_activity(&self, variables: Variables<'_>) -> AccountActivity {
        let function = self.account.function(FunctionId::AccountActivity, &owned(variables));
        AccountActivity(account_activity::Deps::new(&function).unwrap())
    }

    pub fn store(&self) -> Store {
        Store::new(self.account.dynamodb(), TABLE)
    }

    /// Puts a PROFILE item with one attribute.
    pub async fn put_profile(&self, sub: &str, name: &str, value: Value) {
        self.put(&format!("USER#{sub}"), "PROFILE", json!({name: value})).await;
    }

    /// Puts a SUSPENSION item.
    pub async fn put_suspension(&self, sub: &str, attributes: Value) {
        self.put(&format!("SUSPENSION#{sub}"), "SUSPENSION", attributes).await;
    }

    pub async fn put(&self, partition: &str, sort: &str, attributes: Value) {
        let mut item: Item = serde_dynamo::to_item(attributes).unwrap();
        let key = [(keys::PK, partition), (keys::SK, sort)];
        item.extend(key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))));
        let client = self.account.dynamodb();
        client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }

    /// An item without its keys, or null.
    pub async fn item(&self, partition: &str, sort: &str) -> Value {
        let mut items = self.account.items().await.unwrap();
        items.remove(&(partition.to_owned(), sort.to_owned())).unwrap_or_default()
    }

    /// Removes the messages from user-events and returns their bodies.
    pub async fn sent(&self) -> Vec<Value> {
        self.take(&self.account.user_events.url).await.into_iter().map(|(body, _)| body).collect()
    }

    /// Removes the messages from cache-invalidations and returns their bodies.
    pub async fn notices(&self) -> Vec<Value> {
        self.take(&self.account.cache_invalidations.url).await.into_iter().map(|(body, _)| body).collect()
    }

    /// Removes the messages from a dead-letter queue. Returns each body and `error.type`.
    pub async fn dead_letters(&self, queues: &QueuePair) -> Vec<(Value, String)> {
        self.take(&queues.dead_letter_url).await
    }

    /// Removes the messages from a queue. Returns each body and `error.type`, sorted by body.
    pub async fn take(&self, url: &str) -> Vec<(Value, String)> {
        let sqs = self.account.sqs();
        let mut taken = Vec::new();
        loop {
            let call = sqs
                .receive_message()
                .queue_url(url)
                .max_number_of_messages(10)
                .message_attribute_names("All");
            let messages = call.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                taken.sort_by_key(|(body, _): &(Value, String)| body.to_string());
                return taken;
            }
            let entries = messages.iter().enumerate().map(|(index, message)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle.clone().unwrap())
                    .build()
                    .unwrap()
            });
            let deletion = sqs.delete_message_batch().queue_url(url).set_entries(Some(entries.collect()));
            assert!(deletion.send().await.unwrap().failed.is_empty());
            for message in messages {
                let body = message.body.unwrap();
                let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
                let attributes = message.message_attributes.unwrap_or_default();
                let error_type =
                    attributes.get("error.type").and_then(|value| value.string_value()).unwrap_or_default();
                taken.push((body, error_type.to_owned()));
            }
        }
    }
}

/// A worker that tests invoke. `$module` has its handler.
macro_rules! worker {
    ($name:ident, $module:ident) => {
        pub struct $name($module::Deps);

        #[allow(dead_code, reason = "no test needs every method of every worker")]
        impl $name {
            /// Handles a batch that may fail as a whole.
            pub async fn try_handle(&self, event: &SqsEvent) -> Result<Vec<String>, BatchError> {
                $module::handle(&self.0, event.clone(), Timestamp::MAX).await.map(failed)
            }

            /// Handles a batch. Returns the ids of the messages that SQS redelivers.
            pub async fn handle(&self, event: &SqsEvent) -> Vec<String> {
                self.try_handle(event).await.unwrap()
            }

            /// Handles a batch twice, because SQS may deliver it twice.
            pub async fn handle_twice(&self, event: &SqsEvent) {
                for _ in 0..2 {
                    assert_eq!(self.handle(event).await, [] as [&str; 0]);
                }
            }

            /// Handles a batch with a deadline.
            pub async fn handle_until(&self, event: &SqsEvent, deadline: Timestamp) -> Vec<String> {
                failed($module::handle(&self.0, event.clone(), deadline).await.unwrap())
            }
        }
    };
}

worker!(UserStats, user_stats);
worker!(CacheInvalidation, cache_invalidation);
worker!(GroupMembership, group_membership);
worker!(ResourcePermission, resource_permission);
worker!(AccountActivity, account_activity);

fn failed(response: aws_lambda_events::sqs::SqsBatchResponse) -> Vec<String> {
    response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect()
}

/// An SQS event with these bodies. The message ids are `m0`, `m1`, …
pub fn batch(bodies: &[Value]) -> SqsEvent {
    let records = bodies.iter().enumerate().map(|(index, body)| {
        let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        json!({
            "messageId": format!("m{index}"),
            "receiptHandle": format!("r{index}"),
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1772442000000"},
            "messageAttributes": {},
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:queue",
        })
    });
    serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap()
}

/// An event of 09:00 as a message body.
pub fn event(event_type: &str, id: &str, sub: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/shop", "type": event_type, "subject": sub,
        "time": "2026-03-02T09:00:00Z", "data": data,
    })
}

pub fn order(id: &str, sub: &str, amount: &str) -> Value {
    event(
        "order.placed",
        &format!("order-{id}-placed"),
        sub,
        json!({"order_id": id, "amount": amount, "currency": "EUR"}),
    )
}
