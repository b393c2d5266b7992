//! A stand-in for AWS on loopback. It accepts every call with a canned response, so that the benchmark measures the
//! function and not the service, and counts the calls. Every user has a profile. No event has been stored before. The
//! read API finds the statistics of a user with ten activities and three notifications.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_rustls::TlsAcceptor;

use crate::server::{Answer, Server, serve};
use crate::write_units::write_units;

const INVALIDATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>I1</Id><Status>InProgress</Status>
<CreateTime>2026-03-02T09:00:00Z</CreateTime><InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/</Path>
</Items></Paths><CallerReference>1</CallerReference></InvalidationBatch></Invalidation>"#;

const SUB: &str = "7d8ca528-4931-4254-9273-ea5ee853f271";
/// Time of the latest activity of the user, in milliseconds since 1970.
const FIRST_ACTIVITY_MILLIS: i64 = 1_772_446_500_000;

/// The calls that a stand-in received.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    pub by_operation: BTreeMap<String, u64>,
    /// Operation and body of each request to DynamoDB. Parsing them waits until nothing is being measured.
    requests: Vec<(String, Bytes)>,
}

impl Calls {
    pub fn count(&self) -> u64 {
        self.by_operation.values().sum()
    }

    /// Write units of all requests.
    pub fn write_units(&self) -> u64 {
        let units = self.requests.iter().map(|(operation, body)| {
            let request: Value = serde_json::from_slice(body).unwrap_or_default();
            write_units(operation, &request)
        });
        units.sum()
    }

    fn record(&mut self, service: &str, operation: &str, body: &Bytes) {
        *self.by_operation.entry(operation.to_owned()).or_default() += 1;
        if service.starts_with("DynamoDB") {
            self.requests.push((operation.to_owned(), body.clone()));
        }
    }
}

/// A running stand-in for AWS.
#[derive(Debug)]
pub struct Aws {
    server: Server,
    is_tls: bool,
    calls: Arc<Mutex<Calls>>,
}

impl Aws {
    /// Starts the stand-in, over TLS if there is an acceptor.
    pub async fn start(tls: Option<TlsAcceptor>) -> Self {
        let calls = Arc::new(Mutex::new(Calls::default()));
        let (is_tls, recorded) = (tls.is_some(), calls.clone());
        let server = serve(tls, move |request| answer(request, recorded.clone())).await;
        Self { server, is_tls, calls }
    }

