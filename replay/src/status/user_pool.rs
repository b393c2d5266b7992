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
    let next_step = match pool.managed_by_stack {
        true => "Deploy the stack with AttachTriggers=true: until then, the rules of the missing triggers do not apply."
            .to_owned(),
        false => format!("replay attach --stack {}", stack.name),
    };
    check(CheckState::Look, format!("{text}: {}", pool.differences.join(", ")), vec![next_step])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_pool_needs_a_look_if_a_trigger_is_not_attached() {
        let stack = Stack { name: "shop".to_owned(), ..Stack::default() };
        let pool = |managed_by_stack, differences: &[&str]| UserPoolFigures {
            id: "eu-central-1_EXAMPLE12".to_owned(),
            managed_by_stack,
            triggers: 5,
            attached: 5 - differences.len(),
            differences: differences.iter().map(|text| (*text).to_owned()).collect(),
        };
        for (figures, state, text, step) in [
            (
                Figures { user_pool: Some(pool(false, &[])), ..Figures::default() },
                CheckState::Ok,
                "calls 5 of 5 functions",
                None,
            ),
            (
                Figures {
                    user_pool: Some(pool(false, &["pre-sign-up calls no function"])),
                    ..Figures::default()
                },
                CheckState::Look,
                "calls 4 of 5 functions: pre-sign-up calls no function",
                Some("replay attach --stack shop"),
            ),
            (
                Figures {
                    user_pool: Some(pool(true, &["pre-sign-up calls no function"])),
                    ..Figures::default()
                },
                CheckState::Look,
                "calls 4 of 5 functions: pre-sign-up calls no function",
                Some("Deploy the stack with AttachTriggers=true"),
            ),
            (
                Figures { user_pool_error: Some("AccessDenied".to_owned()), ..Figures::default() },
                CheckState::Unknown,
                "AccessDenied",
                None,
            ),
        ] {
            let check = check(&figures, &stack);
            assert_eq!((check.state, check.text.as_str()), (state, text));
            assert_eq!(check.next_steps.len(), usize::from(step.is_some()));
            assert!(check.next_steps.iter().all(|next| next.starts_with(step.unwrap_or_default())));
        }
    }
}
