//! Queues that another process changes while `replay` works, and files that cannot be written.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::support::{CommandRun, Queues, command, order, run};

const TIME: &str = "2026-03-02T08:00:00Z";

async fn dead_letters(count: usize, reason: Option<&str>) -> Queues {
    let queues = Queues::start().await;
    for number in 0..count {
        queues.dead_letter("user-events-dead-letters", &order(&number.to_string(), TIME), reason);
    }
    queues
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// The command printed one line about its failure, if it failed.
fn assert_one_line(ran: &CommandRun) {
    let errors = ran.stderr.lines().filter(|line| line.starts_with("replay: ")).count();
    assert_eq!(errors, usize::from(ran.code != 0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_queue_lose_and_duplicate_nothing() {
    let queues = dead_letters(300, Some("unknown_type")).await;
    let before = sorted(queues.bodies("user-events-dead-letters"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson").to_str().unwrap().to_owned();
    let redrive = ["redrive", "--from", "user-events-dead-letters", "--yes"];
    let save = ["save", "user-events-dead-letters", "--out", &file, "--delete", "--yes"];
    let (first, second, third) =
        tokio::join!(queues.replay(&redrive), queues.replay(&redrive), queues.replay(&save));
    [&first, &second, &third].into_iter().for_each(assert_one_line);
    // Whatever a process did not see is visible again, and the next run takes it.
    let left = queues.sqs.messages_in("user-events-dead-letters");
    assert!(left.iter().all(|message| message.is_visible), "{first:?} {second:?} {third:?}");
    let saved = std::fs::read_to_string(&file).unwrap_or_default();
    let saved = saved.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].to_string());
    // A saved body has the fields in another order.
    let id = |body: &String| serde_json::from_str::<Value>(body).unwrap()["id"].to_string();
    let everywhere =
        [queues.bodies("user-events-dead-letters"), queues.bodies("user-events"), saved.collect()].concat();
    let ids = |bodies: &[String]| sorted(bodies.iter().map(id).collect());
    assert_eq!(ids(&everywhere), ids(&before), "each message is in exactly one place");
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_that_is_deleted_halfway_is_an_error_and_loses_nothing_else() {
    for deleted in ["user-events", "user-events-dead-letters"] {
        let queues = dead_letters(100, Some("unknown_type")).await;
        let arguments = ["redrive", "--from", "user-events-dead-letters", "--rate", "50", "--yes"];
        let running = tokio::spawn(run(command(&queues.endpoint, &arguments)));
        let arrived = loop {
            let arrived = queues.bodies("user-events").len();
            if arrived > 0 {
                break arrived;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        queues.sqs.delete(deleted);
        let ran = running.await.unwrap();
        assert!(ran.code == 1 && ran.stderr.contains("QueueDoesNotExist"), "{deleted}: {ran:?}");
        assert_one_line(&ran);
        if deleted == "user-events" {
            let left = queues.sqs.messages_in("user-events-dead-letters");
            assert!(left.len() <= 100 - arrived && left.iter().all(|message| message.is_visible), "{ran:?}");
            assert!(
                ran.stdout.contains(&format!("{} messages moved, the others stayed", 100 - left.len())),
                "{ran:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn send_continues_after_its_queue_was_deleted_and_created_again() {
    let queues = dead_letters(60, None).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson").to_str().unwrap().to_owned();
    assert_eq!(queues.replay(&["save", "user-events-dead-letters", "--out", &file]).await.code, 0);
    let arguments = ["send", &file, "--to", "user-events", "--any-body", "--rate", "30", "--yes"];
    let running = tokio::spawn(run(command(&queues.endpoint, &arguments)));
    while queues.bodies("user-events").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    queues.sqs.delete("user-events");
    let ran = running.await.unwrap();
    assert!(ran.code == 1 && ran.stderr.contains("QueueDoesNotExist"), "{ran:?}");
    assert!(ran.stderr.contains(" of 60 messages sent: "), "{ran:?}");
    assert_one_line(&ran);
    queues.sqs.create("user-events", Some(("user-events-dead-letters", 5)));
    let ran = queues.replay(&arguments).await;
    let arrived = queues.bodies("user-events").len();
    assert!(ran.code == 0 && ran.stdout.contains(&format!("{} already sent", 60 - arrived)), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_of_a_deletion_checks_the_file() {
    let queues = dead_letters(2, None).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("notes.txt"), "my notes\n").unwrap();
    let (missing, notes, new) = (path("missing/letters.ndjson"), path("notes.txt"), path("letters.ndjson"));
    let folder_name = folder.path().to_str().unwrap();
    for (options, expected) in [
        (&["--out", &missing][..], "No such file"),
        (&["--out", &notes], "the file exists. Pass --resume"),
        (&["--out", &notes, "--resume"], "line 1: invalid JSON"),
        (&["--out", &new, "--resume"], "No such file"),
        (&["--out", folder_name], "--delete needs a file"),
        (&["--out", "/dev/null"], "--delete needs a file"),
        (&["--out", "-"], "need a file"),
    ] {
        let ran = queues.replay(&[&["save", "user-events-dead-letters", "--delete"], options].concat()).await;
        assert!(ran.code == 2 && ran.stderr.contains(expected), "{options:?}: {ran:?}");
        assert!(ran.stdout.is_empty(), "nothing was read: {ran:?}");
    }
    let ran = queues.replay(&["save", "user-events-dead-letters", "--delete", "--out", &new]).await;
    assert!(ran.code == 0 && !Path::new(&new).exists(), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "my notes\n");
    let ran = queues.replay(&["save", "user-events-dead-letters", "--out", &missing]).await;
    assert!(ran.code == 2 && ran.stderr.contains("No such file"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_is_never_continued() {
    let queues = dead_letters(2, None).await;
    queues.sqs.set_attribute("user-events-dead-letters", "DelaySeconds", "600");
    queues.dead_letter("user-events-dead-letters", &order("late", TIME), None);
    let ran = queues.replay(&["save", "user-events-dead-letters", "--out", "-"]).await;
    assert!(ran.code == 1 && ran.stdout.lines().count() == 2, "{ran:?}");
    assert!(ran.stderr.contains("run the command again") && !ran.stderr.contains("--resume"), "{ran:?}");
    let ran = queues.replay(&["save", "user-events-dead-letters", "--out", "-", "--json"]).await;
    assert!(ran.code == 2 && ran.stdout.is_empty(), "{ran:?}");
}
