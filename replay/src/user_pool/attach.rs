//! Attaching the triggers of a stack to a user pool: what the operator must decide, and what keeps the
//! attachment from working. Pure.

pub mod command;

use shared::function_id::FunctionId;

use super::settings::PoolSettings;
use super::triggers::{Choices, OtherFunction, StackFunctions, without};

/// What the operator should know about tools that manage user pools.
const OTHER_TOOLS: &str = "If a tool manages this user pool, such as Terraform, CDK or Amplify, give it the output \
                           LambdaConfig of the stack too. Otherwise its next run detaches the triggers.";

/// What the operator should know if the pool calls no function of the stack.
pub const LOST_SETTINGS: &str = "If the triggers were attached before, the update that detached them may have reset \
                                 other settings too. To compare them with a backup, add --restore FILE.";

/// A function of others, and the stack of this template that it belongs to.
pub type OtherWithStack<'a> = (&'a OtherFunction, Option<String>);

/// Why the pool cannot call the functions of the stack, whatever the operator chooses.
pub fn obstacle(settings: &PoolSettings, functions: &StackFunctions) -> Option<String> {
    let version = functions.event_version();
    if settings.text("UserPoolTier") == "LITE" && version != "V1_0" {
        return Some(format!(
            "the user pool has the feature plan Lite, which does not have version {version} of pre-token-generation. \
             Deploy the stack with PreTokenGenerationVersion=V1_0, or choose another plan for the pool"
        ));
    }
    let place = |arn: &str| arn.split(':').skip(3).take(2).collect::<Vec<_>>().join(":");
    let pool = place(settings.text("Arn"));
    let (_, other) = functions.config.iter().find(|(_, function)| place(&function.arn) != pool)?;
    Some(format!(
        "the user pool is in {pool} (region and account), and the function {} in {}. Cognito calls only functions of \
         the same region and account: check --profile and --region",
        other.name(),
        place(&other.arn)
    ))
}

/// The error for functions of others about which the operator has not decided.
pub fn undecided(others: &[OtherWithStack<'_>]) -> String {
    let named = others.iter().map(|((trigger, function), stack)| match stack {
        Some(stack) => format!("{trigger} calls {} of the stack {stack}", function.name()),
        None => format!("{trigger} calls {}", function.name()),
    });
    let named: Vec<String> = named.collect();
    let mut text = format!("nothing was changed: the user pool calls other functions: {}", named.join(", "));
    if let Some(stack) = others.iter().find_map(|(_, stack)| stack.as_deref()) {
        text += &format!(
            ". Two stacks of this template cannot share a user pool: run `replay detach --stack {stack}` first, or \
             replace its functions"
        );
    }
    text + ". Name each of these triggers in --replace or --keep, or pass --replace-all"
}

/// The note about a function of others that only the file of a restore has.
pub fn replaced_in_file((trigger, function): &OtherFunction, choices: &Choices) -> Option<String> {
    (!choices.keep.contains(trigger)).then(|| {
        format!(
            "{trigger}: the function of the stack takes the place of {}, which the file has.",
            function.name()
        )
    })
}

/// What follows from the change.
pub fn notes(others: &[OtherFunction], choices: &Choices) -> Vec<String> {
    let kept = others.iter().filter(|(trigger, _)| choices.keep.contains(trigger));
    let sentence = |(trigger, function): &OtherFunction| {
        format!("{trigger} keeps {}: {}.", function.name(), without(*trigger))
    };
    let mut notes: Vec<String> = kept.map(sentence).collect();
    let checks_suspension = [FunctionId::PreAuthentication, FunctionId::PreTokenGeneration];
    if checks_suspension.iter().all(|trigger| choices.keep.contains(trigger)) {
        notes.push("Nothing checks suspensions: suspended users can sign in.".to_owned());
    }
    notes.push(OTHER_TOOLS.to_owned());
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::lambda_config::CalledFunction;

    use super::*;

    fn functions(version: &str) -> StackFunctions {
        let arn = |name: &str| format!("arn:aws:lambda:eu-central-1:123456789012:function:shop-{name}");
        let output = json!({
            "PreSignUp": arn("pre-sign-up"), "PostConfirmation": arn("post-confirmation"),
            "PreAuthentication": arn("pre-authentication"), "CustomMessage": arn("custom-message"),
            "PreTokenGenerationConfig": {"LambdaArn": arn("pre-token-generation"), "LambdaVersion": version},
        });
        StackFunctions::from_output(&output.to_string()).unwrap()
    }

    fn pool(fields: Value) -> PoolSettings {
        let mut pool =
            json!({"Arn": "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_EXAMPLE12"});
        pool.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        PoolSettings { pool, mfa_config: json!({}) }
    }

    #[test]
    fn pool_of_another_plan_region_or_account_is_an_obstacle() {
        let arn = |place: &str| json!({"Arn": format!("arn:aws:cognito-idp:{place}:userpool/x")});
        for (pool, version, expected) in [
            (pool(json!({})), "V2_0", None),
            (pool(json!({"UserPoolTier": "ESSENTIALS"})), "V3_0", None),
            (pool(json!({"UserPoolTier": "LITE"})), "V1_0", None),
            (pool(json!({"UserPoolTier": "LITE"})), "V2_0", Some("PreTokenGenerationVersion=V1_0")),
            (pool(arn("eu-central-1:000000000000")), "V1_0", Some("eu-central-1:000000000000 (region")),
            (pool(arn("eu-west-1:123456789012")), "V1_0", Some("eu-west-1:123456789012 (region")),
        ] {
            let obstacle = obstacle(&pool, &functions(version));
            assert_eq!(obstacle.is_some(), expected.is_some(), "{obstacle:?}");
            assert!(obstacle.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }

    fn other(trigger: FunctionId, name: &str) -> OtherFunction {
        let arn = format!("arn:aws:lambda:eu-central-1:123456789012:function:{name}");
        (trigger, CalledFunction { arn, event_version: None })
    }

    #[test]
    fn undecided_functions_are_named_with_their_stacks() {
        let guard = other(FunctionId::PreSignUp, "guard");
        let blue = other(FunctionId::CustomMessage, "blue-custom-message");
        let text = undecided(&[(&guard, None)]);
        assert_eq!(
            text,
            "nothing was changed: the user pool calls other functions: pre-sign-up calls guard. Name each of these \
             triggers in --replace or --keep, or pass --replace-all"
        );
        let text = undecided(&[(&guard, None), (&blue, Some("blue".to_owned()))]);
        assert!(
            text.contains("custom-message calls blue-custom-message of the stack blue. Two stacks"),
            "{text}"
        );
        assert!(text.contains("`replay detach --stack blue`"), "{text}");
    }

    #[test]
    fn kept_functions_have_consequences() {
        let others = [other(FunctionId::PreAuthentication, "a"), other(FunctionId::PreTokenGeneration, "b")];
        let keep = |keep: &[FunctionId]| Choices { keep: keep.to_vec(), ..Choices::default() };
        assert_eq!(notes(&others, &keep(&[])), [OTHER_TOOLS]);
        let one = notes(&others, &keep(&[FunctionId::PreAuthentication]));
        assert!(one.len() == 2 && one[0].starts_with("pre-authentication keeps a: suspensions"), "{one:?}");
        let both = notes(&others, &keep(&[FunctionId::PreAuthentication, FunctionId::PreTokenGeneration]));
        assert!(both[2].starts_with("Nothing checks suspensions"), "{both:?}");
    }
}
