//! Measures the release binaries beside a Lambda function that only echoes and beside what people run today, and holds
//! them against the budgets. `cargo bench -p budgets` runs it.
//!
//! - [`subjects`]: what is measured, with the events it is handed
//! - [`runtime_api`]: Lambda's Runtime API on loopback
//! - [`server`]: what serves both on loopback
//! - [`aws`]: an AWS on loopback that always says yes, and counts
//! - [`certificates`]: the certificate authority that its TLS is of
//! - [`process`]: a function as a child process, its processor time and its memory
//! - [`measuring`]: one start of one subject, from spawn to the last warm answer
//! - [`units`]: the write units of a request
//! - [`figures`]: medians, quartiles, percentiles
//! - [`results`]: the figures of all subjects, as they are stored
//! - [`budgets`]: what must hold
//! - [`compare`]: what moved since the committed results
//! - [`tables`]: all of it in Markdown
//! - [`options`]: the command line

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that fails says so"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a measurement goes by the machine's clock, and finds programs on its PATH"
)]

pub mod aws;
pub mod budgets;
pub mod certificates;
pub mod compare;
pub mod figures;
pub mod measuring;
pub mod options;
pub mod process;
pub mod results;
pub mod runtime_api;
pub mod server;
pub mod subjects;
pub mod tables;
pub mod units;
