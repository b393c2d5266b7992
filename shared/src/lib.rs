//! What triggers, workers and `replay` share. No `lambda_runtime` in here: all of it runs anywhere.
//!
//! - [`events`]: the messages on the queues, and what makes one valid
//! - [`statistics`]: how events fold into statistics, and which views they change
//! - [`store`]: the table: keys, items, and DynamoDB operations named by intent
//! - [`queues`]: sending to SQS, parking in a dead-letter queue, giving back with a delay
//! - [`ban`]: when a user is kept out
//! - [`config`]: the only reader of environment variables
//! - [`function`]: what a Lambda function is built from
//! - [`telemetry`]: metrics in CloudWatch's embedded format, error chains for the log
//! - [`aws`]: the SDK's clients with their time-outs
//! - [`time`]: the clock that is passed in

pub mod aws;
pub mod ban;
pub mod config;
pub mod events;
pub mod function;
pub mod queues;
pub mod statistics;
pub mod store;
pub mod telemetry;
pub mod time;
