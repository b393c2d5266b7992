//! The policies that the model compares. Pure.

use shared::freshness::{CacheLifetime, OriginLifetime};

use super::assumptions::{BEFORE_LIFETIME_SECONDS, DEFAULT_LIFETIME, MONTHLY_ITEM_BUDGET};

/// How long pages live, and which changes are invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    NoCache,
    /// A fixed lifetime of 30 s.
    Fixed30,
    /// Read your writes, a fixed lifetime of 120 s.
    ReadYourWritesFixed120,
    /// Read your writes, lifetimes by age with a maximum of 60 s.
    ReadYourWrites60,
    ReadYourWrites120,
    /// The settings of the template with the read API.
    Default,
    /// These settings, with producers and clients that do not know of `after`.
    NotClientAware,
    /// The settings of the template with an origin of your own.
    OwnOrigin,
    /// Lifetimes by age with a maximum of 1,800 s, and an invalidation for every change that no read with
    /// `after` covers.
    ReadYourWrites1800,
    /// Lifetimes by age with a maximum of 1,800 s, and an invalidation for every change.
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

/// Which changes are invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    Never,
    /// Each change has its own call, at once.
    EachChange,
    /// The rules of user-stats and of cache-invalidation.
    Rules {
        budget: Option<u32>,
    },
}

impl Policy {
    /// Without invalidations first.
    pub const ALL: [Self; 12] = [
        Self::NoCache,
        Self::Fixed30,
        Self::ReadYourWritesFixed120,
        Self::ReadYourWrites60,
        Self::ReadYourWrites120,
        Self::Default,
        Self::NotClientAware,
        Self::OwnOrigin,
        Self::ReadYourWrites1800,
        Self::Adaptive1800,
        Self::Before,
        Self::EachChange,
    ];

    /// Name in tables and pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCache => "no cache",
            Self::Fixed30 => "fixed 30, no invalidations",
            Self::ReadYourWritesFixed120 => "after, fixed 120, no invalidations",
            Self::ReadYourWrites60 => "after, adaptive 60, no invalidations",
            Self::ReadYourWrites120 => "after, adaptive 120, no invalidations",
            Self::Default => "default: after, adaptive 60, budget",
            Self::NotClientAware => "default without after",
            Self::OwnOrigin => "own origin: fixed 60, budget",
            Self::ReadYourWrites1800 => "after, adaptive 1,800, no budget",
            Self::Adaptive1800 => "adaptive 1,800, no budget",
            Self::Before => "before: fixed 1,800, no budget",
            Self::EachChange => "fixed 1,800, each change invalidated",
        }
    }

    pub fn settings(self) -> Settings {
        let adaptive = |max_seconds| CacheLifetime { max_seconds, ..DEFAULT_LIFETIME };
        let fixed = |max_seconds| CacheLifetime { origin: OriginLifetime::Fixed, ..adaptive(max_seconds) };
        let long = BEFORE_LIFETIME_SECONDS;
        let budget = Invalidation::Rules { budget: Some(MONTHLY_ITEM_BUDGET) };
        let rules = Invalidation::Rules { budget: None };
        let (lifetime, reads_own_writes, invalidation) = match self {
            Self::NoCache => (fixed(0), false, Invalidation::Never),
            Self::Fixed30 => (fixed(30), false, Invalidation::Never),
            Self::ReadYourWritesFixed120 => (fixed(120), true, Invalidation::Never),
            Self::ReadYourWrites60 => (adaptive(60), true, Invalidation::Never),
            Self::ReadYourWrites120 => (adaptive(120), true, Invalidation::Never),
            Self::Default => (DEFAULT_LIFETIME, true, budget),
            Self::NotClientAware => (DEFAULT_LIFETIME, false, budget),
            Self::OwnOrigin => (fixed(DEFAULT_LIFETIME.max_seconds), false, budget),
            Self::ReadYourWrites1800 => (adaptive(long), true, rules),
            Self::Adaptive1800 => (adaptive(long), false, rules),
            Self::Before => (fixed(long), false, rules),
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
