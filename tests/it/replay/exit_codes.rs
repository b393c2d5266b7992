//! The exit codes of all commands: 2 for a bad command line or file, 1 for an account that does not
//! answer, and no error if the reader of a pipe has read enough.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use clap::CommandFactory;
use futures_util::future::join_all;
use replay::cli::Cli;
use sandbox::aws::TABLE;
use sandbox::aws::user_pools::NewUser;
use serde_json::json;
use shared::events::{Activity, Data, Event, Subject};
use tests::stack_account::{STACK, StackAccount};

use super::loopback_account::{LoopbackAccount, order_event};
use super::support::{ANA, CommandRun, command, order, run, send};
use crate::support::empty_profile;

const POOL: &str = "eu-central-1_EXAMPLE12";
/// The queue of the template and its dead-letter queue.
const QUEUE: &str = "cognito-user-events-user-events";
const DEAD_LETTERS: &str = "cognito-user-events-user-events-dead-letters";

/// A command line without options of the account. FILE is replaced by the path of a file of events.
struct Case {
    command: &'static str,
    arguments: &'static [&'static str],
    /// True if the command calls the account, also in a dry run.
    calls_account: bool,
    /// The exit code with the account.
    code: i32,
}

const fn case(command: &'static str, arguments: &'static [&'static str]) -> Case {
    Case { command, arguments, calls_account: true, code: 0 }
}

const CASES: &[Case] = &[
    // The dead letter needs a look.
    Case { code: 1, ..case("status", &[]) },
    case("doctor", &[]),
    // The stack has a user pool of its own.
    Case { code: 1, ..case("attach", &[]) },
    Case { code: 1, ..case("detach", &[]) },
    case("queues", &[]),
    case("inspect", &[DEAD_LETTERS]),
    case("redrive", &["--from", DEAD_LETTERS]),
    case("move-task list", &[DEAD_LETTERS]),
    // There is no move task.
    Case { code: 1, ..case("move-task follow", &[DEAD_LETTERS]) },
    Case { code: 1, ..case("move-task cancel", &[DEAD_LETTERS]) },
    case("save", &[DEAD_LETTERS, "--out", "-"]),
    case("send", &["FILE", "--to", QUEUE]),
    Case { calls_account: false, ..case("recover", &["--log", "LOG", "--queue", QUEUE]) },
    case("user show", &[ANA]),
    case("user list", &["--user-pool", POOL]),
    case("user create", &["--user-pool", POOL, "--email", "eva@example.com"]),
    case("user password", &[ANA, "--user-pool", POOL]),
    case("user group list", &[ANA, "--user-pool", POOL]),
    case("user group add", &[ANA, "Staff", "--user-pool", POOL]),
    case("user group remove", &[ANA, "Staff", "--user-pool", POOL]),
    case("user suspend", &[ANA, "--reason", "spam", "--queue", QUEUE]),
    case("user reinstate", &[ANA, "--reason", "settled", "--queue", QUEUE]),
    case("user erase", &[ANA, "--queue", "cognito-user-events-cache-invalidations"]),
    case("user import", &["--user-pool", POOL]),
    case("users", &["--user-pool", POOL]),
    case("reconcile", &["--user-pool", POOL]),
    case("statistics rebuild", &["--user", ANA]),
    Case { calls_account: false, ..case("statistics backfill", &["OLD", "--event-retention-days", "90"]) },
    Case { calls_account: false, code: 1, ..case("origin check", &["RESPONSE"]) },
    Case { calls_account: false, ..case("completions", &["bash"]) },
    Case { calls_account: false, ..case("man", &["--out", "FOLDER"]) },
];

/// Command lines with a file that does not exist, or with a folder in its place.
const BAD_FILES: &[&[&str]] = &[
    &["send", "BAD", "--to", QUEUE],
    &["send", "FOLDER", "--to", QUEUE],
    &["save", DEAD_LETTERS, "--out", "BAD/letters.ndjson"],
    &["save", DEAD_LETTERS, "--out", "FOLDER", "--delete"],
    &["recover", "--log", "BAD", "--queue", QUEUE],
    &["recover", "--log", "FOLDER", "--queue", QUEUE],
    &["user", "import", "--user-pool", POOL, "--checkpoint", "FOLDER"],
    &["statistics", "backfill", "BAD", "--event-retention-days", "90"],
    &["statistics", "backfill", "FOLDER", "--event-retention-days", "90"],
    &["attach", "--restore", "BAD"],
    &["attach", "--restore", "FOLDER"],
    &["detach", "--restore", "BAD"],
    &["detach", "--restore", "FOLDER"],
    &["origin", "check", "BAD"],
    &["origin", "check", "FOLDER"],
    &["man", "--out", "FILE/pages"],
];

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let now = shared::time::Clock::system().now();
        let event = order("1", &now.to_string());
        write("FILE", format!("{}\n", json!({"messageId": "1", "body": event})));
        let old = order("2", &shared::time::minus_seconds(now, 40 * 86_400).to_string());
        write("OLD", format!("{}\n", json!({"messageId": "2", "body": old})));
        let activity = Data::ActivityRecorded(Activity { description: "x".to_owned() });
        let unsent = Event::new("/shop", Subject::user(ANA), now, activity).to_json();
        write(
            "LOG",
            json!({"level": "ERROR", "fields": {"message": "unsent event", "event": unsent}}).to_string(),
        );
        write("RESPONSE", "HTTP/1.1 200 OK\r\n\r\n".to_owned());
        std::fs::create_dir(folder.path().join("FOLDER")).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs a command in the folder of the files.
    async fn run(&self, endpoint: &str, arguments: &[&str], stdout: Option<Stdio>) -> CommandRun {
        let mut replay = command(endpoint, arguments);
        replay.current_dir(self.path()).stdin(Stdio::null());
        replay.env("TABLE_NAME", TABLE).env("STACK_NAME", STACK);
        if let Some(stdout) = stdout {
            replay.stdout(stdout);
        }
        run(replay).await
    }
}

