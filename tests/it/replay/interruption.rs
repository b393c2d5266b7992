//! Ctrl-C while a command writes to the table or to a user pool: exit code 130, and one line that says what
//! is done. A second run completes the work.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fmt;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::backend::SandboxBackend;
use sandbox::aws::user_pools::NewUser;
use sandbox::aws::{Answer, AwsBackend, TABLE};
use serde_json::json;
use shared::time::{Clock, minus_seconds};
use tokio::sync::watch;
use winterbaume_core::MockRequest;

use super::loopback_account::{LoopbackAccount, order_event};
use super::support::{ANA, CommandRun, command};
use crate::support::empty_profile;

const POOL: &str = "eu-central-1_EXAMPLE12";

/// Sends SIGINT to `replay` during its first call of an operation. The call itself is answered.
#[derive(Clone)]
struct Interrupting {
    backend: SandboxBackend,
    operation: &'static str,
    process: watch::Sender<Option<u32>>,
}

impl fmt::Debug for Interrupting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Interrupting").field("operation", &self.operation).finish_non_exhaustive()
    }
}

impl AwsBackend for Interrupting {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        if target.is_some_and(|target| target.ends_with(self.operation)) {
            // The first call of the operation can come before the test knows the process.
            let process = *self.process.subscribe().wait_for(Option::is_some).await.unwrap();
            let arguments = ["-s", "INT", &process.unwrap().to_string()].map(str::to_owned);
            // The process may have ended already.
            let _ = Command::new("kill").args(arguments).stderr(Stdio::null()).status();
            // The signal arrives before the answer.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.backend.answer(request).await
    }
}

/// Runs `replay`, and interrupts it during its call of `operation`.
async fn interrupted(account: &LoopbackAccount, operation: &'static str, arguments: &[&str]) -> CommandRun {
    let process = watch::Sender::new(None);
    let backend = account.sandbox.backend().clone();
    let aws = Interrupting { backend, operation, process: process.clone() };
    let endpoint = format!("http://{}", tests::lambda::serve_aws(aws).await);
    let mut command = command(&endpoint, arguments);
    command.args(["--table", TABLE, "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    process.send_replace(Some(child.id()));
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    CommandRun {
        code: output.status.code().unwrap_or_default(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// An account in which Ana has a profile, an account in the user pool, and an order.
async fn account_with_ana() -> LoopbackAccount {
    let account = LoopbackAccount::start().await;
    let attributes = BTreeMap::from([("sub", ANA), ("email", "ana@example.com")]);
    let user = NewUser { username: "ana", status: "CONFIRMED", attributes };
    account.sandbox.backend().user_pools().put_users(POOL, &[user]).await;
    let profile = empty_profile(ANA, account.sandbox.time.now());
    account.store().write_profile(&profile).await.unwrap();
    account.apply([order_event("1", ANA)]).await;
    account
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_suspension_names_the_steps_that_were_not_started() {
    let account = account_with_ana().await;
    let suspend = ["user", "suspend", ANA, "--reason", "x", "--queue", "user-events", "--sign-out"];
    let suspend = [&suspend[..], &["--user-pool", POOL]].concat();
    let run = interrupted(&account, "AdminUserGlobalSignOut", &suspend).await;
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (
            130,
            "replay: interrupted: the user is suspended, but these steps were not started: disable the account in the \
             user pool. Run the command again\n"
        )
    );
    let run = account.replay_on_table(&[&suspend[..], &["--yes"]].concat()).await;
    assert!(run.code == 0 && run.stdout.contains("done  disable the account"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_erasure_is_completed_by_a_second_run() {
    let account = account_with_ana().await;
    let erase = ["user", "erase", ANA, "--queue", "cache-invalidations"];
    let run = interrupted(&account, "SendMessage", &erase).await;
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (
            130,
            "replay: interrupted: the user's data may be erased in part, or not at all. Run the command again to erase \
             the rest\n"
        )
    );
    let run = account.replay_on_table(&[&erase[..], &["--yes"]].concat()).await;
    assert!(run.code == 0 && run.stdout.contains("Data erased."), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_backfill_says_how_many_events_it_applied() {
    let account = account_with_ana().await;
    account.apply([order_event("2", "zoe")]).await;
    let old = minus_seconds(Clock::system().now(), 40 * 24 * 3600).to_string();
    let line = |id: &str, sub: &str| {
        let mut event = order_event(id, sub);
        event["time"] = json!(old);
        json!({"messageId": id, "body": event}).to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.ndjson");
    std::fs::write(&file, [line("3", ANA), line("4", "zoe")].join("\n")).unwrap();
    let backfill = ["statistics", "backfill", "--event-retention-days", "90", file.to_str().unwrap()];
    let run = interrupted(&account, "TransactWriteItems", &backfill).await;
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (130, "replay: interrupted: 1 of 2 events applied. Run the command again to apply the rest\n")
    );
    let run = account.replay_on_table(&[&backfill[..], &["--yes"]].concat()).await;
    let expected = "1 event applied, 1 applied before, 0 dropped (user erased or not in the table).\n";
    assert!(run.code == 0 && run.stdout.ends_with(expected), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_reconciliation_continues_from_its_checkpoint() {
    let account = account_with_ana().await;
    account.apply([order_event("2", "sub-of-zoe")]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reconcile.ndjson");
    let queues = ["--user-events", "user-events", "--cache-invalidations", "cache-invalidations"];
    let reconcile = ["reconcile", "--user-pool", POOL, "--checkpoint", file.to_str().unwrap()];
    let reconcile = [&reconcile[..], &queues].concat();
    let run = interrupted(&account, "Scan", &reconcile).await;
    let expected = "replay: interrupted: nothing was repaired. Run the command again: it continues from the checkpoint\n";
    assert_eq!((run.code, run.stderr.as_str()), (130, expected));
    let run = interrupted(&account, "PutItem", &reconcile).await;
    let expected = "replay: interrupted: 1 difference left to repair. Run the command again\n";
    assert_eq!((run.code, run.stderr.as_str()), (130, expected));
    assert!(
        run.stdout.contains("        1  users that are not in the pool\n             sub-of-zoe\n"),
        "{run:?}"
    );
    let run = account.replay_on_table(&[&reconcile[..], &["--yes"]].concat()).await;
    assert!(run.code == 0 && !file.exists(), "{run:?}");
    let calls = account.sandbox.calls.operations();
    let reads = calls.iter().filter(|call| *call == "ListUsers").count();
    assert_eq!(reads, 4, "the page, then one to confirm and one before each repair of Zoe: {calls:?}");
}
