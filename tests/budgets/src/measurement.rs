//! One start of one subject, from spawn to the last warm answer.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::aws::{Aws, Calls};
use crate::certificates::Trusted;
use crate::process::Process;
use crate::quartiles::quantile;
use crate::results::{
    CALLS, CALLS_PER_EVENT, CPU_PER_EVENT, EVENTS_PER_SECOND, FIRST_ANSWER, INIT, INVOCATION_CPU,
    PEAK_MEMORY, STARTUP_CALLS, STARTUP_CPU, WARM_P50, WARM_P99, WRITE_UNITS_PER_EVENT,
    WRITE_UNITS_PER_SIGN_IN, of_operation, of_users,
};
use crate::runtime_api::{RuntimeApi, Step};
use crate::subjects::{BATCH_EVENTS, Subject, sign_in};

/// Limit of one step of a function.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);
/// Invocations before the measured ones, for lazy initialization and for the JIT compiler of Node.js.
const WARM_UP_INVOCATIONS: usize = 200;
const MEASURED_INVOCATIONS: usize = 200;
/// Pause before reading processor time. A function that has just requested an event is still running for a moment.
const CPU_SETTLE_TIME: Duration = Duration::from_millis(2);

/// The AWS that a subject calls.
pub struct Backend {
    pub aws: Aws,
    /// Certificates to trust if calls go over TLS.
    pub trusted: Option<Trusted>,
}

/// Number of users in a batch, and the batch as Lambda delivers it.
pub type Batch = (usize, Bytes);

/// Starts a subject and returns its figures by name.
pub async fn measure(
    subject: &Subject,
    backend: &Backend,
    batches: &[Batch],
    log: &Path,
) -> Result<Vec<(String, f64)>, String> {
    let aws = &backend.aws;
    aws.take_calls();
    let api = RuntimeApi::start().await;
    let variables = variables(&api, backend);
    // In a cold start, the event is waiting for the function.
    api.send(subject.event.clone());
    let started = Instant::now();
    let process = Process::spawn(subject, &variables, log)?;
    let mut running = Running { api, process };
    let result = figures(&mut running, subject, aws, batches, started).await;
    running.process.kill().await;
    result.map_err(|reason| format!("{}: {reason}. Its output is in {}", subject.name, log.display()))
}

async fn figures(
    running: &mut Running,
    subject: &Subject,
    aws: &Aws,
    batches: &[Batch],
    started: Instant,
) -> Result<Vec<(String, f64)>, String> {
    let mut figures = Vec::new();
    let mut add = |name: &str, value: f64| figures.push((name.to_owned(), value));

    let first_request = running.request().await?;
    let (_, first_answer) = running.answer().await?;
    running.request().await?;
    add(INIT, millis(first_request - started));
    add(FIRST_ANSWER, millis(first_answer - started));
    add(STARTUP_CPU, millis(running.cpu().await));
    add_calls(&mut add, STARTUP_CALLS, &aws.take_calls(), 1.0);

    for _ in 0..WARM_UP_INVOCATIONS {
        running.invoke(subject.event.clone()).await?;
    }
    aws.take_calls();
    let before = running.cpu().await;
    let mut warm = Vec::with_capacity(MEASURED_INVOCATIONS);
    for _ in 0..MEASURED_INVOCATIONS {
        warm.push(millis(running.invoke(subject.event.clone()).await?));
    }
    let after = running.cpu().await;
    for (name, share) in [(WARM_P50, 0.5), (WARM_P99, 0.99)] {
        add(name, quantile(&warm, share).unwrap_or_default());
    }
    add(INVOCATION_CPU, millis(after - before) / MEASURED_INVOCATIONS as f64);
    add_calls(&mut add, CALLS, &aws.take_calls(), MEASURED_INVOCATIONS as f64);
    add(PEAK_MEMORY, running.peak_mebibytes()?);

    let batches = if subject.takes_batches { batches } else { &[] };
    // The first large batch also allocates the memory that later batches reuse. It is not measured.
    if let Some((_, batch)) = batches.first() {
        running.invoke(batch.clone()).await?;
        aws.take_calls();
    }
    for (users, batch) in batches {
        let before = running.cpu().await;
        let elapsed = running.invoke(batch.clone()).await?;
        let (cpu, calls) = (running.cpu().await - before, aws.take_calls());
        let events = BATCH_EVENTS as f64;
        add(&of_users(*users, EVENTS_PER_SECOND), events / elapsed.as_secs_f64());
        add(&of_users(*users, CPU_PER_EVENT), millis(cpu) / events);
        add_calls(&mut add, &of_users(*users, CALLS_PER_EVENT), &calls, events);
        add(&of_users(*users, WRITE_UNITS_PER_EVENT), calls.write_units() as f64 / events);
        add(&of_users(*users, PEAK_MEMORY), running.peak_mebibytes()?);
    }
    if !batches.is_empty() {
        for event in sign_in(Timestamp::now()) {
            running.invoke(event).await?;
        }
        add(WRITE_UNITS_PER_SIGN_IN, aws.take_calls().write_units() as f64);
    }
    Ok(figures)
}

