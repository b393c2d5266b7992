//! Lambda's Runtime API and an AWS in which every call succeeds, at one address on loopback. It uses
//! only the standard library, so that xtask needs no HTTP stack.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::unix_milliseconds;

/// The response to CreateInvalidation.
const INVALIDATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>I1</Id><Status>InProgress</Status>
<CreateTime>2026-03-02T09:00:00Z</CreateTime><InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/</Path>
</Items></Paths><CallerReference>1</CallerReference></InvalidationBatch></Invalidation>"#;

/// A running service. It passes one event to the function for each invocation, then closes the
/// connection, which ends the function.
pub struct LambdaService {
    address: SocketAddr,
    progress: Arc<Mutex<Progress>>,
}

#[derive(Default)]
struct Progress {
    remaining: u64,
    answered: u64,
    failure: Option<String>,
}

struct Request {
    method: String,
    path: String,
    target: String,
    body: Vec<u8>,
}

/// Rules that manage the groups in the events of group-membership.
const GROUP_RULES: &str = r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"},
    {"attribute": "custom:department", "one_of": ["Sales", "Marketing"], "group": "Commerce"}]"#;

/// The functions of the stack, and of the user pool.
const LAMBDA_CONFIG: &str = r#"{"PreSignUp": "arn:aws:lambda:eu-central-1:123456789012:function:pre-sign-up",
    "PostConfirmation": "arn:aws:lambda:eu-central-1:123456789012:function:post-confirmation",
    "PreAuthentication": "arn:aws:lambda:eu-central-1:123456789012:function:pre-authentication",
    "CustomMessage": "arn:aws:lambda:eu-central-1:123456789012:function:custom-message",
    "PreTokenGenerationConfig": {"LambdaVersion": "V2_0",
        "LambdaArn": "arn:aws:lambda:eu-central-1:123456789012:function:pre-token-generation"}}"#;

const USER_POOL_ARN: &str = "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_EXAMPLE01";
/// The policy of every function.
const POLICY: &str = r#"{"Version": "2012-10-17", "Id": "default", "Statement": [{"Sid": "permission", "Effect": "Allow",
    "Principal": {"Service": "cognito-idp.amazonaws.com"}, "Action": "lambda:InvokeFunction",
    "Condition": {"StringEquals": {"AWS:SourceAccount": "123456789012"}, "ArnLike": {"AWS:SourceArn":
        "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_EXAMPLE01"}}}]}"#;

impl LambdaService {
    pub fn start(event: String, invocations: u64) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let progress = Arc::new(Mutex::new(Progress { remaining: invocations, ..Progress::default() }));
        let (shared, event) = (progress.clone(), Arc::new(event));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (progress, event) = (shared.clone(), event.clone());
                std::thread::spawn(move || serve(stream, &progress, &event));
            }
        });
        Ok(Self { address, progress })
    }

    /// Environment variables of a function that uses this service.
    pub fn environment(&self) -> BTreeMap<&'static str, String> {
        let queue = |name: &str| format!("http://{}/123456789012/{name}", self.address);
        BTreeMap::from([
            ("AWS_LAMBDA_RUNTIME_API", self.address.to_string()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_LAMBDA_FUNCTION_NAME", "function".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "EXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "EXAMPLE".to_owned()),
            ("TABLE_NAME", "table".to_owned()),
            ("PRODUCT_NAME", "Example Shop".to_owned()),
            ("CLIENT_IDS", "1example23456789".to_owned()),
            (
                "ISSUER_URL",
                "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE01".to_owned(),
            ),
            ("LOGIN_URL", "https://login.example.com".to_owned()),
            ("GROUP_RULES", GROUP_RULES.to_owned()),
            ("LAMBDA_CONFIG", LAMBDA_CONFIG.to_owned()),
            ("DISTRIBUTION_ID", "E2EXAMPLE1ABCD".to_owned()),
            ("USER_EVENTS_QUEUE_URL", queue("user-events")),
            ("CACHE_INVALIDATIONS_QUEUE_URL", queue("cache-invalidations")),
            ("GROUP_MEMBERSHIPS_QUEUE_URL", queue("group-memberships")),
            ("RESOURCE_PERMISSIONS_QUEUE_URL", queue("resource-permissions")),
            ("ACCOUNT_ACTIVITIES_QUEUE_URL", queue("account-activities")),
            ("ACCOUNT_ID", "123456789012".to_owned()),
            ("USER_POOL_ID", "eu-central-1_EXAMPLE01".to_owned()),
            ("DEAD_LETTER_QUEUE_URL", queue("dead-letters")),
        ])
    }

    /// Why the run does not count. `None` if every event was answered.
    pub fn problem(&self, invocations: u64) -> Option<String> {
        let progress = lock(&self.progress);
        match &progress.failure {
            Some(failure) => Some(failure.clone()),
            None if progress.answered < invocations => {
                Some(format!("{} of {invocations} events were answered", progress.answered))
            }
            None => None,
        }
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, progress: &Mutex<Progress>, event: &str) {
    let _ = stream.set_nodelay(true);
    let Ok(reading) = stream.try_clone() else { return };
    let (mut reader, mut writer) = (BufReader::new(reading), stream);
    while let Some(request) = read_request(&mut reader) {
        let Some((status, headers, body)) = answer(&request, progress, event) else { return };
        let mut response = format!("HTTP/1.1 {status} OK\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            response += &format!("{name}: {value}\r\n");
        }
        if writer.write_all(format!("{response}\r\n{body}").as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads one request. `None` if the connection is closed.
fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut target, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|bytes| *bytes > 0)?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "x-amz-target" => target = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, target, body })
}

