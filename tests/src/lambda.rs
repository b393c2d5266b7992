//! Runs a Lambda binary as Lambda does: with a Runtime API on loopback that it polls, and an AWS account in memory that it
//! calls.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use budgets::runtime_api::{RuntimeApi, Step};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use sandbox::aws::sdk_client::cut_off_body;
use sandbox::aws::{AwsBackend, SandboxAccount};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use winterbaume_core::MockRequest;

/// Limit for one answer of a function, and for its exit.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a function answered an event.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// Its response.
    Response(Value),
    /// Its error: `errorType` and `errorMessage`.
    Error(Value),
}

/// A running Lambda function.
pub struct Function {
    child: Child,
    output: Vec<JoinHandle<String>>,
    api: RuntimeApi,
}

/// Starts a binary with these environment variables, those that Lambda sets, and no others.
pub async fn start(
    binary: &str,
    account: Option<Arc<SandboxAccount>>,
    variables: &[(&str, &str)],
) -> Function {
    let api = RuntimeApi::start().await;
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(variables.iter().copied())
        .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "function")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "EXAMPLE")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(account) = account {
        let aws = serve_aws(account.backend().clone()).await;
        command.env("AWS_ENDPOINT_URL", format!("http://{aws}"));
    }
    let mut child = command.spawn().expect("the binary starts");
    // Both pipes are read all the time: a full pipe would block the function.
    let output = vec![
        tokio::spawn(read(child.stdout.take().expect("stdout is a pipe"))),
        tokio::spawn(read(child.stderr.take().expect("stderr is a pipe"))),
    ];
    Function { child, output, api }
}

impl Function {
    /// Sends the function an event and waits for its answer.
    pub async fn invoke(&mut self, event: &str) -> Answer {
        self.send(event);
        tokio::time::timeout(TIMEOUT, self.answer()).await.expect("the function answers in time")
    }

    /// Sends the function an event and does not wait.
    pub fn send(&self, event: &str) {
        self.api.send(event.to_owned());
    }

    async fn answer(&mut self) -> Answer {
        let parse = |body: &[u8]| serde_json::from_slice(body).unwrap_or_default();
        loop {
            match self.api.next_step().await.expect("the Runtime API is running") {
                Step::Answered(_, body) => return Answer::Response(parse(&body)),
                Step::Failed(error) => return Answer::Error(parse(error.as_bytes())),
                Step::RequestedEvent(_) | Step::ReceivedEvent(_) => {}
            }
        }
    }

    /// Kills the function (SIGKILL) and waits until it has ended.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the function can be killed");
    }

    /// Waits until the function ends by itself. Returns whether it succeeded, and its output.
    pub async fn ended(mut self) -> (bool, String) {
        let status = tokio::time::timeout(TIMEOUT, self.child.wait()).await;
        let status = status.expect("the function ends in time").expect("the function has a status");
        (status.success(), self.output().await)
    }

    /// Kills the function and returns its output.
    pub async fn stop(mut self) -> String {
        self.child.kill().await.expect("the function can be killed");
        self.output().await
    }

    async fn output(&mut self) -> String {
        let mut output = String::new();
        for reading in self.output.drain(..) {
            output += &reading.await.unwrap_or_default();
        }
        output
    }
}

async fn read(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    let _ = pipe.read_to_string(&mut text).await;
    text
}

/// A complete body, or one that ends too early.
type Body = BoxBody<Bytes, std::io::Error>;

fn full(bytes: Bytes) -> Body {
    Full::from(bytes).map_err(|never| match never {}).boxed()
}

/// Serves an AWS account in memory over HTTP, for other processes. Runs until the tokio runtime ends.
pub async fn serve_aws(aws: impl AwsBackend) -> SocketAddr {
    serve_aws_over(None, aws).await
}

/// The same, over TLS if there is an acceptor.
pub async fn serve_aws_over(tls: Option<TlsAcceptor>, aws: impl AwsBackend) -> SocketAddr {
    let server = budgets::server::serve(tls, move |request: Request<Incoming>| {
        let aws = aws.clone();
        async move {
            let (parts, body) = request.into_parts();
            // winterbaume reads the region from the host, and this host is on loopback.
            let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
            let host = match target.and_then(|target| target.split_once(['_', '.'])) {
                Some(("DynamoDB", _)) => "dynamodb.eu-central-1",
                Some(("AWSCognitoIdentityProviderService", _)) => "cognito-idp.eu-central-1",
                Some(_) => "sqs.eu-central-1",
                None => "cloudfront",
            };
            let request = MockRequest {
                method: parts.method.to_string(),
                uri: format!("https://{host}.amazonaws.com{}", parts.uri),
                headers: parts.headers,
                body: body.collect().await.expect("the request has a body").to_bytes(),
            };
            match aws.answer(request).await {
                Ok(sandbox::aws::Answer { response: answer, is_cut_off }) => {
                    let body = if is_cut_off {
                        BodyExt::boxed(cut_off_body(&answer.body))
                    } else {
                        full(answer.body)
                    };
                    let mut response = Response::new(body);
                    *response.status_mut() =
                        StatusCode::from_u16(answer.status).expect("the status is valid");
                    *response.headers_mut() = answer.headers;
                    response
                }
                // The server cannot break the connection, so it returns an error that the SDK retries as well.
                Err(_) => Response::builder()
                    .status(StatusCode::BAD_GATEWAY)
                    .body(full(Bytes::new()))
                    .expect("the response is valid"),
            }
        }
    });
    server.await.detach()
}
