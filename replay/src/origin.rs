//! The command for origins: APIs whose answers CloudFront caches.
//!
//! [`check`] has the rules of `docs/caching.md` as a pure function, from a response and what is
//! expected of it to the findings.

pub mod cache_control;
pub mod check;
pub mod finding;
pub mod response;

use clap::Subcommand;

use crate::error::Result;
use check::command::Check;

/// Check an API whose answers CloudFront caches.
#[derive(Debug, Subcommand)]
pub enum OriginCommand {
    Check(Check),
}

impl OriginCommand {
    pub fn run(self) -> Result<()> {
        match self {
            Self::Check(command) => command.run(),
        }
    }
}
