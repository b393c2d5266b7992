//! The worker binaries as Lambda runs them, against a Runtime API and an AWS account on the
//! loopback interface.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sandbox::aws::SandboxAccount;
use serde_json::{Value, json};
use tests::fixtures;
use tests::lambda::{self, Answer};

const USER_STATS: &str = env!("CARGO_BIN_EXE_user-stats-under-test");
const CACHE_INVALIDATION: &str = env!("CARGO_BIN_EXE_cache-invalidation-under-test");
const GROUP_MEMBERSHIP: &str = env!("CARGO_BIN_EXE_group-membership-under-test");
const RESOURCE_PERMISSION: &str = env!("CARGO_BIN_EXE_resource-permission-under-test");
const ACCOUNT_ACTIVITY: &str = env!("CARGO_BIN_EXE_account-activity-under-test");

async fn account() -> Arc<SandboxAccount> {
    Arc::new(SandboxAccount::start("2026-03-02T09:00:00Z".parse().unwrap()).await.unwrap())
}

async fn start(binary: &str, account: &Arc<SandboxAccount>) -> lambda::Function {
    let variables = [
        ("TABLE_NAME", sandbox::aws::TABLE),
        ("USER_EVENTS_QUEUE_URL", &account.user_events.url),
        ("CACHE_INVALIDATIONS_QUEUE_URL", &account.cache_invalidations.url),
        ("GROUP_MEMBERSHIPS_QUEUE_URL", &account.group_memberships.url),
        ("RESOURCE_PERMISSIONS_QUEUE_URL", &account.resource_permissions.url),
        ("ACCOUNT_ACTIVITIES_QUEUE_URL", &account.account_activities.url),
        ("ACCOUNT_ID", sandbox::aws::account::ACCOUNT_ID),
        ("USER_POOL_ID", sandbox::aws::account::USER_POOL_ID),
        ("CREATE_GROUPS", "true"),
        ("GROUP_RULES", r#"[{"always": true, "group": "Developer"}, {"always": true, "group": "Commerce"}]"#),
        ("DEAD_LETTER_QUEUE_URL", &account.user_events.dead_letter_url),
        ("DISTRIBUTION_ID", account.distribution_id()),
    ];
    lambda::start(binary, Some(account.clone()), &variables).await
}

/// The fixture with the current time in its events, because the binary uses the machine's clock.
fn dated_now(fixture: &str) -> String {
    let sent_at = shared::time::Clock::system().now();
    let now = sent_at.to_string();
    let mut event = fixtures::json(fixture);
    for record in event["Records"].as_array_mut().unwrap() {
        let mut body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
        body["time"] = json!(now);
        if body["data"].get("changed_at").is_some() {
            body["data"]["changed_at"] = json!(now);
        }
        record["body"] = json!(body.to_string());
        record["attributes"]["SentTimestamp"] = json!(sent_at.as_millisecond().to_string());
    }
    event.to_string()
}

#[tokio::test]
async fn user_stats_counts_a_batch_once_after_three_deliveries() {
    let account = account().await;
    let mut function = start(USER_STATS, &account).await;
    let batch = dated_now("user-stats/orders-of-two-users");
    for _ in 0..3 {
        let answer = function.invoke(&batch).await;
        assert_eq!(answer, Answer::Response(json!({"batchItemFailures": []})));
    }
    let users = account.users().await.unwrap();
    let spent: Vec<&Value> = users.values().map(|user| &user["spent"]["EUR"]).collect();
    assert_eq!(spent, [&json!("12.50"), &json!("7.25")]);
}

#[tokio::test]
async fn cache_invalidation_makes_one_call_for_a_batch() {
    let account = account().await;
    let mut function = start(CACHE_INVALIDATION, &account).await;
    let answer = function.invoke(&dated_now("cache-invalidation/changes-of-two-users")).await;
    assert_eq!(answer, Answer::Response(json!({"batchItemFailures": []})));
    let invalidations = account.calls.invalidations();
    let expected =
        ["#user:7d8ca528-4931-4254-9273-ea5ee853f271", "#user:e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25"];
    assert_eq!(invalidations, [expected.map(str::to_owned).to_vec()]);
}

#[tokio::test]
async fn group_membership_changes_the_user_pool() {
    let account = account().await;
    let ben = "e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25";
    account.backend().user_pools().put_user("eu-central-1_EXAMPLE01", ben, &["Developer".to_owned()]).await;
    let mut function = start(GROUP_MEMBERSHIP, &account).await;
    let batch = dated_now("group-membership/changes-of-two-users");
    for _ in 0..2 {
        let answer = function.invoke(&batch).await;
        assert_eq!(answer, Answer::Response(json!({"batchItemFailures": []})));
    }
    assert_eq!(account.backend().user_pools().groups().await[ben], ["Commerce"]);
}

#[tokio::test]
async fn account_activity_applies_a_call_of_cognito() {
    let account = account().await;
    let mut function = start(ACCOUNT_ACTIVITY, &account).await;
    let mut batch = fixtures::json("account-activity/admin-disable-user");
    let body = batch["Records"][0]["body"].as_str().unwrap();
    let mut body: Value = serde_json::from_str(body).unwrap();
    body["detail"]["eventTime"] = json!(shared::time::Clock::system().now().to_string());
    batch["Records"][0]["body"] = json!(body.to_string());
    for _ in 0..2 {
        let answer = function.invoke(&batch.to_string()).await;
        assert_eq!(answer, Answer::Response(json!({"batchItemFailures": []})));
    }
    let users = account.users().await.unwrap();
    assert_eq!(users[crate::support::ANA]["isDisabled"], true);
    assert_eq!(users[crate::support::ANA]["version"], 1);
}

#[tokio::test]
async fn resource_permission_writes_grants() {
    let account = account().await;
    let mut function = start(RESOURCE_PERMISSION, &account).await;
    let batch = dated_now("resource-permission/orders-shared-with-two-users");
    for _ in 0..2 {
        let answer = function.invoke(&batch).await;
        assert_eq!(answer, Answer::Response(json!({"batchItemFailures": []})));
    }
    let grants = account.items().await.unwrap().into_iter().filter(|((pk, _), _)| pk.starts_with("GRANT#"));
    let grants: Vec<Value> = grants.map(|(_, grant)| grant["permissions"].clone()).collect();
    assert_eq!(grants, [json!(["read"]), json!(["read"])]);
}

/// The test kills the binary a hundred times in the middle of a batch. The AWS account is in the
/// process of the test, so it survives.
#[tokio::test(flavor = "multi_thread")]
async fn worker_that_is_killed_a_hundred_times_counts_every_event_once() {
    const KILLS: u64 = 100;
    const USERS: usize = 5;
    let account = account().await;
    let now = shared::time::Clock::system().now().to_string();
    let batch = |round: u64| {
        let records: Vec<Value> = (0..20)
            .map(|index| {
                let body = json!({
                    "specversion": "1.0", "id": format!("order-{round}-{index}"), "source": "/shop", "type": "order.placed",
                    "subject": format!("user-{}", index % USERS), "time": now,
                    "data": {"order_id": format!("{round}-{index}"), "amount": "0.10", "currency": "EUR"},
                });
                json!({
                    "messageId": format!("m{round}-{index}"), "receiptHandle": "r", "body": body.to_string(),
                    "attributes": {}, "messageAttributes": {},
                })
            })
            .collect();
        json!({ "Records": records }).to_string()
    };
    let mut in_the_middle = 0;
    for round in 0..KILLS {
        let function = start(USER_STATS, &account).await;
        account.calls.clear_operations();
        function.send(&batch(round));
        // The round decides after how many requests to kill the binary: between any two of them.
        let requests = usize::try_from(round % 8).unwrap();
        while account.calls.operations().len() < requests {
            tokio::task::yield_now().await;
        }
        function.kill().await;
        in_the_middle += u64::from((1..7).contains(&account.calls.operations().len()));
    }
    assert!(in_the_middle > KILLS / 2, "killed in the middle {in_the_middle} times");

    // SQS redelivers the messages, because they were not acknowledged.
    let mut function = start(USER_STATS, &account).await;
    for round in 0..KILLS {
        assert_eq!(function.invoke(&batch(round)).await, Answer::Response(json!({"batchItemFailures": []})));
    }
    let users = account.users().await.unwrap();
    assert_eq!(users.len(), USERS);
    // After a crash between commit and notice, only a delivery of duplicates sends the notice.
    latest_notices(&account).await;
    for round in 0..KILLS {
        function.invoke(&batch(round)).await;
    }
    let notices = latest_notices(&account).await;
    for (user, stats) in users {
        assert_eq!(
            (&stats["orders"], &stats["spent"]["EUR"]),
            (&json!(KILLS * 4), &json!("40.00")),
            "{user}"
        );
        let sub = user.trim_start_matches("USER#");
        let changed_at = stats["lastChangedAt"].as_i64().unwrap();
        assert!(notices[sub].as_millisecond() >= changed_at, "{user} changed at {changed_at}: {notices:?}");
    }
}

/// The latest `changed_at` of each user's notices. Empties the queue.
async fn latest_notices(account: &SandboxAccount) -> BTreeMap<String, Timestamp> {
    let (sqs, mut latest) = (account.sqs(), BTreeMap::new());
    loop {
        let call = sqs.receive_message().queue_url(&account.cache_invalidations.url).visibility_timeout(600);
        let messages = call.max_number_of_messages(10).send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            return latest;
        }
        for message in messages {
            let notice: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            let changed_at: Timestamp = notice["data"]["changed_at"].as_str().unwrap().parse().unwrap();
            let known = latest.entry(notice["subject"].as_str().unwrap().to_owned()).or_insert(changed_at);
            *known = changed_at.max(*known);
        }
    }
}

#[tokio::test]
async fn missing_variable_stops_startup_with_its_name() {
    for (binary, variable) in [
        (USER_STATS, "TABLE_NAME"),
        (CACHE_INVALIDATION, "DISTRIBUTION_ID"),
        (GROUP_MEMBERSHIP, "GROUP_MEMBERSHIPS_QUEUE_URL"),
        (RESOURCE_PERMISSION, "TABLE_NAME"),
    ] {
        let (success, output) = lambda::start(binary, None, &[]).await.ended().await;
        assert!(!success && output.contains(&format!("{variable}: is required")), "{output}");
    }
}

#[tokio::test]
async fn event_that_is_not_a_batch_is_an_error_and_the_next_one_is_handled() {
    let account = account().await;
    let mut function = start(USER_STATS, &account).await;
    assert!(matches!(function.invoke(r#"{"Records": 7}"#).await, Answer::Error(_)));
    let answer = function.invoke(r#"{"Records": []}"#).await;
    assert_eq!(answer, Answer::Response(json!({"batchItemFailures": []})));
}
