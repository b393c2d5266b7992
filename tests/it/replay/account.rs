//! What works on an account (`replay suspend`, `reinstate`, `recover`), as it is typed, against an AWS on loopback.

use std::process::{Command, Output};
use std::sync::Arc;

use sandbox::aws::{SandboxAccount, Fault, TABLE};
use serde_json::{Value, json};
use shared::events::Confirmed;
use shared::store::{Profile, Store};

const ANA: &str = "7d8ca528-4931-4254-9273-ea5ee853f271";

struct Shop {
    account: Arc<SandboxAccount>,
    endpoint: String,
}

async fn shop() -> Shop {
    let account = Arc::new(SandboxAccount::start("2026-03-02T09:00:00Z".parse().unwrap()).await.unwrap());
    let confirmed = Confirmed { username: ANA.into(), email: None, email_verified: false, name: None };
    let profile = Profile { sub: ANA.into(), confirmed, created_at: account.time.now() };
    Store::new(account.dynamodb(), TABLE).write_profile(&profile).await.unwrap();
    let endpoint = format!("http://{}", tests::lambda::serve_aws(account.http_client().clone()).await);
    Shop { account, endpoint }
}

impl Shop {
    /// Runs `replay` with these arguments and the account's names.
    async fn replay(&self, arguments: &[&str]) -> (bool, String, String) {
        self.run_on_table(&[arguments, &["--queue", "user-events"]].concat()).await
    }

    async fn run_on_table(&self, arguments: &[&str]) -> (bool, String, String) {
        self.run(&[arguments, &["--table", TABLE]].concat()).await
    }

