//! `replay suspend` and `replay reinstate`

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use replay::filter::parse_time;
use replay::report::printable;
use replay::suspension::{Decision, standing, stored_standing};
use shared::ban::BanStatus;
use shared::time::Clock;

use super::{ActOptions, InvalidInput, TableOptions, check_sub};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay suspend 7d8ca528-4931-4254-9273-ea5ee853f271 --reason chargebacks
  replay suspend 7d8ca528-4931-4254-9273-ea5ee853f271 --reason spam --until 2026-04-01 --yes
  replay reinstate 7d8ca528-4931-4254-9273-ea5ee853f271 --reason settled --yes";

/// Keep a user out, from now on, until a time or for good.
///
/// The ban holds on the next sign-in and on every refresh of a token. Tokens that are out stay valid until they expire.
/// Shows what it would do, and does it with --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Suspend {
    #[command(flatten)]
    pub decision: DecisionOptions,
    /// When the ban ends by itself: a date (at 00:00 UTC), or a time such as 2026-04-01T12:00:00Z. [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
}

/// Lift a user's ban. Shows what it would do, and does it with --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Reinstate {
    #[command(flatten)]
    pub decision: DecisionOptions,
}

/// What both decisions about a user need.
#[derive(Debug, Args)]
pub struct DecisionOptions {
    /// The user, by sub.
    sub: String,
    /// Why, for your colleagues. Never shown to the user.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who decides. [default: USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// The queue user-events, by name or URL. [default: USER_EVENTS_QUEUE_URL]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Do it also where the table has no profile of the user.
    #[arg(long)]
    without_profile: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub act: ActOptions,
}

impl Suspend {
    /// Bans.
    pub async fn run(self) -> Result<()> {
        self.decision.carry_out(Some(self.until)).await
    }
}

impl Reinstate {
    /// Lifts a ban.
    pub async fn run(self) -> Result<()> {
        self.decision.carry_out(None).await
    }
}

impl DecisionOptions {
    /// Bans until a time (`Some(None)`: for good), or lifts the ban.
    async fn carry_out(self, suspend_until: Option<Option<Timestamp>>) -> Result<()> {
        let Self { sub, reason, by, queue, without_profile, table, act } = self;
        let now = Clock::system().now();
        check_sub(&sub)?;
        if reason.trim().is_empty() {
            return InvalidInput::told("--reason: is empty");
        }
        if suspend_until.flatten().is_some_and(|until| until <= now) {
            return InvalidInput::told("--until: lies in the past; to lift a ban, use reinstate");
        }
        let account = act.open().await?;
        let store = account.store(table.table.as_deref())?;
        let user_events = account.user_events(queue.as_deref()).await?;
        let by = by.as_deref().unwrap_or(account.operator());
        let (profile, standing_now) = stored_standing(&store, &sub, now).await?;
        let decision = match suspend_until {
            Some(until) => Decision::suspend(&sub, &reason, until, by, now),
            None => Decision::reinstate(&sub, &reason, by, now),
        };

        let then = BanStatus { is_banned: !decision.ban.is_lifted(), ban: Some(decision.ban.clone()) };
        let unknown = if profile { "" } else { ", who has no profile in this table" };
        writeln!(
            output::stdout(),
            "user {sub}{unknown}\n  now   {}\n  then  {}",
            printable(&standing_now),
            printable(&standing(&then, now))
        )?;
        if !act.yes {
            let with = if profile { "--yes" } else { "--yes --without-profile" };
            return output::not_done(&format!("Nothing was changed. With {with} it is done."));
        }
        if !profile && !without_profile {
            bail!("nothing was changed: is the sub right? With --without-profile it is done all the same");
        }
        if !decision.carry_out(&store, &user_events).await? {
            bail!("nothing was changed: a decision about this user is there that is as late, or later");
        }
        output::done("Done: it holds from now on, and the user's cached pages are being evicted.")
    }
}
