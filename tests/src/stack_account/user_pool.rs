//! Cognito: the operations about the settings of the stack's user pool and of its app clients. winterbaume
//! keeps no settings.
//!
//! UpdateUserPool resets what the request does not have, as AWS does: "If you don't provide a value for an
//! attribute, Amazon Cognito sets it to its default value." (API reference of UpdateUserPool)

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};
use winterbaume_core::MockResponse;
use xtask::template::Template;

use super::cloudformation::USER_POOL;
use super::deployed::{Deployed, user_pool_arn};
use super::{Refusal, StackAccount, lock, logs, refusal};
use crate::shapes;

/// The settings of the stack's user pool and of its app clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserPool {
    /// Fields of DescribeUserPool.
    pub settings: Value,
    /// The answer of GetUserPoolMfaConfig.
    pub mfa_config: Value,
    /// Fields of DescribeUserPoolClient, by id.
    pub clients: BTreeMap<String, Value>,
}

/// What else happens at a call.
#[derive(Debug)]
pub enum Incident {
    Nothing,
    /// The call fails with this code and sentence.
    Refused(&'static str, &'static str),
    /// The call is carried out, but the answer breaks off.
    BrokenAnswer,
}

/// Decides what else happens at a call: with the operation, its number from 1 on, and the pool after the
/// call. A refused call has not changed the pool, but the closure can.
type Hook = Box<dyn Fn(&str, usize, &mut UserPool) -> Incident + Send + Sync>;

#[derive(Default)]
pub(super) struct Incidents(Option<Hook>);

impl fmt::Debug for Incidents {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Incidents")
    }
}

impl UserPool {
    /// The pool that the template makes, or the one that the stack was given.
    pub(super) fn deployed(deployed: &Deployed<'_>, template: &Template) -> Self {
        // CloudFormation's names of properties are those of Cognito's API, with few exceptions.
        let mut settings = deployed.properties(template, "UserPool");
        settings["Id"] = USER_POOL.into();
        settings["Arn"] = user_pool_arn(USER_POOL).into();
        settings["SchemaAttributes"] = settings["Schema"].take();
        let of_type =
            deployed.resources.iter().filter(|each| each.resource_type == "AWS::Cognito::UserPoolClient");
        let clients = of_type.map(|client| {
            let mut settings = deployed.properties(template, &client.logical_id);
            settings["ClientId"] = client.physical_id.as_str().into();
            // A parameter with the type CommaDelimitedList.
            for name in ["ExplicitAuthFlows", "WriteAttributes", "AllowedOAuthScopes"] {
                if let Some(list) = settings[name].as_str() {
                    settings[name] = list.split(',').collect::<Vec<_>>().into();
                }
            }
            (client.physical_id.clone(), settings)
        });
        let clients = clients.collect();
        Self { settings, mfa_config: json!({"MfaConfiguration": "OFF"}), clients }
    }

    /// A pool that calls no function.
    pub fn without_triggers(id: &str) -> Self {
        let settings = json!({
            "Id": id, "Name": "shop", "Arn": user_pool_arn(id), "LambdaConfig": {},
            "LastModifiedDate": 1_772_442_000.5, "CreationDate": 1_772_441_000.25, "MfaConfiguration": "OFF",
            "UserPoolTier": "ESSENTIALS", "DeletionProtection": "ACTIVE", "EstimatedNumberOfUsers": 12,
            "Policies": {"PasswordPolicy": {
                "MinimumLength": 12, "RequireUppercase": false, "RequireLowercase": true, "RequireNumbers": true,
                "RequireSymbols": false, "TemporaryPasswordValidityDays": 3,
            }},
            "AutoVerifiedAttributes": ["email"], "UsernameAttributes": ["email"],
            "EmailConfiguration": {"EmailSendingAccount": "COGNITO_DEFAULT"},
            "AdminCreateUserConfig": {"AllowAdminCreateUserOnly": false, "UnusedAccountValidityDays": 3},
            "UserPoolTags": {"team": "shop"},
        });
        Self { settings, mfa_config: json!({"MfaConfiguration": "OFF"}), clients: BTreeMap::new() }
    }

