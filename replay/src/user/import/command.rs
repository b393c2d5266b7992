//! `replay user import`: options and output.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use shared::text::printable;

use crate::error::Result;
use crate::interrupt::StopSignal;
use crate::options::{ChangeOptions, TableOptions};
use crate::output::{self, counted, number};
use crate::progress::Progress;
use crate::user::import::checkpoint::{ImportCheckpoint, ImportCounts};
use crate::user::import::{MAX_RATE, UserPoolImport};
use crate::user::pool::check_id;

const EXAMPLES: &str = "\
Examples:
  replay user import --user-pool eu-central-1_EXAMPLE12
  replay user import --user-pool eu-central-1_EXAMPLE12 --yes --checkpoint import.json
  replay user import --user-pool eu-central-1_EXAMPLE12 --json | jq .skipped";

/// Write profiles for the users of an existing user pool.
///
/// Each confirmed user gets a profile, except users who were erased within the last 32 days.
/// Existing profiles and suspensions stay unchanged. With --checkpoint, an interrupted import
/// continues where it stopped. Without it, the import starts again with the first user, which is
/// safe. The command is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// Id of the user pool. [default: that of the stack]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
    /// Pages per second, with 60 users on a page. All callers in the account share the quota of
    /// ListUsers.
    #[arg(
        long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RATE))
    )]
    rate: u32,
    /// File for the position of the import. Read if it exists, written only with --yes.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// The counts of an import. With --checkpoint, they include the runs before.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImportReport {
    /// True if no profile was written, because --yes is missing.
    pub dry_run: bool,
    /// Id of the user pool.
    pub user_pool: String,
    /// Name of the table.
    pub table: String,
    /// Number of pages of the user pool.
    pub pages: usize,
    /// Number of users on these pages.
    pub users: usize,
    /// Number of profiles that were written. In a dry run: that would be written.
    pub written: usize,
    /// Number of users who already had a profile.
    pub had_profile: usize,
    /// Number of users who were erased within the last 32 days, and so get no profile.
    pub erased: usize,
    /// Number of users who get no profile, by status or by the value that is missing.
    pub skipped: BTreeMap<String, usize>,
}

impl Import {
    pub async fn run(self) -> Result<()> {
        let account = self.change.open().await?;
        let user_pool = account.user_pool(self.user_pool.as_deref()).await?;
        check_id(&user_pool, account.region())?;
        let (store, cognito) = (account.store(self.table.table.as_deref()).await?, account.cognito());
        let checkpoint_file = self.checkpoint.as_deref();
        let checkpoint = match checkpoint_file {
            Some(file) => ImportCheckpoint::read(file, &user_pool, store.table())?,
            None => ImportCheckpoint::start(&user_pool, store.table()),
        };
        if let Some(file) = checkpoint_file.filter(|_| checkpoint.done) {
            if self.json {
                return output::json(&self.report(&user_pool, store.table(), checkpoint.counts));
            }
            let file = file.display();
            return output::not_done(&format!(
                "Nothing to do: the import is complete, according to {file}. Remove the file to start again."
            ));
        }
        if checkpoint.counts.pages > 0 && !self.json {
            output::print(&format!("Continuing after {}.\n", counted(checkpoint.counts.users, "user")))?;
        }
        let written_before = checkpoint.counts.written;
        let import = UserPoolImport {
            cognito: &cognito,
            store: &store,
            user_pool_id: &user_pool,
            rate: self.rate,
            write: self.change.yes,
            checkpoint_file,
        };
        let progress = Progress::new("users", None);
        let mut show_progress = |counts: &ImportCounts| progress.set(counts.users);
        let work = import.run(checkpoint, &mut show_progress);
        let next_step = "run the command again. It overwrites no profile";
        let mut counts = StopSignal::on_signals().run(work, next_step).await?;
        drop(progress);
        if !self.change.yes {
            counts.written -= written_before;
        }
        if self.json {
            return output::json(&self.report(&user_pool, store.table(), counts));
        }
        output::print(&render(&counts, self.change.yes))?;
        if !self.change.yes {
            let profiles = counted(counts.written, "profile");
            return output::not_done(&format!(
                "Dry run: nothing was written. Add --yes to write {profiles}."
            ));
        }
        output::done("Import complete.")
    }

    fn report(&self, user_pool: &str, table: &str, counts: ImportCounts) -> ImportReport {
        let ImportCounts { pages, users, written, had_profile, erased, skipped } = counts;
        ImportReport {
            dry_run: !self.change.yes,
            user_pool: user_pool.to_owned(),
            table: table.to_owned(),
            pages,
            users,
            written,
            had_profile,
            erased,
            skipped,
        }
    }
}

/// One line for each count.
fn render(counts: &ImportCounts, has_written: bool) -> String {
    let ImportCounts { pages, users, written, had_profile, erased, skipped } = counts;
    let mut out = String::new();
    let mut line = |count: usize, what: &str| out += &format!("{:>7}  {what}\n", number(count));
    line(*users, &format!("users on {}", counted(*pages, "page")));
    line(*written, if has_written { "profiles written" } else { "profiles to write" });
    for (count, what) in [(*had_profile, "already had a profile"), (*erased, "skipped: erased")] {
        if count > 0 {
            line(count, what);
        }
    }
    for (reason, count) in skipped {
        line(*count, &format!("skipped: {}", printable(reason)));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_count_is_a_line() {
        let skipped = BTreeMap::from([("UNCONFIRMED".to_owned(), 2)]);
        let counts = ImportCounts { pages: 1, users: 9, written: 4, had_profile: 3, erased: 0, skipped };
        let expected = [
            "      9  users on 1 page",
            "      4  profiles to write",
            "      3  already had a profile",
            "      2  skipped: UNCONFIRMED",
        ];
        assert_eq!(render(&counts, false).lines().collect::<Vec<_>>(), expected);
    }
}
