//! The JSON of `replay user suspend` and `replay user reinstate`.

use serde::Serialize;

/// A decision about a user, and the steps after it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SuspensionReport {
    /// True if nothing was changed, because --yes is missing.
    pub dry_run: bool,
    /// The user's sub.
    pub sub: String,
    /// True if the table has a profile of the user.
    pub profile: bool,
    /// The suspension before the command, in words.
    pub before: String,
    /// The suspension that the decision asks for, in words.
    pub after: String,
    /// Another obstacle to a sign-in, for a reinstatement without --enable.
    pub note: Option<String>,
    /// True if the decision was written.
    pub written: bool,
    /// True if the event that invalidates the user's cached pages was published.
    pub published: bool,
    /// The steps that --email, --sign-out and --enable add.
    pub steps: Vec<StepReport>,
}

/// One step after a decision.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepReport {
    /// What the step does, in words, with the state before the command.
    pub step: String,
    /// True if the step was done.
    pub done: bool,
    /// Why the step failed.
    pub error: Option<String>,
}
