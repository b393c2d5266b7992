//! `replay` as it is typed, against an AWS on loopback.

use std::process::{Command, Output};

use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::Answer;
use sandbox::aws::http_client::{AwsBackend, SandboxHttpClient};
use serde_json::json;
use shared::time::Clock;
use tests::sqs::Sqs;
use winterbaume_core::MockRequest;

/// Whom most messages are about.
pub const ANA: &str = "7d8ca528-4931-4254-9273-ea5ee853f271";

/// What a run wrote, and its exit code.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub shown: String,
    pub errors: String,
}

/// A command with the credentials of the account at `endpoint`, and nothing of the shell's.
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

/// Runs it.
pub async fn run(mut command: Command) -> Ran {
    let run = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let Output { status, stdout, stderr } = run;
    Ran {
        code: status.code().unwrap_or_default(),
        shown: String::from_utf8(stdout).unwrap(),
        errors: String::from_utf8(stderr).unwrap(),
    }
}

/// An account of queues alone: user-events with its dead-letter queue, and a FIFO pair.
pub struct Queues {
    pub sqs: Sqs,
    pub endpoint: String,
}

impl Queues {
    pub async fn start() -> Self {
        let sqs = Sqs::new(Clock::system());
        for (name, fifo) in [("user-events", ""), ("orders", ".fifo")] {
            let dead_letters = format!("{name}-dlq{fifo}");
            sqs.create(&dead_letters, None);
            sqs.create(&format!("{name}{fifo}"), Some((&dead_letters, 5)));
        }
        let endpoint = format!("http://{}", tests::lambda::serve_aws(sqs.clone()).await);
        Self { sqs, endpoint }
    }

    pub async fn replay(&self, arguments: &[&str]) -> Ran {
        run(command(&self.endpoint, arguments)).await
    }

    /// The bodies in a queue, in the order in which they were sent.
    pub fn bodies(&self, queue: &str) -> Vec<String> {
        let lying = self.sqs.lying_in(queue);
        lying.iter().map(|message| message.sent["MessageBody"].as_str().unwrap().to_owned()).collect()
    }

    /// Sends a dead letter, with its reason where it has one.
    pub fn dead_letter(&self, queue: &str, body: &str, reason: Option<&str>) {
        send(&self.sqs, queue, body, reason);
    }
}

/// Sends a message with an attribute, a group and a trace, and with a reason where it has one.
pub fn send(sqs: &Sqs, queue: &str, body: &str, reason: Option<&str>) {
    let string = |value: &str| json!({"DataType": "String", "StringValue": value});
    let mut attributes =
        json!({"tenant": string("blue"), "thumbnail": {"DataType": "Binary", "BinaryValue": "AP8="}});
    if let Some(reason) = reason {
        attributes["error.type"] = string(reason);
        attributes["error.message"] = string("what to do about it");
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

/// An order of Ana's, as a body.
pub fn order(id: &str, time: &str) -> String {
    let event = json!({
        "specversion": "1.0", "id": format!("order-{id}"), "source": "/shop", "type": "order.placed", "subject": ANA,
        "time": time, "data": {"order_id": id, "amount": "4.90", "currency": "EUR"},
    });
    event.to_string()
}

/// An account whose queues are those of [`Sqs`], and everything else the embedded one's.
#[derive(Clone, Debug)]
pub struct Both {
    pub sqs: Sqs,
    pub others: SandboxHttpClient,
}

impl AwsBackend for Both {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        if target.is_some_and(|target| target.starts_with("AmazonSQS.")) {
            self.sqs.answer(request).await
        } else {
            self.others.answer(request).await
        }
    }
}
