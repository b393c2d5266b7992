//! The workers that consume the queues. Each module holds one worker: its `Config`, its `Deps`, and `handle`,
//! the very function that Lambda, the tests and `replay local` call.
//!
//! - [`user_stats`]: user-events → statistics, exactly once
//! - [`cache_invalidation`]: cache-invalidations → CloudFront, at the lowest cost known
//! - [`group_membership`]: group-memberships → the groups of the user pool
//!
//! and what they have in common:
//!
//! - [`batch`]: from SQS records to events; parking what can never succeed; partial batch failures
//! - [`deadline`]: how long an invocation may still take
//! - [`mod@run`]: the Lambda loop

pub mod batch;
pub mod cache_invalidation;
pub mod group_membership;
pub mod run;
pub mod user_stats;

pub use batch::BatchError;
pub use run::run;
