//! The settings of a user pool as Cognito's raw JSON: which of them an update passes, how many there are,
//! and how two answers differ. Pure.
//!
//! The SDK's own types would lose settings that are newer than the SDK.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use shared::lambda_config::VERSIONED_FIELD;

use super::settings_table::{MFA_CONFIG, Treatment, USER_POOL, is_parent, treatment};

/// The field with the triggers.
pub const LAMBDA_CONFIG: &str = "LambdaConfig";

/// The older field of pre-token-generation, which has no event version.
const UNVERSIONED_FIELD: &str = "PreTokenGeneration";

/// Two answers of Cognito about one user pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSettings {
    /// `UserPool` of DescribeUserPool.
    pub pool: Value,
    /// The answer of GetUserPoolMfaConfig.
    pub mfa_config: Value,
}

/// A setting that differs between two answers, or that an update would change.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingDifference {
    /// The path, such as `Policies.PasswordPolicy.MinimumLength`. Settings of GetUserPoolMfaConfig begin
    /// with `MfaConfig`.
    pub setting: String,
    /// `None` if it is not set.
    pub before: Option<Value>,
    /// `None` if it is not set.
    pub after: Option<Value>,
}

impl SettingDifference {
    /// True for a trigger, or another part of LambdaConfig.
    pub fn is_of_lambda_config(&self) -> bool {
        self.setting.starts_with("LambdaConfig.")
    }
}

impl PoolSettings {
    pub fn lambda_config(&self) -> &Value {
        &self.pool[LAMBDA_CONFIG]
    }

    pub fn text(&self, field: &str) -> &str {
        self.pool[field].as_str().unwrap_or_default()
    }

    /// The value of a tag of the pool.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.pool["UserPoolTags"].get(key).and_then(Value::as_str)
    }

    /// The paths that the tables do not know.
    pub fn unknown_settings(&self) -> Vec<String> {
        let mut unknown = Vec::new();
        find_unknown(&self.pool, "", USER_POOL, &mut unknown);
        let mut of_mfa = Vec::new();
        find_unknown(&self.mfa_config, "", MFA_CONFIG, &mut of_mfa);
        unknown.extend(of_mfa.into_iter().map(|path| format!("MfaConfig.{path}")));
        unknown.dedup();
        unknown
    }

    /// The body of the UpdateUserPool that sets all settings of this pool.
    pub fn update_request(&self) -> Value {
        let mut request = requested(&self.pool, "", &self.pool).unwrap_or_else(|| json!({}));
        request["UserPoolId"] = self.pool["Id"].clone();
        request
    }

    /// The body of the SetUserPoolMfaConfig that sets the MFA settings of this pool.
    pub fn mfa_request(&self) -> Value {
        let mut request = self.mfa_config.clone();
        request["UserPoolId"] = self.pool["Id"].clone();
        request
    }

    /// True if both have the same MFA settings.
    pub fn has_mfa_of(&self, other: &Self) -> bool {
        leaves_of(&self.mfa_config) == leaves_of(&other.mfa_config)
    }

    /// The same pool with another LambdaConfig.
    pub fn with_lambda_config(mut self, lambda_config: Value) -> Self {
        self.pool[LAMBDA_CONFIG] = lambda_config;
        self
    }

    /// The same pool with all settings of `other` that an update can change.
    pub fn with_settings_of(&self, other: &Self) -> Self {
        let is_fixed = |field: &str| {
            let fixed = |kind| matches!(kind, Treatment::ReadOnly | Treatment::Volatile);
            let of_field = USER_POOL.iter().find(|(path, _)| path.split(['.', '[']).next() == Some(field));
            of_field.is_some_and(|(_, treatment)| fixed(*treatment))
        };
        let fields = |pool: &Value, fixed: bool| -> Map<String, Value> {
            let fields = pool.as_object().cloned().unwrap_or_default();
            fields.into_iter().filter(|(field, _)| is_fixed(field) == fixed).collect()
        };
        let mut pool = fields(&self.pool, true);
        pool.extend(fields(&other.pool, false));
        Self { pool: Value::Object(pool), mfa_config: other.mfa_config.clone() }
    }

    /// How `after` differs from these settings, in alphabetical order. Volatile fields are left out.
    pub fn differences(&self, after: &Self) -> Vec<SettingDifference> {
        let (before, after) = (self.leaves(), after.leaves());
        let mut settings: Vec<&String> = before.keys().chain(after.keys()).collect();
        settings.sort();
        settings.dedup();
        let differing = settings.into_iter().filter(|setting| before.get(*setting) != after.get(*setting));
        let difference = |setting: &String| SettingDifference {
            setting: setting.clone(),
            before: before.get(setting).cloned(),
            after: after.get(setting).cloned(),
        };
        differing.map(difference).collect()
    }

    /// The number of settings that [`Self::differences`] compares, if nothing differs.
    pub fn count(&self) -> usize {
        self.leaves().len()
    }

    /// All settings by path, without the volatile ones.
    fn leaves(&self) -> BTreeMap<String, Value> {
        let mut pool = self.pool.clone();
        if let Some(config) = pool.get_mut(LAMBDA_CONFIG) {
            *config = canonical_lambda_config(config);
        }
        let is_volatile = |path: &str| treatment(USER_POOL, path) == Some(Treatment::Volatile);
        let mut leaves = leaves_of(&pool);
        leaves.retain(|path, _| !is_volatile(path));
        let of_mfa = leaves_of(&self.mfa_config).into_iter();
        leaves.extend(of_mfa.map(|(path, value)| (format!("MfaConfig.{path}"), value)));
        leaves
    }
}

