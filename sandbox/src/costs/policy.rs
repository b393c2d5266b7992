//! The policies that the model compares. Pure.

use shared::freshness::{CacheLifetime, OriginLifetime};

use super::assumptions::{BEFORE_LIFETIME_SECONDS, DEFAULT_LIFETIME, MONTHLY_ITEM_BUDGET};

/// How long pages live, and which changes are invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    NoCache,
    /// A fixed lifetime of 30 s.
    Fixed30,
    /// Read your writes, and a fixed lifetime of 120 s.
    ReadYourWritesFixed120,
    /// The settings of the template with the read API: read your writes, and lifetimes by age with a maximum
    /// of 60 s.
    Default,
    /// As above, with a maximum of 120 s.
    ReadYourWrites120,
    /// The default with the rule `budget`.
    Budget,
    /// The default, with producers and clients that do not know of `after`.
    NotClientAware,
    /// The settings of the template with an origin of your own.
    OwnOrigin,
    /// The default with a maximum of 1,800 s. The rule is then `budget`.
    Budget1800,
    /// As above, without a limit of the budget.
    ReadYourWrites1800,
    /// Lifetimes by age with a maximum of 1,800 s, and the invalidations that the rules want.
    Adaptive1800,
    /// The rules before lifetimes by age: a fixed lifetime of 1,800 s.
    Before,
    /// One call with one item for each change.
    EachChange,
}

/// The settings of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub lifetime: CacheLifetime,
    /// True if clients read with `after`, and producers mark the events with `clientaware`.
    pub reads_own_writes: bool,
    pub invalidation: Invalidation,
}

/// The changes that are invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// Each change has its own call, at once.
    EachChange,
    /// The rules of user-stats and of cache-invalidation.
    Rules {
        /// INVALIDATION_POLICY.
        policy: &'static str,
        /// MONTHLY_ITEM_BUDGET.
        budget: Option<u32>,
    },
}

impl Policy {
    /// Without invalidations first.
    pub const ALL: [Self; 13] = [
        Self::NoCache,
        Self::Fixed30,
        Self::ReadYourWritesFixed120,
        Self::Default,
        Self::ReadYourWrites120,
        Self::NotClientAware,
        Self::Budget,
        Self::OwnOrigin,
        Self::Budget1800,
        Self::ReadYourWrites1800,
        Self::Adaptive1800,
        Self::Before,
        Self::EachChange,
    ];

    /// Name in tables and pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCache => "no cache",
            Self::Fixed30 => "fixed 30",
            Self::ReadYourWritesFixed120 => "after, fixed 120",
            Self::Default => "default: after, adaptive 60",
            Self::ReadYourWrites120 => "after, adaptive 120",
            Self::NotClientAware => "default without after",
            Self::Budget => "after, adaptive 60, budget",
            Self::OwnOrigin => "own origin: fixed 60, budget",
            Self::Budget1800 => "after, adaptive 1,800, budget",
            Self::ReadYourWrites1800 => "after, adaptive 1,800, unlimited",
            Self::Adaptive1800 => "adaptive 1,800, unlimited",
            Self::Before => "before: fixed 1,800, unlimited",
            Self::EachChange => "fixed 1,800, each change",
        }
    }

    pub fn settings(self) -> Settings {
        let adaptive = |max_seconds| CacheLifetime { max_seconds, ..DEFAULT_LIFETIME };
        let fixed = |max_seconds| CacheLifetime { origin: OriginLifetime::Fixed, ..adaptive(max_seconds) };
        let long = BEFORE_LIFETIME_SECONDS;
        let rules = |policy, budget| Invalidation::Rules { policy, budget };
        let never = rules("*=never", Some(MONTHLY_ITEM_BUDGET));
        let budget = rules("*=budget", Some(MONTHLY_ITEM_BUDGET));
        let unlimited = rules("*=budget", None);
        let default = rules("", Some(MONTHLY_ITEM_BUDGET));
        let (lifetime, reads_own_writes, invalidation) = match self {
            Self::NoCache => (fixed(0), false, never),
            Self::Fixed30 => (fixed(30), false, never),
            Self::ReadYourWritesFixed120 => (fixed(120), true, never),
            Self::Default => (DEFAULT_LIFETIME, true, default),
            Self::ReadYourWrites120 => (adaptive(120), true, never),
            Self::NotClientAware => (DEFAULT_LIFETIME, false, default),
            Self::Budget => (DEFAULT_LIFETIME, true, budget),
            Self::OwnOrigin => (fixed(DEFAULT_LIFETIME.max_seconds), false, default),
            Self::Budget1800 => (adaptive(long), true, default),
            Self::ReadYourWrites1800 => (adaptive(long), true, unlimited),
            Self::Adaptive1800 => (adaptive(long), false, unlimited),
            Self::Before => (fixed(long), false, unlimited),
            Self::EachChange => (fixed(long), false, Invalidation::EachChange),
        };
        Settings { lifetime, reads_own_writes, invalidation }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_differ_and_so_do_the_settings() {
        let names: BTreeSet<&str> = Policy::ALL.map(Policy::name).into_iter().collect();
        assert_eq!(names.len(), Policy::ALL.len());
        for (index, policy) in Policy::ALL.into_iter().enumerate() {
            let others = &Policy::ALL[index + 1..];
            assert!(others.iter().all(|other| other.settings() != policy.settings()), "{policy:?}");
        }
    }
}
