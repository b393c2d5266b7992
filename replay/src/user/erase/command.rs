//! `replay forget`

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use crate::user::erase::{StoredUserData, forget};
use shared::time::Clock;

use crate::options::{ChangeOptions, TableOptions, check_sub};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay forget 7d8ca528-4931-4254-9273-ea5ee853f271
  replay forget 7d8ca528-4931-4254-9273-ea5ee853f271 --yes";

/// Erase what the table holds of a user: statistics, stored events and profile.
///
/// A suspension in force stays, and so does a marker, for 32 days, against which late events are dropped. The account in the
/// user pool is not touched. Shows what it would erase, and erases it with --yes. There is no way back.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Erase {
    /// The user, by sub.
    sub: String,
    /// The queue cache-invalidations, by name or URL. [default: CACHE_INVALIDATIONS_QUEUE_URL]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Erase {
    /// Erases.
    pub async fn run(self) -> Result<()> {
        let Self { sub, queue, table, change } = self;
        check_sub(&sub)?;
        let account = change.open().await?;
        let store = account.store(table.table.as_deref())?;
        let cache_invalidations = account.cache_invalidations(queue.as_deref()).await?;
        let StoredUserData { profile, statistics, erased, events } = StoredUserData::read(&store, &sub).await?;
        let yes_or_no = |there: bool| if there { "yes" } else { "no" };
        writeln!(
            output::stdout(),
            "user {sub}{}\n  profile        {}\n  statistics     {}\n  stored events  {events}",
            if erased { ", erased before" } else { "" },
            if profile { "yes (a suspension in force stays)" } else { "no" },
            yes_or_no(statistics),
        )?;
        if !profile && !statistics && !erased && events == 0 {
            bail!("nothing was erased: the table knows nothing of this sub. Is it right?");
        }
        if !change.yes {
            return output::not_done("Nothing was erased. With --yes it is, and there is no way back.");
        }
        forget(&store, &cache_invalidations, &sub, &Clock::system()).await?;
        output::done(
            "Erased, and the user's cached pages are being evicted. The account in the user pool is as it was.",
        )
    }
}
