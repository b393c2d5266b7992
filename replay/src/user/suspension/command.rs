//! `replay user suspend` and `replay user reinstate`: options and output.

use clap::Args;
use jiff::Timestamp;
use shared::email_domain::Domain;
use shared::events::OPERATOR_SOURCE;
use shared::store::{SignInState, Store};
use shared::suspended_email::KEY_VARIABLE;
use shared::suspension::SuspensionStatus;
use shared::suspension_change::{SuspensionChange, SuspensionError};
use shared::text::printable;
use shared::time::Clock;

use super::email::UserEmail;
use super::report::{StepReport, SuspensionReport};
use super::step::Step;
use crate::account::Account;
use crate::aws_error::describe;
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::{ChangeOptions, TableOptions, check_sub};
use crate::output;
use crate::time_option::{When, parse_when};
use crate::user::pool::UserPool;

const SUSPEND_EXAMPLES: &str = "\
Examples:
  replay user suspend 7d8ca528-4931-4254-9273-ea5ee853f271 --reason chargebacks
  replay user suspend 7d8ca528-4931-4254-9273-ea5ee853f271 --reason spam --until 2026-04-01 --yes
  replay user suspend 7d8ca528-4931-4254-9273-ea5ee853f271 --reason fraud --email \\
    --sign-out --user-pool eu-central-1_EXAMPLE12 --yes";

const REINSTATE_EXAMPLES: &str = "\
Examples:
  replay user reinstate 7d8ca528-4931-4254-9273-ea5ee853f271 --reason settled --yes
  replay user reinstate 7d8ca528-4931-4254-9273-ea5ee853f271 --reason settled --email \\
    --enable --user-pool eu-central-1_EXAMPLE12 --yes";

/// Suspend a user, with or without an end.
///
/// The triggers deny the user's next sign-in and every token refresh. Tokens that the user already
/// has stay valid until they expire. The user's cached pages are invalidated. If two decisions
/// conflict, the later one wins. The command is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = SUSPEND_EXAMPLES)]
pub struct Suspend {
    #[command(flatten)]
    pub options: SuspensionOptions,
    /// End of the suspension: a duration from now, such as 2d, a date (at 00:00 UTC), or a time such as
    /// 2026-04-01T12:00:00Z. [default: no end]
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    until: Option<When>,
    /// Also suspend the email address, so that no one can sign up with it. Without ADDRESS: the
    /// addresses in the profile and in --user-pool. Needs SUSPENDED_EMAIL_KEY, and pre-sign-up with
    /// CHECK_SUSPENDED_EMAILS=true.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    email: Option<String>,
    /// Also sign the user out of all devices, and disable the account in --user-pool.
    #[arg(long)]
    sign_out: bool,
}

