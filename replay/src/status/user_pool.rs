//! The check *user pool* of `replay status`: if the user pool calls the functions of the stack.

use anyhow::{Context, Result, anyhow};
use shared::lambda_config::{Difference, LambdaConfig};

use crate::account::Account;
use crate::stack::{Stack, StackDetails};
use crate::status::report::{Check, CheckName, CheckState, Figures, UserPoolFigures};
use crate::user_pool::api::PoolApi;
use crate::user_pool::settings::LAMBDA_CONFIG;

/// Compares the user pool with the output `LambdaConfig` of the stack.
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
    Ok(UserPoolFigures {
        id: id.to_owned(),
        managed_by_stack: own.is_some(),
        attach_triggers: details.parameter("AttachTriggers") == Some("true"),
        triggers: count,
        attached: count.saturating_sub(differences.len()),
        differences: differences.iter().map(describe).collect(),
    })
}

fn describe(difference: &Difference) -> String {
    format!("{} {}", difference.trigger, difference.kind)
}

/// The check, which needs a look if a trigger is not attached.
pub fn check(figures: &Figures, stack: &Stack) -> Check {
    let check =
        |state, text: String, next_steps| Check { check: CheckName::UserPool, state, text, next_steps };
    let Some(pool) = &figures.user_pool else {
        let error = figures.user_pool_error.clone();
        let text = error.unwrap_or_else(|| "the user pool cannot be read".to_owned());
        return check(CheckState::Unknown, text, Vec::new());
    };
    let text = format!("calls {} of {} functions", pool.attached, pool.triggers);
    if pool.differences.is_empty() {
        return check(CheckState::Ok, text, Vec::new());
    }
    let next_step = match (pool.managed_by_stack, pool.attach_triggers) {
        (false, _) => format!("replay attach --stack {}", stack.name),
        (true, false) => {
            "Deploy the stack with AttachTriggers=true: until then, the rules of these triggers do not apply."
                .to_owned()
        }
        // CloudFormation makes no change if no parameter has changed.
        (true, true) => {
            "Somebody changed the user pool: deploy the stack with AttachTriggers=false, and then with true."
                .to_owned()
        }
    };
    check(CheckState::Look, format!("{text}: {}", pool.differences.join(", ")), vec![next_step])
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
                Some("Somebody changed the user pool: deploy"),
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
}
