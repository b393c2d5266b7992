//! `replay user list`: options and output.

use clap::Args;
use clap::builder::PossibleValuesParser;
use shared::text::printable;
use shared::time::Clock;

use super::{ListedUser, UserListReport, UserQuery};
use crate::account::AccountOptions;
use crate::error::Result;
use crate::options::TableOptions;
use crate::output::{self, counted};
use crate::user::pool::UserPool;

const EXAMPLES: &str = "\
Examples:
  replay user list --user-pool eu-central-1_EXAMPLE12
  replay user list --user-pool eu-central-1_EXAMPLE12 --status FORCE_CHANGE_PASSWORD
  replay user list --user-pool eu-central-1_EXAMPLE12 --group Staff --table NAME
  replay user list --user-pool eu-central-1_EXAMPLE12 --limit 10000 --json | jq '.users[].sub'";

/// Source: Amazon Cognito API Reference, *UserType*, UserStatus.
const STATUSES: [&str; 8] = [
    "UNCONFIRMED",
    "CONFIRMED",
    "FORCE_CHANGE_PASSWORD",
    "RESET_REQUIRED",
    "EXTERNAL_PROVIDER",
    "ARCHIVED",
    "COMPROMISED",
    "UNKNOWN",
];

/// List the users of a user pool: sub, creation date, status and the domain of the email address.
///
/// No email address is shown. A username is shown only if it is no address. With a table,
/// suspended users are marked. The command changes nothing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct List {
    /// Id of the user pool. [default: that of the stack]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
    /// Only users whose account has this status of Cognito.
    #[arg(long, value_name = "STATUS", ignore_case = true, value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    /// Only users in this group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only users whose account is disabled.
    #[arg(long)]
    disabled: bool,
    /// Maximum number of users.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Also show the groups of each user, with one call for each.
    #[arg(long)]
    groups: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    account: AccountOptions,
}

impl List {
    pub async fn run(self) -> Result<()> {
        let account = self.account.open().await?;
        let pool = UserPool::open(&account, self.user_pool.as_deref()).await?;
        let store = account.optional_store(self.table.table.as_deref()).await?;
        let status = self.status.as_deref().map(str::to_ascii_uppercase);
        let query = UserQuery {
            status: status.as_deref(),
            group: self.group.as_deref(),
            only_disabled: self.disabled,
            limit: usize::try_from(self.limit).unwrap_or(usize::MAX),
            with_groups: self.groups,
            store: store.as_ref(),
        };
        let report = query.run(&pool, Clock::system().now()).await?;
        if self.json {
            return output::json(&report);
        }
        output::print(&render(&report, output::width()))
    }
}

/// One line for each user, or two if one of the lines does not fit the terminal, and indented lines for
/// what not every user has.
fn render(report: &UserListReport, width: usize) -> String {
    let status_width = report.users.iter().map(|user| status(user).chars().count()).max().unwrap_or_default();
    let lines: Vec<(String, String)> = report.users.iter().map(|user| line(user, status_width)).collect();
    let sub_width = lines.iter().map(|(sub, _)| sub.chars().count()).max().unwrap_or_default();
    let is_narrow = lines.iter().any(|(_, details)| sub_width + 2 + details.chars().count() > width);
    let mut out = String::new();
    for (user, (sub, details)) in report.users.iter().zip(lines) {
        out += &if is_narrow {
            format!("{sub}\n  {details}\n")
        } else {
            format!("{sub:sub_width$}  {details}\n")
        };
        let mut line = |text: String| out += &format!("  {}\n", printable(&text));
        if let Some(username) = &user.username {
            line(format!("username: {username}"));
        }
        if let Some(groups) = user.groups.as_ref().filter(|groups| !groups.is_empty()) {
            line(format!("groups: {}", groups.join(", ")));
        }
        if let Some(suspension) = user.suspension.as_ref().filter(|text| *text != "not suspended") {
            line(suspension.clone());
        }
    }
    out += &counted(report.users.len(), "user");
    out += if report.has_more { ", and more: pass a higher --limit\n" } else { "\n" };
    out
}

/// The sub, and the columns after it.
fn line(user: &ListedUser, status_width: usize) -> (String, String) {
    let created = user.created_at.map_or("no date".to_owned(), |at| at.strftime("%Y-%m-%d").to_string());
    let domain = user.email_domain.as_deref().unwrap_or("no address");
    let details = format!("{created}  {:status_width$}  {domain}", status(user));
    (printable(&user.sub).to_string(), printable(&details).to_string())
}

fn status(user: &ListedUser) -> String {
    format!("{}{}", user.status, if user.enabled { "" } else { ", disabled" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(sub: &str, status: &str) -> ListedUser {
        ListedUser {
            sub: sub.to_owned(),
            username: None,
            status: status.to_owned(),
            enabled: true,
            created_at: Some("2026-03-02T09:00:00Z".parse().unwrap()),
            email_domain: Some("example.com".to_owned()),
            groups: None,
            suspension: None,
        }
    }

    #[test]
    fn users_are_lines_that_fit_the_terminal() {
        let special = ListedUser {
            username: Some("ben\u{1b}[1m".to_owned()),
            enabled: false,
            email_domain: None,
            groups: Some(vec!["Admin".to_owned(), "Staff".to_owned()]),
            suspension: Some("suspended without an end, by ben: spam".to_owned()),
            ..user("e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25", "CONFIRMED")
        };
        let users = vec![user("7d8ca528-4931-4254-9273-ea5ee853f271", "CONFIRMED"), special];
        let report = UserListReport { user_pool: "eu-central-1_X".to_owned(), users, has_more: true };
        let wide = "\
7d8ca528-4931-4254-9273-ea5ee853f271  2026-03-02  CONFIRMED            example.com
e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25  2026-03-02  CONFIRMED, disabled  no address
  username: ben [1m
  groups: Admin, Staff
  suspended without an end, by ben: spam
2 users, and more: pass a higher --limit
";
        assert_eq!(render(&report, 100), wide);
        let narrow = render(&report, 40);
        assert!(
            narrow.starts_with("7d8ca528-4931-4254-9273-ea5ee853f271\n  2026-03-02  CONFIRMED"),
            "{narrow}"
        );
    }
}