    /// UpdateUserPool.
    pub fn update(&mut self, request: &Value) -> Result<(), Refusal> {
        let invalid = |sentence: &str| Err(refusal("InvalidParameterException", sentence));
        if let Some(problem) = shapes::violation("UpdateUserPoolRequest", request) {
            return invalid(&problem);
        }
        let has_tag = |tags: &Map<String, Value>| tags.keys().any(|key| key.starts_with("aws:"));
        if request["UserPoolTags"].as_object().is_some_and(has_tag) {
            return invalid("aws: prefixed tag key names are not allowed for external use.");
        }
        let days = &request["Policies"]["PasswordPolicy"]["TemporaryPasswordValidityDays"];
        let old_days = &request["AdminCreateUserConfig"]["UnusedAccountValidityDays"];
        if !days.is_null() && !old_days.is_null() {
            return invalid(
                "Please use TemporaryPasswordValidityDays in PasswordPolicy instead of UnusedAccountValidityDays",
            );
        }
        let days_before = self.settings["AdminCreateUserConfig"]["UnusedAccountValidityDays"].clone();
        let own_tags = self.settings["UserPoolTags"].as_object().cloned().unwrap_or_default();
        let own_tags: Vec<(String, Value)> =
            own_tags.into_iter().filter(|(key, _)| key.starts_with("aws:")).collect();
        let fields = self.settings.as_object_mut().expect("the pool is an object");
        for member in shapes::shape("UpdateUserPoolRequest").members.keys() {
            // Cognito returns the settings with a default value for every pool.
            let default = default(member).filter(|_| fields.contains_key(member));
            match (member.as_str(), request.get(member).cloned().or(default)) {
                ("UserPoolId", _) | ("PoolName", None) => {}
                ("PoolName", Some(name)) => drop(fields.insert("Name".to_owned(), name)),
                (_, Some(value)) => drop(fields.insert(member.clone(), value)),
                (_, None) => drop(fields.remove(member)),
            }
        }
        // Cognito still shows the older number of days, and the function in the older field.
        if !days.is_null() && !days_before.is_null() {
            self.settings["AdminCreateUserConfig"]["UnusedAccountValidityDays"] = days_before;
        }
        // Only AWS itself removes its tags.
        for (key, value) in own_tags {
            self.settings["UserPoolTags"][key] = value;
        }
        if let Some(arn) = self.settings.pointer("/LambdaConfig/PreTokenGenerationConfig/LambdaArn").cloned()
        {
            self.settings["LambdaConfig"]["PreTokenGeneration"] = arn;
        }
        self.mfa_config["MfaConfiguration"] = self.settings["MfaConfiguration"].clone();
        self.touch();
        Ok(())
    }

    fn set_mfa_config(&mut self, request: &Value) -> Result<(), Refusal> {
        if let Some(problem) = shapes::violation("SetUserPoolMfaConfigRequest", request) {
            return Err(refusal("InvalidParameterException", problem));
        }
        let mut fields = request.as_object().cloned().unwrap_or_default();
        fields.remove("UserPoolId");
        self.settings["MfaConfiguration"] = fields.get("MfaConfiguration").cloned().unwrap_or_default();
        self.mfa_config = Value::Object(fields);
        self.touch();
        Ok(())
    }

    /// Every change has a time.
    pub fn touch(&mut self) {
        self.settings["LastModifiedDate"] =
            json!(self.settings["LastModifiedDate"].as_f64().unwrap_or_default() + 1.0);
    }
}

