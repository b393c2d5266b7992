//! The Lambda functions: their names, environment variables and queues.
//!
//! To add a function, add a variant here, a module with a `handle`, a binary, and the resource in
//! `template.yaml`. The compiler and the tests name the remaining places.

use std::fmt;

/// A Lambda function of this repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionId {
    PreSignUp,
    PostConfirmation,
    PreAuthentication,
    PreTokenGeneration,
    CustomMessage,
    UserStats,
    CacheInvalidation,
    GroupMembership,
    ResourcePermission,
    AccountActivity,
    ReadApi,
    UserPoolWatch,
}

/// What invokes a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// Cognito invokes it and waits for the answer.
    Trigger,
    /// Lambda invokes it with batches of messages from an SQS queue.
    Worker,
    /// API Gateway invokes it with a request and waits for the response.
    HttpApi,
    /// EventBridge invokes it on a schedule. Nobody waits for the answer.
    Scheduled,
}

/// Everything about a function that the repository needs in more than one place.
struct Definition {
    kind: FunctionKind,
    name: &'static str,
    resource_name: &'static str,
    /// `None` if it is no worker.
    queue: Option<&'static str>,
    variables: &'static [&'static str],
}

impl FunctionId {
    pub const ALL: [Self; 12] = [
        Self::PreSignUp,
        Self::PostConfirmation,
        Self::PreAuthentication,
        Self::PreTokenGeneration,
        Self::CustomMessage,
        Self::UserStats,
        Self::CacheInvalidation,
        Self::GroupMembership,
        Self::ResourcePermission,
        Self::AccountActivity,
        Self::ReadApi,
        Self::UserPoolWatch,
    ];

    const fn definition(self) -> Definition {
        match self {
            Self::PreSignUp => Definition {
                kind: FunctionKind::Trigger,
                name: "pre-sign-up",
                resource_name: "PreSignUpFunction",
                queue: None,
                variables: &[
                    "ALLOWED_EMAIL_DOMAINS",
                    "ALLOW_WITHOUT_EMAIL",
                    "BLOCKED_EMAIL_DOMAINS",
                    "BLOCK_DISPOSABLE_DOMAINS",
                    "CHECK_ADMIN_CREATED",
                    "CHECK_SUSPENDED_EMAILS",
                    "NOT_DISPOSABLE_DOMAINS",
                    "ON_STORE_ERROR",
                    "PROVIDER_DOMAINS",
                    "SUSPENDED_EMAIL_KEY",
                    "TRUSTED_DOMAINS_SKIP_VERIFICATION",
                    "TRUSTED_EMAIL_DOMAINS",
                ],
            },
            Self::PostConfirmation => Definition {
                kind: FunctionKind::Trigger,
                name: "post-confirmation",
                resource_name: "PostConfirmationFunction",
                queue: None,
                variables: &[],
            },
            Self::PreAuthentication => Definition {
                kind: FunctionKind::Trigger,
                name: "pre-authentication",
                resource_name: "PreAuthenticationFunction",
                queue: None,
                variables: &["ON_STORE_ERROR"],
            },
            Self::PreTokenGeneration => Definition {
                kind: FunctionKind::Trigger,
                name: "pre-token-generation",
                resource_name: "PreTokenGenerationFunction",
                queue: None,
                variables: &[
                    "ADMIN_GROUPS",
                    "GROUP_RULES",
                    "ON_STORE_ERROR",
                    "TOKEN_CLAIMS",
                    "TRUSTED_ATTRIBUTES",
                ],
            },
            Self::CustomMessage => Definition {
                kind: FunctionKind::Trigger,
                name: "custom-message",
                resource_name: "CustomMessageFunction",
                queue: None,
                variables: &[
                    "DEFAULT_LOCALE",
                    "EMAIL_THROUGH_SES",
                    "EMAIL_VERIFICATION",
                    "LINK_BASE_URL",
                    "LOCALE_FROM_CLIENT_METADATA",
                    "MAX_TEMPORARY_PASSWORD_LENGTH",
                    "MAX_USERNAME_LENGTH",
                    "PRODUCT_NAME",
                    "SUPPORT_URL",
                ],
            },
            Self::UserStats => Definition {
                kind: FunctionKind::Worker,
                name: "user-stats",
                resource_name: "UserStatsFunction",
                queue: Some("user-events"),
                variables: &[
                    "ALLOW_ERASURE_EVENTS",
                    "CACHE_LIFETIME_DIVISOR",
                    "EVENT_RETENTION_DAYS",
                    "INVALIDATION_POLICY",
                    "INVALIDATION_TARGET",
                    "MAX_CACHE_LIFETIME_SECONDS",
                    "MIN_CACHE_LIFETIME_SECONDS",
                    "ORIGIN_LIFETIME",
                    "SIGN_IN_ATTEMPT_RETENTION_DAYS",
                    "SKIP_INACTIVE_USERS",
                    "TOKEN_VALIDITY_MINUTES",
                ],
            },
            Self::CacheInvalidation => Definition {
                kind: FunctionKind::Worker,
                name: "cache-invalidation",
                resource_name: "CacheInvalidationFunction",
                queue: Some("cache-invalidations"),
                variables: &[
                    "INVALIDATION_INTERVAL_SECONDS",
                    "INVALIDATION_TARGET",
                    "MAX_CACHE_LIFETIME_SECONDS",
                    "MONTHLY_ITEM_BUDGET",
                    "ON_BUDGET_EXHAUSTED",
                    "PURGE_ALL_THRESHOLD",
                    "PURGE_ALL_THRESHOLD_HALVING_SECONDS",
                ],
            },
            Self::GroupMembership => Definition {
                kind: FunctionKind::Worker,
                name: "group-membership",
                resource_name: "GroupMembershipFunction",
                queue: Some("group-memberships"),
                variables: &["CREATE_GROUPS", "GROUP_RULES"],
            },
            Self::ResourcePermission => Definition {
                kind: FunctionKind::Worker,
                name: "resource-permission",
                resource_name: "ResourcePermissionFunction",
                queue: Some("resource-permissions"),
                variables: &[
                    "CACHE_LIFETIME_DIVISOR",
                    "INVALIDATION_POLICY",
                    "MAX_CACHE_LIFETIME_SECONDS",
                    "MIN_CACHE_LIFETIME_SECONDS",
                    "ORIGIN_LIFETIME",
                ],
            },
            Self::AccountActivity => Definition {
                kind: FunctionKind::Worker,
                name: "account-activity",
                resource_name: "AccountActivityFunction",
                queue: Some("account-activities"),
                variables: &[
                    "ACCOUNT_DELETION",
                    "CACHE_LIFETIME_DIVISOR",
                    "EVENT_RETENTION_DAYS",
                    "FAILED_SIGN_INS_PER_USER",
                    "FAILED_USERS_PER_ADDRESS",
                    "INVALIDATION_POLICY",
                    "INVALIDATION_TARGET",
                    "MAX_CACHE_LIFETIME_SECONDS",
                    "MIN_CACHE_LIFETIME_SECONDS",
                    "ORIGIN_LIFETIME",
                    "SKIP_INACTIVE_USERS",
                    "TOKEN_VALIDITY_MINUTES",
                ],
            },
            Self::ReadApi => Definition {
                kind: FunctionKind::HttpApi,
                name: "read-api",
                resource_name: "ReadApiFunction",
                queue: None,
                variables: &[
                    "ADMIN_GROUPS",
                    "CACHE_LIFETIME_DIVISOR",
                    "MAX_CACHE_LIFETIME_SECONDS",
                    "MIN_CACHE_LIFETIME_SECONDS",
                    "ORIGIN_LIFETIME",
                    "PRODUCT_NAME",
                    "TOKEN_VALIDITY_MINUTES",
                ],
            },
            Self::UserPoolWatch => Definition {
                kind: FunctionKind::Scheduled,
                name: "user-pool-watch",
                resource_name: "UserPoolWatchFunction",
                queue: None,
                variables: &[],
            },
        }
    }

