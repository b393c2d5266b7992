//! The binary `xtask`.

use anyhow::Result;
use clap::Parser;

/// Contributors' tasks. Run them at the root of the repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Write the JSON Schema of the events to events/schema/event.json.
    Schema,
    /// Write docs/permissions.md from template.yaml.
    Permissions,
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Schema => xtask::schema::write(),
        Task::Permissions => xtask::permissions::write(),
    }
}
