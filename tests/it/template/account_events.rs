//! The rule that takes events of CloudTrail from the default event bus, and who may send to its
//! queue.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use xtask::table_access::{AccessKind, table_access};
use xtask::template::Template;

use super::deployment::Deployment;
use super::{names_in, root};

const OPERATOR: &str = "arn:aws:iam::123456789012:role/operator";
const POOL: &str = "eu-central-1_EXAMPLE01";
/// The resources of account events. The alarms also need Monitoring.
const ACCOUNT_EVENTS: (&str, &str) = ("AccountEvents", "true");

fn deployment(values: &[(&str, &str)]) -> Deployment {
    Deployment::with(&[&[ACCOUNT_EVENTS, ("ExistingUserPoolId", POOL)], values].concat())
}

/// The pattern of the rule as text, with this region and account.
fn pattern(region: &str, pool: &str) -> String {
    let deployment = Deployment::with(&[ACCOUNT_EVENTS, ("ExistingUserPoolId", pool)]);
    let pattern = deployment.properties("AccountEventsRule").unwrap()["EventPattern"].to_string();
    pattern.replace("${AWS::Region}", region).replace("${AWS::AccountId}", "123456789012")
}

/// True if EventBridge's pattern matches, as far as the rule uses its operators. A field that is null
/// exists, as in EventBridge.
fn matches(pattern: &Value, event: &Value) -> bool {
    pattern.as_object().unwrap().iter().all(|(name, expected)| match expected {
        Value::Array(branches) if name == "$or" => branches.iter().any(|branch| matches(branch, event)),
        Value::Array(values) => values.iter().any(|value| match &value["exists"] {
            Value::Bool(exists) => event.get(name).is_some() == *exists,
            _ => event.get(name) == Some(value),
        }),
        _ => matches(expected, &event[name]),
    })
}

fn event(detail: Value) -> Value {
    let mut event = json!({
        "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": "AWS API Call via CloudTrail", "source": "aws.cognito-idp",
        "account": "123456789012", "region": "eu-central-1", "detail": {
            "eventSource": "cognito-idp.amazonaws.com",
            "additionalEventData": {"sub": "7d8ca528-4931-4254-9273-ea5ee853f271"},
        },
    });
    for (name, value) in detail.as_object().unwrap() {
        event["detail"][name] = value.clone();
    }
    event
}

#[test]
fn rule_selects_changes_of_users_of_the_pool_and_failed_sign_ins() {
    let pattern: Value = serde_json::from_str(&pattern("eu-central-1", POOL)).unwrap();
    let of_pool = json!({"userPoolId": POOL, "username": "HIDDEN_DUE_TO_SECURITY_REASONS"});
    for (expected, detail) in [
        (true, json!({"eventName": "AdminDeleteUser", "requestParameters": of_pool})),
        (true, json!({"eventName": "DeleteUser", "requestParameters": {"accessToken": "HIDDEN"}})),
        (true, json!({"eventName": "DeleteUser", "requestParameters": null})),
        (true, json!({"eventName": "DeleteUser"})),
        (false, json!({"eventName": "AdminDeleteUser", "requestParameters": {"userPoolId": "another"}})),
        (false, json!({"eventName": "AdminDeleteUser", "requestParameters": of_pool, "errorCode": "E"})),
        // post-confirmation publishes these.
        (false, json!({"eventName": "ConfirmSignUp"})),
        (false, json!({"eventName": "ConfirmForgotPassword"})),
        // A sign-in that succeeds, which is most of the traffic.
        (false, json!({"eventName": "InitiateAuth"})),
        (true, json!({"eventName": "InitiateAuth", "errorCode": "NotAuthorizedException"})),
        (true, json!({"eventName": "RespondToAuthChallenge", "errorCode": "NotAuthorizedException"})),
        (false, json!({"eventName": "InitiateAuth", "errorCode": "UserNotConfirmedException"})),
        // The user does not exist.
        (
            false,
            json!({
                "eventName": "InitiateAuth", "errorCode": "NotAuthorizedException",
                "additionalEventData": {},
            }),
        ),
        (false, json!({"eventName": "DeleteUser", "eventSource": "iam.amazonaws.com"})),
    ] {
        assert_eq!(matches(&pattern, &event(detail.clone())), expected, "{detail}");
    }
    let deleted = event(json!({"eventName": "DeleteUser"}));
    for (field, value) in [
        ("account", "000000000000"),
        ("region", "us-east-1"),
        ("source", "shop"),
        ("detail-type", "AWS Service Event via CloudTrail"),
    ] {
        let mut other = deleted.clone();
        other[field] = json!(value);
        assert!(!matches(&pattern, &other), "{field}");
    }
}

