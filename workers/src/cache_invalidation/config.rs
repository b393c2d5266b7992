//! The settings of cache-invalidation.

use shared::config::{ConfigError, Environment};

use super::items::Target;
use super::planner::{Limits, MAX_PURGE_ALL_THRESHOLD};

/// ON_BUDGET_EXHAUSTED: what happens when the budget of the month is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBudgetExhausted {
    /// Purge the pages of all users with one item, at most once in five minutes.
    PurgeAll,
    /// Let the pages expire.
    Expire,
}

impl OnBudgetExhausted {
    /// The value of the variable, and the dimension `reason` of BudgetExhausted.
    pub fn code(self) -> &'static str {
        match self {
            Self::PurgeAll => "purge_all",
            Self::Expire => "expire",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    /// DISTRIBUTION_ID.
    pub distribution_id: String,
    pub limits: Limits,
    /// MONTHLY_ITEM_BUDGET. `None` for 0, which means no budget.
    pub monthly_item_budget: Option<u64>,
    pub on_budget_exhausted: OnBudgetExhausted,
}

impl Config {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let budget = environment.number("MONTHLY_ITEM_BUDGET", 10_000, 0..=u32::MAX)?;
        let on_budget_exhausted =
            [OnBudgetExhausted::PurgeAll, OnBudgetExhausted::Expire].map(|value| (value.code(), value));
        Ok(Self {
            distribution_id: environment.required("DISTRIBUTION_ID")?,
            limits: Limits {
                target: Target::from_environment(environment)?,
                purge_all_threshold: environment.number(
                    "PURGE_ALL_THRESHOLD",
                    3000,
                    1..=MAX_PURGE_ALL_THRESHOLD,
                )?,
                purge_all_threshold_halving_seconds: environment.number(
                    "PURGE_ALL_THRESHOLD_HALVING_SECONDS",
                    300,
                    1..=86_400,
                )?,
                invalidation_interval_seconds: environment.number(
                    "INVALIDATION_INTERVAL_SECONDS",
                    60,
                    0..=900,
                )?,
                max_cache_lifetime_seconds: environment.max_cache_lifetime_seconds()?,
            },
            monthly_item_budget: (budget > 0).then_some(u64::from(budget)),
            on_budget_exhausted: environment.choice(
                "ON_BUDGET_EXHAUSTED",
                OnBudgetExhausted::Expire,
                &on_budget_exhausted,
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, value: &str) -> Result<Config, String> {
        let environment = [("DISTRIBUTION_ID", "E1EXAMPLE"), (name, value)].into_iter().collect();
        Config::from_environment(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn threshold_that_no_batch_can_exceed_stops_startup() {
        assert_eq!(config("PURGE_ALL_THRESHOLD", "6500").unwrap().limits.purge_all_threshold, 6_500);
        let error = config("PURGE_ALL_THRESHOLD", "6501").unwrap_err();
        assert_eq!(error, "PURGE_ALL_THRESHOLD: \"6501\" is not a whole number from 1 to 6500");
    }

    #[test]
    fn budget_is_10_000_items_unless_it_is_0() {
        assert_eq!(config("MONTHLY_ITEM_BUDGET", "10000").unwrap().monthly_item_budget, Some(10_000));
        assert_eq!(config("X", "").unwrap().monthly_item_budget, Some(10_000));
        assert_eq!(config("MONTHLY_ITEM_BUDGET", "0").unwrap().monthly_item_budget, None);
    }

    #[test]
    fn interval_is_at_most_15_minutes() {
        assert_eq!(config("X", "").unwrap().limits.invalidation_interval_seconds, 60);
        assert_eq!(
            config("INVALIDATION_INTERVAL_SECONDS", "0").unwrap().limits.invalidation_interval_seconds,
            0
        );
        let error = config("INVALIDATION_INTERVAL_SECONDS", "901").unwrap_err();
        assert!(error.starts_with("INVALIDATION_INTERVAL_SECONDS: "), "{error}");
    }
}
