//! `replay user list`: options and output.

use clap::Args;
use clap::builder::PossibleValuesParser;
use shared::text::printable;
use shared::time::Clock;

use super::{Activity, ListedUser, UserListReport, UserQuery, csv};
use crate::account::AccountOptions;
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::TableOptions;
use crate::output::{self, counted};
use crate::pace::{MAX_RATE, Pace};
use crate::progress::Progress;
use crate::time_option::{When, parse_when};
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

const USERS_EXAMPLES: &str = "\
Examples:
  replay users --stack cognito-user-events --inactive-for 90d
  replay users --stack cognito-user-events --inactive-for 365d --csv > inactive.csv
  replay users --user-pool eu-central-1_EXAMPLE12 --table NAME --inactive-for 90d --json";

/// Maximum number of users without --limit and without --inactive-for.
const DEFAULT_LIMIT: usize = 100;

/// List the users of a user pool: sub, creation date, status and the domain of the email address.
///
/// No email address is shown. A username is shown only if it is not an address. With a table,
/// suspended users are marked. With --inactive-for, only users are listed who were not active
/// for that time. The command changes nothing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct List {
    #[command(flatten)]
    options: ListOptions,
}

/// List the users of a user pool, such as those who were not active for 90 days. Another name of `replay
/// user list`.
#[derive(Debug, Args)]
#[command(after_help = USERS_EXAMPLES)]
pub struct Users {
    #[command(flatten)]
    options: ListOptions,
}

#[derive(Debug, Args)]
struct ListOptions {
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
    /// Only users who were not active for this time, such as 90d, or since a date. Users without statistics
    /// count by the creation of the account. Reads half a read unit for each user.
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    inactive_for: Option<When>,
    /// Print CSV: sub, status, enabled, created_at, last_seen_at, inactive_days.
    #[arg(long, requires = "inactive_for", conflicts_with_all = ["json", "groups"])]
    csv: bool,
    /// Maximum number of users. [default: 100, or all users with --inactive-for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Pages per second, with 60 users on a page. All callers in the account share the quota of
    /// ListUsers.
    #[arg(
        long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RATE))
    )]
    rate: u32,
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
        self.options.run().await
    }
}

impl Users {
    pub async fn run(self) -> Result<()> {
        self.options.run().await
    }
}

