//! Lambda's Runtime API on loopback: hands out events, takes answers, and notes when.

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

/// A function has so long for an event.
const PATIENCE_MILLIS: i64 = 300_000;

/// What a function did.
#[derive(Clone, Debug)]
pub enum Happening {
    /// It asked for an event.
    Next(Instant),
    /// It was handed one.
    Handed(Instant),
    /// It answered.
    Answered(Instant, Bytes),
    /// It said that it failed.
    Failed(String),
}

/// The Runtime API of one function.
pub struct RuntimeApi {
    server: Server,
    events: mpsc::UnboundedSender<Bytes>,
    happenings: mpsc::UnboundedReceiver<Happening>,
}

impl RuntimeApi {
    /// Serves it.
    pub async fn start() -> Self {
        let (events, waiting) = mpsc::unbounded_channel();
        let (note, happenings) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let handed = Arc::new(AtomicU64::new(0));
        let server = serve(None, move |request: Request<Incoming>| {
            let (waiting, handed, note) = (waiting.clone(), handed.clone(), note.clone());
            async move {
                let path = request.uri().path().to_owned();
                if path.ends_with("/invocation/next") {
                    let _ = note.send(Happening::Next(Instant::now()));
                    return next(&waiting, &handed, &note).await;
                }
                let body = request.into_body().collect().await;
                let happening = match body.map(|body| body.to_bytes()) {
                    Ok(body) if path.ends_with("/response") => Happening::Answered(Instant::now(), body),
                    Ok(body) => Happening::Failed(String::from_utf8_lossy(&body).into_owned()),
                    Err(error) => Happening::Failed(error.to_string()),
                };
                let _ = note.send(happening);
                let accepted = Bytes::from_static(br#"{"status":"OK"}"#);
                Response::builder()
                    .status(StatusCode::ACCEPTED)
                    .body(Full::new(accepted))
                    .expect("a response")
            }
        });
        Self { server: server.await, events, happenings }
    }

    /// Where the function finds it.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Puts an event in the queue.
    pub fn send(&self, event: Bytes) {
        let _ = self.events.send(event);
    }

    /// Waits for what the function does next.
    pub async fn happening(&mut self) -> Option<Happening> {
        self.happenings.recv().await
    }
}

async fn next(
    waiting: &Mutex<mpsc::UnboundedReceiver<Bytes>>,
    handed: &AtomicU64,
    note: &mpsc::UnboundedSender<Happening>,
) -> Answer {
    let Some(event) = waiting.lock().await.recv().await else {
        // No more events will come: the function waits until it is stopped.
        return std::future::pending().await;
    };
    let id = handed.fetch_add(1, Relaxed);
    let deadline = Timestamp::now().as_millisecond() + PATIENCE_MILLIS;
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
        .expect("a response");
    let _ = note.send(Happening::Handed(Instant::now()));
    answer
}
