//! `replay schema`

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use replay::schema;

use super::InvalidInput;

/// Write the JSON Schema of the events to events/schema/event.json.
#[derive(Debug, Args)]
pub struct Schema {}

impl Schema {
    /// Writes it.
    pub fn run(self) -> Result<()> {
        let path = Path::new(schema::PATH);
        if !path.parent().is_some_and(Path::is_dir) {
            return InvalidInput::told("no folder events/schema here: run it at the root of the repository");
        }
        std::fs::write(path, schema::event_schema()).with_context(|| path.display().to_string())
    }
}
