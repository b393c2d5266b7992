//! Detaching the triggers of a stack from a user pool.

pub mod command;

use std::collections::BTreeMap;

use shared::function_id::FunctionId;
use shared::lambda_config::LambdaConfig;

/// Names of stacks of this template, by the ARNs of their functions.
pub type StacksOfFunctions = BTreeMap<String, String>;

/// Consequences of a detachment: for the triggers that call a function of a stack before, and no function of
/// this stack afterwards. With `restores`, the functions of a backup are back.
pub fn notes(
    before: &LambdaConfig,
    after: &LambdaConfig,
    stacks: &StacksOfFunctions,
    restores: bool,
) -> Vec<String> {
    let stack = |config: &LambdaConfig, trigger| stacks.get(&config.get(trigger)?.arn).cloned();
    let is_detached = |trigger| {
        let stack_before = stack(before, trigger);
        stack_before.is_some() && stack_before != stack(after, trigger)
    };
    let mut notes = Vec::new();
    if is_detached(FunctionId::PreAuthentication) || is_detached(FunctionId::PreTokenGeneration) {
        notes.push(
            "Suspended users can sign in from now on. `replay status --suspended` counts them. To keep a user out, \
             disable the account: `replay user suspend SUB --sign-out`."
                .to_owned(),
        );
    }
    // Another function can have rules of its own.
    if is_detached(FunctionId::PreSignUp) && after.get(FunctionId::PreSignUp).is_none() {
        notes.push("Every email domain can sign up from now on.".to_owned());
    }
    if is_detached(FunctionId::PreTokenGeneration) {
        notes.push(
            "New tokens have only the groups of the user pool, and no claims of TOKEN_CLAIMS.".to_owned(),
        );
    }
    if !restores && FunctionId::triggers().any(is_detached) {
        notes.push(
            "A backup file has the functions that the user pool called before. To give them back, add --restore FILE."
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn notes_are_about_triggers_that_no_longer_call_the_stack() {
        let arn = |name: &str| format!("arn:aws:lambda:eu-central-1:123456789012:function:{name}");
        let output = json!({
            "PreSignUp": arn("shop-pre-sign-up"), "PostConfirmation": arn("shop-post-confirmation"),
            "PreAuthentication": arn("shop-pre-authentication"), "CustomMessage": arn("shop-custom-message"),
            "PreTokenGenerationConfig": {"LambdaArn": arn("shop-pre-token-generation"), "LambdaVersion": "V2_0"},
        });
        let config = |json| LambdaConfig::from_json(&json).unwrap();
        let shop =
            config(output.clone()).iter().map(|(_, function)| function.arn.clone()).collect::<Vec<_>>();
        let mut stacks: StacksOfFunctions = shop.into_iter().map(|arn| (arn, "shop".to_owned())).collect();
        stacks.insert(arn("shop-pre-sign-up:live"), "shop".to_owned());
        stacks.insert(arn("blue-pre-sign-up"), "blue".to_owned());
        let pre_sign_up = |name: &str| json!({"PreSignUp": arn(name)});
        for (before, after, count) in [
            (output.clone(), json!({}), 3),
            (output.clone(), output.clone(), 0),
            (pre_sign_up("other"), json!({}), 0),
            (json!({}), output, 0),
            (pre_sign_up("shop-pre-sign-up"), json!({}), 1),
            (pre_sign_up("shop-pre-sign-up"), pre_sign_up("other"), 0),
            (pre_sign_up("shop-pre-sign-up"), pre_sign_up("blue-pre-sign-up"), 0),
            (pre_sign_up("shop-pre-sign-up"), pre_sign_up("shop-pre-sign-up:live"), 0),
        ] {
            let notes = notes(&config(before.clone()), &config(after.clone()), &stacks, true);
            assert_eq!(notes.len(), count, "{before} {after}: {notes:?}");
            assert!(count != 1 || notes[0].starts_with("Every email domain"), "{notes:?}");
        }
        let notes = notes(&config(pre_sign_up("shop-pre-sign-up")), &config(json!({})), &stacks, false);
        assert!(notes.len() == 2 && notes[1].ends_with("add --restore FILE."), "{notes:?}");
    }
}
