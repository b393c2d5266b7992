//! The user pool as Cognito describes it: its triggers, who may invoke them, and its settings.

use anyhow::Result;
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::types::{
    DefaultEmailOptionType, EmailSendingAccountType, LambdaConfigType, UserPoolMfaType, UserPoolTierType,
    UserPoolType, UsernameAttributeType, VerifiedAttributeType,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use shared::invoke_permission::{UserPoolArn, may_invoke};
use shared::lambda_config::LambdaConfig;

use super::deployment::Deployment;
use super::functions::Named;
use super::report::Outcome;
use crate::aws_error::{Service, aws_error, describe};
use crate::output::counted;
use crate::stack::Stack;
use crate::user_pool::functions::read_policy;

/// The shortest password that Cognito accepts.
const SHORTEST_PASSWORD: i32 = 6;

/// What the checks need of DescribeUserPool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolFacts {
    pub arn: String,
    /// As Cognito's API writes it, with the five triggers.
    pub lambda_config: Value,
    /// `LITE`, `ESSENTIALS` or `PLUS`. Empty if Cognito states none.
    pub tier: String,
    /// True if a new email address takes effect only after its code.
    pub verifies_email_change: bool,
    /// The SES identity that the pool sends through. `None` if Cognito sends.
    pub ses_identity: Option<String>,
    /// True if new users get a link instead of a code.
    pub verifies_by_link: bool,
    pub password_minimum_length: i32,
    /// True if only administrators create users.
    pub is_admin_only: bool,
    /// True if every user needs a second factor.
    pub requires_mfa: bool,
    /// True if the user name is the email address.
    pub signs_in_with_email: bool,
    /// What a user needs besides `email` and `sub`: required attributes, and a telephone number as the user name.
    pub required_attributes: Vec<String>,
}

impl PoolFacts {
    pub async fn read(cognito: &Client, user_pool_id: &str) -> Result<Self> {
        let output = cognito.describe_user_pool().user_pool_id(user_pool_id).send().await;
        let output = output.map_err(aws_error(Service::Cognito, "DescribeUserPool"))?;
        let pool = output.user_pool.ok_or_else(|| anyhow::anyhow!("Cognito returned no user pool"))?;
        Ok(Self::of(&pool))
    }

    fn of(pool: &UserPoolType) -> Self {
        let email = pool.email_configuration();
        let is_through_ses = email.and_then(|email| email.email_sending_account())
            == Some(&EmailSendingAccountType::Developer);
        let verified = pool.user_attribute_update_settings();
        let verified = verified.map(|settings| settings.attributes_require_verification_before_update());
        let policy = pool.policies().and_then(|policies| policies.password_policy());
        let admin = pool.admin_create_user_config();
        let template = pool.verification_message_template();
        let required = pool.schema_attributes().iter().filter(|attribute| attribute.required == Some(true));
        let required = required.filter_map(|attribute| attribute.name().map(str::to_owned));
        let is_username = |attribute| pool.username_attributes().contains(&attribute);
        let signs_in_with_email = is_username(UsernameAttributeType::Email);
        let needs_phone = is_username(UsernameAttributeType::PhoneNumber) && !signs_in_with_email;
        let phone = needs_phone.then(|| "phone_number".to_owned());
        let required = required.chain(phone);
        Self {
            arn: pool.arn().unwrap_or_default().to_owned(),
            lambda_config: pool.lambda_config().map(config_of).unwrap_or_default(),
            tier: pool.user_pool_tier().map(UserPoolTierType::as_str).unwrap_or_default().to_owned(),
            verifies_email_change: verified
                .is_some_and(|attributes| attributes.contains(&VerifiedAttributeType::Email)),
            ses_identity: email.filter(|_| is_through_ses).and_then(|email| email.source_arn.clone()),
            verifies_by_link: template.and_then(|template| template.default_email_option())
                == Some(&DefaultEmailOptionType::ConfirmWithLink),
            password_minimum_length: policy
                .and_then(|policy| policy.minimum_length())
                .unwrap_or(SHORTEST_PASSWORD),
            is_admin_only: admin.is_some_and(|config| config.allow_admin_create_user_only()),
            requires_mfa: pool.mfa_configuration() == Some(&UserPoolMfaType::On),
            signs_in_with_email,
            required_attributes: required.filter(|name| name != "email" && name != "sub").collect(),
        }
    }
}

/// The field LambdaConfig of Cognito's API, with the five triggers.
fn config_of(config: &LambdaConfigType) -> Value {
    json!({
        "PreSignUp": config.pre_sign_up(),
        "PostConfirmation": config.post_confirmation(),
        "PreAuthentication": config.pre_authentication(),
        "CustomMessage": config.custom_message(),
        "PreTokenGeneration": config.pre_token_generation(),
        "PreTokenGenerationConfig": config.pre_token_generation_config().map(|config| json!({
            "LambdaArn": config.lambda_arn(), "LambdaVersion": config.lambda_version().as_str(),
        })),
    })
}

