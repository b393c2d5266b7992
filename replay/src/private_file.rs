//! Files that only their owner can read, because they say something about users.

use std::fs::OpenOptions;

/// Options for opening a file. If it is created, only its owner can read it.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn created_file_is_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let file = private_file().write(true).create(true).open(folder.path().join("x")).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
