//! Prints `docs/permissions.md`.

fn main() {
    print!("{}", tests::template::Template::read().permissions());
}
