//! `replay user suspend` and `replay user reinstate`: options and output.

use clap::Args;
use jiff::Timestamp;
use shared::events::OPERATOR_SOURCE;
use shared::store::SignInState;
use shared::suspension::SuspensionStatus;
use shared::suspension_change::SuspensionChange;
use shared::text::printable;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::options::{ChangeOptions, TableOptions, check_sub};
use crate::output;
use crate::queue::filter::parse_time;

const EXAMPLES: &str = "\
Examples:
  replay user suspend 7d8ca528-4931-4254-9273-ea5ee853f271 --reason chargebacks
  replay user suspend 7d8ca528-4931-4254-9273-ea5ee853f271 --reason spam --until 2026-04-01 --yes
  replay user reinstate 7d8ca528-4931-4254-9273-ea5ee853f271 --reason settled --yes";

/// Suspend a user, with or without an end.
///
/// The triggers deny the user's next sign-in and every token refresh. Tokens that the user already
/// has stay valid until they expire. The user's cached pages are invalidated. If two decisions
/// conflict, the later one wins. The command is a dry run unless you pass --yes.
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

/// End a user's suspension.
///
/// The user's cached pages are invalidated. If two decisions conflict, the later one wins. The
/// command is a dry run unless you pass --yes.
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
    /// Reason for the decision, for your colleagues. The user never sees it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The operator who decides. [default: USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// The queue user-events, by name, ARN or URL. [default: USER_EVENTS_QUEUE_URL]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Write the decision even if the table has no profile of the user.
    #[arg(long)]
    without_profile: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

#[derive(Clone, Copy)]
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
            return Err(CommandError::invalid_input(
                "--reason is empty. Write the reason for your colleagues",
            ));
        }
        if let Action::Suspend { until: Some(until) } = action
            && until <= now
        {
            return Err(CommandError::invalid_input(
                "--until is in the past. To end a suspension, use `replay user reinstate`",
            ));
        }
        let account = change.open().await?;
        let store = account.store(table.table.as_deref())?;
        let user_events = account.user_events(queue.as_deref()).await?;
        let by = by.as_deref().unwrap_or(account.operator());
        let decision = match action {
            Action::Suspend { until } => SuspensionChange::suspend(&sub, &reason, until, by, now),
            Action::Reinstate => SuspensionChange::reinstate(&sub, &reason, by, now),
        };
        let stored = store.read_sign_in_state(&sub).await?;
        output::print(&render_plan(&decision, &stored, now))?;
        let (verb, done) = match action {
            Action::Suspend { .. } => ("suspend", "suspended"),
            Action::Reinstate => ("reinstate", "reinstated"),
        };
        if !change.yes {
            let flags = if stored.has_profile { "--yes" } else { "--yes --without-profile" };
            return output::not_done(&format!(
                "Dry run: nothing was changed. Add {flags} to {verb} the user."
            ));
        }
        if !stored.has_profile && !without_profile {
            return Err(CommandError::failed(
                "nothing was changed: the table has no profile of this user. Check the sub, or add \
                 --without-profile",
            ));
        }
        let applied = decision.apply(&store, &user_events, OPERATOR_SOURCE).await;
        if !applied.map_err(anyhow::Error::from)? {
            return Err(CommandError::failed(
                "nothing was changed: a newer decision about this user already exists",
            ));
        }
        output::done(&format!("User {done}. The user's cached pages are being invalidated."))
    }
}

fn render_plan(decision: &SuspensionChange, stored: &SignInState, now: Timestamp) -> String {
    let new = SuspensionStatus::after(&decision.suspension);
    format!(
        "user {}{}\n  now   {}\n  then  {}\n",
        decision.sub,
        if stored.has_profile { "" } else { " (no profile in this table)" },
        printable(&stored.suspension.describe(now)),
        printable(&new.describe(now))
    )
}