/// Adds the number of all calls and of each operation's calls, divided by `divisor`.
fn add_calls(add: &mut impl FnMut(&str, f64), name: &str, calls: &Calls, divisor: f64) {
    add(name, calls.count() as f64 / divisor);
    for (operation, count) in &calls.by_operation {
        add(&of_operation(name, operation), *count as f64 / divisor);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A running function with its Runtime API.
struct Running {
    api: RuntimeApi,
    process: Process,
}

impl Running {
    async fn step(&mut self) -> Result<Step, String> {
        let step = tokio::select! {
            biased; // An error that the function reported explains why it ended.
            step = self.api.next_step() => step,
            status = self.process.ended() => return Err(format!("the process ended: {status}")),
            () = tokio::time::sleep(STEP_TIMEOUT) => {
                return Err(format!("no answer within {} s", STEP_TIMEOUT.as_secs()));
            }
        };
        match step {
            Some(Step::Failed(reason)) => Err(reason),
            Some(step) => Ok(step),
            None => Err("the Runtime API has stopped".to_owned()),
        }
    }

    /// Waits until the function requests an event.
    async fn request(&mut self) -> Result<Instant, String> {
        match self.step().await? {
            Step::RequestedEvent(at) => Ok(at),
            other => Err(format!("expected a request for an event, got {other:?}")),
        }
    }

    /// Waits until the function has received an event and answered it. Returns both times.
    async fn answer(&mut self) -> Result<(Instant, Instant), String> {
        let received = match self.step().await? {
            Step::ReceivedEvent(at) => at,
            other => return Err(format!("expected the function to receive an event, got {other:?}")),
        };
        match self.step().await? {
            Step::Answered(answered, body) => check(&body).map(|()| (received, answered)),
            other => Err(format!("expected an answer, got {other:?}")),
        }
    }

    /// Sends an event, and waits until the function has answered it and requests the next. Returns the time to the answer.
    async fn invoke(&mut self, event: Bytes) -> Result<Duration, String> {
        self.api.send(event);
        let (received, answered) = self.answer().await?;
        self.request().await?;
        Ok(answered - received)
    }

    async fn cpu(&mut self) -> Duration {
        tokio::time::sleep(CPU_SETTLE_TIME).await;
        self.process.cpu()
    }

    fn peak_mebibytes(&self) -> Result<f64, String> {
        self.process.peak_mebibytes().ok_or_else(|| "/proc has no peak memory of the process".to_owned())
    }
}

/// Rejects the answer of a worker that returned messages to the queue, and an error of the read API: neither has done the
/// work that is measured.
fn check(answer: &Bytes) -> Result<(), String> {
    let answer: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    if let Some(status) = answer["statusCode"].as_u64().filter(|status| *status != 200) {
        return Err(format!("the answer has status {status}"));
    }
    match answer["batchItemFailures"].as_array() {
        Some(failures) if !failures.is_empty() => Err(format!("{} messages failed", failures.len())),
        _ => Ok(()),
    }
}

/// The environment variables that Lambda and the template set, and the address of the backend.
fn variables(api: &RuntimeApi, backend: &Backend) -> Vec<(String, String)> {
    let url = backend.aws.url();
    let queue = |name: &str| format!("{url}/123456789012/{name}");
    let text = str::to_owned;
    let mut variables = vec![
        ("AWS_LAMBDA_RUNTIME_API", api.address().to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", text("function")),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", text("256")),
        ("AWS_LAMBDA_FUNCTION_VERSION", text("$LATEST")),
        ("AWS_LAMBDA_LOG_FORMAT", text("JSON")),
        ("AWS_LAMBDA_LOG_GROUP_NAME", text("/aws/lambda/function")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", text("2026/03/02/[$LATEST]0")),
        ("AWS_REGION", text("eu-central-1")),
        // boto3 does not read AWS_REGION.
        ("AWS_DEFAULT_REGION", text("eu-central-1")),
        ("AWS_ACCESS_KEY_ID", text("EXAMPLE")),
        ("AWS_SECRET_ACCESS_KEY", text("EXAMPLE")),
        ("AWS_SESSION_TOKEN", text("EXAMPLE")),
        ("AWS_ENDPOINT_URL", url.clone()),
        // The SDKs must not find the user's ~/.aws.
        ("HOME", text("/nonexistent")),
        ("LANG", text("C.UTF-8")),
        ("PATH", std::env::var("PATH").unwrap_or_default()),
        ("TZ", text("UTC")),
        ("TABLE_NAME", text("cognito-user-events")),
        ("PRODUCT_NAME", text("Example Shop")),
        ("DISTRIBUTION_ID", text("E2EXAMPLE1ABCD")),
        ("USER_EVENTS_QUEUE_URL", queue("user-events")),
        ("CACHE_INVALIDATIONS_QUEUE_URL", queue("cache-invalidations")),
        ("GROUP_MEMBERSHIPS_QUEUE_URL", queue("group-memberships")),
        ("RESOURCE_PERMISSIONS_QUEUE_URL", queue("resource-permissions")),
        ("ACCOUNT_ACTIVITIES_QUEUE_URL", queue("account-activities")),
        ("ACCOUNT_ID", text("123456789012")),
        ("USER_POOL_ID", text("eu-central-1_EXAMPLE01")),
        ("DEAD_LETTER_QUEUE_URL", queue("dead-letters")),
        ("CLIENT_IDS", text("1example23456789")),
        ("ISSUER_URL", text("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE01")),
        ("LOGIN_URL", text("https://example.auth.eu-central-1.amazoncognito.com")),
        ("ORIGIN_SECRETS", String::new()),
    ];
    if let Some(trusted) = &backend.trusted {
        variables.push(("NODE_EXTRA_CA_CERTS", trusted.authority.display().to_string()));
        let with_system =
            trusted.with_system.iter().map(|path| ("AWS_CA_BUNDLE", path.display().to_string()));
        variables.extend(with_system);
        variables.push(("SSL_CERT_FILE", trusted.with_amazon.display().to_string()));
    }
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_without_the_measured_work_is_rejected() {
        for (answer, expected) in [
            (r#"{"batchItemFailures": []}"#, true),
            (r#"{"batchItemFailures": [{"itemIdentifier": "m"}]}"#, false),
            (r#"{"response": {}}"#, true),
            (r#"{"statusCode": 200, "body": "{}"}"#, true),
            (r#"{"statusCode": 401, "body": "{}"}"#, false),
            ("", false),
        ] {
            assert_eq!(check(&Bytes::from_static(answer.as_bytes())).is_ok(), expected, "{answer}");
        }
    }
}
