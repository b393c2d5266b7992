//! Tests of account-activity.

use serde_json::{Value, json};

use crate::support::{ANA, batch, test_stack};

const POOL: &str = "eu-central-1_EXAMPLE01";

/// EventBridge's event about a call at nine o'clock that names the user pool.
pub fn call(name: &str, id: &str, sub: &str) -> Value {
    json!({
        "version": "0",
        "id": format!("eventbridge-{id}"),
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.cognito-idp",
        "account": "123456789012",
        "time": "2026-03-02T09:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": {
            "eventVersion": "1.11",
            "eventTime": "2026-03-02T09:00:00Z",
            "eventSource": "cognito-idp.amazonaws.com",
            "eventName": name,
            "awsRegion": "eu-central-1",
            "sourceIPAddress": "198.51.100.7",
            "requestParameters": {"userPoolId": POOL, "username": "HIDDEN_DUE_TO_SECURITY_REASONS"},
            "responseElements": null,
            "additionalEventData": {"sub": sub},
            "eventID": id,
            "eventType": "AwsApiCall",
        },
    })
}

#[tokio::test]
async fn disabled_account_is_recorded_once() {
    let stack = test_stack().await;
    let worker = stack.account_activity(&[]);
    worker.handle_twice(&batch(&[call("AdminDisableUser", "1", ANA)])).await;
    let stats = stack.item(&format!("USER#{ANA}"), "STATS").await;
    assert_eq!((&stats["isDisabled"], &stats["version"]), (&json!(true), &json!(1)));
}