    /// The name of its binary, of its folder in `events/`, and of the function behind the stack's
    /// name: `pre-sign-up`.
    pub const fn name(self) -> &'static str {
        self.definition().name
    }

    /// The name of its resource in `template.yaml`, and its key in a file of environment variables:
    /// `PreSignUpFunction`.
    pub const fn resource_name(self) -> &'static str {
        self.definition().resource_name
    }

    pub const fn kind(self) -> FunctionKind {
        self.definition().kind
    }

    /// The queue that a worker consumes: `user-events`. `None` for other functions.
    pub const fn queue(self) -> Option<&'static str> {
        self.definition().queue
    }

    /// The environment variables that users configure. Variables that name the stack's own table,
    /// queues and distribution are not among them.
    pub const fn variables(self) -> &'static [&'static str] {
        self.definition().variables
    }

    /// The function with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// The function with this [`resource_name`](Self::resource_name).
    pub fn from_resource_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.resource_name() == name)
    }

    /// The functions that read the environment variable `variable`.
    pub fn readers(variable: &str) -> Vec<Self> {
        Self::ALL.into_iter().filter(|function| function.variables().contains(&variable)).collect()
    }

    pub fn triggers() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|function| function.kind() == FunctionKind::Trigger)
    }

    pub fn workers() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|function| function.kind() == FunctionKind::Worker)
    }
}

impl fmt::Display for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_name_follows_from_the_name() {
        for function in FunctionId::ALL {
            let words = function.name().split('-');
            let words = words.map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..]));
            assert_eq!(function.resource_name(), format!("{}Function", words.collect::<String>()));
        }
    }

    #[test]
    fn function_is_found_by_its_names() {
        for function in FunctionId::ALL {
            assert_eq!(FunctionId::from_name(function.name()), Some(function));
            assert_eq!(FunctionId::from_resource_name(function.resource_name()), Some(function));
        }
        assert_eq!(FunctionId::from_name("pre-sign-down"), None);
    }

    #[test]
    fn function_is_of_one_kind() {
        let of_kind = |kind| FunctionId::ALL.into_iter().filter(move |function| function.kind() == kind);
        assert_eq!(of_kind(FunctionKind::HttpApi).collect::<Vec<_>>(), [FunctionId::ReadApi]);
        assert_eq!(of_kind(FunctionKind::Scheduled).collect::<Vec<_>>(), [FunctionId::UserPoolWatch]);
        for function in FunctionId::ALL {
            assert_eq!(function.kind() == FunctionKind::Worker, function.queue().is_some(), "{function}");
        }
        assert_eq!(FunctionId::triggers().count(), 5);
        assert_eq!(FunctionId::workers().count(), 5);
    }
}