/// End a user's suspension.
///
/// The user's cached pages are invalidated. If two decisions conflict, the later one wins. The
/// command is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = REINSTATE_EXAMPLES)]
pub struct Reinstate {
    #[command(flatten)]
    pub options: SuspensionOptions,
    /// Also end the suspension of the email address. Without ADDRESS: of the addresses in the
    /// profile and in --user-pool. Needs SUSPENDED_EMAIL_KEY.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    email: Option<String>,
    /// Also enable the account in --user-pool. `suspend --sign-out` disabled it.
    #[arg(long)]
    enable: bool,
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
    /// The queue user-events, by name, ARN or URL. [default: that of the stack, or USER_EVENTS_QUEUE_URL]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// The user pool, such as eu-central-1_EXAMPLE12. [default: that of the stack]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
    /// Write the decision even if the table has no profile of the user.
    #[arg(long)]
    without_profile: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// What the options of one command ask for.
#[derive(Clone, Copy)]
struct Task<'a> {
    action: Action,
    /// `--email`: the address. Empty for the addresses that the table and the pool have.
    email: Option<&'a str>,
    /// `--sign-out` or `--enable`.
    changes_account: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Action {
    Suspend { until: Option<Timestamp> },
    Reinstate,
}

impl Suspend {
    pub async fn run(self) -> Result<()> {
        let now = Clock::system().now();
        let action = Action::Suspend { until: self.until.map(|until| until.from_now(now)) };
        let task = Task { action, email: self.email.as_deref(), changes_account: self.sign_out };
        self.options.run(task).await
    }
}

impl Reinstate {
    pub async fn run(self) -> Result<()> {
        let action = Action::Reinstate;
        let task = Task { action, email: self.email.as_deref(), changes_account: self.enable };
        self.options.run(task).await
    }
}

impl SuspensionOptions {
    async fn run(self, task: Task<'_>) -> Result<()> {
        let now = Clock::system().now();
        self.check(task, now)?;
        let account = self.change.open().await?;
        let store = account.store(self.table.table.as_deref()).await?;
        let user_events = account.user_events(self.queue.as_deref()).await?;
        let by = self.by.as_deref().unwrap_or(account.operator());
        let decision = match task.action {
            Action::Suspend { until } => SuspensionChange::suspend(&self.sub, &self.reason, until, by, now),
            Action::Reinstate => SuspensionChange::reinstate(&self.sub, &self.reason, by, now),
        };
        let stored = store.read_sign_in_state(&self.sub).await?;
        let steps = self.steps(task, &account, &store).await?;
        let lacks_key = steps.iter().any(Step::lacks_key);
        let mut report = self.report(&decision, &stored, &steps, task.changes_account, now);
        if !self.json {
            output::print(&render_plan(&report))?;
        }
        let (verb, done) = match task.action {
            Action::Suspend { .. } => ("suspend", "suspended"),
            Action::Reinstate => ("reinstate", "reinstated"),
        };
        if !self.change.yes && self.json {
            return output::json(&report);
        }
        if !self.change.yes {
            let flags = if stored.has_profile { "--yes" } else { "--yes --without-profile" };
            return output::not_done(&if lacks_key {
                format!(
                    "Dry run: nothing was changed. Set {KEY_VARIABLE} to the key of pre-sign-up, which --email \
                     needs. Then add {flags} to {verb} the user."
                )
            } else {
                format!("Dry run: nothing was changed. Add {flags} to {verb} the user.")
            });
        }
        if lacks_key {
            return Err(CommandError::invalid_input(format!(
                "nothing was changed: --email needs the key of pre-sign-up. Set {KEY_VARIABLE}"
            )));
        }
        if !stored.has_profile && !self.without_profile {
            return Err(CommandError::failed(
                "nothing was changed: the table has no profile of this user. Check the sub, or add \
                 --without-profile",
            ));
        }
        let (mut failures, stop) = (Vec::new(), StopSignal::on_signals());
        match decision.apply(&store, &user_events, OPERATOR_SOURCE).await {
            Ok(true) => (report.written, report.published) = (true, true),
            Ok(false) => {
                return Err(CommandError::failed(
                    "nothing was changed: a newer decision about this user already exists",
                ));
            }
            // The decision is in force. The other steps do not depend on the event.
            Err(SuspensionError::NotPublished(cause)) if !steps.is_empty() => {
                report.written = true;
                failures.push(failure("invalidate the user's cached pages", &cause.into()));
            }
            Err(error) => {
                report.written = matches!(error, SuspensionError::NotPublished(_));
                if self.json && report.written {
                    output::json(&report)?;
                }
                return Err(anyhow::Error::from(error).into());
            }
        }
        for (step, shown) in steps.iter().zip(&mut report.steps) {
            if stop.is_requested() {
                continue;
            }
            match step.run(&store, &decision.suspension).await {
                Ok(()) => {
                    shown.done = true;
                    if !self.json {
                        output::print(&format!("  done  {}\n", shown.step))?;
                    }
                }
                Err(error) => {
                    let error = failure(&step.name(), &error);
                    shown.error = Some(error.clone());
                    failures.push(error);
                }
            }
        }
        if self.json {
            output::json(&report)?;
        }
        let is_open = |shown: &StepReport| !shown.done && shown.error.is_none();
        let open = steps.iter().zip(&report.steps).filter(|(_, shown)| is_open(shown));
        let open: Vec<String> = open.map(|(step, _)| step.name()).collect();
        if !open.is_empty() {
            let failed = match failures.is_empty() {
                true => String::new(),
                false => format!(", and these steps failed: {}", failures.join("; ")),
            };
            return Err(CommandError::interrupted(format!(
                "the user is {done}, but these steps were not started: {}{failed}. Run the command again",
                open.join("; ")
            )));
        }
        if !failures.is_empty() {
            return Err(CommandError::failed(format!(
                "the user is {done}, but these steps failed: {}. Run the command again",
                failures.join("; ")
            )));
        }
        if self.json {
            return Ok(());
        }
        output::done(&format!("User {done}. The user's cached pages are being invalidated."))
    }

    /// The plan. Nothing is done yet.
    fn report(
        &self,
        decision: &SuspensionChange,
        stored: &SignInState,
        steps: &[Step],
        changes_account: bool,
        now: Timestamp,
    ) -> SuspensionReport {
        let new = SuspensionStatus::after(&decision.suspension);
        let steps =
            steps.iter().map(|step| StepReport { step: step.describe(now), done: false, error: None });
        SuspensionReport {
            dry_run: !self.change.yes,
            sub: decision.sub.clone(),
            profile: stored.has_profile,
            before: stored.suspension.describe(now),
            after: new.describe(now),
            note: reinstatement_note(decision, stored, changes_account, now).map(str::to_owned),
            written: false,
            published: false,
            steps: steps.collect(),
        }
    }