type Response = (u16, Vec<(&'static str, String)>, String);

/// The response to a request. `None` closes the connection.
fn answer(request: &Request, progress: &Mutex<Progress>, event: &str) -> Option<Response> {
    let mut progress = lock(progress);
    if request.method == "GET" && request.path.ends_with("/policy") {
        return Some((200, Vec::new(), json!({"Policy": POLICY}).to_string()));
    }
    if request.method == "GET" {
        progress.remaining = progress.remaining.checked_sub(1)?;
        return Some((200, invocation_headers(), event.to_owned()));
    }
    if !request.path.starts_with("/2018-06-01/runtime/") {
        let operation = request.target.rsplit('.').next().unwrap_or_default();
        let (status, body) = aws_response(operation, &request.body);
        return Some((status, Vec::new(), body));
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let failed = body.get("batchItemFailures").and_then(Value::as_array).is_some_and(|f| !f.is_empty());
    // The read API answers with an error instead of failing.
    let is_refused = body.get("statusCode").and_then(Value::as_u64).is_some_and(|status| status >= 400);
    if request.path.ends_with("/response") && !failed && !is_refused {
        progress.answered += 1;
    } else {
        progress.failure = Some(body.to_string());
    }
    Some((202, Vec::new(), "{}".to_owned()))
}

fn invocation_headers() -> Vec<(&'static str, String)> {
    vec![
        ("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("Lambda-Runtime-Deadline-Ms", (unix_milliseconds() + 600_000).to_string()),
        (
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:function".to_owned(),
        ),
        (
            "Lambda-Runtime-Trace-Id",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".to_owned(),
        ),
    ]
}

/// The answer to a BatchGetItem: of all items, only profiles exist.
fn profiles(request: &Value) -> Value {
    let tables = request["RequestItems"].as_object().into_iter().flatten();
    let responses = tables.map(|(table, read)| {
        let keys = read["Keys"].as_array().into_iter().flatten();
        let profiles = keys.filter(|key| key["SK"]["S"] == "PROFILE").map(|key| {
            let id = "7d8ca528-4931-4254-9273-ea5ee853f271";
            json!({
                "PK": key["PK"], "SK": key["SK"], "cognitoId": {"S": id}, "isBanned": {"BOOL": false},
                "email": {"S": "ana@example.com"}, "isEmailVerified": {"BOOL": true}, "name": {"S": "Ana Example"},
            })
        });
        (table.clone(), profiles.collect::<Value>())
    });
    json!({"Responses": responses.collect::<Map<String, Value>>(), "UnprocessedKeys": {}})
}

/// AWS's response if the user has a profile and no event was seen before.
fn aws_response(operation: &str, body: &[u8]) -> (u16, String) {
    let sent = |id: &Value| json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": ""});
    let answer = match operation {
        "" => return (201, INVALIDATION.to_owned()),
        "BatchGetItem" => profiles(&serde_json::from_slice(body).unwrap_or_default()),
        "BatchWriteItem" => json!({"UnprocessedItems": {}}),
        "DescribeUserPool" => {
            let config: Value = serde_json::from_str(LAMBDA_CONFIG).unwrap_or_default();
            json!({"UserPool": {"LambdaConfig": config, "Arn": USER_POOL_ARN}})
        }
        "SendMessage" => json!({"MessageId": "m", "MD5OfMessageBody": ""}),
        "SendMessageBatch" => {
            let request: Value = serde_json::from_slice(body).unwrap_or_default();
            let entries = request["Entries"].as_array().cloned().unwrap_or_default();
            let successful: Vec<Value> = entries.iter().map(|entry| sent(&entry["Id"])).collect();
            json!({"Successful": successful, "Failed": []})
        }
        _ => json!({}),
    };
    (200, answer.to_string())
}
