//! The resources of a stack, from CloudFormation in memory.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::Client;
use replay::error::CommandError;
use replay::stack::Stack;
use sandbox::aws::{TABLE, sdk_config};
use shared::function_id::FunctionId;
use tests::sqs::Sqs;
use tests::stack_account::{STACK, StackAccount};

use super::loopback_stack::LoopbackStack;
use super::support::{ANA, order, send};

fn client(account: &StackAccount) -> Client {
    Client::new(&sdk_config(account.clone()))
}

#[tokio::test]
async fn resources_of_a_stack_are_read_by_name_or_arn() {
    let account = StackAccount::new(&[("AccountEvents", "true")], None);
    let stack = Stack::read(&client(&account), STACK).await.unwrap();
    assert!(account.calls_of("ListStackResources") > 1, "there are several pages");
    let queues: BTreeSet<(&str, &str)> = stack.queues().collect();
    let user_events = Sqs::url("cognito-user-events-user-events");
    assert!(queues.len() == 10 && queues.contains(&("UserEventsQueue", user_events.as_str())), "{queues:?}");
    assert_eq!(stack.user_events_url(), Some(user_events.as_str()));
    assert_eq!(stack.dead_letter_queues().count(), 5);
    assert_eq!(stack.table_name(), Some(TABLE));
    let functions: BTreeSet<&str> = stack.functions().map(|(_, name)| stack.short_name(name)).collect();
    let expected: BTreeSet<&str> = FunctionId::ALL.map(FunctionId::name).into();
    assert_eq!(functions, expected);
    for function in FunctionId::triggers() {
        let expected = format!("/aws/lambda/{STACK}-{}", function.name());
        assert_eq!(stack.log_group(function), Some(expected));
    }
    assert!(stack.alarms().any(|alarm| alarm == ("ThrottlesAlarm", "cognito-user-events-throttles")));

    let arn = format!("arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK}/0a1b2c3d-0000");
    assert_eq!(Stack::read(&client(&account), &arn).await.unwrap(), stack);
}

