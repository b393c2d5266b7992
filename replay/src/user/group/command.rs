//! `replay user group`: options and output.

use clap::{Args, Subcommand};
use serde::Serialize;
use shared::text::printable;

use super::ManagedGroups;
use crate::account::{Account, AccountOptions};
use crate::error::Result;
use crate::interrupt::StopSignal;
use crate::options::{ChangeOptions, check_sub};
use crate::output;
use crate::user::pool::UserPool;

const LIST_EXAMPLES: &str = "\
Examples:
  replay user group list 7d8ca528-4931-4254-9273-ea5ee853f271 --user-pool eu-central-1_EXAMPLE12
  replay user group list 7d8ca528-4931-4254-9273-ea5ee853f271 --user-pool eu-central-1_EXAMPLE12 \\
    --stack cognito-user-events --json";

const ADD_EXAMPLES: &str = "\
Examples:
  replay user group add 7d8ca528-4931-4254-9273-ea5ee853f271 Staff --user-pool eu-central-1_EXAMPLE12
  replay user group add 7d8ca528-4931-4254-9273-ea5ee853f271 Staff --user-pool eu-central-1_EXAMPLE12 \\
    --stack cognito-user-events --yes";

const REMOVE_EXAMPLES: &str = "\
Examples:
  replay user group remove 7d8ca528-4931-4254-9273-ea5ee853f271 Staff --user-pool eu-central-1_EXAMPLE12
  replay user group remove 7d8ca528-4931-4254-9273-ea5ee853f271 Staff \\
    --user-pool eu-central-1_EXAMPLE12 --stack cognito-user-events --yes";

/// Show a user's groups in the user pool, or change them.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    List(List),
    Add(Add),
    Remove(Remove),
}

impl GroupCommand {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(command) => command.run().await,
            Self::Add(Add { options }) => options.run(true).await,
            Self::Remove(Remove { options }) => options.run(false).await,
        }
    }

    /// Whether the command changes the account, so that an early end is an error.
    pub fn changes_account(&self) -> bool {
        match self {
            Self::List(_) => false,
            Self::Add(command) => command.options.change.yes,
            Self::Remove(command) => command.options.change.yes,
        }
    }
}

/// Show a user's groups in the user pool, and which of them GROUP_RULES manages.
///
/// Tokens have the managed groups whose rules match, and the other groups of the user pool.
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub struct List {
    #[command(flatten)]
    user: UserOptions,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    account: AccountOptions,
}

/// Add a user to a group of the user pool.
///
/// Tokens have the group from the next refresh on. If GROUP_RULES manages the group, tokens have it
/// only if a rule matches, whatever the user pool says. The command is a dry run unless you pass
/// --yes.
#[derive(Debug, Args)]
#[command(after_help = ADD_EXAMPLES)]
pub struct Add {
    #[command(flatten)]
    options: MembershipOptions,
}

/// Remove a user from a group of the user pool.
///
/// Tokens lose the group with the next refresh. Tokens that the user already has keep it until they
/// expire. If GROUP_RULES manages the group, tokens have it if a rule matches, whatever the user pool
/// says. The command is a dry run unless you pass --yes.
#[derive(Debug, Args)]
#[command(after_help = REMOVE_EXAMPLES)]
pub struct Remove {
    #[command(flatten)]
    options: MembershipOptions,
}

#[derive(Debug, Args)]
struct UserOptions {
    /// The user's sub.
    sub: String,
    /// Id of the user pool. [default: that of the stack]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
}

#[derive(Debug, Args)]
struct MembershipOptions {
    #[command(flatten)]
    user: UserOptions,
    /// Name of the group. It must exist.
    group: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeOptions,
}

/// The groups of a user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupListReport {
    /// Id of the user pool.
    pub user_pool: String,
    /// The user's sub.
    pub sub: String,
    /// The user's groups in the user pool.
    pub groups: Vec<GroupReport>,
}

/// A group.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupReport {
    /// Name of the group.
    pub name: String,
    /// True if GROUP_RULES manages the group. Null if the rules are not known.
    pub managed: Option<bool>,
}

