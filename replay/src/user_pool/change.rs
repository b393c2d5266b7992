//! The update of a user pool: reads it again before and after, compares every setting, and puts the old
//! settings back if the update changed others than it should.
//!
//! UpdateUserPool has no condition, so a change by someone else is noticed only by reading. DescribeUserPool
//! is the last call before the update, except if a restore sets the MFA settings: then SetUserPoolMfaConfig
//! lies in between. A change by someone else in this time is overwritten.

use std::path::Path;
use std::time::Duration;

use super::api::{CallFailure, PoolApi};
use super::backup::quoted;
use super::display::list;
use super::settings::{LAMBDA_CONFIG, PoolSettings, SettingDifference};
use crate::error::{CommandError, Result};

/// Pauses before more attempts to put the old settings back, if Cognito throttles the calls.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// A change of the settings of a user pool.
#[derive(Debug)]
pub struct Change<'a> {
    pub api: &'a PoolApi,
    /// The settings that the operator saw.
    pub before: &'a PoolSettings,
    /// The settings that the pool should have.
    pub target: &'a PoolSettings,
    /// The file with `before`.
    pub backup: &'a Path,
    /// True if `before` has lost settings, so that it is not put back.
    pub restores: bool,
}

impl Change<'_> {
    /// Makes the change. Returns the number of settings that were compared afterwards.
    pub async fn make(&self) -> Result<usize> {
        self.check_unchanged().await?;
        let Written { is_mfa_set, result: written } = write(self.api, self.before, self.target).await;
        let after = match self.api.read().await {
            Ok(after) => after,
            Err(error) => return Err(self.unread(written.err(), error)),
        };
        let missing = self.target.differences(&after);
        // A timeout can hide an update that Cognito made.
        if missing.is_empty() {
            return Ok(self.target.count());
        }
        let changed = self.before.differences(&after);
        match written {
            // Only a restore sets the MFA settings. So this difference from before is its own.
            Err(failure) if is_mfa_set && self.target.has_mfa_of(&after) => {
                Err(CommandError::from(failure.error).context(format!(
                    "the MFA settings are restored, the others are not: {} differ from the file. Run the command again",
                    list(&missing)
                )))
            }
            Err(failure) if changed.is_empty() && !failure.is_refusal => Err(CommandError::from(failure.error)
                .context("no change is visible yet. Run the command again to see the settings")),
            Err(failure) if changed.is_empty() => {
                Err(CommandError::from(failure.error).context("nothing was changed"))
            }
            // Cognito made no change, so these are of someone else.
            Err(failure) if failure.is_refusal && !is_mfa_set => {
                let others =
                    format!("nothing was changed, but someone else changed {} meanwhile", list(&changed));
                Err(CommandError::from(failure.error).context(others))
            }
            Ok(()) if changed.is_empty() => Err(CommandError::failed(
                "Cognito accepted the update, but the user pool is as before. Run the command again",
            )),
            written if self.restores => {
                let text = format!(
                    "the settings are restored except for {}. Run the command again, or set them in the console",
                    list(&missing)
                );
                Err(with_failure(text, written))
            }
            _ => Err(self.put_back(&after).await),
        }
    }

    /// Refuses if the pool has changed since the operator saw it.
    async fn check_unchanged(&self) -> Result<()> {
        let now = self
            .api
            .read()
            .await
            .map_err(|error| CommandError::from(error).context("nothing was changed"))?;
        let changed = self.before.differences(&now);
        let modified = |settings: &PoolSettings| settings.pool["LastModifiedDate"].clone();
        if changed.is_empty() && modified(self.before) == modified(&now) {
            return Ok(());
        }
        let what = if changed.is_empty() { "it".to_owned() } else { list(&changed) };
        Err(CommandError::failed(format!(
            "nothing was changed: someone else changes the user pool ({what}). Run the command again"
        )))
    }

    /// The error if the pool cannot be read after the update.
    fn unread(&self, failure: Option<CallFailure>, error: anyhow::Error) -> CommandError {
        let failure = failure.map(|failure| format!(" ({})", CommandError::from(failure.error)));
        CommandError::from(error).context(format!(
            "the update was sent{}, but the user pool cannot be read. Run the command again: it shows the settings \
             as they are now. The settings from before are in {}",
            failure.unwrap_or_default(),
            self.backup.display()
        ))
    }

    /// Puts the settings from before the update back. Returns the error that says what happened.
    async fn put_back(&self, after: &PoolSettings) -> CommandError {
        let unwanted: Vec<_> = self.target.differences(after);
        let unwanted = list(&unwanted);
        let backup = quoted(self.backup);
        let mut written = write(self.api, after, self.before).await.result;
        let mut now = self.api.read().await;
        for pause in PAUSES {
            if !written.as_ref().is_err_and(|failure| failure.is_throttling) {
                break;
            }
            tokio::time::sleep(pause).await;
            // Someone else can have changed the pool meanwhile.
            now = self.api.read().await;
            let Ok(current) = &now else { break };
            written = write(self.api, current, self.before).await.result;
            now = self.api.read().await;
        }
        let (remaining, unplanned) = match now {
            Ok(now) => (self.before.differences(&now), self.target.differences(&now)),
            Err(error) => {
                return CommandError::from(error).context(format!(
                    "the update, or someone else meanwhile, also changed {unwanted}. The old settings were sent, but the user pool cannot be \
                     read. They are in {backup}: run `replay detach --restore {backup}`"
                ));
            }
        };
        if remaining.is_empty() {
            return CommandError::failed(format!(
                "the update, or someone else meanwhile, also changed {unwanted}. The old settings are back: {} settings are as before, and \
                 {LAMBDA_CONFIG} too. So the triggers are as before",
                self.before.count()
            ));
        }
        let has_triggers = |differences: &[SettingDifference]| {
            differences.iter().any(SettingDifference::is_of_lambda_config)
        };
        let triggers = match (has_triggers(&remaining), has_triggers(&unplanned)) {
            (false, _) => "as before",
            (true, false) => "as planned",
            (true, true) => "neither as before nor as planned",
        };
        let text = format!(
            "the update, or someone else meanwhile, also changed {unwanted}, and the old settings could not be put \
             back: {} differ from before. The triggers are {triggers}. Run `replay detach --restore {backup}`, or set them in the console",
            list(&remaining)
        );
        with_failure(text, written)
    }
}

/// The error with this text, and the failure behind it.
fn with_failure(text: String, written: Result<(), CallFailure>) -> CommandError {
    match written {
        Ok(()) => CommandError::failed(text),
        Err(failure) => CommandError::from(failure.error).context(text),
    }
}

/// What happened at [`write`].
struct Written {
    /// True if Cognito confirmed SetUserPoolMfaConfig.
    is_mfa_set: bool,
    /// The failure of the first call that failed.
    result: Result<(), CallFailure>,
}

/// Sets the settings of `target`. MFA comes first: UpdateUserPool refuses to switch on MFA that needs more
/// settings than the request can have.
async fn write(api: &PoolApi, now: &PoolSettings, target: &PoolSettings) -> Written {
    let is_mfa_set = !target.has_mfa_of(now);
    if is_mfa_set && let Err(failure) = api.set_mfa_config(target).await {
        return Written { is_mfa_set: false, result: Err(failure) };
    }
    Written { is_mfa_set, result: api.update(target).await }
}
