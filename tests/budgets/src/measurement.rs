//! One start of one subject, from spawn to the last warm answer.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use crate::aws::{Aws, Calls};
use crate::certificates::Trusted;
use crate::figures::quantile;
use crate::process::Process;
use crate::results::{
    CALLS, CALLS_PER_EVENT, CPU, CPU_PER_EVENT, EVENTS_PER_SECOND, FIRST_ANSWER, FIRST_NEXT, PEAK,
    START_CALLS, START_CPU, UNITS_PER_EVENT, WARM_MEDIAN, WARM_TAIL, of_operation, of_users,
};
use crate::runtime_api::{Happening, RuntimeApi};
use crate::subjects::{BATCH_EVENTS, Subject};

/// Nothing on loopback takes longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Invocations that are not measured: what is built once is built, and of what is compiled while it runs, most is compiled.
const UNMEASURED: usize = 200;
/// Warm invocations that are.
const WARM: usize = 200;
/// A function that asks for an event is about to sleep: so long until its processor time stands still.
const SETTLING: Duration = Duration::from_millis(2);

/// What a subject is started against.
pub struct Surroundings {
    /// What it calls.
    pub aws: Aws,
    /// Whom to trust, where calls go over TLS.
    pub trusted: Option<Trusted>,
}

/// A batch: of how many users, and as Lambda hands it over.
pub type Batch = (usize, Bytes);

/// Starts a subject and measures everything: figures by name.
pub async fn measure(
    subject: &Subject,
    surroundings: &Surroundings,
    batches: &[Batch],
    log: &Path,
) -> Result<Vec<(String, f64)>, String> {
    let aws = &surroundings.aws;
    aws.take_calls();
    let api = RuntimeApi::start().await;
    let variables = variables(&api, surroundings);
    // As a cold start is: the event waits for the function.
    api.send(subject.event.clone());
    let started = Instant::now();
    let process = Process::spawn(subject, &variables, log)?;
    let mut running = Running { api, process };
    let result = figures(&mut running, subject, aws, batches, started).await;
    running.process.kill().await;
    result.map_err(|reason| format!("{}: {reason}; what it wrote is in {}", subject.name, log.display()))
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

    let first_next = running.next().await?;
    let (_, first_answer) = running.answer().await?;
    running.next().await?;
    add(FIRST_NEXT, millis(first_next - started));
    add(FIRST_ANSWER, millis(first_answer - started));
    add(START_CPU, millis(running.cpu().await));
    add_calls(&mut add, START_CALLS, &aws.take_calls(), 1.0);

    for _ in 0..UNMEASURED {
        running.invoke(subject.event.clone()).await?;
    }
    aws.take_calls();
    let before = running.cpu().await;
    let mut warm = Vec::with_capacity(WARM);
    for _ in 0..WARM {
        warm.push(millis(running.invoke(subject.event.clone()).await?));
    }
    let after = running.cpu().await;
    for (name, share) in [(WARM_MEDIAN, 0.5), (WARM_TAIL, 0.99)] {
        add(name, quantile(&warm, share).unwrap_or_default());
    }
    add(CPU, millis(after - before) / WARM as f64);
    add_calls(&mut add, CALLS, &aws.take_calls(), WARM as f64);
    add(PEAK, running.process.peak_mebibytes().ok_or("no peak of its memory")?);

    let batches = if subject.takes_batches { batches } else { &[] };
    // The first large batch pays for memory that later ones find there: it is not measured.
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
        add(&of_users(*users, UNITS_PER_EVENT), calls.write_units() as f64 / events);
        let peak = running.process.peak_mebibytes().ok_or("no peak of its memory")?;
        add(&of_users(*users, PEAK), peak);
    }
    Ok(figures)
}

fn add_calls(add: &mut impl FnMut(&str, f64), name: &str, calls: &Calls, by: f64) {
    add(name, calls.count() as f64 / by);
    for (operation, count) in &calls.by_operation {
        add(&of_operation(name, operation), *count as f64 / by);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A function and the Runtime API that it asks.
struct Running {
    api: RuntimeApi,
    process: Process,
}

impl Running {
    async fn happening(&mut self) -> Result<Happening, String> {
        let happening = tokio::select! {
            biased; // What it says before it ends is the reason.
            happening = self.api.happening() => happening,
            ended = self.process.ended() => return Err(format!("it ended: {ended}")),
            () = tokio::time::sleep(PATIENCE) => return Err("it does not answer".to_owned()),
        };
        match happening {
            Some(Happening::Failed(reason)) => Err(reason),
            Some(happening) => Ok(happening),
            None => Err("no Runtime API".to_owned()),
        }
    }

    /// Waits until it asks for an event.
    async fn next(&mut self) -> Result<Instant, String> {
        match self.happening().await? {
            Happening::Next(at) => Ok(at),
            other => Err(format!("expected it to ask for an event: {other:?}")),
        }
    }

    /// Waits for the answer to an event: when it was handed over, and when it was answered.
    async fn answer(&mut self) -> Result<(Instant, Instant), String> {
        let Happening::Handed(handed) = self.happening().await? else {
            return Err("expected it to take an event".to_owned());
        };
        match self.happening().await? {
            Happening::Answered(answered, body) => check(&body).map(|()| (handed, answered)),
            other => Err(format!("expected an answer: {other:?}")),
        }
    }

    /// Hands over an event, and waits until it is answered and the next one is asked for: how long the answer took.
    async fn invoke(&mut self, event: Bytes) -> Result<Duration, String> {
        self.api.send(event);
        let (handed, answered) = self.answer().await?;
        self.next().await?;
        Ok(answered - handed)
    }

    async fn cpu(&mut self) -> Duration {
        tokio::time::sleep(SETTLING).await;
        self.process.cpu()
    }
}

/// A worker that gives messages back has not done what is measured.
fn check(answer: &Bytes) -> Result<(), String> {
    let answer: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    match answer["batchItemFailures"].as_array() {
        Some(failures) if !failures.is_empty() => Err(format!("{} messages failed", failures.len())),
        _ => Ok(()),
    }
}

/// What Lambda sets, what the template sets, and where AWS is.
fn variables(api: &RuntimeApi, surroundings: &Surroundings) -> Vec<(String, String)> {
    let url = surroundings.aws.url();
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
        // Nobody's ~/.aws.
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
        ("DEAD_LETTER_QUEUE_URL", queue("dead-letters")),
    ];
    if let Some(trusted) = &surroundings.trusted {
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
    fn messages_that_come_back_are_a_failure() {
        for (answer, expected) in [
            (r#"{"batchItemFailures": []}"#, true),
            (r#"{"batchItemFailures": [{"itemIdentifier": "m"}]}"#, false),
            (r#"{"response": {}}"#, true),
            ("", false),
        ] {
            assert_eq!(check(&Bytes::from_static(answer.as_bytes())).is_ok(), expected, "{answer}");
        }
    }
}
