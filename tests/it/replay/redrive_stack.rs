//! `replay redrive --all` and `replay move-task list --stack`.

use serde_json::json;
use tests::lambda::serve_aws;
use tests::sqs::Sqs;
use tests::stack_account::{STACK, StackAccount};

use super::json::document;
use super::support::{CommandRun, command, order, run, send};

const TIME: &str = "2026-03-02T08:00:00Z";

struct Deployed {
    account: StackAccount,
    endpoint: String,
}

impl Deployed {
    async fn start() -> Self {
        let account = StackAccount::new(&[], None);
        let endpoint = format!("http://{}", serve_aws(account.clone()).await);
        Self { account, endpoint }
    }

    async fn replay(&self, arguments: &[&str]) -> CommandRun {
        let mut command = command(&self.endpoint, arguments);
        command.env("STACK_NAME", STACK);
        run(command).await
    }

    fn dead_letters(&self, queue: &str, count: usize, reason: Option<&str>) {
        for number in 0..count {
            let queue = format!("{STACK}-{queue}-dead-letters");
            let event_type = if queue.ends_with("group-memberships-dead-letters") {
                "user.groups_mapped"
            } else {
                "order.placed"
            };
            let body = order(&number.to_string(), TIME).replace("order.placed", event_type);
            send(self.account.sqs(), &queue, &body, reason);
        }
    }

