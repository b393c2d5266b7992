//! Cognito's calls for the settings of a user pool, with the raw JSON of requests and answers.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::config::retry::RetryConfig;
use aws_sdk_cognitoidentityprovider::config::{Config, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cognitoidentityprovider::types::UserPoolMfaType;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use super::settings::PoolSettings;
use crate::aws_error::{Service, aws_error};

/// One user pool.
#[derive(Debug)]
pub struct PoolApi {
    cognito: Client,
    pub id: String,
}

impl PoolApi {
    pub fn new(cognito: Client, id: impl Into<String>) -> Self {
        Self { cognito, id: id.into() }
    }

    /// Reads all settings. DescribeUserPool comes last: its time of the last change also shows a change
    /// between the two calls.
    pub async fn read(&self) -> Result<PoolSettings> {
        let mfa_config = self.mfa_config().await?;
        Ok(PoolSettings { pool: self.describe().await?, mfa_config })
    }

    /// `UserPool` of DescribeUserPool.
    pub async fn describe(&self) -> Result<Value> {
        let answer = RawAnswer::default();
        let call = self.cognito.describe_user_pool().user_pool_id(&self.id).customize();
        let call = call.interceptor(answer.clone()).send().await;
        call.map_err(aws_error(Service::Cognito, "DescribeUserPool"))?;
        let mut answer = answer.json("DescribeUserPool")?;
        match answer["UserPool"].take() {
            pool if pool["Id"] == self.id.as_str() => Ok(pool),
            _ => Err(anyhow!("Cognito DescribeUserPool: the answer is not about the user pool {}", self.id)),
        }
    }

    async fn mfa_config(&self) -> Result<Value> {
        let answer = RawAnswer::default();
        let call = self.cognito.get_user_pool_mfa_config().user_pool_id(&self.id).customize();
        let call = call.interceptor(answer.clone()).send().await;
        call.map_err(aws_error(Service::Cognito, "GetUserPoolMfaConfig"))?;
        answer.json("GetUserPoolMfaConfig")
    }

    /// Sets all settings. Calls once: before another attempt, the caller must read the settings again,
    /// because someone else could have changed them meanwhile.
    pub async fn update(&self, settings: &PoolSettings) -> Result<(), CallFailure> {
        let body = settings.update_request();
        let call = self.cognito.update_user_pool().user_pool_id(&self.id).customize();
        let call =
            call.mutate_request(move |request| replace_body(request, &body)).config_override(one_attempt());
        call.send().await.map(drop).map_err(failure("UpdateUserPool"))
    }

    /// Sets the MFA settings. Calls once.
    pub async fn set_mfa_config(&self, settings: &PoolSettings) -> Result<(), CallFailure> {
        let body = settings.mfa_request();
        let call = self.cognito.set_user_pool_mfa_config().user_pool_id(&self.id);
        let call = call.mfa_configuration(UserPoolMfaType::Off).customize();
        let call =
            call.mutate_request(move |request| replace_body(request, &body)).config_override(one_attempt());
        call.send().await.map(drop).map_err(failure("SetUserPoolMfaConfig"))
    }
}

/// A call that failed.
#[derive(Debug)]
pub struct CallFailure {
    pub error: anyhow::Error,
    /// True if Cognito refused the call, so that it changed nothing. False if nobody knows, such as after
    /// a timeout.
    pub is_refusal: bool,
    /// True if Cognito refused the call because there are too many.
    pub is_throttling: bool,
}

fn failure<E>(operation: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> CallFailure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |error| CallFailure {
        is_throttling: error.code() == Some("TooManyRequestsException"),
        is_refusal: error.raw_response().is_some_and(|response| response.status().is_client_error()),
        error: aws_error(Service::Cognito, operation)(error),
    }
}

fn one_attempt() -> aws_sdk_cognitoidentityprovider::config::Builder {
    Config::builder().retry_config(RetryConfig::disabled())
}

/// Replaces the body before the SDK signs the request.
fn replace_body(request: &mut HttpRequest, body: &Value) {
    let body = body.to_string();
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
}

/// Keeps the body of an answer.
#[derive(Clone, Debug, Default)]
struct RawAnswer(Arc<Mutex<Option<Vec<u8>>>>);

impl RawAnswer {
    fn json(&self, operation: &str) -> Result<Value> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        serde_json::from_slice(&body).with_context(|| format!("Cognito {operation}: the answer is not JSON"))
    }
}

impl Intercept for RawAnswer {
    fn name(&self) -> &'static str {
        "RawAnswer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().map(<[u8]>::to_vec);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}
