//! The read API: a user's dashboard, orders and profile, for the page and for other clients.
//!
//! API Gateway invokes the function after its JWT authorizer accepted the token. Lambda, the tests
//! and the sandbox all call the same [`handle`], which turns every request into a response.
//!
//! - [`read_api`]: the order of the checks, and the way from a route to its answer
//! - [`request`], [`route`], [`query`]: what is requested
//! - [`claims`], [`permissions`]: who requests it, and what they may read
//! - [`caller`]: the answers for a caller with a valid token
//! - [`dashboard`], [`orders`], [`profile`], [`mark_as_read`]: the JSON of an answer
//! - [`response`], [`problem`]: the answer, with its cache headers, or an error
//! - [`mod@run`]: the Lambda loop

pub mod caller;
pub mod claims;
pub mod config;
pub mod dashboard;
pub mod deps;
pub mod mark_as_read;
pub mod orders;
pub mod permissions;
pub mod problem;
pub mod profile;
pub mod query;
pub mod read_api;
pub mod request;
pub mod response;
pub mod route;
pub mod run;
mod time;

pub use config::Config;
pub use deps::Deps;
pub use read_api::handle;
pub use request::Request;
pub use response::Response;
pub use run::run;
