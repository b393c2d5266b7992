//! `replay redrive` and `replay inspect`.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::http_client::AwsBackend;
use sandbox::aws::{Answer, sdk_config};
use replay::queue::filter::Filter;
use replay::queue::inspect::Inspection;
use replay::queue::redrive::{Redriven, Route, RedriveOptions};
use replay::interrupt::StopSignal;
use serde_json::{Value, json};
use shared::time::Clock;
use tests::sqs::Sqs;
use winterbaume_core::MockRequest;

use super::support::{ANA, Queues, order, send};

const TIME: &str = "2026-03-02T08:00:00Z";

/// Four dead letters: two parked ones, two that were received too often.
async fn dead_letters() -> Queues {
    let queues = Queues::start().await;
    queues.dead_letter("user-events-dlq", &order("1", TIME), Some("unknown_type"));
    queues.dead_letter("user-events-dlq", &order("2", TIME), None);
    queues.dead_letter("user-events-dlq", &order("3", TIME), Some("invalid_data"));
    queues.dead_letter("user-events-dlq", "no JSON", None);
    queues
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_shows_its_plan_and_changes_nothing_without_yes() {
    let queues = dead_letters().await;
    let before = queues.bodies("user-events-dlq");
    let ran = queues.replay(&["redrive", "--from", "user-events-dlq", "--error", "received_too_often"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let expected = "from  arn:aws:sqs:eu-central-1:123456789012:user-events-dlq\n\
        to    arn:aws:sqs:eu-central-1:123456789012:user-events\n\
        how   copied and deleted entry by entry: not all are meant\n\n\
        2 messages go, 2 stay\n\nBy type\n      1  not_an_event\n      1  order.placed\n";
    assert!(ran.shown.starts_with(expected), "{}", ran.shown);
    assert!(ran.shown.ends_with("Nothing was sent. With --yes it is.\n"), "{}", ran.shown);
    assert_eq!((queues.bodies("user-events-dlq"), queues.bodies("user-events").len()), (before, 0));
    let lying = queues.sqs.lying_in("user-events-dlq");
    assert!(lying.iter().all(|message| message.is_visible), "all were given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_redriven_keeps_all_but_its_reason() {
    let queues = dead_letters().await;
    let ran = queues.replay(&["redrive", "--from", "user-events-dlq", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.shown.contains("how   copied and deleted entry by entry: the reasons of parked"), "{ran:?}");
    assert!(ran.shown.ends_with("\n4 messages moved\n"), "{ran:?}");
    assert_eq!(queues.bodies("user-events-dlq"), Vec::<String>::new());
    let moved = queues.sqs.lying_in("user-events");
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
    let ran = queues.replay(&["redrive", "--from", "user-events-dlq", "--yes"]).await;
    assert!(ran.code == 0 && ran.shown.ends_with("Nothing to send.\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_and_the_rest_stays() {
    for (options, expected) in [
        (&["--type", "order.placed"][..], 3),
        (&["--type", "order.placed", "--error", "invalid_data"], 1),
        (&["--error", "invalid_data", "--error", "unknown_type"], 2),
        (&["--subject", ANA], 3),
        (&["--max", "3"], 3),
        (&["--newer-than", "1h"], 4),
        (&["--older-than", "1h"], 0),
        (&["--older-than", "2020-01-01"], 0),
    ] {
        let queues = dead_letters().await;
        let ran =
            queues.replay(&[&["redrive", "--from", "user-events-dlq", "--yes"], options].concat()).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(queues.bodies("user-events").len(), expected, "{options:?}");
        let stayed = queues.sqs.lying_in("user-events-dlq");
        assert_eq!(stayed.len(), 4 - expected, "{options:?}");
        assert!(stayed.iter().all(|message| message.is_visible), "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_was_parked_sqs_moves_all_by_itself() {
    let queues = Queues::start().await;
    for number in 0..25 {
        queues.dead_letter("user-events-dlq", &order(&number.to_string(), TIME), None);
    }
    let command = ["redrive", "--from", "user-events-dlq", "--to", "user-events", "--rate", "10", "--yes"];
    let ran = queues.replay(&command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.shown.contains("how   SQS moves them by itself (a move task)"), "{ran:?}");
    assert!(ran.shown.ends_with("\n25 messages moved, by SQS's count.\n"), "{ran:?}");
    assert!(ran.errors.starts_with("moved 10 of 25, "), "its counts are followed: {ran:?}");
    assert_eq!((queues.bodies("user-events-dlq").len(), queues.bodies("user-events").len()), (0, 25));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sqs_refuses_stays_and_is_told() {
    let queues = dead_letters().await;
    queues.sqs.refuse_every_send(2);
    let command = ["redrive", "--from", "user-events-dlq", "--yes"];
    let ran = queues.replay(&command).await;
    assert!(ran.code == 1 && ran.errors.ends_with("replay: not all was moved: run it again\n"), "{ran:?}");
    assert!(
        ran.shown.ends_with("2 messages moved\n2 stayed, because SQS refused them: InternalError\n"),
        "{ran:?}"
    );
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dlq").len()), (2, 2));
    queues.sqs.refuse_every_send(0);
    assert_eq!(queues.replay(&command).await.code, 0);
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dlq").len()), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_deleted_is_told_to_be_in_both() {
    let queues = dead_letters().await;
    queues.sqs.refuse_every_deletion(4);
    let ran = queues.replay(&["redrive", "--from", "user-events-dlq", "--yes"]).await;
    assert!(
        ran.code == 1
            && ran
                .shown
                .contains("\n3 messages moved, the others are where they were\n1 sent, and perhaps not"),
        "{ran:?}"
    );
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dlq").len()), (4, 1));
    assert!(queues.sqs.lying_in("user-events-dlq").iter().all(|message| message.is_visible));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_keeps_its_order_and_takes_what_it_has_seen_before() {
    let queues = Queues::start().await;
    let bodies: Vec<String> = (0..23).map(|number| format!("{{\"number\":{number}}}")).collect();
    for body in &bodies {
        // It was in the queue a moment ago: SQS has its deduplication id.
        queues.dead_letter("orders.fifo", body, None);
        queues.dead_letter("orders-dlq.fifo", body, Some("unknown_type"));
    }
    let command = ["redrive", "--from", "orders-dlq.fifo", "--yes"];
    let ran = queues.replay(&command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(queues.bodies("orders.fifo"), [bodies.clone(), bodies.clone()].concat());

    for body in &bodies {
        queues.dead_letter("orders-dlq.fifo", &body.replace("number", "later"), None);
    }
    queues.sqs.refuse_every_send(5);
    let ran = queues.replay(&[&command[..], &["--by-entry"]].concat()).await;
    assert!(
        ran.code == 1 && ran.shown.contains("\n4 messages moved, the others are"),
        "nothing overtakes it: {ran:?}"
    );
    queues.sqs.refuse_every_send(0);
    assert_eq!(queues.replay(&[&command[..], &["--by-entry"]].concat()).await.code, 0);
    let order: Vec<String> = queues.bodies("orders.fifo").split_off(46);
    let later: Vec<String> = bodies.iter().map(|body| body.replace("number", "later")).collect();
    assert_eq!(order, later);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_well_is_refused_in_one_line() {
    let queues = dead_letters().await;
    for (options, code, expected) in [
        (&["--from", "user-events-dlq", "--to", "orders.fifo"][..], 2, "is a FIFO queue"),
        (&["--from", "user-events-dlq", "--to", "user-events-dlq"], 2, "is the same queue"),
        (&["--from", "user-events"], 2, "did you mean its dead-letter queue, user-events-dlq?"),
        (&["--from", "no-such-queue"], 1, "no such queue in this account and region"),
        (&["--from", "user-events-dlq", "--to", "no-such-queue"], 1, "no-such-queue"),
        (&["--from", "user-events-dlq", "--rate", "0"], 2, "--rate"),
        (&["--from", "user-events-dlq", "--older-than", "soon"], 2, "expected a duration"),
    ] {
        let ran = queues.replay(&[&["redrive", "--yes"], options].concat()).await;
        assert!(ran.code == code && ran.errors.contains(expected), "{options:?}: {ran:?}");
        assert!(code == 2 || ran.errors.lines().count() == 1, "{ran:?}");
    }
    queues.sqs.create("unnamed-dlq", None);
    let ran = queues.replay(&["redrive", "--from", "unnamed-dlq"]).await;
    assert!(ran.code == 2 && ran.errors.contains("say where to"), "{ran:?}");
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dlq").len()), (0, 4));
}

/// Waits before each request and before each answer, so that a run can be cut off at both; some longer than others, so
/// that requests which are under way together are not at the same point.
#[derive(Clone, Debug)]
pub struct Slow(Sqs, Arc<AtomicUsize>);

impl Slow {
    pub fn new(sqs: &Sqs) -> Self {
        Self(sqs.clone(), Arc::default())
    }
}

impl AwsBackend for Slow {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let waits = 1 + self.1.fetch_add(1, Relaxed) * 3 % 7;
        for _ in 0..waits {
            tokio::task::yield_now().await;
        }
        let answer = self.0.answer(request).await;
        for _ in 0..waits {
            tokio::task::yield_now().await;
        }
        answer
    }
}

/// Runs `work` until it has waited `most` times, and drops it there. `None` where it was cut off.
pub async fn cut_off_after<T>(most: usize, work: impl Future<Output = T>) -> Option<T> {
    let waits = Arc::new(AtomicUsize::new(0));
    let mut work = pin!(work);
    poll_fn(move |context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if waits.fetch_add(1, Relaxed) == most => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// A run as the command line makes it, with no process around it.
async fn redrive(sqs: &Sqs) -> Redriven {
    let config = shared::aws::worker_settings(sdk_config(Slow::new(sqs)));
    let client = aws_sdk_sqs::Client::new(&config);
    let route = Route::new(client, &Sqs::url("dlq"), Some(&Sqs::url("queue"))).await.unwrap();
    let terms = RedriveOptions { by_entry: true, ..RedriveOptions::default() };
    route.by_entry(&terms, &Clock::system(), &StopSignal::default(), &|_| {}).await
}

#[tokio::test]
async fn wherever_a_redrive_is_cut_off_a_rerun_brings_everything() {
    const MESSAGES: usize = 97;
    let (mut cuts, mut duplicates, mut most_duplicates) = (0, 0, 0);
    for most in 0.. {
        let sqs = Sqs::new(Clock::system());
        sqs.create("dlq", None);
        sqs.create("queue", Some(("dlq", 5)));
        let bodies: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
        bodies.iter().for_each(|body| send(&sqs, "dlq", body, Some("unknown_type")));
        let in_queue = |name: &str| -> Vec<String> {
            let lying = sqs.lying_in(name);
            lying.iter().map(|message| message.sent["MessageBody"].as_str().unwrap().to_owned()).collect()
        };
        sqs.refuse_every_send(3);
        sqs.refuse_every_deletion(7);
        let cut_off = cut_off_after(most, redrive(&sqs)).await.is_none();
        let anywhere = [in_queue("dlq"), in_queue("queue")].concat();
        assert!(
            bodies.iter().all(|body| anywhere.contains(body)),
            "cut off after {most}: a message is in neither"
        );

        // Somebody runs it again until it says that it is done.
        for _ in 0..MESSAGES {
            sqs.make_visible();
            if redrive(&sqs).await.is_complete() {
                break;
            }
        }
        let (left, arrived) = (in_queue("dlq"), in_queue("queue"));
        assert_eq!(left, Vec::<String>::new(), "cut off after {most}");
        assert!(
            bodies.iter().all(|body| arrived.contains(body)),
            "cut off after {most}: a message is missing"
        );
        duplicates += arrived.len() - MESSAGES;
        most_duplicates = most_duplicates.max(arrived.len() - MESSAGES);
        cuts += usize::from(cut_off);
        if !cut_off {
            break;
        }
    }
    assert!(cuts > 40, "{cuts}");
    println!(
        "cut off at {cuts} places, {MESSAGES} messages each: none lost, {duplicates} duplicates in all, at most \
         {most_duplicates} in a run"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_inspection_gives_everything_back() {
    let queues = dead_letters().await;
    let ran = queues.replay(&["inspect", "user-events-dlq", "--json"]).await;
    let shown: Value = serde_json::from_str(&ran.shown).unwrap();
    assert_eq!(
        (&shown["messages"], &shown["byReason"]),
        (&json!(4), &json!({"unknown_type": 1, "invalid_data": 1, "received_too_often": 2}))
    );
    let config = shared::aws::worker_settings(sdk_config(queues.sqs.clone()));
    let sqs = aws_sdk_sqs::Client::new(&config);
    let url = Sqs::url("user-events-dlq");
    let queue = replay::queue::description::QueueDescription::read(&sqs, &url).await.unwrap();
    let stop = StopSignal::default();
    let asked = stop.clone();
    let ask = move |_| asked.ask();
    let clock = Clock::system();
    let interrupted = Inspection::of_queue((&sqs, &queue), &Filter::default(), 0, &clock, &stop, &ask).await;
    assert!(interrupted.unwrap_err().to_string().starts_with("interrupted: 4 messages were seen"));
    assert!(queues.sqs.lying_in("user-events-dlq").iter().all(|message| message.is_visible));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_lost_is_told_and_nothing_is_lost() {
    let queues = dead_letters().await;
    queues.sqs.lose_reply_of("SendMessageBatch", 1);
    let command = ["redrive", "--from", "user-events-dlq", "--yes"];
    let ran = queues.replay(&command).await;
    assert!(ran.code == 1 && ran.shown.contains("4 in doubt: still there, and perhaps sent"), "{ran:?}");
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dlq").len()), (4, 4), "once");
    let ran = queues.replay(&command).await;
    assert!(ran.code == 0 && queues.bodies("user-events-dlq").is_empty(), "{ran:?}");

    let queues = dead_letters().await;
    queues.sqs.lose_reply_of("DeleteMessageBatch", 9);
    let ran = queues.replay(&command).await;
    assert!(ran.code == 1 && ran.shown.contains("4 sent, and perhaps not deleted"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_seen_is_not_taken_for_nothing() {
    let queues = dead_letters().await;
    // Somebody has received two of them.
    let input =
        json!({"QueueUrl": Sqs::url("user-events-dlq"), "MaxNumberOfMessages": 2, "VisibilityTimeout": 600});
    assert_eq!(queues.sqs.handle("ReceiveMessage", &input).status, 200);
    let ran = queues.replay(&["redrive", "--from", "user-events-dlq", "--yes"]).await;
    assert!(ran.code == 1 && ran.shown.contains("and about 2 that are invisible now"), "{ran:?}");
    assert!(ran.shown.contains("\n2 messages moved\n"), "{ran:?}");
    let ran = queues.replay(&["redrive", "--from", "user-events-dlq", "--yes"]).await;
    assert!(ran.code == 1 && ran.errors.contains("not all could be seen"), "{ran:?}");
    let ran = queues.replay(&["inspect", "user-events-dlq"]).await;
    assert!(
        ran.code == 0 && ran.shown.starts_with("0 messages\nand about 2 that are invisible now"),
        "{ran:?}"
    );
    queues.sqs.make_visible();
    let ran = queues.replay(&["redrive", "--from", "user-events-dlq", "--yes"]).await;
    assert_eq!((ran.code, queues.bodies("user-events").len()), (0, 4), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_ends_also_where_all_of_it_comes_back_at_once() {
    let queues = dead_letters().await;
    let (sqs, stop) = (queues.sqs.clone(), StopSignal::default());
    let stopped = stop.clone();
    // A worker that is still broken parks whatever comes.
    let worker = tokio::spawn(async move {
        while !stopped.is_requested() {
            for message in sqs.take_all("user-events") {
                sqs.handle("SendMessage", &{
                    let mut input = message.sent;
                    input["QueueUrl"] = json!(Sqs::url("user-events-dlq"));
                    input
                });
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    let ran = queues.replay(&["redrive", "--from", "user-events-dlq", "--by-entry", "--yes"]).await;
    stop.ask();
    worker.await.unwrap();
    assert!(ran.code == 0 && ran.shown.contains("\n4 messages moved"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_task_of_an_earlier_day_is_not_taken_for_this_one() {
    let queues = Queues::start().await;
    let command = ["redrive", "--from", "user-events-dlq", "--yes"];
    for round in 1..=2 {
        for number in 0..3 {
            queues.dead_letter("user-events-dlq", &order(&number.to_string(), TIME), None);
        }
        // The task of the first round is listed for a while after the second was started.
        queues.sqs.list_tasks_late(if round == 2 { 2 } else { 0 });
        if round == 2 {
            queues.sqs.lose_reply_of("StartMessageMoveTask", 1);
        }
        let ran = queues.replay(&command).await;
        assert!(ran.code == 0 && ran.shown.ends_with("\n3 messages moved, by SQS's count.\n"), "{ran:?}");
        assert_eq!(queues.bodies("user-events").len(), round * 3);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_says_where_things_are() {
    for (signal, with_task) in [("INT", false), ("TERM", false), ("HUP", false), ("INT", true)] {
        let queues = Queues::start().await;
        for number in 0..200 {
            let reason = if with_task { None } else { Some("unknown_type") };
            queues.dead_letter("user-events-dlq", &order(&number.to_string(), TIME), reason);
        }
        let arguments = ["redrive", "--from", "user-events-dlq", "--rate", "20", "--yes"];
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
        let (shown, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(130), "{signal}: {shown}{errors}");
        assert!(errors.lines().last().unwrap().starts_with("replay: interrupted: "), "{errors}");
        let (moved, left) = (queues.bodies("user-events").len(), queues.sqs.lying_in("user-events-dlq"));
        assert_eq!(moved + left.len(), 200, "{signal}");
        assert!(left.iter().all(|message| message.is_visible), "{signal}");
        let told = if with_task { &errors } else { &shown };
        assert!(told.contains(&format!("{moved} messages moved")), "{signal}: {moved}: {shown}{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_deduplication_id_is_not_sent_to_be_swallowed() {
    let queues = Queues::start().await;
    for body in ["{\"a\":1}", "{\"b\":2}"] {
        queues.dead_letter("orders-dlq.fifo", body, None);
    }
    let command = ["redrive", "--from", "orders-dlq.fifo", "--keep-deduplication-ids", "--yes"];
    let ran = queues.replay(&command).await;
    assert!(ran.code == 1 && ran.shown.contains("sent less than five minutes ago"), "{ran:?}");
    assert_eq!((queues.bodies("orders.fifo").len(), queues.bodies("orders-dlq.fifo").len()), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_meant_goes_however_slowly() {
    let queues = Queues::start().await;
    for number in 0..300 {
        let reason = if number % 3 == 0 { None } else { Some("unknown_type") };
        queues.dead_letter("user-events-dlq", &order(&number.to_string(), TIME), reason);
    }
    let command =
        ["redrive", "--from", "user-events-dlq", "--error", "unknown_type", "--rate", "300", "--yes"];
    let ran = queues.replay(&command).await;
    assert!(ran.code == 0 && ran.shown.ends_with("\n200 messages moved, 100 stayed\n"), "{ran:?}");
    assert_eq!((queues.bodies("user-events").len(), queues.bodies("user-events-dlq").len()), (200, 100));
}
