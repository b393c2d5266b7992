//! `LambdaConfig`: which functions a user pool calls for the five triggers, as Cognito's API and the
//! stack's output `LambdaConfig` write it. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::function_id::{FunctionId, FunctionKind};

/// The event version that Cognito sends if a pool states none.
const FIRST_EVENT_VERSION: &str = "V1_0";

/// The functions that a user pool calls, or has to call, for the five triggers. Other triggers of
/// Cognito, such as `UserMigration`, are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LambdaConfig {
    functions: BTreeMap<FunctionId, CalledFunction>,
}

/// The function that a user pool calls for one trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalledFunction {
    /// The ARN as the pool has it, with a qualifier if there is one.
    pub arn: String,
    /// `V1_0`, `V2_0` or `V3_0`. Only for pre-token-generation: the other triggers have one version.
    pub event_version: Option<String>,
}

impl CalledFunction {
    /// The name in the ARN, with a qualifier if there is one: `shop-pre-sign-up` or
    /// `shop-pre-sign-up:live`. The whole text if it is no ARN of a function.
    pub fn name(&self) -> &str {
        function_name(&self.arn).unwrap_or(&self.arn)
    }
}

/// The name in `arn:aws:lambda:{region}:{account}:function:{name}`.
fn function_name(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(7, ':');
    let is_function = parts.next() == Some("arn") && parts.nth(1) == Some("lambda");
    (is_function && parts.nth(2) == Some("function")).then(|| parts.next()).flatten()
}

/// A `LambdaConfig` that is not as Cognito writes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLambdaConfig {
    #[error("not JSON")]
    NotJson,
    /// With the path of the value, and what is expected there.
    #[error("{0} is not {1}")]
    Unexpected(String, &'static str),
    #[error("{0} is missing")]
    Missing(String),
}

impl LambdaConfig {
    /// Reads the field `LambdaConfig` of an answer of DescribeUserPool. A pool without triggers has
    /// an empty object, `null` or no such field, which is [`Value::Null`].
    pub fn from_json(config: &Value) -> Result<Self, InvalidLambdaConfig> {
        if config.is_null() {
            return Ok(Self::default());
        }
        if !config.is_object() {
            return Err(InvalidLambdaConfig::Unexpected("LambdaConfig".to_owned(), "an object"));
        }
        let mut functions = BTreeMap::new();
        for trigger in FunctionId::triggers() {
            let field = field(trigger);
            if let Some(arn) = text(&config[field], field)? {
                let event_version = has_versions(trigger).then(|| FIRST_EVENT_VERSION.to_owned());
                functions.insert(trigger, CalledFunction { arn, event_version });
            }
        }
        // Cognito shows a function with a version in both fields.
        if let Some(function) = versioned_function(&config[VERSIONED_FIELD])? {
            functions.insert(FunctionId::PreTokenGeneration, function);
        }
        Ok(Self { functions })
    }

    /// Reads the stack's output `LambdaConfig`, which has all five triggers.
    pub fn of_stack(output: &str) -> Result<Self, InvalidLambdaConfig> {
        let config: Value = serde_json::from_str(output).map_err(|_| InvalidLambdaConfig::NotJson)?;
        let config = Self::from_json(&config)?;
        match FunctionId::triggers().find(|trigger| config.get(*trigger).is_none()) {
            Some(trigger) => Err(InvalidLambdaConfig::Missing(field(trigger).to_owned())),
            None => Ok(config),
        }
    }

    /// The function for `trigger`. `None` if the pool calls none.
    pub fn get(&self, trigger: FunctionId) -> Option<&CalledFunction> {
        self.functions.get(&trigger)
    }

    /// The triggers with a function, in the order of [`FunctionId`].
    pub fn iter(&self) -> impl Iterator<Item = (FunctionId, &CalledFunction)> {
        self.functions.iter().map(|(trigger, function)| (*trigger, function))
    }

    /// How `actual` differs from these functions, at most once for each trigger. Empty if the pool
    /// calls all of them. Triggers that these functions do not have are not compared.
    pub fn differences(&self, actual: &Self) -> Vec<Difference> {
        let difference = |(trigger, expected): (FunctionId, &CalledFunction)| {
            let kind = match actual.get(trigger) {
                None => DifferenceKind::NotAttached,
                Some(function) if function.arn != expected.arn => {
                    DifferenceKind::AnotherFunction { arn: function.arn.clone() }
                }
                Some(function) if function.event_version != expected.event_version => {
                    DifferenceKind::AnotherEventVersion {
                        expected: expected.event_version.clone().unwrap_or_default(),
                        actual: function.event_version.clone().unwrap_or_default(),
                    }
                }
                Some(_) => return None,
            };
            Some(Difference { trigger, kind })
        };
        self.iter().filter_map(difference).collect()
    }
}

