//! The SDK's HTTP client, which hands each request to a backend instead of the network. The SDK
//! builds, signs, retries and parses as always.

use std::fmt;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{Region, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};
use winterbaume_core::{MockRequest, MockResponse};

/// The region of every account in memory.
pub const REGION: &str = "eu-central-1";

/// Answers the SDK's requests in place of AWS.
pub trait AwsBackend: Clone + fmt::Debug + Send + Sync + 'static {
    fn answer(
        &self,
        request: MockRequest,
    ) -> impl Future<Output = Result<Answer, ConnectorError>> + Send + '_;
}

/// A backend's answer to one request.
#[derive(Debug)]
pub struct Answer {
    pub response: MockResponse,
    /// Whether the connection closes after half of the body.
    pub is_cut_off: bool,
}

/// The SDK's configuration for an account that `backend` answers for.
pub fn sdk_config(backend: impl AwsBackend) -> SdkConfig {
    let credentials = Credentials::new("EXAMPLE", "EXAMPLE", None, None, "sandbox");
    SdkConfig::builder()
        .behavior_version(shared::aws::behavior_version())
        .http_client(SdkHttpClient(backend))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::new(REGION))
        .build()
}

#[derive(Clone, Debug)]
struct SdkHttpClient<B>(B);

impl<B: AwsBackend> HttpConnector for SdkHttpClient<B> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let backend = self.0.clone();
        HttpConnectorFuture::new(async move {
            let Answer { response, is_cut_off } = backend.answer(mock_request(&request)?).await?;
            let status = response
                .status
                .try_into()
                .map_err(|error: _| ConnectorError::other(Box::new(error), None))?;
            let body = if is_cut_off {
                SdkBody::from_body_1_x(cut_off_body(&response.body))
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

impl<B: AwsBackend> HttpClient for SdkHttpClient<B> {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A body whose connection closes after the first half.
pub type CutOffBody =
    StreamBody<futures_util::stream::Iter<std::array::IntoIter<std::io::Result<Frame<Bytes>>, 2>>>;

/// The first half of `body`, then an error.
pub fn cut_off_body(body: &Bytes) -> CutOffBody {
    let closed = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection closed halfway");
    StreamBody::new(stream::iter([Ok(Frame::data(body.slice(..body.len() / 2))), Err(closed)]))
}

/// An error in the service's format: XML for CloudFront, JSON for the others.
///
/// The status is 400, because the SDK decides by the code. The message quotes an email address,
/// because services quote what they were asked: a test fails if it reaches the log.
pub fn error_response(code: &str, is_xml: bool) -> MockResponse {
    error_response_with(code, "injected: ana@example.com is not valid", is_xml)
}

/// The same with an error message.
pub fn error_response_with(code: &str, message: &str, is_xml: bool) -> MockResponse {
    if is_xml {
        return MockResponse::error(400, code, message);
    }
    MockResponse::json(400, json!({"__type": code, "message": message}).to_string())
}

/// DynamoDB's answer to a transaction that it cancels. `reasons` has a code for each item.
pub fn cancelled_transaction(reasons: &[&str]) -> MockResponse {
    let reasons: Vec<Value> = reasons.iter().map(|code| json!({"Code": code})).collect();
    let error = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
        "CancellationReasons": reasons,
    });
    MockResponse::json(400, error.to_string())
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
