//! Marking a notification as read.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::events::Event;

use super::{BEN, calls, get, post, problem, put_ana};
use crate::support::{ANA, batch, event, test_stack};

const PATH: &str = "/api/notifications/n-7/read";

#[tokio::test]
async fn notification_disappears_after_the_event_that_the_answer_names() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let answer = post(ANA, PATH).to(&stack).await;
    assert_eq!(calls(&stack), ["BatchGetItem", "SendMessage"]);
    assert_eq!((answer.status, answer.headers["Cache-Control"].as_str()), (202, "no-store"));
    let sent = stack.sent().await;
    let [message] = &sent[..] else { panic!("{sent:?}") };
    let event = Event::parse(&message.to_string()).unwrap();
    let after = event.reference().to_string();
    assert_eq!(answer.json(), json!({"source": "/read-api", "id": message["id"], "after": after}));
    assert_eq!((&message["type"], &message["clientaware"]), (&json!("notification.read"), &json!(true)));
    assert_eq!((&message["subject"], &message["data"]), (&json!(ANA), &json!({"notification_id": "n-7"})));

    let path = format!("/api/dashboard?after={after}");
    assert_eq!(get(ANA, &path).to(&stack).await.json()["isChangePending"], true);
    stack.user_stats(&[]).handle_twice(&batch(&sent)).await;
    for path in [path.as_str(), "/api/dashboard"] {
        let dashboard = get(ANA, path).to(&stack).await.json();
        assert_eq!(dashboard["notifications"], json!([]));
        assert_eq!(dashboard["statistics"]["unreadNotifications"], 0);
        assert_eq!(dashboard["isChangePending"], Value::Null);
    }
}

#[tokio::test]
async fn second_click_counts_once() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let first = post(ANA, PATH).to(&stack).await;
    let second = post(ANA, PATH).to(&stack).await;
    assert_eq!(first, second);
    let sent = stack.sent().await;
    assert_eq!(sent.len(), 2, "the first event is not stored yet");
    stack.user_stats(&[]).handle_twice(&batch(&sent)).await;
    let statistics = get(ANA, "/api/dashboard").to(&stack).await.json()["statistics"].clone();
    assert_eq!(statistics["unreadNotifications"], 0);
    calls(&stack);
    let third = post(ANA, PATH).to(&stack).await.json();
    let expected = json!({"source": "/read-api", "id": sent[0]["id"]});
    assert_eq!(third, expected, "nothing is sent, so there is nothing to wait for");
    assert_eq!(calls(&stack), ["BatchGetItem"]);
    assert_eq!(stack.sent().await, [] as [Value; 0]);
}

#[tokio::test]
async fn id_may_contain_any_character() {
    let stack = test_stack().await;
    let ids = ["a b", "100%", "a/b", "a?b", "%41", "<script>", "é", "a%2Fb", "read", "..", "a\u{fffd}b"];
    let created: Vec<Value> = ids
        .iter()
        .enumerate()
        .map(|(index, id)| {
            event("notification.created", &index.to_string(), ANA, json!({"notification_id": id}))
        })
        .collect();
    stack.user_stats(&[]).handle_twice(&batch(&created)).await;
    for id in ids {
        // Decoded by API Gateway, or not decoded, as behind another gateway.
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for segment in [id, &encoded] {
            let answer = post(ANA, &format!("/api/notifications/{}/read", segment.replace('?', "%3F")));
            assert_eq!(answer.to(&stack).await.status, 202, "{segment}");
            let sent = stack.sent().await;
            assert_eq!(sent[0]["data"]["notification_id"], id, "{segment}");
        }
    }
}

#[tokio::test]
async fn notification_of_nobody_or_of_another_user_is_404_and_nothing_is_sent() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    for (sub, path) in [
        (ANA, "/api/notifications/n-8/read"),
        (BEN, PATH),
        (ANA, "/api/notifications//read"),
        (ANA, "/api/notifications/n-7/unread"),
        (ANA, "/api/notifications/n-7/read/"),
        (ANA, &format!("/api/notifications/{}/read", "n".repeat(200_000))),
    ] {
        assert_eq!(post(sub, path).to(&stack).await.problem(), problem(404, "not-found"), "{path:.60}");
    }
    assert_eq!(stack.sent().await, [] as [Value; 0]);
}

#[tokio::test]
async fn body_must_be_empty_or_an_empty_object() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let with_body = |body: Value| post(ANA, PATH).with(|event| event["body"] = body);
    for body in [json!(null), json!(""), json!("{}"), json!(" {} ")] {
        assert_eq!(with_body(body.clone()).to(&stack).await.status, 202, "{body}");
    }
    calls(&stack);
    for body in [json!("{\"a\": 1}"), json!("[]"), json!("x"), json!({}), json!("x".repeat(6 * 1024 * 1024))]
    {
        let answer = with_body(body).to(&stack).await;
        assert_eq!(answer.problem(), problem(400, "invalid-body"));
    }
    assert_eq!(calls(&stack), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn queue_that_fails_or_hangs_is_503() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    for fault in [Fault::Error("AccessDeniedException"), Fault::Refused, Fault::Hang] {
        stack.account.faults.inject("SendMessage", fault.clone(), 100);
        let answer = post(ANA, PATH).to(&stack).await;
        assert_eq!(answer.problem(), problem(503, "unavailable"), "{fault:?}");
        stack.account.faults.clear();
        assert_eq!(stack.sent().await, [] as [Value; 0], "{fault:?}");
    }
    assert_eq!(stack.account.count("StoreFailures"), 0);
    // The reply got lost, so the SDK sends the event once more. Its id is the same.
    stack.account.faults.inject("SendMessage", Fault::ReplyLost, 1);
    assert_eq!(post(ANA, PATH).to(&stack).await.status, 202);
    let sent = stack.sent().await;
    assert_eq!((sent.len(), &sent[0]["id"]), (2, &sent[1]["id"]));
}
