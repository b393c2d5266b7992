//! Detaching the triggers of a stack from a user pool.

pub mod command;

use shared::function_id::FunctionId;
use shared::lambda_config::LambdaConfig;

use super::triggers::StackFunctions;

/// What nothing does any more for the triggers that are detached.
pub fn notes(actual: &LambdaConfig, functions: &StackFunctions) -> Vec<String> {
    let is_detached = |trigger| actual.get(trigger).is_some_and(|function| functions.is_own(&function.arn));
    let mut notes = Vec::new();
    if is_detached(FunctionId::PreAuthentication) || is_detached(FunctionId::PreTokenGeneration) {
        notes.push(
            "Suspended users can sign in from now on. `replay status --suspended` counts them. To keep a user out, \
             disable the account: `replay user suspend SUB --sign-out`."
                .to_owned(),
        );
    }
    if is_detached(FunctionId::PreSignUp) {
        notes.push("Every email domain can sign up from now on.".to_owned());
    }
    if is_detached(FunctionId::PreTokenGeneration) {
        notes.push(
            "New tokens have only the groups of the user pool, and no claims of TOKEN_CLAIMS.".to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn notes_are_about_the_functions_of_the_stack() {
        let arn = |name: &str| format!("arn:aws:lambda:eu-central-1:123456789012:function:{name}");
        let output = json!({
            "PreSignUp": arn("shop-pre-sign-up"), "PostConfirmation": arn("shop-post-confirmation"),
            "PreAuthentication": arn("shop-pre-authentication"), "CustomMessage": arn("shop-custom-message"),
            "PreTokenGenerationConfig": {"LambdaArn": arn("shop-pre-token-generation"), "LambdaVersion": "V2_0"},
        });
        let functions = StackFunctions::from_output(&output.to_string()).unwrap();
        let of = |config| notes(&LambdaConfig::from_json(&config).unwrap(), &functions);
        assert_eq!(of(output.clone()).len(), 3);
        assert!(of(json!({"PreSignUp": arn("other")})).is_empty());
        let sign_up = of(json!({"PreSignUp": arn("shop-pre-sign-up")}));
        assert!(sign_up.len() == 1 && sign_up[0].starts_with("Every email domain"), "{sign_up:?}");
    }
}
