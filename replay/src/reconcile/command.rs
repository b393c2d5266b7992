//! `replay reconcile`: options and the order of the steps.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use shared::queues::Queue;
use shared::time::Clock;

use super::Kind;
use super::checkpoint::Log;
use super::find::{Finder, Outcome};
use super::repair::Repair;
use super::report::ReconcileReport;
use super::settings::Settings;
use super::state::{Start, State};
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::{ChangeOptions, TableOptions};
use crate::output::{self, counted, number};
use crate::pace::{MAX_RATE, Pace};
use crate::private_file::private_file;
use crate::user::pool::UserPool;

const EXAMPLES: &str = "\
Examples:
  replay reconcile --stack cognito-user-events
  replay reconcile --user-pool eu-central-1_EXAMPLE12 --table NAME --checkpoint reconcile.ndjson
  replay reconcile --stack cognito-user-events --out differences.ndjson --json | jq '.differences[]'
  replay reconcile --stack cognito-user-events --checkpoint reconcile.ndjson --yes";

/// Compare a user pool with the table, and repair what differs.
///
/// Finds users without a profile, profiles with old attributes, disabled accounts, users that are no longer
/// in the pool, and users whose groups differ from GROUP_RULES. No attribute is shown, only its name. Reads
/// the whole user pool and the whole table. The exit code is 1 if differences remain. The command is a dry
/// run unless you pass --yes. With --yes, users that are not in the pool are erased, which you cannot undo.
/// If the stack has AccountDeletion=keep, their data stays, with the time of the deletion.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Reconcile {
    /// Id of the user pool. [default: that of the stack]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
    /// Calls to Cognito per second. A page of 60 users is one call. All callers in the account share the
    /// quota.
    #[arg(
        long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RATE))
    )]
    rate: u32,
    /// File with the results so far, from which an interrupted run continues. A dry run keeps it for --yes,
    /// and starts over if the comparison in it is complete.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// File for all differences that were found, one JSON object per line: kind, sub, and names of attributes
    /// or groups. With --yes, the repaired ones are in it too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The rules to compare groups with, as in GROUP_RULES. [default: those of the stack if it has
    /// PersistGroups, or GROUP_RULES]
    #[arg(long, value_name = "JSON")]
    group_rules: Option<String>,
    /// Maximum number of users to erase. If the pool lacks more, nothing is repaired. With 0, --yes needs no
    /// queue cache-invalidations.
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_erasures: usize,
    /// The queue user-events, by name, ARN or URL. Without one, cached pages show old attributes until they
    /// expire. [default: that of the stack, or USER_EVENTS_QUEUE_URL]
    #[arg(long, value_name = "QUEUE")]
    user_events: Option<String>,
    /// The queue cache-invalidations, by name, ARN or URL, for erasures. [default: that of the stack, or
    /// CACHE_INVALIDATIONS_QUEUE_URL]
    #[arg(long, value_name = "QUEUE")]
    cache_invalidations: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// The queues that repairs publish to.
struct Queues {
    user_events: Option<Queue>,
    cache_invalidations: Option<Queue>,
}

impl Reconcile {
    pub async fn run(self) -> Result<()> {
        let out = self.out.as_deref().map(|path| open_out(path, self.checkpoint.as_deref())).transpose()?;
        let account = self.change.open().await?;
        let pool = UserPool::open(&account, self.user_pool.as_deref()).await?;
        let store = account.store(self.table.table.as_deref()).await?;
        let settings = Settings::read(&account, self.group_rules.as_deref()).await?;
        let queues = match self.change.yes {
            true => {
                let (user_events, cache_invalidations) = account
                    .optional_queues(self.user_events.as_deref(), self.cache_invalidations.as_deref())
                    .await?;
                Queues { user_events, cache_invalidations }
            }
            false => Queues { user_events: None, cache_invalidations: None },
        };
        let start = Start {
            user_pool_id: pool.id.clone(),
            table: store.table().to_owned(),
            group_rules: settings.groups.as_ref().map(|groups| groups.hash.clone()),
            begun_at: Clock::system().now(),
        };
        self.check_queues(&settings, &queues)?;
        let mut log = Log::open(self.checkpoint.as_deref(), start, !self.change.yes)?;
        let from_checkpoint = log.state().is_compared;
        let (pace, stop) = (Pace::new(self.rate), StopSignal::on_signals());
        let finder = Finder {
            pool: &pool,
            store: &store,
            pace: &pace,
            rules: settings.rules(),
            managed_groups: settings.managed_groups(),
        };
        let next_step = match self.checkpoint {
            Some(_) => "nothing was repaired. Run the command again: it continues from the checkpoint",
            None => {
                "nothing was repaired. Run the command again. With --checkpoint FILE, a run continues where the \
                 last one stopped"
            }
        };
        let outcome = stop.run(finder.run(&mut log), next_step).await?;
        if let Some((path, file)) = out {
            write_differences(path, &file, log.state())?;
        }
        let refusal = self.refusal(outcome, log.state(), &pool);
        let (mut failures, mut stopped) = (Vec::new(), None);
        if self.change.yes && refusal.is_none() {
            let clock = Clock::system();
            let repair = Repair {
                pool: &pool,
                store: &store,
                pace: &pace,
                clock: &clock,
                rules: settings.rules(),
                managed_groups: settings.managed_groups(),
                user_events: queues.user_events.as_ref(),
                cache_invalidations: queues.cache_invalidations.as_ref(),
                event_retention_days: settings.event_retention_days,
                keeps_deleted_users: settings.keeps_deleted_users,
            };
            let repaired = stop.run(repair.run(&mut log, &mut failures), "a part is repaired").await;
            stopped = repaired.err();
        }
        let report = ReconcileReport {
            dry_run: !self.change.yes,
            from_checkpoint,
            user_pool: pool.id.clone(),
            table: store.table().to_owned(),
            groups: settings.groups.map(|groups| groups.managed),
            failures,
            ..ReconcileReport::of(log.state())
        };
        match self.json {
            true => output::json(&report)?,
            false => output::print(&report.render())?,
        }
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        match (stopped, report.remaining()) {
            (Some(error), 1..) if error.is_interruption() => Err(CommandError::interrupted(format!(
                "{} left to repair. Run the command again",
                counted(report.remaining(), "difference")
            ))),
            (Some(error), _) if !error.is_interruption() => Err(error),
            _ => self.conclude(&report, log),
        }
    }

