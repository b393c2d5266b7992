//! Who may send to the queues and receive from them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::function_id::FunctionId;
use xtask::template::Template;

use super::deployment::Deployment;
use super::pascal;

const ALL: &str = "arn:aws:iam::123456789012:role/operator";
const ONE_QUEUE: &str = "arn:aws:iam::123456789012:role/operators/second";
const RECEIVING: [&str; 4] =
    ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:PurgeQueue"];

/// The principals that the statement does not deny.
fn exempt(deployment: &Deployment, queue: &str, sid: &str) -> BTreeSet<String> {
    let policy = deployment.properties(&format!("{queue}Policy")).unwrap();
    assert_eq!(policy["Queues"], json!([format!("${{{queue}}}")]));
    let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
    let statement = statements.iter().find(|each| each["Sid"] == sid).unwrap();
    assert_eq!((&statement["Effect"], &statement["Principal"]), (&json!("Deny"), &json!("*")), "{queue}");
    assert_eq!(statement["Resource"], format!("${{{queue}.Arn}}"));
    match &statement["Condition"] {
        Value::Null => BTreeSet::new(),
        condition => {
            let operators = condition.as_object().unwrap().keys();
            // Both must hold for a denial. The rule of account events is no principal.
            let operators: Vec<&String> = operators.filter(|name| *name != "ArnNotEquals").collect();
            assert_eq!(operators, ["StringNotEquals"]);
            serde_json::from_value(condition["StringNotEquals"]["aws:PrincipalArn"].clone()).unwrap()
        }
    }
}

