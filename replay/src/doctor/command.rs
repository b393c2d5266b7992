//! `replay doctor`: options and output.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use clap::Args;
use shared::email_domain::Domain;
use shared::events::unique_id;
use shared::time::Clock;

use super::catalog::{CheckId, dollars};
use super::deployment::Deployment;
use super::first_day::setting::Setting;
use super::first_day::{self, FirstDay};
use super::http::Http;
use super::page::{PageUrls, check_url};
use super::read_only::{self, PoolRead};
use super::report::{CheckReport, DoctorReport, Leftover, State, cost_microdollars};
use crate::account::Account;
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::ChangeOptions;
use crate::output::{self, counted, duration, wrap};
use crate::user::pool::UserPool;

const EXAMPLES: &str = "\
Examples:
  replay doctor --stack cognito-user-events
  replay doctor --stack cognito-user-events --read-only
  replay doctor --stack cognito-user-events --yes
  replay doctor --stack cognito-user-events --read-only --json | jq '.checks[] | select(.state == \"failed\")'";

/// Indentation of the text behind the state of a check.
const INDENT: usize = 9;

/// Check a deployed stack in the real account, with one user's first day.
///
/// Checks what no stand-in for AWS can show. The checks that change nothing are about invoke permissions, the
/// settings of the user pool and its app clients, event sources, alarms, dead letters and the page behind
/// CloudFront. Then a user signs up, signs in, sees the page, is suspended and reinstated, and is erased. Each
/// failed check says how to fix it. Everything that the run creates is removed, also after Ctrl-C. The
/// command is a dry run unless you pass --read-only or --yes: it shows each check, what it changes and what it
/// costs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// Make only the checks that change nothing.
    #[arg(long, conflicts_with_all = ["yes", "email"])]
    read_only: bool,
    /// Address to sign up with, which no user has. [default: the mailbox simulator of SES]
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Address of a user's page behind CloudFront, which needs an access token. [default: the dashboard of
    /// the read API]
    #[arg(long, value_name = "URL")]
    page_url: Option<String>,
    /// Longest wait for an event or an invalidation, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=900))]
    timeout: u64,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Doctor {
    pub async fn run(self) -> Result<()> {
        self.check_options()?;
        let account = self.change.open().await?;
        let stack = account.stack().await?;
        let deployment = Deployment::read(&account.cloudformation(), &stack.name).await?;
        let urls = PageUrls::of(&deployment, self.page_url.as_deref());
        let mut report = DoctorReport {
            stack: stack.name.clone(),
            dry_run: !self.read_only && !self.change.yes,
            read_only: self.read_only,
            checks: Vec::new(),
            leftovers: Vec::new(),
            seconds: 0,
            cost_microdollars: 0,
        };
        self.show(&header(&report))?;
        if report.dry_run {
            report.checks = CheckId::ALL.into_iter().map(CheckReport::planned).collect();
            self.show(&report.checks.iter().map(|check| line(check, output::width())).collect::<String>())?;
            return self.finish(report, None);
        }
        let started = Instant::now();
        // Reading needs no orderly end.
        let stop = self.change.yes.then(StopSignal::on_signals);
        let http = Http::new(account.roots())?;
        let pool = PoolRead::of(&account.cognito(), stack.user_pool_id()).await;
        let subject = read_only::Subject {
            account: &account,
            stack,
            deployment: &deployment,
            urls: &urls,
            http: &http,
        };
        report.checks = read_only::run(&subject, &pool, Clock::system().now()).await;
        self.show(&report.checks.iter().map(|check| line(check, output::width())).collect::<String>())?;
        if let Some(stop) = &stop {
            let made = self.first_day(&subject, &pool, stop).await;
            let (checks, leftovers) = made.unwrap_or_else(|error| {
                let checks = first_day::not_started(&error);
                // A closed pipe must not hide the exit code.
                drop(self.show(&checks.iter().map(|check| line(check, output::width())).collect::<String>()));
                (checks, Vec::new())
            });
            report.checks.extend(checks);
            report.leftovers = leftovers;
        }
        report.seconds = started.elapsed().as_secs();
        self.finish(report, stop.as_ref())
    }

    /// Checks what does not need the account.
    fn check_options(&self) -> Result<()> {
        if let Some(url) = &self.page_url {
            check_url(url)?;
        }
        if self.email.as_ref().is_some_and(|email| Domain::of_address(email.trim()).is_err()) {
            return Err(CommandError::invalid_input(
                "--email: expected a plain email address such as ana@example.com",
            ));
        }
        Ok(())
    }

    /// Makes the checks that change something. Fails before the first of them if something that they need is
    /// unknown.
    async fn first_day(
        &self,
        subject: &read_only::Subject<'_>,
        read: &PoolRead,
        stop: &StopSignal,
    ) -> Result<(Vec<CheckReport>, Vec<Leftover>)> {
        let account: &Account = subject.account;
        let (settings, clients) = read.both().map_err(|error| {
            CommandError::failed(format!("the user pool cannot be read, so no user signs up: {error}"))
        })?;
        let clock = Clock::system();
        // The random end of a UUIDv7.
        let id = unique_id(clock.now());
        let run = format!("doctor-{}", &id[id.len() - 8..]);
        let (pool, store) = (UserPool::open(account, None).await?, account.store(None).await?);
        let creating_pool = pool.with_one_attempt();
        let queues = account.optional_queues(None, None).await?;
        let (Some(user_events), Some(cache_invalidations)) = queues else {
            return Err(CommandError::failed("the stack has no queues user-events and cache-invalidations"));
        };
        let setting = Setting {
            stack_name: &subject.stack.name,
            deployment: subject.deployment,
            urls: subject.urls,
            http: subject.http,
            pool: &pool,
            creating_pool: &creating_pool,
            settings,
            clients,
            store: &store,
            user_events: &user_events,
            cache_invalidations: &cache_invalidations,
            operator: account.operator(),
            email: self.email.as_deref().map(str::trim),
            run: &run,
            timeout: Duration::from_secs(self.timeout),
            stop,
            clock: &clock,
        };
        let width = output::width();
        // A closed pipe must not end the run before everything is removed.
        Ok(FirstDay::new(&setting).run(|check| drop(self.show(&line(check, width)))).await)
    }

    /// Prints a part of the output as soon as it is known. JSON comes at the end.
    fn show(&self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { output::print(text) }
    }

    /// Prints the end of the report. An error if a check failed.
    fn finish(&self, mut report: DoctorReport, stop: Option<&StopSignal>) -> Result<()> {
        report.cost_microdollars = cost_microdollars(&report.checks);
        if self.json {
            output::json(&report)?;
        } else {
            output::result(&footer(&report, output::width()))?;
        }
        if report.dry_run && !self.json {
            return output::not_done(
                "Dry run: nothing was checked. Add --read-only for the checks that change nothing, or --yes for all.",
            );
        }
        let left = match report.leftovers.len() {
            0 => String::new(),
            count => format!(", and {} left: see the commands above", counted(count, "thing")),
        };
        if stop.is_some_and(StopSignal::is_requested) {
            return Err(CommandError::interrupted(match left.is_empty() {
                true => "everything that the run created is removed. Run the command again".to_owned(),
                false => format!("not everything is removed{left}"),
            }));
        }
        match report.count(State::Failed) {
            0 => Ok(()),
            count => Err(CommandError::failed(format!("{} failed{left}", counted(count, "check")))),
        }
    }
}

