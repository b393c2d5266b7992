//! `replay recover`.

use replay::error::CommandError;
use replay::interrupt::StopSignal;
use replay::queue::recover::command::send_events;
use sandbox::aws::{Fault, sdk_config};
use serde_json::{Value, json};
use shared::events::{Activity, Data, Event, Subject};
use shared::queues::Queue;
use shared::time::Clock;
use tests::sqs::{Sqs, StoredMessage};
use tests::stack_account::{LogEvent, StackAccount};

use super::json::document;
use super::loopback_account::LoopbackAccount;
use super::loopback_stack::{LoopbackStack, USER_EVENTS, ago};
use super::support::ANA;

#[tokio::test(flavor = "multi_thread")]
async fn unsent_events_are_shown_first_and_sent_with_yes() {
    let account = LoopbackAccount::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("post-confirmation.log");
    let unsent = |id: &str| {
        let activity = Data::ActivityRecorded(Activity { description: "x".to_owned() });
        let event = Event::new("/shop", Subject::user(ANA), Clock::system().now(), activity).with_id(id);
        let fields = json!({"message": "unsent event", "event": event.to_json()});
        json!({"level": "ERROR", "fields": fields}).to_string()
    };
    let lines = [unsent("1"), "START RequestId: 1".to_owned(), unsent("2"), unsent("1")];
    std::fs::write(&log, lines.join("\n")).unwrap();
    let command = ["recover", "--queue", "user-events", "--log", log.to_str().unwrap()];
    let with_yes = [&command[..], &["--yes"]].concat();

    let run = account.replay(&command).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        run.stdout,
        "      2  activity.recorded\nDry run: nothing was sent. Add --yes to send 2 events. An event that was sent before counts once.\n"
    );
    assert!(account.receive_user_events().await.is_empty());

    account.sandbox.faults.inject("SendMessageBatch", Fault::Error("AccessDenied"), 1);
    let run = account.replay(&with_yes).await;
    assert!(run.code == 1 && run.stderr.starts_with("replay: 2 of 2 events were not sent: "), "{run:?}");

    let run = account.replay(&with_yes).await;
    assert!(run.code == 0 && run.stdout.ends_with("2 events sent.\n"), "{run:?}");
    let events = account.receive_user_events().await;
    let ids: Vec<&Value> = events.iter().map(|event| &event["id"]).collect();
    assert_eq!(ids, ["1", "2"]);

    std::fs::write(&log, [&lines[0][..40], "unsent event"].concat()).unwrap();
    let run = account.replay(&command).await;
    assert!(run.code == 1 && run.stdout.contains("No events to send"), "{run:?}");
    assert!(run.stderr.contains("1 unsent event could not be read"), "{run:?}");
    for (content, reason) in
        [(&[0x1f, 0x8b, 8, 0][..], "cannot be decompressed"), (&[0xff, 0], "not UTF-8 text")]
    {
        std::fs::write(&log, content).unwrap();
        let run = account.replay(&command).await;
        assert!(run.code == 2 && run.stderr.contains(reason), "{run:?}");
    }
    let run = account.replay(&["recover", "--log", "no-such-file"]).await;
    assert!(run.code == 2 && run.stderr.starts_with("replay: no-such-file: "), "{run:?}");
    let masked = unsent("3").replace("\\\"description\\\":\\\"x\\\"", "\\\"description\\\":\\\"*****\\\"");
    std::fs::write(&log, format!("{}\n{masked}", lines[0])).unwrap();
    let run = account.replay(&command).await;
    assert!(run.code == 1 && run.stdout.contains("line 2: the event has masked values"), "{run:?}");
    assert!(run.stderr.contains("Read the logs themselves with"), "{run:?}");
}

/// The log line of a trigger about an unsent event.
fn unsent(id: &str, description: &str) -> String {
    let activity = Data::ActivityRecorded(Activity { description: description.to_owned() });
    let event = Event::new("/shop", Subject::user(ANA), Clock::system().now(), activity).with_id(id);
    json!({"level": "ERROR", "fields": {"message": "unsent event", "event": event.to_json()}}).to_string()
}

const PRE_SIGN_UP_LOG: &str = "/aws/lambda/cognito-user-events-pre-sign-up";
const CUSTOM_MESSAGE_LOG: &str = "/aws/lambda/cognito-user-events-custom-message";