/// The field of pre-token-generation with a version. Its ARN is also in `PreTokenGeneration`.
pub const VERSIONED_FIELD: &str = "PreTokenGenerationConfig";

/// The field of a trigger in `LambdaConfig`: `PreSignUp`. For pre-token-generation, it is the older
/// of two fields: see [`VERSIONED_FIELD`].
pub fn field(trigger: FunctionId) -> &'static str {
    debug_assert_eq!(trigger.kind(), FunctionKind::Trigger, "{trigger}");
    let name = trigger.resource_name();
    name.strip_suffix("Function").unwrap_or(name)
}

fn has_versions(trigger: FunctionId) -> bool {
    trigger == FunctionId::PreTokenGeneration
}

/// The text of a field. An empty one counts as missing.
fn text(value: &Value, path: &str) -> Result<Option<String>, InvalidLambdaConfig> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        _ => Err(InvalidLambdaConfig::Unexpected(path.to_owned(), "a text")),
    }
}

fn versioned_function(config: &Value) -> Result<Option<CalledFunction>, InvalidLambdaConfig> {
    if config.is_null() {
        return Ok(None);
    }
    if !config.is_object() {
        return Err(InvalidLambdaConfig::Unexpected(VERSIONED_FIELD.to_owned(), "an object"));
    }
    let part = |name: &str| text(&config[name], &format!("{VERSIONED_FIELD}.{name}"));
    let Some(arn) = part("LambdaArn")? else {
        return Err(InvalidLambdaConfig::Missing(format!("{VERSIONED_FIELD}.LambdaArn")));
    };
    let event_version = part("LambdaVersion")?.unwrap_or_else(|| FIRST_EVENT_VERSION.to_owned());
    Ok(Some(CalledFunction { arn, event_version: Some(event_version) }))
}

/// How a user pool differs from the stack in one trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub trigger: FunctionId,
    pub kind: DifferenceKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The pool calls no function for this trigger.
    NotAttached,
    /// The pool calls the function `arn`. A version or an alias of the right function is another
    /// function too: it does not change with the next deployment.
    AnotherFunction { arn: String },
    /// The pool calls the right function with events of another version.
    AnotherEventVersion { expected: String, actual: String },
}

impl DifferenceKind {
    /// The code in logs and in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAttached => "not_attached",
            Self::AnotherFunction { .. } => "another_function",
            Self::AnotherEventVersion { .. } => "another_event_version",
        }
    }
}

