//! `replay move-task`, and what `replay redrive` does about move tasks.

use serde_json::json;
use tests::sqs::Sqs;

use super::json::document;
use super::support::{CommandRun, Queues, order};

const TIME: &str = "2026-03-02T08:00:00Z";

/// Dead letters that SQS moved after too many receives.
async fn dead_letters(count: usize) -> Queues {
    let queues = Queues::start().await;
    for number in 0..count {
        queues.dead_letter("user-events-dead-letters", &order(&number.to_string(), TIME), None);
    }
    queues
}

/// Starts a move task, as the AWS console does.
fn start_task(queues: &Queues, per_second: u32) {
    let arn = |name: &str| format!("arn:aws:sqs:eu-central-1:123456789012:{name}");
    let input = json!({
        "SourceArn": arn("user-events-dead-letters"), "DestinationArn": arn("user-events"),
        "MaxNumberOfMessagesPerSecond": per_second,
    });
    assert_eq!(queues.sqs.handle("StartMessageMoveTask", &input).status, 200);
}

/// Replaces the times in an output.
fn without_times(text: &str) -> String {
    let time = regex_lite::Regex::new(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z").unwrap();
    time.replace_all(text, "TIME").into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn running_move_task_stops_a_redrive_and_is_followed_to_its_end() {
    let queues = dead_letters(30).await;
    start_task(&queues, 10);
    for options in [&["--yes"][..], &[], &["--by-entry", "--yes"]] {
        let ran =
            queues.replay(&[&["redrive", "--from", "user-events-dead-letters"], options].concat()).await;
        assert_eq!((ran.code, ran.stderr.lines().count()), (1, 1), "{ran:?}");
        assert!(
            ran.stderr
                .contains("nothing was sent, because a move task of user-events-dead-letters is running")
        );
        assert!(ran.stderr.contains(" of 30 messages moved to user-events"), "its progress: {ran:?}");
        assert!(ran.stderr.contains("`replay move-task follow user-events-dead-letters`"), "{ran:?}");
        // Only a list moves messages in this SQS.
        if queues.bodies("user-events").len() >= 20 {
            break;
        }
    }
    let ran = queues.replay(&["move-task", "follow", "user-events-dead-letters"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!(without_times(&ran.stdout), @"TIME  COMPLETED  30 of 30 messages moved to user-events");
    let ran = queues.replay(&["move-task", "follow", "user-events-dead-letters", "--json"]).await;
    let mut followed = document("move-task follow", &ran);
    assert!(followed["startedAt"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{followed}");
    followed["startedAt"] = "TIME".into();
    let expected = json!({
        "status": "COMPLETED", "startedAt": "TIME", "moved": 30, "toMove": 30, "failureReason": null,
        "destination": "arn:aws:sqs:eu-central-1:123456789012:user-events",
    });
    assert_eq!(followed, expected);
    assert_eq!(
        (queues.bodies("user-events-dead-letters").len(), queues.bodies("user-events").len()),
        (0, 30)
    );
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--yes"]).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("Nothing to move.\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn canceled_move_task_leaves_the_rest_in_the_queue() {
    let queues = dead_letters(30).await;
    let cancel = ["move-task", "cancel", "user-events-dead-letters"];
    let refused = |ran: &CommandRun, expected: &str| {
        assert!(ran.code == 1 && ran.stderr.contains(expected), "{ran:?}");
    };
    refused(&queues.replay(&cancel).await, "SQS lists no move task of user-events-dead-letters");
    let ran = queues.replay(&["move-task", "list", "user-events-dead-letters"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "user-events-dead-letters: no move tasks\n"));
    start_task(&queues, 2);
    let ran = queues.replay(&cancel).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("Add --yes to cancel the move task.\n"), "{ran:?}");
    let plan = document("move-task cancel", &queues.replay(&[&cancel[..], &["--json"]].concat()).await);
    assert_eq!((&plan["dryRun"], &plan["task"]["status"]), (&json!(true), &json!("RUNNING")));
    let ran = queues.replay(&[&cancel[..], &["--yes", "--json"]].concat()).await;
    let done = document("move-task cancel", &ran);
    assert_eq!((ran.code, &done["task"]["status"]), (0, &json!("CANCELLED")), "{ran:?}");
    let (left, moved) = (queues.bodies("user-events-dead-letters").len(), queues.bodies("user-events").len());
    assert!(left + moved == 30 && left > 0 && moved > 0, "{left} and {moved}");
    refused(&queues.replay(&cancel).await, "no move task of user-events-dead-letters is running");
    refused(&queues.replay(&["move-task", "follow", "user-events-dead-letters"]).await, "ended as CANCELLED");
    start_task(&queues, 500);
    let ran = queues.replay(&["move-task", "list", "user-events-dead-letters"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let statuses: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(statuses, ["COMPLETED", "CANCELLED"], "the latest first: {ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn move_task_that_leaves_messages_behind_is_a_failure() {
    let queues = dead_letters(3).await;
    queues.sqs.leave_in_tasks(1);
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--yes"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let expected = "replay: the move task ended as COMPLETED, but only 2 of 3 messages moved to user-events, according to \
                    SQS. Run `replay inspect` to see what stayed\n";
    assert!(ran.stderr.ends_with(expected), "{ran:?}");
    let ran = queues.replay(&["move-task", "follow", "user-events-dead-letters"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("not all messages were moved"), "{ran:?}");
    assert_eq!((queues.bodies("user-events-dead-letters").len(), queues.bodies("user-events").len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_is_too_long_for_its_destination_stays() {
    let queues = dead_letters(3).await;
    queues.sqs.set_attribute("user-events", "MaximumMessageSize", "1024");
    let long = order("long", TIME).replace("/shop", &"x".repeat(1_000));
    queues.dead_letter("user-events-dead-letters", &long, None);
    let redrive = ["redrive", "--from", "user-events-dead-letters"];
    let ran = queues.replay(&redrive).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let plan: Vec<&str> = ran.stdout.lines().skip(2).take(4).collect();
    insta::assert_snapshot!(plan.join("\n"), @r"
    how   copied and deleted one by one: SQS rejects some of the messages

    3 messages would move, 1 would stay
    1 of these would stay: body: more than 1,024 bytes together with the attributes, which is all that user-events accepts (MaximumMessageSize)
    ");
    let moving = [&redrive[..], &["--yes"]].concat();
    for moved in ["3 messages moved, 1 stayed\n", "Nothing to move.\n"] {
        let ran = queues.replay(&moving).await;
        assert!(ran.code == 1 && ran.stdout.contains(moved), "{ran:?}");
        assert!(!ran.stderr.contains("again") && ran.stderr.contains("Correct them in a file"), "{ran:?}");
        assert_eq!(
            (queues.bodies("user-events").len(), queues.bodies("user-events-dead-letters")),
            (3, vec![long.clone()])
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson").to_str().unwrap().to_owned();
    assert_eq!(queues.replay(&["save", "user-events-dead-letters", "--out", &file]).await.code, 0);
    let ran = queues.replay(&["send", &file, "--to", "user-events", "--any-body", "--yes"]).await;
    assert!(ran.code == 2 && ran.stdout.contains("line 1: body: more than 1,024 bytes"), "{ran:?}");
    assert_eq!(queues.bodies("user-events").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn delayed_messages_are_mentioned_and_are_no_reason_to_wait() {
    let queues = dead_letters(2).await;
    queues.sqs.set_attribute("user-events-dead-letters", "DelaySeconds", "600");
    queues.dead_letter("user-events-dead-letters", &order("late", TIME), None);
    let expected = "about 1 message delayed: visible after the delay with which they were sent";
    let ran = queues.replay(&["inspect", "user-events-dead-letters"]).await;
    assert!(ran.code == 0 && ran.stdout.starts_with(&format!("2 messages\n{expected}")), "{ran:?}");
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters"]).await;
    assert!(ran.code == 0 && ran.stdout.contains(expected), "{ran:?}");
    assert!(ran.stdout.contains("one by one: not all messages were seen"), "{ran:?}");
    let ran = queues.replay(&["save", "user-events-dead-letters", "--out", "/dev/null"]).await;
    assert!(ran.code == 1 && ran.stdout.contains(expected), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redrive_works_without_the_permission_to_list_move_tasks() {
    let queues = dead_letters(2).await;
    queues.sqs.refuse_operation("ListMessageMoveTasks", "AccessDenied");
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters", "--yes"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("your role may not list them"), "{ran:?}");
    assert_eq!(queues.bodies("user-events").len(), 2);
    let ran = queues.replay(&["move-task", "list", "user-events-dead-letters"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("AccessDenied"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_whose_policy_denies_sources_is_explained() {
    let queues = Queues::start().await;
    queues.sqs.create("archive", None);
    queues.sqs.set_attribute("archive", "RedriveAllowPolicy", r#"{"redrivePermission":"denyAll"}"#);
    let ran = queues.replay(&["redrive", "--from", &Sqs::url("archive")]).await;
    assert!(
        ran.code == 2 && ran.stderr.contains("the RedriveAllowPolicy is denyAll, so no queue"),
        "{ran:?}"
    );
}
