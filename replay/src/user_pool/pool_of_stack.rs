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
    /// Such as `UPDATE_COMPLETE`.
    pub status: String,
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
            status: details.status.clone(),
            functions: functions_of(&stack.name, &details)?,
            existing_pool: details.parameter("ExistingUserPoolId").map(str::to_owned),
            own_pool: stack.own_user_pool_id().map(str::to_owned),
        })
    }

    /// Refuses a stack whose functions or permissions can disappear, or are not all there yet.
    pub fn refuse_unstable(&self) -> Result<()> {
        match unstable(&self.status) {
            None => Ok(()),
            Some(next_step) => Err(CommandError::failed(format!(
                "nothing was changed: the stack {} has the status {}, and users could not sign in without its \
                 functions. {next_step}",
                self.name, self.status
            ))),
        }
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

/// The next step for a stack in a status in which a user pool must not call its functions. `None` in the
/// others.
fn unstable(status: &str) -> Option<&'static str> {
    if status.starts_with("DELETE_") {
        return Some("Deploy a stack that stays, and attach its triggers");
    }
    if status.ends_with("_IN_PROGRESS") {
        return Some("Wait until its deployment ends, and run the command again");
    }
    // CloudFormation deletes what such a stack has made.
    let has_never_worked = status.starts_with("ROLLBACK_") || status == "CREATE_FAILED";
    has_never_worked.then_some("Delete the stack, and deploy it again")
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
    let stack = managing_stack(&account.cloudformation(), &settings).await;
    if let Some(stack) = stack.map_err(|error| CommandError::from(error).context("nothing was changed"))? {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_that_changes_or_disappears_is_unstable() {
        for (status, expected) in [
            ("CREATE_COMPLETE", None),
            ("UPDATE_COMPLETE", None),
            ("UPDATE_ROLLBACK_COMPLETE", None),
            ("IMPORT_COMPLETE", None),
            ("CREATE_IN_PROGRESS", Some("Wait")),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Some("Wait")),
            ("UPDATE_ROLLBACK_IN_PROGRESS", Some("Wait")),
            ("DELETE_IN_PROGRESS", Some("Deploy a stack")),
            ("DELETE_FAILED", Some("Deploy a stack")),
            ("ROLLBACK_COMPLETE", Some("Delete")),
            ("ROLLBACK_FAILED", Some("Delete")),
            ("CREATE_FAILED", Some("Delete")),
        ] {
            let step = unstable(status);
            assert_eq!(step.is_some(), expected.is_some(), "{status}");
            assert!(step.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{status}");
        }
    }
}
