//! The Lambda functions as the sandbox runs them: the handlers that Lambda calls, with the
//! dependencies of the sandbox account.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use scheduled::user_pool_watch;
use shared::config::ConfigError;
use shared::function_id::FunctionId;
use triggers::{TriggerError, TriggerEvent};
use workers::{
    BatchError, account_activity, cache_invalidation, group_membership, resource_permission, user_stats,
};

use crate::aws::SandboxAccount;

/// Invokes a trigger. `variables` are its own environment variables.
pub async fn invoke_trigger(
    account: &SandboxAccount,
    function: FunctionId,
    variables: &BTreeMap<String, String>,
    event: TriggerEvent,
) -> Result<Result<TriggerEvent, TriggerError>> {
    let context = account.function(function, variables);
    macro_rules! invoke {
        ($module:ident) => {
            triggers::$module::handle(&triggers::$module::Deps::new(&context)?, event).await
        };
    }
    Ok(match function {
        FunctionId::PreSignUp => invoke!(pre_sign_up),
        FunctionId::PostConfirmation => invoke!(post_confirmation),
        FunctionId::PreAuthentication => invoke!(pre_authentication),
        FunctionId::PreTokenGeneration => invoke!(pre_token_generation),
        FunctionId::CustomMessage => invoke!(custom_message),
        FunctionId::UserStats
        | FunctionId::CacheInvalidation
        | FunctionId::GroupMembership
        | FunctionId::ResourcePermission
        | FunctionId::AccountActivity
        | FunctionId::ReadApi
        | FunctionId::UserPoolWatch => bail!("{function} is not a trigger"),
    })
}

/// Invokes the read API. `variables` are its own environment variables.
pub async fn invoke_http_api(
    account: &SandboxAccount,
    variables: &BTreeMap<String, String>,
    request: api::Request,
) -> Result<api::Response, ConfigError> {
    let context = account.function(FunctionId::ReadApi, variables);
    Ok(api::handle(&api::Deps::new(&context)?, request).await)
}

/// Invokes user-pool-watch. `variables` are its own environment variables.
pub async fn invoke_user_pool_watch(
    account: &SandboxAccount,
    variables: &BTreeMap<String, String>,
) -> Result<Result<user_pool_watch::Report, scheduled::Failure>, ConfigError> {
    let context = account.function(FunctionId::UserPoolWatch, variables);
    Ok(user_pool_watch::handle(&user_pool_watch::Deps::new(&context)?).await)
}

/// Builds the dependencies of a function, as its start in Lambda does. `variables` are its own
/// environment variables.
pub fn check_start(
    account: &SandboxAccount,
    function: FunctionId,
    variables: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    let context = account.function(function, variables);
    match function {
        FunctionId::PreSignUp => triggers::pre_sign_up::Deps::new(&context).map(drop),
        FunctionId::PostConfirmation => triggers::post_confirmation::Deps::new(&context).map(drop),
        FunctionId::PreAuthentication => triggers::pre_authentication::Deps::new(&context).map(drop),
        FunctionId::PreTokenGeneration => triggers::pre_token_generation::Deps::new(&context).map(drop),
        FunctionId::CustomMessage => triggers::custom_message::Deps::new(&context).map(drop),
        FunctionId::UserStats => user_stats::Deps::new(&context).map(drop),
        FunctionId::CacheInvalidation => cache_invalidation::Deps::new(&context).map(drop),
        FunctionId::GroupMembership => group_membership::Deps::new(&context).map(drop),
        FunctionId::ResourcePermission => resource_permission::Deps::new(&context).map(drop),
        FunctionId::AccountActivity => account_activity::Deps::new(&context).map(drop),
        FunctionId::ReadApi => api::Deps::new(&context).map(drop),
        FunctionId::UserPoolWatch => user_pool_watch::Deps::new(&context).map(drop),
    }
}

/// A worker that was started once and handles many batches, as in Lambda.
pub enum Worker {
    UserStats(user_stats::Deps),
    CacheInvalidation(cache_invalidation::Deps),
    GroupMembership(group_membership::Deps),
    ResourcePermission(resource_permission::Deps),
    AccountActivity(account_activity::Deps),
}

impl Worker {
    /// Starts a worker. `variables` are its own environment variables.
    pub fn start(
        account: &SandboxAccount,
        function: FunctionId,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let context = account.function(function, variables);
        let worker = match function {
            FunctionId::UserStats => user_stats::Deps::new(&context).map(Self::UserStats),
            FunctionId::CacheInvalidation => {
                cache_invalidation::Deps::new(&context).map(Self::CacheInvalidation)
            }
            FunctionId::GroupMembership => group_membership::Deps::new(&context).map(Self::GroupMembership),
            FunctionId::ResourcePermission => {
                resource_permission::Deps::new(&context).map(Self::ResourcePermission)
            }
            FunctionId::AccountActivity => account_activity::Deps::new(&context).map(Self::AccountActivity),
            FunctionId::PreSignUp
            | FunctionId::PostConfirmation
            | FunctionId::PreAuthentication
            | FunctionId::PreTokenGeneration
            | FunctionId::CustomMessage
            | FunctionId::ReadApi
            | FunctionId::UserPoolWatch => bail!("{function} is not a worker"),
        };
        worker.context(function.name())
    }

    pub async fn handle(&self, event: SqsEvent, deadline: Timestamp) -> Result<SqsBatchResponse, BatchError> {
        match self {
            Self::UserStats(deps) => user_stats::handle(deps, event, deadline).await,
            Self::CacheInvalidation(deps) => cache_invalidation::handle(deps, event, deadline).await,
            Self::GroupMembership(deps) => group_membership::handle(deps, event, deadline).await,
            Self::ResourcePermission(deps) => resource_permission::handle(deps, event, deadline).await,
            Self::AccountActivity(deps) => account_activity::handle(deps, event, deadline).await,
        }
    }
}
