//! `replay save` and `replay send`.

use std::path::{Path, PathBuf};

use replay::interrupt::StopSignal;
use replay::queue::description::QueueDescription;
use replay::queue::send::check::{LineRules, check};
use replay::queue::send::checkpoint::SendCheckpoint;
use replay::queue::send::send;
use sandbox::aws::sdk_config;
use serde_json::{Value, json};
use shared::time::Clock;
use tests::sqs::Sqs;

use super::redrive::{YieldingSqs, drop_after};
use super::support::{ANA, CommandRun, Queues, command, order, run};

struct Letters {
    queues: Queues,
    folder: tempfile::TempDir,
}

/// Twelve dead letters, and a folder.
async fn letters() -> Letters {
    let queues = Queues::start().await;
    let now = Clock::system().now().to_string();
    for number in 0..12 {
        let reason = if number % 2 == 0 { Some("invalid_data") } else { None };
        queues.dead_letter("user-events-dead-letters", &order(&number.to_string(), &now), reason);
    }
    Letters { queues, folder: tempfile::tempdir().unwrap() }
}

impl Letters {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self) -> String {
        self.path("letters.ndjson").to_str().unwrap().to_owned()
    }

    async fn save(&self, options: &[&str]) -> CommandRun {
        let file = self.file();
        self.queues.replay(&[&["save", "user-events-dead-letters", "--out", &file], options].concat()).await
    }

    async fn send(&self, options: &[&str]) -> CommandRun {
        let file = self.file();
        self.queues.replay(&[&["send", &file, "--to", "user-events"], options].concat()).await
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn saved_messages_are_sent_with_all_attributes() {
    let letters = letters().await;
    let ran = letters.save(&[]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "12 messages saved\n"), "{ran:?}");
    let stored = letters.queues.sqs.messages_in("user-events-dead-letters");
    assert!(stored.len() == 12 && stored.iter().all(|message| message.is_visible), "they stay in the queue");
    let lines = letters.lines();
    assert_eq!(lines.len(), 12);
    let line = lines.iter().find(|line| line["body"]["id"] == "order-0").unwrap();
    assert_eq!(line["attributes"]["MessageGroupId"], ANA);
    assert_eq!(line["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(line["messageAttributes"]["error.type"]["stringValue"], "invalid_data");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = Path::new(&letters.file()).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "the file contains personal data");
    }

    let ran = letters.send(&[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!(ran.stdout, @r"
    12 messages to user-events
         12  order.placed
    Dry run: nothing was sent. Add --yes to send 12 messages.
    ");
    assert_eq!(letters.queues.bodies("user-events").len(), 0);
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("12 messages sent.\n"), "{ran:?}");
    let sent = letters.queues.sqs.messages_in("user-events");
    let mut bodies: Vec<&Value> = sent.iter().map(|message| &message.sent["MessageBody"]).collect();
    let mut expected: Vec<&Value> = stored.iter().map(|message| &message.sent["MessageBody"]).collect();
    bodies.sort_by_key(|body| body.as_str());
    expected.sort_by_key(|body| body.as_str());
    assert_eq!(bodies, expected, "byte for byte");
    for message in sent {
        let names: Vec<&String> = message.sent["MessageAttributes"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["tenant", "thumbnail"]);
        assert_eq!(message.sent["MessageGroupId"], ANA);
        assert!(message.sent["MessageSystemAttributes"]["AWSTraceHeader"].is_object());
    }
    let ran = letters.send(&["--yes"]).await;
    assert!(
        ran.code == 0 && ran.stdout.contains("12 already sent, according to "),
        "the second run says so: {ran:?}"
    );
    assert_eq!(letters.queues.bodies("user-events").len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_is_deleted_only_after_it_is_in_the_file() {
    let letters = letters().await;
    let ran = letters.save(&["--delete"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!(ran.stdout, @r"
    12 messages

    By type
         12  order.placed

    By reason
          6  invalid_data
             sentence about the reason
          6  received_too_often

    By age
         12  less than an hour

    By subject
         12  7d8ca528-4931-4254-9273-ea5ee853f271

    Dry run: nothing was saved or deleted. Add --yes to save and delete 12 messages.
    ");
    assert!(!Path::new(&letters.file()).exists());

    letters.queues.sqs.refuse_every_deletion(6);
    let command = ["--error", "invalid_data", "--delete", "--yes"];
    let ran = letters.save(&command).await;
    assert!(ran.code == 1 && ran.stderr.contains("run the command again with --resume"), "{ran:?}");
    letters.queues.sqs.refuse_every_deletion(0);
    let ran = letters.save(&command).await;
    assert!(ran.code == 2 && ran.stderr.contains("the file exists. Pass --resume"), "{ran:?}");
    let ran = letters.save(&[&command[..], &["--resume"]].concat()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = letters.lines();
    assert_eq!(lines.len(), 6, "each once");
    assert!(
        lines.iter().all(|line| line["messageAttributes"]["error.type"]["stringValue"] == "invalid_data")
    );
    let left = letters.queues.sqs.messages_in("user-events-dead-letters");
    assert!(left.len() == 6 && left.iter().all(|message| message.is_visible), "the others stay in the queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_that_sqs_does_not_confirm_is_no_deletion() {
    let letters = letters().await;
    letters.queues.sqs.answer_nothing_to("DeleteMessageBatch");
    let ran = letters.save(&["--delete", "--yes"]).await;
    assert!(ran.code == 1 && ran.stdout.contains("saved, but perhaps not deleted"), "{ran:?}");
    assert!(!ran.stdout.contains(" deleted from the queue\n12 "), "{ran:?}");
    letters.queues.sqs.make_visible();
    let redrive = ["redrive", "--from", "user-events-dead-letters", "--by-entry", "--yes"];
    let ran = letters.queues.replay(&redrive).await;
    assert!(ran.code == 1 && ran.stdout.contains("0 messages moved"), "{ran:?}");
    assert!(ran.stdout.contains("sent, but perhaps not deleted"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_file_is_rejected_and_can_be_resumed() {
    let letters = letters().await;
    assert_eq!(letters.save(&[]).await.code, 0);
    let whole = std::fs::read_to_string(letters.file()).unwrap();
    std::fs::write(letters.file(), &whole[..whole.len() - 40]).unwrap();
    let ran = letters.send(&["--yes"]).await;
    assert!(
        ran.code == 2
            && ran
                .stdout
                .ends_with("letters.ndjson: line 12: incomplete JSON. Write one message per line (jq -c)\n"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("nothing was sent, because 1 line cannot be sent"), "{ran:?}");
    let ran = letters.save(&["--resume"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("The last line of the file was incomplete. It was moved to"), "{ran:?}");
    assert!(ran.stdout.contains("1 message saved\n11 already in the file\n"), "{ran:?}");
    assert_eq!(letters.lines().len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_file_is_checked_before_anything_is_sent() {
    let letters = letters().await;
    assert_eq!(letters.save(&[]).await.code, 0);
    let mut lines = letters.lines();
    lines[3]["body"]["data"]["amount"] = json!(4.9);
    lines[5]["body"] = json!("ana@example.com");
    lines[7]["body"]["time"] = json!("2020-01-01T00:00:00Z");
    lines[9]["attributes"]["MessageGroupId"] = json!("José");
    let write = |lines: &[Value]| {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        std::fs::write(letters.file(), text.join("\n")).unwrap();
    };
    write(&lines);
    let ran = letters.send(&["--yes"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    let problems: Vec<&str> = ran.stdout.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(
        problems,
        [
            "line 4: body: invalid data: data.amount: expected a string",
            "line 6: body: the body is not JSON: line 1, column 1",
            "line 8: body: time: more than 30 days ago",
            "line 10: attributes.MessageGroupId: expected 1 to 128 ASCII letters, digits or punctuation",
        ]
    );
    assert!(!ran.stdout.contains('@') && letters.queues.bodies("user-events").is_empty());
    lines.truncate(9);
    write(&lines);
    let ran = letters.send(&["--any-body", "--yes"]).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("9 messages sent.\n"), "{ran:?}");
    assert!(ran.stdout.contains("      1  not_an_event\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn file_of_another_tool_is_rejected_with_one_line() {
    let letters = letters().await;
    for text in
        ["", "id,body\n1,x\n", "{\"Messages\": [{\"MessageId\": \"1\", \"Body\": \"{}\"}]}", "\u{0}\u{0}"]
    {
        std::fs::write(letters.file(), text).unwrap();
        let ran = letters.send(&["--yes"]).await;
        let (code, expected) = if text.is_empty() { (0, "") } else { (2, "line 1: ") };
        assert!(ran.code == code && ran.stdout.contains(expected), "{text}: {ran:?}");
        assert!(ran.stderr.lines().count() <= 1, "{ran:?}");
    }
    std::fs::write(letters.file(), r#"[{"messageId": "1"}]"#).unwrap();
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("message 1: not a message: expected an event"), "{ran:?}");
    std::fs::write(letters.file(), "x\n").unwrap();
    let ran = letters.save(&["--resume"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("line 1: invalid JSON"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(letters.file()).unwrap(), "x\n", "the file is unchanged");
    let ran = letters.queues.replay(&["send", "/no/such/file", "--to", "user-events"]).await;
    assert!(ran.code == 2 && ran.stderr.starts_with("replay: /no/such/file: No such file"), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn full_disk_loses_no_message() {
    let letters = letters().await;
    let ran = letters.queues.replay(&["save", "user-events-dead-letters", "--out", "/dev/full"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("No space left on device"), "{ran:?}");
    let stored = letters.queues.sqs.messages_in("user-events-dead-letters");
    assert!(stored.len() == 12 && stored.iter().all(|message| message.is_visible), "{ran:?}");
    let delete = ["save", "user-events-dead-letters", "--out", "/dev/full", "--delete", "--yes"];
    assert_eq!(letters.queues.replay(&delete).await.code, 2);
    assert_eq!(letters.queues.bodies("user-events-dead-letters").len(), 12);

    assert_eq!(letters.save(&[]).await.code, 0);
    let checkpoint = letters.path("letters.ndjson.checkpoint");
    std::os::unix::fs::symlink("/dev/full", &checkpoint).unwrap();
    let ran = letters.send(&["--yes"]).await;
    assert!(
        ran.code != 0 && letters.queues.bodies("user-events").is_empty(),
        "nothing is sent without a checkpoint: {ran:?}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn disk_that_fills_up_loses_no_message() {
    let letters = letters().await;
    for number in 0..12 {
        let body = json!({"number": number, "text": "x".repeat(4_000)});
        letters.queues.dead_letter("user-events-dead-letters", &body.to_string(), None);
    }
    // A limit of 20 KB (or 40, as shells differ) for each file has the effect of a full disk.
    let full = |arguments: &[&str]| {
        let mut shell = std::process::Command::new("sh");
        let replay = command(&letters.queues.endpoint, arguments);
        shell.args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\""]);
        shell.arg(replay.get_program()).args(replay.get_args());
        shell.env_clear();
        shell.envs(replay.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell
    };
    let file = letters.file();
    let save = ["save", "user-events-dead-letters", "--out", &file, "--delete", "--yes"];
    let ran = run(full(&save)).await;
    assert!(ran.code == 1 && ran.stderr.contains("File too large"), "{ran:?}");
    let left = letters.queues.sqs.messages_in("user-events-dead-letters");
    assert!(left.iter().all(|message| message.is_visible), "{ran:?}");
    let whole = std::fs::read_to_string(&file).unwrap().lines().filter(|line| line.ends_with("}")).count();
    assert!(left.len() + whole >= 24 && !left.is_empty(), "{} and {whole}", left.len());
    let ran = letters.queues.replay(&[&save[..], &["--resume"]].concat()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut ids: Vec<Value> = letters.lines().into_iter().map(|line| line["messageId"].clone()).collect();
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!((ids.len(), letters.lines().len()), (24, 24));
    assert_eq!(letters.queues.bodies("user-events-dead-letters"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn next_run_sends_only_rejected_edited_and_new_messages() {
    let letters = letters().await;
    assert_eq!(letters.save(&[]).await.code, 0);
    letters.queues.sqs.refuse_every_send(4);
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 1 && ran.stdout.contains("3 rejected by SQS: InternalError"), "{ran:?}");
    assert!(ran.stderr.contains("9 of 12 messages sent. Run the command again"), "{ran:?}");
    letters.queues.sqs.refuse_every_send(0);
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("3 messages sent.\n"), "{ran:?}");
    let mut bodies = letters.queues.bodies("user-events");
    bodies.sort();
    bodies.dedup();
    assert_eq!((bodies.len(), letters.queues.bodies("user-events").len()), (12, 12));

    let ran = letters.queues.replay(&["send", &letters.file(), "--to", "user-events-dead-letters"]).await;
    assert!(
        ran.code == 2 && ran.stderr.contains("To send them to another queue too, remove the checkpoint"),
        "{ran:?}"
    );
    // Edited and new lines are sent. The others were sent before.
    let mut lines = letters.lines();
    lines[2]["body"]["data"]["amount"] = json!("5.00");
    lines.push(lines[3].clone());
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(letters.file(), text.join("\n")).unwrap();
    let ran = letters.send(&["--max", "1", "--yes"]).await;
    assert!(ran.code == 0 && ran.stdout.ends_with("1 message sent.\n"), "{ran:?}");
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.stdout.contains("12 already sent") && ran.stdout.ends_with("1 message sent.\n"), "{ran:?}");
    assert_eq!(letters.queues.bodies("user-events").len(), 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_in_doubt_is_sent_again_by_the_next_run_only() {
    let letters = letters().await;
    assert_eq!(letters.save(&[]).await.code, 0);
    letters.queues.sqs.lose_reply_of("SendMessageBatch", 1);
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 1 && ran.stdout.contains(" in doubt: SQS did not answer"), "{ran:?}");
    let in_doubt = letters.queues.bodies("user-events").len() + 12 - 12;
    assert!(in_doubt <= 12, "nothing is sent twice: {in_doubt}");
    let ran = letters.send(&["--yes"]).await;
    assert!(
        ran.code == 0 && ran.stdout.contains("in progress when the last run stopped: sent again"),
        "{ran:?}"
    );
    let mut bodies = letters.queues.bodies("user-events");
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_file_in_place_of_the_checkpoint_is_not_changed() {
    let letters = letters().await;
    assert_eq!(letters.save(&[]).await.code, 0);
    let checkpoint = letters.path("letters.ndjson.checkpoint");
    for text in ["my notes", "{}\n", "{\"queue\":7}\n"] {
        std::fs::write(&checkpoint, text).unwrap();
        let ran = letters.send(&["--yes"]).await;
        assert!(ran.code == 2 && ran.stderr.contains("not a checkpoint of replay send"), "{ran:?}");
        assert_eq!(std::fs::read_to_string(&checkpoint).unwrap(), text);
    }
    assert!(letters.queues.bodies("user-events").is_empty());
    std::fs::remove_file(&checkpoint).unwrap();
    let held = std::fs::File::create(&checkpoint).unwrap();
    held.lock().unwrap();
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("another replay process uses this file"), "{ran:?}");
}

/// Waits until the lock of a closed file is released. A child process that another test starts has
/// copies of all open files until it executes its program.
fn wait_until_unlocked(path: &Path) {
    while let Ok(file) = std::fs::File::open(path)
        && file.try_lock().is_err()
    {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn next_run_sends_the_rest_wherever_a_run_was_dropped() {
    const MESSAGES: usize = 257;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters.ndjson");
    let clock = Clock::system();
    let lines = (0..MESSAGES).map(|n| json!({"messageId": n.to_string(), "body": n.to_string()}).to_string());
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let (mut drops, mut duplicates) = (0, 0);
    for max_waits in 0.. {
        let _ = std::fs::remove_file(folder.path().join("letters.ndjson.checkpoint"));
        let sqs = Sqs::new(clock.clone());
        sqs.create("queue", None);
        sqs.refuse_every_send(5);
        let config = shared::aws::worker_settings(sdk_config(YieldingSqs::new(&sqs)));
        let client = aws_sdk_sqs::Client::new(&config);
        let queue = QueueDescription::read(&client, &Sqs::url("queue")).await.unwrap();
        let rules = LineRules { any_body: true, any_type: false, queue: &queue };
        let send_file = async || {
            let file = check(&path, rules, &clock).unwrap();
            let checkpoint = SendCheckpoint::open(&path, &queue, false, &clock).unwrap();
            let in_doubt = checkpoint.in_doubt(&file.keys);
            let stop = StopSignal::default();
            let summary = send((&client, &queue), (file, checkpoint), (None, None), &stop, &|_| {}).await;
            assert!(summary.error.is_none());
            (summary.rejected.is_empty(), in_doubt)
        };
        let was_dropped = drop_after(max_waits, send_file()).await.is_none();
        wait_until_unlocked(&folder.path().join("letters.ndjson.checkpoint"));
        let mut announced = 0;
        loop {
            let (is_complete, in_doubt) = send_file().await;
            announced += in_doubt;
            if is_complete {
                break;
            }
            wait_until_unlocked(&folder.path().join("letters.ndjson.checkpoint"));
        }
        let mut arrived: Vec<Value> =
            sqs.messages_in("queue").into_iter().map(|message| message.sent["MessageBody"].clone()).collect();
        let all = arrived.len();
        arrived.sort_by_key(|body| body.as_str().map(str::to_owned));
        arrived.dedup();
        assert_eq!(arrived.len(), MESSAGES, "dropped after {max_waits}");
        assert!(all - MESSAGES <= announced, "dropped after {max_waits}: a duplicate without notice");
        duplicates += all - MESSAGES;
        drops += usize::from(was_dropped);
        if !was_dropped {
            break;
        }
    }
    assert!(drops > 20, "{drops}");
    println!(
        "dropped at {drops} points, {MESSAGES} messages each: none lost, {duplicates} duplicates, all announced"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fifo_queue_receives_the_lines_in_order() {
    let letters = letters().await;
    let bodies: Vec<String> = (0..12).map(|n| format!("{{\"n\":{n}}}")).collect();
    for body in &bodies {
        letters.queues.dead_letter("orders-dead-letters.fifo", body, None);
    }
    let (file, queues) = (letters.file(), &letters.queues);
    let ran = queues.replay(&["save", "orders-dead-letters.fifo", "--out", &file, "--delete", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    queues.sqs.refuse_every_send(7);
    let send = ["send", &file, "--to", "orders.fifo", "--any-body", "--yes"];
    assert_eq!(queues.replay(&send).await.code, 1);
    assert_eq!(queues.bodies("orders.fifo"), bodies[..6]);
    queues.sqs.refuse_every_send(0);
    assert_eq!(queues.replay(&send).await.code, 0);
    assert_eq!(queues.bodies("orders.fifo"), bodies);
    let ran = queues.replay(&["send", &file, "--to", "user-events", "--any-body"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("to another queue"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistyped_filter_names_the_types_and_leaves_no_file() {
    let letters = letters().await;
    let expected = "no message matches the options. Types in the queue: order.placed. Reasons: invalid_data, \
                    received_too_often\n";
    for options in [&["--delete"][..], &["--delete", "--yes"], &[]] {
        let ran = letters.save(&[&["--type", "order.plaecd"], options].concat()).await;
        assert!(ran.code == 1 && ran.stderr.ends_with(expected), "{ran:?}");
        assert!(!Path::new(&letters.file()).exists(), "{options:?}");
    }
    let ran = letters.save(&["--type", "order.placed", "--delete", "--yes"]).await;
    assert!(ran.code == 0 && letters.lines().len() == 12, "{ran:?}");
}
