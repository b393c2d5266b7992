//! `replay save` and `replay send`.

use std::path::{Path, PathBuf};

use sandbox::aws::sdk_config;
use replay::queue::description::QueueDescription;
use replay::queue::send::{Checkpoint, Rules, check, send};
use replay::interrupt::StopSignal;
use serde_json::{Value, json};
use shared::time::Clock;
use tests::sqs::Sqs;

use super::support::{ANA, Queues, order};

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
        queues.dead_letter("user-events-dlq", &order(&number.to_string(), &now), reason);
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

    async fn save(&self, options: &[&str]) -> super::support::Ran {
        let file = self.file();
        self.queues.replay(&[&["save", "user-events-dlq", "--out", &file], options].concat()).await
    }

    async fn send(&self, options: &[&str]) -> super::support::Ran {
        let file = self.file();
        self.queues.replay(&[&["send", &file, "--to", "user-events"], options].concat()).await
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_queue_is_sent_whole() {
    let letters = letters().await;
    let ran = letters.save(&[]).await;
    assert_eq!((ran.code, ran.shown.as_str()), (0, "12 messages saved\n"), "{ran:?}");
    let lying = letters.queues.sqs.lying_in("user-events-dlq");
    assert!(lying.len() == 12 && lying.iter().all(|message| message.is_visible), "they stay");
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
        assert_eq!(mode & 0o077, 0, "it holds personal data");
    }

    let ran = letters.send(&[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let expected = "12 messages to user-events\n     12  order.placed\nNothing was sent. With --yes it is.\n";
    assert_eq!(ran.shown, expected);
    assert_eq!(letters.queues.bodies("user-events").len(), 0);
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 0 && ran.shown.ends_with("12 messages sent.\n"), "{ran:?}");
    let sent = letters.queues.sqs.lying_in("user-events");
    let mut bodies: Vec<&Value> = sent.iter().map(|message| &message.sent["MessageBody"]).collect();
    let mut expected: Vec<&Value> = lying.iter().map(|message| &message.sent["MessageBody"]).collect();
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
        ran.code == 0 && ran.shown.contains("12 were sent before"),
        "not twice without saying so: {ran:?}"
    );
    assert_eq!(letters.queues.bodies("user-events").len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_out_lies_in_the_file_first() {
    let letters = letters().await;
    let ran = letters.save(&["--delete"]).await;
    assert!(
        ran.code == 0 && ran.shown.starts_with("12 messages\n") && ran.shown.contains("Nothing was saved"),
        "{ran:?}"
    );
    assert!(!Path::new(&letters.file()).exists());

    letters.queues.sqs.refuse_every_deletion(6);
    let command = ["--error", "invalid_data", "--delete", "--yes"];
    let ran = letters.save(&command).await;
    assert!(ran.code == 1 && ran.errors.contains("go on with --resume"), "{ran:?}");
    letters.queues.sqs.refuse_every_deletion(0);
    let ran = letters.save(&command).await;
    assert!(ran.code == 2 && ran.errors.contains("is there already; with --resume"), "{ran:?}");
    let ran = letters.save(&[&command[..], &["--resume"]].concat()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = letters.lines();
    assert_eq!(lines.len(), 6, "each once");
    assert!(
        lines.iter().all(|line| line["messageAttributes"]["error.type"]["stringValue"] == "invalid_data")
    );
    let left = letters.queues.sqs.lying_in("user-events-dlq");
    assert!(left.len() == 6 && left.iter().all(|message| message.is_visible), "the others stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_off_is_gone_on_with() {
    let letters = letters().await;
    assert_eq!(letters.save(&[]).await.code, 0);
    let whole = std::fs::read_to_string(letters.file()).unwrap();
    std::fs::write(letters.file(), &whole[..whole.len() - 40]).unwrap();
    let ran = letters.send(&["--yes"]).await;
    assert!(
        ran.code == 2
            && ran
                .shown
                .ends_with("letters.ndjson: line 12: is no whole message; each line is one (jq -c)\n"),
        "{ran:?}"
    );
    assert!(ran.errors.contains("nothing was sent: 1 line cannot be sent"), "{ran:?}");
    let ran = letters.save(&["--resume"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.shown.contains("the last line of the file was cut off; it lies in"), "{ran:?}");
    assert!(ran.shown.contains("1 message saved\n11 were in the file before\n"), "{ran:?}");
    assert_eq!(letters.lines().len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_file_is_checked_before_anything_is_sent() {
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
    let told: Vec<&str> = ran.shown.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(
        told,
        [
            "line 4: body: invalid data: data.amount: expected a string",
            "line 6: body: the body is not JSON: line 1, column 1",
            "line 8: body: time: more than 30 days ago",
            "line 10: attributes.MessageGroupId: expected 1 to 128 ASCII letters, digits or punctuation",
        ]
    );
    assert!(!ran.shown.contains('@') && letters.queues.bodies("user-events").is_empty());
    lines.truncate(9);
    write(&lines);
    let ran = letters.send(&["--any-body", "--yes"]).await;
    assert!(ran.code == 0 && ran.shown.ends_with("9 messages sent.\n"), "{ran:?}");
    assert!(ran.shown.contains("      1  not_an_event\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_tool_is_one_line() {
    let letters = letters().await;
    for text in [
        "",
        "id,body\n1,x\n",
        r#"{"Messages": [{"MessageId": "1", "Body": "{}"}]}"#,
        r#"[{"messageId": "1"}]"#,
        "\u{0}\u{0}",
    ] {
        std::fs::write(letters.file(), text).unwrap();
        let ran = letters.send(&["--yes"]).await;
        let (code, told) = if text.is_empty() { (0, "") } else { (2, "line 1: ") };
        assert!(ran.code == code && ran.shown.contains(told), "{text}: {ran:?}");
        assert!(ran.errors.lines().count() <= 1, "{ran:?}");
    }
    std::fs::write(letters.file(), "x\n").unwrap();
    let ran = letters.save(&["--resume"]).await;
    assert!(ran.code == 2 && ran.errors.contains("line 1: is no JSON"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(letters.file()).unwrap(), "x\n", "nothing is done to it");
    let ran = letters.queues.replay(&["send", "/no/such/file", "--to", "user-events"]).await;
    assert!(ran.code == 2 && ran.errors.starts_with("replay: /no/such/file: No such file"), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() {
    let letters = letters().await;
    let ran = letters.queues.replay(&["save", "user-events-dlq", "--out", "/dev/full"]).await;
    assert!(ran.code == 1 && ran.errors.contains("No space left on device"), "{ran:?}");
    let lying = letters.queues.sqs.lying_in("user-events-dlq");
    assert!(lying.len() == 12 && lying.iter().all(|message| message.is_visible), "{ran:?}");
    let delete = ["save", "user-events-dlq", "--out", "/dev/full", "--delete", "--yes"];
    assert_eq!(letters.queues.replay(&delete).await.code, 2);
    assert_eq!(letters.queues.bodies("user-events-dlq").len(), 12);

    assert_eq!(letters.save(&[]).await.code, 0);
    let checkpoint = letters.path("letters.ndjson.checkpoint");
    std::os::unix::fs::symlink("/dev/full", &checkpoint).unwrap();
    let ran = letters.send(&["--yes"]).await;
    assert!(
        ran.code != 0 && letters.queues.bodies("user-events").is_empty(),
        "nothing without a checkpoint: {ran:?}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_half_way_loses_nothing() {
    let letters = letters().await;
    for number in 0..12 {
        let body = json!({"number": number, "text": "x".repeat(4_000)});
        letters.queues.dead_letter("user-events-dlq", &body.to_string(), None);
    }
    // No file grows beyond 20 KB (or 40: shells differ), as on a disk that is full.
    let full = |arguments: &[&str]| {
        let mut command = std::process::Command::new("sh");
        let replay = super::support::command(&letters.queues.endpoint, arguments);
        command.args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\""]);
        command.arg(replay.get_program()).args(replay.get_args());
        command.env_clear();
        command.envs(replay.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    };
    let file = letters.file();
    let save = ["save", "user-events-dlq", "--out", &file, "--delete", "--yes"];
    let ran = super::support::run(full(&save)).await;
    assert!(ran.code == 1 && ran.errors.contains("File too large"), "{ran:?}");
    let left = letters.queues.sqs.lying_in("user-events-dlq");
    assert!(left.iter().all(|message| message.is_visible), "{ran:?}");
    let whole = std::fs::read_to_string(&file).unwrap().lines().filter(|line| line.ends_with("}")).count();
    assert!(left.len() + whole >= 24 && !left.is_empty(), "{} and {whole}", left.len());
    let ran = letters.queues.replay(&[&save[..], &["--resume"]].concat()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut ids: Vec<Value> = letters.lines().into_iter().map(|line| line["messageId"].clone()).collect();
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!((ids.len(), letters.lines().len()), (24, 24));
    assert_eq!(letters.queues.bodies("user-events-dlq"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_sent_by_the_next_run_alone() {
    let letters = letters().await;
    assert_eq!(letters.save(&[]).await.code, 0);
    letters.queues.sqs.refuse_every_send(4);
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 1 && ran.shown.contains("3 refused by SQS: InternalError"), "{ran:?}");
    assert!(ran.errors.contains("9 of 12 were sent; run it again"), "{ran:?}");
    letters.queues.sqs.refuse_every_send(0);
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 0 && ran.shown.ends_with("3 messages sent.\n"), "{ran:?}");
    let mut bodies = letters.queues.bodies("user-events");
    bodies.sort();
    bodies.dedup();
    assert_eq!((bodies.len(), letters.queues.bodies("user-events").len()), (12, 12));

    let ran = letters.queues.replay(&["send", &letters.file(), "--to", "user-events-dlq"]).await;
    assert!(ran.code == 2 && ran.errors.contains("remove the checkpoint to send them to another"), "{ran:?}");
    // Lines that are mended, or new, are sent; the others are known.
    let mut lines = letters.lines();
    lines[2]["body"]["data"]["amount"] = json!("5.00");
    lines.push(lines[3].clone());
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(letters.file(), text.join("\n")).unwrap();
    let ran = letters.send(&["--max", "1", "--yes"]).await;
    assert!(ran.code == 0 && ran.shown.ends_with("1 message sent.\n"), "{ran:?}");
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.shown.contains("12 were sent before") && ran.shown.ends_with("1 message sent.\n"), "{ran:?}");
    assert_eq!(letters.queues.bodies("user-events").len(), 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_lost_is_told_and_only_then_sent_again() {
    let letters = letters().await;
    assert_eq!(letters.save(&[]).await.code, 0);
    letters.queues.sqs.lose_reply_of("SendMessageBatch", 1);
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 1 && ran.shown.contains(" in doubt: SQS did not say"), "{ran:?}");
    let in_doubt = letters.queues.bodies("user-events").len() + 12 - 12;
    assert!(in_doubt <= 12, "nothing was sent again: {in_doubt}");
    let ran = letters.send(&["--yes"]).await;
    assert!(
        ran.code == 0 && ran.shown.contains("were under way when it was cut off; they are sent again"),
        "{ran:?}"
    );
    let mut bodies = letters.queues.bodies("user-events");
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_something_else_is_left_alone() {
    let letters = letters().await;
    assert_eq!(letters.save(&[]).await.code, 0);
    let checkpoint = letters.path("letters.ndjson.checkpoint");
    for text in ["my notes", "{}\n", "{\"queue\":7}\n"] {
        std::fs::write(&checkpoint, text).unwrap();
        let ran = letters.send(&["--yes"]).await;
        assert!(ran.code == 2 && ran.errors.contains("is no checkpoint of replay send"), "{ran:?}");
        assert_eq!(std::fs::read_to_string(&checkpoint).unwrap(), text);
    }
    assert!(letters.queues.bodies("user-events").is_empty());
    std::fs::remove_file(&checkpoint).unwrap();
    let held = std::fs::File::create(&checkpoint).unwrap();
    held.lock().unwrap();
    let ran = letters.send(&["--yes"]).await;
    assert!(ran.code == 2 && ran.errors.contains("another replay is at work on it"), "{ran:?}");
}

#[tokio::test]
async fn wherever_a_delivery_is_cut_off_the_next_one_ends_it() {
    const MESSAGES: usize = 257;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters.ndjson");
    let clock = Clock::system();
    let lines = (0..MESSAGES).map(|n| json!({"messageId": n.to_string(), "body": n.to_string()}).to_string());
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let rules = Rules { any_body: true, is_fifo: false };
    let (mut cuts, mut duplicates) = (0, 0);
    for most in 0.. {
        let _ = std::fs::remove_file(folder.path().join("letters.ndjson.checkpoint"));
        let sqs = Sqs::new(clock.clone());
        sqs.create("queue", None);
        sqs.refuse_every_send(5);
        let slow = super::redrive::Slow::new(&sqs);
        let config = shared::aws::worker_settings(sdk_config(slow));
        let client = aws_sdk_sqs::Client::new(&config);
        let queue = QueueDescription::read(&client, &Sqs::url("queue")).await.unwrap();
        let deliver = async || {
            let checked = check(&path, rules, &clock).unwrap();
            let checkpoint = Checkpoint::open(&path, &queue, true, &clock).unwrap();
            let in_doubt = checkpoint.in_doubt(&checked);
            let stop = StopSignal::default();
            let delivery = send((&client, &queue), (checked, checkpoint), (None, None), &stop, &|_| {}).await;
            assert!(delivery.error.is_none());
            (delivery.refused.is_empty(), in_doubt)
        };
        let cut_off = super::redrive::cut_off_after(most, deliver()).await.is_none();
        let mut told = 0;
        loop {
            let (is_complete, in_doubt) = deliver().await;
            told += in_doubt;
            if is_complete {
                break;
            }
        }
        let mut arrived: Vec<Value> =
            sqs.lying_in("queue").into_iter().map(|message| message.sent["MessageBody"].clone()).collect();
        let all = arrived.len();
        arrived.sort_by_key(|body| body.as_str().map(str::to_owned));
        arrived.dedup();
        assert_eq!(arrived.len(), MESSAGES, "cut off after {most}");
        assert!(all - MESSAGES <= told, "cut off after {most}: twice without saying so");
        duplicates += all - MESSAGES;
        cuts += usize::from(cut_off);
        if !cut_off {
            break;
        }
    }
    assert!(cuts > 20, "{cuts}");
    println!(
        "cut off at {cuts} places, {MESSAGES} messages each: none lost, {duplicates} duplicates, all announced"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_gets_the_lines_in_their_order() {
    let letters = letters().await;
    let bodies: Vec<String> = (0..12).map(|n| format!("{{\"n\":{n}}}")).collect();
    for body in &bodies {
        letters.queues.dead_letter("orders-dlq.fifo", body, None);
    }
    let (file, queues) = (letters.file(), &letters.queues);
    let ran = queues.replay(&["save", "orders-dlq.fifo", "--out", &file, "--delete", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    queues.sqs.refuse_every_send(7);
    let send = ["send", &file, "--to", "orders.fifo", "--any-body", "--yes"];
    assert_eq!(queues.replay(&send).await.code, 1);
    assert_eq!(queues.bodies("orders.fifo"), bodies[..6]);
    queues.sqs.refuse_every_send(0);
    assert_eq!(queues.replay(&send).await.code, 0);
    assert_eq!(queues.bodies("orders.fifo"), bodies);
    let ran = queues.replay(&["send", &file, "--to", "user-events", "--any-body"]).await;
    assert!(ran.code == 2 && ran.errors.contains("to another queue"), "{ran:?}");
}
