//! `replay recover`.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::events::{Activity, Data, Event, Subject};
use shared::time::Clock;

use super::loopback_account::LoopbackAccount;
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
        "      2  activity.recorded\nDry run: nothing was sent. Add --yes to send 2 events.\n"
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
    assert!(run.code == 1 && run.stdout.contains("line 2 has masked values"), "{run:?}");
    assert!(run.stderr.contains("Read the log with --unmask"), "{run:?}");
}
