//! The user pool, its app client and the rules about them.

use serde_json::{Value, json};

use super::deployment::Deployment;

const MANAGED_LOGIN: [(&str, &str); 2] =
    [("ManagedLoginDomain", "example-shop"), ("CallbackUrls", "https://www.example.com/callback")];

const WEB_ACL: &str = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/users/0";

fn with(values: &[(&str, &str)]) -> Deployment {
    Deployment::with(&[&MANAGED_LOGIN[..], values].concat())
}

#[test]
fn defaults_contradict_no_rule_and_create_no_managed_login() {
    let deployment = Deployment::with(&[]);
    assert_eq!(deployment.refusals(), Vec::<String>::new());
    let client = deployment.properties("UserPoolClient").unwrap();
    assert_eq!(client["WriteAttributes"], json!(["email", "name", "locale"]));
    for setting in ["AllowedOAuthFlows", "AllowedOAuthScopes", "CallbackURLs", "SupportedIdentityProviders"] {
        assert_eq!(client[setting], Value::Null, "{setting}");
    }
    for resource in [
        "UserPoolDomain",
        "ManagedLoginClient",
        "ManagedLoginBranding",
        "UserPoolWebAclAssociation",
        "FirstUserPoolGroup",
    ] {
        assert_eq!(deployment.properties(resource), None, "{resource}");
    }
}

#[test]
fn contradictory_parameters_are_refused() {
    for (values, refusal) in [
        (
            &[
                ("UserPoolTier", "LITE"),
                ("PreTokenGenerationVersion", "V1_0"),
                ("AuthFlows", "ALLOW_USER_AUTH"),
            ][..],
            "AuthFlows with ALLOW_USER_AUTH need UserPoolTier ESSENTIALS or PLUS.",
        ),
        (
            &[("UserPoolTier", "LITE"), ("PreTokenGenerationVersion", "V3_0")],
            "UserPoolTier LITE supports only PreTokenGenerationVersion V1_0.",
        ),
        (
            &[("CallbackUrls", "https://www.example.com/callback")],
            "Set ManagedLoginDomain and CallbackUrls together.",
        ),
        (&[("ManagedLoginDomain", "example-shop")], "Set ManagedLoginDomain and CallbackUrls together."),
        (
            &[("LogoutUrls", "https://www.example.com/")],
            "LogoutUrls need CallbackUrls and ManagedLoginDomain.",
        ),
        (
            &[("IdentityProviders", "COGNITO,ExampleCorp")],
            "IdentityProviders other than COGNITO need CallbackUrls and ManagedLoginDomain.",
        ),
        (
            &[("ManagedLoginCertificateArn", "arn:aws:acm:us-east-1:123456789012:certificate/0")],
            "ManagedLoginCertificateArn needs ManagedLoginDomain.",
        ),
        (
            &[("FirstMappedAttribute", "custom:groups")],
            "Mapped attributes need CallbackUrls and ManagedLoginDomain.",
        ),
        (&[("FirstGroupPrecedence", "1")], "FirstGroupPrecedence and FirstGroupRoleArn need FirstGroup."),
        (
            &[("ThirdGroupRoleArn", "arn:aws:iam::123456789012:role/developer")],
            "ThirdGroupPrecedence and ThirdGroupRoleArn need ThirdGroup.",
        ),
        (
            &[("ExistingUserPoolId", "eu-central-1_EXAMPLE12"), ("UserPoolWebAclArn", WEB_ACL)],
            "ManagedLoginDomain, CallbackUrls, LogoutUrls, IdentityProviders, the mapped attributes and \
             UserPoolWebAclArn are settings of a new pool. They do not change ExistingUserPoolId.",
        ),
        (
            &[
                MANAGED_LOGIN[0],
                MANAGED_LOGIN[1],
                ("TrustedAttributes", "custom:department"),
                ("OAuthScopes", "openid,aws.cognito.signin.user.admin"),
                ("SecondMappedAttribute", "custom:department"),
            ],
            "With the scope aws.cognito.signin.user.admin, users of identity providers could write mapped \
             attributes, and so TrustedAttributes. Remove the scope from OAuthScopes.",
        ),
        (
            &[
                ("ApiOriginDomainName", ""),
                ("ExistingDistributionId", "E2EXAMPLE1ABCD"),
                ("OriginSecret", "0123456789abcdef0123456789abcdef"),
            ],
            "ApiOriginPath, OriginSecret, AliasDomainName, CertificateArn, WebAclArn and \
             AccessLogBucketDomainName are settings of a new distribution. They do not change \
             ExistingDistributionId.",
        ),
    ] {
        assert_eq!(Deployment::with(values).refusals(), [refusal], "{values:?}");
    }
}

