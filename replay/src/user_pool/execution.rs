//! The steps that `replay attach` and `replay detach` share: check the functions, show the plan, write the
//! backup, make the change.

use std::path::PathBuf;

use futures_util::future::join_all;
use serde_json::Value;
use shared::invoke_permission::UserPoolArn;
use shared::lambda_config::CalledFunction;
use shared::time::Clock;

use super::api::PoolApi;
use super::backup::{Backup, default_name};
use super::change::Change;
use super::functions::{Invocation, invocation, newly_called};
use super::pool_of_stack::TriggerStack;
use super::report::{plan, render};
use super::settings::PoolSettings;
use crate::account::Account;
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::output;

/// A change that a command plans.
#[derive(Debug)]
pub struct Plan<'a> {
    pub api: &'a PoolApi,
    pub stack: Option<&'a str>,
    pub before: &'a PoolSettings,
    pub target: &'a PoolSettings,
    pub notes: Vec<String>,
    /// True with `--restore`.
    pub restores: bool,
}

/// Sentences for the end.
#[derive(Clone, Copy, Debug)]
pub struct Texts {
    pub dry_run: &'static str,
    pub done: &'static str,
    pub nothing: &'static str,
}

/// Refuses a change after which the pool calls a function that it may not invoke: every call that needs the
/// function would fail. A function that the pool calls already for the same trigger is checked only by a
/// restore, after which the pool should work.
pub async fn check_functions(
    account: &Account,
    before: &PoolSettings,
    target: &PoolSettings,
    stack: Option<&TriggerStack>,
    restores: bool,
) -> Result<()> {
    let known = if restores { &Value::Null } else { before.lambda_config() };
    let new = newly_called(known, target.lambda_config());
    let pool = UserPoolArn::parse(before.text("Arn"))
        .ok_or_else(|| CommandError::failed("Cognito returned a user pool with an invalid ARN"))?;
    let lambda = account.lambda();
    let results = join_all(new.iter().map(|arn| invocation(&lambda, arn, pool))).await;
    for (arn, result) in new.iter().zip(results) {
        let result = result.map_err(|error| CommandError::from(error).context("nothing was changed"))?;
        let problem = match result {
            Invocation::Allowed => continue,
            Invocation::NoFunction => "does not exist",
            Invocation::Denied => "does not let Cognito invoke it for this user pool",
        };
        let own = stack.filter(|stack| stack.functions.is_own(arn));
        let next_step = match own {
            // Only `attach` adds them, and only to the pool that has ExistingUserPoolId already.
            Some(stack) => {
                let step = match result {
                    Invocation::NoFunction => "see",
                    _ => "add the permission:",
                };
                format!(
                    "Wait until the deployment of the stack {} ends. If it has ended, {step} \
                     docs/operations.md#detached-triggers",
                    stack.name
                )
            }
            None => "Remove it from LambdaConfig in the file, or create it again".to_owned(),
        };
        let name = CalledFunction { arn: (*arn).to_owned(), event_version: None };
        return Err(CommandError::failed(format!(
            "nothing was changed: the function {} {problem}, so users could not sign in. {next_step}",
            name.name()
        )));
    }
    Ok(())
}

impl Plan<'_> {
    pub async fn execute(self, yes: bool, json: bool, backup: Option<PathBuf>, texts: Texts) -> Result<()> {
        let mut report = plan(self.stack, self.before, self.target, self.notes);
        let is_needed = !report.changes.is_empty();
        report.dry_run = !yes;
        if !json {
            output::print(&render(&report, output::width()))?;
        }
        if yes && is_needed {
            let now = Clock::system().now();
            let path = backup.unwrap_or_else(|| default_name(&report.user_pool, now).into());
            let stop = StopSignal::on_signals();
            Backup::new(self.before, self.stack.unwrap_or("NAME"), &path, now).write(&path)?;
            if !json {
                output::print(&format!("  settings from before are in {}\n", path.display()))?;
            }
            if stop.is_requested() {
                return Err(CommandError::interrupted("nothing was changed. Run the command again"));
            }
            let change = Change {
                api: self.api,
                before: self.before,
                target: self.target,
                backup: &path,
                restores: self.restores,
            };
            // A signal does not stop it: the comparison and the way back are part of the change.
            report.compared = Some(change.make().await?);
            report.backup = Some(path.display().to_string());
        }
        if json {
            return output::json(&report);
        }
        match report.compared {
            _ if !is_needed => output::done(texts.nothing),
            None => output::not_done(texts.dry_run),
            Some(count) => output::done_ignoring_broken_pipe(&format!(
                "{} {} settings were compared: all are as planned.",
                texts.done,
                output::number(count)
            )),
        }
    }
}
