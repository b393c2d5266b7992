//! The command line `replay`: queues, users and statistics of a deployed stack.
//!
//! [`cli`] names the commands. A command's options and output are in its `command.rs`. Its logic is
//! in the file beside that folder.

pub mod account;
pub mod cli;
pub mod completions;
pub mod error;
pub mod interrupt;
pub mod man;
pub mod options;
pub mod output;
pub mod progress;
pub mod queue;
pub mod rate;
pub mod statistics;
pub mod user;