/// A deployment with all workers.
fn with_account_events(parameters: &[(&str, &str)]) -> Deployment {
    Deployment::with(&[&[("AccountEvents", "true")], parameters].concat())
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn only_the_worker_and_the_operators_of_a_queue_receive_delete_and_purge() {
    for worker in FunctionId::workers() {
        let name = pascal(worker.queue().unwrap());
        let (queue, dead_letters) = (format!("{name}Queue"), format!("{name}DeadLetterQueue"));
        let own = format!("{name}OperatorArns");
        let role = format!("${{{}Role.Arn}}", pascal(worker.name()));
        for (parameters, operators) in [
            (vec![], vec![]),
            (vec![("OperatorArns", ALL)], vec![ALL]),
            (vec![("OperatorArns", ALL), (own.as_str(), ONE_QUEUE)], vec![ONE_QUEUE]),
            (vec![(own.as_str(), ONE_QUEUE)], vec![ONE_QUEUE]),
        ] {
            let deployment = with_account_events(&parameters);
            let with_worker = [&[role.as_str()][..], &operators].concat();
            let receivers = |queue: &str| exempt(&deployment, queue, "DenyOtherReceivers");
            assert_eq!(receivers(&queue), set(&with_worker), "{queue} {parameters:?}");
            // The worker only sends to its dead-letter queue.
            assert_eq!(receivers(&dead_letters), set(&operators), "{dead_letters} {parameters:?}");
            let senders = exempt(&deployment, &dead_letters, "DenyOtherSenders");
            assert_eq!(senders, set(&with_worker), "{dead_letters} {parameters:?}");
        }
    }
}

/// An operator of one queue has no access to the others.
#[test]
fn operators_of_one_queue_neither_send_to_the_other_queues_nor_receive_from_them() {
    let deployment = with_account_events(&[("OperatorArns", ALL), ("UserEventsOperatorArns", ONE_QUEUE)]);
    for (queue, operator) in [
        ("UserEventsQueue", ONE_QUEUE),
        ("UserEventsDeadLetterQueue", ONE_QUEUE),
        ("CacheInvalidationsQueue", ALL),
        ("CacheInvalidationsDeadLetterQueue", ALL),
        ("GroupMembershipsQueue", ALL),
        ("GroupMembershipsDeadLetterQueue", ALL),
        ("ResourcePermissionsQueue", ALL),
        ("ResourcePermissionsDeadLetterQueue", ALL),
        ("AccountActivitiesQueue", ALL),
        ("AccountActivitiesDeadLetterQueue", ALL),
    ] {
        for sid in ["DenyOtherSenders", "DenyOtherReceivers"] {
            let exempt = exempt(&deployment, queue, sid);
            let operators: Vec<&str> =
                exempt.iter().map(String::as_str).filter(|principal| principal.starts_with("arn:")).collect();
            assert_eq!(operators, [operator], "{sid} of {queue}");
        }
    }
}

#[test]
fn every_queue_denies_unencrypted_transport_other_senders_and_other_receivers() {
    let template = Template::read();
    let queues: BTreeSet<&str> = template.of_type("AWS::SQS::Queue").map(|(name, _)| name).collect();
    let mut queues_with_policy = BTreeSet::new();
    for (name, policy) in template.of_type("AWS::SQS::QueuePolicy") {
        let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap();
        let denied = |sid: &str| {
            let statement = statements.iter().find(|each| each["Sid"] == sid && each["Effect"] == "Deny");
            statement.unwrap_or_else(|| panic!("{name} has no {sid}"))["Action"].clone()
        };
        denied("DenyUnencryptedTransport");
        assert_eq!(denied("DenyOtherSenders"), "sqs:SendMessage", "{name}");
        assert_eq!(denied("DenyOtherReceivers"), json!(RECEIVING), "{name}");
        // No statement denies SetQueueAttributes: administrators can still correct a policy.
        assert!(!policy.to_string().contains("SetQueueAttributes") && !policy.to_string().contains("sqs:*"));
        queues_with_policy.insert(policy["Properties"]["Queues"][0]["Ref"].as_str().unwrap());
    }
    assert_eq!(queues, queues_with_policy);
}

/// A permission is granted only by a producer that a parameter names, or by an operator.
#[test]
fn only_permission_producers_and_operators_send_to_resource_permissions() {
    const PRODUCER: &str = "arn:aws:iam::123456789012:role/sharing";
    const QUEUE: &str = "ResourcePermissionsQueue";
    let own = "ResourcePermissionsOperatorArns";
    for (parameters, senders) in [
        (vec![], vec![]),
        (vec![("PermissionProducers", PRODUCER)], vec![PRODUCER]),
        (vec![("OperatorArns", ALL)], vec![ALL]),
        (vec![("PermissionProducers", PRODUCER), ("OperatorArns", ALL)], vec![PRODUCER, ALL]),
        (vec![("PermissionProducers", PRODUCER), (own, ONE_QUEUE)], vec![PRODUCER, ONE_QUEUE]),
        (vec![("OperatorArns", ALL), (own, ONE_QUEUE)], vec![ONE_QUEUE]),
        // Producers of other events grant nothing.
        (vec![("EventProducers", PRODUCER)], vec![]),
    ] {
        let deployment = Deployment::with(&parameters);
        assert_eq!(exempt(&deployment, QUEUE, "DenyOtherSenders"), set(&senders), "{parameters:?}");
        let policy = deployment.properties(&format!("{QUEUE}Policy")).unwrap();
        let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
        let allowed = statements.iter().filter(|statement| statement["Effect"] == "Allow");
        let principals: Vec<&Value> = allowed.map(|statement| &statement["Principal"]["AWS"]).collect();
        let has_producer = parameters.iter().any(|(name, _)| *name == "PermissionProducers");
        let expected = json!([PRODUCER]);
        assert_eq!(principals, if has_producer { vec![&expected] } else { vec![] }, "{parameters:?}");
    }
}

#[test]
fn only_workers_that_publish_notices_and_operators_send_to_cache_invalidations() {
    let producers = [("EventProducers", ONE_QUEUE), ("PermissionProducers", ONE_QUEUE)];
    let senders = |deployment: Deployment| exempt(&deployment, "CacheInvalidationsQueue", "DenyOtherSenders");
    let (stats, permission) = ("${UserStatsRole.Arn}", "${ResourcePermissionRole.Arn}");
    assert_eq!(senders(Deployment::with(&producers)), set(&[stats, permission]));
    let activity = "${AccountActivityRole.Arn}";
    assert_eq!(senders(with_account_events(&producers)), set(&[stats, permission, activity]));
}

/// Lambda's quota for a new account, in all functions of a region together.
const CONCURRENCY_OF_A_NEW_ACCOUNT: u64 = 10;

#[test]
fn default_concurrency_leaves_room_for_triggers_in_a_new_account() {
    let deployment = Deployment::with_read_api(&[]);
    let workers: u64 = FunctionId::workers()
        .filter_map(|worker| deployment.properties(worker.resource_name()))
        .map(|properties| {
            let event = properties["Events"].as_object().unwrap().values().next().unwrap();
            let concurrency = &event["Properties"]["ScalingConfig"]["MaximumConcurrency"];
            concurrency.as_u64().or_else(|| concurrency.as_str()?.parse().ok()).unwrap()
        })
        .sum();
    // A worker that reads a queue has a maximum concurrency of at least 2. Four exist by default, and
    // docs/account-events.md says what the fifth needs.
    assert!(CONCURRENCY_OF_A_NEW_ACCOUNT - workers >= 2, "the workers use up to {workers}");
    for function in FunctionId::ALL {
        let Some(properties) = deployment.properties(function.resource_name()) else { continue };
        // Lambda refuses to reserve any concurrency in such an account.
        for reservation in ["ReservedConcurrentExecutions", "ProvisionedConcurrencyConfig"] {
            assert_eq!(properties[reservation], Value::Null, "{function}");
        }
    }
}
