//! Cognito: the operations DescribeUserPool, ListUserPoolClients and DescribeUserPoolClient, about the pool
//! of the stack. winterbaume keeps no settings.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use winterbaume_core::MockResponse;
use xtask::template::Template;

use super::cloudformation::USER_POOL;
use super::deployed::{Deployed, user_pool_arn};
use super::{Refusal, StackAccount, lock, logs, refusal};

/// The settings of the stack's user pool and of its app clients.
#[derive(Clone, Debug, Default)]
pub struct UserPool {
    /// Fields of DescribeUserPool.
    pub settings: Value,
    /// Fields of DescribeUserPoolClient, by id.
    pub clients: BTreeMap<String, Value>,
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
        Self { settings, clients: clients.collect() }
    }
}

impl StackAccount {
    /// Changes the settings of the user pool and of its app clients.
    pub fn change_user_pool(&self, change: impl FnOnce(&mut UserPool)) {
        change(&mut lock(&self.0.user_pool));
    }

    /// The answer of Cognito to an operation about settings. `None` for other operations.
    pub(super) fn user_pool_settings(&self, operation: &str, body: &[u8]) -> Option<MockResponse> {
        if !["DescribeUserPool", "ListUserPoolClients", "DescribeUserPoolClient"].contains(&operation) {
            return None;
        }
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        Some(match self.describe(operation, &input) {
            Ok(answer) => MockResponse::json(200, answer.to_string()),
            Err(refusal) => logs::error(&refusal),
        })
    }

    fn describe(&self, operation: &str, input: &Value) -> Result<Value, Refusal> {
        self.begin(operation)?;
        let pool = lock(&self.0.user_pool);
        let unknown = || refusal("ResourceNotFoundException", "User pool does not exist.");
        if input["UserPoolId"] != USER_POOL {
            return Err(unknown());
        }
        match operation {
            "DescribeUserPool" => Ok(json!({"UserPool": pool.settings})),
            "ListUserPoolClients" => {
                let client = |id: &String| json!({"ClientId": id, "UserPoolId": USER_POOL});
                Ok(json!({"UserPoolClients": pool.clients.keys().map(client).collect::<Vec<_>>()}))
            }
            _ => {
                let client = input["ClientId"].as_str().and_then(|id| pool.clients.get(id));
                Ok(json!({"UserPoolClient": client.ok_or_else(unknown)?}))
            }
        }
    }
}
