//! Checks the parameters of a stack before it is deployed: evaluates `template.yaml`, and builds the
//! configuration of every function as its start in Lambda does.

pub mod command;
pub mod parameter_file;

use std::collections::BTreeMap;

use anyhow::Result;
use shared::function_id::FunctionId;
use template::Template;
use template::stack::Stack;

use crate::aws::SandboxAccount;
use crate::functions::check_start;
use crate::journey::format::DEFAULT_START;
use parameter_file::Parameters;

/// What the check of the parameters found.
pub struct Check {
    /// Each problem as one line. Empty if all functions start.
    pub problems: Vec<String>,
    /// The number of functions that the stack has with these parameters.
    pub functions: usize,
}

/// Checks the parameters, and starts each function that the stack has with them.
///
/// A function reports the first problem of each variable. A variable with a problem counts as not
/// set for the rest of the check.
pub async fn check(template: &Template, parameters: &Parameters) -> Result<Check> {
    let (stack, mut problems) = Stack::new(template, parameters);
    problems.extend(stack.broken_rules());
    let account = SandboxAccount::start(DEFAULT_START.parse()?).await?;
    let functions = template.functions();
    let mut checked = 0;
    for function in FunctionId::ALL {
        let Some((resource, properties)) = functions.get(function.name()) else {
            problems.push(format!("{function}: the template has no such function"));
            continue;
        };
        if !stack.creates(resource) {
            continue;
        }
        checked += 1;
        let declared = properties["Environment"]["Variables"].as_object();
        // A variable that names a resource gets its value from the sandbox account.
        let mut variables: BTreeMap<String, String> = declared
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), stack.text(value)?)))
            .collect();
        while let Err(error) = check_start(&account, function, &variables) {
            let value = declared.and_then(|declared| declared.get(&error.name));
            let parameters = value.map(|value| stack.parameters_of(value)).unwrap_or_default();
            let parameters: Vec<&str> = parameters.into_iter().collect();
            let names =
                if parameters.is_empty() { String::new() } else { format!("{}: ", parameters.join(", ")) };
            problems.push(format!("{names}{function} does not start: {error}"));
            if variables.remove(&error.name).is_none() {
                break;
            }
        }
    }
    Ok(Check { problems, functions: checked })
}
