//! `replay user erase`: options and output.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use shared::text::printable;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::options::{ChangeOptions, TableOptions, check_sub};
use crate::output::{self, counted, number};
use crate::user::erase::{StoredUserData, erase};

const EXAMPLES: &str = "\
Examples:
  replay user erase 7d8ca528-4931-4254-9273-ea5ee853f271
  replay user erase 7d8ca528-4931-4254-9273-ea5ee853f271 --yes
  replay user erase 7d8ca528-4931-4254-9273-ea5ee853f271 --yes --json | jq .storedEvents";

/// Erase what the table stores about a user: statistics, stored events, sign-in attempts, profile and
/// permissions for resources of other users.
///
/// You cannot undo an erasure. The user's cached pages are invalidated. A suspension stays if the
/// triggers enforce it. A marker stays for 32 days, so that user-stats drops late events of the user. The account
/// in the user pool is not changed. The command is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Erase {
    /// The user's sub.
    sub: String,
    /// The queue cache-invalidations, by name, ARN or URL. [default: CACHE_INVALIDATIONS_QUEUE_URL]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// What the table stored about a user before an erasure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EraseReport {
    /// True if nothing was erased, because --yes is missing.
    pub dry_run: bool,
    /// The user's sub.
    pub sub: String,
    /// True if the user was erased before, and the erasure marker has not expired.
    pub erased_before: bool,
    /// True if the table had a profile of the user.
    pub profile: bool,
    /// What the erasure does to the user's suspension, in words.
    pub suspension: String,
    /// True if the table had statistics of the user.
    pub statistics: bool,
    /// Number of stored events.
    pub stored_events: usize,
    /// Number of stored sign-in attempts that were allowed.
    pub sign_in_attempts: usize,
    /// Number of resources of other users for which the user had permissions.
    pub permissions: usize,
    /// True if the user's data was erased and the invalidation of the user's pages was published.
    pub erased: bool,
}

impl EraseReport {
    fn of(sub: &str, stored: &StoredUserData, is_dry_run: bool, now: Timestamp) -> Self {
        Self {
            dry_run: is_dry_run,
            sub: sub.to_owned(),
            erased_before: stored.is_erased,
            profile: stored.has_profile,
            suspension: stored.describe_suspension(now),
            statistics: stored.has_statistics,
            stored_events: stored.events,
            sign_in_attempts: stored.attempts,
            permissions: stored.grants,
            erased: false,
        }
    }
}

impl Erase {
    pub async fn run(self) -> Result<()> {
        let Self { sub, queue, json, table, change } = self;
        check_sub(&sub)?;
        let account = change.open().await?;
        let store = account.store(table.table.as_deref())?;
        let cache_invalidations = account.cache_invalidations(queue.as_deref()).await?;
        let stored = StoredUserData::read(&store, &sub).await?;
        let clock = Clock::system();
        let mut report = EraseReport::of(&sub, &stored, !change.yes, clock.now());
        if !json {
            output::print(&render(&report))?;
        }
        if stored.is_empty() {
            return Err(CommandError::failed(
                "nothing was erased: the table has no data of this user. Check the sub and the table",
            ));
        }
        if !change.yes {
            if json {
                return output::json(&report);
            }
            return output::not_done(
                "Dry run: nothing was erased. Add --yes to erase the user's data. You cannot undo this.",
            );
        }
        let erased = erase(&store, &cache_invalidations, &sub, &clock).await;
        report.erased = erased.is_ok();
        if json {
            output::json(&report)?;
        }
        erased.map_err(anyhow::Error::from)?;
        if json {
            return Ok(());
        }
        output::done(
            "Data erased. The user's cached pages are being invalidated. The user pool is unchanged.",
        )
    }
}

fn render(report: &EraseReport) -> String {
    let EraseReport { sub, erased_before, profile, suspension, statistics, .. } = report;
    let yes_or_no = |has: bool| if has { "yes" } else { "no" };
    format!(
        "user {sub}{}\n  profile        {}\n  suspension     {}\n  statistics     {}\n  stored events  {}\n  attempts       {} (allowed sign-in attempts)\n  permissions    for {}\n",
        if *erased_before { ", erased before" } else { "" },
        yes_or_no(*profile),
        printable(suspension),
        yes_or_no(*statistics),
        number(report.stored_events),
        number(report.sign_in_attempts),
        counted(report.permissions, "resource"),
    )
}
