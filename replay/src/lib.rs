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
//! - [`redrive`]: brings dead letters back
//! - [`save`], [`send`]: a queue in a file, and back
//! - [`queues`]: what queues say about themselves, and errors that say what to do
//! - [`messages`]: a message, whole; [`receiving`]: all of a queue; [`filter`]: which are meant;
//!   [`mask`]: what may be shown
//! - [`input`]: what was given is wrong
//! - [`stop`]: Ctrl-C, and going at a rate
//! - [`forget`]: erases a user
//! - [`rebuild`]: works statistics out anew from the stored events
//! - [`import`]: profiles for the users of a pool that was there before
//! - [`late`]: counts events that are too old for user-stats
//! - [`recover`]: finds in logs what the triggers could not send
//! - [`preview`]: the messages of custom-message, to look at
//! - [`report`]: what came of it, as text or JSON
//! - [`schema`]: the JSON Schema of the events

pub mod account;
pub mod embedded;
pub mod filter;
pub mod forget;
pub mod import;
pub mod input;
pub mod inspect;
pub mod journey;
pub mod late;
pub mod local;
pub mod mapping;
pub mod mask;
pub mod messages;
pub mod preview;
pub mod queues;
pub mod rebuild;
pub mod receiving;
pub mod recover;
pub mod redrive;
pub mod report;
pub mod save;
pub mod schema;
pub mod send;
pub mod simulate;
pub mod stats;
pub mod stop;
pub mod suspension;