/// The fixtures have an event for each call that the worker knows.
#[test]
fn rule_selects_every_event_that_the_worker_knows_and_no_other_call() {
    let pattern: Value = serde_json::from_str(&pattern("eu-central-1", POOL)).unwrap();
    let mut calls = BTreeSet::new();
    for name in names_in(&root().join("events/account-activity")) {
        let batch = tests::fixtures::json(&format!("account-activity/{name}"));
        for record in batch["Records"].as_array().unwrap() {
            let event: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
            assert!(matches(&pattern, &event), "{name}");
            calls.insert(event["detail"]["eventName"].as_str().unwrap().to_owned());
        }
    }
    let branches = pattern["detail"]["$or"].as_array().unwrap().iter();
    let selected: BTreeSet<String> =
        branches.flat_map(|branch| branch["eventName"].as_array().unwrap()).map(text).collect();
    assert_eq!(selected, calls);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// EventBridge refuses a longer pattern, and with it the deployment.
#[test]
fn pattern_of_the_rule_has_at_most_2048_characters() {
    let longest_pool = format!("ap-southeast-99_{}", "x".repeat(55 - 16));
    let length = pattern("ap-southeast-99", &longest_pool).len();
    assert!((500..=2048).contains(&length), "{length} characters");
}

/// EventBridge drops an event that the queue refuses, unless the target has a dead-letter queue.
#[test]
fn event_that_the_rule_cannot_deliver_is_a_dead_letter() {
    let deployment = deployment(&[("OperatorArns", OPERATOR)]);
    let rule = json!("${AccountEventsRule.Arn}");
    let targets = &deployment.properties("AccountEventsRule").unwrap()["Targets"];
    assert_eq!(targets[0]["DeadLetterConfig"]["Arn"], json!("${AccountActivitiesDeadLetterQueue.Arn}"));
    let policy = deployment.properties("AccountActivitiesDeadLetterQueuePolicy").unwrap();
    let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
    let statement = |sid: &str| statements.iter().find(|each| each["Sid"] == sid).unwrap();
    let allowed = statement("AllowAccountEventsRule");
    assert_eq!(allowed["Condition"], json!({"ArnEquals": {"aws:SourceArn": rule}}));
    assert_eq!(allowed["Action"], json!("sqs:SendMessage"));
    // Both must hold, so neither the rule nor the worker nor an operator is denied.
    let denied = &statement("DenyOtherSenders")["Condition"];
    assert_eq!(denied["ArnNotEquals"], json!({"aws:SourceArn": rule}));
    assert!(denied["StringNotEquals"]["aws:PrincipalArn"].to_string().contains(OPERATOR), "{denied}");
}

#[test]
fn only_the_rule_and_operators_send_to_account_activities() {
    let rule = json!("${AccountEventsRule.Arn}");
    for (parameters, operators) in [
        (vec![], None),
        (vec![("OperatorArns", OPERATOR)], Some(OPERATOR)),
        (vec![("AccountActivitiesOperatorArns", OPERATOR)], Some(OPERATOR)),
        // Services that publish events can neither erase nor refresh a user.
        (vec![("EventProducers", "123456789012"), ("PermissionProducers", "123456789012")], None),
    ] {
        let policy = deployment(&parameters).properties("AccountActivitiesQueuePolicy").unwrap();
        let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
        let statement = |sid: &str| statements.iter().find(|each| each["Sid"] == sid).unwrap();
        let denied = statement("DenyOtherSenders");
        assert_eq!((&denied["Effect"], &denied["Principal"]), (&json!("Deny"), &json!("*")));
        let mut condition = json!({"ArnNotEquals": {"aws:SourceArn": rule}});
        if let Some(operator) = operators {
            condition["StringNotEquals"] = json!({"aws:PrincipalArn": [operator]});
        }
        assert_eq!(denied["Condition"], condition, "{parameters:?}");
        let allowed: Vec<&Value> = statements.iter().filter(|each| each["Effect"] == "Allow").collect();
        assert_eq!(allowed, [statement("AllowAccountEventsRule")], "{parameters:?}");
        assert_eq!(allowed[0]["Principal"], json!({"Service": "events.amazonaws.com"}));
        assert_eq!(allowed[0]["Action"], "sqs:SendMessage");
        assert_eq!(allowed[0]["Condition"], json!({"ArnEquals": {"aws:SourceArn": rule}}));
    }
    let target = &deployment(&[]).properties("AccountEventsRule").unwrap()["Targets"];
    assert_eq!(target[0]["Arn"], json!("${AccountActivitiesQueue.Arn}"));
    assert_eq!(target.as_array().unwrap().len(), 1);
}

#[test]
fn account_events_are_off_by_default_and_need_no_other_parameter() {
    let (off, on) = (Deployment::with(&[]).resources(), Deployment::with(&[ACCOUNT_EVENTS]).resources());
    let added: BTreeSet<&str> = on.difference(&off).copied().collect();
    assert!(off.is_subset(&on));
    assert!(added.contains("AccountEventsRule") && added.contains("AccountActivityFunction"), "{added:?}");
    assert!(added.iter().all(|name| name.contains("Account") || name.contains("Many")), "{added:?}");
    let unmonitored = Deployment::with(&[ACCOUNT_EVENTS, ("Monitoring", "false")]).resources();
    assert!(unmonitored.iter().all(|name| !name.ends_with("Alarm")), "{unmonitored:?}");
    assert!(Deployment::with(&[ACCOUNT_EVENTS, ("AccountDeletion", "keep")]).refusals().is_empty());
    for setting in
        [("AccountDeletion", "keep"), ("FailedSignInsPerUser", "5"), ("FailedUsersPerAddress", "5")]
    {
        let refusals = Deployment::with(&[setting]).refusals();
        assert!(refusals[0].contains("need AccountEvents true"), "{setting:?}: {refusals:?}");
    }
}

/// Its events come from outside, so its role reaches no further than the data of users.
#[test]
fn account_activity_reads_the_pool_and_writes_neither_suspensions_nor_grants() {
    use AccessKind::{Delete, Read, Write};
    let access = table_access(&Template::read());
    let may = |kind: AccessKind, key: &str| {
        access.iter().any(|access| access.function == "account-activity" && access.allows(kind, key))
    };
    for key in ["SUSPENSION#a", "SUSPENDED_EMAIL#a", "GRANT#a", "CACHE#a", "DOMAIN#a#0", "LEDGER#${Id}"] {
        assert!(![Read, Write, Delete].into_iter().any(|kind| may(kind, key)), "{key}");
    }
    assert_eq!([Read, Write, Delete].map(|kind| may(kind, "ADDRESS#192.0.2.1")), [false, true, false]);
    let statements = |deletion: &str| -> Vec<Value> {
        let role = deployment(&[("AccountDeletion", deletion)]).properties("AccountActivityRole").unwrap();
        role["Policies"][0]["PolicyDocument"]["Statement"].as_array().unwrap().clone()
    };
    let deletes = |statement: &Value| {
        let text = statement["Action"].to_string();
        ["DeleteItem", "BatchWriteItem"].iter().any(|action| text.contains(action))
    };
    assert!(statements("erase").iter().any(deletes));
    assert!(!statements("keep").iter().any(deletes));
    let cognito: Vec<Value> = statements("erase")
        .into_iter()
        .filter(|statement| statement["Action"].to_string().contains("cognito-idp:"))
        .collect();
    assert_eq!(cognito.len(), 1);
    assert_eq!(cognito[0]["Action"], json!(["cognito-idp:AdminGetUser", "cognito-idp:ListUsers"]));
    assert!(cognito[0]["Resource"].as_str().unwrap().ends_with(&format!(":userpool/{POOL}")));
}
