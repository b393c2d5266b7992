//! Batches as no queue should send them: nothing is lost, nothing is stuck for ever.

use aws_lambda_events::sqs::SqsEvent;
use serde_json::{Value, json};

use crate::support::{ANA, Rig, order, rig};

const WORKERS: [&str; 3] = ["user-stats", "cache-invalidation", "group-membership"];

/// Hands a batch to a worker: the ids of what must come again, or that all of it must.
async fn handle(rig: &Rig, worker: &str, records: Value) -> Result<Vec<String>, String> {
    let event: SqsEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
    let response = match worker {
        "user-stats" => rig.user_stats(&[]).try_handle(&event).await,
        "cache-invalidation" => rig.cache_invalidation(&[]).try_handle(&event).await,
        _ => rig.group_membership(&[]).try_handle(&event).await,
    };
    response.map_err(|error| error.to_string())
}

async fn parked(rig: &Rig, worker: &str) -> Vec<String> {
    let queues = match worker {
        "user-stats" => &rig.account.user_events,
        "cache-invalidation" => &rig.account.cache_invalidations,
        _ => &rig.account.group_memberships,
    };
    rig.dead_letters(queues).await.into_iter().map(|(_, reason)| reason).collect()
}

#[tokio::test]
async fn an_empty_batch_is_done() {
    let rig = rig().await;
    for worker in WORKERS {
        assert_eq!(handle(&rig, worker, json!([])).await, Ok(vec![]), "{worker}");
    }
}

#[tokio::test]
async fn a_record_without_a_body_comes_again_until_sqs_parks_it() {
    let rig = rig().await;
    for worker in WORKERS {
        let records = json!([{"messageId": "m"}, {"messageId": "n", "body": ""}]);
        assert_eq!(handle(&rig, worker, records).await, Ok(vec!["m".into(), "n".into()]), "{worker}");
        assert_eq!(parked(&rig, worker).await, [] as [&str; 0], "SQS takes no empty body: {worker}");
    }
}

#[tokio::test]
async fn a_record_without_attributes_is_a_record() {
    let rig = rig().await;
    let records = json!([{"messageId": "m", "body": order("1", ANA, "1.00").to_string()}]);
    assert_eq!(handle(&rig, "user-stats", records).await, Ok(vec![]));
    assert_eq!(rig.item(&format!("USER#{ANA}"), "STATS").await["orders"], 1);
    for worker in WORKERS {
        let records = json!([{"messageId": "m", "body": "not JSON"}]);
        assert_eq!(handle(&rig, worker, records).await, Ok(vec![]), "{worker}");
        assert_eq!(parked(&rig, worker).await, ["not_json"], "{worker}");
    }
}

#[tokio::test]
async fn a_record_without_an_id_fails_the_whole_batch_where_it_must_come_again() {
    let rig = rig().await;
    for worker in WORKERS {
        let records = json!([{"body": ""}, {"messageId": "m", "body": "not JSON"}]);
        let failed = handle(&rig, worker, records).await;
        assert!(failed.is_err_and(|error| error.contains("no messageId")), "{worker}");
        let records = json!([{"body": "not JSON"}]);
        assert_eq!(handle(&rig, worker, records).await, Ok(vec![]), "what is done needs no id: {worker}");
    }
}

#[tokio::test]
async fn the_same_message_twice_in_a_batch_is_done_once_or_comes_again_once() {
    let rig = rig().await;
    let record = json!({"messageId": "m", "body": order("1", ANA, "1.00").to_string()});
    assert_eq!(handle(&rig, "user-stats", json!([record, record])).await, Ok(vec![]));
    assert_eq!(rig.item(&format!("USER#{ANA}"), "STATS").await["orders"], 1);
    rig.account.faults.inject("*", sandbox::aws::Fault::Error("AccessDeniedException"), 100);
    let record = json!({"messageId": "m", "body": order("2", ANA, "1.00").to_string()});
    let failed = handle(&rig, "user-stats", json!([record, record])).await;
    assert_eq!(failed, Ok(vec!["m".into()]), "an id stands in a response once");
}

#[tokio::test]
async fn what_is_of_another_queue_or_too_large_or_full_of_attributes_blocks_nobody() {
    let rig = rig().await;
    let attribute =
        json!({"dataType": "String", "stringValue": "x", "stringListValues": [], "binaryListValues": []});
    let ten: serde_json::Map<String, Value> =
        (0..10).map(|index| (format!("a{index}"), attribute.clone())).collect();
    let records = json!([
        {"messageId": "elsewhere", "body": order("1", ANA, "1.00").to_string(), "eventSourceARN": "arn:aws:sqs:x:1:y"},
        {"messageId": "full", "body": "not JSON", "messageAttributes": ten},
        {"messageId": "large", "body": "x".repeat(1024 * 1024)},
        {"messageId": "good", "body": order("2", ANA, "1.00").to_string()},
    ]);
    let failed = handle(&rig, "user-stats", records).await;
    assert_eq!(failed, Ok(vec!["full".into(), "large".into()]), "SQS parks them in its own time");
    assert_eq!(rig.item(&format!("USER#{ANA}"), "STATS").await["orders"], 2);
}
