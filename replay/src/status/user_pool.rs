//! The check *user pool* of `replay status`: if the user pool calls the functions of the stack.

use anyhow::{Context, Result, anyhow};
use futures_util::future::join_all;
use shared::function_id::FunctionId;
use shared::invoke_permission::UserPoolArn;
use shared::lambda_config::{Difference, LambdaConfig};

use crate::account::Account;
use crate::aws_error;
use crate::stack::{Stack, StackDetails};
use crate::status::report::{Check, CheckName, CheckState, Figures, UserPoolFigures};
use crate::user_pool::api::PoolApi;
use crate::user_pool::functions::{Invocation, invocation};
use crate::user_pool::settings::LAMBDA_CONFIG;

/// What else is lost if somebody's update detached all triggers.
const LOST_SETTINGS: &str = "If an update detached them, it may have reset other settings too. `replay attach --restore \
                             FILE` compares them with a backup: docs/existing-user-pool.md#lost-settings.";
/// Where the next step for a function that may not be invoked is.
const DETACHED_TRIGGERS: &str = "docs/operations.md#detached-triggers";

/// Compares the user pool with the output `LambdaConfig` of the stack, and reads if the pool may invoke the
/// functions.
pub async fn read(account: &Account, stack: &Stack, details: &StackDetails) -> Result<UserPoolFigures> {
    let own = stack.own_user_pool_id();
    let id = own.or_else(|| details.parameter("ExistingUserPoolId"));
    let id = id.context("the stack has no user pool")?;
    let output = details.outputs.get(LAMBDA_CONFIG);
    let output = output.context("the stack has no output LambdaConfig: deploy it")?;
    let expected = LambdaConfig::of_stack(output);
    let expected = expected.map_err(|error| anyhow!("the output LambdaConfig is unreadable: {error}"))?;
    let pool = PoolApi::new(account.cognito(), id).describe().await?;
    let actual = LambdaConfig::from_json(&pool[LAMBDA_CONFIG]);
    let actual = actual.map_err(|error| anyhow!("LambdaConfig of the user pool is unreadable: {error}"))?;
    let differences = expected.differences(&actual);
    let count = expected.iter().count();
    let arn = pool["Arn"].as_str().and_then(UserPoolArn::parse);
    let arn = arn.context("Cognito returned a user pool with an invalid ARN")?;
    let called = actual.iter().filter(|(trigger, function)| {
        expected.get(*trigger).is_some_and(|expected| expected.arn == function.arn)
    });
    let lambda = account.lambda();
    let results =
        called.map(async |(trigger, function)| (trigger, invocation(&lambda, &function.arn, arn).await));
    let (not_permitted, invocation_error) = not_permitted(join_all(results).await);
    Ok(UserPoolFigures {
        id: id.to_owned(),
        managed_by_stack: own.is_some(),
        attach_triggers: details.parameter("AttachTriggers") == Some("true"),
        triggers: count,
        attached: count.saturating_sub(differences.len()),
        differences: differences.iter().map(describe).collect(),
        not_permitted,
        invocation_error,
    })
}

/// The functions that the pool may not invoke, in words, and the first error of a call.
fn not_permitted(results: Vec<(FunctionId, Result<Invocation>)>) -> (Vec<String>, Option<String>) {
    let (mut texts, mut first_error) = (Vec::new(), None);
    for (trigger, result) in results {
        match result {
            Ok(Invocation::Allowed) => {}
            Ok(Invocation::Denied) => texts.push(format!("{trigger} may not be invoked")),
            Ok(Invocation::NoFunction) => {
                texts.push(format!("{trigger} calls a function that does not exist"))
            }
            Err(error) => {
                first_error.get_or_insert_with(|| aws_error::describe(error.as_ref()));
            }
        }
    }
    (texts, first_error)
}

fn describe(difference: &Difference) -> String {
    format!("{} {}", difference.trigger, difference.kind)
}

/// The check, which needs a look if a trigger is not attached, or if a function may not be invoked. If the role
/// may not read the permissions, only the text says so.
pub fn check(figures: &Figures, stack: &Stack) -> Check {
    let check =
        |state, text: String, next_steps| Check { check: CheckName::UserPool, state, text, next_steps };
    let Some(pool) = &figures.user_pool else {
        let error = figures.user_pool_error.clone();
        let text = error.unwrap_or_else(|| "the user pool cannot be read".to_owned());
        return check(CheckState::Unknown, text, Vec::new());
    };
    let mut text = format!("calls {} of {} functions", pool.attached, pool.triggers);
    if pool.attached == 0 && !pool.attach_triggers {
        return check(CheckState::Ok, format!("{text}: AttachTriggers is false"), Vec::new());
    }
    let problems: Vec<&str> =
        pool.differences.iter().chain(&pool.not_permitted).map(String::as_str).collect();
    if !problems.is_empty() {
        text += &format!(": {}", problems.join(", "));
    }
    if let Some(error) = &pool.invocation_error {
        text += &format!(". It is not known if the user pool may invoke all of them: {error}");
    }
    let mut next_steps = Vec::new();
    if !pool.not_permitted.is_empty() {
        next_steps.push(format!(
            "Every sign-up or sign-in that needs the function fails: see {DETACHED_TRIGGERS}."
        ));
    }
    if !pool.differences.is_empty() {
        next_steps.push(attachment(pool, stack));
    }
    if pool.attached == 0 && !pool.managed_by_stack {
        next_steps.push(LOST_SETTINGS.to_owned());
    }
    check(if problems.is_empty() { CheckState::Ok } else { CheckState::Look }, text, next_steps)
}

