//! `replay user erase`: options and output.

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use shared::queues::Queue;
use shared::store::Store;
use shared::text::printable;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::{ChangeOptions, TableOptions, check_sub};
use crate::output::{self, counted, number};
use crate::user::erase::{StoredUserData, erase};
use crate::user::pool::UserPool;
use crate::user::pool_account::PoolAccount;

const EXAMPLES: &str = "\
Examples:
  replay user erase 7d8ca528-4931-4254-9273-ea5ee853f271
  replay user erase 7d8ca528-4931-4254-9273-ea5ee853f271 --yes
  replay user erase 7d8ca528-4931-4254-9273-ea5ee853f271 --account \\
    --user-pool eu-central-1_EXAMPLE12 --yes";

/// Erase what the table stores about a user: statistics, stored events, sign-in attempts, profile and
/// permissions for resources of other users. With --account, also delete the account.
///
/// You cannot undo an erasure. The user's cached pages are invalidated. A suspension stays if the
/// triggers enforce it. A marker stays for 32 days, so that user-stats drops late events of the user.
/// Without --account, the account in the user pool is not changed. The command is a dry run unless you
/// pass --yes. After a failure, run it again: it completes the rest.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Erase {
    /// The user's sub.
    sub: String,
    /// The queue cache-invalidations, by name, ARN or URL. [default: that of the stack, or CACHE_INVALIDATIONS_QUEUE_URL]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Also disable the account in --user-pool, sign the user out, and delete the account after the
    /// data.
    #[arg(long)]
    account: bool,
    /// The user pool, such as eu-central-1_EXAMPLE12. [default: that of the stack]
    #[arg(long, value_name = "ID", requires = "account")]
    user_pool: Option<String>,
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
    /// The account in the user pool before the command: its status, and enabled or disabled. Null without
    /// --account, and if the user pool has no such account.
    pub account: Option<String>,
    /// True if the account was deleted.
    pub account_deleted: bool,
    /// What the command does not erase, and how to find it.
    pub not_erased: Vec<String>,
}

impl EraseReport {
    fn of(
        sub: &str,
        stored: &StoredUserData,
        is_dry_run: bool,
        has_account_option: bool,
        now: Timestamp,
    ) -> Self {
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
            account: None,
            account_deleted: false,
            not_erased: not_erased(sub, has_account_option),
        }
    }
}

impl Erase {
    pub async fn run(self) -> Result<()> {
        check_sub(&self.sub)?;
        let account = self.change.open().await?;
        let pool = match self.account {
            true => Some(UserPool::open(&account, self.user_pool.as_deref()).await?),
            false => None,
        };
        let store = account.store(self.table.table.as_deref()).await?;
        let cache_invalidations = account.cache_invalidations(self.queue.as_deref()).await?;
        let stored = StoredUserData::read(&store, &self.sub).await?;
        let pool_account = match &pool {
            Some(pool) => pool.find(&self.sub).await?,
            None => None,
        };
        let clock = Clock::system();
        let mut report = EraseReport::of(&self.sub, &stored, !self.change.yes, self.account, clock.now());
        report.account =
            pool_account.as_ref().map(|account| format!("{}, {}", account.status, account.state()));
        if !self.json {
            output::print(&render(&report, self.account))?;
        }
        if stored.is_empty() && pool_account.is_none() {
            return Err(CommandError::failed(match &pool {
                None => "nothing was erased: the table has no data of this user. Check the sub and the table",
                Some(_) => {
                    "nothing was erased: neither the table nor the user pool has this user. Check the sub, \
                     --table and --user-pool"
                }
            }));
        }
        if !self.change.yes {
            if self.json {
                return output::json(&report);
            }
            let what = if pool_account.is_some() { "data and the account" } else { "data" };
            return output::not_done(&format!(
                "Dry run: nothing was erased. Add --yes to erase the user's {what}. You cannot undo this."
            ));
        }
        let erased = Erasure {
            store: &store,
            cache_invalidations: &cache_invalidations,
            account: pool_account.as_ref(),
            clock: &clock,
        };
        let report_account = pool_account.is_some();
        let erased = StopSignal::on_signals().run(erased.run(&mut report), "").await;
        let erased = erased.map_err(|error| match error {
            // A call in progress may have taken effect.
            CommandError::Interrupted(_) => CommandError::interrupted(match report.erased {
                true => "the data was erased, but the account may be only disabled. Run the command again",
                false if report_account => {
                    "the account may be disabled, and the user's data may be erased in part, or not at all. Run the \
                     command again to erase the rest"
                }
                false => {
                    "the user's data may be erased in part, or not at all. Run the command again to erase the rest"
                }
            }),
            error => error,
        });
        if self.json {
            output::json(&report)?;
            return erased;
        }
        erased?;
        let pool = match (&pool, report.account_deleted) {
            (_, true) => "The account is deleted",
            (Some(_), false) => "The user pool had no account of this user",
            (None, false) => "The user pool is unchanged",
        };
        output::done(&format!("Data erased. The user's cached pages are being invalidated. {pool}."))
    }
}

/// What an erasure leaves to the operator.
fn not_erased(sub: &str, has_account_option: bool) -> Vec<String> {
    let mut left = vec![
        format!(
            "dead letters about the user: for each queue, replay save QUEUE --subject {sub} --out letters.ndjson \
             --delete, then remove the file"
        ),
        "files of replay save that you still have, logs, and point-in-time backups".to_owned(),
        "a suspended email address: replay user reinstate with --email ends its suspension".to_owned(),
    ];
    if !has_account_option {
        left.push("the account in the user pool: add --account --user-pool ID".to_owned());
    }
    left
}

/// An erasure of the data, and of the account if there is one.
struct Erasure<'a> {
    store: &'a Store,
    cache_invalidations: &'a Queue,
    account: Option<&'a PoolAccount>,
    clock: &'a Clock,
}

impl Erasure<'_> {
    /// Each step can be repeated, and a second run finds what is left.
    ///
    /// The account comes first and last. A disabled account cannot sign in or refresh tokens, so that no
    /// trigger writes a new profile. The marker drops the events of tokens that are still valid. The
    /// account is deleted last: what a failure leaves is then a disabled account that the command and
    /// `replay user list` find, and not data that no one looks for.
    async fn run(&self, report: &mut EraseReport) -> anyhow::Result<()> {
        if let Some(account) = self.account {
            account.disable().await.context("nothing was erased. Run the command again")?;
            account
                .sign_out()
                .await
                .context("nothing was erased, but the account is disabled. Run the command again")?;
        }
        let erased = erase(self.store, self.cache_invalidations, &report.sub, self.clock).await;
        report.erased = erased.is_ok();
        erased?;
        if let Some(account) = self.account {
            let next_step = "the data was erased, but the account is only disabled. Run the command again";
            account.delete().await.context(next_step)?;
            report.account_deleted = true;
        }
        Ok(())
    }
}

/// `shows_account`: true if the command is about the account too.
fn render(report: &EraseReport, shows_account: bool) -> String {
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
    ) + &match (shows_account, &report.account) {
        (false, _) => String::new(),
        (true, None) => "  account        none in the user pool\n".to_owned(),
        (true, Some(account)) => format!("  account        {account}\n"),
    } + "Not erased:\n"
        + &report.not_erased.iter().map(|left| format!("  {left}\n")).collect::<String>()
}
