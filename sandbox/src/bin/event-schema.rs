//! Prints the JSON Schema of the events, for `cargo xtask schema`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(shared::events::schema::event_schema().as_bytes())
}
