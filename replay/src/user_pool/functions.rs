//! The functions that a user pool calls: if they exist, if Cognito may invoke them, and whose they are.

use anyhow::Result;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::ProvideErrorMetadata;
use serde_json::Value;
use shared::function_id::FunctionId;
use shared::invoke_permission::{UserPoolArn, may_invoke};

use crate::aws_error::{Service, aws_error};

/// What Lambda says about a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invocation {
    Allowed,
    /// The function does not exist.
    NoFunction,
    /// Its resource-based policy does not let Cognito invoke it for the user pool. Or the function has no
    /// policy, and the role may not read if it exists.
    Denied,
}

/// Reads if a user pool may invoke a function. `arn` can have a version or an alias.
pub async fn invocation(lambda: &Client, arn: &str, user_pool: UserPoolArn<'_>) -> Result<Invocation> {
    let (function, qualifier) = split_qualifier(arn);
    Ok(match read_policy(lambda, function, qualifier).await? {
        Some(policy) if may_invoke(&policy, user_pool) => Invocation::Allowed,
        None if is_missing(lambda, arn).await => Invocation::NoFunction,
        Some(_) | None => Invocation::Denied,
    })
}

/// Reads the resource-based policy of a function, as JSON. `None` if the function has none or does not exist:
/// Lambda answers both with the same code.
pub async fn read_policy(lambda: &Client, function: &str, qualifier: Option<&str>) -> Result<Option<String>> {
    let call = lambda.get_policy().function_name(function).set_qualifier(qualifier.map(str::to_owned));
    match call.send().await {
        Ok(output) => Ok(Some(output.policy.unwrap_or_default())),
        Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
        Err(error) => Err(aws_error(Service::Lambda, "GetPolicy")(error)),
    }
}

/// True if the function does not exist. False also if its tags cannot be read.
async fn is_missing(lambda: &Client, arn: &str) -> bool {
    let tags = lambda.list_tags().resource(split_qualifier(arn).0).send().await;
    tags.is_err_and(|error| error.code() == Some("ResourceNotFoundException"))
}

/// The stack of a function of this template, other than `stack`: by its tags, or by its name if the tags
/// cannot be read.
pub async fn stack_of_template(lambda: &Client, trigger: FunctionId, arn: &str) -> Option<String> {
    let function = split_qualifier(arn).0;
    let tags = lambda.list_tags().resource(function).send().await.ok().and_then(|answer| answer.tags);
    let tag = |key: &str| Some(tags.as_ref()?.get(key)?.clone());
    match tag("aws:cloudformation:logical-id") {
        Some(id) => tag("aws:cloudformation:stack-name").filter(|_| id == trigger.resource_name()),
        None => stack_by_name(trigger, function),
    }
}

/// `shop` for the function `shop-pre-sign-up`.
fn stack_by_name(trigger: FunctionId, arn: &str) -> Option<String> {
    let name = arn.rsplit(':').next()?.strip_suffix(trigger.name())?.strip_suffix('-')?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// `arn:aws:lambda:{region}:{account}:function:{name}` and the version or alias behind it.
pub fn split_qualifier(arn: &str) -> (&str, Option<&str>) {
    match arn.match_indices(':').nth(6) {
        Some((end, _)) => (&arn[..end], Some(&arn[end + 1..])),
        None => (arn, None),
    }
}

/// The ARNs of the functions that `after` calls for a field in which `before` has another function or none.
pub fn newly_called<'a>(before: &Value, after: &'a Value) -> Vec<&'a str> {
    let arn = |value: &'a Value| value.get("LambdaArn").unwrap_or(value).as_str();
    let fields = after.as_object().into_iter().flatten();
    let new = fields.filter(|(field, value)| before.get(field.as_str()) != Some(*value));
    let mut arns: Vec<&str> =
        new.filter_map(|(_, value)| arn(value)).filter(|arn| arn.contains(":lambda:")).collect();
    arns.sort_unstable();
    arns.dedup();
    arns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:lambda:eu-central-1:123456789012:function:shop-pre-sign-up";

    #[test]
    fn qualifier_is_behind_the_name() {
        assert_eq!(split_qualifier(ARN), (ARN, None));
        assert_eq!(split_qualifier(&format!("{ARN}:live")), (ARN, Some("live")));
    }

    #[test]
    fn stack_is_in_the_name_of_a_function() {
        for (trigger, arn, expected) in [
            (FunctionId::PreSignUp, ARN, Some("shop")),
            (FunctionId::PostConfirmation, ARN, None),
            (FunctionId::PreSignUp, "arn:aws:lambda:eu-central-1:123456789012:function:pre-sign-up", None),
        ] {
            assert_eq!(stack_by_name(trigger, arn).as_deref(), expected, "{arn}");
        }
    }

    #[test]
    fn functions_that_a_change_adds_are_found_once() {
        let other = "arn:aws:lambda:eu-central-1:123456789012:function:other";
        let sender = json!({"LambdaArn": other, "LambdaVersion": "V1_0"});
        let config = json!({
            "PreSignUp": ARN, "PreTokenGeneration": ARN, "KMSKeyID": "arn:aws:kms:eu-central-1:123456789012:key/1",
            "CustomSMSSender": sender, "UserMigration": null,
        });
        for (before, expected) in [
            (Value::Null, vec![other, ARN]),
            (json!({"PreSignUp": ARN, "CustomSMSSender": sender}), vec![ARN]),
            // Another trigger calls the function already, and may not work.
            (json!({"PreSignUp": other, "PreTokenGeneration": ARN, "CustomSMSSender": sender}), vec![ARN]),
            (config.clone(), vec![]),
        ] {
            assert_eq!(newly_called(&before, &config), expected, "{before}");
        }
        assert!(newly_called(&config, &Value::Null).is_empty());
    }
}