/// `triggers-attached`. `output` is the output LambdaConfig of the stack.
pub fn triggers_attached(output: Option<&str>, pool: &PoolFacts) -> Outcome {
    let Some(output) = output else {
        return Outcome::failed("the stack has no output LambdaConfig")
            .with_fix("Deploy the template of this version");
    };
    let read = LambdaConfig::of_stack(output)
        .and_then(|expected| Ok((expected, LambdaConfig::from_json(&pool.lambda_config)?)));
    match read {
        Ok((expected, actual)) => {
            let differences = expected.differences(&actual);
            let problems: Vec<String> = differences.iter().map(ToString::to_string).collect();
            Outcome::of_problems(&problems, "5 of 5 triggers")
        }
        Err(error) => Outcome::unknown(format!("LambdaConfig: {error}")),
    }
}

/// Reads the resource-based policy of each trigger of the stack. A function without one has an empty text.
pub async fn read_policies(lambda: &aws_sdk_lambda::Client, stack: &Stack) -> Vec<Named<String>> {
    let triggers = FunctionId::triggers().filter_map(|trigger| stack.function(trigger));
    join_all(triggers.map(async |name| {
        let policy = read_policy(lambda, name, None).await;
        let policy = policy.map(Option::unwrap_or_default).map_err(|error| describe(error.as_ref()));
        (stack.short_name(name).to_owned(), policy)
    }))
    .await
}

/// `invoke-permissions`.
pub fn invoke_permissions(policies: &[Named<String>], pool: &PoolFacts) -> Outcome {
    let Some(arn) = UserPoolArn::parse(&pool.arn) else {
        return Outcome::unknown("Cognito returned no ARN of the user pool");
    };
    if let Some((_, Err(error))) = policies.iter().find(|(_, policy)| policy.is_err()) {
        return Outcome::unknown(error);
    }
    let may_not =
        |policy: &Result<String, String>| policy.as_ref().is_ok_and(|policy| !may_invoke(policy, arn));
    let missing = policies.iter().filter(|(_, policy)| may_not(policy));
    let problems: Vec<String> =
        missing.map(|(name, _)| format!("the user pool may not invoke {name}")).collect();
    Outcome::of_problems(&problems, counted(policies.len(), "function"))
}

/// `feature-plan`.
pub fn feature_plan(deployment: &Deployment, pool: &PoolFacts) -> Outcome {
    let version = deployment.parameter("PreTokenGenerationVersion").unwrap_or("V2_0");
    let mut problems = Vec::new();
    if pool.tier == "LITE" && version != "V1_0" {
        problems.push(format!("the user pool has the plan LITE, which does not support {version}"));
    }
    if let Some(stated) = deployment.parameter("UserPoolTier")
        && !pool.tier.is_empty()
        && stated != pool.tier
    {
        problems.push(format!("UserPoolTier is {stated}, and the plan of the user pool is {}", pool.tier));
    }
    Outcome::of_problems(&problems, format!("{} with {version}", pool.tier))
}

/// `email-change`.
pub fn email_change(pool: &PoolFacts) -> Outcome {
    match pool.verifies_email_change {
        true => Outcome::ok("verified before the update"),
        false => Outcome::failed("a new email address takes effect before its owner confirms it"),
    }
}

