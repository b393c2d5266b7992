//! All integration tests in one binary, because each additional binary would link the SDK again.
//!
//! A trigger test passes a fixture to the function that Lambda calls, and checks the response, the
//! items and the messages. A worker test delivers every message twice.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests may fail loudly"
)]

mod account_activity;
mod alarms;
mod batches;
mod cache_invalidation;
mod concurrent_workers;
mod contract;
mod fuzz;
mod group_membership;
mod journeys;
mod lists;
mod log;
mod message_bodies;
mod panics;
mod properties;
mod read_api;
mod read_your_writes;
mod replay;
mod resource_permission;
mod sandbox;
mod schedules;
mod statistics;
mod support;
mod suspensions;
mod template;
mod tidy;
mod trigger_binaries;
mod triggers;
mod trust;
mod user_pool_watch;
mod user_stats;
mod web;
mod weight;
mod worker_binaries;