impl ListOptions {
    async fn run(self) -> Result<()> {
        let (now, table) = (Clock::system().now(), self.table.table.as_deref());
        let since = self.inactive_for.map(|when| when.ago(now));
        if since.is_some_and(|since| since > now) {
            return Err(CommandError::invalid_input(
                "--inactive-for: the time is in the future. Pass a time in the past, or a duration such as 90d",
            ));
        }
        let account = self.account.open().await?;
        let pool = UserPool::open(&account, self.user_pool.as_deref()).await?;
        let store = match since {
            Some(_) => Some(account.store(table).await?),
            None => account.optional_store(table).await?,
        };
        let activity = match (&store, since) {
            (Some(store), Some(since)) => Activity::NoneSince(store, since),
            (Some(store), None) => Activity::Suspensions(store),
            (None, _) => Activity::Unknown,
        };
        let limit = match (self.limit, since) {
            (Some(limit), _) => usize::try_from(limit).unwrap_or(usize::MAX),
            (None, Some(_)) => usize::MAX,
            (None, None) => DEFAULT_LIMIT,
        };
        let status = self.status.as_deref().map(str::to_ascii_uppercase);
        let query = UserQuery {
            status: status.as_deref(),
            group: self.group.as_deref(),
            only_disabled: self.disabled,
            limit,
            with_groups: self.groups,
            activity,
        };
        // Without --inactive-for, the list ends after a few pages.
        let (pace, progress) = (Pace::new(self.rate), since.map(|_| Progress::new("listed", None)));
        if self.csv {
            output::print(csv::HEADER)?;
        }
        let (mut users, mut count) = (Vec::new(), 0);
        let on_user = |user: ListedUser| {
            count += 1;
            if let Some(progress) = &progress {
                progress.set(count);
            }
            match self.csv {
                // Written at once, so that the memory does not grow with the pool.
                true => output::write(&csv::line(&user))?,
                false => users.push(user),
            }
            Ok(())
        };
        let work = query.run(&pool, &pace, now, on_user);
        let has_more =
            StopSignal::on_signals().run(work, "the list is not complete. Run the command again").await?;
        drop(progress);
        if self.csv {
            return Ok(());
        }
        let report = UserListReport { user_pool: pool.id, users, has_more };
        match self.json {
            true => output::json(&report),
            false => output::print(&render(&report, output::width())),
        }
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
    if report.users.iter().any(is_never_seen) {
        out +=
            "Never seen: no activity since the deployment of the stack, with which the statistics begin.\n";
    }
    out += &counted(report.users.len(), "user");
    out += if report.has_more { ", and more: pass a higher --limit\n" } else { "\n" };
    out
}

/// The sub, and the columns after it.
fn line(user: &ListedUser, status_width: usize) -> (String, String) {
    let created = user.created_at.map_or("no date".to_owned(), |at| at.strftime("%Y-%m-%d").to_string());
    let domain = user.email_domain.as_deref().unwrap_or("no address");
    let inactive = user.inactive_days.map(|days| match is_never_seen(user) {
        true => format!("  never seen, created {} ago", counted_days(days)),
        false => format!("  inactive for {}", counted_days(days)),
    });
    let details =
        format!("{created}  {:status_width$}  {domain}{}", status(user), inactive.unwrap_or_default());
    (printable(&user.sub).to_string(), printable(&details).to_string())
}

/// True if activity was read, and the table knows none of the user.
fn is_never_seen(user: &ListedUser) -> bool {
    user.inactive_days.is_some() && user.last_seen_at.is_none()
}

fn counted_days(days: i64) -> String {
    counted(usize::try_from(days).unwrap_or_default(), "day")
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
            last_seen_at: None,
            inactive_days: None,
        }
    }

    #[test]
    fn user_without_statistics_is_never_seen_and_not_inactive() {
        let never = ListedUser { inactive_days: Some(90), ..user("ben", "CONFIRMED") };
        let report =
            UserListReport { user_pool: "eu-central-1_X".to_owned(), users: vec![never], has_more: false };
        let expected = "\
ben  2026-03-02  CONFIRMED  example.com  never seen, created 90 days ago
Never seen: no activity since the deployment of the stack, with which the statistics begin.
1 user
";
        assert_eq!(render(&report, 120), expected);
    }

    #[test]
    fn users_are_lines_that_fit_the_terminal() {
        let special = ListedUser {
            username: Some("ben\u{1b}[1m".to_owned()),
            enabled: false,
            email_domain: None,
            groups: Some(vec!["Admin".to_owned(), "Staff".to_owned()]),
            suspension: Some("suspended without an end, by ben: spam".to_owned()),
            inactive_days: Some(1_000),
            last_seen_at: Some("2026-03-02T09:00:00Z".parse().unwrap()),
            ..user("e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25", "CONFIRMED")
        };
        let users = vec![user("7d8ca528-4931-4254-9273-ea5ee853f271", "CONFIRMED"), special];
        let report = UserListReport { user_pool: "eu-central-1_X".to_owned(), users, has_more: true };
        let wide = "\
7d8ca528-4931-4254-9273-ea5ee853f271  2026-03-02  CONFIRMED            example.com
e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25  2026-03-02  CONFIRMED, disabled  no address  inactive for 1,000 days
  username: ben [1m
  groups: Admin, Staff
  suspended without an end, by ben: spam
2 users, and more: pass a higher --limit
";
        assert_eq!(render(&report, 120), wide);
        let narrow = render(&report, 40);
        assert!(
            narrow.starts_with("7d8ca528-4931-4254-9273-ea5ee853f271\n  2026-03-02  CONFIRMED"),
            "{narrow}"
        );
    }
}
