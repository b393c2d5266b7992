//! `replay import`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use crate::user::import::{self, Checkpoint, Counts, MAX_RATE};
use crate::interrupt::StopSignal;

use crate::error::InvalidInput;
use crate::options::{ChangeOptions, TableOptions};
use crate::output;
use crate::progress::Progress;

const EXAMPLES: &str = "\
Examples:
  replay import --user-pool eu-central-1_EXAMPLE12
  replay import --user-pool eu-central-1_EXAMPLE12 --yes --checkpoint import.json";

/// Write profiles for the users of a pool that was there before.
///
/// Shows how many users have no profile, and writes the profiles with --yes: for everybody who is confirmed, nobody who
/// was erased within the last 32 days, and never over a profile that is there. With --checkpoint it goes on where it was cut off; without, it
/// begins anew, which does no harm.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// The user pool, by id.
    #[arg(long, value_name = "ID")]
    user_pool: String,
    /// Pages of 60 users a second. Other callers of ListUsers share the account's quota.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RATE)))]
    rate: u32,
    /// Note here how far it is, and go on from there. Written with --yes only.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Import {
    /// Counts the users without a profile, and writes their profiles.
    pub async fn run(self) -> Result<()> {
        let account = self.change.open().await?;
        let (store, cognito) = (account.store(self.table.table.as_deref())?, account.cognito());
        let file = self.checkpoint.as_deref();
        let checkpoint = match file {
            Some(file) => Checkpoint::read(file, &self.user_pool, store.table())
                .or_else(|error| InvalidInput::err(format!("{error:#}")))?,
            None => Checkpoint::start(&self.user_pool, store.table()),
        };
        if let Some(file) = file.filter(|_| checkpoint.done) {
            let text = format!("Nothing is left to do, {} says; to begin anew, remove it.", file.display());
            return output::not_done(&text);
        }
        if checkpoint.counts.pages > 0 {
            writeln!(output::stdout(), "Going on after {} users.", checkpoint.counts.users)?;
        }
        let looking = Progress::new("users", None);
        let mut progress = |counts: &Counts| looking.set(usize::try_from(counts.users).unwrap_or(usize::MAX));
        let import = import::Import {
            cognito: &cognito,
            store: &store,
            user_pool_id: &self.user_pool,
            rate: self.rate,
            write: self.change.yes,
        };
        let then = "run it again; nothing is overwritten";
        let counts = StopSignal::on_signals().or(import.run(checkpoint, file, &mut progress), then).await?;
        drop(looking);
        write!(output::stdout(), "{}", counts.text(self.change.yes))?;
        if !self.change.yes {
            return output::not_done("Nothing was written. With --yes it is.");
        }
        output::done("Done.")
    }
}
