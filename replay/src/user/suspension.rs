//! `replay user suspend` and `replay user reinstate`.

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use shared::store::Store;
use shared::suspension::{SuspensionChange, SuspensionStatus};
use shared::text::printable;
use shared::time::Clock;

use crate::error::InvalidInput;
use crate::options::{ChangeOptions, TableOptions, check_sub};
use crate::output;
use crate::queue::filter::parse_time;

/// CloudEvents source of the events that `replay` publishes.
pub const SOURCE: &str = "/replay";

const EXAMPLES: &str = "\
Examples:
  replay user suspend 7d8ca528-4931-4254-9273-ea5ee853f271 --reason chargebacks
  replay user suspend 7d8ca528-4931-4254-9273-ea5ee853f271 --reason spam --until 2026-04-01 --yes
  replay user reinstate 7d8ca528-4931-4254-9273-ea5ee853f271 --reason settled --yes";

/// Suspend a user, with or without an end.
///
/// The triggers deny the user's next sign-in and every token refresh. Tokens that the user has stay
/// valid until they expire. This is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Suspend {
    #[command(flatten)]
    pub options: SuspensionOptions,
    /// End of the suspension: a date (at 00:00 UTC), or a time such as 2026-04-01T12:00:00Z.
    /// [default: no end]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
}

/// End a user's suspension. This is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Reinstate {
    #[command(flatten)]
    pub options: SuspensionOptions,
}

/// Options of both commands.
#[derive(Debug, Args)]
pub struct SuspensionOptions {
    /// The user's sub.
    sub: String,
    /// Reason for your colleagues. The user never sees it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The operator who decides. [default: USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// The queue user-events, by name or URL. [default: USER_EVENTS_QUEUE_URL]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Go on if the table has no profile of the user.
    #[arg(long)]
    without_profile: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

enum Action {
    Suspend { until: Option<Timestamp> },
    Reinstate,
}

impl Suspend {
    pub async fn run(self) -> Result<()> {
        self.options.run(Action::Suspend { until: self.until }).await
    }
}

impl Reinstate {
    pub async fn run(self) -> Result<()> {
        self.options.run(Action::Reinstate).await
    }
}

impl SuspensionOptions {
    async fn run(self, action: Action) -> Result<()> {
        let Self { sub, reason, by, queue, without_profile, table, change } = self;
        let now = Clock::system().now();
        check_sub(&sub)?;
        if reason.trim().is_empty() {
            return InvalidInput::err("--reason is empty. Write why, for your colleagues");
        }
        if let Action::Suspend { until: Some(until) } = action
            && until <= now
        {
            return InvalidInput::err("--until is in the past. To end a suspension, use `replay user reinstate`");
        }
        let account = change.open().await?;
        let store = account.store(table.table.as_deref())?;
        let user_events = account.user_events(queue.as_deref()).await?;
        let by = by.as_deref().unwrap_or(account.operator());
        let (has_profile, status_now) = stored_status(&store, &sub, now).await?;
        let decision = match action {
            Action::Suspend { until } => SuspensionChange::suspend(&sub, &reason, until, by, now),
            Action::Reinstate => SuspensionChange::reinstate(&sub, &reason, by, now),
        };

        let suspension = decision.suspension.clone();
        let new_status =
            SuspensionStatus { is_banned: !suspension.is_reinstatement(), suspension: Some(suspension) };
        let unknown = if has_profile { "" } else { " (no profile in this table)" };
        writeln!(
            output::stdout(),
            "user {sub}{unknown}\n  now   {}\n  then  {}",
            printable(&status_now),
            printable(&new_status.describe(now))
        )?;
        if !change.yes {
            let flags = if has_profile { "--yes" } else { "--yes --without-profile" };
            return output::not_done(&format!("Dry run: nothing was changed. Add {flags} to apply it."));
        }
        if !has_profile && !without_profile {
            bail!(
                "nothing was changed: the table has no profile of this user. Check the sub, or add --without-profile"
            );
        }
        if !decision.apply(&store, &user_events, SOURCE).await? {
            bail!("nothing was changed: a newer decision about this user already exists");
        }
        output::done("Done. The decision is in force, and the user's cached pages are being evicted.")
    }
}

/// Whether a user has a profile, and their status in the table. A suspension that cannot be read
/// denies sign-in. The next decision replaces it.
pub async fn stored_status(store: &Store, sub: &str, now: Timestamp) -> Result<(bool, String)> {
    match store.profile_state(sub).await {
        Ok(profile) => Ok((profile.exists, profile.suspension.describe(now))),
        Err(error) if error.is_unreadable() => {
            Ok((true, "suspended, by a suspension that cannot be read".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