/// A change of a user's groups.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MembershipReport {
    /// True if nothing was changed, because --yes is missing.
    pub dry_run: bool,
    /// Id of the user pool.
    pub user_pool: String,
    /// The user's sub.
    pub sub: String,
    /// Name of the group.
    pub group: String,
    /// True if GROUP_RULES manages the group. Null if the rules are not known.
    pub managed: Option<bool>,
    /// True if the user was in the group before the command.
    pub member_before: bool,
    /// True if the command changed the membership.
    pub changed: bool,
}

impl UserOptions {
    async fn open(&self, account: &Account) -> Result<(UserPool, ManagedGroups)> {
        check_sub(&self.sub)?;
        let pool = UserPool::open(account, self.user_pool.as_deref()).await?;
        Ok((pool, ManagedGroups::read(account).await?))
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let account = self.account.open().await?;
        let (pool, managed) = self.user.open(&account).await?;
        let groups = pool.get(&self.user.sub).await?.groups().await?;
        let groups = groups.into_iter().map(|name| GroupReport { managed: managed.contains(&name), name });
        let report = GroupListReport { user_pool: pool.id, sub: self.user.sub, groups: groups.collect() };
        if self.json {
            return output::json(&report);
        }
        output::print(&render(&report))
    }
}

fn render(report: &GroupListReport) -> String {
    if report.groups.is_empty() {
        return format!("user {}: no groups\n", report.sub);
    }
    let mut out = format!("user {}\n", report.sub);
    for group in &report.groups {
        let managed = if group.managed == Some(true) { "  (managed by GROUP_RULES)" } else { "" };
        out += &format!("  {}{managed}\n", printable(&group.name));
    }
    out
}

impl MembershipOptions {
    /// Adds the user to the group, or removes the user.
    async fn run(self, adds: bool) -> Result<()> {
        let account = self.change.open().await?;
        let (pool, managed) = self.user.open(&account).await?;
        let user = pool.get(&self.user.sub).await?;
        if pool.missing_group(std::slice::from_ref(&self.group)).await?.is_some() {
            return Err(pool.no_group(&self.group, "nothing was changed").await);
        }
        let is_member = user.groups().await?.contains(&self.group);
        let mut report = MembershipReport {
            dry_run: !self.change.yes,
            user_pool: pool.id,
            sub: self.user.sub,
            managed: managed.contains(&self.group),
            group: self.group,
            member_before: is_member,
            changed: false,
        };
        if !self.json {
            output::print(&render_plan(&report, adds))?;
        }
        if self.change.yes && is_member != adds {
            let next_step = "the membership may be changed. Run the command again";
            let stop = StopSignal::on_signals();
            match adds {
                true => stop.run(user.add_to_group(&report.group), next_step).await?,
                false => stop.run(user.remove_from_group(&report.group), next_step).await?,
            }
            report.changed = true;
        }
        if self.json {
            return output::json(&report);
        }
        if is_member == adds {
            return output::done("Nothing to do.");
        }
        if !self.change.yes {
            return output::not_done("Dry run: nothing was changed. Add --yes to change the membership.");
        }
        output::done(if adds { "User added to the group." } else { "User removed from the group." })
    }
}

fn render_plan(report: &MembershipReport, adds: bool) -> String {
    let (group, state) =
        (printable(&report.group), |is_member| if is_member { "a member" } else { "not a member" });
    let mut out = format!(
        "user {}, group {group}\n  now   {}\n  then  {}\n",
        report.sub,
        state(report.member_before),
        state(adds)
    );
    out += match report.managed {
        Some(false) => "",
        Some(true) => {
            "  note  GROUP_RULES manages this group. Tokens have it only if a rule matches, and with \
             PersistGroups the user's next token undoes the change. Change the attributes of the user, or the \
             rules\n"
        }
        None => {
            "  note  not known if GROUP_RULES manages this group, so that the change would not stay. Pass \
             --stack, or set GROUP_RULES\n"
        }
    };
    out
}
