//! The checks of `replay doctor`: what each one proves, what it costs and how to fix it.
//!
//! The plan of the command and the table in docs/doctor.md are printed from here.

use serde::Serialize;

/// A check of `replay doctor`. The order is that of the run and of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CheckId {
    StackComplete,
    FunctionsActive,
    FunctionStarts,
    EventSources,
    InvokePermissions,
    TriggersAttached,
    FeaturePlan,
    UserExistence,
    WriteAttributes,
    TokenValidity,
    TokenRevocation,
    EmailChange,
    Messages,
    Alarms,
    DeadLetters,
    AccountEvents,
    PageFiles,
    PageWithoutToken,
    SignUpDenied,
    SignUp,
    Profile,
    SignIn,
    Token,
    Statistics,
    PageCached,
    PageHeaders,
    Suspension,
    Invalidation,
    Reinstatement,
    Erasure,
    Cleanup,
}

/// Everything about a check that does not depend on the stack.
#[derive(Clone, Copy, Debug)]
pub struct CheckInfo {
    /// The name in output and JSON: `invoke-permissions`.
    pub name: &'static str,
    /// What is true if the check passes, in one sentence without the period.
    pub proves: &'static str,
    /// What the check changes in the account. `None` if nothing.
    pub changes: Option<&'static str>,
    /// What the check costs besides requests, in words.
    pub costs: &'static str,
    /// The highest price of a run in millionths of a dollar, without free tiers. Calls that cost less than
    /// a hundredth of a cent are left out.
    pub microdollars: u32,
    /// What to do if the check fails.
    pub fix: &'static str,
}

/// A check that changes nothing. Its calls are free, or cost less than a hundredth of a cent.
const fn reads(name: &'static str, proves: &'static str, fix: &'static str) -> CheckInfo {
    CheckInfo { name, proves, changes: None, costs: "nothing", microdollars: 0, fix }
}

/// Price of a path or tag in an invalidation, in millionths of a dollar. Source: Amazon CloudFront pricing,
/// *Invalidation requests*. The first 1,000 of a month are free.
const INVALIDATION_ITEM: u32 = 5_000;
/// Price of a monthly active user of the plan Plus, the most expensive one. Source: Amazon Cognito pricing.
const ACTIVE_USER: u32 = 20_000;
/// Price of 1,000 GetMetricData metrics is $0.01, and a run reads about 20. Source: Amazon CloudWatch
/// pricing.
const METRICS: u32 = 200;
/// Price of an email through SES. Source: Amazon SES pricing.
const EMAIL: u32 = 100;

impl CheckId {
    pub const ALL: [Self; 31] = [
        Self::StackComplete,
        Self::FunctionsActive,
        Self::FunctionStarts,
        Self::EventSources,
        Self::InvokePermissions,
        Self::TriggersAttached,
        Self::FeaturePlan,
        Self::UserExistence,
        Self::WriteAttributes,
        Self::TokenValidity,
        Self::TokenRevocation,
        Self::EmailChange,
        Self::Messages,
        Self::Alarms,
        Self::DeadLetters,
        Self::AccountEvents,
        Self::PageFiles,
        Self::PageWithoutToken,
        Self::SignUpDenied,
        Self::SignUp,
        Self::Profile,
        Self::SignIn,
        Self::Token,
        Self::Statistics,
        Self::PageCached,
        Self::PageHeaders,
        Self::Suspension,
        Self::Invalidation,
        Self::Reinstatement,
        Self::Erasure,
        Self::Cleanup,
    ];

    /// True if the check changes nothing in the account, so that `--read-only` makes it.
    pub fn is_read_only(self) -> bool {
        self.info().changes.is_none()
    }

