//! Everything that runs without an AWS account: an AWS account in memory, journeys through the real
//! functions, a preview of the messages, and the cost model.

pub mod aws;
pub mod check_config;
pub mod cli;
pub mod costs;
pub mod edge;
pub mod functions;
pub mod http_api;
pub mod journey;
pub mod mapped_workers;
pub mod operator;
pub mod preview;
pub mod serve;
pub mod site;
pub mod tokens;
