//! `replay detach`.

use std::path::PathBuf;

use clap::Args;

use super::notes;
use crate::error::{CommandError, Result};
use crate::options::ChangeOptions;
use crate::user_pool::backup::Backup;
use crate::user_pool::execution::{Plan, Texts, check_functions};
use crate::user_pool::pool_of_stack::{TriggerStack, base, lambda_config, read_pool};
use crate::user_pool::triggers::StackFunctions;

const EXAMPLES: &str = "\
Examples:
  replay detach --stack cognito-user-events
  replay detach --stack cognito-user-events --yes
  replay detach --stack cognito-user-events --yes \\
    --restore user-pool-eu-central-1_EXAMPLE12-20260302T090000123Z.json
  replay detach --user-pool eu-central-1_EXAMPLE12 --restore backup.json";

/// Detach the triggers of a stack from its existing user pool.
///
/// Takes only the functions of the stack off. Run it before you delete the stack: if a user pool calls
/// functions that do not exist, every sign-up and sign-in fails. With --restore, the pool gets the functions
/// and settings of the file, without those of the stack. As `replay attach`, the command writes all settings to a
/// file, compares them afterwards, and is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Detach {
    /// Id of the user pool. [default: that of the file, or of the stack]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
    /// Restore the functions and settings of a file of an earlier attach or detach. Then --stack is not
    /// needed.
    #[arg(long, value_name = "FILE")]
    restore: Option<PathBuf>,
    /// New file for the settings from before the change. [default: user-pool-ID-TIME.json]
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Detach {
    pub async fn run(self) -> Result<()> {
        let backup = self.restore.as_deref().map(Backup::read).transpose()?;
        let account = self.change.open().await?;
        let stack = match (&backup, account.stack_name()) {
            (Some(_), None) => None,
            _ => Some(TriggerStack::read(&account).await?),
        };
        if let Some(stack) = &stack {
            stack.refuse_own_pool("AttachTriggers=false")?;
        }
        let of_file = backup.as_ref().map(|backup| backup.user_pool_id.as_str());
        let of_stack = stack.as_ref().and_then(|stack| stack.existing_pool.as_deref());
        let Some(id) = self.user_pool.as_deref().or(of_file).or(of_stack) else {
            return Err(CommandError::invalid_input("pass --user-pool: the stack has no user pool"));
        };
        let (api, before) = read_pool(&account, id).await?;
        let base = base(&before, backup.as_ref())?;
        let none = StackFunctions::none();
        let functions = stack.as_ref().map_or(&none, |stack| &stack.functions);
        let detached = functions.detached_from(base.lambda_config(), &lambda_config(&base)?);
        let target = base.with_lambda_config(detached);
        check_functions(&account, &before, &target, stack.as_ref()).await?;
        let plan = Plan {
            api: &api,
            stack: stack.as_ref().map(|stack| stack.name.as_str()),
            before: &before,
            target: &target,
            notes: notes(&lambda_config(&before)?, functions),
            restores: backup.is_some(),
        };
        let texts = Texts {
            dry_run: "Dry run: nothing was changed. Add --yes to detach the triggers.",
            done: if backup.is_some() { "Settings restored." } else { "Triggers detached." },
            nothing: "Nothing to do: the user pool calls no function of the stack.",
        };
        plan.execute(self.change.yes, self.json, self.backup, texts).await
    }
}