    pub const fn info(self) -> CheckInfo {
        match self {
            Self::StackComplete => reads(
                "stack-complete",
                "the last create or update of the stack is complete",
                "Read the events of the stack in the console of CloudFormation, correct the cause, and deploy again",
            ),
            Self::FunctionsActive => reads(
                "functions-active",
                "Lambda can invoke every function, with its newest code and configuration",
                "Deploy again. If Lambda names a role or a KMS key, restore it first",
            ),
            Self::FunctionStarts => CheckInfo {
                costs: "CloudWatch metrics",
                microdollars: METRICS,
                ..reads(
                    "function-starts",
                    "no function refused its configuration in the last 24 hours",
                    "Read the log of the function, which names the variable. Correct its parameter and deploy again",
                )
            },
            Self::EventSources => reads(
                "event-sources",
                "Lambda polls the queue of every worker",
                "Enable the event source mapping in the console of Lambda, or with `aws lambda \
                 update-event-source-mapping --uuid UUID --enabled`",
            ),
            Self::InvokePermissions => reads(
                "invoke-permissions",
                "this user pool may invoke the five triggers",
                "Add the permission with `aws lambda add-permission`: docs/operations.md#detached-triggers has the \
                 command. Without it, sign-up and sign-in fail",
            ),
            Self::TriggersAttached => reads(
                "triggers-attached",
                "the user pool calls the five triggers of this stack",
                "For an existing pool, run `replay attach`, with --restore FILE if the update that \
                 detached them reset other settings. For a pool of the stack, deploy with \
                 AttachTriggers=false, then with true, because CloudFormation does not see what others \
                 changed",
            ),
            Self::FeaturePlan => reads(
                "feature-plan",
                "the plan of the user pool supports the event version of pre-token-generation",
                "Set UserPoolTier to the plan of the user pool. With LITE, also set \
                 PreTokenGenerationVersion to V1_0. Then deploy again",
            ),
            Self::UserExistence => reads(
                "user-existence",
                "no app client reveals which users exist",
                "In the console, set PreventUserExistenceErrors of the app client to ENABLED. The AWS CLI \
                 resets every setting that you do not pass",
            ),
            Self::WriteAttributes => reads(
                "write-attributes",
                "no user can write an attribute from which privileged groups follow",
                "In the console, choose the attributes that the app client may write, without those in \
                 TrustedAttributes. The AWS CLI resets every setting that you do not pass",
            ),
            Self::TokenValidity => reads(
                "token-validity",
                "no token lives longer than TokenValidityMinutes",
                "Set TokenValidityMinutes to the longest validity among all app clients, and deploy again",
            ),
            Self::TokenRevocation => reads(
                "token-revocation",
                "a sign-out revokes the tokens of every app client",
                "In the console, set EnableTokenRevocation of the app client to true. The AWS CLI resets \
                 every setting that you do not pass",
            ),
            Self::EmailChange => reads(
                "email-change",
                "a user owns a new email address before it takes effect",
                "In the console, keep the original value of the email address while an update is pending. \
                 The AWS CLI resets every setting that you do not pass",
            ),
            Self::Messages => reads(
                "messages",
                "the parameters about messages agree with the user pool",
                "If the user pool has lost settings, run `replay attach --restore FILE`. Otherwise correct \
                 the parameter and deploy again",
            ),
            Self::Alarms => reads(
                "alarms",
                "no alarm of the stack rings, and each of them exists and may notify",
                "Run `replay status`, which names the next step for each alarm that rings. Enable the actions of \
                 the others, or deploy again",
            ),
            Self::DeadLetters => CheckInfo {
                costs: "CloudWatch metrics",
                microdollars: METRICS,
                ..reads(
                    "dead-letters",
                    "the dead-letter queues are empty",
                    "Run `replay inspect QUEUE`, which counts the messages by reason",
                )
            },
            Self::AccountEvents => CheckInfo {
                costs: "CloudWatch metrics",
                microdollars: METRICS,
                ..reads(
                    "account-events",
                    "CloudTrail's events match the rule, and EventBridge delivers them to the queue",
                    "Check that a trail logs management events in this region, and that the queue policy allows \
                     the rule. docs/account-events.md names both",
                )
            },
            Self::PageFiles => reads(
                "page-files",
                "CloudFront serves the files of the page",
                "Upload the page: docs/deploying.md has the command",
            ),
            Self::PageWithoutToken => reads(
                "page-without-token",
                "the page of a user is refused without a token",
                "Verify the Authorization header in the origin, and check that CloudFront forwards it",
            ),
            Self::SignUpDenied => CheckInfo {
                changes: Some(
                    "creates an app client for the run if no app client of the pool can sign users in. If the check \
                     fails, it creates a user, and Cognito sends an email to an address of the denied domain",
                ),
                ..reads(
                    "sign-up-denied",
                    "pre-sign-up denies an address that the rules do not allow, with our sentence",
                    "Read the log of pre-sign-up, and check the parameters of the sign-up rules",
                )
            },
            Self::SignUp => CheckInfo {
                changes: Some(
                    "creates a user in the user pool, and confirms it. If no app client of the pool can sign users \
                     in, creates one for the run",
                ),
                costs: "one email, a monthly active user",
                microdollars: EMAIL + ACTIVE_USER,
                ..reads(
                    "sign-up",
                    "a person with an allowed address can sign up and confirm",
                    "Read the logs of pre-sign-up and custom-message. Without an allowed address of the default, \
                     pass --email",
                )
            },
            Self::Profile => CheckInfo {
                changes: Some("writes items of the user to the table"),
                ..reads(
                    "profile",
                    "post-confirmation writes the profile of the user",
                    "Read the log of post-confirmation, and check that it may write to the table",
                )
            },
            Self::SignIn => CheckInfo {
                changes: Some(
                    "signs the user in. If no app client of the pool can sign users in, creates one for the run",
                ),
                ..reads(
                    "sign-in",
                    "the user can sign in with the password (SRP)",
                    "Read the logs of pre-authentication and pre-token-generation",
                )
            },
            Self::Token => CheckInfo {
                changes: Some("signs the user in"),
                ..reads(
                    "token",
                    "the tokens have the groups and claims that GroupRules and TokenClaims give this user",
                    "Read the log of pre-token-generation, and check GroupRules and TokenClaims",
                )
            },
            Self::Statistics => CheckInfo {
                changes: Some("writes items of the user to the table"),
                ..reads(
                    "statistics",
                    "an event of a trigger reaches the statistics of the user in time",
                    "Run `replay status`: it shows whether events wait, and the errors of user-stats",
                )
            },
            Self::PageCached => CheckInfo {
                changes: Some("puts pages of the user into CloudFront's cache"),
                ..reads(
                    "page-cached",
                    "the first request of the user's page is a Miss, and the second one a Hit",
                    "Check the cache policy and the headers of the origin with `replay origin check`. \
                     docs/caching.md has the settings",
                )
            },
            Self::PageHeaders => CheckInfo {
                changes: Some("puts pages of the user into CloudFront's cache"),
                ..reads(
                    "page-headers",
                    "the answer of the origin follows the caching contract",
                    "Run `replay origin check` on the origin's own address, and correct the headers",
                )
            },
            Self::Suspension => CheckInfo {
                changes: Some("suspends the user"),
                costs: "one invalidation item",
                microdollars: INVALIDATION_ITEM,
                ..reads(
                    "suspension",
                    "a suspended user can neither refresh the tokens nor sign in",
                    "Check that pre-authentication and pre-token-generation are attached and may read the table",
                )
            },
            Self::Invalidation => CheckInfo {
                changes: Some("nothing more: the suspension invalidates the page"),
                ..reads(
                    "invalidation",
                    "a change evicts the user's page from CloudFront, in the measured time",
                    "Read the log of cache-invalidation, and look for its dead letters with `replay queues`",
                )
            },
            Self::Reinstatement => CheckInfo {
                changes: Some("reinstates the user"),
                costs: "one invalidation item",
                microdollars: INVALIDATION_ITEM,
                ..reads(
                    "reinstatement",
                    "a reinstated user can refresh the tokens and sign in again",
                    "Read the logs of pre-authentication and pre-token-generation",
                )
            },
            Self::Erasure => CheckInfo {
                changes: Some("erases the user's data in the table"),
                costs: "one invalidation item",
                microdollars: INVALIDATION_ITEM,
                ..reads(
                    "erasure",
                    "an erasure leaves nothing of the user but its marker",
                    "Run the command that the check names",
                )
            },
            Self::Cleanup => CheckInfo {
                changes: Some("deletes the account of the user, and the app client of the run"),
                ..reads(
                    "cleanup",
                    "the run leaves no account and no app client",
                    "Run the commands that the check names",
                )
            },
        }
    }
}