    /// Value of `AWS_ENDPOINT_URL` for a function.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.server.address)
    }

    /// The calls since the last time that this was called.
    pub fn take_calls(&self) -> Calls {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(request: Request<Incoming>, calls: Arc<Mutex<Calls>>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let (service, operation) = target.and_then(|target| target.rsplit_once('.')).unwrap_or_else(|| {
        // CloudFront has a REST API in XML, without this header.
        (
            "CloudFront",
            if parts.uri.path().ends_with("/invalidation") { "CreateInvalidation" } else { "unknown" },
        )
    });
    calls.lock().unwrap_or_else(PoisonError::into_inner).record(service, operation, &body);
    let content_type = match service {
        "CloudFront" => "text/xml",
        "AWSCognitoIdentityProviderService" => "application/x-amz-json-1.1",
        _ => "application/x-amz-json-1.0",
    };
    Response::builder()
        .status(if operation == "CreateInvalidation" { 201u16 } else { 200 })
        .header("Content-Type", content_type)
        .header("x-amzn-RequestId", "00000000-0000-4000-8000-000000000000")
        .body(Full::new(canned_response(operation, &body)))
        .expect("the response is valid")
}

fn canned_response(operation: &str, body: &Bytes) -> Bytes {
    match operation {
        "CreateInvalidation" => Bytes::from_static(INVALIDATION.as_bytes()),
        "Query" => lists().to_string().into(),
        "BatchGetItem" => items(&serde_json::from_slice(body).unwrap_or_default()).to_string().into(),
        "BatchWriteItem" => Bytes::from_static(br#"{"UnprocessedItems":{}}"#),
        "GetQueueAttributes" => {
            let arn = r#"{"Attributes":{"QueueArn":"arn:aws:sqs:eu-central-1:123456789012:queue"}}"#;
            Bytes::from_static(arn.as_bytes())
        }
        "SendMessage" => accepted(serde_json::from_slice(body).unwrap_or_default()).to_string().into(),
        "SendMessageBatch" => {
            let Batch { entries } = serde_json::from_slice(body).unwrap_or_default();
            let successful: Vec<Value> = entries.into_iter().map(accepted).collect();
            json!({"Successful": successful, "Failed": []}).to_string().into()
        }
        _ => Bytes::from_static(b"{}"),
    }
}

/// The answer to a BatchGetItem: profiles exist, and statistics if they are read together with a profile, as the read API
/// does. user-stats reads statistics only, and finds none.
fn items(request: &Value) -> Value {
    let tables = request["RequestItems"].as_object().into_iter().flatten();
    let responses = tables.map(|(table, read)| {
        let keys = || read["Keys"].as_array().into_iter().flatten();
        let reads_profile = keys().any(|key| key["SK"]["S"] == "PROFILE");
        let found = keys().filter_map(|key| match key["SK"]["S"].as_str()? {
            "PROFILE" => Some(with_key(key, profile())),
            "STATS" if reads_profile => Some(with_key(key, statistics())),
            _ => None,
        });
        (table.clone(), found.collect::<Value>())
    });
    json!({"Responses": responses.collect::<Map<String, Value>>(), "UnprocessedKeys": {}})
}

fn with_key(key: &Value, mut item: Value) -> Value {
    item["PK"] = key["PK"].clone();
    item["SK"] = key["SK"].clone();
    item
}

fn profile() -> Value {
    json!({
        "cognitoId": {"S": SUB}, "isBanned": {"BOOL": false}, "email": {"S": "ana@example.com"},
        "isEmailVerified": {"BOOL": true}, "name": {"S": "Ana Example"},
    })
}

fn statistics() -> Value {
    let recent: Value = (0..10)
        .map(|index| {
            let at = (FIRST_ACTIVITY_MILLIS - index * 60_000).to_string();
            json!({"M": {"at": {"N": at}, "type": {"S": "activity.recorded"}, "detail": {"S": "Looked at a product"}}})
        })
        .collect();
    json!({
        "firstSeenAt": {"N": "1772442010000"}, "lastSeenAt": {"N": "1772446500000"}, "confirmedAt": {"N": "1772442010000"},
        "signIns": {"N": "1"}, "signInsDenied": {"N": "0"}, "tokenRefreshes": {"N": "0"}, "passwordResets": {"N": "0"},
        "orders": {"N": "1"}, "ordersCancelled": {"N": "0"}, "spent": {"M": {"EUR": {"S": "49.90"}}},
        "activities": {"N": "10"}, "unreadNotifications": {"N": "3"}, "recent": {"L": recent},
        "version": {"N": "4"}, "lastChangedAt": {"N": "1772446502417"},
    })
}

/// The answer to the Query of the dashboard: three unread notifications, and ten activities.
fn lists() -> Value {
    let entry = |list: &str, index: i64| {
        let at = FIRST_ACTIVITY_MILLIS - index * 60_000;
        let mut item = json!({"at": {"N": at.to_string()}, "expiresAt": {"N": "4102444800"}});
        item["PK"] = json!({"S": format!("USER#{SUB}")});
        item["SK"] = json!({"S": format!("LIST#{list}#{at}-{index:032x}")});
        item
    };
    let notifications = (0..3).map(|index| {
        let mut item = entry("notifications", index);
        item["notificationId"] = json!({"S": format!("n-{index}")});
        item["title"] = json!({"S": "Your order is on its way"});
        item
    });
    let activities = (0..10).map(|index| {
        let mut item = entry("activities", index);
        item["type"] = json!({"S": "activity.recorded"});
        item["description"] = json!({"S": "Looked at a product in the spring collection"});
        item
    });
    let items: Vec<Value> = notifications.chain(activities).collect();
    json!({"Count": items.len(), "ScannedCount": items.len(), "Items": items})
}

#[derive(Default, Deserialize)]
struct Batch {
    #[serde(rename = "Entries", default)]
    entries: Vec<Message>,
}

#[derive(Default, Deserialize)]
struct Message {
    #[serde(rename = "Id", default)]
    id: String,
    #[serde(rename = "MessageBody", default)]
    body: String,
}

/// SQS's result for an accepted message. The SDK for JavaScript verifies the hash.
fn accepted(message: Message) -> Value {
    let hash: String = Md5::digest(&message.body).iter().map(|byte| format!("{byte:02x}")).collect();
    let id = "00000000-0000-4000-8000-000000000001";
    if message.id.is_empty() {
        json!({"MessageId": id, "MD5OfMessageBody": hash})
    } else {
        json!({"Id": message.id, "MessageId": id, "MD5OfMessageBody": hash})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_message_batch_returns_the_hash_of_each_body() {
        let request =
            Bytes::from_static(br#"{"QueueUrl":"x","Entries":[{"Id":"0","MessageBody":"a\u00e9"}]}"#);
        let answer: Value = serde_json::from_slice(&canned_response("SendMessageBatch", &request)).unwrap();
        assert_eq!(answer["Successful"][0]["Id"], "0");
        assert_eq!(answer["Failed"], json!([]));
        let request = Bytes::from_static(br#"{"QueueUrl":"x","MessageBody":""}"#);
        let answer: Value = serde_json::from_slice(&canned_response("SendMessage", &request)).unwrap();
        assert_eq!(answer["MD5OfMessageBody"], "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(answer["Id"], Value::Null);
    }

    #[test]
    fn statistics_exist_only_for_the_read_api() {
        let key = |partition: &str, sort: &str| json!({"PK": {"S": partition}, "SK": {"S": sort}});
        let keys = [key("USER#a", "PROFILE"), key("SUSPENSION#a", "SUSPENSION"), key("USER#a", "STATS")];
        let request = json!({"RequestItems": {"t": {"Keys": keys, "ConsistentRead": true}}});
        let answer = canned_response("BatchGetItem", &request.to_string().into());
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let items = answer["Responses"]["t"].as_array().unwrap();
        let sort_keys: Vec<&Value> = items.iter().map(|item| &item["SK"]["S"]).collect();
        assert_eq!(sort_keys, ["PROFILE", "STATS"]);
        assert_eq!(answer["UnprocessedKeys"], json!({}));

        let request = json!({"RequestItems": {"t": {"Keys": [key("USER#a", "STATS")]}}});
        let answer = canned_response("BatchGetItem", &request.to_string().into());
        assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap()["Responses"]["t"], json!([]));
    }

    #[test]
    fn calls_are_counted_and_dynamodb_writes_have_units() {
        let mut calls = Calls::default();
        calls.record("AmazonSQS", "SendMessage", &Bytes::new());
        calls.record("DynamoDB_20120810", "PutItem", &Bytes::from_static(br#"{"Item":{"PK":{"S":"k"}}}"#));
        assert_eq!((calls.count(), calls.write_units()), (2, 1));
    }
}
