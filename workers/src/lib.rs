//! The workers, which consume the SQS queues. Each module holds one worker: its configuration, its
//! `Deps`, and `handle`, which Lambda, the tests and the sandbox call.
//!
//! - [`user_stats`]: applies events to the statistics, exactly once
//! - [`cache_invalidation`]: invalidates the CloudFront pages of users whose data changed
//! - [`group_membership`]: changes the groups of users in the user pool
//! - [`account_activity`]: applies what happened to accounts in the user pool, as CloudTrail reports it
//! - [`resource_permission`]: writes what users may do with resources of other users
//!
//! What the workers share:
//!
//! - [`batch`]: from SQS records to accepted messages, dead letters, partial batch response
//! - [`invalidation_policy`]: which event types are worth an invalidation
//! - [`notices`]: which users' cached pages are stale, for cache-invalidation
//! - [`rejection`]: the reasons of dead letters
//! - [`mod@run`]: the Lambda loop

pub mod account_activity;
pub mod batch;
pub mod cache_invalidation;
pub mod group_membership;
pub mod invalidation_policy;
pub mod notices;
pub mod rejection;
pub mod resource_permission;
pub mod run;
pub mod user_stats;

pub use batch::BatchError;
pub use run::run;
