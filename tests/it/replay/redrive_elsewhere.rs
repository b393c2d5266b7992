//! `replay redrive` to another account or region, and `--keep`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::{Answer, AwsBackend};
use shared::time::Clock;
use tests::lambda::serve_aws;
use tests::sqs::Sqs;
use winterbaume_core::MockRequest;

use super::json::document;
use super::support::{ANA, CommandRun, Queues, command, order, run};

const TIME: &str = "2026-03-02T08:00:00Z";

/// Records access key and region of each request.
#[derive(Clone, Debug)]
struct Recorded(Sqs, Arc<Mutex<BTreeSet<(String, String)>>>);

impl AwsBackend for Recorded {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let signature = request.headers.get("authorization").and_then(|value| value.to_str().ok());
        let scope = signature.and_then(|text| text.split_once("Credential=")).expect("a signature").1;
        if let [key, _, region, ..] = scope.split('/').collect::<Vec<_>>().as_slice() {
            self.1.lock().unwrap().insert(((*key).to_owned(), (*region).to_owned()));
        }
        self.0.answer(request).await
    }
}

/// Dead letters in one account, and a queue of the same name in another region and account.
struct TwoAccounts {
    queues: Queues,
    other: Recorded,
    other_endpoint: String,
    home: tempfile::TempDir,
}

impl TwoAccounts {
    async fn start() -> Self {
        let queues = Queues::start().await;
        for number in 0..4 {
            let reason = if number % 2 == 0 { Some("unknown_type") } else { None };
            queues.dead_letter("user-events-dead-letters", &order(&number.to_string(), TIME), reason);
        }
        let sqs = Sqs::in_region("us-east-1", Clock::system());
        sqs.create("user-events", None);
        let other = Recorded(sqs, Arc::default());
        let other_endpoint = format!("http://{}", serve_aws(other.clone()).await);
        let home = tempfile::tempdir().unwrap();
        let config = "[profile staging]\naws_access_key_id = STAGING\naws_secret_access_key = EXAMPLE\nregion = us-east-1\n";
        std::fs::write(home.path().join("config"), config).unwrap();
        Self { queues, other, other_endpoint, home }
    }

    async fn redrive(&self, options: &[&str]) -> CommandRun {
        let arguments = ["redrive", "--from", "user-events-dead-letters"];
        let mut command = command(&self.queues.endpoint, &[&arguments[..], options].concat());
        command.env("AWS_CONFIG_FILE", self.home.path().join("config"));
        run(command).await
    }

    fn arrived(&self) -> usize {
        self.other.0.messages_in("user-events").len()
    }

