//! The command line `replay`, and the embedded AWS that it and the tests use.
//!
//! - [`account`]: a real account, as the AWS CLI reaches it
//! - [`embedded`]: DynamoDB, SQS, CloudFront and Cognito's groups in memory, under the real SDK; with faults to inject
//! - [`mapping`]: Lambda's SQS event source mapping, small and on a clock that jumps
//! - [`journey`]: journeys, as JSON files
//! - [`local`]: plays them through the real handlers
//! - [`simulate`]: what a day costs under each policy
//! - [`stats`]: what the table knows of one user, or of an e-mail domain
//! - [`suspension`]: bans users and reinstates them
//! - [`inspect`]: what lies in a queue
//! - [`forget`]: erases a user
//! - [`recover`]: finds in logs what the triggers could not send
//! - [`preview`]: the messages of custom-message, to look at
//! - [`report`]: what came of it, as text or JSON
//! - [`schema`]: the JSON Schema of the events

pub mod account;
pub mod embedded;
pub mod forget;
pub mod inspect;
pub mod journey;
pub mod local;
pub mod mapping;
pub mod preview;
pub mod recover;
pub mod report;
pub mod schema;
pub mod simulate;
pub mod stats;
pub mod suspension;
