//! user-pool-watch: compares the functions that the user pool calls with those of the stack.
//!
//! CloudFormation does not notice if another tool changes the pool: UpdateUserPool removes all triggers
//! if it gets no LambdaConfig. Then suspended users can sign in, and every email domain can sign up,
//! and nothing fails. This function reads the pool on a schedule, and counts the differences for an
//! alarm.

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::ProvideErrorMetadata;
use aws_sdk_cognitoidentityprovider::types::LambdaConfigType;
use serde::Serialize;
use serde_json::{Value, json};
use shared::config::ConfigError;
use shared::function_context::FunctionContext;
use shared::lambda_config::{Difference, LambdaConfig};
use shared::metric::Metric;
use shared::telemetry::{Metrics, Unit, chain};

use crate::run::Failure;

pub struct Deps {
    user_pool_id: String,
    /// The functions of the stack.
    expected: LambdaConfig,
    cognito: Client,
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
            cognito: Client::new(&function.aws),
            metrics: function.metrics.clone(),
        })
    }
}

/// The answer, for an operator who invokes the function.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub user_pool_id: String,
    /// Empty if the pool calls the functions of the stack.
    pub differences: Vec<ReportedDifference>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ReportedDifference {
    /// The name of the trigger: `pre-sign-up`.
    pub trigger: &'static str,
    /// See [`DifferenceKind::code`](shared::lambda_config::DifferenceKind::code).
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

/// Compares the pool with the stack, logs each difference, and measures their number.
pub async fn handle(deps: &Deps) -> Result<Report, Failure> {
    let actual = read(deps).await?;
    let differences: Vec<ReportedDifference> =
        deps.expected.differences(&actual).iter().map(ReportedDifference::from).collect();
    for ReportedDifference { trigger, code, pool } in &differences {
        tracing::error!(error_type = code, trigger, pool, "the user pool differs from the stack");
    }
    // Zero is a measurement too: it ends the alarm.
    deps.metrics.measure(Metric::TriggerDifferences, Unit::Count, differences.len() as f64);
    Ok(Report { user_pool_id: deps.user_pool_id.clone(), differences })
}

async fn read(deps: &Deps) -> Result<LambdaConfig, Failure> {
    let answer = deps.cognito.describe_user_pool().user_pool_id(&deps.user_pool_id).send().await;
    let pool = match answer {
        Ok(answer) => answer.user_pool,
        Err(error) => {
            let throttles = ["TooManyRequestsException", "ThrottlingException", "Throttling"];
            let code = match error.code() {
                Some(code) if throttles.contains(&code) => "throttled",
                _ => "failed",
            };
            return Err(failure(code, &chain(&shared::aws::cause(&error))));
        }
    };
    let config = pool.and_then(|pool| pool.lambda_config).as_ref().map(to_json);
    LambdaConfig::from_json(&config.unwrap_or_default())
        .map_err(|error| failure("failed", &error.to_string()))
}

fn failure(code: &'static str, cause: &str) -> Failure {
    let message = "the user pool cannot be read";
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
