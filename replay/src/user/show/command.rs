//! `replay user show`: options and output.

use std::fmt::Write;

use clap::Args;
use shared::email_domain::Domain;
use shared::statistics::DomainStats;
use shared::text::{printable, write_statistics};
use shared::time::Clock;

use crate::account::AccountOptions;
use crate::aws_error::describe;
use crate::error::{CommandError, Result};
use crate::options::{TableOptions, check_sub};
use crate::output::{self, counted, number};
use crate::user::pool::UserPool;
use crate::user::pool_account::PoolAccount;
use crate::user::show::report::ShowReport;
use crate::user::show::{GrantSummary, UserSummary, read_domain};

const EXAMPLES: &str = "\
Examples:
  replay user show 7d8ca528-4931-4254-9273-ea5ee853f271
  replay user show 7d8ca528-4931-4254-9273-ea5ee853f271 --user-pool eu-central-1_EXAMPLE12
  replay user show --domain example.com --json";

/// Maximum number of days in the chart: the latest days with events.
const MAX_DAYS: usize = 14;
/// Length of the longest bar in characters, if the terminal is wide enough.
const BAR_WIDTH: usize = 40;
/// Columns of a line of the chart without the bar: two spaces, the date, and a count of up to six digits.
const CHART_COLUMNS: usize = 22;
/// Values that STATS has in place of a domain.
const NOT_A_DOMAIN: [&str; 3] = ["other", "none", "invalid"];

/// Show what the table has about a user or an email domain.
///
/// For a user: suspension, statistics, latest activities, permissions for resources of other users,
/// and a bar for each day with stored events. For a domain: the number of sign-ups.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Show {
    /// The user's sub.
    #[arg(required_unless_present = "domain", conflicts_with = "domain")]
    sub: Option<String>,
    /// Email domain. Also: other (denied, on no list), none (no address), invalid (not a plain
    /// address).
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Id of the user pool, to show the account too. [default: that of the stack]
    #[arg(long, value_name = "ID", conflicts_with = "domain")]
    user_pool: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    account: AccountOptions,
}

impl Show {
    pub async fn run(self) -> Result<()> {
        let account = self.account.open().await?;
        let pool = match &self.user_pool {
            Some(id) => Some(UserPool::open(&account, Some(id)).await?),
            // The pool of the stack. A role may not be allowed to read it.
            None if account.stack_name().is_some() && self.domain.is_none() => {
                UserPool::open(&account, None).await.ok()
            }
            None => None,
        };
        let store = account.store(self.table.table.as_deref()).await?;
        if let Some(domain) = &self.domain {
            let domain = parse_domain(domain)?;
            let sums = read_domain(&store, &domain).await?;
            return if self.json {
                output::json(&ShowReport::of_domain(&domain, &sums))
            } else {
                output::print(&render_domain(&domain, &sums))
            };
        }
        if let Some(sub) = &self.sub {
            check_sub(sub)?;
            let summary = UserSummary::read(&store, sub, Clock::system().now()).await?;
            let found = match &pool {
                Some(pool) => Some(pool.find(sub).await),
                None => None,
            };
            let (pool_account, account) = match found {
                None => (None, String::new()),
                Some(Ok(found)) => {
                    let text = render_account(found.as_ref());
                    (found, text)
                }
                Some(Err(error)) if self.user_pool.is_some() => return Err(error.into()),
                Some(Err(error)) => (None, format!("  account: unknown: {}\n", describe(error.as_ref()))),
            };
            if self.json {
                output::json(&ShowReport::of_user(&summary, pool_account.as_ref()))?;
            } else {
                output::print(&render(&summary, &account, output::width()))?;
            }
            // A wrong sub looks like a user without data otherwise.
            if pool_account.is_none() && summary.is_empty() {
                return Err(CommandError::failed("nothing is known about this sub. Check it, and the table"));
            }
            return Ok(());
        }
        Ok(())
    }
}

fn parse_domain(domain: &str) -> Result<String> {
    if NOT_A_DOMAIN.contains(&domain) {
        return Ok(domain.to_owned());
    }
    let domain = Domain::parse(domain.trim());
    let domain = domain
        .map_err(|_| CommandError::invalid_input("--domain: expected an email domain such as example.com"))?;
    Ok(domain.to_string())
}

fn render_domain(domain: &str, sums: &DomainStats) -> String {
    let DomainStats { sign_ups, sign_ups_allowed, sign_ups_denied } = sums;
    let sign_ups = counted(usize::try_from(*sign_ups).unwrap_or_default(), "sign-up");
    format!("domain {domain}: {sign_ups}, {sign_ups_allowed} allowed, {sign_ups_denied} denied\n")
}