/// The ids of the events in user-events, in their order.
fn sent_ids(stack: &LoopbackStack) -> Vec<String> {
    let id = |message: &StoredMessage| {
        let body: Value = serde_json::from_str(message.sent["MessageBody"].as_str().unwrap()).unwrap();
        body["id"].as_str().unwrap().to_owned()
    };
    stack.account.sqs().messages_in(USER_EVENTS).iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn log_groups_of_all_triggers_are_read_page_by_page() {
    let stack = LoopbackStack::start().await;
    for id in 0..8 {
        let message = unsent(&id.to_string(), "x");
        stack.account.log(PRE_SIGN_UP_LOG, LogEvent::new(ago(600 - id), message));
    }
    stack.account.log(CUSTOM_MESSAGE_LOG, LogEvent::new(ago(60), unsent("8", "x")));
    stack.account.log(CUSTOM_MESSAGE_LOG, LogEvent::new(ago(60), "START RequestId: 1"));
    stack.account.log(CUSTOM_MESSAGE_LOG, LogEvent::new(ago(90_000), unsent("old", "x")));

    let run = stack.replay(&["recover"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.starts_with("5 log groups from "), "{run:?}");
    assert!(run.stdout.contains("      9  activity.recorded\nDry run: nothing was sent."), "{run:?}");
    assert!(sent_ids(&stack).is_empty());

    let run = stack.replay(&["recover", "--stack", "cognito-user-events", "--since", "2d", "--yes"]).await;
    assert!(run.code == 0 && run.stdout.ends_with("10 events sent.\n"), "{run:?}");
    let mut ids = sent_ids(&stack);
    ids.sort();
    assert_eq!(ids, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_values_are_read_if_the_role_may_and_refused_otherwise() {
    let stack = LoopbackStack::start().await;
    let masked =
        LogEvent { masked: Some(unsent("1", "*****")), ..LogEvent::new(ago(60), unsent("1", "secret")) };
    stack.account.log(PRE_SIGN_UP_LOG, masked);
    stack.account.log(PRE_SIGN_UP_LOG, LogEvent::new(ago(50), unsent("2", "x")));
    let command = ["recover", "--log-group", PRE_SIGN_UP_LOG, "--json"];
    let report = document("recover", &stack.replay(&command).await);
    assert_eq!((&report["events"], &report["dryRun"]), (&2.into(), &true.into()));

    stack.account.forbid_unmask();
    let run = stack.replay(&command).await;
    let report = document("recover", &run);
    assert_eq!(report["events"], 1);
    let place = report["masked"][0]["log"].as_str().unwrap();
    assert!(place.starts_with(&format!("{PRE_SIGN_UP_LOG}, 2026/03/02/")), "{place}");
    assert!(run.code == 1 && run.stderr.ends_with("Your role needs the permission logs:Unmask\n"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_group_that_cannot_be_read_is_named() {
    let stack = LoopbackStack::start().await;
    stack.account.log(PRE_SIGN_UP_LOG, LogEvent::new(ago(60), unsent("1", "x")));
    let run = stack.replay(&["recover", "--log-group", "/aws/lambda/gone"]).await;
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
    assert!(
        run.stderr.starts_with("replay: /aws/lambda/gone: CloudWatch Logs FilterLogEvents: ResourceNotFound"),
        "{run:?}"
    );
    let run = stack.replay(&["recover", "--log-group", "/aws/lambda/gone", PRE_SIGN_UP_LOG]).await;
    assert!(run.code == 1 && run.stdout.contains("1  activity.recorded"), "{run:?}");
    assert!(run.stderr.starts_with("replay: 1 log group could not be read: /aws/lambda/gone"), "{run:?}");

    for (arguments, problem) in [
        (&["--since", "1h", "--until", "2h"][..], "is not before --until"),
        (&["--log", "x", "--since", "1h"], "cannot be used with"),
        (&["--log", "x", "--stack", "y"], "cannot be used with"),
    ] {
        let run = stack.replay(&[&["recover"], arguments].concat()).await;
        assert!(run.code == 2 && run.stderr.contains(problem), "{run:?}");
    }
    let run = stack.replay_with(&[("STACK_NAME", "")], &["recover"]).await;
    assert!(run.code == 2 && run.stderr.contains("pass --log or --log-group, or: pass --stack"), "{run:?}");
}

#[tokio::test]
async fn interruption_says_how_many_events_were_sent() {
    let account = StackAccount::new(&[], None);
    let client = aws_sdk_sqs::Client::new(&sdk_config(account.clone()));
    let queue = Queue::new(client, Sqs::url(USER_EVENTS)).without_retries();
    let events: Vec<Event> = (0..25)
        .map(|id| {
            let activity = Data::ActivityRecorded(Activity { description: "x".to_owned() });
            Event::new("/shop", Subject::user(ANA), Clock::system().now(), activity).with_id(id.to_string())
        })
        .collect();
    let stop = StopSignal::default();
    let (sent, result) = send_events(&queue, &events, &stop).await;
    assert!(sent == 25 && result.is_ok());

    stop.request();
    let (sent, result) = send_events(&queue, &events, &stop).await;
    assert_eq!(sent, 0);
    let error = result.unwrap_err();
    assert!(matches!(error, CommandError::Interrupted(_)), "{error:?}");
    assert!(
        error.to_string().contains("0 events sent, 25 events not sent. Run the command again"),
        "{error}"
    );
    assert_eq!(account.sqs().messages_in(USER_EVENTS).len(), 25);
}
