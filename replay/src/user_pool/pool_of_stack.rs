//! The user pool that a command changes, with the functions of the stack.

use shared::lambda_config::LambdaConfig;

use super::api::PoolApi;
use super::backup::Backup;
use super::managing_stack::managing_stack;
use super::settings::PoolSettings;
use super::triggers::StackFunctions;
use crate::account::Account;
use crate::error::{CommandError, Result};
use crate::stack::{StackDetails, read_details};
use crate::user::pool::check_id;

/// A stack, for a command that attaches or detaches its triggers.
#[derive(Debug)]
pub struct TriggerStack {
    pub name: String,
    pub functions: StackFunctions,
    /// ExistingUserPoolId. `None` if the stack has a pool of its own.
    pub existing_pool: Option<String>,
    /// The pool of the stack itself.
    pub own_pool: Option<String>,
}

impl TriggerStack {
    pub async fn read(account: &Account) -> Result<Self> {
        let stack = account.stack().await?;
        let details = read_details(&account.cloudformation(), &stack.name).await?;
        Ok(Self {
            name: stack.name.clone(),
            functions: functions_of(&stack.name, &details)?,
            existing_pool: details.parameter("ExistingUserPoolId").map(str::to_owned),
            own_pool: stack.own_user_pool_id().map(str::to_owned),
        })
    }

    /// Why the triggers of the stack's own pool are not for this command.
    pub fn refuse_own_pool(&self, parameter: &str) -> Result<()> {
        match &self.own_pool {
            None => Ok(()),
            Some(pool) => Err(CommandError::failed(format!(
                "nothing was changed: the stack {} manages the user pool {pool}. Deploy it with {parameter}",
                self.name
            ))),
        }
    }
}

/// The output `LambdaConfig`.
pub fn functions_of(stack: &str, details: &StackDetails) -> Result<StackFunctions> {
    let output = details.outputs.get("LambdaConfig").ok_or_else(|| {
        CommandError::failed(format!(
            "--stack {stack}: the stack has no output LambdaConfig. Wait until its deployment ends, or deploy it"
        ))
    })?;
    StackFunctions::from_output(output).map_err(|problem| {
        CommandError::failed(format!("--stack {stack}: the output LambdaConfig is unreadable: {problem}"))
    })
}

/// Reads a pool, and refuses one that a command must not change.
pub async fn read_pool(account: &Account, id: &str) -> Result<(PoolApi, PoolSettings)> {
    check_id(id, account.region())?;
    let api = PoolApi::new(account.cognito(), id);
    let settings = api.read().await?;
    let unknown = settings.unknown_settings();
    if !unknown.is_empty() {
        return Err(CommandError::failed(format!(
            "nothing was changed: the user pool has settings that this version of replay does not know ({}), and an \
             update could reset them. Install a newer version, or use the console",
            unknown.join(", ")
        )));
    }
    if let Some(stack) = managing_stack(&account.cloudformation(), &settings).await {
        return Err(CommandError::failed(format!(
            "nothing was changed: CloudFormation manages the user pool, in the stack {stack}. Put the output \
             LambdaConfig into the template of that stack: otherwise its next deployment undoes the change"
        )));
    }
    Ok((api, settings))
}

/// The triggers of a pool.
pub fn lambda_config(settings: &PoolSettings) -> Result<LambdaConfig> {
    LambdaConfig::from_json(settings.lambda_config()).map_err(|error| {
        CommandError::failed(format!("the user pool has an unreadable LambdaConfig: {error}"))
    })
}

/// The settings on which a change is based: those of the backup, or the current ones.
pub fn base(settings: &PoolSettings, backup: Option<&Backup>) -> Result<PoolSettings> {
    let Some(backup) = backup else { return Ok(settings.clone()) };
    let id = settings.text("Id");
    if backup.user_pool_id != id {
        return Err(CommandError::invalid_input(format!(
            "--restore: the file is about the user pool {}, and the command about {id}",
            backup.user_pool_id
        )));
    }
    let restored = backup.settings();
    let unknown = restored.unknown_settings();
    if !unknown.is_empty() {
        return Err(CommandError::invalid_input(format!(
            "--restore: the file has settings that this version of replay does not know ({}), so it cannot restore \
             them. Install a newer version, or correct the file",
            unknown.join(", ")
        )));
    }
    Ok(settings.with_settings_of(&restored))
}
