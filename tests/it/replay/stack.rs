//! The resources of a stack, from CloudFormation in memory.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::Client;
use replay::error::CommandError;
use replay::stack::Stack;
use sandbox::aws::{TABLE, sdk_config};
use shared::function_id::FunctionId;
use tests::sqs::Sqs;
use tests::stack_account::{STACK, StackAccount};

fn client(account: &StackAccount) -> Client {
    Client::new(&sdk_config(account.clone()))
}

#[tokio::test]
async fn resources_of_a_stack_are_read_by_name_or_arn() {
    let account = StackAccount::new(&[], None);
    let stack = Stack::read(&client(&account), STACK).await.unwrap();
    assert!(account.calls_of("ListStackResources") > 1, "there are several pages");
    let queues: BTreeSet<(&str, &str)> = stack.queues().collect();
    let user_events = Sqs::url("cognito-user-events-user-events");
    assert!(queues.len() == 8 && queues.contains(&("UserEventsQueue", user_events.as_str())), "{queues:?}");
    assert_eq!(stack.user_events_url(), Some(user_events.as_str()));
    assert_eq!(stack.dead_letter_queues().count(), 4);
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
