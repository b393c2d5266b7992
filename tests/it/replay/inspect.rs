//! `replay inspect`.

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::{Value, json};

use super::loopback_account::LoopbackAccount;
use super::support::ANA;

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_counted_and_stay_in_the_queue() {
    let account = LoopbackAccount::start().await;
    let sqs = account.sandbox.sqs();
    let url = &account.sandbox.user_events.dead_letter_url;
    for number in 0..23 {
        let data = json!({"email": "ana@example.com"});
        let body = json!({"type": "order.shipped", "subject": ANA, "data": data, "id": number});
        let reason = if number < 20 { "unknown_type" } else { "invalid_data" };
        let reason =
            MessageAttributeValue::builder().data_type("String").string_value(reason).build().unwrap();
        let call = sqs.send_message().queue_url(url).message_body(body.to_string());
        call.message_attributes("error.type", reason).send().await.unwrap();
    }
    let queue = url.rsplit('/').next().unwrap();
    for _ in 0..2 {
        let run = account.replay(&["inspect", queue, "--sample", "2"]).await;
        assert!(run.code == 0 && run.stdout.starts_with("23 messages\n"), "{run:?}");
        let by_reason = "By reason\n     20  unknown_type\n      3  invalid_data\n";
        let by_subject = format!("By subject\n     23  {ANA}\n");
        assert!(run.stdout.contains(by_reason) && run.stdout.contains(&by_subject), "{run:?}");
        assert!(!run.stdout.contains('@'), "{run:?}");
    }
    let run = account.replay(&["inspect", queue, "--json"]).await;
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&json["messages"], &json["byType"]), (&json!(23), &json!({"order.shipped": 23})));

    let run = account.replay(&["inspect", "user-events"]).await;
    assert!(
        run.code != 0 && run.stderr.contains("Did you mean its dead-letter queue, user-events-dead-letters?"),
        "{run:?}"
    );
    let run = account.replay(&["inspect", "no-such-queue"]).await;
    assert!(run.code != 0 && run.stderr.contains("no-such-queue"), "{run:?}");
}
