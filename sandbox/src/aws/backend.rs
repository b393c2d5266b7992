//! The account's services: winterbaume's DynamoDB or a server's, and winterbaume's SQS, CloudFront
//! and Cognito, and the policies of the triggers, with faults and a call log.

use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::result::ConnectorError;
use serde_json::{Value, json};
use winterbaume_cloudfront::CloudFrontService;
use winterbaume_core::{MockRequest, MockResponse, MockService};
use winterbaume_dynamodb::DynamoDbService;
use winterbaume_sqs::SqsService;

use super::call_log::CallLog;
use super::dynamodb_server::DynamoDbServer;
use super::faults::{Fault, Faults};
use super::invoke_permissions::InvokePermissions;
use super::sdk_client::{Answer, AwsBackend, cancelled_transaction, error_response, error_response_with};
use super::user_pools::{self, UserPools};

/// The only operation of Lambda.
const GET_POLICY: &str = "GetPolicy";

/// Answers for one account. Clones answer for the same account.
#[derive(Clone)]
pub struct SandboxBackend {
    services: Arc<Services>,
    faults: Faults,
    calls: CallLog,
}

struct Services {
    dynamodb: DynamoDbService,
    /// Answers in place of `dynamodb`.
    dynamodb_server: Option<DynamoDbServer>,
    sqs: SqsService,
    cloudfront: CloudFrontService,
    user_pools: UserPools,
    invoke_permissions: InvokePermissions,
    /// One request at a time, because winterbaume's transactions are not atomic across threads.
    turn: tokio::sync::Mutex<()>,
}

impl Services {
    /// The DynamoDB server, if there is one and the request is for DynamoDB.
    fn server_for(&self, request: &MockRequest) -> Option<&DynamoDbServer> {
        let target = request.headers.get("x-amz-target")?;
        self.dynamodb_server.as_ref().filter(|_| target.as_bytes().starts_with(b"DynamoDB"))
    }
}

impl fmt::Debug for SandboxBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SandboxBackend")
    }
}

impl SandboxBackend {
    pub(super) fn new(faults: Faults, calls: CallLog, dynamodb_server: Option<DynamoDbServer>) -> Self {
        let services = Services {
            dynamodb: DynamoDbService::new(),
            dynamodb_server,
            sqs: SqsService::new(),
            cloudfront: CloudFrontService::new(),
            user_pools: UserPools::default(),
            invoke_permissions: InvokePermissions::default(),
            turn: tokio::sync::Mutex::new(()),
        };
        Self { services: Arc::new(services), faults, calls }
    }

    pub fn user_pools(&self) -> &UserPools {
        &self.services.user_pools
    }

    pub fn invoke_permissions(&self) -> &InvokePermissions {
        &self.services.invoke_permissions
    }

    /// The service that a request is for, and the operation.
    fn route<'a>(&'a self, request: &'a MockRequest) -> (&'a dyn MockService, &'a str) {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        match target.and_then(|target| target.split_once('.')) {
            Some((service, operation)) if service.starts_with("DynamoDB") => {
                (&self.services.dynamodb, operation)
            }
            Some((service, operation)) if service.starts_with("AWSCognito") => {
                (self.services.user_pools.service(), operation)
            }
            Some((_, operation)) => (&self.services.sqs, operation),
            // Answered without a service.
            None if InvokePermissions::is_for_policy(request) => (&self.services.cloudfront, GET_POLICY),
            None => (&self.services.cloudfront, cloudfront_operation(request)),
        }
    }
}

impl SandboxBackend {
    /// winterbaume's UpdateItem does not return the item as it was, which ALL_OLD asks for.
    async fn updated(&self, request: &MockRequest) -> MockResponse {
        let dynamodb = &self.services.dynamodb;
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if asked["ReturnValues"] != "ALL_OLD" {
            return dynamodb.handle(request.clone()).await;
        }
        let mut get_item = request.clone();
        get_item.headers.insert("x-amz-target", http::HeaderValue::from_static("DynamoDB_20120810.GetItem"));
        get_item.body = json!({"TableName": asked["TableName"], "Key": asked["Key"]}).to_string().into();
        let old: Value = serde_json::from_slice(&dynamodb.handle(get_item).await.body).unwrap_or_default();
        let response = dynamodb.handle(request.clone()).await;
        match old.get("Item") {
            Some(item) if response.status < 300 => {
                MockResponse::json(200, json!({"Attributes": item}).to_string())
            }
            _ => response,
        }
    }
}

