//! Contributors' tasks, as a library so that the tests use the same code.
//!
//! This package does not depend on the AWS SDK: `cargo xtask ci` must not compile it a second time
//! with other features. Tasks that need it run a binary of another package.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a task may fail loudly")]

use std::path::PathBuf;

pub mod cdk;
pub mod ci;
pub mod command;
pub mod dist;
pub mod permissions;
pub mod schema;
pub mod table_access;
pub mod template;
pub mod terraform;
pub mod web;
pub mod weight;

/// The version of all packages of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The root of this repository, where the workspace's manifest is.
pub fn repository_root() -> PathBuf {
    let xtask = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Where tasks keep what they install, outside of the sources and kept between runs.
pub fn tools() -> PathBuf {
    repository_root().join("target/tools")
}

#[expect(clippy::disallowed_methods, reason = "tasks pass the environment on to other programs")]
fn environment_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The current time in RFC 3339.
#[expect(clippy::disallowed_methods, reason = "a task runs on the machine's clock")]
fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// The current time in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a task runs on the machine's clock")]
fn unix_milliseconds() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
