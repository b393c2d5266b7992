//! LambdaConfig with the stack's functions attached or detached, and what that means. Pure.

use serde_json::{Map, Value};
use shared::function_id::FunctionId;
use shared::lambda_config::{CalledFunction, LambdaConfig, VERSIONED_FIELD, field};

/// The functions of a stack: its output `LambdaConfig`.
#[derive(Clone, Debug)]
pub struct StackFunctions {
    pub config: LambdaConfig,
    json: Value,
}

/// What happens to triggers for which the user pool calls functions of others.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// They get the functions of the stack.
    pub replace: Vec<FunctionId>,
    /// All of them do.
    pub replace_all: bool,
    /// They keep their functions.
    pub keep: Vec<FunctionId>,
}

/// A trigger for which the user pool calls a function of others.
pub type OtherFunction = (FunctionId, CalledFunction);

impl StackFunctions {
    /// Reads the output. Returns a sentence if it is not one of this template.
    pub fn from_output(output: &str) -> Result<Self, String> {
        let config = LambdaConfig::of_stack(output).map_err(|error| error.to_string())?;
        let json = serde_json::from_str(output).map_err(|error| error.to_string())?;
        Ok(Self { config, json })
    }

    /// The functions of no stack.
    pub fn none() -> Self {
        Self { config: LambdaConfig::default(), json: Value::Null }
    }

    /// The event version of pre-token-generation.
    pub fn event_version(&self) -> &str {
        let function = self.config.get(FunctionId::PreTokenGeneration);
        function.and_then(|function| function.event_version.as_deref()).unwrap_or_default()
    }

    /// True for a function of the stack, also with the name of a version or an alias.
    pub fn is_own(&self, arn: &str) -> bool {
        let is_own =
            |own: &str| arn.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
        self.config.iter().any(|(_, function)| is_own(&function.arn))
    }

    /// The triggers of the pool that call functions of others.
    pub fn others(&self, actual: &LambdaConfig) -> Vec<OtherFunction> {
        let others = actual.iter().filter(|(_, function)| !self.is_own(&function.arn));
        others.map(|(trigger, function)| (trigger, function.clone())).collect()
    }

    /// The raw LambdaConfig with these functions for all triggers, except for those that `choices` keeps.
    pub fn attached_to(&self, raw: &Value, choices: &Choices) -> Value {
        let mut config = raw.as_object().cloned().unwrap_or_default();
        for trigger in FunctionId::triggers().filter(|trigger| !choices.keep.contains(trigger)) {
            remove(&mut config, trigger);
            let name = json_field(trigger);
            config.insert(name.to_owned(), self.json[name].clone());
        }
        Value::Object(config)
    }

    /// The raw LambdaConfig without these functions.
    pub fn detached_from(&self, raw: &Value, actual: &LambdaConfig) -> Value {
        let mut config = raw.as_object().cloned().unwrap_or_default();
        for (trigger, function) in actual.iter() {
            if self.is_own(&function.arn) {
                remove(&mut config, trigger);
            }
        }
        Value::Object(config)
    }
}

/// The field of the output for a trigger.
fn json_field(trigger: FunctionId) -> &'static str {
    if trigger == FunctionId::PreTokenGeneration { VERSIONED_FIELD } else { field(trigger) }
}

fn remove(config: &mut Map<String, Value>, trigger: FunctionId) {
    config.remove(json_field(trigger));
    config.remove(field(trigger));
}

impl Choices {
    /// The functions of others for which neither `replace` nor `keep` has the trigger.
    pub fn undecided<'a>(&self, others: &'a [OtherFunction]) -> Vec<&'a OtherFunction> {
        let is_decided =
            |trigger| self.replace_all || self.replace.contains(trigger) || self.keep.contains(trigger);
        others.iter().filter(|(trigger, _)| !is_decided(trigger)).collect()
    }

    /// A trigger that is in both lists, or in `keep` although the pool calls no function of others. A trigger in
    /// `replace` can have the function of the stack already, after an earlier run.
    pub fn contradiction(&self, others: &[OtherFunction]) -> Option<String> {
        let is_other = |trigger: &FunctionId| others.iter().any(|(other, _)| other == trigger);
        if let Some(both) = self.keep.iter().find(|trigger| self.replace.contains(trigger)) {
            return Some(format!("--keep and --replace both name {both}. Choose one"));
        }
        let trigger = self.keep.iter().find(|trigger| !is_other(trigger))?;
        Some(format!(
            "--keep {trigger}: the user pool calls no other function for this trigger. Remove the option"
        ))
    }
}

/// What the stack does not do if the user pool keeps a function of others for a trigger.
pub fn without(trigger: FunctionId) -> &'static str {
    match trigger {
        FunctionId::PreSignUp => "sign-up rules are not applied: every email domain can sign up",
        FunctionId::PostConfirmation => {
            "user.confirmed is not published at the confirmation. Users get a profile with their first token"
        }
        FunctionId::PreAuthentication => {
            "suspensions are not enforced at sign-in, only when a token is issued"
        }
        FunctionId::PreTokenGeneration => {
            "suspensions are not enforced when a token is refreshed, and GROUP_RULES and TOKEN_CLAIMS are not applied"
        }
        FunctionId::CustomMessage => "messages are not rendered by the stack",
        _ => "",
    }
}