impl AwsBackend for SandboxBackend {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let (service, operation) = self.route(&request);
        self.calls.record_operation(operation);
        let fault = self.faults.next(operation);
        match fault {
            Some(Fault::Error(code)) => {
                let is_xml = operation != GET_POLICY && !request.headers.contains_key("x-amz-target");
                return Ok(Answer { response: error_response(code, is_xml), is_cut_off: false });
            }
            Some(Fault::ErrorWith(code, message)) => {
                let is_xml = operation != GET_POLICY && !request.headers.contains_key("x-amz-target");
                return Ok(Answer {
                    response: error_response_with(code, message, is_xml),
                    is_cut_off: false,
                });
            }
            Some(Fault::Cancelled(reasons)) => {
                return Ok(Answer { response: cancelled_transaction(reasons), is_cut_off: false });
            }
            Some(Fault::Refused) => return Err(ConnectorError::io("connection refused".into())),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Unprocessed) if operation == "BatchGetItem" => {
                let response = all_keys_unprocessed(&request);
                return Ok(Answer { response, is_cut_off: false });
            }
            Some(Fault::EmptyPage) if operation == "ListUsers" => {
                let response = MockResponse::json(200, user_pools::empty_page().to_string());
                return Ok(Answer { response, is_cut_off: false });
            }
            Some(
                Fault::Served | Fault::ReplyLost | Fault::CutOff | Fault::Unprocessed | Fault::EmptyPage,
            )
            | None => {}
        }
        let response = if let Some(server) = self.services.server_for(&request) {
            server.answer(&request).await.map_err(|error| ConnectorError::io(error.into()))?
        } else {
            let _turn = self.services.turn.lock().await;
            match self.services.user_pools.corrected_answer(operation, &request).await {
                Some(response) => response,
                None if operation == "ReceiveMessage" => {
                    service.handle(without_wait_time(request.clone())).await
                }
                None if operation == "UpdateItem" => self.updated(&request).await,
                None if operation == GET_POLICY => self.services.invoke_permissions.policy(&request),
                None => service.handle(request.clone()).await,
            }
        };
        // winterbaume's SQS refuses a whole batch of visibility changes for one unknown receipt handle.
        if response.status < 300 || operation == "ChangeMessageVisibilityBatch" {
            self.calls.record_request(operation, &request.body);
        }
        match fault {
            Some(Fault::ReplyLost) => Err(ConnectorError::io("connection closed".into())),
            fault => Ok(Answer { response, is_cut_off: fault == Some(Fault::CutOff) }),
        }
    }
}

/// The answer to a BatchGetItem of which DynamoDB processed nothing.
fn all_keys_unprocessed(request: &MockRequest) -> MockResponse {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let answer = json!({"Responses": {}, "UnprocessedKeys": body["RequestItems"]});
    MockResponse::json(200, answer.to_string())
}

/// Nothing arrives while a receive waits, because requests are answered one at a time.
fn without_wait_time(mut request: MockRequest) -> MockRequest {
    if let Ok(Value::Object(mut input)) = serde_json::from_slice(&request.body) {
        input.remove("WaitTimeSeconds");
        request.body = Value::Object(input).to_string().into();
    }
    request
}

/// CloudFront's REST requests name their operation only by method and path.
fn cloudfront_operation(request: &MockRequest) -> &'static str {
    match request.method.as_str() {
        "POST" if request.uri.ends_with("/invalidation") => "CreateInvalidation",
        "POST" => "CreateDistribution",
        _ => "ReadDistribution",
    }
}
