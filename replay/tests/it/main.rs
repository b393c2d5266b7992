//! The command line, as it is typed. One binary: every other one would link the SDK again.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests may fail loudly, and some tests tell figures"
)]

mod account;
mod command_line;
mod files;
mod import;
mod operations;
mod rebuild;
mod redrive;
mod scale;
mod shop;
mod support;
