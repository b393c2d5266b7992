//! `replay` on a terminal of 40 columns. A short Python program is the terminal, because the standard
//! library of Rust has none.

use std::collections::BTreeMap;
use std::process::Command;

use sandbox::aws::TABLE;
use sandbox::aws::user_pools::NewUser;

use super::loopback_account::{LoopbackAccount, order_event};
use super::support::{ANA, CommandRun, command, run};
use crate::support::empty_profile;

const POOL: &str = "eu-central-1_EXAMPLE12";
const PASSWORD: &str = "Correct-Horse-7";

/// Runs a program on a terminal with 40 columns. Types each answer after the program has printed the
/// text before it. Arguments: the texts and answers as JSON, and the program.
const TERMINAL: &str = r#"
import fcntl, json, os, pty, struct, sys, termios, time
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
answers, output, position = json.loads(sys.argv[1]), b"", 0
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        data = b""
    if not data:
        break
    output += data
    while answers and answers[0][0].encode() in output[position:]:
        position = output.index(answers[0][0].encode(), position) + len(answers[0][0])
        # When the program turns the echo off, the terminal drops what was typed before.
        for _ in range(10_000):
            if not termios.tcgetattr(terminal)[3] & termios.ECHO:
                break
            time.sleep(0.001)
        answer = answers.pop(0)[1].encode()
        # Nobody types a line break at the same moment as Ctrl-C.
        os.write(terminal, answer if answer.endswith(b"\x03") else answer + b"\n")
if not termios.tcgetattr(terminal)[3] & termios.ECHO:
    output += b"[no echo]"
sys.stdout.buffer.write(output)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// The output on a terminal, with LF in place of CR LF. `None` if there is no Python. CI has one.
async fn on_terminal(endpoint: &str, arguments: &[&str], answers: &[(&str, &str)]) -> Option<CommandRun> {
    let replay = command(endpoint, arguments);
    let mut python = Command::new("python3");
    if let Err(error) = Command::new("python3").arg("--version").output() {
        assert!(option_env!("CI").is_none(), "python3: {error}");
        return None;
    }
    python.args(["-c", TERMINAL, &serde_json::to_string(answers).unwrap()]);
    python.arg(replay.get_program()).args(replay.get_args());
    let variables = replay.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    python.envs(variables).env("TERM", "xterm").env("NO_COLOR", "1");
    let run = run(python).await;
    Some(CommandRun { stdout: run.stdout.replace('\r', ""), ..run })
}

async fn account() -> (LoopbackAccount, String) {
    let account = LoopbackAccount::start().await;
    let attributes = BTreeMap::from([("sub", ANA), ("email", "ana@example.com")]);
    let user = NewUser { username: "ana@example.com", status: "CONFIRMED", attributes };
    account.sandbox.backend().user_pools().put_users(POOL, &[user]).await;
    account.store().write_profile(&empty_profile(ANA, account.sandbox.time.now())).await.unwrap();
    account.apply([order_event("1", ANA), order_event("2", ANA)]).await;
    let endpoint = format!("http://{}", tests::lambda::serve_aws(account.sandbox.backend().clone()).await);
    (account, endpoint)
}

#[tokio::test(flavor = "multi_thread")]
async fn output_fits_a_terminal_of_40_columns() {
    let (_account, endpoint) = account().await;
    let list = ["user", "list", "--user-pool", POOL];
    let Some(run) = on_terminal(&endpoint, &list, &[]).await else { return };
    insta::assert_snapshot!(run.stdout, @r"
    7d8ca528-4931-4254-9273-ea5ee853f271
      2026-01-01  CONFIRMED  example.com
    1 user
    ");
    let show = on_terminal(&endpoint, &["user", "show", ANA, "--table", TABLE], &[]).await.unwrap();
    let chart = show.stdout.lines().find(|line| line.contains('█')).unwrap();
    assert_eq!(chart, format!("  2026-03-02  {} 2", "█".repeat(18)));
    let help = on_terminal(&endpoint, &["user", "list", "--help"], &[]).await.unwrap();
    let (help, _) = help.stdout.split_once("Examples:").unwrap();
    // clap does not wrap the usage.
    let mut lines = help.lines().filter(|line| !line.starts_with("Usage:"));
    assert!(lines.all(|line| line.chars().count() <= 40), "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_password_is_not_shown() {
    let (account, endpoint) = account().await;
    let password = ["user", "password", ANA, "--user-pool", POOL, "--temporary", "--yes"];
    let (first, second) = ("New password (not shown): ", "The same password again: ");
    let wrong = on_terminal(&endpoint, &password, &[(first, PASSWORD), (second, "Another-Horse-8")]).await;
    let Some(wrong) = wrong else { return };
    assert!(wrong.code == 2 && wrong.stdout.contains("the passwords differ"), "{wrong:?}");
    let calls = account.sandbox.calls.operations();
    assert!(!calls.contains(&"AdminSetUserPassword".to_owned()), "{calls:?}");
    let right = on_terminal(&endpoint, &password, &[(first, PASSWORD), (second, PASSWORD)]).await.unwrap();
    assert!(right.code == 0 && right.stdout.contains("Password set."), "{right:?}");
    assert!(!right.stdout.contains(PASSWORD) && !wrong.stdout.contains("Horse"), "{right:?} {wrong:?}");
    assert!(account.sandbox.calls.operations().contains(&"AdminSetUserPassword".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_password_leaves_a_terminal_with_an_echo() {
    let (account, endpoint) = account().await;
    let password = ["user", "password", ANA, "--user-pool", POOL, "--temporary", "--yes"];
    let (first, second) = ("New password (not shown): ", "The same password again: ");
    for answers in [vec![(first, "\u{3}")], vec![(first, PASSWORD), (second, "Correct\u{3}")]] {
        let Some(run) = on_terminal(&endpoint, &password, &answers).await else { return };
        assert!(run.code == 130 && run.stdout.contains("interrupted: nothing was changed"), "{run:?}");
        assert!(!run.stdout.contains("[no echo]") && !run.stdout.contains("Correct"), "{run:?}");
    }
    let calls = account.sandbox.calls.operations();
    assert!(!calls.contains(&"AdminSetUserPassword".to_owned()), "{calls:?}");
}
