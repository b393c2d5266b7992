//! Errors of the AWS account.

use sandbox::aws::Fault;

use super::loopback_account::LoopbackAccount;
use super::support::{command, run};

#[tokio::test(flavor = "multi_thread")]
async fn error_of_the_account_names_the_next_step() {
    let account = LoopbackAccount::start().await;
    for (operation, code, advice) in [
        ("GetQueueUrl", "ExpiredTokenException", "the credentials expired: sign in again"),
        (
            "GetQueueUrl",
            "AWS.SimpleQueueService.NonExistentQueue",
            "no such queue in this account and region",
        ),
        ("GetQueueAttributes", "AccessDeniedException", "accept only the roles in OperatorArns"),
        ("ReceiveMessage", "KmsAccessDenied", "may not use the queue's KMS key"),
        ("GetQueueUrl", "UnrecognizedClientException", "does not know these credentials"),
    ] {
        account.sandbox.faults.inject(operation, Fault::Error(code), usize::MAX);
        for command in [
            &["inspect", "user-events-dlq"][..],
            &["redrive", "--from", "user-events-dlq", "--to", "user-events"],
            &["save", "user-events-dlq", "--out", "/dev/null"],
        ] {
            let run = account.replay(command).await;
            assert!(run.code != 0 && run.stderr.contains(code) && run.stderr.contains(advice), "{run:?}");
            assert!(run.stderr.starts_with("replay: ") && run.stderr.lines().count() == 1, "{run:?}");
        }
        account.sandbox.faults.clear();
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = command("http://127.0.0.1:9", &["inspect", "x", "--profile", "unknown"]);
    command.env("HOME", home.path());
    let run = run(command).await;
    assert!(run.code == 2 && run.stderr.contains("there is no profile unknown"), "{run:?}");
}
