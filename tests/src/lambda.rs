//! A Lambda service on loopback: the Runtime API that a binary polls, and an embedded AWS that it calls.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sandbox::aws::SandboxAccount;
use sandbox::aws::http_client::{AwsBackend, cut_off};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use winterbaume_core::MockRequest;

/// Nothing on loopback takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a function said about an event.
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
    events: mpsc::UnboundedSender<String>,
    answers: mpsc::UnboundedReceiver<Answer>,
}

/// Starts a binary as Lambda does, with these environment variables and no others.
pub async fn start(binary: &str, account: Option<Arc<SandboxAccount>>, variables: &[(&str, &str)]) -> Function {
    let (events, waiting) = mpsc::unbounded_channel();
    let (answered, answers) = mpsc::unbounded_channel();
    let runtime_api = serve_runtime_api(waiting, answered).await;
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(variables.iter().copied())
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
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
        let aws = serve_aws(account.http_client().clone()).await;
        command.env("AWS_ENDPOINT_URL", format!("http://{aws}"));
    }
    let mut child = command.spawn().expect("the binary starts");
    // Read all the time: a full pipe would stop the function.
    let output = vec![
        tokio::spawn(read(child.stdout.take().expect("a pipe"))),
        tokio::spawn(read(child.stderr.take().expect("a pipe"))),
    ];
    Function { child, output, events, answers }
}

impl Function {
    /// Hands the function an event and waits for its answer.
    pub async fn invoke(&mut self, event: &str) -> Answer {
        self.events.send(event.to_owned()).expect("the Runtime API is there");
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        answer.expect("an answer in time").expect("an answer")
    }

    /// Hands the function an event, and does not wait.
    pub fn send(&self, event: &str) {
        self.events.send(event.to_owned()).expect("the Runtime API is there");
    }

    /// Kills the function (SIGKILL), and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Waits for the function to end by itself: whether it succeeded, and what it wrote.
    pub async fn ended(mut self) -> (bool, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status.expect("an end in time").expect("a status");
        (status.success(), self.output().await)
    }

    /// Stops the function, and answers what it wrote.
    pub async fn stop(mut self) -> String {
        self.child.kill().await.expect("it can be stopped");
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

/// A body that is whole, or breaks off.
type Body = BoxBody<Bytes, std::io::Error>;

fn full(bytes: Bytes) -> Body {
    Full::from(bytes).map_err(|never| match never {}).boxed()
}

/// Lambda's Runtime API: hands out events, takes answers.
async fn serve_runtime_api(
    waiting: mpsc::UnboundedReceiver<String>,
    answered: mpsc::UnboundedSender<Answer>,
) -> SocketAddr {
    let waiting = Arc::new(Mutex::new(waiting));
    serve(move |request: Request<Incoming>| {
        let (waiting, answered) = (waiting.clone(), answered.clone());
        async move {
            let path = request.uri().path().to_owned();
            if path.ends_with("/invocation/next") {
                let Some(event) = waiting.lock().await.recv().await else {
                    // No more events will come: the function waits until it is stopped.
                    return std::future::pending().await;
                };
                return Response::builder()
                    .header("Lambda-Runtime-AwsBackend-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                    .header("Lambda-Runtime-Deadline-Ms", "32503680000000")
                    .header(
                        "Lambda-Runtime-Invoked-Function-Arn",
                        "arn:aws:lambda:eu-central-1:123456789012:function:f",
                    )
                    .header(
                        "Lambda-Runtime-Trace-Id",
                        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                    )
                    .body(full(event.into()))
                    .expect("a response");
            }
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let answer = if path.ends_with("/error") { Answer::Error(body) } else { Answer::Response(body) };
            let _ = answered.send(answer);
            Response::builder().status(StatusCode::ACCEPTED).body(full(Bytes::new())).expect("a response")
        }
    })
    .await
}

/// An AWS in memory for another process.
pub async fn serve_aws(aws: impl AwsBackend) -> SocketAddr {
    serve(move |request: Request<Incoming>| {
        let aws = aws.clone();
        async move {
            let (parts, body) = request.into_parts();
            // winterbaume takes the region from the address, which is ours here.
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
                body: body.collect().await.expect("a body").to_bytes(),
            };
            match aws.answer(request).await {
                Ok(sandbox::aws::Answer { response: answer, is_cut_off }) => {
                    let body =
                        if is_cut_off { BodyExt::boxed(cut_off(&answer.body)) } else { full(answer.body) };
                    let mut response = Response::new(body);
                    *response.status_mut() = StatusCode::from_u16(answer.status).expect("a status");
                    *response.headers_mut() = answer.headers;
                    response
                }
                // As near as a server comes to a connection that breaks.
                Err(_) => Response::builder()
                    .status(StatusCode::BAD_GATEWAY)
                    .body(full(Bytes::new()))
                    .expect("a response"),
            }
        }
    })
    .await
}

async fn serve<F, R>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let response = answer(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                // A function that is stopped breaks its connections.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}
