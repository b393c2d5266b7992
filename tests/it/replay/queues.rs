//! `replay queues`.

use super::json::document;
use super::loopback_stack::{LoopbackStack, USER_EVENTS, USER_EVENTS_DLQ};

/// A stack with waiting events, six dead letters and a move task in another queue.
pub async fn busy_stack() -> LoopbackStack {
    let stack = LoopbackStack::start().await;
    stack.send(USER_EVENTS, 70);
    stack.oldest_message(USER_EVENTS, 1_330.0);
    stack.send(USER_EVENTS_DLQ, 6);
    stack.oldest_message(USER_EVENTS_DLQ, 93_700.0);
    let (queue, dead_letters) =
        ("cognito-user-events-cache-invalidations", "cognito-user-events-cache-invalidations-dead-letters");
    stack.send(dead_letters, 3);
    stack.start_move_task(dead_letters, queue);
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_of_a_stack_are_listed_with_what_to_do_next() {
    let stack = busy_stack().await;
    let run = stack.replay(&["queues"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!("queues", run.stdout);

    let run = stack.replay(&["queues", "--json", "--stack", "cognito-user-events"]).await;
    let report = document("queues", &run);
    assert_eq!(report["queues"].as_array().unwrap().len(), 8);
    let dead_letters =
        report["queues"].as_array().unwrap().iter().find(|queue| queue["name"] == USER_EVENTS_DLQ).unwrap();
    insta::assert_snapshot!("queues_json", serde_json::to_string_pretty(dead_letters).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn ages_are_unknown_without_the_permission_for_cloudwatch() {
    let stack = busy_stack().await;
    stack.account.refuse(
        "GetMetricData",
        "AccessDenied",
        "User ben is not authorized to perform: GetMetricData",
    );
    let run = stack.replay(&["queues", USER_EVENTS_DLQ]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout.contains(&format!("{USER_EVENTS_DLQ}\n  6 visible, 0 in flight\n  oldest ?")),
        "{run:?}"
    );
    assert!(run.stdout.contains("replay inspect"), "{run:?}");
    assert!(run.stdout.contains("oldest messages is unknown: CloudWatch GetMetricData:"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_that_cannot_be_read_does_not_hide_the_others() {
    let stack = busy_stack().await;
    let run = stack
        .replay(&["queues", USER_EVENTS_DLQ, "https://sqs.eu-central-1.amazonaws.com/123456789012/gone"])
        .await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("6 dead letters"), "{run:?}");
    assert!(run.stdout.contains("gone: SQS GetQueueAttributes:"), "{run:?}");
    assert!(run.stderr.ends_with("1 queue could not be read\n"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_expire_soon_are_saved_first() {
    let stack = LoopbackStack::start().await;
    stack.send(USER_EVENTS_DLQ, 1);
    stack.oldest_message(USER_EVENTS_DLQ, 13.5 * 86_400.0);
    let run = stack.replay(&["queues"]).await;
    assert!(run.stdout.contains("expires within 12h"), "{run:?}");
    assert!(run.stdout.contains(&format!("replay save {USER_EVENTS_DLQ} --out ")), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stack_is_named_by_an_option_or_a_variable() {
    let stack = LoopbackStack::start().await;
    let run = stack.replay_with(&[("STACK_NAME", "")], &["queues"]).await;
    assert!(run.code == 2 && run.stderr.contains("pass --stack, or set STACK_NAME"), "{run:?}");
    let run = stack.replay(&["queues", "--stack", "shop"]).await;
    assert!(run.code == 2 && run.stderr.contains("Stack with id shop does not exist"), "{run:?}");
    let run = stack.replay(&["queues", "user-events", USER_EVENTS_DLQ]).await;
    assert!(run.code == 0 && run.stdout.contains("user-events-dead-letters"), "{run:?}");
}
