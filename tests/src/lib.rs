//! Test support.
//!
//! - [`fixtures`]: the files in `events/`
//! - [`mod@http`]: an HTTP client for one request
//! - [`lambda`]: a Lambda service on loopback that runs the binaries
//! - [`log`]: a watcher for personal data in the log
//! - [`shapes`]: the shapes of Cognito's API, and random values of them
//! - [`sqs`]: queues with groups, FIFO order, move tasks and partial failures
//! - [`stack_account`]: a deployed stack: CloudFormation, CloudWatch, CloudWatch Logs, the user pool's settings, and
//!   the policies of its functions

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "test support may fail loudly")]

pub mod fixtures;
pub mod http;
pub mod lambda;
pub mod log;
pub mod shapes;
pub mod sqs;
pub mod stack_account;
