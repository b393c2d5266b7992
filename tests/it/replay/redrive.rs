//! `replay redrive` and `replay inspect`.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use aws_smithy_runtime_api::client::result::ConnectorError;
use replay::interrupt::StopSignal;
use replay::queue::description::QueueDescription;
use replay::queue::filter::Filter;
use replay::queue::inspect::inspect;
use replay::queue::redrive::copy::move_one_by_one;
use replay::queue::redrive::destination::Destination;
use replay::queue::redrive::summary::RedriveSummary;
use replay::queue::redrive::{RedriveOptions, Route};
use sandbox::aws::{Answer, AwsBackend, sdk_config};
use serde_json::{Value, json};
use shared::time::Clock;
use tests::sqs::Sqs;
use winterbaume_core::MockRequest;

use super::support::{ANA, Queues, order, send};

const TIME: &str = "2026-03-02T08:00:00Z";

/// Four dead letters. Workers dead-lettered two of them, and SQS moved the other two after too many
/// receives.
async fn dead_letters() -> Queues {
    let queues = Queues::start().await;
    queues.dead_letter("user-events-dead-letters", &order("1", TIME), Some("unknown_type"));
    queues.dead_letter("user-events-dead-letters", &order("2", TIME), None);
    queues.dead_letter("user-events-dead-letters", &order("3", TIME), Some("invalid_data"));
    queues.dead_letter("user-events-dead-letters", "no JSON", None);
    queues
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_shows_the_plan_and_changes_nothing() {
    let queues = dead_letters().await;
    let before = queues.bodies("user-events-dead-letters");
    let ran = queues
        .replay(&["redrive", "--from", "user-events-dead-letters", "--error", "received_too_often"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!(ran.stdout, @r"
    from  arn:aws:sqs:eu-central-1:123456789012:user-events-dead-letters
    to    arn:aws:sqs:eu-central-1:123456789012:user-events
    how   copied and deleted one by one: the options choose messages

    2 messages would move, 2 would stay
    1 of these would come back as dead letters (1 not_json). Correct them in a file (see `replay help save`)

    By type
          1  not_an_event
          1  order.placed

    By reason
          2  received_too_often

    By age
          2  less than an hour

    By subject
          1  7d8ca528-4931-4254-9273-ea5ee853f271

    Dry run: nothing was sent. Add --yes to move 2 messages.
    ");
    assert_eq!((queues.bodies("user-events-dead-letters"), queues.bodies("user-events").len()), (before, 0));
    let stored = queues.sqs.messages_in("user-events-dead-letters");
    assert!(stored.iter().all(|message| message.is_visible), "all are visible again");
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_counts_messages_that_workers_would_reject_again() {
    let queues = dead_letters().await;
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!(ran.stdout, @r"
    from  arn:aws:sqs:eu-central-1:123456789012:user-events-dead-letters
    to    arn:aws:sqs:eu-central-1:123456789012:user-events
    how   copied and deleted one by one: the reasons of dead letters must be removed

    4 messages would move
    2 of these would come back as dead letters (1 invalid_data, 1 not_json). Correct them in a file (see `replay help save`)
    1 of these would come back as dead letters, unless the worker knows their type now (unknown_type)

    By type
          3  order.placed
          1  not_an_event

    By reason
          2  received_too_often
          1  invalid_data
             sentence about the reason
          1  unknown_type
             sentence about the reason

    By age
          4  less than an hour

    By subject
          3  7d8ca528-4931-4254-9273-ea5ee853f271

    Dry run: nothing was sent. Add --yes to move 4 messages.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn inspection_shows_counts_and_masked_samples() {
    let queues = dead_letters().await;
    let ran = queues
        .replay(&["inspect", "user-events-dead-letters", "--error", "unknown_type", "--sample", "1"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!(ran.stdout, @r#"
    1 message matches, 3 do not

    By type
          1  order.placed

    By reason
          1  unknown_type
             sentence about the reason

    By age
          1  less than an hour

    By subject
          1  7d8ca528-4931-4254-9273-ea5ee853f271

    Samples: unknown_type
      {"data":{"amount":"4.90","currency":"EUR","order_id":"1"},"id":"order-1","source":"/shop","specversion":"1.0","subject":"7d8ca528-4931-4254-9273-ea5ee853f271","time":"2026-03-02T08:00:00Z","type":"order.placed"}

    Next steps
      unknown_type: deploy a worker that knows the type, then redrive
        replay redrive --from user-events-dead-letters --error unknown_type
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn redriven_message_keeps_everything_except_its_reason() {
    let queues = dead_letters().await;
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("\n4 messages will move\n"), "{ran:?}");
    assert!(ran.stdout.ends_with("\n4 messages moved\n"), "{ran:?}");
    assert_eq!(queues.bodies("user-events-dead-letters"), Vec::<String>::new());
    let moved = queues.sqs.messages_in("user-events");
    assert_eq!(moved.len(), 4);
    for message in moved {
        let sent = message.sent;
        let names: Vec<&String> = sent["MessageAttributes"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["tenant", "thumbnail"]);
        assert_eq!(sent["MessageAttributes"]["thumbnail"]["BinaryValue"], "AP8=");
        assert_eq!(sent["MessageGroupId"], ANA);
        let trace = &sent["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"];
        assert_eq!(trace, "Root=1-5759e988-bd862e3fe1be46a994272793");
        assert_eq!(sent.get("MessageDeduplicationId"), None);
    }
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--yes"]).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("Nothing to move.\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select_messages_and_the_others_stay() {
    for (options, expected) in [
        (&["--type", "order.placed"][..], 3),
        (&["--type", "order.placed", "--error", "invalid_data"], 1),
        (&["--error", "invalid_data", "--error", "unknown_type"], 2),
        (&["--subject", ANA], 3),
        (&["--max", "3"], 3),
        (&["--newer-than", "1h"], 4),
        (&["--older-than", "1h"], 0),
        (&["--older-than", "2020-01-01"], 0),
        (&["--type", "order.plaecd"], 0),
    ] {
        let queues = dead_letters().await;
        let ran = queues
            .replay(&[&["redrive", "--from", "user-events-dead-letters", "--yes"], options].concat())
            .await;
        assert_eq!(ran.code, i32::from(expected == 0), "{ran:?}");
        assert_eq!(queues.bodies("user-events").len(), expected, "{options:?}");
        let stayed = queues.sqs.messages_in("user-events-dead-letters");
        assert_eq!(stayed.len(), 4 - expected, "{options:?}");
        assert!(stayed.iter().all(|message| message.is_visible), "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqs_moves_messages_without_reasons_in_a_move_task() {
    let queues = Queues::start().await;
    for number in 0..25 {
        queues.dead_letter("user-events-dead-letters", &order(&number.to_string(), TIME), None);
    }
    let command =
        ["redrive", "--from", "user-events-dead-letters", "--to", "user-events", "--rate", "10", "--yes"];
    let ran = queues.replay(&command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("how   moved by SQS in a move task\n"), "{ran:?}");
    assert!(ran.stdout.ends_with("\n25 messages moved, according to SQS.\n"), "{ran:?}");
    assert!(ran.stderr.starts_with("moved 10 of 25, "), "SQS's counts are shown: {ran:?}");
    assert_eq!(
        (queues.bodies("user-events-dead-letters").len(), queues.bodies("user-events").len()),
        (0, 25)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_sqs_rejects_stays_and_is_reported() {
    let queues = dead_letters().await;
    queues.sqs.refuse_every_send(2);
    let command = ["redrive", "--from", "user-events-dead-letters", "--yes"];
    let ran = queues.replay(&command).await;
    let error = "replay: not all messages were moved. Run the command again\n";
    assert!(ran.code == 1 && ran.stderr.ends_with(error), "{ran:?}");
    assert!(ran.stdout.ends_with("2 messages moved\n2 stayed, rejected by SQS: InternalError (AWS has a problem: run the command again later)\n"), "{ran:?}");
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dead-letters").len()), (2, 2));
    queues.sqs.refuse_every_send(0);
    assert_eq!(queues.replay(&command).await.code, 0);
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dead-letters").len()), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_is_not_deleted_is_reported() {
    let queues = dead_letters().await;
    queues.sqs.refuse_every_deletion(4);
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--yes"]).await;
    assert!(
        ran.code == 1
            && ran.stdout.contains("\n3 messages moved, the others stayed\n1 sent, but perhaps not deleted"),
        "{ran:?}"
    );
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dead-letters").len()), (4, 1));
    assert!(queues.sqs.messages_in("user-events-dead-letters").iter().all(|message| message.is_visible));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifo_queue_keeps_its_order_and_accepts_messages_again() {
    let queues = Queues::start().await;
    let bodies: Vec<String> = (0..23).map(|number| format!("{{\"number\":{number}}}")).collect();
    for body in &bodies {
        // SQS has just seen the deduplication id.
        queues.dead_letter("orders.fifo", body, None);
        queues.dead_letter("orders-dead-letters.fifo", body, Some("unknown_type"));
    }
    let command = ["redrive", "--from", "orders-dead-letters.fifo", "--yes"];
    let ran = queues.replay(&command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(queues.bodies("orders.fifo"), [bodies.clone(), bodies.clone()].concat());

    for body in &bodies {
        queues.dead_letter("orders-dead-letters.fifo", &body.replace("number", "later"), None);
    }
    queues.sqs.refuse_every_send(5);
    let ran = queues.replay(&[&command[..], &["--by-entry"]].concat()).await;
    assert!(
        ran.code == 1 && ran.stdout.contains("\n4 messages moved, the others stayed"),
        "no message overtakes the rejected one: {ran:?}"
    );
    queues.sqs.refuse_every_send(0);
    assert_eq!(queues.replay(&[&command[..], &["--by-entry"]].concat()).await.code, 0);
    let order: Vec<String> = queues.bodies("orders.fifo").split_off(46);
    let later: Vec<String> = bodies.iter().map(|body| body.replace("number", "later")).collect();
    assert_eq!(order, later);
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_redrive_is_rejected_with_one_line() {
    let queues = dead_letters().await;
    for (options, code, expected) in [
        (&["--from", "user-events-dead-letters", "--to", "orders.fifo"][..], 2, "is a FIFO queue"),
        (
            &["--from", "user-events-dead-letters", "--to", "user-events-dead-letters"],
            2,
            "the same queue as --from",
        ),
        (&["--from", "user-events"], 2, "Did you mean its dead-letter queue, user-events-dead-letters?"),
        (&["--from", "no-such-queue"], 2, "no such queue in this account and region"),
        (&["--from", "user-events-dead-letters", "--to", "no-such-queue"], 2, "no-such-queue"),
        (&["--from", "user-events-dead-letters", "--rate", "0"], 2, "--rate"),
        (&["--from", "user-events-dead-letters", "--older-than", "soon"], 2, "expected a duration"),
    ] {
        let ran = queues.replay(&[&["redrive", "--yes"], options].concat()).await;
        assert!(ran.code == code && ran.stderr.contains(expected), "{options:?}: {ran:?}");
        let is_usage = ran.stderr.starts_with("error: invalid value");
        assert!(is_usage || ran.stderr.lines().count() == 1, "{ran:?}");
    }
    queues.sqs.create("unnamed-dead-letters", None);
    let ran = queues.replay(&["redrive", "--from", "unnamed-dead-letters"]).await;
    assert!(
        ran.code == 2
            && ran.stderr.contains("no queue uses unnamed-dead-letters as a dead-letter queue. Pass --to"),
        "{ran:?}"
    );
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dead-letters").len()), (0, 4));
}

/// Yields before each request and before each answer, so that a run can be dropped at both points.
/// The number of yields varies, so that concurrent requests are at different points.
#[derive(Clone, Debug)]
pub struct YieldingSqs(Sqs, Arc<AtomicUsize>);

impl YieldingSqs {
    pub fn new(sqs: &Sqs) -> Self {
        Self(sqs.clone(), Arc::default())
    }
}

impl AwsBackend for YieldingSqs {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let yields = 1 + self.1.fetch_add(1, Relaxed) * 3 % 7;
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        let answer = self.0.answer(request).await;
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        answer
    }
}

/// Runs `work`, and drops it after it has waited `max_waits` times. Returns `None` if it was
/// dropped.
pub async fn drop_after<T>(max_waits: usize, work: impl Future<Output = T>) -> Option<T> {
    let waits = Arc::new(AtomicUsize::new(0));
    let mut work = pin!(work);
    poll_fn(move |context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if waits.fetch_add(1, Relaxed) == max_waits => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Moves messages one by one, without a process of its own.
async fn redrive(sqs: &Sqs) -> RedriveSummary {
    let config = shared::aws::worker_settings(sdk_config(YieldingSqs::new(sqs)));
    let client = aws_sdk_sqs::Client::new(&config);
    let to = Destination { sqs: client.clone(), url: Sqs::url("queue"), is_elsewhere: false };
    let route = Route::new(client, &Sqs::url("dlq"), Some(to)).await.unwrap();
    let (options, stop) = (RedriveOptions::default(), StopSignal::default());
    move_one_by_one(&route, &options, None, &Clock::system(), &stop, &|_| {}).await
}

#[tokio::test]
async fn rerun_moves_all_messages_wherever_a_redrive_was_dropped() {
    const MESSAGES: usize = 97;
    let (mut drops, mut duplicates, mut most_duplicates) = (0, 0, 0);
    for max_waits in 0.. {
        let sqs = Sqs::new(Clock::system());
        sqs.create("dlq", None);
        sqs.create("queue", Some(("dlq", 5)));
        let bodies: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
        bodies.iter().for_each(|body| send(&sqs, "dlq", body, Some("unknown_type")));
        let in_queue = |name: &str| -> Vec<String> {
            let stored = sqs.messages_in(name);
            stored.iter().map(|message| message.sent["MessageBody"].as_str().unwrap().to_owned()).collect()
        };
        sqs.refuse_every_send(3);
        sqs.refuse_every_deletion(7);
        let was_dropped = drop_after(max_waits, redrive(&sqs)).await.is_none();
        let anywhere = [in_queue("dlq"), in_queue("queue")].concat();
        assert!(
            bodies.iter().all(|body| anywhere.contains(body)),
            "dropped after {max_waits}: a message is in neither queue"
        );

        // The operator runs the command again until it is complete.
        for _ in 0..MESSAGES {
            sqs.make_visible();
            if redrive(&sqs).await.is_complete() {
                break;
            }
        }
        let (left, arrived) = (in_queue("dlq"), in_queue("queue"));
        assert_eq!(left, Vec::<String>::new(), "dropped after {max_waits}");
        assert!(
            bodies.iter().all(|body| arrived.contains(body)),
            "dropped after {max_waits}: a message is missing"
        );
        duplicates += arrived.len() - MESSAGES;
        most_duplicates = most_duplicates.max(arrived.len() - MESSAGES);
        drops += usize::from(was_dropped);
        if !was_dropped {
            break;
        }
    }
    assert!(drops > 40, "{drops}");
    println!(
        "dropped at {drops} points, {MESSAGES} messages each: none lost, {duplicates} duplicates in all, at most \
         {most_duplicates} in a run"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_inspection_makes_all_messages_visible_again() {
    let queues = dead_letters().await;
    let ran = queues.replay(&["inspect", "user-events-dead-letters", "--json"]).await;
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&shown["messages"], &shown["byReason"]),
        (&json!(4), &json!({"unknown_type": 1, "invalid_data": 1, "received_too_often": 2}))
    );
    let config = shared::aws::worker_settings(sdk_config(queues.sqs.clone()));
    let sqs = aws_sdk_sqs::Client::new(&config);
    let url = Sqs::url("user-events-dead-letters");
    let queue = QueueDescription::read(&sqs, &url).await.unwrap();
    let stop = StopSignal::default();
    let requested = stop.clone();
    let request = move |_| requested.request();
    let clock = Clock::system();
    let interrupted = inspect((&sqs, &queue), &Filter::default(), 0, &clock, &stop, &request).await;
    assert!(interrupted.unwrap_err().to_string().starts_with("interrupted: 4 messages were seen"));
    assert!(queues.sqs.messages_in("user-events-dead-letters").iter().all(|message| message.is_visible));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_reply_is_reported_and_no_message_is_lost() {
    let queues = dead_letters().await;
    queues.sqs.lose_reply_of("SendMessageBatch", 1);
    let command = ["redrive", "--from", "user-events-dead-letters", "--yes"];
    let ran = queues.replay(&command).await;
    assert!(ran.code == 1 && ran.stdout.contains("4 in doubt: still there, and perhaps sent"), "{ran:?}");
    assert_eq!(
        (queues.bodies("user-events").len(), queues.bodies("user-events-dead-letters").len()),
        (4, 4),
        "once"
    );
    let ran = queues.replay(&command).await;
    assert!(ran.code == 0 && queues.bodies("user-events-dead-letters").is_empty(), "{ran:?}");

    let queues = dead_letters().await;
    queues.sqs.lose_reply_of("DeleteMessageBatch", 9);
    let ran = queues.replay(&command).await;
    assert!(ran.code == 1 && ran.stdout.contains("4 sent, but perhaps not deleted"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invisible_messages_are_reported() {
    let queues = dead_letters().await;
    // Another consumer has received two of them.
    let input = json!({"QueueUrl": Sqs::url("user-events-dead-letters"), "MaxNumberOfMessages": 2, "VisibilityTimeout": 600});
    assert_eq!(queues.sqs.handle("ReceiveMessage", &input).status, 200);
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--yes"]).await;
    assert!(ran.code == 1 && ran.stdout.contains("about 2 messages invisible: "), "{ran:?}");
    assert!(ran.stdout.contains("\n2 messages moved\n"), "{ran:?}");
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--yes"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("not all messages were seen"), "{ran:?}");
    let ran = queues.replay(&["inspect", "user-events-dead-letters"]).await;
    assert!(ran.code == 0 && ran.stdout.starts_with("0 messages\nabout 2 messages invisible: "), "{ran:?}");
    queues.sqs.make_visible();
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--yes"]).await;
    assert_eq!((ran.code, queues.bodies("user-events").len()), (0, 4), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redrive_ends_even_if_a_worker_dead_letters_all_messages_again() {
    let queues = dead_letters().await;
    let (sqs, stop) = (queues.sqs.clone(), StopSignal::default());
    let stopped = stop.clone();
    // A worker that is still broken dead-letters every message.
    let worker = tokio::spawn(async move {
        while !stopped.is_requested() {
            for message in sqs.take_all("user-events") {
                sqs.handle("SendMessage", &{
                    let mut input = message.sent;
                    input["QueueUrl"] = json!(Sqs::url("user-events-dead-letters"));
                    input
                });
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--by-entry", "--yes"]).await;
    stop.request();
    worker.await.unwrap();
    assert!(ran.code == 0 && ran.stdout.contains("\n4 messages moved"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_move_task_is_not_mistaken_for_the_new_one() {
    let queues = Queues::start().await;
    let command = ["redrive", "--from", "user-events-dead-letters", "--yes"];
    for round in 1..=2 {
        for number in 0..3 {
            queues.dead_letter("user-events-dead-letters", &order(&number.to_string(), TIME), None);
        }
        // The task of the first round is listed for a while after the second was started.
        queues.sqs.list_tasks_late(if round == 2 { 2 } else { 0 });
        if round == 2 {
            queues.sqs.lose_reply_of("StartMessageMoveTask", 1);
        }
        let ran = queues.replay(&command).await;
        assert!(ran.code == 0 && ran.stdout.ends_with("\n3 messages moved, according to SQS.\n"), "{ran:?}");
        assert_eq!(queues.bodies("user-events").len(), round * 3);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn interruption_reports_the_number_of_moved_messages() {
    for (signal, with_task) in [("INT", false), ("TERM", false), ("HUP", false), ("INT", true)] {
        let queues = Queues::start().await;
        for number in 0..200 {
            let reason = if with_task { None } else { Some("unknown_type") };
            queues.dead_letter("user-events-dead-letters", &order(&number.to_string(), TIME), reason);
        }
        let arguments = ["redrive", "--from", "user-events-dead-letters", "--rate", "20", "--yes"];
        let mut command = super::support::command(&queues.endpoint, &arguments);
        let child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while queues.bodies("user-events").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let kill = ["-s", signal, &child.id().to_string()].map(str::to_owned);
        assert!(std::process::Command::new("kill").args(kill).status().unwrap().success());
        let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(130), "{signal}: {stdout}{stderr}");
        assert!(stderr.lines().last().unwrap().starts_with("replay: interrupted: "), "{stderr}");
        let (moved, left) =
            (queues.bodies("user-events").len(), queues.sqs.messages_in("user-events-dead-letters"));
        assert_eq!(moved + left.len(), 200, "{signal}");
        assert!(left.iter().all(|message| message.is_visible), "{signal}");
        let report = if with_task { &stderr } else { &stdout };
        assert!(report.contains(&format!("{moved} messages moved")), "{signal}: {moved}: {stdout}{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recent_deduplication_id_is_not_sent() {
    let queues = Queues::start().await;
    for body in ["{\"a\":1}", "{\"b\":2}"] {
        queues.dead_letter("orders-dead-letters.fifo", body, None);
    }
    let command = ["redrive", "--from", "orders-dead-letters.fifo", "--keep-deduplication-ids", "--yes"];
    let ran = queues.replay(&command).await;
    assert!(ran.code == 1 && ran.stdout.contains("sent less than five minutes ago"), "{ran:?}");
    assert_eq!((queues.bodies("orders.fifo").len(), queues.bodies("orders-dead-letters.fifo").len()), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_selected_messages_move_at_a_low_rate() {
    let queues = Queues::start().await;
    for number in 0..300 {
        let reason = if number % 3 == 0 { None } else { Some("unknown_type") };
        queues.dead_letter("user-events-dead-letters", &order(&number.to_string(), TIME), reason);
    }
    let command = [
        "redrive",
        "--from",
        "user-events-dead-letters",
        "--error",
        "unknown_type",
        "--rate",
        "300",
        "--yes",
    ];
    let ran = queues.replay(&command).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("\n200 messages moved, 100 stayed\n"), "{ran:?}");
    assert_eq!(
        (queues.bodies("user-events").len(), queues.bodies("user-events-dead-letters").len()),
        (200, 100)
    );
}
