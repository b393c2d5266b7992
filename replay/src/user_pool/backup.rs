//! The file with the settings of a user pool from before a change.

use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings::PoolSettings;
use crate::error::{CommandError, Result};
use crate::private_file::private_file;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// How to restore the settings, for the reader of the file.
    pub about: String,
    pub user_pool_id: String,
    pub stack: String,
    pub taken_at: Timestamp,
    /// `UserPool` of DescribeUserPool.
    pub user_pool: Value,
    /// The answer of GetUserPoolMfaConfig.
    pub mfa_config: Value,
}

impl Backup {
    pub fn new(settings: &PoolSettings, stack: &str, path: &Path, now: Timestamp) -> Self {
        let about = format!(
            "Settings of a user pool before `replay` changed its triggers. To restore them with the triggers attached: \
             replay attach --stack {stack} --restore {file}. To restore them without the triggers: replay detach \
             --stack {stack} --restore {file}. Without --yes, the commands show what they would change.",
            file = quoted(path)
        );
        Self {
            about,
            user_pool_id: settings.text("Id").to_owned(),
            stack: stack.to_owned(),
            taken_at: now,
            user_pool: settings.pool.clone(),
            mfa_config: settings.mfa_config.clone(),
        }
    }

    /// Writes a new file that only its owner can read. An existing file is not overwritten.
    pub fn write(&self, path: &Path) -> Result<()> {
        let about = |error: std::io::Error| {
            let problem = match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    "the file exists already. Choose another name".to_owned()
                }
                _ => error.to_string(),
            };
            CommandError::failed(format!("nothing was changed: --backup {}: {problem}", path.display()))
        };
        let mut file = private_file().write(true).create_new(true).open(path).map_err(about)?;
        let text = serde_json::to_string_pretty(self)?;
        let written = file.write_all(format!("{text}\n").as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| {
            // A part of the settings must not be taken for all of them.
            let _ = std::fs::remove_file(path);
            about(error)
        })
    }

    /// Reads the file. Returns an error about the option `--restore`.
    pub fn read(path: &Path) -> Result<Self> {
        let about =
            |problem: String| CommandError::invalid_input(format!("--restore {}: {problem}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| about(error.to_string()))?;
        let backup: Self = serde_json::from_str(&text)
            .map_err(|error| about(format!("not a file of `replay attach` or `replay detach`: {error}")))?;
        if backup.user_pool["Id"] != backup.user_pool_id.as_str() {
            return Err(about("the file is incomplete: userPool.Id is not userPoolId".to_owned()));
        }
        match backup.missing_setting() {
            Some(missing) => Err(about(format!("the file is incomplete: it has no {missing}"))),
            None => Ok(backup),
        }
    }

    /// A setting that every user pool has, and this file does not. A restore would reset it.
    fn missing_setting(&self) -> Option<&'static str> {
        let text = |field: &'static str| (field, self.user_pool[field].is_string());
        let settings = [
            text("Arn"),
            text("Name"),
            ("Policies", self.user_pool["Policies"].is_object()),
            ("MfaConfiguration", self.mfa_config["MfaConfiguration"].is_string()),
        ];
        settings.into_iter().find(|(_, is_there)| !is_there).map(|(field, _)| field)
    }

    pub fn settings(&self) -> PoolSettings {
        PoolSettings { pool: self.user_pool.clone(), mfa_config: self.mfa_config.clone() }
    }
}

/// The path as a shell needs it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "-._/:+@,\\".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// The name of a backup file, with milliseconds: `user-pool-eu-central-1_EXAMPLE12-20260302T090000123Z.json`.
pub fn default_name(user_pool_id: &str, now: Timestamp) -> String {
    let time: String = format!("{now:.3}").chars().filter(|c| !"-:.".contains(*c)).collect();
    format!("user-pool-{user_pool_id}-{time}.json")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-03-02T09:00:00.123456Z";

    #[test]
    fn name_has_the_pool_and_the_time() {
        let expected = "user-pool-eu-central-1_EXAMPLE12-20260302T090000123Z.json";
        assert_eq!(default_name("eu-central-1_EXAMPLE12", NOW.parse().unwrap()), expected);
    }

    #[test]
    fn path_is_quoted_if_a_shell_would_split_it() {
        for (path, expected) in [
            ("b.json", "b.json"),
            ("/tmp/user-pool-eu-central-1_EXAMPLE12.json", "/tmp/user-pool-eu-central-1_EXAMPLE12.json"),
            ("my backups/b.json", "'my backups/b.json'"),
            ("ana's.json", "'ana'\\''s.json'"),
        ] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }

    #[test]
    fn backup_is_private_read_back_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.json");
        let settings = PoolSettings {
            pool: json!({
                "Id": "x", "Arn": "a", "Name": "n", "Policies": {}, "CreationDate": 1_772_442_000.5,
            }),
            mfa_config: json!({"MfaConfiguration": "OFF"}),
        };
        let backup = Backup::new(&settings, "shop", &path, NOW.parse().unwrap());
        backup.write(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let read = Backup::read(&path).unwrap();
        assert_eq!(read.settings(), settings);
        assert!(
            read.about.contains("replay attach --stack shop --restore")
                && read.about.contains("replay detach --stack shop --restore")
                && read.about.contains("backup.json")
        );
        let error = backup.write(&path).unwrap_err().to_string();
        assert!(error.ends_with("the file exists already. Choose another name"), "{error}");
        assert_eq!(Backup::read(&path).unwrap().settings(), settings);
    }

    #[test]
    fn other_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.json");
        assert!(Backup::read(&path).unwrap_err().to_string().contains("--restore"));
        for (text, expected) in [
            ("{}", "not a file of `replay attach`"),
            ("[", "not a file of `replay attach`"),
            (
                r#"{"about":"","userPoolId":"x","stack":"","takenAt":"2026-03-02T09:00:00Z","userPool":{},"mfaConfig":{}}"#,
                "incomplete: userPool.Id",
            ),
            (
                r#"{"about":"","userPoolId":"x","stack":"","takenAt":"2026-03-02T09:00:00Z","userPool":{"Id":"x","Arn":"a","Name":"n"},"mfaConfig":{}}"#,
                "incomplete: it has no Policies",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Backup::read(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
