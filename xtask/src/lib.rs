//! Contributors' tasks, as a library so that the tests use the same code.

pub mod permissions;
pub mod schema;
pub mod template;

use std::path::PathBuf;

/// The root of this repository, where the workspace's manifest is.
pub fn repository_root() -> PathBuf {
    let xtask = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}
