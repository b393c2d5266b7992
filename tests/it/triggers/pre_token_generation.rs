//! pre-token-generation.

use serde_json::json;
use shared::function_id::FunctionId;
use tests::fixtures::{event, event_with};
use triggers::pre_token_generation;

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
    assert_eq!(stack.account.calls.operations(), ["BatchGetItem", "SendMessageBatch"]);
    let mut sent = published_types(&stack).await;
    sent.sort();
    assert_eq!(sent, ["user.confirmed", "user.signed_in"]);

    stack.response("post-confirmation", &[], event("post-confirmation/confirm-sign-up")).await;
    stack.sent().await;
    stack.account.calls.clear_operations();
    stack.response("pre-token-generation", &[], event("pre-token-generation/authentication")).await;
    assert_eq!(stack.account.calls.operations(), ["BatchGetItem", "SendMessage"]);
    assert_eq!(published_types(&stack).await, ["user.signed_in"]);
}

#[tokio::test]
async fn every_user_is_in_the_group_of_an_unconditional_rule() {
    let rules = [("GROUP_RULES", r#"[{"always": true, "group": "Members"}]"#)];
    for (fixture, field) in [
        ("authentication", "claimsAndScopeOverrideDetails"),
        ("authentication-v1", "claimsOverrideDetails"),
        ("refresh-tokens", "claimsAndScopeOverrideDetails"),
    ] {
        let stack = test_stack().await;
        let event = event(&format!("pre-token-generation/{fixture}"));
        let response = stack.response("pre-token-generation", &rules, event).await;
        let groups = &response[field]["groupOverrideDetails"]["groupsToOverride"];
        assert!(groups.as_array().unwrap().contains(&json!("Members")), "{fixture}: {response}");
    }
}

#[tokio::test]
async fn encoded_list_of_a_provider_changes_nothing_for_a_member() {
    let rules = [(
        "GROUP_RULES",
        r#"[{"attribute": "custom:groups", "contains": "Domain Admins", "group": "Engineering"}]"#,
    )];
    let stack = test_stack().await;
    let member = event_with("pre-token-generation/authentication", |event| {
        event["request"]["userAttributes"]["custom:groups"] = "[Domain+Users, Domain+Admins]".into();
    });
    let response = stack.response("pre-token-generation", &rules, member).await;
    assert_eq!(response, tests::fixtures::json("pre-token-generation/authentication")["response"]);
    assert_eq!(stack.take(&stack.account.group_memberships.url).await.len(), 0);
}

#[tokio::test]
async fn empty_preferred_role_is_replaced_by_the_role_of_a_rule() {
    let role = "arn:aws:iam::123456789012:role/developer";
    let rules =
        format!(r#"[{{"always": true, "group": "Developer", "role_arn": "{role}", "precedence": 1}}]"#);
    let stack = test_stack().await;
    let token = event_with("pre-token-generation/authentication", |event| {
        event["request"]["groupConfiguration"]["preferredRole"] = "".into();
    });
    let response = stack.response("pre-token-generation", &[("GROUP_RULES", &rules)], token).await;
    let groups = &response["claimsAndScopeOverrideDetails"]["groupOverrideDetails"];
    assert_eq!(groups["preferredRole"], role);
}

#[tokio::test]
async fn field_that_cognito_sent_in_response_is_filled_whatever_the_version() {
    for (version, field) in [
        ("0", "claimsOverrideDetails"),
        ("$LATEST", "claimsOverrideDetails"),
        ("2", "claimsOverrideDetails"),
        ("1", "claimsAndScopeOverrideDetails"),
    ] {
        let stack = test_stack().await;
        let token = event_with("pre-token-generation/authentication", |event| {
            event["version"] = version.into();
            event["response"] = json!({field: null});
        });
        let response = stack.response("pre-token-generation", RULES, token).await;
        let fields: Vec<&String> = response.as_object().unwrap().keys().collect();
        assert_eq!(fields, [field], "{version}");
        let groups = &response[field]["groupOverrideDetails"]["groupsToOverride"];
        assert_eq!(*groups, json!(["Engineering", "Staff", "Developer"]), "{version}");
    }
}

#[tokio::test]
async fn claims_that_version_1_cannot_take_are_reported_once_per_start() {
    let stack = test_stack().await;
    let variables = [("TOKEN_CLAIMS", r#"{"access": {"tenant": "x"}}"#)];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let function = stack.account.function(FunctionId::PreTokenGeneration, &variables);
    for start in 1..=2 {
        let deps = pre_token_generation::Deps::new(&function).unwrap();
        tests::log::take_lines();
        for _ in 0..20 {
            let token = event("pre-token-generation/authentication-v1");
            assert!(pre_token_generation::handle(&deps, token).await.is_ok());
        }
        let lines = tests::log::take_lines();
        let warnings = lines.iter().filter(|line| line.contains("claims_not_added")).count();
        assert_eq!(warnings, 1, "start {start}");
    }
}