    fn left(&self) -> usize {
        let left = self.queues.sqs.messages_in("user-events-dead-letters");
        assert!(left.iter().all(|message| message.is_visible));
        left.len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_move_to_another_account_with_its_own_credentials() {
    let accounts = TwoAccounts::start().await;
    let to = ["--to", "user-events", "--to-profile", "staging", "--to-region", "us-east-1"];
    let to = [&to[..], &["--to-endpoint-url", &accounts.other_endpoint]].concat();
    let ran = accounts.redrive(&to).await;
    let plan = "to    arn:aws:sqs:us-east-1:123456789012:user-events\nhow   copied and deleted one by one: --to is in \
                another account or region\n\n4 messages would move\n";
    assert!(ran.code == 0 && ran.stdout.contains(plan), "{ran:?}");
    assert_eq!((accounts.left(), accounts.arrived()), (4, 0));
    // The other side rejects a message: it stays.
    accounts.other.0.refuse_every_send(4);
    let ran = accounts.redrive(&[&to[..], &["--yes"]].concat()).await;
    assert!(ran.code == 1 && ran.stdout.contains("1 stayed, rejected by SQS: InternalError"), "{ran:?}");
    assert_eq!((accounts.left(), accounts.arrived()), (1, 3));
    accounts.other.0.refuse_every_send(0);
    // The answer of the other side is lost: the message stays, although it has arrived.
    accounts.other.0.lose_reply_of("SendMessageBatch", 1);
    let ran = accounts.redrive(&[&to[..], &["--yes"]].concat()).await;
    assert!(ran.code == 1 && ran.stdout.contains("1 in doubt"), "{ran:?}");
    assert_eq!((accounts.left(), accounts.arrived()), (1, 4));
    let ran = accounts.redrive(&[&to[..], &["--yes"]].concat()).await;
    assert_eq!((ran.code, accounts.left(), accounts.arrived()), (0, 0, 5), "{ran:?}");
    assert!(accounts.queues.bodies("user-events").is_empty(), "the queue of the same name got nothing");
    let keys = accounts.other.1.lock().unwrap().clone();
    assert_eq!(keys, [("STAGING".to_owned(), "us-east-1".to_owned())].into());
    let sent = accounts.other.0.messages_in("user-events").remove(0).sent;
    assert_eq!(
        (&sent["MessageGroupId"], sent["MessageAttributes"]["error.type"].is_null()),
        (&ANA.into(), true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_messages_are_copied_once_by_each_run() {
    let accounts = TwoAccounts::start().await;
    for (copied, options) in [(2, &["--error", "unknown_type"][..]), (6, &[])] {
        let ran = accounts.redrive(&[&["--keep", "--yes"], options].concat()).await;
        assert!(ran.code == 0 && ran.stdout.contains("how   copied, and not deleted: --keep\n"), "{ran:?}");
        assert!(ran.stdout.contains(" messages copied"), "{ran:?}");
        assert_eq!((accounts.left(), accounts.queues.bodies("user-events").len()), (4, copied));
    }
    let ran = accounts.redrive(&["--keep", "--max", "1"]).await;
    assert!(ran.stdout.contains("1 message would be copied, 3 would not\n"), "{ran:?}");
    assert!(ran.stdout.ends_with("Dry run: nothing was sent. Add --yes to copy 1 message.\n"), "{ran:?}");
    accounts.queues.sqs.refuse_every_send(2);
    let ran = accounts.redrive(&["--keep", "--yes"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("Run the command again, which copies all again"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn region_in_an_arn_or_a_url_is_followed_and_never_misread() {
    let accounts = TwoAccounts::start().await;
    for to in [
        "arn:aws:sqs:us-east-1:123456789012:user-events",
        "https://sqs.us-east-1.amazonaws.com/123456789012/user-events",
    ] {
        accounts.other.1.lock().unwrap().clear();
        let ran = accounts.redrive(&["--to", to, "--to-endpoint-url", &accounts.other_endpoint]).await;
        assert!(ran.code == 0 && ran.stdout.contains("to    arn:aws:sqs:us-east-1:"), "{ran:?}");
        let keys = accounts.other.1.lock().unwrap().clone();
        assert_eq!(keys, [("EXAMPLE".to_owned(), "us-east-1".to_owned())].into());
        let ran = accounts.redrive(&["--to", to, "--to-region", "eu-west-1"]).await;
        assert!(ran.code == 2 && ran.stderr.contains("the queue is in us-east-1"), "{ran:?}");
        let ran = accounts.redrive(&["--to", to, "--endpoint-url", &accounts.queues.endpoint]).await;
        assert!(ran.code == 2 && ran.stderr.contains("Pass --to-endpoint-url"), "{ran:?}");
    }
    for options in [&["--to-region", "us-east-1"][..], &["--to-profile", "staging"]] {
        let ran = accounts.redrive(options).await;
        assert!(ran.code == 2 && ran.stderr.contains("--to <QUEUE>"), "{ran:?}");
    }
    let ran = accounts.redrive(&["--to", "user-events", "--to-profile", "prod"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("there is no profile prod"), "{ran:?}");
    assert_eq!((accounts.left(), accounts.arrived()), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn document_has_the_plan_and_the_result() {
    let accounts = TwoAccounts::start().await;
    let options = ["--error", "unknown_type", "--json"];
    let plan = document("redrive", &accounts.redrive(&options).await);
    insta::assert_snapshot!(format!("{plan:#}"), @r#"
    {
      "dryRun": true,
      "queues": [
        {
          "error": null,
          "from": "arn:aws:sqs:eu-central-1:123456789012:user-events-dead-letters",
          "plan": {
            "byReason": {
              "unknown_type": 2
            },
            "byType": {
              "order.placed": 2
            },
            "deadLettersAgain": 0,
            "moveTask": false,
            "oneByOneReason": "the options choose messages",
            "stayingByType": {
              "order.placed": 2
            },
            "toMove": 2,
            "toStay": 2,
            "unseen": {
              "delayed": 0,
              "invisible": 0,
              "missing": 0
            },
            "unsendable": {}
          },
          "result": null,
          "to": "arn:aws:sqs:eu-central-1:123456789012:user-events"
        }
      ]
    }
    "#);
    accounts.queues.sqs.refuse_every_send(2);
    let ran = accounts.redrive(&[&options[..], &["--yes"]].concat()).await;
    let done = document("redrive", &ran);
    assert!(ran.code == 1 && ran.stderr.lines().count() == 1, "{ran:?}");
    insta::assert_snapshot!(format!("{:#}", done["queues"][0]["result"]), @r#"
    {
      "moved": 1,
      "notSent": {},
      "perhapsNotDeleted": 0,
      "perhapsSent": 0,
      "rejected": {
        "InternalError": 1
      },
      "stayed": 2,
      "stillInvisible": 0
    }
    "#);
    assert_eq!(done["queues"][0]["error"], "not all messages were moved. Run the command again");
    let ran = accounts.redrive(&["--type", "order.plaecd", "--json"]).await;
    let nothing = document("redrive", &ran);
    let expected = "no message matches the options. Types in the queue: order.placed. Reasons: \
                    received_too_often, unknown_type";
    assert!(ran.code == 1 && nothing["queues"][0]["error"] == expected, "{ran:?}");
}
