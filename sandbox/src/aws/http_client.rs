//! The HTTP client under the SDK: one request at a time to winterbaume's services, and the faults.
//!
//! One at a time, because winterbaume's transactions are not atomic against each other. Below the SDK, so that
//! its retries and time-outs meet the faults as they would meet them in an account.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::Value;
use winterbaume_cloudfront::CloudFrontService;
use winterbaume_cognitoidentityprovider::CognitoIdentityProviderService;
use winterbaume_cognitoidentityprovider::views::{CognitoUserView, GroupView, UserPoolView};
use winterbaume_core::{MockRequest, MockResponse, MockService, StatefulService, default_account_id};
use winterbaume_dynamodb::DynamoDbService;
use winterbaume_sqs::SqsService;

/// The region of the account.
pub(super) const REGION: &str = "eu-central-1";
/// Cognito: ListUsers answers at most 60 users.
const USERS_PER_PAGE: usize = 60;
/// When everything in the embedded user pool was created.
const CREATED_DATE: &str = "2026-01-01T00:00:00Z";

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service answers with this error code, and does nothing.
    Error(&'static str),
    /// The connection is refused.
    Refused,
    /// No answer ever comes, and nothing is done.
    Hang,
    /// The request is performed, and its answer lost.
    ReplyLost,
    /// The request is performed, and the connection closed half-way through the answer.
    CutOff,
}

/// What comes back for a request.
#[derive(Debug)]
pub struct Answer {
    /// The response.
    pub response: MockResponse,
    /// Whether the connection is closed after half of the body.
    pub is_cut_off: bool,
}

/// A body of which half comes before the connection is closed.
pub type CutOffBody =
    StreamBody<futures_util::stream::Iter<std::array::IntoIter<std::io::Result<Frame<Bytes>>, 2>>>;

/// Half of `body`, and then an error.
pub fn cut_off(body: &Bytes) -> CutOffBody {
    let closed = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection closed half-way");
    StreamBody::new(stream::iter([Ok(Frame::data(body.slice(..body.len() / 2))), Err(closed)]))
}

/// Faults to come, and the calls so far.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Schedule>>);

#[derive(Default)]
struct Schedule {
    faults: Vec<(String, Fault, usize)>,
    calls: Vec<String>,
}

impl Faults {
    /// The next `times` requests of `operation` (such as `SendMessage`; `*` for all) meet this fault.
    pub fn inject(&self, operation: &str, fault: Fault, times: usize) {
        self.schedule().faults.push((operation.to_owned(), fault, times));
    }

    /// No more faults.
    pub fn clear(&self) {
        self.schedule().faults.clear();
    }

    /// The operations requested so far, retries included.
    pub fn calls(&self) -> Vec<String> {
        self.schedule().calls.clone()
    }

    /// Begins the list of calls anew.
    pub fn forget_calls(&self) {
        self.schedule().calls.clear();
    }

    fn schedule(&self) -> std::sync::MutexGuard<'_, Schedule> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meet(&self, operation: &str) -> Option<Fault> {
        let mut schedule = self.schedule();
        schedule.calls.push(operation.to_owned());
        let mut faults = schedule.faults.iter_mut();
        let (_, fault, times) =
            faults.find(|(name, _, times)| *times > 0 && (name == operation || name == "*"))?;
        *times -= 1;
        Some(fault.clone())
    }
}

/// What answers the SDK's requests in place of AWS.
pub trait AwsBackend: Clone + fmt::Debug + Send + Sync + 'static {
    /// Answers one request.
    fn answer(
        &self,
        request: MockRequest,
    ) -> impl Future<Output = Result<Answer, ConnectorError>> + Send + '_;
}

/// The HTTP client of an SDK whose requests `A` answers.
#[derive(Clone, Debug)]
pub struct SdkHttpClient<A>(pub A);

/// The SDK's way to the embedded account.
#[derive(Clone)]
pub struct SandboxHttpClient {
    services: Arc<Services>,
    faults: Faults,
}

/// What the services were asked for that they do not tell afterwards.
#[derive(Default)]
struct Journal {
    /// The items of each invalidation, in order.
    invalidations: Vec<Vec<String>>,
    /// The caller reference of each of them.
    caller_references: Vec<String>,
    /// The visibility that workers asked for, in seconds, by receipt handle.
    delays: HashMap<String, i64>,
}

