//! Prints `docs/permissions.md`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(tests::template::Template::read().permissions().as_bytes())
}
