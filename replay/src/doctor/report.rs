//! What `replay doctor` prints.

use std::time::Duration;

use serde::Serialize;

use super::catalog::CheckId;

/// The checks of a stack.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DoctorReport {
    /// Name of the stack.
    pub stack: String,
    /// True if no check was made, because neither --yes nor --read-only was given.
    pub dry_run: bool,
    /// True if only the checks ran that change nothing.
    pub read_only: bool,
    /// The checks in the order of the run.
    pub checks: Vec<CheckReport>,
    /// What the run created and could not remove.
    pub leftovers: Vec<Leftover>,
    /// Duration of the run in seconds.
    pub seconds: u64,
    /// Highest price of the checks that ran, or of the whole run after a dry run, in millionths of a dollar.
    /// Free tiers are not subtracted.
    pub cost_microdollars: u32,
}

/// A check and its result.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckReport {
    /// Name of the check.
    pub check: CheckId,
    /// The result.
    pub state: State,
    /// The result in words. For a planned check, what it proves.
    pub text: String,
    /// What the check changes in the account, or null if nothing.
    pub changes: Option<String>,
    /// What the check costs, in words.
    pub costs: String,
    /// What to do if the check failed, or null.
    pub fix: Option<String>,
    /// What the check measured, in milliseconds: the time until an event, a change or an answer arrived.
    pub measured_milliseconds: Option<u64>,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum State {
    /// The check passed.
    Ok,
    /// The check failed, or could not be made.
    Failed,
    /// The check does not apply, or depends on one that failed.
    Skipped,
    /// A dry run: the check was not made.
    Planned,
}

/// Something that the run created and could not remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Leftover {
    /// What is left, and why.
    pub what: String,
    /// The command that removes it.
    pub command: String,
}

/// The result of a check, before it becomes a part of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub state: State,
    pub text: String,
    pub measured: Option<Duration>,
    /// In place of the fix of the catalog.
    pub fix: Option<String>,
}

impl Outcome {
    fn new(state: State, text: impl Into<String>) -> Self {
        Self { state, text: text.into(), measured: None, fix: None }
    }

    pub fn ok(text: impl Into<String>) -> Self {
        Self::new(State::Ok, text)
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(State::Failed, text)
    }

    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::new(State::Skipped, reason)
    }

    /// Fails with all the problems in one line, or passes with `ok` if there is none.
    pub fn of_problems(problems: &[String], ok: impl Into<String>) -> Self {
        if problems.is_empty() { Self::ok(ok) } else { Self::failed(problems.join("; ")) }
    }

    /// A check that could not be made, because a call failed.
    pub fn unknown(error: impl std::fmt::Display) -> Self {
        let outcome = Self::failed(format!("could not be made: {error}"));
        outcome.with_fix("Correct what the error names, then run the command again")
    }

    pub fn with_fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    pub fn measuring(self, measured: Duration) -> Self {
        Self { measured: Some(measured), ..self }
    }

    pub fn is_ok(&self) -> bool {
        self.state == State::Ok
    }
}

impl CheckReport {
    pub fn new(check: CheckId, outcome: Outcome) -> Self {
        let info = check.info();
        let fix = match outcome.state {
            State::Failed => Some(outcome.fix.unwrap_or_else(|| info.fix.to_owned())),
            State::Ok | State::Skipped | State::Planned => None,
        };
        Self {
            check,
            state: outcome.state,
            text: outcome.text,
            changes: info.changes.map(str::to_owned),
            costs: info.costs.to_owned(),
            fix,
            measured_milliseconds: outcome
                .measured
                .map(|measured| u64::try_from(measured.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// A check of a dry run.
    pub fn planned(check: CheckId) -> Self {
        Self::new(check, Outcome::new(State::Planned, check.info().proves))
    }
}

impl DoctorReport {
    pub fn count(&self, state: State) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }
}

/// The highest price of these checks. Skipped ones are free.
pub fn cost_microdollars(checks: &[CheckReport]) -> u32 {
    let checks = checks.iter().filter(|check| check.state != State::Skipped);
    checks.map(|check| check.check.info().microdollars).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failed_checks_have_a_fix_and_skipped_ones_cost_nothing() {
        let check = |outcome| CheckReport::new(CheckId::Erasure, outcome);
        let reports = [
            check(Outcome::ok("done")),
            check(Outcome::failed("late")),
            check(Outcome::failed("late").with_fix("wait")),
            check(Outcome::skipped("no table")),
            CheckReport::planned(CheckId::Erasure),
        ];
        let fixes: Vec<Option<&str>> = reports.iter().map(|report| report.fix.as_deref()).collect();
        assert_eq!(fixes, [None, Some("Run the command that the check names"), Some("wait"), None, None]);
        assert_eq!(cost_microdollars(&reports), 4 * 5_000);
        assert_eq!(cost_microdollars(&reports[3..4]), 0);
    }

    #[test]
    fn problems_become_one_line() {
        assert_eq!(Outcome::of_problems(&[], "fine"), Outcome::ok("fine"));
        let problems = ["a".to_owned(), "b".to_owned()];
        assert_eq!(Outcome::of_problems(&problems, "fine"), Outcome::failed("a; b"));
    }
}