struct Services {
    journal: Mutex<Journal>,
    dynamodb: DynamoDbService,
    sqs: SqsService,
    cloudfront: CloudFrontService,
    cognito: CognitoIdentityProviderService,
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl fmt::Debug for SandboxHttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SandboxHttpClient")
    }
}

impl SandboxHttpClient {
    pub(super) fn new(faults: Faults) -> Self {
        let services = Services {
            journal: Mutex::default(),
            dynamodb: DynamoDbService::new(),
            sqs: SqsService::new(),
            cloudfront: CloudFrontService::new(),
            cognito: CognitoIdentityProviderService::new(),
            one_at_a_time: tokio::sync::Mutex::new(()),
        };
        Self { services: Arc::new(services), faults }
    }

    /// The items of each invalidation that CloudFront took, in order.
    pub fn invalidations(&self) -> Vec<Vec<String>> {
        self.journal().invalidations.clone()
    }

    /// The caller reference of each of them. The embedded CloudFront does not look at it.
    pub fn caller_references(&self) -> Vec<String> {
        self.journal().caller_references.clone()
    }

    /// The visibility that workers asked for, in seconds, by receipt handle.
    pub fn delays(&self) -> HashMap<String, i64> {
        self.journal().delays.clone()
    }

    fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.services.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, operation: &str, body: &[u8]) {
        match operation {
            "CreateInvalidation" => {
                let text = String::from_utf8_lossy(body);
                let mut journal = self.journal();
                journal.invalidations.push(elements(&text, "Path"));
                journal.caller_references.extend(elements(&text, "CallerReference"));
            }
            "ChangeMessageVisibilityBatch" => {
                let body: Value = serde_json::from_slice(body).unwrap_or_default();
                for entry in body.get("Entries").and_then(Value::as_array).into_iter().flatten() {
                    let receipt = entry.get("ReceiptHandle").and_then(Value::as_str).unwrap_or_default();
                    let seconds = entry.get("VisibilityTimeout").and_then(Value::as_i64).unwrap_or_default();
                    self.journal().delays.insert(receipt.to_owned(), seconds);
                }
            }
            _ => {}
        }
    }

    /// A user pool with this user, who is in these groups, as Cognito has them before our functions hear of
    /// them. A user who is there already is in these groups from now on.
    pub async fn put_user(&self, user_pool_id: &str, username: &str, groups: &[String]) {
        let cognito = &self.services.cognito;
        let mut view = cognito.snapshot(default_account_id(), REGION).await;
        let pool = view.user_pools.entry(user_pool_id.to_owned()).or_insert_with(|| user_pool(user_pool_id));
        for name in groups {
            pool.groups.entry(name.clone()).or_insert_with(|| group(user_pool_id, name));
        }
        pool.users.insert(username.to_owned(), user(username, groups));
        // The state comes from a snapshot: it can be restored.
        let _ = cognito.restore(default_account_id(), REGION, view).await;
    }

    /// Users of a user pool, each with a username, a status such as `CONFIRMED`, and attributes.
    pub async fn put_users(&self, user_pool_id: &str, users: &[(&str, &str, BTreeMap<&str, &str>)]) {
        let cognito = &self.services.cognito;
        let mut view = cognito.snapshot(default_account_id(), REGION).await;
        let pool = view.user_pools.entry(user_pool_id.to_owned()).or_insert_with(|| user_pool(user_pool_id));
        for (username, status, attributes) in users {
            let attributes =
                attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let user = CognitoUserView { status: (*status).to_owned(), attributes, ..user(username, &[]) };
            pool.users.insert((*username).to_owned(), user);
        }
        // The state comes from a snapshot: it can be restored.
        let _ = cognito.restore(default_account_id(), REGION, view).await;
    }

    /// The groups of every user of every user pool, by username.
    pub async fn groups(&self) -> BTreeMap<String, Vec<String>> {
        let view = self.services.cognito.snapshot(default_account_id(), REGION).await;
        let users = view.user_pools.into_values().flat_map(|pool| pool.users);
        users.map(|(username, user)| (username, user.groups)).collect()
    }

    /// The embedded Cognito puts users into groups that are not there. AWS does not.
    async fn missing_group(&self, operation: &str, request: &MockRequest) -> Option<MockResponse> {
        if operation != "AdminAddUserToGroup" {
            return None;
        }
        let mut get_group = request.clone();
        let target = http::HeaderValue::from_static("AWSCognitoIdentityProviderService.GetGroup");
        get_group.headers.insert("x-amz-target", target);
        let response = self.services.cognito.handle(get_group).await;
        (response.status >= 300).then_some(response)
    }

    /// The embedded Cognito answers all users at once, in any order. AWS answers them by the page.
    async fn page_of_users(&self, operation: &str, request: &MockRequest) -> Option<MockResponse> {
        if operation != "ListUsers" {
            return None;
        }
        let response = self.services.cognito.handle(request.clone()).await;
        if response.status >= 300 {
            return Some(response);
        }
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let all: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        Some(match page_of(&asked, &all) {
            Some(page) => MockResponse::json(200, page.to_string()),
            None => error_response("InvalidParameterException", false),
        })
    }

    /// Answers one request.
    pub async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let target =
            request.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let (service, operation): (&dyn MockService, &str) = match target.split_once('.') {
            Some((service, operation)) if service.starts_with("DynamoDB") => {
                (&self.services.dynamodb, operation)
            }
            Some((service, operation)) if service.starts_with("AWSCognito") => {
                (&self.services.cognito, operation)
            }
            Some((_, operation)) => (&self.services.sqs, operation),
            None => (&self.services.cloudfront, cloudfront_operation(&request)),
        };
        let fault = self.faults.meet(operation);
        match fault {
            Some(Fault::Error(code)) => {
                let response = error_response(code, target.is_empty());
                return Ok(Answer { response, is_cut_off: false });
            }
            Some(Fault::Refused) => return Err(ConnectorError::io("connection refused".into())),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::ReplyLost | Fault::CutOff) | None => {}
        }
        let response = {
            let _turn = self.services.one_at_a_time.lock().await;
            let own = match self.missing_group(operation, &request).await {
                Some(response) => Some(response),
                None => self.page_of_users(operation, &request).await,
            };
            match own {
                Some(response) => response,
                None if operation == "ReceiveMessage" => {
                    service.handle(without_waiting(request.clone())).await
                }
                None => service.handle(request.clone()).await,
            }
        };
        // The embedded SQS refuses a whole batch of delays for one receipt handle that it does not know.
        if response.status < 300 || operation == "ChangeMessageVisibilityBatch" {
            self.note(operation, &request.body);
        }
        match fault {
            Some(Fault::ReplyLost) => Err(ConnectorError::io("connection closed".into())),
            fault => Ok(Answer { response, is_cut_off: fault.is_some() }),
        }
    }
}

