//! Runs the commands of the section "A bad deployment" in docs/operations.md, and compares their
//! output.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sandbox::aws::{Fault, SandboxAccount, TABLE, sdk_config};
use serde_json::{Value, json};
use shared::events::Event;
use shared::statistics::{Statistics, UserStats};
use shared::time::{Clock, minus_seconds};
use tests::sqs::Sqs;
use workers::user_stats;

use super::support::{ANA, SqsAndSandbox, command, run, send};

const PAGE: &str = include_str!("../../../docs/operations.md");

/// A command on the page, and its output there.
struct Sample {
    command: String,
    output: String,
}

/// The samples in the `console` blocks of a section.
fn samples(heading: &str) -> Vec<Sample> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let mut samples: Vec<Sample> = Vec::new();
    for block in section.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                samples.push(Sample { command: command.to_owned(), output: String::new() });
            } else {
                samples.last_mut().unwrap().output += &format!("{line}\n");
            }
        }
    }
    samples
}

/// Replaces dates and times, which differ from run to run.
fn without_times(text: &str) -> String {
    let is_date = |word: &str| word.len() >= 10 && word.starts_with("20") && word.as_bytes()[4] == b'-';
    let words = text.split(' ').map(|word| if is_date(word) { "<time>" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Passes batches to the worker until the queue is empty, as Lambda does.
async fn deliver(sqs: &Sqs, worker: &user_stats::Deps) {
    let client = aws_sdk_sqs::Client::new(&shared::aws::worker_settings(sdk_config(sqs.clone())));
    let url = Sqs::url("user-events");
    loop {
        let call = client.receive_message().queue_url(&url).max_number_of_messages(10);
        let received = call.visibility_timeout(600).message_attribute_names("All").send().await.unwrap();
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            return;
        }
        let records = messages.iter().map(|message| {
            let attributes = message.message_attributes.iter().flatten().map(|(name, value)| {
                let binary = value.binary_value().map(aws_smithy_types::base64::encode);
                let value = json!({
                    "dataType": value.data_type(), "stringValue": value.string_value(), "binaryValue": binary,
                });
                (name.clone(), value)
            });
            json!({
                "messageId": message.message_id(), "receiptHandle": message.receipt_handle(), "body": message.body(),
                "messageAttributes": attributes.collect::<serde_json::Map<_, _>>(),
            })
        });
        let batch = serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap();
        let response = user_stats::handle(worker, batch, jiff::Timestamp::MAX).await.unwrap();
        for message in &messages {
            let has_failed = response
                .batch_item_failures
                .iter()
                .any(|failure| Some(failure.item_identifier.as_str()) == message.message_id());
            let receipt = message.receipt_handle().unwrap();
            if has_failed {
                let call = client.change_message_visibility_batch().queue_url(&url);
                let entry = aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry::builder();
                let entry = entry.id("1").receipt_handle(receipt).visibility_timeout(0).build().unwrap();
                call.entries(entry).send().await.unwrap();
            } else {
                replay::queue::reader::delete(&client, &url, &[receipt]).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_page_print_what_the_page_shows() {
    // All events are on the day before, so that the page shows one day.
    let now = Clock::system().now();
    let midnight = minus_seconds(now, now.as_second() % 86_400);
    let time = |minute: i64| minus_seconds(midnight, 7 * 3_600 - minute * 60).to_string();
    let account = Arc::new(SandboxAccount::start(now).await.unwrap());
    let sqs = Sqs::new(Clock::system());
    for name in ["user-events", "cache-invalidations"] {
        let dead_letters = format!("{name}-dead-letters");
        sqs.create(&dead_letters, None);
        sqs.create(name, Some((&dead_letters, 5)));
    }
    let aws = SqsAndSandbox { sqs: sqs.clone(), sandbox: account.backend().clone() };
    let endpoint = format!("http://{}", tests::lambda::serve_aws(aws.clone()).await);
    let mut function = account.function(shared::function_id::FunctionId::UserStats, &Default::default());
    function.aws = shared::aws::worker_settings(sdk_config(aws));
    let worker = user_stats::Deps::new(&function).unwrap();

    let event = |event_type: &str, id: &str, minute: i64, data: Value| {
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/shop", "type": event_type, "subject": ANA, "time": time(minute),
            "data": data,
        });
        event.to_string()
    };
    let order = |minute: i64, amount: Value| {
        let id = (1001 + minute).to_string();
        event("order.placed", &id, minute, json!({"order_id": id, "amount": amount, "currency": "EUR"}))
    };
    let notification = json!({"notification_id": "order-1005-confirmed", "kind": "order"});
    let mut bodies: Vec<String> = (0..3).map(|minute| order(minute, json!("49.90"))).collect();
    bodies.push(event("notification.created", "n-1005", 5, notification));
    bodies.extend((3..5).map(|minute| order(minute, json!(49.9))));
    let mut expected = UserStats::default();
    for body in &bodies {
        let body = body.replace("\"amount\":49.9,", "\"amount\":\"49.90\",");
        expected.apply(&Event::parse(&body).unwrap());
    }

    // The bad deployment: the role of user-stats cannot write to the table.
    account.faults.inject("*", Fault::Error("AccessDeniedException"), usize::MAX);
    bodies.iter().for_each(|body| send(&sqs, "user-events", body, None));
    deliver(&sqs, &worker).await;

    let folder = tempfile::tempdir().unwrap();
    let samples = samples("A bad deployment");
    assert!(samples.len() > 8);
    for Sample { command: line, output } in samples {
        let printed = match line.split(' ').next().unwrap() {
            // Deploys the corrected role.
            "sam" => {
                account.faults.clear();
                String::new()
            }
            _ => in_shell(&line, &endpoint, folder.path()).await,
        };
        assert_eq!(without_times(&printed), without_times(&output), "$ {line}");
        deliver(&sqs, &worker).await;
    }
    let stored = account.users().await.unwrap().remove(ANA).unwrap();
    assert_eq!(
        serde_json::from_value::<UserStats>(stored).unwrap(),
        expected,
        "the same as without the bad deployment"
    );
    assert!(sqs.messages_in("user-events-dead-letters").is_empty());
}

/// Runs a line of the page in a shell that finds the binary under test as `replay`.
async fn in_shell(line: &str, endpoint: &str, folder: &Path) -> String {
    let replay = command(endpoint, &[]);
    let bin = folder.join("bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(replay.get_program(), bin.join("replay")).unwrap();
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(folder).env_clear();
    shell.envs(replay.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("TABLE_NAME", TABLE);
    let ran = run(shell).await;
    assert_eq!(ran.code, 0, "$ {line}\n{}{}", ran.stdout, ran.stderr);
    ran.stdout
}
