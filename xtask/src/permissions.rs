//! `cargo xtask permissions`: writes the page of each role's permissions.

use anyhow::{Context, Result};

use crate::repository_root;
use crate::template::{self, Template};

/// Writes `docs/permissions.md` from `template.yaml`.
pub fn write() -> Result<()> {
    let path = repository_root().join("docs/permissions.md");
    std::fs::write(&path, template::permissions(&Template::read()))
        .with_context(|| path.display().to_string())
}
