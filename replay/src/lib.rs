//! The command line `replay`: queues, users, statistics and the origin of a deployed stack.
//!
//! [`cli`] names the commands. For a command such as `redrive`, `redrive.rs` and the other files in
//! `redrive/` do the work, and `redrive/command.rs` has the options and everything that is printed.

pub mod account;
pub mod aws_error;
pub mod cli;
pub mod cloudwatch;
pub mod completions;
pub mod doctor;
pub mod empty_values;
pub mod error;
pub mod interrupt;
#[cfg(feature = "schema")]
pub mod json_schema;
pub mod man;
pub mod options;
pub mod origin;
pub mod output;
pub mod pace;
pub mod private_file;
pub mod progress;
pub mod queue;
pub mod rate;
pub mod reconcile;
pub mod stack;
pub mod statistics;
pub mod status;
pub mod time_option;
pub mod user;
pub mod user_pool;