/// `messages`.
pub fn messages(deployment: &Deployment, pool: &PoolFacts) -> Outcome {
    let mut problems = Vec::new();
    match (deployment.parameter("SesIdentityArn"), pool.ses_identity.as_deref()) {
        (None, Some(_)) => problems.push(
            "the user pool sends through SES, but SesIdentityArn is empty: emails have Cognito's text"
                .to_owned(),
        ),
        (Some(_), None) => {
            problems.push("SesIdentityArn is set, but the user pool does not send through SES".to_owned());
        }
        (Some(stated), Some(actual)) if stated != actual => {
            problems.push("SesIdentityArn is not the identity that the user pool sends through".to_owned());
        }
        _ => {}
    }
    let expected = if pool.verifies_by_link { "link" } else { "code" };
    if let Some(stated) = deployment.parameter("EmailVerification").filter(|stated| *stated != expected) {
        problems.push(format!("EmailVerification is {stated}, and the user pool sends a {expected}"));
    }
    let longest = deployment.parameter("MaxTemporaryPasswordLength").and_then(|length| length.parse().ok());
    if let Some(longest) = longest.filter(|longest: &i32| *longest < pool.password_minimum_length) {
        problems.push(format!(
            "MaxTemporaryPasswordLength is {longest}, and passwords have at least {} characters",
            pool.password_minimum_length
        ));
    }
    let sender = match pool.ses_identity {
        Some(_) => "through SES",
        None => "by Cognito, at most 50 emails a day",
    };
    Outcome::of_problems(&problems, sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_EXAMPLE12";
    const SES: &str = "arn:aws:ses:eu-central-1:123456789012:identity/example.com";

    fn pool() -> PoolFacts {
        PoolFacts {
            arn: ARN.to_owned(),
            tier: "ESSENTIALS".to_owned(),
            verifies_email_change: true,
            password_minimum_length: 12,
            ..PoolFacts::default()
        }
    }

    #[test]
    fn plan_must_support_the_event_version_and_be_the_stated_one() {
        for (tier, version, stated, expected) in [
            ("ESSENTIALS", "V2_0", "ESSENTIALS", None),
            ("LITE", "V1_0", "LITE", None),
            ("", "V2_0", "ESSENTIALS", None),
            ("LITE", "V2_0", "LITE", Some("does not support V2_0")),
            ("PLUS", "V2_0", "ESSENTIALS", Some("UserPoolTier is ESSENTIALS")),
        ] {
            let deployment =
                Deployment::of(&[("PreTokenGenerationVersion", version), ("UserPoolTier", stated)], &[]);
            let outcome = feature_plan(&deployment, &PoolFacts { tier: tier.to_owned(), ..pool() });
            assert_eq!(outcome.is_ok(), expected.is_none(), "{tier} {version}: {outcome:?}");
            assert!(outcome.text.contains(expected.unwrap_or_default()), "{outcome:?}");
        }
    }

    #[test]
    fn parameters_about_messages_must_be_those_of_the_pool() {
        let outcome = |parameters: &[(&str, &str)], pool: &PoolFacts| {
            messages(&Deployment::of(parameters, &[]), pool).text
        };
        let ses = PoolFacts { ses_identity: Some(SES.to_owned()), ..pool() };
        assert_eq!(outcome(&[("EmailVerification", "code")], &pool()), "by Cognito, at most 50 emails a day");
        assert_eq!(outcome(&[("SesIdentityArn", SES)], &ses), "through SES");
        assert!(outcome(&[], &ses).contains("SesIdentityArn is empty"));
        assert!(outcome(&[("SesIdentityArn", SES)], &pool()).contains("does not send through SES"));
        assert!(outcome(&[("SesIdentityArn", "other")], &ses).contains("is not the identity"));
        assert!(outcome(&[("EmailVerification", "link")], &pool()).contains("the user pool sends a code"));
        assert!(outcome(&[("MaxTemporaryPasswordLength", "8")], &pool()).contains("at least 12 characters"));
    }

    #[test]
    fn triggers_are_compared_with_the_output_of_the_stack() {
        let arn = |name: &str| format!("arn:aws:lambda:eu-central-1:123456789012:function:shop-{name}");
        let config = json!({
            "PreSignUp": arn("pre-sign-up"), "PostConfirmation": arn("post-confirmation"),
            "PreAuthentication": arn("pre-authentication"), "CustomMessage": arn("custom-message"),
            "PreTokenGenerationConfig": {"LambdaArn": arn("pre-token-generation"), "LambdaVersion": "V2_0"},
        });
        let output = config.to_string();
        let attached = PoolFacts { lambda_config: config, ..pool() };
        assert!(triggers_attached(Some(&output), &attached).is_ok());
        let detached = triggers_attached(Some(&output), &pool());
        assert_eq!(detached.text.matches("calls no function").count(), 5, "{detached:?}");
        assert!(triggers_attached(None, &attached).text.contains("no output"));
        assert!(triggers_attached(Some("{"), &attached).text.starts_with("could not be made"));
    }

    #[test]
    fn function_without_a_permission_for_the_pool_is_named() {
        let policy = |arn: &str| {
            json!({"Statement": [{
                "Effect": "Allow", "Principal": {"Service": "cognito-idp.amazonaws.com"},
                "Action": "lambda:InvokeFunction", "Condition": {"ArnLike": {"AWS:SourceArn": arn}},
            }]})
            .to_string()
        };
        let named = |policy: Result<String, String>| vec![("pre-sign-up".to_owned(), policy)];
        assert!(invoke_permissions(&named(Ok(policy(ARN))), &pool()).is_ok());
        for policy in [String::new(), policy(&ARN.replace("EXAMPLE12", "EXAMPLE34"))] {
            let outcome = invoke_permissions(&named(Ok(policy)), &pool());
            assert_eq!(outcome.text, "the user pool may not invoke pre-sign-up");
        }
        let denied = invoke_permissions(&named(Err("denied".to_owned())), &pool());
        assert_eq!(denied.text, "could not be made: denied");
    }
}