/// Nothing comes while a receive waits: the requests go one at a time.
fn without_waiting(mut request: MockRequest) -> MockRequest {
    if let Ok(Value::Object(mut input)) = serde_json::from_slice(&request.body) {
        input.remove("WaitTimeSeconds");
        request.body = Value::Object(input).to_string().into();
    }
    request
}

/// The page that was asked for of all users, by username; `None` for a limit or a token that Cognito does not take.
fn page_of(asked: &Value, all: &Value) -> Option<Value> {
    let limit = match asked.get("Limit") {
        Some(limit) => {
            usize::try_from(limit.as_u64()?).ok().filter(|limit| (1..=USERS_PER_PAGE).contains(limit))?
        }
        None => USERS_PER_PAGE,
    };
    let after = match asked.get("PaginationToken") {
        Some(token) => token.as_str()?.strip_prefix("after-")?,
        None => "",
    };
    let name = |user: &Value| user.get("Username").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut users = all.get("Users").and_then(Value::as_array).cloned().unwrap_or_default();
    users.sort_by_key(name);
    users.retain(|user| name(user).as_str() > after);
    let more = users.len() > limit;
    users.truncate(limit);
    let token = users.last().filter(|_| more).map(|user| format!("after-{}", name(user)));
    let mut page = serde_json::json!({"Users": users});
    if let (Some(fields), Some(token)) = (page.as_object_mut(), token) {
        fields.insert("PaginationToken".to_owned(), token.into());
    }
    Some(page)
}