/// The value that UpdateUserPool sets if the request does not have the member. `None` if it removes the
/// setting.
fn default(member: &str) -> Option<Value> {
    let policy = json!({
        "MinimumLength": 8, "RequireUppercase": true, "RequireLowercase": true, "RequireNumbers": true,
        "RequireSymbols": true, "TemporaryPasswordValidityDays": 7,
    });
    match member {
        "Policies" => Some(json!({"PasswordPolicy": policy})),
        "AdminCreateUserConfig" => {
            Some(json!({"AllowAdminCreateUserOnly": false, "UnusedAccountValidityDays": 7}))
        }
        "EmailConfiguration" => Some(json!({"EmailSendingAccount": "COGNITO_DEFAULT"})),
        "VerificationMessageTemplate" => Some(json!({"DefaultEmailOption": "CONFIRM_WITH_CODE"})),
        "MfaConfiguration" => Some(json!("OFF")),
        "DeletionProtection" => Some(json!("INACTIVE")),
        "UserPoolTier" => Some(json!("ESSENTIALS")),
        "LambdaConfig" => Some(json!({})),
        _ => None,
    }
}

/// The operations about the pool and its app clients.
const OPERATIONS: [&str; 6] = [
    "DescribeUserPool",
    "UpdateUserPool",
    "GetUserPoolMfaConfig",
    "SetUserPoolMfaConfig",
    "ListUserPoolClients",
    "DescribeUserPoolClient",
];

impl StackAccount {
    /// The settings of the user pool and of its app clients.
    pub fn user_pool(&self) -> UserPool {
        lock(&self.0.user_pool).clone()
    }

    /// Changes the settings of the user pool and of its app clients, as someone else does.
    pub fn change_user_pool(&self, change: impl FnOnce(&mut UserPool)) {
        change(&mut lock(&self.0.user_pool));
    }

    /// Decides what else happens at calls about the user pool from now on.
    pub fn at_user_pool_calls(
        &self,
        hook: impl Fn(&str, usize, &mut UserPool) -> Incident + Send + Sync + 'static,
    ) {
        lock(&self.0.incidents).0 = Some(Box::new(hook));
    }

    /// The answer of Cognito to an operation about settings, and true if the answer breaks off. `None` for
    /// other operations.
    pub(super) fn user_pool_settings(&self, operation: &str, body: &[u8]) -> Option<(MockResponse, bool)> {
        if !OPERATIONS.contains(&operation) {
            return None;
        }
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        let begun = self.begin(operation);
        let number = self.calls_of(operation);
        let mut pool = lock(&self.0.user_pool);
        let before = pool.clone();
        let mut result = begun.and_then(|()| pool.call(operation, &input));
        let mut is_cut_off = false;
        if let Some(hook) = &lock(&self.0.incidents).0 {
            match hook(operation, number, &mut pool) {
                Incident::Nothing => {}
                Incident::Refused(code, sentence) => {
                    *pool = before;
                    // Only what the closure changed stays.
                    hook(operation, number, &mut pool);
                    result = Err(refusal(code, sentence));
                }
                Incident::BrokenAnswer => is_cut_off = true,
            }
        }
        let response = match result {
            Ok(output) => MockResponse::json(200, output.to_string()),
            Err(refusal) => logs::error(&refusal),
        };
        Some((response, is_cut_off))
    }
}

impl UserPool {
    fn call(&mut self, operation: &str, input: &Value) -> Result<Value, Refusal> {
        let unknown = || refusal("ResourceNotFoundException", "User pool does not exist.");
        let id = self.settings["Id"].clone();
        if input["UserPoolId"] != id {
            return Err(unknown());
        }
        match operation {
            "DescribeUserPool" => Ok(json!({"UserPool": self.settings})),
            "UpdateUserPool" => self.update(input).map(|()| json!({})),
            "GetUserPoolMfaConfig" => Ok(self.mfa_config.clone()),
            "SetUserPoolMfaConfig" => self.set_mfa_config(input).map(|()| self.mfa_config.clone()),
            "ListUserPoolClients" => {
                let client = |client: &String| json!({"ClientId": client, "UserPoolId": id});
                Ok(json!({"UserPoolClients": self.clients.keys().map(client).collect::<Vec<_>>()}))
            }
            _ => {
                let client = input["ClientId"].as_str().and_then(|id| self.clients.get(id));
                Ok(json!({"UserPoolClient": client.ok_or_else(unknown)?}))
            }
        }
    }
}
