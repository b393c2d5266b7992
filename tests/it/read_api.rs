//! The read API, with requests in the form in which API Gateway sends them.

mod answers;
mod attacks;
mod binary;
mod cache_attacks;
mod failures;
mod mark_as_read;
mod orders;
mod own_writes;
mod shared_orders;

use std::collections::BTreeMap;

use sandbox::functions::invoke_http_api;
use serde_json::{Value, json};
use tests::fixtures;

use crate::support::{ANA, TestStack, Variables, batch, event, order};

/// Sub of the user Ben in the fixtures.
const BEN: &str = "e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25";
/// Sub of an administrator.
const CARLA: &str = "0b8e6a52-3f0c-4c55-9a43-1f9f5e7d2c10";

/// An event of API Gateway, to be changed.
#[derive(Clone)]
struct Call(Value);

/// A request of a user for a path, which may have a query.
fn get(sub: &str, path: &str) -> Call {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut event = fixtures::json("read-api/dashboard");
    event["rawPath"] = path.into();
    event["requestContext"]["http"]["path"] = path.into();
    event["rawQueryString"] = query.into();
    Call(event).claim("sub", sub)
}

fn post(sub: &str, path: &str) -> Call {
    get(sub, path).method("POST")
}

/// A request of an administrator.
fn admin_get(path: &str) -> Call {
    get(CARLA, path).claim("cognito:groups", "[Developer Support]")
}

const ADMIN_GROUPS: Variables<'static> = &[("ADMIN_GROUPS", "Support")];

impl Call {
    fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.0);
        self
    }

    fn method(self, method: &str) -> Self {
        self.with(|event| event["requestContext"]["http"]["method"] = method.into())
    }

    fn claim(self, name: &str, value: &str) -> Self {
        self.with(|event| event["requestContext"]["authorizer"]["jwt"]["claims"][name] = value.into())
    }

    fn header(self, name: &str, value: &str) -> Self {
        self.with(|event| event["headers"][name] = value.into())
    }

    async fn to(self, stack: &TestStack) -> Answer {
        self.sent_to(stack, &[]).await
    }

    async fn sent_to(self, stack: &TestStack, variables: Variables<'_>) -> Answer {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = api::Request::from_json(&self.0.to_string()).unwrap();
        let response = invoke_http_api(&stack.account, &variables, request).await.unwrap();
        let headers = response.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Answer { status: response.status_code, headers: headers.collect(), text: response.body }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The answer must be an error that no cache keeps.
    fn problem(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(body["status"], self.status, "{body}");
        assert_eq!(self.headers["Cache-Control"], "no-store", "{body}");
        assert_eq!(self.headers["Content-Type"], "application/problem+json", "{body}");
        assert!(!self.headers.contains_key("Cache-Tag") && !self.headers.contains_key("ETag"), "{body}");
        let code = body["type"].as_str().unwrap().strip_prefix("urn:cognito-user-events:problem:").unwrap();
        (self.status, code.to_owned())
    }
}

fn problem(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The calls to AWS since the last call of this function, sorted.
fn calls(stack: &TestStack) -> Vec<String> {
    let mut calls = stack.account.calls.operations();
    stack.account.calls.clear_operations();
    calls.sort();
    calls
}

/// Ana has a profile, two orders of which one is canceled, an activity, and two notifications of which
/// one is unread.
async fn put_ana(stack: &TestStack) {
    let at = |minute: u32, mut event: Value| {
        event["time"] = format!("2026-03-02T08:{minute:02}:00Z").into();
        event
    };
    let notification = |id: &str| json!({"notification_id": id, "title": format!("Notification {id}")});
    let read = json!({"notification_id": "n-6"});
    let events = [
        at(1, event("user.confirmed", "c", ANA, json!({"username": "ana", "name": "Ana Example"}))),
        at(2, order("1001", ANA, "49.90")),
        at(3, order("1002", ANA, "10.00")),
        at(
            4,
            event(
                "order.cancelled",
                "x",
                ANA,
                json!({"order_id": "1002", "amount": "10.00", "currency": "EUR"}),
            ),
        ),
        at(5, event("activity.recorded", "a", ANA, json!({"description": "Read the guide about caches"}))),
        at(6, event("notification.created", "n6", ANA, notification("n-6"))),
        at(7, event("notification.created", "n7", ANA, notification("n-7"))),
        at(8, event("notification.read", "r6", ANA, read)),
        at(9, event("user.token_refreshed", "t", ANA, json!({"client_id": "1example23456789"}))),
    ];
    stack.user_stats(&[]).handle_twice(&batch(&events)).await;
    stack.account.calls.clear_operations();
}