/// What the pool does, after the name of the trigger: `calls no function`.
impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAttached => f.write_str("calls no function"),
            Self::AnotherFunction { arn } => write!(f, "calls another function: {arn}"),
            Self::AnotherEventVersion { expected, actual } => {
                write!(f, "sends events of version {actual} instead of {expected}")
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the user pool {}", self.trigger, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arn(name: &str) -> String {
        format!("arn:aws:lambda:eu-central-1:123456789012:function:{name}")
    }

    /// The output of the stack `shop`.
    fn output() -> Value {
        json!({
            "PreSignUp": arn("shop-pre-sign-up"),
            "PostConfirmation": arn("shop-post-confirmation"),
            "PreAuthentication": arn("shop-pre-authentication"),
            "CustomMessage": arn("shop-custom-message"),
            "PreTokenGenerationConfig": {"LambdaArn": arn("shop-pre-token-generation"), "LambdaVersion": "V2_0"},
        })
    }

    /// The output with the fields of `patch`. `null` removes a field.
    fn with(patch: Value) -> Value {
        let mut config = output();
        let fields = config.as_object_mut().unwrap();
        for (name, value) in patch.as_object().unwrap().clone() {
            if value.is_null() {
                fields.remove(&name);
            } else {
                fields.insert(name, value);
            }
        }
        config
    }

    #[test]
    fn pool_that_calls_the_functions_of_the_stack_has_no_difference() {
        let expected = LambdaConfig::of_stack(&output().to_string()).unwrap();
        let both_fields = json!({"PreTokenGeneration": arn("shop-pre-token-generation")});
        let other_triggers = json!({
            "UserMigration": arn("migration"),
            "CustomEmailSender": {"LambdaArn": arn("sender"), "LambdaVersion": "V1_0"},
            "KMSKeyID": "arn:aws:kms:eu-central-1:123456789012:key/1",
        });
        for patch in [json!({}), both_fields, other_triggers] {
            let actual = LambdaConfig::from_json(&with(patch)).unwrap();
            assert_eq!(expected.differences(&actual), []);
        }
        assert_eq!(expected.iter().count(), 5);
    }

    #[test]
    fn difference_names_the_trigger_and_what_the_pool_calls() {
        let expected = LambdaConfig::of_stack(&output().to_string()).unwrap();
        let alias = arn("shop-pre-sign-up:live");
        let version_1 = json!({"LambdaArn": arn("shop-pre-token-generation"), "LambdaVersion": "V1_0"});
        let no_version = json!({"LambdaArn": arn("shop-pre-token-generation")});
        let other = json!({"LambdaArn": arn("other"), "LambdaVersion": "V1_0"});
        let instead = "pre-token-generation: the user pool sends events of version V1_0 instead of V2_0";
        for (patch, expected_text, code) in [
            (json!({"PreSignUp": null}), "pre-sign-up: the user pool calls no function", "not_attached"),
            (json!({"CustomMessage": ""}), "custom-message: the user pool calls no function", "not_attached"),
            (
                json!({"PostConfirmation": arn("other")}),
                "post-confirmation: the user pool calls another function: \
                 arn:aws:lambda:eu-central-1:123456789012:function:other",
                "another_function",
            ),
            (
                json!({"PreSignUp": alias}),
                "pre-sign-up: the user pool calls another function: \
                 arn:aws:lambda:eu-central-1:123456789012:function:shop-pre-sign-up:live",
                "another_function",
            ),
            (json!({"PreTokenGenerationConfig": version_1}), instead, "another_event_version"),
            (json!({"PreTokenGenerationConfig": no_version}), instead, "another_event_version"),
            // Pools from before the versions have only the older field.
            (
                json!({
                    "PreTokenGenerationConfig": null, "PreTokenGeneration": arn("shop-pre-token-generation"),
                }),
                instead,
                "another_event_version",
            ),
            // The field with the version decides.
            (
                json!({
                    "PreTokenGenerationConfig": other, "PreTokenGeneration": arn("shop-pre-token-generation"),
                }),
                "pre-token-generation: the user pool calls another function: \
                 arn:aws:lambda:eu-central-1:123456789012:function:other",
                "another_function",
            ),
        ] {
            let actual = LambdaConfig::from_json(&with(patch.clone())).unwrap();
            let differences = expected.differences(&actual);
            let texts: Vec<String> = differences.iter().map(Difference::to_string).collect();
            assert_eq!(texts, [expected_text], "{patch}");
            assert_eq!(differences[0].kind.code(), code, "{patch}");
        }
    }

    #[test]
    fn pool_without_triggers_differs_in_all_five() {
        let expected = LambdaConfig::of_stack(&output().to_string()).unwrap();
        for empty in [json!({}), Value::Null, json!({"UserMigration": arn("migration")})] {
            let differences = expected.differences(&LambdaConfig::from_json(&empty).unwrap());
            let triggers: Vec<FunctionId> = differences.iter().map(|each| each.trigger).collect();
            assert_eq!(triggers, FunctionId::triggers().collect::<Vec<_>>());
            assert!(differences.iter().all(|each| each.kind == DifferenceKind::NotAttached));
        }
    }

    #[test]
    fn value_that_is_no_lambda_config_is_refused() {
        for (config, expected) in [
            (json!([]), "LambdaConfig is not an object"),
            (with(json!({"PreSignUp": 1})), "PreSignUp is not a text"),
            (with(json!({"PreTokenGenerationConfig": "x"})), "PreTokenGenerationConfig is not an object"),
            (with(json!({"PreTokenGenerationConfig": {}})), "PreTokenGenerationConfig.LambdaArn is missing"),
            (
                with(json!({"PreTokenGenerationConfig": {"LambdaArn": arn("x"), "LambdaVersion": 2}})),
                "PreTokenGenerationConfig.LambdaVersion is not a text",
            ),
        ] {
            assert_eq!(LambdaConfig::from_json(&config).unwrap_err().to_string(), expected, "{config}");
        }
        assert_eq!(LambdaConfig::of_stack("{").unwrap_err().to_string(), "not JSON");
        let incomplete = with(json!({"PreAuthentication": null})).to_string();
        assert_eq!(
            LambdaConfig::of_stack(&incomplete).unwrap_err().to_string(),
            "PreAuthentication is missing"
        );
    }

    #[test]
    fn field_of_a_trigger_is_cognitos() {
        let fields: Vec<&str> = FunctionId::triggers().map(field).collect();
        let expected =
            ["PreSignUp", "PostConfirmation", "PreAuthentication", "PreTokenGeneration", "CustomMessage"];
        assert_eq!(fields, expected);
    }

    #[test]
    fn function_has_the_name_of_its_arn() {
        for (arn, expected) in [
            (arn("shop-pre-sign-up"), "shop-pre-sign-up"),
            (arn("shop-pre-sign-up:live"), "shop-pre-sign-up:live"),
            ("arn:aws-cn:lambda:cn-north-1:123456789012:function:x".to_owned(), "x"),
            (
                "arn:aws:kms:eu-central-1:123456789012:key/1".to_owned(),
                "arn:aws:kms:eu-central-1:123456789012:key/1",
            ),
            ("x".to_owned(), "x"),
        ] {
            assert_eq!(CalledFunction { arn, event_version: None }.name(), expected);
        }
    }
}
