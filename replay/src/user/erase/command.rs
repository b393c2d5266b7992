//! `replay user erase`: options and output.

use clap::Args;
use jiff::Timestamp;
use shared::text::printable;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::options::{ChangeOptions, TableOptions, check_sub};
use crate::output::{self, counted, number};
use crate::user::erase::{StoredUserData, erase};

const EXAMPLES: &str = "\
Examples:
  replay user erase 7d8ca528-4931-4254-9273-ea5ee853f271
  replay user erase 7d8ca528-4931-4254-9273-ea5ee853f271 --yes";

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
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Erase {
    pub async fn run(self) -> Result<()> {
        let Self { sub, queue, table, change } = self;
        check_sub(&sub)?;
        let account = change.open().await?;
        let store = account.store(table.table.as_deref())?;
        let cache_invalidations = account.cache_invalidations(queue.as_deref()).await?;
        let stored = StoredUserData::read(&store, &sub).await?;
        let clock = Clock::system();
        output::print(&render(&sub, &stored, clock.now()))?;
        if stored.is_empty() {
            return Err(CommandError::failed(
                "nothing was erased: the table has no data of this user. Check the sub and the table",
            ));
        }
        if !change.yes {
            return output::not_done(
                "Dry run: nothing was erased. Add --yes to erase the user's data. You cannot undo this.",
            );
        }
        let erased = erase(&store, &cache_invalidations, &sub, &clock).await;
        erased.map_err(anyhow::Error::from)?;
        output::done(
            "Data erased. The user's cached pages are being invalidated. The user pool is unchanged.",
        )
    }
}

fn render(sub: &str, stored: &StoredUserData, now: Timestamp) -> String {
    let StoredUserData { has_profile, has_statistics, is_erased, events, attempts, grants, .. } = stored;
    format!(
        "user {sub}{}\n  profile        {}\n  suspension     {}\n  statistics     {}\n  stored events  {}\n  attempts       {} (allowed sign-in attempts)\n  permissions    for {}\n",
        if *is_erased { ", erased before" } else { "" },
        if *has_profile { "yes" } else { "no" },
        printable(&stored.describe_suspension(now)),
        if *has_statistics { "yes" } else { "no" },
        number(*events),
        number(*attempts),
        counted(*grants, "resource"),
    )
}