    /// Runs it with these arguments alone.
    async fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_replay-under-test"));
        command
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "EXAMPLE")
            .env("USER", "ben")
            .args(arguments)
            .args(["--region", "eu-central-1"])
            .args(["--endpoint-url", &self.endpoint]);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let Output { status, stdout, stderr } = run;
        (status.success(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    async fn profile(&self) -> Value {
        let key = (format!("USER#{ANA}"), "PROFILE".to_owned());
        self.account.items().await.unwrap().remove(&key).unwrap_or_default()
    }

    /// The notices on user-events, taken out.
    async fn notices(&self) -> Vec<Value> {
        let sqs = self.account.sqs();
        let call = sqs.receive_message().queue_url(&self.account.user_events.url).max_number_of_messages(10);
        let messages = call.send().await.unwrap().messages.unwrap_or_default();
        messages.iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()).collect()
    }

    /// Two orders of Ana's, and two sign-ups of a domain.
    async fn count_something(&self) {
        let worker = self.account.function("user-stats", &Default::default());
        let worker = workers::user_stats::Deps::new(&worker).unwrap();
        let message = |id: &str, event_type: &str, subject: &str, data: Value| {
            let event = json!({
                "specversion": "1.0", "id": id, "source": "/shop", "type": event_type, "subject": subject,
                "time": "2026-03-02T08:00:00Z", "data": data,
            });
            json!({"messageId": id, "receiptHandle": id, "body": event.to_string()})
        };
        let order = |id: &str| json!({"order_id": id, "amount": "4.90", "currency": "EUR"});
        let attempt = |outcome: &str| json!({"outcome": outcome, "reason": "x", "channel": "self"});
        let records = [
            message("1", "order.placed", ANA, order("1")),
            message("2", "order.placed", ANA, order("2")),
            message("3", "user.sign_up_attempted", "domain:example.com", attempt("allowed")),
            message("4", "user.sign_up_attempted", "domain:example.com", attempt("denied")),
        ];
        let batch = serde_json::from_value(json!({"Records": records})).unwrap();
        workers::user_stats::handle(&worker, batch, jiff::Timestamp::MAX).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_is_shown_first_and_written_with_yes() {
    let shop = shop().await;
    let command = ["user", "suspend", ANA, "--reason", "spam", "--until", "2099-01-01"];
    let (success, shown, _) = shop.replay(&command).await;
    assert!(
        success && shown.contains("now   not suspended") && shown.contains("Nothing was changed"),
        "{shown}"
    );
    assert!(shown.contains("then  suspended until 2099-01-01T00:00:00Z, by ben: spam"), "{shown}");
    assert_eq!((&shop.profile().await["isBanned"], shop.notices().await.len()), (&json!(false), 0));

    let (success, shown, errors) = shop.replay(&[&command[..], &["--yes"]].concat()).await;
    assert!(success && shown.contains("Done"), "{shown}{errors}");
    let profile = shop.profile().await;
    assert_eq!((&profile["isBanned"], &profile["suspension"]["reason"]), (&json!(true), &json!("spam")));
    let notices = shop.notices().await;
    assert_eq!((&notices[0]["type"], &notices[0]["subject"]), (&json!("user.suspended"), &json!(ANA)));

    let (success, shown, _) = shop.replay(&["user", "reinstate", ANA, "--reason", "settled", "--yes"]).await;
    assert!(
        success && shown.contains("now   suspended until 2099") && shown.contains("then  not suspended"),
        "{shown}"
    );
    assert_eq!(shop.profile().await["isBanned"], json!(false));
    assert_eq!(shop.notices().await[0]["type"], "user.reinstated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_decision_is_not_overwritten() {
    let shop = shop().await;
    let store = Store::new(shop.account.dynamodb(), TABLE);
    let at = "2099-01-01T00:00:00Z".parse().unwrap();
    let later = shared::suspension::SuspensionChange::suspend(ANA, "fraud", None, "carla", at);
    assert!(store.write_suspension(ANA, &later.suspension).await.unwrap());
    let (success, _, errors) = shop.replay(&["user", "reinstate", ANA, "--reason", "settled", "--yes"]).await;
    assert!(!success && errors.contains("as late, or later"), "{errors}");
    assert_eq!(
        (shop.profile().await["suspension"]["reason"].clone(), shop.notices().await.len()),
        (json!("fraud"), 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_whose_notice_fails_holds_and_says_so() {
    let shop = shop().await;
    shop.account.faults.inject("SendMessage", Fault::Error("AccessDenied"), 9);
    let (success, _, errors) = shop.replay(&["user", "suspend", ANA, "--reason", "spam", "--yes"]).await;
    assert!(!success && errors.contains("holds, but cached pages were not evicted"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert_eq!(shop.profile().await["isBanned"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_one_line_and_nothing_is_done() {
    let shop = shop().await;
    for (arguments, expected) in [
        (&["user", "suspend", "", "--reason", "x", "--yes"][..], "SUB: expected"),
        (&["user", "suspend", "domain:example.com", "--reason", "x", "--yes"], "SUB: expected"),
        (&["user", "suspend", ANA, "--reason", "x", "--until", "2020-01-01", "--yes"], "--until: lies in the past"),
        (&["user", "suspend", "ana@example.com", "--reason", "x", "--yes"], "SUB: expected"),
        (&["user", "suspend", ANA, "--reason", " ", "--yes"], "--reason: is empty"),
    ] {
        let (success, _, errors) = shop.replay(arguments).await;
        assert!(!success && errors.contains(expected) && errors.lines().count() == 1, "{errors}");
    }
    shop.account.faults.inject("GetItem", Fault::Error("ResourceNotFoundException"), 9);
    let (success, _, errors) = shop.replay(&["user", "suspend", ANA, "--reason", "x", "--yes"]).await;
    assert!(!success && errors.lines().count() == 1, "{errors}");
    assert_eq!((&shop.profile().await["isBanned"], shop.notices().await.len()), (&json!(false), 0));
    for until in ["2099-01-01T12:00", "2099-01-01 12:00", "2099-01-01T12:00[Europe/Berlin]", "soon"] {
        let (success, _, errors) = shop.replay(&["user", "suspend", ANA, "--reason", "x", "--until", until]).await;
        assert!(
            !success && errors.contains("expected a date"),
            "a time without an offset is no date: {errors}"
        );
    }
    shop.account.faults.clear();
    let (success, _, errors) = shop.replay(&["user", "suspend", "nobody", "--reason", "x", "--yes"]).await;
    assert!(!success && errors.contains("--without-profile"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_events_are_shown_first_and_sent_with_yes() {
    let shop = shop().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("post-confirmation.log");
    let lost = |id: &str| {
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/shop", "type": "activity.recorded", "subject": ANA,
            "time": shared::time::Clock::system().now().to_string(), "data": {"description": "x"},
        });
        let fields = json!({"message": "unsent event", "event": event.to_string()});
        json!({"level": "ERROR", "fields": fields}).to_string()
    };
    let lines = [lost("1"), "START RequestId: 1".to_owned(), lost("2"), lost("1")];
    std::fs::write(&log, lines.join("\n")).unwrap();
    let command = ["recover", "--queue", "user-events", "--log", log.to_str().unwrap()];

    let (success, shown, _) = shop.run(&command).await;
    assert!(success, "{shown}");
    assert_eq!(shown, "      2  activity.recorded\nNothing was sent. With --yes it is.\n");
    assert!(shop.notices().await.is_empty());

    shop.account.faults.inject("SendMessageBatch", Fault::Error("AccessDenied"), 1);
    let (success, _, errors) = shop.run(&[&command[..], &["--yes"]].concat()).await;
    assert!(!success && errors.starts_with("replay: 2 of 2 events were not sent: "), "{errors}");

    let (success, shown, errors) = shop.run(&[&command[..], &["--yes"]].concat()).await;
    assert!(success && shown.ends_with("Sent: 2.\n"), "{shown}{errors}");
    let ids: Vec<Value> = shop.notices().await.into_iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["1", "2"]);

    std::fs::write(&log, [&lines[0][..40], "unsent event"].concat()).unwrap();
    let (success, shown, errors) = shop.run(&command).await;
    assert!(
        !success && shown.contains("No lost events") && errors.contains("1 lost events"),
        "{shown}{errors}"
    );
    std::fs::write(&log, [0x1f, 0x8b, 8, 0]).unwrap();
    let (success, _, errors) = shop.run(&command).await;
    assert!(!success && errors.contains("no text in UTF-8"), "{errors}");
    let (success, _, errors) = shop.run(&["recover", "--log", "no-such-file"]).await;
    assert!(!success && errors.starts_with("replay: no-such-file: "), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_user_and_of_a_domain_is_shown() {
    let shop = shop().await;
    shop.count_something().await;
    let (success, shown, errors) = shop.run_on_table(&["user", "show", ANA]).await;
    assert!(success, "{errors}");
    assert!(shown.contains("  orders               2\n") && shown.contains("EUR 9.80"), "{shown}");
    assert!(shown.ends_with(&format!("  2026-03-02  {} 2\n", "█".repeat(40))), "{shown}");
    let (_, shown, _) = shop.run_on_table(&["user", "show", ANA, "--json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["statistics"]["orders"], &shown["eventsByDay"]),
        (&json!(2), &json!({"2026-03-02": 2}))
    );
    assert!(shown["statistics"].get("PK").is_none());

    let (_, shown, _) = shop.run_on_table(&["user", "show", "--domain", "Example.com"]).await;
    assert_eq!(shown, "domain example.com: 2 sign-ups, 1 allowed, 1 denied\n");
    let (success, _, errors) = shop.run_on_table(&["user", "show", "--domain", "a b"]).await;
    assert!(!success && errors.starts_with("replay: --domain: expected"), "{errors}");
    let (_, shown, _) = shop.run_on_table(&["user", "show", "nobody"]).await;
    assert_eq!(shown, "user nobody: no profile, not suspended\n  nothing counted\n");
    let (success, _, errors) = shop.run_on_table(&["user", "show"]).await;
    assert!(!success && errors.contains("SUB"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_erased_is_shown_first_and_erased_with_yes() {
    let shop = shop().await;
    shop.count_something().await;
    let of_ana = async || {
        let items = shop.account.items().await.unwrap();
        items.into_keys().filter(|(partition, _)| *partition == format!("USER#{ANA}")).collect::<Vec<_>>()
    };
    let command = ["user", "erase", ANA, "--queue", "cache-invalidations"];
    let (success, shown, errors) = shop.run_on_table(&command).await;
    assert!(success && shown.contains("stored events  2\nNothing was erased."), "{shown}{errors}");
    assert_eq!(of_ana().await.len(), 4, "profile, statistics and two events");

    shop.account.faults.inject("SendMessage", Fault::Error("AccessDenied"), 1);
    let (success, _, errors) = shop.run_on_table(&[&command[..], &["--yes"]].concat()).await;
    assert!(!success && errors.starts_with("replay: everything was erased, but"), "{errors}");
    let (success, shown, errors) = shop.run_on_table(&[&command[..], &["--yes"]].concat()).await;
    assert!(success && shown.contains("erased before") && shown.contains("Erased, and"), "{shown}{errors}");
    assert_eq!(of_ana().await, [(format!("USER#{ANA}"), "STATS".to_owned())], "the marker");
    let (_, shown, _) = shop.run_on_table(&["user", "show", ANA]).await;
    assert!(shown.contains("erasedAt"), "{shown}");
    let unknown = ["user", "erase", "unknown-user", "--queue", "cache-invalidations", "--yes"];
    let (success, _, errors) = shop.run_on_table(&unknown).await;
    assert!(!success && errors.contains("knows nothing of this sub"), "{errors}");

    let sqs = shop.account.sqs();
    let call = sqs.receive_message().queue_url(&shop.account.cache_invalidations.url);
    let messages = call.max_number_of_messages(10).send().await.unwrap().messages.unwrap_or_default();
    let told = |body: &str| body.contains("user.data_changed") && body.contains("\"source\":\"/replay\"");
    assert!(messages.iter().any(|message| told(message.body().unwrap())), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_queue_is_counted_and_nothing_is_taken_out() {
    let shop = shop().await;
    let sqs = shop.account.sqs();
    let url = &shop.account.user_events.dead_letter_url;
    for number in 0..23 {
        let body = json!({"type": "order.shipped", "subject": ANA, "data": {"email": "ana@example.com"}, "id": number});
        let reason = aws_sdk_sqs::types::MessageAttributeValue::builder().data_type("String");
        let reason =
            reason.string_value(if number < 20 { "unknown_type" } else { "invalid_data" }).build().unwrap();
        let call = sqs.send_message().queue_url(url).message_body(body.to_string());
        call.message_attributes("error.type", reason).send().await.unwrap();
    }
    let queue = url.rsplit('/').next().unwrap();
    for _ in 0..2 {
        let (success, shown, errors) = shop.run(&["inspect", queue, "--sample", "2"]).await;
        assert!(success && shown.starts_with("23 messages\n"), "{shown}{errors}");
        assert!(shown.contains("By reason\n     20  unknown_type\n      3  invalid_data\n"), "{shown}");
        assert!(shown.contains(&format!("By subject\n     23  {ANA}\n")) && !shown.contains('@'), "{shown}");
    }
    let (_, shown, _) = shop.run(&["inspect", queue, "--json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["messages"], &shown["byType"]), (&json!(23), &json!({"order.shipped": 23})));

    let (success, _, errors) = shop.run(&["inspect", "user-events"]).await;
    assert!(!success && errors.contains("did you mean its dead-letter queue, user-events-dlq?"), "{errors}");
    let (success, _, errors) = shop.run(&["inspect", "no-such-queue"]).await;
    assert!(!success && errors.contains("no-such-queue"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_account_says_what_to_do() {
    let shop = shop().await;
    for (operation, code, advice) in [
        ("GetQueueUrl", "ExpiredTokenException", "the credentials have expired: sign in again"),
        (
            "GetQueueUrl",
            "AWS.SimpleQueueService.NonExistentQueue",
            "no such queue in this account and region",
        ),
        ("GetQueueAttributes", "AccessDeniedException", "of the roles in OperatorArns alone"),
        ("ReceiveMessage", "KmsAccessDenied", "may not use the queue's KMS key"),
        ("GetQueueUrl", "UnrecognizedClientException", "does not know these credentials"),
    ] {
        shop.account.faults.inject(operation, Fault::Error(code), usize::MAX);
        for command in [
            &["inspect", "user-events-dlq"][..],
            &["redrive", "--from", "user-events-dlq", "--to", "user-events"],
            &["save", "user-events-dlq", "--out", "/dev/null"],
        ] {
            let (success, _, errors) = shop.run(command).await;
            assert!(!success && errors.contains(code) && errors.contains(advice), "{errors}");
            assert!(errors.starts_with("replay: ") && errors.lines().count() == 1, "{errors}");
        }
        shop.account.faults.clear();
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = super::support::command("http://127.0.0.1:9", &["inspect", "x", "--profile", "nobody"]);
    command.env("HOME", home.path());
    let ran = super::support::run(command).await;
    assert!(ran.code == 2 && ran.errors.contains("there is no profile nobody"), "{ran:?}");
}
