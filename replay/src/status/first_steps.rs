//! What to do first when an alarm rings. `docs/operations.md` says more about each alarm.

use shared::function_id::FunctionId;

use crate::queue::list::errors_in_log;
use crate::stack::Stack;
use crate::status::report::FunctionFigures;

/// A step.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Look at the dead letters of a queue, by its name without the name of the stack.
    Inspect(&'static str),
    /// Look for errors in the log of a function.
    Log(FunctionId),
    /// Look for errors in the logs of the functions that have a problem.
    Logs(Problem),
    /// A command, in which `{stack}` is the name of the stack.
    Command(&'static str),
    /// A sentence.
    Advice(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Problem {
    StartFailures,
    StoreFailures,
    Errors,
}

/// The alarms by name, without the name of the stack.
const FIRST_STEPS: [(&str, &[Step]); 30] = [
    ("user-events-dead-letters", &[Step::Inspect("user-events-dead-letters")]),
    ("cache-invalidations-dead-letters", &[Step::Inspect("cache-invalidations-dead-letters")]),
    ("group-memberships-dead-letters", &[Step::Inspect("group-memberships-dead-letters")]),
    ("resource-permissions-dead-letters", &[Step::Inspect("resource-permissions-dead-letters")]),
    ("account-activities-dead-letters", &[Step::Inspect("account-activities-dead-letters")]),
    ("user-events-age", &[Step::Log(FunctionId::UserStats)]),
    ("cache-invalidations-age", &[Step::Log(FunctionId::CacheInvalidation)]),
    ("group-memberships-age", &[Step::Log(FunctionId::GroupMembership)]),
    ("resource-permissions-age", &[Step::Log(FunctionId::ResourcePermission)]),
    ("account-activities-age", &[Step::Log(FunctionId::AccountActivity)]),
    (
        "account-events-undelivered",
        &[Step::Advice(
            "Deploy the stack again, so that the queue's policy allows the rule. Then run replay reconcile.",
        )],
    ),
    (
        "users-with-many-failures",
        &[
            Step::Log(FunctionId::AccountActivity),
            Step::Advice(
                "The field user names the user. Suspend only a user whose password is known to others.",
            ),
        ],
    ),
    (
        "addresses-with-many-users",
        &[
            Step::Log(FunctionId::AccountActivity),
            Step::Advice(
                "Look for items ADDRESS# of this window in the table. Block the address with AWS WAF (UserPoolWebAclArn).",
            ),
        ],
    ),
    (
        "trigger-differences",
        &[
            Step::Log(FunctionId::UserPoolWatch),
            Step::Command("replay attach --stack {stack}"),
            Step::Advice("If the stack manages the pool, deploy with AttachTriggers=false, then with true."),
        ],
    ),
    (
        "start-failures",
        &[Step::Logs(Problem::StartFailures), Step::Advice("Deploy the previous parameter values.")],
    ),
    ("sign-up-errors", &[Step::Log(FunctionId::PreSignUp)]),
    (
        "sign-in-errors",
        &[Step::Log(FunctionId::PreAuthentication), Step::Log(FunctionId::PreTokenGeneration)],
    ),
    (
        "store-failures",
        &[
            Step::Logs(Problem::StoreFailures),
            Step::Advice("To let users sign in meanwhile, suspended ones too, deploy OnStoreError=allow."),
        ],
    ),
    (
        "unreadable-suspensions",
        &[Step::Log(FunctionId::PreAuthentication), Step::Log(FunctionId::PreTokenGeneration)],
    ),
    ("other-errors", &[Step::Logs(Problem::Errors)]),
    (
        "throttles",
        &[
            Step::Command("aws lambda get-account-settings"),
            Step::Advice("Raise the concurrency quota, or TriggerReservedConcurrency if it is set."),
        ],
    ),
    ("triggers-slow", &[Step::Advice("Find the trigger on the dashboard, then check DynamoDB and SQS.")]),
    ("unsent-events", &[Step::Command("replay recover --stack {stack}")]),
    (
        "budget-exhausted",
        &[Step::Advice("To invalidate pages before the next month, raise MonthlyItemBudget and deploy.")],
    ),
    (
        "invalidation-budget",
        &[Step::Advice(
            "Look at the metric InvalidationItems for the time when it rose, or raise MonthlyItemBudget.",
        )],
    ),
    (
        "invalidation-items",
        &[Step::Advice("Look at the metric EventsApplied: a job or a producer changes many users.")],
    ),
    ("invalidations-refused", &[Step::Log(FunctionId::CacheInvalidation)]),
    (
        "read-api-errors",
        &[
            Step::Command(
                "aws logs tail /aws/vendedlogs/{stack}-http-api --since 1h --filter-pattern '{ $.status = \"5*\" }'",
            ),
            Step::Log(FunctionId::ReadApi),
        ],
    ),
    ("read-api-slow", &[Step::Command("aws logs tail /aws/vendedlogs/{stack}-http-api --since 1h")]),
    (
        "read-api-throttles",
        &[Step::Advice("Raise ApiThrottlingRateLimit, or limit single addresses with AWS WAF (WebAclArn).")],
    ),
];

/// The steps for an alarm, by its name without the name of the stack. None for an alarm that is not one of
/// `template.yaml`.
pub fn first_steps(alarm: &str, stack: &Stack, functions: &[FunctionFigures]) -> Vec<String> {
    let steps = FIRST_STEPS.iter().find(|(name, _)| *name == alarm).map(|(_, steps)| *steps);
    steps.unwrap_or_default().iter().flat_map(|step| commands(*step, stack, functions)).collect()
}

fn commands(step: Step, stack: &Stack, functions: &[FunctionFigures]) -> Vec<String> {
    match step {
        Step::Inspect(queue) => vec![format!("replay inspect {}-{queue} --sample 3", stack.name)],
        Step::Log(function) => {
            stack.log_group(function).map(|group| errors_in_log(&group)).into_iter().collect()
        }
        Step::Logs(problem) => {
            let with_problem = functions.iter().filter(|function| {
                let count = match problem {
                    Problem::StartFailures => function.start_failures,
                    Problem::StoreFailures => function.store_failures,
                    Problem::Errors => function.failures(),
                };
                count > 0
            });
            with_problem.map(|function| errors_in_log(&function.log_group)).collect()
        }
        Step::Command(command) => vec![command.replace("{stack}", &stack.name)],
        Step::Advice(sentence) => vec![sentence.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_those_of_the_functions_with_the_problem() {
        let function = |name: &str, start_failures, errors| FunctionFigures {
            name: name.to_owned(),
            log_group: format!("/aws/lambda/shop-{name}"),
            start_failures,
            errors,
            ..FunctionFigures::default()
        };
        let functions = [function("user-stats", 2, 2), function("pre-sign-up", 0, 1)];
        let stack = Stack { name: "shop".to_owned(), ..Stack::default() };
        let steps = |alarm| first_steps(alarm, &stack, &functions);
        let log = |name: &str| errors_in_log(&format!("/aws/lambda/shop-{name}"));
        assert_eq!(steps("start-failures")[0], log("user-stats"));
        assert_eq!(steps("other-errors"), [log("user-stats"), log("pre-sign-up")]);
        assert_eq!(steps("unsent-events"), ["replay recover --stack shop"]);
        assert_eq!(steps("of-another-stack"), [""; 0]);
    }
}
