//! user-pool-watch: compares the functions that the user pool calls with those of the stack.
//!
//! CloudFormation does not notice if another tool changes the pool: UpdateUserPool removes all triggers
//! if it gets no LambdaConfig. Then suspended users can sign in, and every email domain can sign up,
//! and nothing fails. This function reads the pool on a schedule, and counts the differences for an
//! alarm. It also reads whether the pool may invoke the functions. Without the permission, Cognito
//! answers every sign-in with an error, and no function of the stack is invoked that could count it.

use std::collections::BTreeMap;

use aws_sdk_cognitoidentityprovider::error::ProvideErrorMetadata;
use aws_sdk_cognitoidentityprovider::types::{LambdaConfigType, UserPoolType};
use serde::Serialize;
use serde_json::{Value, json};
use shared::config::ConfigError;
use shared::function_context::FunctionContext;
use shared::function_id::FunctionId;
use shared::invoke_permission::UserPoolArn;
use shared::lambda_config::{Difference, LambdaConfig};
use shared::metric::Metric;
use shared::telemetry::{Metrics, Unit, chain};

use crate::run::Failure;

mod invoke_permissions;

pub struct Deps {
    user_pool_id: String,
    /// The functions of the stack.
    expected: LambdaConfig,
    cognito: aws_sdk_cognitoidentityprovider::Client,
    lambda: aws_sdk_lambda::Client,
    metrics: Metrics,
}

impl Deps {
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        let environment = &function.environment;
        let name = "LAMBDA_CONFIG";
        let expected = LambdaConfig::of_stack(&environment.required(name)?).map_err(|error| {
            ConfigError::new(name, format!("{error}; expected the stack's output LambdaConfig"))
        })?;
        Ok(Self {
            user_pool_id: environment.required("USER_POOL_ID")?,
            expected,
            cognito: aws_sdk_cognitoidentityprovider::Client::new(&function.aws),
            lambda: aws_sdk_lambda::Client::new(&function.aws),
            metrics: function.metrics.clone(),
        })
    }
}

/// The answer, for an operator who invokes the function.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub user_pool_id: String,
    /// Empty if the pool calls the functions of the stack, and may invoke them.
    pub differences: Vec<ReportedDifference>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ReportedDifference {
    /// The name of the trigger: `pre-sign-up`.
    pub trigger: &'static str,
    /// As [`DifferenceKind::code`](shared::lambda_config::DifferenceKind::code), or `not_permitted`.
    pub code: &'static str,
    /// What the pool does instead, as a sentence without a subject.
    pub pool: String,
}

impl From<&Difference> for ReportedDifference {
    fn from(difference: &Difference) -> Self {
        let Difference { trigger, kind } = difference;
        Self { trigger: trigger.name(), code: kind.code(), pool: kind.to_string() }
    }
}

impl ReportedDifference {
    fn not_permitted(trigger: FunctionId) -> Self {
        let pool = "may not invoke the function".to_owned();
        Self { trigger: trigger.name(), code: "not_permitted", pool }
    }
}

/// Compares the pool with the stack, logs each difference, and measures the number of triggers that
/// have one.
pub async fn handle(deps: &Deps) -> Result<Report, Failure> {
    let (actual, arn) = read(deps).await?;
    let not_permitted = invoke_permissions::not_permitted(&deps.lambda, &deps.expected, pool_arn(&arn)?);
    let not_permitted = not_permitted.await.map_err(|error| {
        failure("the permissions of the triggers cannot be read", error.code(), &error.to_string())
    })?;
    let not_permitted = not_permitted.into_iter();
    let mut differences: BTreeMap<FunctionId, ReportedDifference> =
        not_permitted.map(|trigger| (trigger, ReportedDifference::not_permitted(trigger))).collect();
    // If the pool calls another function, its permission for ours is not what is missing first.
    let of_pool = deps.expected.differences(&actual);
    differences.extend(of_pool.iter().map(|each| (each.trigger, ReportedDifference::from(each))));
    let differences: Vec<ReportedDifference> = differences.into_values().collect();
    for ReportedDifference { trigger, code, pool } in &differences {
        tracing::error!(error_type = code, trigger, pool, "the user pool differs from the stack");
    }
    // Zero is a measurement too: it ends the alarm.
    deps.metrics.measure(Metric::TriggerDifferences, Unit::Count, differences.len() as f64);
    Ok(Report { user_pool_id: deps.user_pool_id.clone(), differences })
}

const UNREADABLE_POOL: &str = "the user pool cannot be read";

/// What the pool calls, and its ARN.
async fn read(deps: &Deps) -> Result<(LambdaConfig, String), Failure> {
    let answer = deps.cognito.describe_user_pool().user_pool_id(&deps.user_pool_id).send().await;
    let pool = answer
        .map_err(|error| failure(UNREADABLE_POOL, error.code(), &chain(&shared::aws::cause(&error))))?;
    let pool = pool.user_pool.unwrap_or_else(|| UserPoolType::builder().build());
    let config = pool.lambda_config().map(to_json).unwrap_or_default();
    let config = LambdaConfig::from_json(&config)
        .map_err(|error| failure(UNREADABLE_POOL, None, &error.to_string()))?;
    Ok((config, pool.arn.unwrap_or_default()))
}

fn pool_arn(arn: &str) -> Result<UserPoolArn<'_>, Failure> {
    UserPoolArn::parse(arn).ok_or_else(|| failure(UNREADABLE_POOL, None, "the answer has no ARN"))
}

/// Logs a failed call. `aws_code` is the error code of AWS.
fn failure(message: &'static str, aws_code: Option<&str>, cause: &str) -> Failure {
    let throttles = ["TooManyRequestsException", "ThrottlingException", "Throttling"];
    let code = match aws_code {
        Some(code) if throttles.contains(&code) => "throttled",
        _ => "failed",
    };
    tracing::error!(error_type = code, cause, "{message}");
    Failure { code, message }
}

/// The triggers that [`LambdaConfig`] has, as Cognito writes them.
fn to_json(config: &LambdaConfigType) -> Value {
    let versioned = config.pre_token_generation_config().map(
        |config| json!({"LambdaArn": config.lambda_arn(), "LambdaVersion": config.lambda_version().as_str()}),
    );
    json!({
        "PreSignUp": config.pre_sign_up(),
        "PostConfirmation": config.post_confirmation(),
        "PreAuthentication": config.pre_authentication(),
        "PreTokenGeneration": config.pre_token_generation(),
        "PreTokenGenerationConfig": versioned,
        "CustomMessage": config.custom_message(),
    })
}
