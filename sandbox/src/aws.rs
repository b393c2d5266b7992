//! An AWS account in memory: a table, the queues with their dead-letter queues, a distribution and
//! user pools. The real SDK talks to it through an HTTP client of ours.

pub mod account;
pub mod backend;
pub mod call_log;
pub mod dynamodb_server;
pub mod event_source_mapping;
pub mod faults;
pub mod invoke_permissions;
pub mod manual_time;
pub mod names;
pub mod sdk_client;
pub mod setup;
pub mod user_pools;

pub use account::SandboxAccount;
pub use faults::{Fault, Faults};
pub use sdk_client::{Answer, AwsBackend, sdk_config};
pub use setup::{QueuePair, TABLE};