fn words(case: &Case) -> Vec<&'static str> {
    case.command.split(' ').chain(case.arguments.iter().copied()).collect()
}

/// An account with a dead letter, a profile and a user pool.
async fn account() -> (LoopbackAccount, String) {
    let account = LoopbackAccount::start().await;
    let stack = StackAccount::new(&[], Some(account.sandbox.backend().clone()));
    send(stack.sqs(), DEAD_LETTERS, &order("1", "2026-03-02T08:00:00Z"), None);
    let pools = account.sandbox.backend().user_pools();
    pools.put_user(POOL, "ana", &["Staff".to_owned()]).await;
    let attributes = BTreeMap::from([("sub", ANA)]);
    pools.put_users(POOL, &[NewUser { username: "ana", status: "CONFIRMED", attributes }]).await;
    account.store().write_profile(&empty_profile(ANA, account.sandbox.time.now())).await.unwrap();
    account.apply([order_event("1", ANA)]).await;
    let endpoint = format!("http://{}", tests::lambda::serve_aws(stack).await);
    (account, endpoint)
}

#[test]
fn every_command_has_a_case() {
    let commands = super::json::commands("", &Cli::command()).into_iter().map(|(command, _)| command);
    let cases: Vec<&str> = CASES.iter().map(|case| case.command).collect();
    assert_eq!(commands.collect::<Vec<_>>(), cases);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_option_exits_with_2() {
    let files = Files::new();
    for case in CASES {
        let words = [&words(case)[..], &["--no-such-option"]].concat();
        let run = files.run("http://127.0.0.1:9", &words, None).await;
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{words:?}: {run:?}");
        assert!(run.stderr.contains("--no-such-option"), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_file_exits_with_2_and_is_named() {
    let (files, (_account, endpoint)) = (Files::new(), account().await);
    for words in BAD_FILES {
        let run = files.run(&endpoint, words, None).await;
        assert_eq!(run.code, 2, "{words:?}: {run:?}");
        let file =
            words.iter().find(|word| ["BAD", "FOLDER", "FILE"].iter().any(|name| word.starts_with(name)));
        assert!(run.stderr.contains(file.unwrap()) && run.stderr.lines().count() == 1, "{words:?}: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn account_that_does_not_answer_exits_with_1() {
    let files = Files::new();
    let runs = CASES.iter().filter(|case| case.calls_account).map(async |case| {
        let words = words(case);
        let run = files.run("http://127.0.0.1:9", &words, None).await;
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{words:?}: {run:?}");
        let lines: Vec<&str> = run.stderr.lines().filter(|line| !line.starts_with("checked ")).collect();
        assert_eq!(lines.len(), 1, "{words:?}: {run:?}");
    });
    join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_pipe_is_no_error_unless_the_command_finds_one() {
    let (files, (_account, endpoint)) = (Files::new(), account().await);
    for case in CASES {
        let words = words(case);
        let complete = files.run(&endpoint, &words, None).await;
        assert_eq!(complete.code, case.code, "{words:?}: {complete:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = files.run(&endpoint, &words, Some(writer.into())).await;
        let is_right = match case.command {
            // It fails before it prints something.
            "move-task follow" | "move-task cancel" | "attach" | "detach" => run.code == 1,
            "save" => (run.code, run.stderr.as_str()) == (0, "0 messages saved\n"),
            _ => run.code == 0 && run.stderr.is_empty(),
        };
        assert!(is_right, "{words:?}: {run:?}");
    }
}