/// LambdaConfig with pre-token-generation only in the field with the version. Cognito returns the function
/// in both fields, also if a request has only one of them.
pub fn canonical_lambda_config(config: &Value) -> Value {
    let mut config = config.clone();
    let Some(fields) = config.as_object_mut() else { return config };
    let unversioned = fields.remove(UNVERSIONED_FIELD).filter(|arn| !arn.is_null());
    let has_version = fields.get(VERSIONED_FIELD).is_some_and(Value::is_object);
    if let (Some(arn), false) = (unversioned, has_version) {
        fields.insert(VERSIONED_FIELD.to_owned(), json!({"LambdaArn": arn, "LambdaVersion": "V1_0"}));
    }
    config
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

fn find_unknown(value: &Value, path: &str, table: &[(&str, Treatment)], unknown: &mut Vec<String>) {
    let is_known = treatment(table, path).is_some();
    match value {
        // Such a value says nothing, whatever the field is for.
        Value::Null => {}
        Value::Object(fields) if !is_known && (path.is_empty() || is_parent(table, path)) => {
            fields.iter().for_each(|(field, value)| find_unknown(value, &join(path, field), table, unknown));
        }
        Value::Array(elements) if !is_known && is_parent(table, path) => {
            elements.iter().for_each(|each| find_unknown(each, &format!("{path}[]"), table, unknown));
        }
        Value::Array(elements) if is_known && elements.iter().all(|each| !each.is_object()) => {}
        _ if is_known && !value.is_object() && !value.is_array() => {}
        _ => unknown.push(path.to_owned()),
    }
}

/// The part of a request for a value. `None` if the request does not have it.
fn requested(value: &Value, path: &str, pool: &Value) -> Option<Value> {
    if value.is_null() {
        return None;
    }
    match treatment(USER_POOL, path) {
        // AWS sets the tags with this prefix, and accepts them from nobody else.
        Some(_) if path.starts_with("UserPoolTags.aws:") => return None,
        Some(Treatment::Updatable | Treatment::Renamed(_)) => return Some(value.clone()),
        Some(Treatment::Superseded(newer)) => {
            let newer = pool.pointer(&format!("/{}", newer.replace('.', "/")));
            return newer.is_none_or(Value::is_null).then(|| value.clone());
        }
        Some(Treatment::ReadOnly | Treatment::Volatile) => return None,
        None => {}
    }
    match value {
        Value::Object(fields) => {
            let parts: Map<String, Value> = fields
                .iter()
                .filter_map(|(field, value)| {
                    let path = join(path, field);
                    let name = match treatment(USER_POOL, &path) {
                        Some(Treatment::Renamed(name)) => name,
                        _ => field,
                    };
                    Some((name.to_owned(), requested(value, &path, pool)?))
                })
                .collect();
            // An empty object stays: it can switch something off. One that became empty says nothing.
            (is_updatable(path) && (!parts.is_empty() || fields.is_empty())).then_some(Value::Object(parts))
        }
        Value::Array(elements) => {
            let path = format!("{path}[]");
            let parts: Vec<Value> = elements.iter().filter_map(|each| requested(each, &path, pool)).collect();
            (is_updatable(&path) && (!parts.is_empty() || elements.is_empty())).then_some(Value::Array(parts))
        }
        _ => None,
    }
}

/// True if a request has a field below this path.
fn is_updatable(path: &str) -> bool {
    let is_below = |known: &str| path.is_empty() || known.starts_with(path);
    USER_POOL.iter().any(|(known, treatment)| is_below(known) && *treatment == Treatment::Updatable)
}

fn leaves_of(value: &Value) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    collect_leaves(value, String::new(), &mut leaves);
    leaves
}

