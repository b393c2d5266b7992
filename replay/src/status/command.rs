//! `replay status`: options and output.

use anstyle::{AnsiColor, Style};
use clap::Args;
use shared::time::Clock;

use crate::account::AccountOptions;
use crate::error::{CommandError, Result};
use crate::output::{self, counted, wrap};
use crate::status::checks::{checks, period};
use crate::status::read_figures;
use crate::status::report::{Check, CheckName, CheckState, StatusReport};
use crate::time_option::{When, parse_when};

const EXAMPLES: &str = "\
Examples:
  replay status --stack cognito-user-events
  replay status --since 1d
  replay status --suspended
  replay status --json | jq '.checks[] | select(.state != \"ok\")'";

/// Indentation of a check behind its state.
const INDENT: usize = 6;

/// Show what needs a look in a stack, and what to type next.
///
/// Checks the alarms, the triggers of the user pool, the dead letters, unsent events, the age of the statistics, errors of the functions,
/// denials and the invalidation budget. Counts are those of the last hour, or since `--since`. The exit code
/// is 0 if nothing needs a look. A check that your role cannot make is unknown, and the others still run.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Status {
    /// Begin of the counts: a duration before now, a date or a time.
    #[arg(long, value_name = "WHEN", default_value = "1h", value_parser = parse_when)]
    since: When,
    /// Also count the SUSPENSION items that are in force. Reads the whole table: half a read unit per 4 KB.
    #[arg(long)]
    suspended: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    account: AccountOptions,
}

impl Status {
    pub async fn run(self) -> Result<()> {
        let account = self.account.open().await?;
        let stack = account.stack().await?;
        let now = Clock::system().now();
        let since = self.since.ago(now);
        if since >= now {
            return Err(CommandError::invalid_input("--since: expected a time in the past"));
        }
        let figures = read_figures(&account, stack, self.suspended, since, now).await;
        let checks = checks(&figures, &period(since, now), stack);
        let report = StatusReport { stack: stack.name.clone(), checks, figures };
        match self.json {
            true => output::json(&report)?,
            false => output::print(&render(&report, output::width()))?,
        }
        let count = |state| report.checks.iter().filter(|check| check.state == state).count();
        match (count(CheckState::Look), count(CheckState::Unknown)) {
            (0, 0) => Ok(()),
            (0, unknown) => {
                Err(CommandError::failed(format!("{} could not be made", counted(unknown, "check"))))
            }
            (1, 0) => Err(CommandError::failed("1 check needs a look")),
            (look, 0) => Err(CommandError::failed(format!("{look} checks need a look"))),
            (look, unknown) => Err(CommandError::failed(format!(
                "{} a look, and {unknown} could not be made",
                if look == 1 { "1 check needs".to_owned() } else { format!("{look} checks need") }
            ))),
        }
    }
}

fn render(report: &StatusReport, width: usize) -> String {
    let mut text = format!("stack {}\n\n", report.stack);
    for check in &report.checks {
        text += &line(check, width);
        for step in &check.next_steps {
            let step = match step.starts_with(char::is_uppercase) {
                true => {
                    wrap(step, width.saturating_sub(INDENT), 0).replace('\n', &format!("\n{:INDENT$}", ""))
                }
                false => output::command(step),
            };
            text += &format!("{:INDENT$}{step}\n", "");
        }
    }
    text
}

fn line(check: &Check, width: usize) -> String {
    let (mark, color) = match check.state {
        CheckState::Look => ("look", AnsiColor::Red),
        CheckState::Unknown => ("?", AnsiColor::Yellow),
        CheckState::Ok => ("ok", AnsiColor::Green),
    };
    let style = Style::new().bold().fg_color(Some(color.into()));
    let text = format!("{}: {}", title(check.check), check.text);
    let text = wrap(&text, width.saturating_sub(INDENT), 0).replace('\n', &format!("\n{:INDENT$}", ""));
    format!("{style}{mark}{style:#}{:1$}{text}\n", "", INDENT - mark.len())
}

fn title(check: CheckName) -> &'static str {
    match check {
        CheckName::Alarms => "alarms",
        CheckName::UserPool => "user pool",
        CheckName::DeadLetters => "dead letters",
        CheckName::UnsentEvents => "unsent events",
        CheckName::Statistics => "statistics",
        CheckName::Functions => "functions",
        CheckName::Denials => "denials",
        CheckName::Budget => "budget",
        CheckName::Suspensions => "suspensions",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::report::Figures;

    #[test]
    fn output_fits_a_narrow_terminal_and_commands_stay_on_one_line() {
        let command = "aws logs tail /aws/lambda/cognito-user-events-user-stats --since 1h";
        let check = |state, steps: &[&str]| Check {
            check: CheckName::DeadLetters,
            state,
            text: "6 in user-events-dead-letters, oldest 1d 2h, expires in 12d 21h".to_owned(),
            next_steps: steps.iter().map(|step| (*step).to_owned()).collect(),
        };
        let advice = "Find the trigger on the dashboard, then check DynamoDB and SQS.";
        let checks = vec![
            check(CheckState::Look, &[command, advice]),
            check(CheckState::Unknown, &[]),
            check(CheckState::Ok, &[]),
        ];
        let report = StatusReport { stack: "shop".to_owned(), checks, figures: Figures::default() };
        for width in [40, 80] {
            let text = anstream::adapter::strip_str(&render(&report, width)).to_string();
            for line in text.lines().filter(|line| line.trim() != command) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            assert!(text.contains(&format!("\n      {command}\n")), "{text}");
            assert!(text.contains("\nlook  dead letters: 6 in") && text.contains("\n?     dead letters: 6"));
        }
    }
}
