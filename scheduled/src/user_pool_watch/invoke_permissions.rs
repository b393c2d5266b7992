//! Reads whether the user pool may invoke the triggers.

use std::collections::BTreeSet;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::ProvideErrorMetadata;
use futures_util::future::try_join_all;
use shared::aws::FailedCall;
use shared::function_id::FunctionId;
use shared::invoke_permission::{UserPoolArn, may_invoke};
use shared::lambda_config::LambdaConfig;

/// The triggers that the pool may not invoke. One call for each trigger, at the same time.
pub async fn not_permitted(
    lambda: &Client,
    expected: &LambdaConfig,
    user_pool: UserPoolArn<'_>,
) -> Result<BTreeSet<FunctionId>, FailedCall> {
    let checks = expected.iter().map(|(trigger, function)| async move {
        Ok::<_, FailedCall>((trigger, is_permitted(lambda, &function.arn, user_pool).await?))
    });
    let checks = try_join_all(checks).await?.into_iter();
    Ok(checks.filter(|(_, is_permitted)| !is_permitted).map(|(trigger, _)| trigger).collect())
}

async fn is_permitted(lambda: &Client, arn: &str, user_pool: UserPoolArn<'_>) -> Result<bool, FailedCall> {
    match lambda.get_policy().function_name(arn).send().await {
        Ok(answer) => Ok(may_invoke(answer.policy().unwrap_or_default(), user_pool)),
        // The function has no policy, or does not exist.
        Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(false),
        Err(error) => Err(shared::aws::cause(&error)),
    }
}
