//! pre-token-generation.

use serde_json::json;
use tests::fixtures::{event, event_with};

use crate::support::{ANA, TestStack, Variables, test_stack};

const RULES: Variables<'static> = &[(
    "GROUP_RULES",
    r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"},
        {"attribute": "custom:department", "equals": "Sales", "group": "Commerce"}]"#,
)];

async fn published_types(stack: &TestStack) -> Vec<String> {
    stack.sent().await.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_trigger_source_publishes_its_event_and_flow() {
    for (fixture, event_type, flow) in [
        ("hosted-auth", "user.signed_in", "hosted"),
        ("authentication", "user.signed_in", "password"),
        ("authentication-v1", "user.signed_in", "password"),
        ("authentication-v3", "user.signed_in", "password"),
        ("new-password-challenge", "user.signed_in", "new_password"),
        ("authenticate-device", "user.signed_in", "device"),
        ("refresh-tokens", "user.token_refreshed", ""),
    ] {
        let stack = test_stack().await;
        stack.response("pre-token-generation", &[], event(&format!("pre-token-generation/{fixture}"))).await;
        let sent = stack.sent().await;
        let event =
            sent.iter().find(|event| event["type"] == event_type).unwrap_or_else(|| panic!("{fixture}"));
        assert_eq!(event["data"]["flow"].as_str().unwrap_or_default(), flow, "{fixture}");
        assert_eq!(event["data"]["client_id"], "1example23456789", "{fixture}");
    }
}

#[tokio::test]
async fn client_credentials_pass_through_unchanged() {
    let stack = test_stack().await;
    let variables = [RULES[0], ("TOKEN_CLAIMS", r#"{"access": {"tenant": "x"}}"#)];
    let answer = stack
        .invoke("pre-token-generation", &variables, event("pre-token-generation/client-credentials"))
        .await;
    assert_eq!(answer.unwrap(), tests::fixtures::json("pre-token-generation/client-credentials"));
    assert_eq!(stack.account.calls.operations(), [] as [&str; 0]);
}

#[tokio::test]
async fn response_stays_unchanged_if_no_group_changes() {
    let stack = test_stack().await;
    for fixture in
        ["authentication", "authentication-v1", "authentication-v3", "refresh-tokens", "authenticate-device"]
    {
        let name = format!("pre-token-generation/{fixture}");
        let response = stack.response("pre-token-generation", &[], event(&name)).await;
        assert_eq!(response, tests::fixtures::json(&name)["response"], "{fixture}");
    }
}

#[tokio::test]
async fn group_of_a_matching_rule_is_added_to_those_from_cognito() {
    let stack = test_stack().await;
    let response =
        stack.response("pre-token-generation", RULES, event("pre-token-generation/authentication")).await;
    let sent =
        tests::fixtures::json("pre-token-generation/authentication")["request"]["groupConfiguration"].clone();
    let groups = &response["claimsAndScopeOverrideDetails"]["groupOverrideDetails"];
    assert_eq!(groups["groupsToOverride"], json!(["Engineering", "Staff", "Developer"]));
    assert_eq!(groups["iamRolesToOverride"], sent["iamRolesToOverride"]);
    assert_eq!(groups["preferredRole"], sent["preferredRole"]);
    let messages = stack.take(&stack.account.group_memberships.url).await;
    let expected = json!({
        "user_pool_id": "eu-central-1_EXAMPLE01", "username": ANA, "add": ["Developer"], "remove": [],
    });
    assert_eq!(messages[0].0["data"], expected);
}

#[tokio::test]
async fn event_version_1_has_groups_in_claims_override_details() {
    let stack = test_stack().await;
    let first = event_with("pre-token-generation/authentication-v1", |event| {
        event["request"]["userAttributes"]["custom:department"] = "Sales".into();
    });
    let response = stack.response("pre-token-generation", RULES, first).await;
    let groups = &response["claimsOverrideDetails"]["groupOverrideDetails"]["groupsToOverride"];
    assert!(groups.as_array().unwrap().contains(&json!("Commerce")), "{response}");
}

#[tokio::test]
async fn claims_are_added_to_event_version_3() {
    let stack = test_stack().await;
    let variables = [(
        "TOKEN_CLAIMS",
        r#"{"id": {"plan": "free"}, "access": {"tenant": "x"}, "scopes_to_add": ["orders"]}"#,
    )];
    let response = stack
        .response("pre-token-generation", &variables, event("pre-token-generation/authentication-v3"))
        .await;
    let expected = json!({"claimsAndScopeOverrideDetails": {
        "idTokenGeneration": {"claimsToAddOrOverride": {"plan": "free"}, "claimsToSuppress": []},
        "accessTokenGeneration": {
            "claimsToAddOrOverride": {"tenant": "x"}, "claimsToSuppress": [],
            "scopesToAdd": ["orders"], "scopesToSuppress": [],
        },
        "groupOverrideDetails":
            tests::fixtures::json("pre-token-generation/authentication-v3")["request"]["groupConfiguration"],
    }});
    assert_eq!(response, expected);
}

#[tokio::test]
async fn confirmation_is_published_again_for_a_user_without_a_profile() {
    let stack = test_stack().await;
    stack.response("pre-token-generation", &[], event("pre-token-generation/authentication")).await;
    assert_eq!(stack.account.calls.operations(), ["GetItem", "SendMessageBatch"]);
    let mut sent = published_types(&stack).await;
    sent.sort();
    assert_eq!(sent, ["user.confirmed", "user.signed_in"]);

    stack.response("post-confirmation", &[], event("post-confirmation/confirm-sign-up")).await;
    stack.sent().await;
    stack.account.calls.clear_operations();
    stack.response("pre-token-generation", &[], event("pre-token-generation/authentication")).await;
    assert_eq!(stack.account.calls.operations(), ["GetItem", "SendMessage"]);
    assert_eq!(published_types(&stack).await, ["user.signed_in"]);
}