#[test]
fn secret_none_counts_as_no_secret_in_every_rule() {
    let none = [("SuspendedEmailKey", "none"), ("OriginSecret", "none"), ("NextOriginSecret", "none")];
    let refusals = |values: &[(&str, &str)]| with(&[&none, values].concat()).refusals();
    assert_eq!(refusals(&[]), [] as [&str; 0]);
    let existing = [("ApiOriginDomainName", ""), ("ExistingDistributionId", "E2EXAMPLE1ABCD")];
    assert_eq!(refusals(&existing), [] as [&str; 0]);
    assert_eq!(refusals(&[("ApiOriginDomainName", "api.example.com")]), [] as [&str; 0]);
    assert_eq!(
        refusals(&[("CheckSuspendedEmails", "true")]),
        ["CheckSuspendedEmails needs SuspendedEmailKey."]
    );
}

#[test]
fn combinations_that_work_are_not_refused() {
    for values in [
        &[("UserPoolTier", "LITE"), ("PreTokenGenerationVersion", "V1_0")][..],
        &[("AuthFlows", "ALLOW_USER_AUTH,ALLOW_REFRESH_TOKEN_AUTH")],
        &[("IdentityProviders", "ExampleCorp"), ("LogoutUrls", "https://www.example.com/")],
        &[("TrustedAttributes", "custom:groups"), ("FirstMappedAttribute", "custom:groups")],
        &[("OAuthScopes", "openid,aws.cognito.signin.user.admin"), ("FirstMappedAttribute", "custom:groups")],
        &[("FirstGroup", "Developer"), ("FirstGroupPrecedence", "1")],
    ] {
        assert_eq!(with(values).refusals(), Vec::<String>::new(), "{values:?}");
    }
}

#[test]
fn federated_sign_in_can_write_each_mapped_attribute() {
    let deployment = with(&[
        ("IdentityProviders", "COGNITO,ExampleCorp"),
        ("FirstMappedAttribute", "custom:groups"),
        ("SecondMappedAttribute", "custom:department"),
        ("ThirdMappedAttribute", "custom:cost_center"),
    ]);
    let client = deployment.properties("ManagedLoginClient").unwrap();
    let mapped = ["custom:groups", "custom:department", "custom:cost_center"];
    assert_eq!(client["WriteAttributes"], json!([&["email", "name", "locale"][..], &mapped].concat()));
    assert_eq!(client["SupportedIdentityProviders"], json!(["COGNITO", "ExampleCorp"]));
    // Its tokens have the scope aws.cognito.signin.user.admin.
    let client_of_the_sdk = deployment.properties("UserPoolClient").unwrap();
    assert_eq!(client_of_the_sdk["WriteAttributes"], json!(["email", "name", "locale"]));
    let pool = deployment.properties("UserPool").unwrap();
    let schema = pool["Schema"].as_array().unwrap();
    for name in mapped {
        let attributes: Vec<&Value> = schema
            .iter()
            .filter(|each| format!("custom:{}", each["Name"].as_str().unwrap()) == name)
            .collect();
        let [attribute] = attributes[..] else {
            panic!("{name} is {} times in the schema", attributes.len())
        };
        // Cognito fails the sign-in if a mapped attribute is immutable.
        assert_eq!(
            (&attribute["AttributeDataType"], &attribute["Mutable"]),
            (&json!("String"), &json!(true))
        );
    }
}

