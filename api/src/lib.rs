//! The read API: a user's dashboard, orders and profile, for the page and for other clients.
//!
//! API Gateway invokes the function after its JWT authorizer accepted the token. Lambda, the tests
//! and the sandbox all call the same [`handle`], which turns every request into a response.
//!
//! - [`read_api`]: the order of the checks, and the answer of each route
//! - [`request`], [`route`], [`query`]: what is requested
//! - [`claims`], [`permissions`]: who requests it, and what they may read
//! - [`response`], [`problem`]: the answer, with its cache headers, or an error
//! - [`mod@run`]: the Lambda loop

pub mod claims;
pub mod config;
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
pub use read_api::{Deps, handle};
pub use request::Request;
pub use response::Response;
pub use run::run;
