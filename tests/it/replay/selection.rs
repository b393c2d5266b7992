//! Options that select messages, and what `replay inspect` and `replay send` say about strange bodies.

use serde_json::{Value, json};

use super::json::document;
use super::support::{ANA, Queues, order};

const TIME: &str = "2026-03-02T08:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_selected_by_body_attribute_group_and_id() {
    let queues = Queues::start().await;
    for number in 1..=3 {
        queues.dead_letter("user-events-dead-letters", &order(&number.to_string(), TIME), None);
    }
    queues.dead_letter("user-events-dead-letters", "no JSON", None);
    let id = queues.sqs.messages_in("user-events-dead-letters").remove(1).id;
    for (options, expected) in [
        (&["--where", "data.order_id=2"][..], 1),
        (&["--where", "data.order_id=1", "--where", "data.order_id=2"], 2),
        (&["--where", "data.order_id=1", "--where", "data.amount=1.00"], 0),
        (&["--where", "data.amount"], 3),
        (&["--attribute", "tenant=blue"], 4),
        (&["--attribute", "tenant=red"], 0),
        (&["--attribute", "tenant=red", "--attribute", "tenant=blue"], 4),
        (&["--group", ANA, "--type", "not_an_event"], 1),
        (&["--group", "ben"], 0),
        (&["--message-id", &id], 1),
        (&["--message-id", &id, "--where", "data.order_id=1"], 0),
    ] {
        let command = ["inspect", "user-events-dead-letters", "--json"];
        let ran = queues.replay(&[&command[..], options].concat()).await;
        assert_eq!(document("inspect", &ran)["messages"], expected, "{options:?}");
        assert_eq!(ran.code, i32::from(expected == 0), "{options:?}: {ran:?}");
    }
    for option in ["--where=", "--where=a..b=1", "--attribute==x"] {
        let ran = queues.replay(&["inspect", "user-events-dead-letters", option]).await;
        assert!(ran.code == 2 && ran.stderr.contains("expected the name of a"), "{ran:?}");
    }

    // Chosen messages are taken out of the queue.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson").to_str().unwrap().to_owned();
    let save =
        ["save", "user-events-dead-letters", "--message-id", &id, "--out", &file, "--delete", "--json"];
    let plan = document("save", &queues.replay(&save).await);
    assert_eq!((&plan["dryRun"], &plan["deleted"], &plan["others"]), (&json!(true), &json!(1), &json!(3)));
    let done = document("save", &queues.replay(&[&save[..], &["--yes"]].concat()).await);
    assert_eq!((&done["dryRun"], &done["saved"], &done["deleted"]), (&json!(false), &json!(1), &json!(1)));
    let left = queues.sqs.messages_in("user-events-dead-letters");
    assert!(left.len() == 3 && left.iter().all(|message| message.id != id && message.is_visible));
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(line["body"]["data"]["order_id"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_are_recognized_and_explained() {
    let queues = Queues::start().await;
    let event = order("1", TIME);
    let sns = json!({
        "Type": "Notification", "MessageId": ANA, "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders",
        "Message": event, "Signature": "EXAMPLE",
    });
    let bus = json!({
        "version": "0", "id": ANA, "detail-type": "order.placed", "source": "com.example.shop",
        "account": "123456789012", "detail": serde_json::from_str::<Value>(&event).unwrap(),
    });
    queues.dead_letter("user-events-dead-letters", &sns.to_string(), Some("not_cloudevents"));
    queues.dead_letter("user-events-dead-letters", &sns.to_string(), Some("not_cloudevents"));
    queues.dead_letter("user-events-dead-letters", &bus.to_string(), Some("not_cloudevents"));
    queues.dead_letter("user-events-dead-letters", "order;Ana;4.90", Some("not_json"));
    let ran = queues.replay(&["inspect", "user-events-dead-letters", "--sample", "3"]).await;
    assert!(ran.code == 0 && !ran.stdout.contains("Ana"), "{ran:?}");
    let (counts, samples) = ran.stdout.split_once("\nSamples: ").unwrap();
    insta::assert_snapshot!(counts, @r"
    4 messages
    2 messages are each a notification of SNS, with the event in the field Message
      Turn on raw message delivery (RawMessageDelivery) in the subscription
    1 message is an event of EventBridge, with the event in the field detail
      Set InputPath to $.detail in the target of the rule

    By type
          4  not_an_event

    By reason
          3  not_cloudevents
             sentence about the reason
          1  not_json
             sentence about the reason

    By age
          4  less than an hour
    ");
    let wrapped = r#""TopicArn":"arn:aws:sns:eu-central-1:123456789012:orders","Type":"Notification"}"#;
    assert_eq!(samples.matches(wrapped).count(), 2, "{samples}");
    assert!(samples.contains(r#""detail-type":"order.placed""#), "{samples}");
    assert!(samples.contains("  not JSON, 14 bytes of text: aaaaa;Aaa;0.00\n"), "{samples}");
    let shown = document("inspect", &queues.replay(&["inspect", "user-events-dead-letters", "--json"]).await);
    assert_eq!(shown["byEnvelope"], json!({"sns_notification": 2, "eventbridge_event": 1}));
    let ran = queues.replay(&["redrive", "--from", "user-events-dead-letters"]).await;
    assert!(ran.stdout.contains("Turn on raw message delivery (RawMessageDelivery)"), "{ran:?}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson").to_str().unwrap().to_owned();
    assert_eq!(queues.replay(&["save", "user-events-dead-letters", "--out", &file]).await.code, 0);
    let ran = queues.replay(&["send", &file, "--to", "user-events", "--json"]).await;
    let shown = document("send", &ran);
    assert_eq!((ran.code, shown["invalid"].as_array().unwrap().len()), (2, 4), "{ran:?}");
    assert_eq!(
        shown["invalid"][0]["reason"],
        "body: a notification of SNS, with the event in the field Message. Take it out with jq: see \"Envelopes\" in \
         docs/replay.md"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn document_of_send_has_the_plan_and_the_result() {
    let queues = Queues::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson").to_str().unwrap().to_owned();
    let now = shared::time::Clock::system().now().to_string();
    let lines: Vec<String> = (0..4).map(|number| order(&number.to_string(), &now)).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let send = ["send", &file, "--to", "user-events", "--json"];
    let mut plan = document("send", &queues.replay(&send).await);
    assert_eq!(plan["file"], file.as_str());
    plan["file"] = "FILE".into();
    insta::assert_snapshot!(format!("{plan:#}"), @r#"
    {
      "byType": {
        "order.placed": 4
      },
      "dryRun": true,
      "file": "FILE",
      "inProgressBefore": 0,
      "invalid": [],
      "messages": 4,
      "perhapsSent": 0,
      "queue": "arn:aws:sqs:eu-central-1:123456789012:user-events",
      "rejected": {},
      "sent": 4,
      "sentBefore": 0
    }
    "#);
    queues.sqs.refuse_every_send(2);
    let ran = queues.replay(&[&send[..], &["--yes"]].concat()).await;
    let done = document("send", &ran);
    assert!(ran.code == 1 && done["sent"] == 2 && done["rejected"]["InternalError"] == 2, "{ran:?}");
    queues.sqs.refuse_every_send(0);
    let done = document("send", &queues.replay(&[&send[..], &["--yes"]].concat()).await);
    assert_eq!((&done["sentBefore"], &done["sent"], &done["dryRun"]), (&json!(2), &json!(2), &json!(false)));
}