/// How to attach the triggers that are not attached.
fn attachment(pool: &UserPoolFigures, stack: &Stack) -> String {
    match (pool.managed_by_stack, pool.attach_triggers) {
        (false, _) => format!("replay attach --stack {}", stack.name),
        (true, false) => {
            "Deploy the stack with AttachTriggers=true: until then, the rules of these triggers do not apply."
                .to_owned()
        }
        // CloudFormation makes no change if no parameter has changed.
        (true, true) => {
            "Another tool or person changed the user pool: deploy the stack with AttachTriggers=false, \
                         and then with true."
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_pool_needs_a_look_if_a_trigger_is_not_attached() {
        let stack = Stack { name: "shop".to_owned(), ..Stack::default() };
        let pool = |managed_by_stack, attach_triggers, differences: &[&str]| UserPoolFigures {
            id: "eu-central-1_EXAMPLE12".to_owned(),
            managed_by_stack,
            attach_triggers,
            triggers: 5,
            attached: 5 - differences.len(),
            differences: differences.iter().map(|text| (*text).to_owned()).collect(),
            not_permitted: Vec::new(),
            invocation_error: None,
        };
        let missing = &["pre-sign-up calls no function"];
        let (all, four) = ("calls 5 of 5 functions", "calls 4 of 5 functions: pre-sign-up calls no function");
        for (pool, state, text, step) in [
            (Some(pool(false, true, &[])), CheckState::Ok, all, None),
            (Some(pool(false, true, missing)), CheckState::Look, four, Some("replay attach --stack shop")),
            (
                Some(pool(true, false, missing)),
                CheckState::Look,
                four,
                Some("Deploy the stack with AttachTriggers=true"),
            ),
            (
                Some(pool(true, true, missing)),
                CheckState::Look,
                four,
                Some("Another tool or person changed the user pool: deploy"),
            ),
            (None, CheckState::Unknown, "AccessDenied", None),
        ] {
            let user_pool_error = pool.is_none().then(|| "AccessDenied".to_owned());
            let figures = Figures { user_pool: pool, user_pool_error, ..Figures::default() };
            let check = check(&figures, &stack);
            assert_eq!((check.state, check.text.as_str()), (state, text));
            assert_eq!(check.next_steps.len(), usize::from(step.is_some()));
            assert!(check.next_steps.iter().all(|next| next.starts_with(step.unwrap_or_default())));
        }
    }

    #[test]
    fn pool_without_any_trigger_is_detached_on_purpose_or_lost_more() {
        let stack = Stack { name: "shop".to_owned(), ..Stack::default() };
        for (managed_by_stack, attach_triggers, steps) in
            [(false, true, 2), (true, true, 1), (false, false, 0), (true, false, 0)]
        {
            let pool = UserPoolFigures {
                id: "eu-central-1_EXAMPLE12".to_owned(),
                managed_by_stack,
                attach_triggers,
                triggers: 5,
                attached: 0,
                differences: vec!["pre-sign-up calls no function".to_owned()],
                not_permitted: Vec::new(),
                invocation_error: None,
            };
            let check = check(&Figures { user_pool: Some(pool), ..Figures::default() }, &stack);
            assert_eq!(check.next_steps.len(), steps, "{check:?}");
            assert_eq!(check.state == CheckState::Ok, steps == 0, "{check:?}");
            assert_eq!(check.next_steps.iter().any(|step| step == LOST_SETTINGS), steps == 2, "{check:?}");
        }
    }

    #[test]
    fn function_that_may_not_be_invoked_needs_a_look_and_an_unknown_permission_does_not() {
        let stack = Stack { name: "shop".to_owned(), ..Stack::default() };
        let denied = (FunctionId::PreAuthentication, Ok(Invocation::Denied));
        let gone = (FunctionId::CustomMessage, Ok(Invocation::NoFunction));
        let error = |sentence| (FunctionId::PreSignUp, Err(anyhow!("{sentence}")));
        let unknown = ". It is not known if the user pool may invoke all of them: AccessDenied";
        let problems =
            ": pre-authentication may not be invoked, custom-message calls a function that does not exist";
        for (results, state, text) in [
            (vec![(FunctionId::PreSignUp, Ok(Invocation::Allowed))], CheckState::Ok, String::new()),
            (vec![error("AccessDenied"), error("later")], CheckState::Ok, unknown.to_owned()),
            (vec![error("AccessDenied"), denied, gone], CheckState::Look, format!("{problems}{unknown}")),
        ] {
            let (not_permitted, invocation_error) = not_permitted(results);
            let pool = UserPoolFigures {
                id: "eu-central-1_EXAMPLE12".to_owned(),
                managed_by_stack: true,
                attach_triggers: true,
                triggers: 5,
                attached: 5,
                differences: Vec::new(),
                not_permitted,
                invocation_error,
            };
            let check = check(&Figures { user_pool: Some(pool), ..Figures::default() }, &stack);
            assert_eq!((check.state, check.text), (state, format!("calls 5 of 5 functions{text}")));
            assert_eq!(check.next_steps.len(), usize::from(state == CheckState::Look));
            assert!(check.next_steps.iter().all(|step| step.contains(DETACHED_TRIGGERS)));
        }
    }
}
