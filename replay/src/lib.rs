//! The command line `replay`, and the embedded AWS that it and the tests use.
//!
//! - [`embedded`]: DynamoDB, SQS and CloudFront in memory, under the real SDK; with faults to inject
//! - [`mapping`]: Lambda's SQS event source mapping, small and on a clock that jumps
//! - [`journey`]: journeys, as JSON files
//! - [`local`]: plays them through the real handlers
//! - [`report`]: what came of it, as text or JSON
//! - [`schema`]: the JSON Schema of the events

pub mod embedded;
pub mod journey;
pub mod local;
pub mod mapping;
pub mod report;
pub mod schema;
