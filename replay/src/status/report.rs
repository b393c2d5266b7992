//! What `replay status` prints.

use serde::Serialize;

use crate::queue::list::report::QueueReport;

/// The state of a stack.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatusReport {
    /// Name of the stack.
    pub stack: String,
    /// The checks, those that need a look first.
    pub checks: Vec<Check>,
    /// The figures behind the checks.
    pub figures: Figures,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// What was checked.
    pub check: CheckName,
    /// The result.
    pub state: CheckState,
    /// The result in words.
    pub text: String,
    /// What to type or to do next: commands, and sentences that begin with a capital letter.
    pub next_steps: Vec<String>,
}

/// What is checked. The order is that of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CheckName {
    Alarms,
    UserPool,
    DeadLetters,
    UnsentEvents,
    Statistics,
    Functions,
    Denials,
    Budget,
    Suspensions,
}

/// The result of a check. The order is that of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CheckState {
    Look,
    Unknown,
    Ok,
}

/// Figures of a stack.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Figures {
    /// Number of alarms of the stack.
    pub alarms: usize,
    /// Alarms in the state ALARM. Empty also if they could not be read: see `alarmsError`.
    pub ringing: Vec<AlarmFigures>,
    /// Why the alarms could not be read.
    pub alarms_error: Option<String>,
    /// What the user pool calls. Null if it could not be read.
    pub user_pool: Option<UserPoolFigures>,
    /// Why the user pool could not be read.
    pub user_pool_error: Option<String>,
    /// The queues of the stack.
    pub queues: Vec<QueueReport>,
    /// Why the ages of the oldest messages could not be read.
    pub ages_error: Option<String>,
    /// Begin of the period of the counts.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub since: String,
    /// Maximum number of invalidation items in a month. 0 means no limit. Null if the parameters of the
    /// stack cannot be read.
    pub monthly_item_budget: Option<u64>,
    /// Figures from metrics of the period. Null if they could not be read.
    pub metrics: Option<MetricFigures>,
    /// Why the metrics could not be read.
    pub metrics_error: Option<String>,
    /// Number of SUSPENSION items that are in force. Only with --suspended.
    pub suspensions: Option<u64>,
    /// Why the suspensions could not be counted.
    pub suspensions_error: Option<String>,
}

/// An alarm in the state ALARM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AlarmFigures {
    /// Name without the name of the stack.
    pub name: String,
    /// When the alarm went into the state ALARM.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub since: Option<String>,
    /// Time since then, in seconds.
    pub seconds: Option<i64>,
}

/// What the user pool calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserPoolFigures {
    /// Id of the user pool.
    pub id: String,
    /// True if the stack created the user pool. False for an existing one.
    pub managed_by_stack: bool,
    /// The parameter AttachTriggers, which is only about a user pool of the stack.
    pub attach_triggers: bool,
    /// Number of triggers of the stack.
    pub triggers: usize,
    /// Number of triggers for which the user pool calls the function of the stack.
    pub attached: usize,
    /// What the user pool calls for the other triggers, in words.
    pub differences: Vec<String>,
    /// The attached functions that the user pool may not invoke, or that do not exist, in words.
    pub not_permitted: Vec<String>,
    /// Why it is not known for all attached functions if the user pool may invoke them.
    pub invocation_error: Option<String>,
}

/// Figures from metrics. Counts are those of the period.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetricFigures {
    /// Events that triggers could not publish.
    pub unsent_events: u64,
    /// Highest age of an event when user-stats applied it, in seconds.
    pub event_age_seconds: Option<u64>,
    /// Denied sign-ups.
    pub sign_ups_denied: u64,
    /// Denied sign-ins and token refreshes of suspended users.
    pub suspended_denied: u64,
    /// Denied sign-ins and token refreshes because the suspension is unreadable.
    pub unreadable_suspension_denied: u64,
    /// Denied sign-ins and token refreshes because the table could not be read.
    pub store_error_denied: u64,
    /// Used part of the month's invalidation items in percent, at the last invalidation of the month.
    pub budget_used_percent: Option<f64>,
    /// The functions of the stack.
    pub functions: Vec<FunctionFigures>,
}

/// Counts of a function in the period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FunctionFigures {
    /// Name without the name of the stack.
    pub name: String,
    /// Name of its log group.
    pub log_group: String,
    /// Errors that Lambda counted, denials included.
    pub errors: u64,
    /// Denials, which Lambda counts as errors.
    pub denials: u64,
    /// Invocations that Lambda throttled.
    pub throttles: u64,
    /// Starts that failed.
    pub start_failures: u64,
    /// Calls to DynamoDB that failed after all attempts.
    pub store_failures: u64,
}

impl FunctionFigures {
    /// Errors that are no denials. CloudWatch can count one of 1,000 denials in another hour than its
    /// error.
    pub fn failures(&self) -> u64 {
        let failures = self.errors.saturating_sub(self.denials);
        if failures <= self.denials.div_ceil(1_000) { 0 } else { failures }
    }
}
