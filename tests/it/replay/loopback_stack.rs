//! A deployed stack on loopback, so that the binary `replay` can call it.

use std::sync::Arc;

use jiff::Timestamp;
use sandbox::aws::SandboxAccount;
use serde_json::json;
use shared::function_id::FunctionId;
use shared::telemetry::Metrics;
use shared::time::{Clock, minus_seconds};
use tests::sqs::Sqs;
use tests::stack_account::{Metric, STACK, StackAccount};

use super::support::{self, CommandRun};

/// Names of a queue and of its dead-letter queue in the stack.
pub const USER_EVENTS: &str = "cognito-user-events-user-events";
pub const USER_EVENTS_DLQ: &str = "cognito-user-events-user-events-dead-letters";

pub struct LoopbackStack {
    pub account: StackAccount,
    pub sandbox: Arc<SandboxAccount>,
    endpoint: String,
}

impl LoopbackStack {
    /// The stack of `template.yaml` with its defaults. Everything is quiet.
    pub async fn start() -> Self {
        Self::with_parameters(&[]).await
    }

    /// The same, with values for parameters.
    pub async fn with_parameters(parameters: &[(&str, &str)]) -> Self {
        let sandbox = Arc::new(SandboxAccount::start(Clock::system().now()).await.unwrap());
        let account = StackAccount::new(parameters, Some(sandbox.backend().clone()));
        let endpoint = format!("http://{}", tests::lambda::serve_aws(account.clone()).await);
        Self { account, sandbox, endpoint }
    }

    /// Runs `replay` with STACK_NAME and these environment variables.
    pub async fn replay_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> CommandRun {
        let mut command = support::command(&self.endpoint, arguments);
        command.env("STACK_NAME", STACK).envs(variables.iter().copied());
        support::run(command).await
    }

    pub async fn replay(&self, arguments: &[&str]) -> CommandRun {
        self.replay_with(&[], arguments).await
    }

    /// Sends messages to a queue.
    pub fn send(&self, queue: &str, count: usize) {
        for index in 0..count {
            let input = json!({"QueueUrl": Sqs::url(queue), "MessageBody": format!("{{\"n\":{index}}}")});
            assert_eq!(self.account.sqs().handle("SendMessage", &input).status, 200);
        }
    }

    /// Adds a data point that is a minute old.
    pub fn metric(&self, namespace: &str, name: &str, dimensions: &[(&str, &str)], value: f64) {
        self.account.put_metric(Metric::new(namespace, name, dimensions, ago(60), value));
    }

    /// The metrics of a function, written a minute ago.
    pub fn metrics_of(&self, function: FunctionId) -> Metrics {
        let (account, time) = (self.account.clone(), ago(60));
        let write = move |line: &str| account.put_embedded_metrics(line);
        let metrics =
            Metrics::new(format!("{STACK}-{}", function.name()), Clock::from_fn(move || time), write);
        metrics.in_stack(Some(STACK))
    }

    /// Sets the age of the oldest message of a queue in seconds, in CloudWatch.
    pub fn oldest_message(&self, queue: &str, seconds: f64) {
        self.metric("AWS/SQS", "ApproximateAgeOfOldestMessage", &[("QueueName", queue)], seconds);
    }

    /// Starts a move task that moves one message per second.
    pub fn start_move_task(&self, from: &str, to: &str) {
        let arn = |name: &str| format!("arn:aws:sqs:eu-central-1:123456789012:{name}");
        let input =
            json!({"SourceArn": arn(from), "DestinationArn": arn(to), "MaxNumberOfMessagesPerSecond": 1});
        assert_eq!(self.account.sqs().handle("StartMessageMoveTask", &input).status, 200);
    }
}

/// A time before now.
pub fn ago(seconds: i64) -> Timestamp {
    minus_seconds(Clock::system().now(), seconds)
}
