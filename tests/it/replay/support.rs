//! Runs the binary `replay` against an AWS on loopback.

use std::process::{Command, Output};

use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::backend::SandboxBackend;
use sandbox::aws::{Answer, AwsBackend};
use serde_json::json;
use shared::time::Clock;
use tests::sqs::Sqs;
use winterbaume_core::MockRequest;

/// Sub of the user that most messages are about.
pub const ANA: &str = "7d8ca528-4931-4254-9273-ea5ee853f271";

/// The result of a run.
#[derive(Debug)]
pub struct CommandRun {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// `replay` with credentials for the account at `endpoint`, and without the environment of the
/// shell.
pub fn command(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay-under-test"));
    command
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", "EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "EXAMPLE")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("USER", "ben")
        .args(arguments);
    command
}

pub async fn run(mut command: Command) -> CommandRun {
    let run = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let Output { status, stdout, stderr } = run;
    CommandRun {
        code: status.code().unwrap_or_default(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// An account that has only queues: user-events with its dead-letter queue, and a FIFO queue with
/// its own.
pub struct Queues {
    pub sqs: Sqs,
    pub endpoint: String,
}

impl Queues {
    pub async fn start() -> Self {
        let sqs = Sqs::new(Clock::system());
        for (name, fifo) in [("user-events", ""), ("orders", ".fifo")] {
            let dead_letters = format!("{name}-dead-letters{fifo}");
            sqs.create(&dead_letters, None);
            sqs.create(&format!("{name}{fifo}"), Some((&dead_letters, 5)));
        }
        let endpoint = format!("http://{}", tests::lambda::serve_aws(sqs.clone()).await);
        Self { sqs, endpoint }
    }

    pub async fn replay(&self, arguments: &[&str]) -> CommandRun {
        run(command(&self.endpoint, arguments)).await
    }

    /// The bodies in a queue, in the order in which they were sent.
    pub fn bodies(&self, queue: &str) -> Vec<String> {
        let stored = self.sqs.messages_in(queue);
        stored.iter().map(|message| message.sent["MessageBody"].as_str().unwrap().to_owned()).collect()
    }

    /// Sends a dead letter, with a reason if there is one.
    pub fn dead_letter(&self, queue: &str, body: &str, reason: Option<&str>) {
        send(&self.sqs, queue, body, reason);
    }
}

/// Sends a message with attributes, a message group and a trace header, and with a reason if there
/// is one.
pub fn send(sqs: &Sqs, queue: &str, body: &str, reason: Option<&str>) {
    let string = |value: &str| json!({"DataType": "String", "StringValue": value});
    let mut attributes =
        json!({"tenant": string("blue"), "thumbnail": {"DataType": "Binary", "BinaryValue": "AP8="}});
    if let Some(reason) = reason {
        attributes["error.type"] = string(reason);
        attributes["error.message"] = string("sentence about the reason");
    }
    let mut input = json!({
        "QueueUrl": Sqs::url(queue), "MessageBody": body, "MessageAttributes": attributes, "MessageGroupId": ANA,
        "MessageSystemAttributes": {"AWSTraceHeader": string("Root=1-5759e988-bd862e3fe1be46a994272793")},
    });
    if queue.ends_with(".fifo") {
        input["MessageDeduplicationId"] =
            body.chars().filter(char::is_ascii_alphanumeric).collect::<String>().into();
    }
    assert_eq!(sqs.handle("SendMessage", &input).status, 200);
}

/// The body of an `order.placed` event of Ana.
pub fn order(id: &str, time: &str) -> String {
    let event = json!({
        "specversion": "1.0", "id": format!("order-{id}"), "source": "/shop", "type": "order.placed", "subject": ANA,
        "time": time, "data": {"order_id": id, "amount": "4.90", "currency": "EUR"},
    });
    event.to_string()
}

/// An account whose queues are those of [`Sqs`]. The sandbox account serves the rest.
#[derive(Clone, Debug)]
pub struct SqsAndSandbox {
    pub sqs: Sqs,
    pub sandbox: SandboxBackend,
}

impl AwsBackend for SqsAndSandbox {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        if target.is_some_and(|target| target.starts_with("AmazonSQS.")) {
            self.sqs.answer(request).await
        } else {
            self.sandbox.answer(request).await
        }
    }
}