/// A price in dollars: `$0.0352`.
pub fn dollars(microdollars: u32) -> String {
    format!("${:.4}", f64::from(microdollars) / 1_000_000.0)
}

/// The checks as a Markdown table, for docs/doctor.md. `is_read_only` selects the checks.
pub fn table(is_read_only: bool) -> String {
    let head = match is_read_only {
        true => "| Check | Proves that | Costs | If it fails |\n|---|---|---|---|\n",
        false => "| Check | Proves that | Changes | Costs | If it fails |\n|---|---|---|---|---|\n",
    };
    let checks = CheckId::ALL.into_iter().filter(|check| check.is_read_only() == is_read_only);
    checks.map(CheckId::info).fold(head.to_owned(), |table, info| {
        let changes = info.changes.map(|changes| format!("{changes} | ")).unwrap_or_default();
        let costs = match info.microdollars {
            0 => info.costs.to_owned(),
            price => format!("{}: {}", info.costs, dollars(price)),
        };
        table + &format!("| `{}` | {} | {changes}{costs} | {} |\n", info.name, info.proves, info.fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for check in CheckId::ALL {
            assert_eq!(serde_json::to_value(check).unwrap(), check.info().name);
        }
    }

    #[test]
    fn checks_are_in_the_order_of_the_run_and_read_only_ones_come_first() {
        assert!(CheckId::ALL.is_sorted() && CheckId::ALL.is_sorted_by_key(|check| !check.is_read_only()));
        assert_eq!(CheckId::ALL.last().map(|last| *last as usize), Some(CheckId::ALL.len() - 1));
    }

    #[test]
    fn every_check_says_what_it_proves_costs_and_how_to_fix_it() {
        for check in CheckId::ALL {
            let info = check.info();
            assert!(!info.proves.is_empty() && !info.proves.ends_with('.'), "{check:?}");
            assert!(!info.fix.ends_with('.') && info.fix.starts_with(char::is_uppercase), "{check:?}");
            assert_eq!(info.microdollars == 0, info.costs == "nothing", "{check:?}");
        }
    }
}
