//! `cargo xtask schema`: writes the JSON Schema of the events.

use anyhow::{Context, Result};

use crate::command::Tool;
use crate::repository_root;

/// The schema's place in the repository.
pub const PATH: &str = "events/schema/event.json";

/// Writes [`PATH`] from the types in `shared/src/events`.
pub fn write() -> Result<()> {
    let arguments = ["run", "--quiet", "--package", "sandbox", "--bin", "event-schema"];
    let schema = Tool::cargo(&arguments).output()?;
    std::fs::write(repository_root().join(PATH), schema).context(PATH)
}