/// The account in the user pool.
fn render_account(account: Option<&PoolAccount>) -> String {
    let Some(account) = account else { return "  account: none in the user pool\n".to_owned() };
    let domain = account.email_domain().unwrap_or_else(|| "no address".to_owned());
    let created = account.created_at.map_or_else(String::new, |at| format!(", created at {at}"));
    printable(&format!("  account: {}, {}{created}, {domain}", account.status, account.state())).to_string()
        + "\n"
}

/// `account`: lines about the account. `width`: columns of the terminal.
fn render(summary: &UserSummary, account: &str, width: usize) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_summary(&mut out, summary, account, width);
    out
}

fn write_summary(out: &mut String, summary: &UserSummary, account: &str, width: usize) -> std::fmt::Result {
    let profile = if summary.has_profile { "" } else { "no profile, " };
    let name = summary.preferred_username.as_deref().map_or_else(String::new, |name| {
        let name = printable(name);
        format!(" ({name})")
    });
    writeln!(out, "user {}{name}: {profile}{}", summary.sub, printable(&summary.status))?;
    if let Some(since) = summary.suspended_since {
        writeln!(out, "  suspended since {since}")?;
    }
    out.push_str(account);
    match &summary.statistics {
        Some(statistics) => write_statistics(out, "  ", statistics)?,
        None => writeln!(out, "  no statistics")?,
    }
    if summary.attempts > 0 {
        writeln!(out, "\nStored sign-in attempts that were allowed: {}", number(summary.attempts))?;
    }
    if !summary.grants.is_empty() {
        writeln!(out, "\nPermissions for resources of other users")?;
        for GrantSummary { resource, status } in &summary.grants {
            writeln!(out, "  {}: {status}", printable(resource))?;
        }
    }
    if summary.events_by_day.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nStored events by day, in UTC")?;
    let skipped = summary.events_by_day.len().saturating_sub(MAX_DAYS);
    let days = || summary.events_by_day.iter().skip(skipped);
    let bar_width = width.saturating_sub(CHART_COLUMNS).clamp(1, BAR_WIDTH);
    let most = days().map(|(_, count)| *count).max().unwrap_or(1);
    for (day, count) in days() {
        let bar = "█".repeat((count * bar_width).div_ceil(most));
        writeln!(out, "  {day}  {bar} {}", number(*count))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::civil::Date;
    use serde_json::json;

    use super::*;

    #[test]
    fn latest_days_are_bars_of_limited_length() {
        let day = |day| Date::constant(2026, 3, day);
        let summary = UserSummary {
            sub: "ana".into(),
            has_profile: true,
            preferred_username: Some("zoe".into()),
            status: "not suspended".into(),
            has_suspension: false,
            suspended_since: None,
            statistics: Some(json!({"orders": 2, "signIns": 0, "recent": []})),
            events_by_day: (1..=20)
                .map(|number| (day(number), usize::try_from(number).unwrap() * 10))
                .collect(),
            attempts: 0,
            grants: Vec::new(),
        };
        let text = render(&summary, "", 80);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            ["user ana (zoe): not suspended", "  orders               2", "", "Stored events by day, in UTC"]
        );
        assert_eq!(lines.len(), 4 + MAX_DAYS);
        assert_eq!(lines[4], format!("  2026-03-07  {} 70", "█".repeat(14)));
        assert_eq!(lines[17], format!("  2026-03-20  {} 200", "█".repeat(40)));
        assert!(render(&summary, "", 40).lines().all(|line| line.chars().count() <= 40));
    }

    #[test]
    fn user_without_data_is_shown_without_statistics() {
        let summary = UserSummary {
            sub: "ana".into(),
            has_profile: false,
            preferred_username: None,
            status: "not suspended".into(),
            has_suspension: false,
            suspended_since: None,
            statistics: None,
            events_by_day: BTreeMap::new(),
            attempts: 0,
            grants: Vec::new(),
        };
        assert_eq!(render(&summary, "", 80), "user ana: no profile, not suspended\n  no statistics\n");
        let summary = UserSummary { attempts: 1_200, ..summary };
        assert!(render(&summary, "", 80).ends_with("\nStored sign-in attempts that were allowed: 1,200\n"));
        let grant =
            GrantSummary { resource: "orders/\u{1b}[1m".into(), status: "read, without an end".into() };
        let shown = render(&UserSummary { grants: vec![grant], ..summary }, "", 80);
        assert!(
            shown.ends_with(
                "\nPermissions for resources of other users\n  orders/ [1m: read, without an end\n"
            ),
            "{shown}"
        );
    }
}
