//! The checkpoint of an import: its position and counts, in a file.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use shared::text::printable;

use crate::error::{CommandError, Result};
use crate::private_file::private_file;

/// Counts of an import so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImportCounts {
    pub pages: usize,
    pub users: usize,
    /// Profiles written. In a dry run: profiles that would be written.
    pub written: usize,
    /// Users who already had a profile.
    pub had_profile: usize,
    /// Users who were erased, and whose erasure marker has not expired.
    pub erased: usize,
    /// Users who get no profile, by status or by the value that is missing.
    pub skipped: BTreeMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportCheckpoint {
    pub user_pool_id: String,
    pub table: String,
    /// Cognito's token for the next page. `None` before the first page and after the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination_token: Option<String>,
    /// True if the import is complete.
    pub done: bool,
    pub counts: ImportCounts,
}

impl ImportCheckpoint {
    /// The checkpoint before the first page.
    pub fn start(user_pool_id: &str, table: &str) -> Self {
        Self {
            user_pool_id: user_pool_id.to_owned(),
            table: table.to_owned(),
            pagination_token: None,
            done: false,
            counts: ImportCounts::default(),
        }
    }

    /// Reads a file. If it does not exist, the import starts with the first page. Rejects the
    /// checkpoint of another user pool or table.
    pub fn read(path: &Path, user_pool_id: &str, table: &str) -> Result<Self> {
        let name = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::start(user_pool_id, table)),
            Err(error) => return Err(CommandError::invalid_input(format!("{name}: {error}"))),
        };
        let checkpoint: Self = serde_json::from_str(&text).map_err(|_| {
            CommandError::invalid_input(format!("{name}: not a checkpoint of an import. Pass another file"))
        })?;
        let stored = (&*checkpoint.user_pool_id, &*checkpoint.table);
        for (what, stored, given) in [("user pool", stored.0, user_pool_id), ("table", stored.1, table)] {
            if stored != given {
                let stored = printable(stored);
                return Err(CommandError::invalid_input(format!(
                    "{name}: the checkpoint is for the {what} {stored}, not {given}. Pass another file"
                )));
            }
        }
        Ok(checkpoint)
    }

    /// Replaces the file. After a crash it has either the old or the new content.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let write = || -> std::io::Result<()> {
            let mut file = private_file().write(true).create(true).truncate(true).open(&part)?;
            file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&part, path)
        };
        write().with_context(|| format!("{}: cannot write the checkpoint", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_survives_writing_and_is_for_one_pool_and_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("import.json");
        let start = ImportCheckpoint::start("eu-central-1_A", "table");
        assert_eq!(ImportCheckpoint::read(&path, "eu-central-1_A", "table").unwrap(), start);
        let mut later = ImportCheckpoint { pagination_token: Some("next".into()), ..start };
        later.counts.skipped.insert("UNCONFIRMED".into(), 2);
        later.write(&path).unwrap();
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777, 0o600);
        assert_eq!(ImportCheckpoint::read(&path, "eu-central-1_A", "table").unwrap(), later);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file remains");
        for (pool, table, expected) in [
            ("eu-central-1_B", "table", "user pool eu-central-1_A"),
            ("eu-central-1_A", "other", "table table"),
        ] {
            let error = ImportCheckpoint::read(&path, pool, table).unwrap_err().to_string();
            assert!(
                error.contains("import.json: the checkpoint is for the") && error.contains(expected),
                "{error}"
            );
        }
        std::fs::write(&path, "{}").unwrap();
        assert!(ImportCheckpoint::read(&path, "eu-central-1_A", "table").is_err());
    }
}