/// What stands in the elements of this name.
pub fn elements(xml: &str, name: &str) -> Vec<String> {
    let tag = format!("<{name}>");
    let contents = xml.split(&tag).skip(1).filter_map(|rest| rest.split("</").next());
    contents.map(str::to_owned).collect()
}

fn user_pool(id: &str) -> UserPoolView {
    UserPoolView {
        id: id.to_owned(),
        name: "embedded".to_owned(),
        arn: format!("arn:aws:cognito-idp:{REGION}:{}:userpool/{id}", default_account_id()),
        status: "Enabled".to_owned(),
        created_date: CREATED_DATE.to_owned(),
        clients: HashMap::new(),
        users: HashMap::new(),
        groups: HashMap::new(),
        identity_providers: HashMap::new(),
        resource_servers: HashMap::new(),
        domain: None,
        mfa_config: None,
        custom_attributes: Vec::new(),
        tags: HashMap::new(),
    }
}

fn user(username: &str, groups: &[String]) -> CognitoUserView {
    CognitoUserView {
        username: username.to_owned(),
        status: "CONFIRMED".to_owned(),
        created_date: CREATED_DATE.to_owned(),
        attributes: HashMap::new(),
        enabled: true,
        password: None,
        confirmed: true,
        groups: groups.to_vec(),
    }
}

fn group(user_pool_id: &str, name: &str) -> GroupView {
    GroupView {
        group_name: name.to_owned(),
        user_pool_id: user_pool_id.to_owned(),
        description: None,
        role_arn: None,
        precedence: None,
        created_date: CREATED_DATE.to_owned(),
        last_modified_date: CREATED_DATE.to_owned(),
    }
}

/// CloudFront names its operations by method and path alone.
fn cloudfront_operation(request: &MockRequest) -> &'static str {
    match request.method.as_str() {
        "POST" if request.uri.ends_with("/invalidation") => "CreateInvalidation",
        "POST" => "CreateDistribution",
        _ => "ReadDistribution",
    }
}

/// An error as the service would write it: XML for CloudFront, JSON for the others.
pub fn error_response(code: &str, is_xml: bool) -> MockResponse {
    // 400 is what all of the injected errors have; the SDK goes by the code. A service may quote what it was asked.
    const MESSAGE: &str = "injected: ana@example.com is not valid";
    if is_xml {
        return MockResponse::error(400, code, MESSAGE);
    }
    MockResponse::json(400, format!(r#"{{"__type":"{code}","message":"{MESSAGE}"}}"#))
}

impl AwsBackend for SandboxHttpClient {
    fn answer(
        &self,
        request: MockRequest,
    ) -> impl Future<Output = Result<Answer, ConnectorError>> + Send + '_ {
        Self::answer(self, request)
    }
}

impl<A: AwsBackend> HttpConnector for SdkHttpClient<A> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let Answer { response, is_cut_off } = client.answer(mock_request(&request)?).await?;
            let status = response
                .status
                .try_into()
                .map_err(|error: _| ConnectorError::other(Box::new(error), None))?;
            let body = if is_cut_off {
                SdkBody::from_body_1_x(cut_off(&response.body))
            } else {
                SdkBody::from(response.body)
            };
            let mut answer = HttpResponse::new(status, body);
            for (name, value) in &response.headers {
                if let Ok(value) = value.to_str() {
                    answer.headers_mut().insert(name.as_str().to_owned(), value.to_owned());
                }
            }
            Ok(answer)
        })
    }
}

impl<A: AwsBackend> HttpClient for SdkHttpClient<A> {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn mock_request(request: &HttpRequest) -> Result<MockRequest, ConnectorError> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in request.headers() {
        let name: Result<http::HeaderName, _> = name.parse();
        if let (Ok(name), Ok(value)) = (name, value.parse()) {
            headers.insert(name, value);
        }
    }
    let body = request.body().bytes().ok_or_else(|| ConnectorError::user("a streaming body".into()))?;
    Ok(MockRequest {
        method: request.method().to_owned(),
        uri: request.uri().to_owned(),
        headers,
        body: Bytes::copy_from_slice(body),
    })
}