#[tokio::test]
async fn missing_stack_is_invalid_input_and_a_refusal_is_not() {
    let account = StackAccount::new(&[], None);
    let error = Stack::read(&client(&account), "shop").await.unwrap_err();
    assert!(matches!(error, CommandError::InvalidInput(_)), "{error:?}");
    assert!(error.to_string().contains("Stack with id shop does not exist"), "{error}");
    account.refuse("ListStackResources", "AccessDenied", "ben may not list");
    let error = Stack::read(&client(&account), STACK).await.unwrap_err();
    assert!(matches!(error, CommandError::Failed(_)), "{error:?}");
    assert!(error.to_string().starts_with("--stack cognito-user-events: CloudFormation"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stack_replaces_the_options_that_name_its_resources() {
    let stack = LoopbackStack::start().await;
    let none = [("STACK_NAME", "")];
    for command in [
        &["user", "show", ANA][..],
        &["user", "erase", ANA],
        &["user", "suspend", ANA, "--reason", "x", "--without-profile"],
        &["statistics", "rebuild", "--user", ANA],
    ] {
        let run = stack.replay_with(&none, command).await;
        assert!(run.code == 2 && run.stderr.contains("pass --table or --stack, or set "), "{run:?}");
        let run = stack.replay(command).await;
        assert!(run.code != 2 && !run.stderr.contains("pass --"), "{command:?}: {run:?}");
    }
    let run = stack.replay(&["user", "list"]).await;
    assert!(run.stderr.contains("eu-central-1_EXAMPLE12") || run.code == 0, "{run:?}");
    let run = stack.replay(&["inspect", "user-events-dead-letters"]).await;
    assert!(run.code == 0 && run.stdout.starts_with("0 messages"), "{run:?}");
    let run = stack.replay_with(&none, &["inspect", "user-events-dead-letters"]).await;
    assert!(run.code == 2 && run.stderr.contains("pass --stack for a short name"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stack_of_the_command_line_precedes_variables_and_its_own_options_precede_the_stack() {
    let stack = LoopbackStack::start().await;
    let variables = [("TABLE_NAME", "table-of-another-stack"), ("STACK_NAME", "shop")];
    let show = ["user", "show", ANA];
    let run = stack.replay_with(&variables, &show).await;
    assert!(run.stderr.contains("DynamoDB"), "the variable names a table that does not exist: {run:?}");
    let run = stack.replay_with(&variables, &[&show[..], &["--stack", STACK]].concat()).await;
    assert!(run.stdout.contains("no profile"), "{run:?}");
    let run = stack.replay_with(&variables, &[&show[..], &["--table", TABLE]].concat()).await;
    assert!(run.stdout.contains("no profile"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_user_pool_is_a_parameter_of_the_stack() {
    let id = "eu-central-1_EXISTING1";
    let stack = LoopbackStack::with_parameters(&[
        ("ExistingUserPoolId", id),
        (
            "ExistingUserPoolArn",
            "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_EXISTING1",
        ),
    ])
    .await;
    let run = stack.replay(&["user", "list", "--json"]).await;
    assert!(run.stdout.contains(id) || run.stderr.contains(id), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_of_the_stack_that_is_refused_is_not_replaced_by_another() {
    let stack = LoopbackStack::start().await;
    stack.account.sqs().create("user-events-dead-letters", None);
    stack.account.refuse("GetQueueUrl", "AccessDenied", "ben may not");
    let run = stack.replay(&["inspect", "user-events-dead-letters"]).await;
    assert!(run.code == 1 && run.stderr.contains("AccessDenied"), "{run:?}");
}

/// Events of CloudTrail have no type of this project, and belong in the envelope of EventBridge.
#[tokio::test(flavor = "multi_thread")]
async fn event_of_cloudtrail_is_recognized_and_belongs_on_account_activities_only() {
    let stack = LoopbackStack::with_parameters(&[("AccountEvents", "true")]).await;
    let (letters, queue) = ("account-activities-dead-letters", "account-activities");
    let batch = tests::fixtures::json("account-activity/delete-user");
    let body = batch["Records"][0]["body"].as_str().unwrap();
    send(stack.account.sqs(), &format!("{STACK}-{letters}"), body, None);
    let run = stack.replay(&["inspect", letters, "--sample", "1"]).await;
    assert!(run.stdout.contains("1  DeleteUser") && run.stdout.contains(&format!("1  {ANA}")), "{run:?}");
    let address = body.split("\"sourceIPAddress\": \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(!run.stdout.contains("InputPath") && !run.stdout.contains(address), "{run:?}");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (saved, orders) = (file("letters.ndjson"), file("orders.ndjson"));
    let run = stack.replay(&["save", letters, "--out", &saved]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let run = stack.replay(&["send", &saved, "--to", "user-events", "--yes"]).await;
    let reason = "DeleteUser belongs on account-activities, and the worker of user-events rejects it";
    assert!(run.code == 2 && run.stdout.contains(reason), "{run:?}");
    std::fs::write(&orders, order("1", &shared::time::Clock::system().now().to_string())).unwrap();
    let run = stack.replay(&["send", &orders, "--to", queue, "--yes"]).await;
    let reason = "order.placed belongs on user-events, and the worker of account-activities rejects it";
    assert!(run.code == 2 && run.stdout.contains(reason), "{run:?}");
    let run = stack.replay(&["send", &saved, "--to", queue, "--yes"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let run = stack.replay(&["redrive", "--from", letters, "--yes"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(stack.account.sqs().messages_in(&format!("{STACK}-{letters}")).len(), 0);
    let run = stack.replay(&["status", "--json"]).await;
    assert!(run.stdout.contains("account-activity"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_of_another_queue_is_refused_by_send_and_stays_in_a_redrive() {
    let stack = LoopbackStack::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson").to_str().unwrap().to_owned();
    let now = shared::time::Clock::system().now().to_string();
    std::fs::write(&file, order("1", &now)).unwrap();
    let run = stack.replay(&["send", &file, "--to", "cache-invalidations", "--yes"]).await;
    let reason = "order.placed belongs on user-events, and the worker of cache-invalidations rejects it";
    assert!(run.code == 2 && run.stdout.contains(reason), "{run:?}");
    let run = stack.replay(&["send", &file, "--to", "user-events", "--yes"]).await;
    assert_eq!(run.code, 0, "{run:?}");

    let letters = "cognito-user-events-user-events-dead-letters";
    send(stack.account.sqs(), letters, &order("2", &now), None);
    let redrive = ["redrive", "--from", "user-events-dead-letters", "--to", "cache-invalidations", "--yes"];
    let run = stack.replay(&redrive).await;
    assert!(run.code == 1 && run.stdout.contains(reason), "{run:?}");
    assert_eq!(stack.account.sqs().messages_in(letters).len(), 1);

    for (command, queue, expected) in [
        (
            &["user", "erase", ANA][..],
            "user-events",
            "user-events, but this command needs cache-invalidations",
        ),
        (
            &["user", "reinstate", ANA, "--reason", "x"],
            "cache-invalidations",
            "cache-invalidations, but this command needs user-events",
        ),
    ] {
        let run = stack.replay(&[command, &["--queue", queue]].concat()).await;
        assert!(run.code == 2 && run.stderr.contains(expected), "{command:?}: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_type_is_sent_only_on_request_and_checked_otherwise() {
    let stack = LoopbackStack::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson").to_str().unwrap().to_owned();
    let now = shared::time::Clock::system().now().to_string();
    let returned = order("1", &now).replace("order.placed", "order.returned");
    let send = ["send", &file, "--to", "user-events", "--any-type"];
    std::fs::write(&file, &returned).unwrap();
    assert_eq!(stack.replay(&send[..4]).await.code, 2);
    assert_eq!(stack.replay(&send).await.code, 0);
    std::fs::write(&file, returned.replace("\"specversion\":\"1.0\"", "\"specversion\":\"2.0\"")).unwrap();
    assert_eq!(stack.replay(&send).await.code, 2);
}
