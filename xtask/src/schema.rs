//! `cargo xtask schema`: writes the JSON Schema of the events.

use std::path::Path;

use anyhow::{Context, Result};
use shared::events::schema::{PATH, event_schema};

use crate::repository_root;

/// Writes `events/schema/event.json`.
pub fn write() -> Result<()> {
    let path = repository_root().join(Path::new(PATH));
    std::fs::write(&path, event_schema()).with_context(|| path.display().to_string())
}
