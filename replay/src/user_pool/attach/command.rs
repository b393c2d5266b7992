//! `replay attach`.

use std::path::PathBuf;

use clap::Args;
use futures_util::future::join_all;
use shared::function_id::FunctionId;

use super::{LOST_SETTINGS, notes, obstacle, replaced_in_file, undecided};
use crate::account::Account;
use crate::error::{CommandError, Result};
use crate::options::ChangeOptions;
use crate::user_pool::backup::Backup;
use crate::user_pool::execution::{Plan, Texts, check_functions};
use crate::user_pool::functions::stack_of_template;
use crate::user_pool::pool_of_stack::{TriggerStack, base, lambda_config, read_pool};
use crate::user_pool::triggers::{Choices, OtherFunction, parse_trigger};

const EXAMPLES: &str = "\
Examples:
  replay attach --stack cognito-user-events
  replay attach --stack cognito-user-events --yes
  replay attach --stack cognito-user-events --replace pre-sign-up --keep custom-message --yes
  replay attach --stack cognito-user-events --yes \\
    --restore user-pool-eu-central-1_EXAMPLE12-20260302T090000123Z.json";

/// Attach the triggers of a stack to its existing user pool.
///
/// Shows the difference, writes all settings of the user pool to a file, updates the pool, reads it again
/// and compares every setting. If the update changed another setting than the triggers, the old settings
/// are put back. The command refuses a pool with a setting that it does not know, because an update could
/// reset it. The command is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Attach {
    /// Id of the user pool. Only that of the stack is accepted. [default: that of the stack]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
    /// Triggers for which the functions of the stack replace others. Separated by commas.
    #[arg(long, value_name = "TRIGGER", value_delimiter = ',', value_parser = parse_trigger)]
    replace: Vec<FunctionId>,
    /// Replace the functions of others for all triggers.
    #[arg(long, conflicts_with = "replace")]
    replace_all: bool,
    /// Triggers that keep the functions of others. Separated by commas.
    #[arg(long, value_name = "TRIGGER", value_delimiter = ',', value_parser = parse_trigger)]
    keep: Vec<FunctionId>,
    /// Also restore the settings of the user pool from a file of an earlier attach or detach.
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

impl Attach {
    pub async fn run(self) -> Result<()> {
        let backup = self.restore.as_deref().map(Backup::read).transpose()?;
        let account = self.change.open().await?;
        let stack = TriggerStack::read(&account).await?;
        stack.refuse_own_pool("AttachTriggers=true")?;
        stack.refuse_unstable()?;
        let id = self.pool_id(&stack)?;
        let (api, before) = read_pool(&account, id).await?;
        let base = base(&before, backup.as_ref())?;
        if let Some(problem) = obstacle(&base, &stack.functions) {
            return Err(CommandError::failed(format!("nothing was changed: {problem}")));
        }
        let called = lambda_config(&before)?;
        let others = stack.functions.others(&lambda_config(&base)?);
        // The pool does not call the others of a backup, so that nothing is taken from it.
        let (of_pool, of_file): (Vec<_>, Vec<_>) =
            others.iter().cloned().partition(|(trigger, _)| called.get(*trigger).is_some());
        let choices = self.decide(&account, &others, &of_pool).await?;
        let target = stack.functions.attached_to(base.lambda_config(), &choices);
        let target = base.with_lambda_config(target);
        check_functions(&account, &before, &target, Some(&stack), backup.is_some()).await?;
        let mut notes = notes(&others, &choices);
        notes.extend(of_file.iter().filter_map(|other| replaced_in_file(other, &choices)));
        if backup.is_none() && !called.iter().any(|(_, function)| stack.functions.is_own(&function.arn)) {
            notes.push(LOST_SETTINGS.to_owned());
        }
        let plan = Plan {
            api: &api,
            stack: Some(&stack.name),
            before: &before,
            target: &target,
            notes,
            restores: backup.is_some(),
        };
        let texts = match backup {
            None => Texts {
                dry_run: "Dry run: nothing was changed. Add --yes to attach the triggers.",
                done: "Triggers attached.",
                nothing: "Nothing to do: the triggers are attached.",
            },
            Some(_) => Texts {
                dry_run: "Dry run: nothing was changed. Add --yes to restore the settings and attach the triggers.",
                done: "Settings restored, triggers attached.",
                nothing: "Nothing to do: the triggers are attached, and the other settings are those of the file.",
            },
        };
        plan.execute(self.change.yes, self.json, self.backup, texts).await
    }

    /// The existing pool of the stack, which is the only one that may invoke the functions.
    fn pool_id<'a>(&self, stack: &'a TriggerStack) -> Result<&'a str> {
        let Some(pool) = stack.existing_pool.as_deref() else {
            return Err(CommandError::failed(format!(
                "nothing was changed: the stack {} has no user pool. Deploy it with ExistingUserPoolId",
                stack.name
            )));
        };
        match self.user_pool.as_deref().filter(|id| *id != pool) {
            None => Ok(pool),
            Some(other) => Err(CommandError::invalid_input(format!(
                "--user-pool {other}: only {pool} may invoke the functions of the stack {}. Deploy it with \
                 ExistingUserPoolId={other}, or leave the option out",
                stack.name
            ))),
        }
    }

    /// The operator's choices about `others`. Those that the pool calls need one.
    async fn decide(
        &self,
        account: &Account,
        others: &[OtherFunction],
        of_pool: &[OtherFunction],
    ) -> Result<Choices> {
        let choices =
            Choices { replace: self.replace.clone(), replace_all: self.replace_all, keep: self.keep.clone() };
        if let Some(problem) = choices.contradiction(others) {
            return Err(CommandError::invalid_input(problem));
        }
        let open = choices.undecided(of_pool);
        if open.is_empty() {
            return Ok(choices);
        }
        let lambda = account.lambda();
        let stacks = join_all(
            open.iter().map(|(trigger, function)| stack_of_template(&lambda, *trigger, &function.arn)),
        )
        .await;
        let open: Vec<_> = open.into_iter().zip(stacks).collect();
        Err(CommandError::invalid_input(undecided(&open)))
    }
}
