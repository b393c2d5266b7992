//! The five Cognito triggers. Each trigger is one module with its `Deps` and its `handle`. Lambda,
//! the tests and the sandbox all call the same `handle`.
//!
//! - [`pre_sign_up`] decides by the email domain who may sign up.
//! - [`post_confirmation`] writes the profile of a confirmed user.
//! - [`pre_authentication`] denies a sign-in while a suspension is in force.
//! - [`pre_token_generation`] denies a token while a suspension is in force, and puts groups and
//!   claims into the token.
//! - [`custom_message`] renders the email or SMS.
//!
//! The triggers share these modules:
//!
//! - [`event`]: the event from Cognito, of which only `response` can change
//! - [`publisher`]: publishes events to the queue user-events
//! - [`mod@sign_in`]: the decision whether a user may sign in
//! - [`mod@run`]: the Lambda loop, which turns errors and panics into safe messages

pub mod custom_message;
pub mod event;
pub mod post_confirmation;
pub mod pre_authentication;
pub mod pre_sign_up;
pub mod pre_token_generation;
pub mod publisher;
pub mod run;
pub mod sign_in;

pub use event::{TriggerError, TriggerEvent};
pub use publisher::EventPublisher;
pub use run::run;
