//! The functions as Lambda describes them, and the event source mappings of the workers.

use anyhow::Result;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use futures_util::future::join_all;
use shared::function_id::FunctionId;
use shared::text::printable;

use super::report::Outcome;
use crate::aws_error::{Service, aws_error, describe};
use crate::output::counted;
use crate::stack::Stack;

/// The state of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionState {
    /// Such as `Active`.
    pub state: String,
    /// Why Lambda is in this state.
    pub state_reason: String,
    /// Such as `Successful`. Empty if the function was never updated.
    pub last_update: String,
    /// Why the update is in this state.
    pub last_update_reason: String,
}

/// What was read about a function: its name without the stack, and its state or why it is unknown.
pub type Named<T> = (String, Result<T, String>);

/// Reads the state of every function of the stack.
pub async fn read_states(lambda: &Client, stack: &Stack) -> Vec<Named<FunctionState>> {
    let functions = FunctionId::ALL.into_iter().filter_map(|function| stack.function(function));
    join_all(functions.map(async |name| {
        let call = lambda.get_function_configuration().function_name(name).send().await;
        let state = call.map(state_of).map_err(aws_error(Service::Lambda, "GetFunctionConfiguration"));
        (stack.short_name(name).to_owned(), state.map_err(|error| describe(error.as_ref())))
    }))
    .await
}

fn state_of(output: GetFunctionConfigurationOutput) -> FunctionState {
    FunctionState {
        state: output.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        state_reason: output.state_reason.unwrap_or_default(),
        last_update: output.last_update_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        last_update_reason: output.last_update_status_reason.unwrap_or_default(),
    }
}

/// `functions-active`.
pub fn functions_active(functions: &[Named<FunctionState>]) -> Outcome {
    // A function that was not invoked for weeks is idle, and starts with the next invocation.
    let is_invocable = |state: &str| matches!(state, "Active" | "Inactive" | "Idle" | "");
    outcome_of(functions, "function", |state| {
        if !is_invocable(&state.state) {
            return Some(with_reason(&state.state, &state.state_reason));
        }
        let is_failed = !matches!(state.last_update.as_str(), "Successful" | "");
        is_failed
            .then(|| format!("last update: {}", with_reason(&state.last_update, &state.last_update_reason)))
    })
}

fn with_reason(state: &str, reason: &str) -> String {
    if reason.is_empty() { state.to_owned() } else { format!("{state} ({})", printable(reason)) }
}

/// One outcome of all: those that could not be read come first.
fn outcome_of<T>(all: &[Named<T>], noun: &str, problem: impl Fn(&T) -> Option<String>) -> Outcome {
    // The same error once is enough.
    if let Some((_, Err(error))) = all.iter().find(|(_, read)| read.is_err()) {
        return Outcome::unknown(error);
    }
    let problems = all.iter().filter_map(|(name, read)| {
        let problem = problem(read.as_ref().ok()?)?;
        Some(format!("{name}: {problem}"))
    });
    Outcome::of_problems(&problems.collect::<Vec<_>>(), counted(all.len(), noun))
}

/// Reads the states of the event source mappings of each worker of the stack, such as `Enabled`.
pub async fn read_event_sources(lambda: &Client, stack: &Stack) -> Vec<Named<Vec<String>>> {
    let workers = FunctionId::workers().filter_map(|function| stack.function(function));
    join_all(workers.map(async |name| {
        let states = event_sources(lambda, name).await.map_err(|error| describe(error.as_ref()));
        (stack.short_name(name).to_owned(), states)
    }))
    .await
}

async fn event_sources(lambda: &Client, function: &str) -> Result<Vec<String>> {
    let mut mappings =
        lambda.list_event_source_mappings().function_name(function).into_paginator().items().send();
    let mut states = Vec::new();
    while let Some(mapping) = mappings.next().await {
        let mapping = mapping.map_err(aws_error(Service::Lambda, "ListEventSourceMappings"))?;
        states.push(mapping.state.unwrap_or_default());
    }
    Ok(states)
}

/// `event-sources`.
pub fn event_sources_enabled(workers: &[Named<Vec<String>>]) -> Outcome {
    outcome_of(workers, "worker", |states| match states.iter().find(|state| !is_polling(state)) {
        Some(state) => Some(format!("its event source mapping is {state}")),
        None if states.is_empty() => Some("it has no event source mapping".to_owned()),
        None => None,
    })
}

/// The states of a mapping: AWS Lambda API Reference, *EventSourceMappingConfiguration*.
fn is_polling(state: &str) -> bool {
    matches!(state, "Enabled" | "Enabling" | "Creating" | "Updating")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(state: &str, last_update: &str) -> Vec<Named<FunctionState>> {
        let state = FunctionState {
            state: state.to_owned(),
            state_reason: "the role is gone".to_owned(),
            last_update: last_update.to_owned(),
            last_update_reason: String::new(),
        };
        vec![("pre-sign-up".to_owned(), Ok(state))]
    }

    #[test]
    fn function_is_active_if_lambda_can_invoke_its_newest_version() {
        for (state, last_update, expected) in [
            ("Active", "Successful", Outcome::ok("1 function")),
            ("Active", "", Outcome::ok("1 function")),
            ("Inactive", "Successful", Outcome::ok("1 function")),
            ("Pending", "Successful", Outcome::failed("pre-sign-up: Pending (the role is gone)")),
            ("Failed", "Failed", Outcome::failed("pre-sign-up: Failed (the role is gone)")),
            ("Active", "InProgress", Outcome::failed("pre-sign-up: last update: InProgress")),
            ("Active", "Failed", Outcome::failed("pre-sign-up: last update: Failed")),
        ] {
            assert_eq!(functions_active(&function(state, last_update)), expected, "{state} {last_update}");
        }
        let unknown = vec![("pre-sign-up".to_owned(), Err("denied".to_owned()))];
        assert_eq!(functions_active(&unknown).text, "could not be made: denied");
    }

    #[test]
    fn worker_needs_an_enabled_event_source() {
        let worker = |states: &[&str]| {
            let states = states.iter().map(|state| (*state).to_owned()).collect();
            event_sources_enabled(&[("user-stats".to_owned(), Ok(states))])
        };
        assert_eq!(worker(&["Enabled"]), Outcome::ok("1 worker"));
        for (states, text) in [
            (&[][..], "user-stats: it has no event source mapping"),
            (&["Disabled"], "user-stats: its event source mapping is Disabled"),
            (&["Enabled", "Disabling"], "user-stats: its event source mapping is Disabling"),
        ] {
            assert_eq!(worker(states), Outcome::failed(text), "{states:?}");
        }
    }
}
