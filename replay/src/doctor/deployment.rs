//! The stack as CloudFormation describes it: status, parameters and outputs.

use aws_sdk_cloudformation::Client;

use super::report::Outcome;
use crate::error::Result;
use crate::stack::{StackDetails, read_details};

/// A deployed stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment(StackDetails);

impl Deployment {
    pub async fn read(cloudformation: &Client, name: &str) -> Result<Self> {
        read_details(cloudformation, name).await.map(Self)
    }

    /// A deployment of a test.
    #[cfg(test)]
    pub fn of(parameters: &[(&str, &str)], outputs: &[(&str, &str)]) -> Self {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let status = "CREATE_COMPLETE".to_owned();
        Self(StackDetails { status, parameters: owned(parameters), outputs: owned(outputs) })
    }

    /// Such as `UPDATE_COMPLETE`.
    pub fn status(&self) -> &str {
        &self.0.status
    }

    /// The value of a parameter. `None` if it is empty, or if the stack has no such parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.0.parameters.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// True if the parameter is `true`.
    pub fn is_true(&self, parameter: &str) -> bool {
        self.parameter(parameter) == Some("true")
    }

    /// The entries of a parameter with a list, separated by commas.
    pub fn list(&self, parameter: &str) -> Vec<&str> {
        let entries = self.parameter(parameter).unwrap_or_default().split(',').map(str::trim);
        entries.filter(|entry| !entry.is_empty()).collect()
    }

    /// The value of an output. `None` if the stack has no such output.
    pub fn output(&self, name: &str) -> Option<&str> {
        self.0.outputs.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// `stack-complete`.
pub fn stack_complete(status: &str) -> Outcome {
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Outcome::ok(status),
        // The old resources work, but the new template or parameters are not in force.
        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => {
            Outcome::failed(format!("{status}: the last update failed, and the stack is as before"))
        }
        status if status.ends_with("_IN_PROGRESS") => Outcome::failed(format!("{status}: a change runs"))
            .with_fix("Wait until the change is complete, then run the command again"),
        status => Outcome::failed(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_is_complete_after_a_create_or_an_update() {
        for (status, is_ok) in [
            ("CREATE_COMPLETE", true),
            ("UPDATE_COMPLETE", true),
            ("IMPORT_COMPLETE", true),
            ("UPDATE_ROLLBACK_COMPLETE", false),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", false),
            ("ROLLBACK_COMPLETE", false),
            ("UPDATE_ROLLBACK_FAILED", false),
            ("", false),
        ] {
            assert_eq!(stack_complete(status).is_ok(), is_ok, "{status}");
        }
    }

    #[test]
    fn empty_parameters_count_as_missing() {
        let deployment = Deployment::of(&[("A", " "), ("B", "x, y,"), ("C", "true")], &[("D", "")]);
        assert_eq!((deployment.parameter("A"), deployment.output("D")), (None, None));
        assert_eq!(deployment.list("B"), ["x", "y"]);
        assert!(deployment.is_true("C") && deployment.list("A").is_empty() && !deployment.is_true("X"));
    }
}
