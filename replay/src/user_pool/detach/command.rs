//! `replay detach`.

use std::path::PathBuf;

use clap::Args;
use futures_util::future::join_all;
use shared::lambda_config::LambdaConfig;

use super::{StacksOfFunctions, notes};
use crate::account::Account;
use crate::error::{CommandError, Result};
use crate::options::ChangeOptions;
use crate::user_pool::backup::Backup;
use crate::user_pool::execution::{Plan, Texts, check_functions};
use crate::user_pool::functions::stack_of_template;
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
/// and settings of the file, without those of the stack. Like `replay attach`, the command writes all settings to a
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
            _ => Some(TriggerStack::read(&account).await.map_err(with_way_without_stack)?),
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
        check_functions(&account, &before, &target, stack.as_ref(), backup.is_some()).await?;
        let called = (lambda_config(&before)?, lambda_config(&target)?);
        let stacks = stacks_of(&account, stack.as_ref(), [&called.0, &called.1]).await;
        let plan = Plan {
            api: &api,
            stack: stack.as_ref().map(|stack| stack.name.as_str()),
            before: &before,
            target: &target,
            notes: notes(&called.0, &called.1, &stacks, backup.is_some()),
            restores: backup.is_some(),
        };
        plan.execute(self.change.yes, self.json, self.backup, texts(backup.is_some(), stack.is_some())).await
    }
}

/// Adds how to detach the triggers of a stack that is gone.
fn with_way_without_stack(error: CommandError) -> CommandError {
    match error {
        CommandError::InvalidInput(text) if text.contains("does not exist") => {
            CommandError::invalid_input(format!(
                "{text}. If the stack is deleted, unset STACK_NAME, leave --stack out, and run `replay detach --user-pool \
             ID --restore FILE`"
            ))
        }
        error => error,
    }
}

fn texts(restores: bool, has_stack: bool) -> Texts {
    match (restores, has_stack) {
        (false, _) => Texts {
            dry_run: "Dry run: nothing was changed. Add --yes to detach the triggers.",
            done: "Triggers detached.",
            nothing: "Nothing to do: the user pool calls no function of the stack.",
        },
        (true, has_stack) => Texts {
            dry_run: "Dry run: nothing was changed. Add --yes to restore the settings.",
            done: "Settings restored.",
            nothing: match has_stack {
                true => {
                    "Nothing to do: the settings are those of the file, without the functions of the stack."
                }
                false => "Nothing to do: the settings are those of the file.",
            },
        },
    }
}

/// The stacks of the functions that a pool calls before and after. With `--stack`, only this one counts.
async fn stacks_of(
    account: &Account,
    stack: Option<&TriggerStack>,
    configs: [&LambdaConfig; 2],
) -> StacksOfFunctions {
    let lambda = account.lambda();
    let called = configs.into_iter().flat_map(LambdaConfig::iter);
    let named = called.map(async |(trigger, function)| {
        let name = match stack {
            Some(stack) => stack.functions.is_own(&function.arn).then(|| stack.name.clone()),
            None => stack_of_template(&lambda, trigger, &function.arn).await,
        };
        Some((function.arn.clone(), name?))
    });
    join_all(named).await.into_iter().flatten().collect()
}
