//! The five Cognito triggers. Each module holds one trigger: its `Config`, its `Deps`, and `handle`, the very
//! function that Lambda, the tests and `replay local` call.
//!
//! - [`pre_sign_up`]: may this e-mail domain sign up?
//! - [`post_confirmation`]: write the profile
//! - [`pre_authentication`]: is a suspension in force?
//! - [`pre_token_generation`]: is a suspension in force? Which groups and claims go into the token?
//! - [`custom_message`]: word the e-mail or SMS
//!
//! and what they have in common:
//!
//! - [`event`]: the event that Cognito sends, and the rule that only `response` changes
//! - [`publisher`]: telling the user-events queue, without ever deciding a sign-in by it
//! - [`mod@run`]: the Lambda loop, in which every error and panic becomes a safe sentence

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
