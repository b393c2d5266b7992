//! `sandbox check-config`, as it is typed, with the template of this repository.

use shared::function_id::FunctionId;

use super::command_line::{sandbox, text};

/// Writes a file, and returns whether the check succeeds, and its output.
fn check(name: &str, parameters: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, parameters).expect("a file");
    let output = sandbox(&["check-config", path.to_str().expect("a name")]);
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn valid_parameters_start_every_function() {
    let rules =
        r#"[{\"attribute\": \"custom:department\", \"equals\": \"Engineering\", \"group\": \"Developer\"}]"#;
    // An API of your own replaces read-api, and account-activity is optional.
    let all = FunctionId::ALL.len();
    for (more, functions) in
        [("AccountEvents=true\n", all), ("", all - 1), ("ApiOriginDomainName=api.example.com\n", all - 2)]
    {
        let file = format!("ProductName=Example Shop\n{more}GroupRules=\"{rules}\"\n");
        let (code, shown, error) = check("parameters.txt", &file);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{shown}");
        assert_eq!(shown, format!("All {functions} functions start with these parameters.\n"));
    }
}

/// Each wrong parameter, with the line that it causes.
#[test]
fn every_error_of_every_function_is_reported_at_once() {
    let parameters = serde_json::json!([
        {"ParameterKey": "ProductName", "ParameterValue": "A name that is longer than forty characters"},
        {"ParameterKey": "ExistingDistributionId", "ParameterValue": "E2EXAMPLE1ABCD"},
        {"ParameterKey": "ApiOriginPath", "ParameterValue": "/prod"},
        {"ParameterKey": "AllowedEmailDomain", "ParameterValue": "example.com"},
        {"ParameterKey": "BlockedEmailDomains", "ParameterValue": "@example.com"},
        {"ParameterKey": "ProviderDomains", "ParameterValue": "{\"Google\": \"example.com\"}"},
        {"ParameterKey": "OnStoreError", "ParameterValue": "maybe"},
        {"ParameterKey": "GroupRules", "ParameterValue": "[{\"atribute\": \"x\"}]"},
        {"ParameterKey": "TokenClaims", "ParameterValue": "{\"id\": {\"sub\": \"x\"}}"},
        {"ParameterKey": "EventRetentionDays", "ParameterValue": "7"},
    ]);
    let (code, shown, error) = check("parameters.json", &parameters.to_string());
    assert_eq!(code, Some(1), "{error}");
    for line in [
        "AllowedEmailDomain: the template has no such parameter. Did you mean AllowedEmailDomains?",
        "EventRetentionDays: 7 is not a number from 32 to 3650",
        "OnStoreError: \"maybe\" is not one of: deny, allow",
        "rule DistributionSettingsNeedNewDistribution: ApiOriginPath,",
        "BlockedEmailDomains: pre-sign-up does not start: BLOCKED_EMAIL_DOMAINS: ",
        "ProviderDomains: pre-sign-up does not start: PROVIDER_DOMAINS: at Google",
        "OnStoreError: pre-authentication does not start: ON_STORE_ERROR: ",
        "OnStoreError: pre-token-generation does not start: ON_STORE_ERROR: ",
        "GroupRules: pre-token-generation does not start: GROUP_RULES: at rule 1, atribute: unknown field",
        "GroupRules: group-membership does not start: GROUP_RULES: at rule 1, atribute: unknown field",
        "TokenClaims: pre-token-generation does not start: TOKEN_CLAIMS: ",
        "ProductName: custom-message does not start: PRODUCT_NAME: ",
        "EventRetentionDays: user-stats does not start: EVENT_RETENTION_DAYS: ",
    ] {
        let found = shown.lines().filter(|shown| shown.starts_with(line)).count();
        assert_eq!(found, 1, "{line}\n{shown}");
    }
    assert!(error.ends_with("problems. Correct them before you deploy\n"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn rules_that_need_both_parameters_are_checked_together() {
    let rule = r#"[{"attribute": "custom:role", "contains": "x", "group": "Admin", "privileged": true, "role_arn": null}]"#;
    let file = |trusted: &str| {
        format!(
            "[default.deploy.parameters]\nparameter_overrides = '''ProductName=Shop ExistingDistributionId=E2EXAMPLE1ABCD \
             TrustedAttributes={trusted} GroupRules=\"{}\"'''",
            rule.replace('"', "\\\"")
        )
    };
    assert_eq!(check("samconfig.toml", &file("custom:role")).0, Some(0));
    let (code, shown, _) = check("samconfig.toml", &file("custom:other"));
    assert_eq!(code, Some(1));
    assert!(shown.contains("GROUP_RULES: ") && shown.contains("TRUSTED_ATTRIBUTES"), "{shown}");
}

#[test]
fn unreadable_parameters_are_one_line_and_exit_code_2() {
    let cut_off = "[default.deploy.parameters]\nparameter_overrides = 'GroupRules=[{\"attribute\": 1}]'";
    for (name, parameters, problem) in [
        ("samconfig.toml", cut_off, "GroupRules: SAM would cut the value off"),
        ("samconfig.toml", "", "has no parameter_overrides"),
        ("parameters.json", "[1]", "expected objects with ParameterKey"),
        ("parameters.txt", "ProductName", "expected lines of the form Name=value"),
    ] {
        let (code, shown, error) = check(name, parameters);
        assert_eq!((code, shown.as_str(), error.lines().count()), (Some(2), "", 1), "{error}");
        assert!(error.contains(problem) && error.contains(name), "{error}");
    }
}
