//! Names in the account: its number, its user pool, and the functions that the pool calls.

use serde_json::{Value, json};
use shared::function_id::FunctionId;
use shared::lambda_config;

use super::sdk_client::REGION;

/// The account's number.
pub const ACCOUNT_ID: &str = "123456789012";
/// The user pool in `events/`.
pub const USER_POOL_ID: &str = "eu-central-1_EXAMPLE01";

/// The ARN of a trigger.
pub fn trigger_arn(trigger: FunctionId) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:cognito-user-events-{trigger}")
}

/// Which functions the user pool calls if the triggers are attached, as Cognito writes it.
pub fn attached_triggers() -> Value {
    let mut config: Value = FunctionId::triggers()
        .map(|trigger| (lambda_config::field(trigger).to_owned(), Value::from(trigger_arn(trigger))))
        .collect();
    config[lambda_config::VERSIONED_FIELD] =
        json!({"LambdaArn": trigger_arn(FunctionId::PreTokenGeneration), "LambdaVersion": "V2_0"});
    config
}