/// Reads a trigger of the command line.
pub fn parse_trigger(text: &str) -> Result<FunctionId, UnknownTrigger> {
    FunctionId::triggers().find(|trigger| trigger.name() == text).ok_or(UnknownTrigger)
}

/// A text that is not the name of one of the five triggers.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected pre-sign-up, post-confirmation, pre-authentication, pre-token-generation or custom-message"
)]
pub struct UnknownTrigger;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arn(name: &str) -> String {
        format!("arn:aws:lambda:eu-central-1:123456789012:function:{name}")
    }

    fn output() -> Value {
        json!({
            "PreSignUp": arn("shop-pre-sign-up"), "PostConfirmation": arn("shop-post-confirmation"),
            "PreAuthentication": arn("shop-pre-authentication"), "CustomMessage": arn("shop-custom-message"),
            "PreTokenGenerationConfig": {"LambdaArn": arn("shop-pre-token-generation"), "LambdaVersion": "V2_0"},
        })
    }

    fn stack() -> StackFunctions {
        StackFunctions::from_output(&output().to_string()).unwrap()
    }

    fn merged(base: Value, patch: Value) -> Value {
        let mut fields = base.as_object().unwrap().clone();
        fields.extend(patch.as_object().unwrap().clone());
        Value::Object(fields)
    }

    #[test]
    fn attached_pool_keeps_all_other_triggers() {
        let others = json!({"UserMigration": arn("migration"), "KMSKeyID": "arn:aws:kms:key"});
        let keep = Choices { keep: vec![FunctionId::PreTokenGeneration], ..Choices::default() };
        let old = json!({"PreTokenGeneration": arn("old"), "PreTokenGenerationConfig": {"LambdaArn": arn("old"), "LambdaVersion": "V1_0"}});
        let mut kept = output();
        kept.as_object_mut().unwrap().remove("PreTokenGenerationConfig");
        for (before, choices, expected) in [
            (json!({}), Choices::default(), output()),
            (Value::Null, Choices::default(), output()),
            (others.clone(), Choices::default(), merged(output(), others.clone())),
            (json!({"PreTokenGeneration": arn("old")}), Choices::default(), output()),
            (old.clone(), keep, merged(kept, old)),
        ] {
            assert_eq!(stack().attached_to(&before, &choices), expected, "{before}");
        }
    }

    #[test]
    fn detached_pool_calls_only_functions_of_others() {
        let others = json!({"UserMigration": arn("migration"), "PreSignUp": arn("other")});
        let both = json!({"PreTokenGeneration": arn("shop-pre-token-generation")});
        for (before, expected) in [
            (json!({}), json!({})),
            (merged(output(), both), json!({})),
            (merged(output(), others.clone()), others),
            (json!({"CustomMessage": arn("shop-custom-message:live")}), json!({})),
            (
                json!({"CustomMessage": arn("shop-custom-message-2")}),
                json!({"CustomMessage": arn("shop-custom-message-2")}),
            ),
        ] {
            let actual = LambdaConfig::from_json(&before).unwrap();
            assert_eq!(stack().detached_from(&before, &actual), expected, "{before}");
        }
    }

    #[test]
    fn every_function_of_others_needs_a_choice() {
        use FunctionId::{CustomMessage, PreSignUp};
        let pool = json!({"PreSignUp": arn("a"), "CustomMessage": arn("b"), "PostConfirmation": arn("shop-post-confirmation:3")});
        let others = stack().others(&LambdaConfig::from_json(&pool).unwrap());
        let choices = |replace: &[FunctionId], keep: &[FunctionId]| Choices {
            replace: replace.to_vec(),
            replace_all: false,
            keep: keep.to_vec(),
        };
        for (choices, undecided, contradiction) in [
            (choices(&[], &[]), 2, None),
            (choices(&[PreSignUp], &[]), 1, None),
            (choices(&[PreSignUp], &[CustomMessage]), 0, None),
            (Choices { replace_all: true, ..Choices::default() }, 0, None),
            (
                choices(&[PreSignUp], &[PreSignUp]),
                1,
                Some("--keep and --replace both name pre-sign-up. Choose one"),
            ),
            (
                choices(&[], &[FunctionId::PostConfirmation]),
                2,
                Some(
                    "--keep post-confirmation: the user pool calls no other function for this trigger. Remove \
                     the option",
                ),
            ),
        ] {
            assert_eq!(choices.undecided(&others).len(), undecided, "{choices:?}");
            assert_eq!(choices.contradiction(&others).as_deref(), contradiction);
        }
    }

    #[test]
    fn every_trigger_has_a_consequence_and_a_name() {
        for trigger in FunctionId::triggers() {
            assert!(!without(trigger).is_empty(), "{trigger}");
            assert_eq!(parse_trigger(trigger.name()).unwrap(), trigger);
        }
        assert!(parse_trigger("user-stats").is_err() && parse_trigger("").is_err());
    }
}
