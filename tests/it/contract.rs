//! Fixtures and responses parse as the types of the crate `aws_lambda_events`, if it has a type for
//! them.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::cognito::{
    CognitoEventUserPoolsCustomMessage, CognitoEventUserPoolsPostConfirmation,
    CognitoEventUserPoolsPreAuthentication, CognitoEventUserPoolsPreSignup, CognitoEventUserPoolsPreTokenGen,
    CognitoEventUserPoolsPreTokenGenV2,
};
use aws_lambda_events::sqs::SqsEvent;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared::events::Event;
use tests::fixtures;
use workers::account_activity::record::Record;

use crate::support::{Variables, test_stack};

const VARIABLES: Variables<'static> = &[
    ("EMAIL_THROUGH_SES", "true"),
    ("TRUSTED_EMAIL_DOMAINS", "example.com"),
    ("TRUSTED_DOMAINS_SKIP_VERIFICATION", "true"),
    ("TOKEN_CLAIMS", r#"{"id": {"plan": "free"}, "access": {"tenant": "x"}}"#),
    ("GROUP_RULES", r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#),
];

fn parses<T: DeserializeOwned>(name: &str, event: &Value) {
    if let Err(error) = serde_json::from_value::<T>(event.clone()) {
        panic!("{name}: {error}: {event}");
    }
}

fn check(name: &str, event: &Value) {
    match name.split('/').next().unwrap() {
        "pre-sign-up" => parses::<CognitoEventUserPoolsPreSignup>(name, event),
        "post-confirmation" => parses::<CognitoEventUserPoolsPostConfirmation>(name, event),
        "pre-authentication" => parses::<CognitoEventUserPoolsPreAuthentication>(name, event),
        "custom-message" => parses::<CognitoEventUserPoolsCustomMessage>(name, event),
        // The crate has no type for client credentials, the one source that is new in version 3.
        "pre-token-generation" if name.ends_with("client-credentials") => {}
        "pre-token-generation" if event["version"] == "1" => {
            parses::<CognitoEventUserPoolsPreTokenGen>(name, event)
        }
        "pre-token-generation" => parses::<CognitoEventUserPoolsPreTokenGenV2>(name, event),
        "read-api" => parses::<ApiGatewayV2httpRequest>(name, event),
        // The crate's type of EventBridge's events needs another feature. The function ignores the event.
        "user-pool-watch" => assert_eq!(event["detail-type"], "Scheduled Event", "{name}"),
        _ => parses::<SqsEvent>(name, event),
    }
}

#[tokio::test]
async fn every_fixture_and_every_response_parses() {
    let stack = test_stack().await;
    for name in fixtures::all() {
        let event = fixtures::json(&name);
        check(&name, &event);
        let function = name.split('/').next().unwrap().to_owned();
        if event.get("triggerSource").is_some() {
            check(&name, &stack.invoke(&function, VARIABLES, fixtures::event(&name)).await.unwrap());
        }
    }
}

#[test]
fn every_trigger_source_has_a_fixture() {
    let sources: std::collections::BTreeSet<String> = fixtures::all()
        .iter()
        .filter_map(|name| Some(fixtures::json(name).get("triggerSource")?.as_str()?.to_owned()))
        .collect();
    let expected = [
        "CustomMessage_AdminCreateUser",
        "CustomMessage_Authentication",
        "CustomMessage_ForgotPassword",
        "CustomMessage_ResendCode",
        "CustomMessage_SignUp",
        "CustomMessage_UpdateUserAttribute",
        "CustomMessage_VerifyUserAttribute",
        "PostConfirmation_ConfirmForgotPassword",
        "PostConfirmation_ConfirmSignUp",
        "PreAuthentication_Authentication",
        "PreSignUp_AdminCreateUser",
        "PreSignUp_ExternalProvider",
        "PreSignUp_SignUp",
        "TokenGeneration_AuthenticateDevice",
        "TokenGeneration_Authentication",
        "TokenGeneration_ClientCredentials",
        "TokenGeneration_HostedAuth",
        "TokenGeneration_NewPasswordChallenge",
        "TokenGeneration_RefreshTokens",
    ];
    assert_eq!(sources.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn account_events_md_names_the_source_of_every_fixture() {
    let page = include_str!("../../docs/account-events.md");
    let rows = page.split("## Fixtures").nth(1).unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: Vec<(&str, &str)> = rows
        .map(|row| {
            let (name, source) = row.split_once("` | ").unwrap();
            (name, source.split(" | ").next().unwrap())
        })
        .collect();
    assert!(listed.iter().all(|(_, source)| ["documented", "observed", "inferred"].contains(source)));
    let fixtures = fixtures::all().into_iter();
    let fixtures: Vec<String> =
        fixtures.filter_map(|name| Some(name.strip_prefix("account-activity/")?.to_owned())).collect();
    assert_eq!(listed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), fixtures);
}

#[tokio::test]
async fn workers_handle_the_bodies_of_their_fixtures() {
    let stack = test_stack().await;
    let (user_stats, cache_invalidation) = (stack.user_stats(&[]), stack.cache_invalidation(&[]));
    let resource_permission = stack.resource_permission();
    // Its fixtures delete the user of the others.
    let other_stack = test_stack().await;
    let account_activity = other_stack.account_activity(&[]);
    let group_membership = stack.group_membership(&[(
        "GROUP_RULES",
        r#"[{"always": true, "group": "Developer"}, {"always": true, "group": "Commerce"}]"#,
    )]);
    for name in fixtures::all().iter().filter(|name| fixtures::json(name).get("Records").is_some()) {
        let event: SqsEvent = serde_json::from_value(fixtures::json(name)).unwrap();
        let is_valid = |body: &str| {
            if name.starts_with("account-activity/") {
                Record::read(body).is_ok()
            } else {
                Event::parse(body).is_ok()
            }
        };
        let valid = event.records.iter().filter(|record| is_valid(record.body.as_deref().unwrap())).count();
        assert!(valid > 0, "{name}");
        let failed = match name.split('/').next().unwrap() {
            "user-stats" => user_stats.handle(&event).await,
            "cache-invalidation" => cache_invalidation.handle(&event).await,
            "group-membership" => group_membership.handle(&event).await,
            "resource-permission" => resource_permission.handle(&event).await,
            "account-activity" => account_activity.handle(&event).await,
            other => panic!("{other} is not a worker"),
        };
        assert_eq!(failed, [] as [&str; 0], "{name}");
    }
    let letters = stack.dead_letters(&stack.account.group_memberships).await;
    let reasons: Vec<String> = letters.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["unknown_group"; 2], "two messages add a group, but the user pool does not exist");
    let letters = stack.dead_letters(&stack.account.user_events).await;
    assert_eq!(letters.len(), 2, "poison.json has two");
    let letters = stack.dead_letters(&stack.account.resource_permissions).await;
    assert_eq!(letters.len(), 1, "order-of-a-wrong-queue.json has one");
    assert_eq!(other_stack.dead_letters(&other_stack.account.account_activities).await, []);
    let users = stack.account.users().await.unwrap();
    let spent: Vec<Value> = users.values().map(|user| user["spent"].clone()).collect();
    assert_eq!(spent, [json!({"EUR": "15.50"}), json!({"EUR": "7.25"})]);
}
