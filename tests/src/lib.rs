//! Test support.
//!
//! - [`fixtures`]: the files in `events/`
//! - [`lambda`]: a Lambda service on loopback, to run the binaries as Lambda does
//! - [`log`]: what is logged, watched for what must not be
//! - [`sqs`]: queues with groups, FIFO order, move tasks and partial failures

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "test support may fail loudly")]

pub mod fixtures;
pub mod lambda;
pub mod log;
pub mod sqs;