fn header(report: &DoctorReport) -> String {
    format!("stack {}\n\n", report.stack)
}

/// What is left, and the summary.
fn footer(report: &DoctorReport, width: usize) -> String {
    let mut text = String::new();
    for Leftover { what, command } in &report.leftovers {
        text +=
            &format!("\nleft     {}\n{:INDENT$}{}\n", indented(what, width), "", output::command(command));
    }
    text + "\n" + &summary(report) + "\n"
}

/// `18 checks: 16 ok, 2 skipped. 3s, at most $0.0004.`
fn summary(report: &DoctorReport) -> String {
    let states = [(State::Ok, "ok"), (State::Failed, "failed"), (State::Skipped, "skipped")];
    let counts = states.into_iter().map(|(state, name)| (report.count(state), name));
    let counts: Vec<String> = counts
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{} {name}", output::number(count)))
        .collect();
    let cost = format!("at most {}", dollars(report.cost_microdollars));
    let checks = counted(report.checks.len(), "check");
    match counts.is_empty() {
        true => format!("{checks}, {cost}"),
        false => format!("{checks}: {}. {}, {cost}", counts.join(", "), duration(report.seconds)),
    }
}

fn line(check: &CheckReport, width: usize) -> String {
    let (mark, color) = match check.state {
        State::Ok => ("ok", AnsiColor::Green),
        State::Failed => ("failed", AnsiColor::Red),
        State::Skipped => ("skipped", AnsiColor::Yellow),
        State::Planned => ("planned", AnsiColor::Cyan),
    };
    let style = Style::new().bold().fg_color(Some(color.into()));
    let mut text = format!("{}: {}", check.check.info().name, check.text);
    if check.state == State::Planned {
        text += &plan(check);
    }
    let text = indented(&text, width);
    let mut out = format!("{style}{mark}{style:#}{:1$}{text}\n", "", INDENT - mark.len());
    if let Some(fix) = &check.fix {
        let fix = match fix.starts_with(char::is_uppercase) {
            true => indented(fix, width),
            false => output::command(fix),
        };
        out += &format!("{:INDENT$}{fix}\n", "");
    }
    out
}

