//! Measures the release binaries next to equivalents in Node.js and Python and a Rust baseline, and compares the
//! figures with budgets. `cargo bench -p budgets` runs it; `docs/performance.md` explains it.
//!
//! - [`subjects`]: the programs to measure, and the events they receive
//! - [`runtime_api`]: Lambda's Runtime API on loopback
//! - [`aws`]: a stand-in for AWS that accepts every call and counts the calls
//! - [`server`]: the HTTP server of both
//! - [`certificates`]: a certificate authority for measurements over TLS
//! - [`process`]: a function as a child process, with its processor time and memory
//! - [`measurement`]: one start of one subject, from spawn to the last warm answer
//! - [`write_units`]: the DynamoDB write units of a request
//! - [`quartiles`]: medians, quartiles and other quantiles
//! - [`results`]: the figures of all subjects, in the format of `results.json`
//! - [`budgets`]: the limits
//! - [`compare`]: changes since the committed results
//! - [`tables`]: results as Markdown, including `docs/results.md`
//! - [`options`]: the command line

#![allow(missing_docs, reason = "unpublished: a comment would often only repeat the name")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "if the benchmark itself fails, it should stop with a message"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark needs the system clock, and finds Node.js through PATH"
)]

pub mod aws;
pub mod budgets;
pub mod certificates;
pub mod compare;
pub mod measurement;
pub mod options;
pub mod process;
pub mod quartiles;
pub mod results;
pub mod runtime_api;
pub mod server;
pub mod subjects;
pub mod tables;
pub mod write_units;