    /// Number of messages in a queue and in its dead-letter queue.
    fn counts(&self, queue: &str) -> (usize, usize) {
        let count = |name: &str| self.account.sqs().messages_in(name).len();
        (count(&format!("{STACK}-{queue}")), count(&format!("{STACK}-{queue}-dead-letters")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dead_letter_queue_of_a_stack_is_redriven() {
    let deployed = Deployed::start().await;
    deployed.dead_letters("user-events", 3, Some("unknown_type"));
    deployed.dead_letters("group-memberships", 2, None);
    let ran = deployed.replay(&["redrive", "--all"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!(ran.stdout, @r"
    cognito-user-events-cache-invalidations-dead-letters: empty

    from  arn:aws:sqs:eu-central-1:123456789012:cognito-user-events-group-memberships-dead-letters
    to    arn:aws:sqs:eu-central-1:123456789012:cognito-user-events-group-memberships
    how   moved by SQS in a move task

    2 messages would move
    2 of these would come back as dead letters (2 invalid_data). Correct them in a file (see `replay help save`)

    By type
          2  user.groups_mapped

    By reason
          2  received_too_often

    By age
          2  less than an hour

    By subject
          2  7d8ca528-4931-4254-9273-ea5ee853f271

    cognito-user-events-resource-permissions-dead-letters: empty

    from  arn:aws:sqs:eu-central-1:123456789012:cognito-user-events-user-events-dead-letters
    to    arn:aws:sqs:eu-central-1:123456789012:cognito-user-events-user-events
    how   copied and deleted one by one: the reasons of dead letters must be removed

    3 messages would move
    3 of these would come back as dead letters, unless the worker knows their type now (unknown_type)

    By type
          3  order.placed

    By reason
          3  unknown_type
             sentence about the reason

    By age
          3  less than an hour

    By subject
          3  7d8ca528-4931-4254-9273-ea5ee853f271

    Dry run: nothing was sent. Add --yes to move 5 messages.
    ");
    assert_eq!(deployed.counts("user-events"), (0, 3));
    let ran = deployed.replay(&["redrive", "--all", "--stack", STACK, "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for (queue, count) in [("user-events", 3), ("group-memberships", 2), ("cache-invalidations", 0)] {
        assert_eq!(deployed.counts(queue), (count, 0), "{queue}");
    }
    assert!(
        ran.stdout.contains("cognito-user-events-user-events-dead-letters: 3 messages moved\n"),
        "{ran:?}"
    );
    let ran = deployed.replay(&["redrive", "--all", "--yes"]).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("Nothing to move.\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_in_one_queue_does_not_stop_the_others() {
    let deployed = Deployed::start().await;
    deployed.dead_letters("user-events", 3, Some("unknown_type"));
    deployed.dead_letters("group-memberships", 2, None);
    let arn = |name: &str| format!("arn:aws:sqs:eu-central-1:123456789012:{STACK}-{name}");
    let task = json!({
        "SourceArn": arn("group-memberships-dead-letters"), "DestinationArn": arn("group-memberships"),
        "MaxNumberOfMessagesPerSecond": 1,
    });
    assert_eq!(deployed.account.sqs().handle("StartMessageMoveTask", &task).status, 200);
    let ran = deployed.replay(&["redrive", "--all", "--yes", "--json"]).await;
    let shown = document("redrive", &ran);
    let expected = "replay: 1 of 4 queues not redriven completely. cognito-user-events-group-memberships-dead-letters: \
                    nothing was sent, because a move task of";
    assert!(ran.code == 1 && ran.stderr.starts_with(expected), "{ran:?}");
    let moved: Vec<_> =
        shown["queues"].as_array().unwrap().iter().map(|queue| &queue["result"]["moved"]).collect();
    assert_eq!(moved.iter().filter(|moved| **moved == 3).count(), 1, "{shown}");
    assert_eq!((deployed.counts("user-events"), deployed.counts("group-memberships")), ((3, 0), (1, 1)));

    let ran = deployed.replay(&["move-task", "list"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("COMPLETED  2 of 2 messages moved to"), "{ran:?}");
    assert_eq!(ran.stdout.matches(": no move tasks\n").count(), 3, "{ran:?}");
    let listed = document("move-task list", &deployed.replay(&["move-task", "list", "--json"]).await);
    assert_eq!(listed["queues"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistyped_filter_of_all_queues_names_all_types() {
    let deployed = Deployed::start().await;
    deployed.dead_letters("user-events", 1, Some("unknown_type"));
    send(deployed.account.sqs(), &format!("{STACK}-group-memberships-dead-letters"), "no JSON", None);
    let ran = deployed.replay(&["redrive", "--all", "--type", "order.plaecd", "--yes"]).await;
    let expected = "no message matches the options. Types in the queue: not_an_event, order.placed. Reasons: \
                    received_too_often, unknown_type\n";
    assert!(ran.code == 1 && ran.stderr.ends_with(expected), "{ran:?}");
    let ran = deployed.replay(&["redrive", "--all", "--type", "order.placed", "--yes"]).await;
    assert_eq!((ran.code, deployed.counts("user-events")), (0, (1, 0)), "{ran:?}");
    assert_eq!(deployed.counts("group-memberships"), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_queue_that_fails_is_named_with_its_error() {
    let deployed = Deployed::start().await;
    deployed.dead_letters("user-events", 1, Some("unknown_type"));
    for queue in ["cache-invalidations", "user-events"] {
        send(deployed.account.sqs(), &format!("{STACK}-{queue}-dead-letters"), "no JSON", Some("not_json"));
    }
    deployed.account.sqs().refuse_operation("SendMessageBatch", "AccessDenied");
    let ran = deployed.replay(&["redrive", "--all", "--yes"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("2 of 4 queues"), "{ran:?}");
    for queue in ["cache-invalidations", "user-events"] {
        let line = format!("{STACK}-{queue}-dead-letters: not all messages were moved: ");
        assert!(ran.stdout.contains(&line), "{line}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_goes_to_no_queue_of_another_worker() {
    let deployed = Deployed::start().await;
    deployed.dead_letters("user-events", 1, Some("unknown_type"));
    for to in ["group-memberships", "group-memberships-dead-letters"] {
        let ran =
            deployed.replay(&["redrive", "--from", "user-events-dead-letters", "--to", to, "--yes"]).await;
        assert!(ran.code == 1 && ran.stdout.contains("order.placed belongs on user-events"), "{ran:?}");
    }
    assert_eq!(deployed.counts("user-events"), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_name_a_queue_and_a_stack_contradict() {
    let deployed = Deployed::start().await;
    let queue = &Sqs::url("cognito-user-events-user-events-dead-letters");
    for (arguments, expected) in [
        (&["redrive", "--all", "--from", queue][..], "cannot be used with"),
        (&["redrive", "--all", "--to", queue], "cannot be used with"),
        (&["redrive"], "--from <QUEUE>"),
        (&["redrive", "--all", "--stack", "shop"], "Stack with id shop does not exist"),
    ] {
        let ran = deployed.replay(arguments).await;
        assert!(ran.code == 2 && ran.stderr.contains(expected), "{arguments:?}: {ran:?}");
    }
}