    /// Checks before the comparison, which can take an hour, that users can be erased after it.
    fn check_queues(&self, settings: &Settings, queues: &Queues) -> Result<()> {
        let erases = self.change.yes && self.max_erasures > 0 && !settings.keeps_deleted_users;
        if !erases || queues.cache_invalidations.is_some() {
            return Ok(());
        }
        Err(CommandError::invalid_input(
            "--yes needs the queue cache-invalidations, for users to erase. Pass --stack or --cache-invalidations, \
             or set CACHE_INVALIDATIONS_QUEUE_URL. With --max-erasures 0, no user is erased",
        ))
    }

    /// Why nothing is repaired. Without --yes, only for a pool that is probably the wrong one.
    fn refusal(&self, outcome: Outcome, state: &State, pool: &UserPool) -> Option<CommandError> {
        if outcome == Outcome::UnknownPool {
            return Some(CommandError::failed(format!(
                "nothing was repaired: the table knows none of the {} of {}, so its users would look deleted. \
                 Check --user-pool and --table. If the table is new, run `replay user import` first",
                counted(state.user_count(), "user"),
                pool.id
            )));
        }
        let deleted = state.count(Kind::DeletedUser);
        (self.change.yes && deleted > self.max_erasures).then(|| {
            CommandError::failed(format!(
                "nothing was repaired: the pool lacks {} of the table, and --max-erasures is {}. If it is the \
                 right pool and the users were deleted, pass --max-erasures {deleted}",
                counted(deleted, "user"),
                number(self.max_erasures)
            ))
        })
    }

    fn conclude(&self, report: &ReconcileReport, log: Log) -> Result<()> {
        let remaining = report.remaining();
        if remaining > 0 {
            let next_step = match (self.change.yes, &self.checkpoint) {
                (false, _) => "Add --yes to repair them",
                (true, Some(_)) => "Run the command again",
                (true, None) => "See the failures, and run the command again",
            };
            let differences = counted(remaining, "difference");
            let verb = if remaining == 1 { "remains" } else { "remain" };
            return Err(CommandError::failed(format!("{differences} {verb}. {next_step}")));
        }
        log.remove()?;
        if self.json {
            return Ok(());
        }
        match report.found() {
            0 => output::done("No differences."),
            found => output::done(&format!("Done: {} repaired.", counted(found, "difference"))),
        }
    }
}

/// Opens the file of `--out` before the comparison. What is in it stays until the differences are known.
fn open_out<'a>(path: &'a Path, checkpoint: Option<&Path>) -> Result<(&'a Path, File)> {
    let invalid = |text: String| CommandError::invalid_input(format!("--out {}: {text}", path.display()));
    let is_same = |checkpoint: &Path| {
        let absolute = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
        absolute(path).is_some_and(|path| absolute(checkpoint) == Some(path))
    };
    if checkpoint.is_some_and(is_same) {
        return Err(invalid("the file is also that of --checkpoint. Pass another one".to_owned()));
    }
    let file = private_file().write(true).create(true).truncate(false).open(path);
    Ok((path, file.map_err(|error| invalid(error.to_string()))?))
}

/// Writes all differences that were found, one per line.
fn write_differences(path: &Path, file: &File, state: &State) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        let mut out = BufWriter::new(file);
        for difference in state.all_found() {
            serde_json::to_writer(&mut out, difference)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    Ok(write().with_context(|| format!("{}: cannot write the differences", path.display()))?)
}