/// Lists of texts are one setting, in any order. The elements of other lists have their `Name` in the path.
/// An empty list or object is as good as none.
fn collect_leaves(value: &Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            fields.iter().for_each(|(field, value)| collect_leaves(value, join(&path, field), leaves));
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            for (index, element) in elements.iter().enumerate() {
                let name = element.get("Name").and_then(Value::as_str).map(str::to_owned);
                let name = name.unwrap_or_else(|| index.to_string());
                collect_leaves(element, format!("{path}[{name}]"), leaves);
            }
        }
        Value::Array(elements) if elements.is_empty() => {}
        Value::Array(elements) => {
            let mut elements = elements.clone();
            elements.sort_by_key(Value::to_string);
            leaves.insert(path, Value::Array(elements));
        }
        value => drop(leaves.insert(path, value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pool: Value) -> PoolSettings {
        PoolSettings { pool, mfa_config: json!({"MfaConfiguration": "OFF"}) }
    }

    #[test]
    fn request_has_every_setting_that_an_update_accepts() {
        let old_days = json!({"AllowAdminCreateUserOnly": true, "UnusedAccountValidityDays": 3});
        for (pool, expected) in [
            (json!({"Id": "x", "Name": "n"}), json!({"UserPoolId": "x", "PoolName": "n"})),
            (
                json!({"Id": "x", "Arn": "a", "SchemaAttributes": [{"Name": "sub"}], "EstimatedNumberOfUsers": 3}),
                json!({"UserPoolId": "x"}),
            ),
            (
                json!({"Id": "x", "AliasAttributes": [], "AutoVerifiedAttributes": ["email"], "SmsConfiguration": null}),
                json!({"UserPoolId": "x", "AutoVerifiedAttributes": ["email"]}),
            ),
            // An empty list switches this setting off.
            (
                json!({"Id": "x", "UserAttributeUpdateSettings": {"AttributesRequireVerificationBeforeUpdate": []}}),
                json!({
                    "UserPoolId": "x",
                    "UserAttributeUpdateSettings": {"AttributesRequireVerificationBeforeUpdate": []},
                }),
            ),
            (
                json!({"Id": "x", "UserPoolTags": {"team": "shop", "aws:servicecatalog:x": "y"}}),
                json!({"UserPoolId": "x", "UserPoolTags": {"team": "shop"}}),
            ),
            (json!({"Id": "x", "UserPoolTags": {"aws:x": "y"}}), json!({"UserPoolId": "x"})),
            // Only pools from before 2019 have the older number of days and no newer one.
            (
                json!({"Id": "x", "AdminCreateUserConfig": old_days}),
                json!({"UserPoolId": "x", "AdminCreateUserConfig": old_days}),
            ),
            (
                json!({
                    "Id": "x", "AdminCreateUserConfig": old_days,
                    "Policies": {"PasswordPolicy": {"TemporaryPasswordValidityDays": 7}},
                }),
                json!({
                    "UserPoolId": "x", "AdminCreateUserConfig": {"AllowAdminCreateUserOnly": true},
                    "Policies": {"PasswordPolicy": {"TemporaryPasswordValidityDays": 7}},
                }),
            ),
            (
                json!({"Id": "x", "AccountRecoverySetting": {"RecoveryMechanisms": [{"Name": "admin_only", "Priority": 1}]}}),
                json!({
                    "UserPoolId": "x",
                    "AccountRecoverySetting": {"RecoveryMechanisms": [{"Name": "admin_only", "Priority": 1}]},
                }),
            ),
        ] {
            assert_eq!(settings(pool.clone()).update_request(), expected, "{pool}");
        }
    }

    #[test]
    fn setting_that_the_table_does_not_have_is_unknown() {
        for (pool, expected) in [
            (
                json!({"Id": "x", "Policies": {"PasswordPolicy": {"MinimumLength": 8}}, "LambdaConfig": {}}),
                vec![],
            ),
            (json!({"Passkeys": {"Enabled": true}}), vec!["Passkeys"]),
            (json!({"Passkeys": null}), vec![]),
            (json!({"Passkeys": []}), vec!["Passkeys"]),
            (
                json!({"Policies": {"PasswordPolicy": {"MaximumLength": 99}}}),
                vec!["Policies.PasswordPolicy.MaximumLength"],
            ),
            (json!({"Policies": "strict"}), vec!["Policies"]),
            (json!({"Name": {"en": "x"}}), vec!["Name"]),
            (json!({"AutoVerifiedAttributes": [{"Name": "email"}]}), vec!["AutoVerifiedAttributes"]),
            (
                json!({"SchemaAttributes": [{"Name": "a", "Unique": true}, {"Unique": true}]}),
                vec!["SchemaAttributes[].Unique"],
            ),
            (json!({"UserPoolTags": {"any": "thing"}}), vec![]),
            (json!({"LambdaConfig": {"PostSignOut": "arn"}}), vec!["LambdaConfig.PostSignOut"]),
        ] {
            assert_eq!(settings(pool.clone()).unknown_settings(), expected, "{pool}");
        }
        let mut newer = settings(json!({}));
        newer.mfa_config = json!({"MfaConfiguration": "ON", "PushMfaConfiguration": {"Enabled": true}});
        assert_eq!(newer.unknown_settings(), ["MfaConfig.PushMfaConfiguration"]);
    }

    #[test]
    fn difference_names_the_setting() {
        let arn = "arn:aws:lambda:eu-central-1:123456789012:function:x";
        let version_1 = json!({"LambdaArn": arn, "LambdaVersion": "V1_0"});
        for (before, after, expected) in [
            (json!({"A": 1, "LastModifiedDate": 1.5}), json!({"A": 1, "LastModifiedDate": 2.5}), vec![]),
            (json!({"A": ["x", "y"], "B": []}), json!({"A": ["y", "x"], "C": {}, "D": null}), vec![]),
            (json!({"A": {"B": 1}}), json!({"A": {"B": 2}}), vec!["A.B"]),
            (json!({"A": {"B": 1}}), json!({}), vec!["A.B"]),
            (json!({}), json!({"A": ["x"]}), vec!["A"]),
            (
                json!({"S": [{"Name": "a", "Mutable": true}, {"Name": "b", "Mutable": true}]}),
                json!({"S": [{"Name": "b", "Mutable": false}, {"Name": "a", "Mutable": true}]}),
                vec!["S[b].Mutable"],
            ),
            // Both fields of pre-token-generation have the same function.
            (
                json!({"LambdaConfig": {"PreTokenGeneration": arn}}),
                json!({"LambdaConfig": {"PreTokenGeneration": arn, "PreTokenGenerationConfig": version_1}}),
                vec![],
            ),
        ] {
            let (before, after) = (settings(before), settings(after));
            let differing = before.differences(&after).into_iter().map(|difference| difference.setting);
            assert_eq!(differing.collect::<Vec<_>>(), expected, "{before:?}");
        }
        let mut mfa = settings(json!({}));
        mfa.mfa_config = json!({"MfaConfiguration": "ON"});
        let [difference] = &settings(json!({})).differences(&mfa)[..] else { panic!("one difference") };
        assert_eq!(difference.setting, "MfaConfig.MfaConfiguration");
        assert_eq!(
            (difference.before.clone(), difference.after.clone()),
            (Some(json!("OFF")), Some(json!("ON")))
        );
    }

    #[test]
    fn settings_of_a_backup_keep_what_no_update_changes() {
        let now = settings(
            json!({"Id": "x", "SchemaAttributes": [{"Name": "new"}], "Name": "n", "MfaConfiguration": "OFF"}),
        );
        let backup = settings(
            json!({"Id": "x", "SchemaAttributes": [], "Name": "old", "DeletionProtection": "ACTIVE"}),
        );
        let restored = now.with_settings_of(&backup).pool;
        let expected = json!({
            "Id": "x", "SchemaAttributes": [{"Name": "new"}], "Name": "old", "DeletionProtection": "ACTIVE",
        });
        assert_eq!(restored, expected);
    }

    #[test]
    fn every_setting_is_counted_once() {
        let pool = json!({
            "Id": "x", "LastModifiedDate": 1, "AutoVerifiedAttributes": ["email", "phone_number"],
            "LambdaConfig": {}, "Policies": {"PasswordPolicy": {"MinimumLength": 8}},
        });
        assert_eq!(settings(pool).count(), 4);
    }
}
