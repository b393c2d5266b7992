//! An AWS on loopback that says yes to everything with prepared answers, and counts: what is measured is the function, not
//! what it calls. Every user has a profile, and nothing was ever seen before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::server::{Answer, Server, serve};
use crate::units::write_units;

const PROFILE: &str =
    r#"{"Item":{"cognitoId":{"S":"7d8ca528-4931-4254-9273-ea5ee853f271"},"isBanned":{"BOOL":false}}}"#;
const INVALIDATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>I1</Id><Status>InProgress</Status>
<CreateTime>2026-03-02T09:00:00Z</CreateTime><InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/</Path>
</Items></Paths><CallerReference>1</CallerReference></InvalidationBatch></Invalidation>"#;

/// What was called since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// How often, by operation.
    pub by_operation: BTreeMap<String, u64>,
    /// Requests to DynamoDB, to be weighed when nobody waits.
    requests: Vec<(String, Bytes)>,
}

impl Calls {
    /// How often in all.
    pub fn count(&self) -> u64 {
        self.by_operation.values().sum()
    }

    /// The write units of all requests.
    pub fn write_units(&self) -> u64 {
        let units = self.requests.iter().map(|(operation, body)| {
            let request: Value = serde_json::from_slice(body).unwrap_or_default();
            write_units(operation, &request)
        });
        units.sum()
    }

    fn note(&mut self, service: &str, operation: &str, body: &Bytes) {
        *self.by_operation.entry(operation.to_owned()).or_default() += 1;
        if service.starts_with("DynamoDB") {
            self.requests.push((operation.to_owned(), body.clone()));
        }
    }
}

/// A running AWS.
#[derive(Debug)]
pub struct Aws {
    server: Server,
    is_tls: bool,
    calls: Arc<Mutex<Calls>>,
}

impl Aws {
    /// Serves it, with TLS where there is an acceptor.
    pub async fn start(tls: Option<TlsAcceptor>) -> Self {
        let calls = Arc::new(Mutex::new(Calls::default()));
        let (is_tls, noted) = (tls.is_some(), calls.clone());
        let server = serve(tls, move |request| answer(request, noted.clone())).await;
        Self { server, is_tls, calls }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.server.address)
    }

    /// What was called since this was last asked.
    pub fn take_calls(&self) -> Calls {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(request: Request<Incoming>, calls: Arc<Mutex<Calls>>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let (service, operation) = target.and_then(|target| target.rsplit_once('.')).unwrap_or_else(|| {
        // Without a target it is CloudFront: REST, in XML.
        (
            "CloudFront",
            if parts.uri.path().ends_with("/invalidation") { "CreateInvalidation" } else { "unknown" },
        )
    });
    calls.lock().unwrap_or_else(PoisonError::into_inner).note(service, operation, &body);
    let content_type = match service {
        "CloudFront" => "text/xml",
        "AWSCognitoIdentityProviderService" => "application/x-amz-json-1.1",
        _ => "application/x-amz-json-1.0",
    };
    Response::builder()
        .status(if operation == "CreateInvalidation" { 201u16 } else { 200 })
        .header("Content-Type", content_type)
        .header("x-amzn-RequestId", "00000000-0000-4000-8000-000000000000")
        .body(Full::new(prepared(operation, &body)))
        .expect("a response")
}

/// The answer to an operation.
fn prepared(operation: &str, body: &Bytes) -> Bytes {
    let is_about_a_profile = || body.windows(9).any(|part| part == br#""PROFILE""#);
    match operation {
        "CreateInvalidation" => Bytes::from_static(INVALIDATION.as_bytes()),
        "GetItem" if is_about_a_profile() => Bytes::from_static(PROFILE.as_bytes()),
        "BatchGetItem" => Bytes::from_static(br#"{"Responses":{},"UnprocessedKeys":{}}"#),
        "BatchWriteItem" => Bytes::from_static(br#"{"UnprocessedItems":{}}"#),
        "GetQueueAttributes" => {
            let arn = r#"{"Attributes":{"QueueArn":"arn:aws:sqs:eu-central-1:123456789012:queue"}}"#;
            Bytes::from_static(arn.as_bytes())
        }
        "SendMessage" => sent(serde_json::from_slice(body).unwrap_or_default()).to_string().into(),
        "SendMessageBatch" => {
            let Batch { entries } = serde_json::from_slice(body).unwrap_or_default();
            let successful: Vec<Value> = entries.into_iter().map(sent).collect();
            json!({"Successful": successful, "Failed": []}).to_string().into()
        }
        _ => Bytes::from_static(b"{}"),
    }
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

/// What SQS says of a message that it took. The SDK for JavaScript compares the hash.
fn sent(message: Message) -> Value {
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
    fn a_batch_is_answered_entry_by_entry_with_the_hash_of_each_body() {
        let request =
            Bytes::from_static(br#"{"QueueUrl":"x","Entries":[{"Id":"0","MessageBody":"a\u00e9"}]}"#);
        let answer: Value = serde_json::from_slice(&prepared("SendMessageBatch", &request)).unwrap();
        assert_eq!(answer["Successful"][0]["Id"], "0");
        assert_eq!(answer["Failed"], json!([]));
        let request = Bytes::from_static(br#"{"QueueUrl":"x","MessageBody":""}"#);
        let answer: Value = serde_json::from_slice(&prepared("SendMessage", &request)).unwrap();
        assert_eq!(answer["MD5OfMessageBody"], "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(answer["Id"], Value::Null);
    }

    #[test]
    fn a_profile_is_there_and_nothing_else() {
        let answer = |sort: &str| {
            let request = json!({"TableName": "t", "Key": {"PK": {"S": "USER#a"}, "SK": {"S": sort}}});
            prepared("GetItem", &request.to_string().into())
        };
        assert_eq!(answer("PROFILE"), PROFILE);
        assert_eq!(answer("STATS"), "{}");
    }

    #[test]
    fn calls_are_counted_by_operation_and_weighed_where_they_write() {
        let mut calls = Calls::default();
        calls.note("AmazonSQS", "SendMessage", &Bytes::new());
        calls.note("DynamoDB_20120810", "PutItem", &Bytes::from_static(br#"{"Item":{"PK":{"S":"k"}}}"#));
        assert_eq!((calls.count(), calls.write_units()), (2, 1));
    }
}
