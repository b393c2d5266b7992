//! `replay user create`: options and output.

use clap::Args;
use shared::email_domain::Domain;
use shared::text::printable;

use super::{CreateReport, UserCreation};
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::{ChangeOptions, TableOptions};
use crate::output;
use crate::user::password::read_password;
use crate::user::pool::UserPool;

const EXAMPLES: &str = "\
Examples:
  replay user create --user-pool eu-central-1_EXAMPLE12 --email ana@example.com --table NAME
  replay user create --user-pool eu-central-1_EXAMPLE12 --email ana@example.com --table NAME \\
    --email-verified --group Staff --yes
  pwgen 20 1 | replay user create --user-pool eu-central-1_EXAMPLE12 --email ana@example.com \\
    --table NAME --password-stdin --yes";

/// Create a user in the user pool, with an invitation or with a permanent password.
///
/// Without --no-message and --password-stdin, Cognito sends a message with a temporary password to the
/// address. Pre-sign-up runs for the user: if CHECK_ADMIN_CREATED is true, it can deny the user.
/// Post-confirmation does not run, so the command writes the profile if you pass --table or set
/// TABLE_NAME. The command is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Create {
    /// Id of the user pool. [default: that of the stack]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
    /// Email address of the user. It is not printed.
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// Username. Needed if the user pool uses the email address as an alias. [default: the address]
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Mark the address as verified. Only if you know that it is the user's: everyone who reads its
    /// messages can then reset the password, and rules that need a verified address match. Without
    /// this option, the user cannot reset a forgotten password until the address is verified.
    #[arg(long)]
    email_verified: bool,
    /// Send no message. No one knows the temporary password then: set one with
    /// `replay user password`.
    #[arg(long)]
    no_message: bool,
    /// Set a permanent password, and send no message. Asks for the password on a terminal, otherwise
    /// reads the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
    /// Add the user to this group. Can be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Create {
    pub async fn run(self) -> Result<()> {
        let email = self.email.trim();
        let domain = Domain::of_address(email).map_err(|_| {
            CommandError::invalid_input("--email: expected a plain email address such as ana@example.com")
        })?;
        let account = self.change.open().await?;
        let pool = UserPool::open(&account, self.user_pool.as_deref()).await?;
        let store = account.optional_store(self.table.table.as_deref()).await?;
        let subs = pool.subs_with_email(email).await?;
        if !subs.is_empty() {
            return Err(CommandError::failed(format!(
                "nothing was created: the user pool has a user with this address already: {}",
                printable(&subs.join(", "))
            )));
        }
        if let Some(group) = pool.missing_group(&self.groups).await? {
            return Err(pool.no_group(group, "nothing was created").await);
        }
        let mut report = CreateReport {
            dry_run: !self.change.yes,
            user_pool: pool.id.clone(),
            email_domain: domain.to_string(),
            email_verified: self.email_verified,
            message: !self.no_message && !self.password_stdin,
            permanent_password: self.password_stdin,
            groups: self.groups,
            profile: store.is_some(),
            sub: None,
            failures: Vec::new(),
        };
        if !self.json {
            output::print(&render_plan(&report))?;
        }
        if !self.change.yes {
            if self.json {
                return output::json(&report);
            }
            return output::not_done("Dry run: nothing was created. Add --yes to create the user.");
        }
        let password = if self.password_stdin { Some(read_password().await?) } else { None };
        let creation = UserCreation {
            pool: &pool,
            username: self.username.as_deref().unwrap_or(email),
            email,
            password: password.as_deref(),
            store: store.as_ref(),
        };
        let created = StopSignal::on_signals().run(creation.run(&mut report), "").await;
        if self.json && report.sub.is_some() {
            output::json(&report)?;
        }
        created.map_err(|error| match error {
            CommandError::Interrupted(_) => CommandError::interrupted(render_interruption(&report)),
            error => error,
        })?;
        let sub = report.sub.as_deref().unwrap_or_default();
        if !report.failures.is_empty() {
            return Err(CommandError::failed(format!(
                "user {sub} was created, but these steps failed: {}. Repeat them with `replay user password`, \
                 `replay user group add` or `replay user import`",
                report.failures.join("; ")
            )));
        }
        if self.json {
            return Ok(());
        }
        output::done(&format!("User created: {sub}"))?;
        output::print(&render_next_steps(&report))
    }
}

fn render_plan(report: &CreateReport) -> String {
    let password = match (report.message, report.permanent_password) {
        (true, _) => "temporary, in a message to the address",
        (false, true) => "permanent, from you",
        (false, false) => "temporary, and no one knows it",
    };
    let groups = if report.groups.is_empty() { "none".to_owned() } else { report.groups.join(", ") };
    format!(
        "new user in {}\n  address   at {}, {}\n  password  {password}\n  groups    {}\n  profile   {}\n",
        report.user_pool,
        report.email_domain,
        if report.email_verified {
            "verified"
        } else {
            "not verified: until it is, the user cannot reset a forgotten password (see --email-verified)"
        },
        printable(&groups),
        if report.profile { "yes" } else { "no, because there is no --table" },
    )
}

/// What may be left after an interruption. A call in progress may have taken effect.
fn render_interruption(report: &CreateReport) -> String {
    match &report.sub {
        Some(sub) => format!(
            "user {sub} was created, but perhaps without password, groups or profile. Complete the user with \
             `replay user password`, `replay user group add` or `replay user import`"
        ),
        None => "the user may be created. Check with `replay user list`".to_owned(),
    }
}

/// The next step of the operator.
fn render_next_steps(report: &CreateReport) -> String {
    let CreateReport { user_pool, sub, .. } = report;
    let mut out = String::new();
    if !report.message && !report.permanent_password {
        let sub = sub.as_deref().unwrap_or_default();
        out += &format!("Next: replay user password {sub} --user-pool {user_pool} --yes\n");
    }
    if !report.profile {
        out += &format!("Next: replay user import --user-pool {user_pool} --table NAME\n");
    }
    out
}