    /// Checks what does not need the account.
    fn check(&self, task: Task<'_>, now: Timestamp) -> Result<()> {
        check_sub(&self.sub)?;
        let problem = match task.action {
            _ if task.email.is_some_and(is_malformed) => {
                "--email: expected a plain email address such as ana@example.com"
            }
            Action::Suspend { until: Some(until) } if until <= now => {
                "--until is in the past. To end a suspension, use `replay user reinstate`"
            }
            _ if self.user_pool.is_none() || task.changes_account || task.email == Some("") => return Ok(()),
            Action::Suspend { .. } => {
                "--user-pool has no effect here. Add --sign-out, or --email without an address"
            }
            Action::Reinstate => {
                "--user-pool has no effect here. Add --enable, or --email without an address"
            }
        };
        Err(CommandError::invalid_input(problem))
    }

    /// The steps after the decision about the sub, in their order.
    async fn steps(&self, task: Task<'_>, account: &Account, store: &Store) -> Result<Vec<Step>> {
        let reads_pool = task.email == Some("") && account.stack_name().is_some();
        let needs_pool = self.user_pool.is_some() || task.changes_account || reads_pool;
        let pool_account = match needs_pool {
            true => UserPool::open(account, self.user_pool.as_deref()).await?.find(&self.sub).await?,
            false => None,
        };
        let mut steps = Vec::new();
        if let Some(given) = task.email {
            let profile_email = if given.is_empty() { store.read_email(&self.sub).await? } else { None };
            let pool_email = pool_account.as_ref().and_then(|account| account.email.clone());
            let mut addresses = Vec::new();
            if given.is_empty() {
                addresses.extend(profile_email.as_deref().map(|address| ("the profile", address)));
                addresses.extend(pool_email.as_deref().map(|address| ("the user pool", address)));
            } else {
                addresses.push(("--email", given));
            }
            if addresses.is_empty() {
                return Err(CommandError::failed(
                    "nothing was changed: neither the profile nor --user-pool has an email address of this \
                     user. Pass --email ADDRESS",
                ));
            }
            let key = account.suspended_email_key()?;
            let emails = UserEmail::read_all(store, key.as_ref(), &addresses).await?;
            steps.extend(emails.into_iter().map(|email| match task.action {
                Action::Suspend { .. } => Step::SuspendEmail(email),
                Action::Reinstate => Step::ReinstateEmail(email),
            }));
        }
        if task.changes_account {
            let pool_account = pool_account.map(std::rc::Rc::new).ok_or_else(|| {
                CommandError::failed(
                    "nothing was changed: the user pool has no user with this sub. Check --user-pool, or run \
                     the command without it",
                )
            })?;
            match task.action {
                Action::Suspend { .. } => {
                    steps.push(Step::SignOut(pool_account.clone()));
                    steps.push(Step::Disable(pool_account));
                }
                Action::Reinstate => steps.push(Step::Enable(pool_account)),
            }
        }
        Ok(steps)
    }
}

/// What can keep a user out whose suspension ends, or who is not suspended.
fn reinstatement_note(
    decision: &SuspensionChange,
    stored: &SignInState,
    changes_account: bool,
    now: Timestamp,
) -> Option<&'static str> {
    if !decision.suspension.is_reinstatement() || changes_account {
        return None;
    }
    Some(match stored.suspension.denial(now) {
        None => {
            "the user is not suspended. If the user cannot sign in, the account may be disabled: see `replay user \
             show` with --user-pool, and add --enable"
        }
        Some(_) => {
            "an account that `suspend --sign-out` disabled stays disabled: see `replay user show` with --user-pool, \
             and add --enable"
        }
    })
}

/// A step that failed, with the reason and advice.
fn failure(step: &str, error: &anyhow::Error) -> String {
    format!("{step}: {}", describe(error.as_ref()))
}

/// Whether the value of `--email` is not an address. Empty if `--email` has no value.
fn is_malformed(address: &str) -> bool {
    !address.is_empty() && Domain::of_address(address.trim()).is_err()
}

fn render_plan(report: &SuspensionReport) -> String {
    let SuspensionReport { sub, profile, before, after, note, steps, .. } = report;
    let steps: String = steps.iter().map(|step| format!("  also  {}\n", step.step)).collect();
    let note = note.as_ref().map_or_else(String::new, |note| format!("  note  {note}\n"));
    format!(
        "user {sub}{}\n  now   {}\n  then  {}\n{note}{steps}",
        if *profile { "" } else { " (no profile in this table)" },
        printable(before),
        printable(after)
    )
}
