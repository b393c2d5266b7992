//! Every program reads a message body by the same rules: user-stats, the JSON Schema, and `replay`.

use regex_lite::Regex;
use replay::queue::filter::{Filter, parse_field};
use replay::queue::inspect::Inspection;
use replay::queue::message::QueuedMessage;
use serde_json::{Value, json};
use shared::events::{Event, is_json_media_type, schema::event_schema};

use crate::support::{ANA, batch, order, test_stack};

#[test]
fn schema_and_code_agree_on_media_types() {
    let schema: Value = serde_json::from_str(&event_schema()).unwrap();
    let pattern = Regex::new(schema["properties"]["datacontenttype"]["pattern"].as_str().unwrap()).unwrap();
    let mut accepted = 0;
    for media_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json ;\tcharset=utf-8",
        "application/json;",
        "application/cloudevents+json",
        "application/vnd.example.order-v2+JSON; a=\"b\"",
        "application/a+b+json",
        "",
        "json",
        "text/json",
        "application/xml",
        "application/jsonp",
        "application/+json",
        "application/.a+json",
        "application/a b+json",
        "application/json+xml",
        "application/json, text/plain",
        "application/json ",
        " application/json",
        "application/json; charset=é",
        "application/json;\n",
        "application//json",
    ] {
        let mut body = order("1", ANA, "1.00");
        body["datacontenttype"] = media_type.into();
        let is_accepted = Event::parse(&body.to_string()).is_ok();
        assert_eq!(is_accepted, is_json_media_type(media_type), "{media_type:?}");
        assert_eq!(is_accepted, pattern.is_match(media_type), "{media_type:?}");
        accepted += usize::from(is_accepted);
    }
    assert_eq!(accepted, 8);
}

#[tokio::test]
async fn media_type_may_have_parameters_and_any_case() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let media_types = ["application/json; charset=utf-8", "Application/JSON", "text/plain"];
    let orders: Vec<Value> = media_types
        .iter()
        .enumerate()
        .map(|(index, media_type)| {
            let mut order = order(&index.to_string(), ANA, "1.00");
            order["datacontenttype"] = json!(media_type);
            order
        })
        .collect();
    assert_eq!(user_stats.handle(&batch(&orders)).await, [] as [&str; 0]);
    assert_eq!(user_stats.handle(&batch(&orders[..2])).await, [] as [&str; 0]);
    assert_eq!(stack.item(&format!("USER#{ANA}"), "STATS").await["orders"], 2);
    let letters = stack.dead_letters(&stack.account.user_events).await;
    assert_eq!(letters.iter().map(|(_, reason)| reason.as_str()).collect::<Vec<_>>(), ["not_cloudevents"]);
}

#[tokio::test]
async fn odd_values_get_the_same_verdict_from_the_worker_and_replay() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let valid = order("1", ANA, "1.00").to_string();
    let with_field = |field: &str| valid.replacen('{', &format!("{{{field},"), 1);
    let deep = format!("\"x\": {}{}", "[".repeat(300), "]".repeat(300));
    for (body, is_event) in [
        (with_field(r#""x": "\ud83d""#), true),
        (with_field(r#""x": {"\udc00": "\u0000"}"#), true),
        (with_field(r#""x": 1e999"#), true),
        (with_field(r#""x": {"\ud83d": "\udc00\ud83d"}, "y": ["\udfff", 1e999]"#), true),
        (with_field(r#""\ud83d": 1"#), false),
        (with_field(&deep), true),
        (with_field(r#""type": "order.placed""#), false),
        (format!("{valid} {{}}"), false),
        (format!("[{valid}]"), false),
        (valid.replace("order.placed", r"\ud83d"), false),
    ] {
        let message: QueuedMessage =
            serde_json::from_value(json!({"messageId": "1", "body": Value::String(body.clone())})).unwrap();
        let filter = Filter { types: vec!["order.placed".into()], ..Filter::default() };
        let clock = stack.account.time.clock();
        assert_eq!(filter.matches(&message, &clock), is_event, "{body}");
        let by_field = Filter { fields: vec![parse_field("data.order_id=1").unwrap()], ..Filter::default() };
        assert!(!is_event || by_field.matches(&message, &clock), "{body}");
        let mut inspection = Inspection::default();
        inspection.add(&message, 1, clock.now());
        let expected = if is_event { "order.placed" } else { "not_an_event" };
        assert_eq!(inspection.by_type.keys().collect::<Vec<_>>(), [expected], "{body}");
        let sample = &inspection.samples["received_too_often"][0];
        assert_eq!(
            sample.starts_with("not JSON"),
            serde_json::from_str::<serde::de::IgnoredAny>(&body).is_err()
        );

        user_stats.handle_twice(&batch(&[Value::String(body.clone())])).await;
        let letters = stack.dead_letters(&stack.account.user_events).await;
        assert_eq!(letters.is_empty(), is_event, "{body}: {letters:?}");
    }
    assert_eq!(stack.item(&format!("USER#{ANA}"), "STATS").await["orders"], 1);
}

#[tokio::test]
async fn same_source_and_id_counts_for_each_subject() {
    let stack = test_stack().await;
    let user_stats = stack.user_stats(&[]);
    let ben = "0b6f4c1e-58d2-4b7a-9a36-1f2e3d4c5b6a";
    let bodies = [order("1", ANA, "1.00"), order("1", ben, "1.00"), order("1", ANA, "1.00")];
    user_stats.handle_twice(&batch(&bodies)).await;
    let users = stack.account.users().await.unwrap();
    assert_eq!((&users[ANA]["orders"], &users[ben]["orders"]), (&json!(1), &json!(1)));
}