/// What a planned check changes and costs, behind what it proves.
fn plan(check: &CheckReport) -> String {
    let changes = check.changes.as_ref().map(|changes| format!(". Changes: {changes}"));
    let price = check.check.info().microdollars;
    let costs = (price > 0).then(|| format!(". Costs: {}, at most {}", check.costs, dollars(price)));
    changes.unwrap_or_default() + &costs.unwrap_or_default()
}

fn indented(text: &str, width: usize) -> String {
    wrap(text, width.saturating_sub(INDENT), 0).replace('\n', &format!("\n{:INDENT$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Outcome;

    fn render(report: &DoctorReport, width: usize) -> String {
        let lines: String = report.checks.iter().map(|check| line(check, width)).collect();
        header(report) + &lines + &footer(report, width)
    }

    fn report(checks: Vec<CheckReport>) -> DoctorReport {
        DoctorReport {
            stack: "shop".to_owned(),
            dry_run: false,
            read_only: true,
            cost_microdollars: cost_microdollars(&checks),
            checks,
            leftovers: vec![Leftover {
                what: "the user 7d8ca528: AccessDeniedException".to_owned(),
                command: "replay user erase 7d8ca528 --account --stack shop --yes".to_owned(),
            }],
            seconds: 65,
        }
    }

    #[test]
    fn output_fits_a_narrow_terminal_and_commands_stay_on_one_line() {
        let command = "replay inspect user-events-dead-letters --stack shop";
        let checks = vec![
            CheckReport::new(CheckId::Alarms, Outcome::ok("none of 29 rings")),
            CheckReport::new(
                CheckId::Messages,
                Outcome::failed("SesIdentityArn is set, but the pool does not"),
            ),
            CheckReport::new(CheckId::DeadLetters, Outcome::failed("6 in user-events").with_fix(command)),
            CheckReport::new(CheckId::PageFiles, Outcome::skipped("the stack has no page of its own")),
        ];
        let report = report(checks);
        for width in [40, 80] {
            let text = anstream::adapter::strip_str(&render(&report, width)).to_string();
            let is_command = |line: &&str| !line.trim().starts_with("replay ");
            for line in text.lines().filter(is_command).filter(|line| !line.contains(" checks: ")) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            assert!(text.contains(&format!("\n         {command}\n")), "{text}");
            assert!(
                text.contains("\nskipped  page-files: the stack") && text.contains("\nleft     the user")
            );
            assert!(text.ends_with("4 checks: 1 ok, 2 failed, 1 skipped. 1m, at most $0.0002\n"), "{text}");
        }
    }

    #[test]
    fn plan_says_what_a_check_changes_and_costs() {
        let mut plan = report(vec![CheckReport::planned(CheckId::Erasure)]);
        plan.leftovers.clear();
        let text = anstream::adapter::strip_str(&render(&plan, 200)).to_string();
        assert_eq!(
            text,
            "stack shop\n\nplanned  erasure: an erasure leaves nothing of the user but its marker. Changes: erases \
             the user's data in the table. Costs: one invalidation item, at most $0.0050\n\n1 check, at most $0.0050\n"
        );
    }
}