#[test]
fn client_of_managed_login_has_the_code_grant_only_and_no_scope_to_write_attributes() {
    let deployment = with(&[("LogoutUrls", "https://www.example.com/,http://localhost:3000/")]);
    let client = deployment.properties("ManagedLoginClient").unwrap();
    assert_eq!(client["AllowedOAuthFlowsUserPoolClient"], json!(true));
    assert_eq!(client["ExplicitAuthFlows"], json!(["ALLOW_REFRESH_TOKEN_AUTH"]));
    assert_eq!(client["AllowedOAuthFlows"], json!(["code"]));
    assert_eq!(client["AllowedOAuthScopes"], json!(["openid", "email", "profile"]));
    assert_eq!(client["CallbackURLs"], json!(["https://www.example.com/callback"]));
    assert_eq!(client["LogoutURLs"], json!(["https://www.example.com/", "http://localhost:3000/"]));
    assert_eq!(client["SupportedIdentityProviders"], json!(["COGNITO"]));
}

#[test]
fn managed_login_has_a_style_unless_the_plan_has_only_the_classic_pages() {
    for (values, version, has_style) in
        [(&[][..], 2, true), (&[("UserPoolTier", "LITE"), ("PreTokenGenerationVersion", "V1_0")], 1, false)]
    {
        let deployment = with(values);
        let domain = deployment.properties("UserPoolDomain").unwrap();
        assert_eq!(domain["ManagedLoginVersion"], version);
        assert_eq!(domain["CustomDomainConfig"], Value::Null);
        assert_eq!(deployment.properties("ManagedLoginBranding").is_some(), has_style);
    }
    let certificate = "arn:aws:acm:us-east-1:123456789012:certificate/0";
    let own_domain =
        with(&[("ManagedLoginDomain", "login.example.com"), ("ManagedLoginCertificateArn", certificate)]);
    let domain = own_domain.properties("UserPoolDomain").unwrap();
    assert_eq!(domain["CustomDomainConfig"]["CertificateArn"], certificate);
}

#[test]
fn groups_get_their_precedence_and_role() {
    let role = "arn:aws:iam::123456789012:role/developer";
    for name in ["First", "Second", "Third"] {
        let resource = format!("{name}UserPoolGroup");
        let (group, precedence, role_arn) =
            (format!("{name}Group"), format!("{name}GroupPrecedence"), format!("{name}GroupRoleArn"));
        let bare = Deployment::with(&[(&group, "Developer")]).properties(&resource).unwrap();
        assert_eq!(bare, json!({"UserPoolId": "${UserPool}", "GroupName": "Developer"}));
        let full = Deployment::with(&[(&group, "Developer"), (&precedence, "10"), (&role_arn, role)]);
        let full = full.properties(&resource).unwrap();
        assert_eq!((&full["Precedence"], &full["RoleArn"]), (&json!("10"), &json!(role)));
    }
}

#[test]
fn password_policy_and_web_acl_follow_the_parameters() {
    let policy = |values: &[(&str, &str)]| {
        let pool = Deployment::with(values).properties("UserPool").unwrap();
        pool["Policies"]["PasswordPolicy"].clone()
    };
    let defaults = json!({"MinimumLength": "12", "RequireLowercase": "true", "RequireUppercase": "true",
        "RequireNumbers": "true", "RequireSymbols": "false", "TemporaryPasswordValidityDays": "3"});
    assert_eq!(policy(&[]), defaults);
    for (parameter, setting, value) in [
        ("PasswordMinimumLength", "MinimumLength", "16"),
        ("PasswordRequireLowercase", "RequireLowercase", "false"),
        ("PasswordRequireUppercase", "RequireUppercase", "false"),
        ("PasswordRequireNumbers", "RequireNumbers", "false"),
        ("PasswordRequireSymbols", "RequireSymbols", "true"),
        ("TemporaryPasswordValidityDays", "TemporaryPasswordValidityDays", "7"),
    ] {
        assert_eq!(policy(&[(parameter, value)])[setting], value);
    }
    let association =
        Deployment::with(&[("UserPoolWebAclArn", WEB_ACL)]).properties("UserPoolWebAclAssociation");
    assert_eq!(association, Some(json!({"ResourceArn": "${UserPool.Arn}", "WebACLArn": WEB_ACL})));
}
