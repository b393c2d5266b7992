//! Errors of the AWS account: each is one line with AWS's sentence and the next step.

use sandbox::aws::Fault;
use serde_json::json;
use shared::events::{Activity, Data, Event, Subject};
use shared::time::Clock;

use super::loopback_account::LoopbackAccount;
use super::support::{ANA, CommandRun, Queues, command, run};
use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::{Answer, AwsBackend};
use tests::sqs::Sqs;
use winterbaume_core::{MockRequest, MockResponse};

/// The operator's own session, whose name is an email address.
const NOT_AUTHORIZED: &str =
    "User: arn:aws:sts::123456789012:assumed-role/ops/ben@example.com is not authorized";

/// The run failed, and its error is one line.
#[track_caller]
fn assert_one_line(run: &CommandRun, expected: &[&str]) {
    assert!(run.code == 1 && run.stdout.is_empty(), "{run:?}");
    assert!(run.stderr.starts_with("replay: ") && run.stderr.lines().count() == 1, "{run:?}");
    for part in expected {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    assert!(!run.stderr.contains("ben@"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn error_of_the_account_names_the_next_step() {
    let account = LoopbackAccount::start().await;
    for (operation, code, sentence, advice) in [
        (
            "GetQueueUrl",
            "ExpiredTokenException",
            "The security token included in the request is expired",
            "the credentials expired: sign in again",
        ),
        (
            "GetQueueUrl",
            "AWS.SimpleQueueService.NonExistentQueue",
            "The specified queue does not exist",
            "no such queue in this account and region",
        ),
        ("GetQueueAttributes", "AccessDeniedException", "is not authorized", "the roles in OperatorArns"),
        (
            "ReceiveMessage",
            "KMS.AccessDeniedException",
            "is not authorized to perform: kms:Decrypt",
            "may not use the queue's KMS key",
        ),
        ("ReceiveMessage", "KmsDisabled", "EXAMPLE is disabled", "the queue's KMS key is disabled"),
        (
            "GetQueueUrl",
            "UnrecognizedClientException",
            "The security token included in the request is invalid",
            "does not know these credentials",
        ),
        ("GetQueueUrl", "RequestExpired", "Request has expired", "check this machine's clock"),
    ] {
        account.sandbox.faults.inject(operation, Fault::ErrorWith(code, sentence), usize::MAX);
        for command in [
            &["inspect", "user-events-dead-letters"][..],
            &["redrive", "--from", "user-events-dead-letters", "--to", "user-events"],
            &["save", "user-events-dead-letters", "--out", "/dev/null"],
        ] {
            let run = account.replay(command).await;
            assert!(run.code != 0 && run.stderr.contains(&format!("{code}: {sentence}")), "{run:?}");
            assert!(run.stderr.contains(advice), "{run:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn denial_keeps_the_sentence_of_its_service_in_every_command() {
    let account = LoopbackAccount::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let activity = Data::ActivityRecorded(Activity { description: "x".to_owned() });
    let event = Event::new("/shop", Subject::user(ANA), Clock::system().now(), activity).with_id("1");
    let fields = json!({"message": "unsent event", "event": event.to_json()});
    std::fs::write(&log, json!({"level": "ERROR", "fields": fields}).to_string()).unwrap();
    let log = log.to_str().unwrap();
    let table = "your role lacks the permission on the table";
    let pool = "your role lacks the permission on the user pool";
    let queue = "accept only the roles in OperatorArns";
    for (operation, arguments, call, advice) in [
        ("BatchGetItem", &["user", "show", ANA][..], "DynamoDB BatchGetItem", table),
        ("Query", &["user", "erase", ANA, "--queue", "cache-invalidations"], "DynamoDB Query", table),
        (
            "BatchGetItem",
            &["user", "suspend", ANA, "--reason", "x", "--queue", "user-events"],
            "DynamoDB BatchGetItem",
            table,
        ),
        ("Scan", &["statistics", "rebuild", "--all"], "DynamoDB Scan", table),
        ("Query", &["statistics", "rebuild", "--user", ANA], "DynamoDB Query", table),
        (
            "ListUsers",
            &["user", "import", "--user-pool", "eu-central-1_EXAMPLE12"],
            "Cognito ListUsers",
            pool,
        ),
        (
            "SendMessageBatch",
            &["recover", "--log", log, "--queue", "user-events", "--yes"],
            "SendMessageBatch",
            queue,
        ),
    ] {
        account.sandbox.faults.inject(
            operation,
            Fault::ErrorWith("AccessDeniedException", NOT_AUTHORIZED),
            usize::MAX,
        );
        let is_recover = arguments.first() == Some(&"recover");
        let run = if is_recover {
            account.replay(arguments).await
        } else {
            account.replay_on_table(arguments).await
        };
        let sentence = "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/ops/[address] is not \
                        authorized (";
        assert_one_line(&CommandRun { stdout: String::new(), ..run }, &[call, sentence, advice]);
        account.sandbox.faults.clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_table_and_unreachable_endpoint_are_one_line_with_the_next_step() {
    let account = LoopbackAccount::start().await;
    let run_on_other_table = account.replay(&["user", "show", ANA, "--table", "other"]).await;
    assert_one_line(
        &run_on_other_table,
        &[
            "DynamoDB BatchGetItem: ResourceNotFoundException: ",
            "(there is no such table in this account and region",
        ],
    );
    let unreachable = run(command("http://127.0.0.1:9", &["inspect", "user-events-dead-letters"])).await;
    assert_one_line(
        &unreachable,
        &["SQS GetQueueUrl: client error (Connect)", "(AWS cannot be reached: check the region"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_one_short_line_that_starts_with_what_to_do() {
    let queues = Queues::start().await;
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["inspect", "user-events-dead-letters"][..],
        &["user", "show", ANA, "--table", "app"],
        &["user", "import", "--user-pool", "eu-central-1_EXAMPLE12", "--table", "app"],
    ] {
        let mut command = command(&queues.endpoint, arguments);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("HOME", home.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        let ran = run(command).await;
        assert_one_line(&ran, &["replay: sign in with `aws login` or `aws sso login`, or pass --profile"]);
        assert!(ran.stderr.chars().count() <= 120, "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_value_is_refused_with_the_name_of_its_option() {
    let queues = Queues::start().await;
    for (arguments, name) in [
        (&["inspect", "user-events-dead-letters", "--region", ""][..], "--region"),
        (&["inspect", "user-events-dead-letters", "--profile", ""], "--profile"),
        (&["inspect", ""], "QUEUE"),
        (&["redrive", "--from", "user-events-dead-letters", "--to", ""], "--to"),
        (&["user", "show", ANA, "--table", " "], "--table"),
        (&["user", "suspend", ANA, "--reason", "x", "--queue="], "--queue"),
        (&["user", "suspend", ANA, "--reason", ""], "--reason"),
        (&["user", "import", "--user-pool", ""], "--user-pool"),
    ] {
        let ran = queues.replay(arguments).await;
        let expected = format!(
            "replay: {name}: the value is empty. If it comes from a variable, check that the variable is set\n"
        );
        assert_eq!((ran.code, ran.stderr), (2, expected), "{arguments:?}");
    }
}

/// An SQS whose clock is an hour ahead of this machine's. As SQS does, it refuses signatures that are more than 15
/// minutes old, and has its time in the header `Date` if `has_date`.
#[derive(Clone, Debug)]
struct HourAhead {
    sqs: Sqs,
    has_date: bool,
}

impl AwsBackend for HourAhead {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let now = Clock::system().now() + jiff::SignedDuration::from_hours(1);
        let signed = request.headers["x-amz-date"].to_str().unwrap();
        let signed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", signed).unwrap();
        let signed = signed.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
        let mut answer = if now.duration_since(signed).abs() > jiff::SignedDuration::from_mins(15) {
            let message = format!("Signature expired: {signed} is now earlier than {now} (- 15 min.)");
            let error =
                json!({"__type": "com.amazon.coral.service#InvalidSignatureException", "message": message});
            Answer { response: MockResponse::json(403, error.to_string()), is_cut_off: false }
        } else {
            self.sqs.answer(request).await?
        };
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        // An answer has this machine's time if it does not name another one.
        if self.has_date {
            answer.response.headers.insert("date", date.parse().unwrap());
        }
        Ok(answer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_that_is_an_hour_off_is_corrected_or_named() {
    for has_date in [true, false] {
        let sqs = Sqs::new(Clock::system());
        sqs.create("user-events-dead-letters", None);
        let endpoint = format!("http://{}", tests::lambda::serve_aws(HourAhead { sqs, has_date }).await);
        let ran = run(command(&endpoint, &["inspect", "user-events-dead-letters"])).await;
        if has_date {
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "the SDK signs with the time of SQS");
        } else {
            assert_one_line(
                &ran,
                &["InvalidSignatureException: Signature expired: ", "(check this machine's clock"],
            );
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the variable of insta for its own snapshots")]
fn table_of_advice_is_in_the_documentation() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/replay.md");
    let stored = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = stored.split_once("`table_of_advice_is_in_the_documentation` -->\n").unwrap();
    let (table, after) = rest.split_once("<!-- end of advice -->").unwrap();
    let expected = replay::aws_error::advice::table();
    if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
        let marker = "`table_of_advice_is_in_the_documentation` -->\n";
        let text = [before, marker, &expected, "<!-- end of advice -->", after].concat();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let command = "INSTA_UPDATE=always cargo test -p tests --test it replay::account";
    assert!(table == expected, "docs/replay.md: the table of advice is stale. Run `{command}`");
}

/// A load balancer that answers in place of SQS.
#[derive(Clone, Debug)]
struct Unavailable;

impl AwsBackend for Unavailable {
    async fn answer(&self, _: MockRequest) -> Result<Answer, ConnectorError> {
        let page = "<html><body>503 Service Temporarily Unavailable</body></html>".to_owned();
        Ok(Answer { response: MockResponse::json(503, page), is_cut_off: false })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_without_a_code_names_its_status() {
    let endpoint = format!("http://{}", tests::lambda::serve_aws(Unavailable).await);
    let ran = run(command(&endpoint, &["inspect", "user-events-dead-letters"])).await;
    assert_one_line(&ran, &["SQS GetQueueUrl: HTTP status 503 without an error code (AWS has a problem"]);
}
