//! Lambda's Runtime API on loopback: hands events to a function, and records what the function does and when.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};

use crate::server::{Answer, Server, serve};

/// Time from an event to its deadline.
const DEADLINE_MILLIS: i64 = 300_000;

/// One step of a function.
#[derive(Clone, Debug)]
pub enum Step {
    RequestedEvent(Instant),
    ReceivedEvent(Instant),
    /// With the answer.
    Answered(Instant, Bytes),
    /// With the error that the function reported, for an event or for its startup.
    Failed(String),
}

/// The Runtime API of one function.
#[derive(Debug)]
pub struct RuntimeApi {
    server: Server,
    events: mpsc::UnboundedSender<Bytes>,
    steps: mpsc::UnboundedReceiver<Step>,
}

impl RuntimeApi {
    pub async fn start() -> Self {
        let (events, waiting) = mpsc::unbounded_channel();
        let (record, steps) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let count = Arc::new(AtomicU64::new(0));
        let server = serve(None, move |request: Request<Incoming>| {
            let (waiting, count, record) = (waiting.clone(), count.clone(), record.clone());
            async move {
                let path = request.uri().path().to_owned();
                if path.ends_with("/invocation/next") {
                    let _ = record.send(Step::RequestedEvent(Instant::now()));
                    return next_event(&waiting, &count, &record).await;
                }
                let body = request.into_body().collect().await;
                let step = match body.map(|body| body.to_bytes()) {
                    Ok(body) if path.ends_with("/response") => Step::Answered(Instant::now(), body),
                    Ok(body) => Step::Failed(String::from_utf8_lossy(&body).into_owned()),
                    Err(error) => Step::Failed(error.to_string()),
                };
                let _ = record.send(step);
                let accepted = Bytes::from_static(br#"{"status":"OK"}"#);
                Response::builder()
                    .status(StatusCode::ACCEPTED)
                    .body(Full::new(accepted))
                    .expect("the response is valid")
            }
        });
        Self { server: server.await, events, steps }
    }

    /// Value of `AWS_LAMBDA_RUNTIME_API` for the function.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Queues an event for the function.
    pub fn send(&self, event: impl Into<Bytes>) {
        let _ = self.events.send(event.into());
    }

    /// Waits for the function's next step. `None` if the server has stopped.
    pub async fn next_step(&mut self) -> Option<Step> {
        self.steps.recv().await
    }
}

async fn next_event(
    waiting: &Mutex<mpsc::UnboundedReceiver<Bytes>>,
    count: &AtomicU64,
    record: &mpsc::UnboundedSender<Step>,
) -> Answer {
    let Some(event) = waiting.lock().await.recv().await else {
        // There are no more events. As in Lambda, the function waits until it is stopped.
        return std::future::pending().await;
    };
    let id = count.fetch_add(1, Relaxed);
    let deadline = Timestamp::now().as_millisecond() + DEADLINE_MILLIS;
    let answer = Response::builder()
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Aws-Request-Id", format!("8476a536-e9f4-11e8-9739-{id:012x}"))
        .header("Lambda-Runtime-Deadline-Ms", deadline)
        .header(
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:function",
        )
        .header(
            "Lambda-Runtime-Trace-Id",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        )
        .body(Full::new(event))
        .expect("the response is valid");
    let _ = record.send(Step::ReceivedEvent(Instant::now()));
    answer
}
