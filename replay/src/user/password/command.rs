//! `replay user password`: options and output.

use clap::Args;
use serde::Serialize;

use super::read_password;
use crate::error::Result;
use crate::interrupt::StopSignal;
use crate::options::{ChangeOptions, check_sub};
use crate::output;
use crate::user::pool::UserPool;

const EXAMPLES: &str = "\
Examples:
  replay user password 7d8ca528-4931-4254-9273-ea5ee853f271 --user-pool eu-central-1_EXAMPLE12
  replay user password 7d8ca528-4931-4254-9273-ea5ee853f271 --user-pool eu-central-1_EXAMPLE12 --yes
  pwgen 20 1 | replay user password 7d8ca528-4931-4254-9273-ea5ee853f271 \\
    --user-pool eu-central-1_EXAMPLE12 --temporary --yes";

/// Set a user's password.
///
/// On a terminal, asks for the password without showing it. Otherwise reads the first line of
/// standard input. The user pool sends no message. The user stays signed in: to sign the user out,
/// use `replay user suspend --sign-out`. The command is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Password {
    /// The user's sub.
    sub: String,
    /// Id of the user pool. [default: that of the stack]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
    /// The user must change the password at the next sign-in, before the password expires.
    #[arg(long)]
    temporary: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// A change of a user's password.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PasswordReport {
    /// True if nothing was changed, because --yes is missing.
    pub dry_run: bool,
    /// Id of the user pool.
    pub user_pool: String,
    /// The user's sub.
    pub sub: String,
    /// The status of the account before the command, such as `CONFIRMED`.
    pub status: String,
    /// True if the user must change the password at the next sign-in.
    pub temporary: bool,
    /// True if the password was set.
    pub changed: bool,
}

impl Password {
    pub async fn run(self) -> Result<()> {
        check_sub(&self.sub)?;
        let account = self.change.open().await?;
        let pool = UserPool::open(&account, self.user_pool.as_deref()).await?;
        let user = pool.get(&self.sub).await?;
        let mut report = PasswordReport {
            dry_run: !self.change.yes,
            user_pool: pool.id.clone(),
            sub: self.sub,
            status: user.status.clone(),
            temporary: self.temporary,
            changed: false,
        };
        if !self.json {
            output::print(&render(&report, user.state()))?;
        }
        if !self.change.yes {
            if self.json {
                return output::json(&report);
            }
            return output::not_done("Dry run: nothing was changed. Add --yes to set the password.");
        }
        let password = read_password().await?;
        let next_step = "the password may be set. Run the command again";
        let set = user.set_password(&password, self.temporary);
        StopSignal::on_signals().run(set, next_step).await?;
        report.changed = true;
        if self.json {
            return output::json(&report);
        }
        output::done("Password set.")
    }
}

fn render(report: &PasswordReport, state: &str) -> String {
    let mut out = format!("user {}: {}, {state}\n", report.sub, report.status);
    out += match report.temporary {
        true => "  then  FORCE_CHANGE_PASSWORD: the user chooses another password at the next sign-in\n",
        false => "  then  CONFIRMED: the password is permanent\n",
    };
    if report.status == "EXTERNAL_PROVIDER" {
        out += "  note  the user signs in with an identity provider. With a password, the user can sign in \
                without it\n";
    }
    out
}
