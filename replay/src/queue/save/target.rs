//! The file, device or pipe that messages are saved to.

use std::collections::HashSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::bail;
use uuid::Uuid;

use crate::error::{CommandError, Result};
use crate::private_file::private_file;
use crate::queue::message_file::{Lines, lock, parse_line};
use crate::queue::reader::{Received, message_uuid};

const FILE_EXISTS: &str = "the file exists. Pass --resume to continue it, or choose another name";

pub struct SaveTarget {
    out: Box<dyn Write>,
    /// The same file, to wait until it is on the disk, and its path. `None` for a pipe or a device.
    file: Option<(File, PathBuf)>,
    saved: HashSet<Uuid>,
    has_failed: bool,
    /// Messages that the file contained when it was opened.
    pub saved_before: usize,
    /// File that holds the incomplete last line of an earlier run.
    pub incomplete_line: Option<PathBuf>,
}

impl SaveTarget {
    pub fn stdout() -> Self {
        Self::new(Box::new(std::io::stdout()), None)
    }

    fn new(out: Box<dyn Write>, file: Option<(File, PathBuf)>) -> Self {
        Self { out, file, saved: HashSet::new(), has_failed: false, saved_before: 0, incomplete_line: None }
    }

    /// Creates a file. Only its owner can read it, because it contains personal data.
    pub fn create(path: &Path) -> Result<Self> {
        let file = match private_file().write(true).create_new(true).open(path) {
            // A device, such as a named pipe.
            Err(_) if path.metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) => {
                return Ok(Self::new(Box::new(OpenOptions::new().write(true).open(path)?), None));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(CommandError::invalid_input(FILE_EXISTS));
            }
            file => file?,
        };
        lock(&file)?;
        Ok(Self::new(Box::new(file.try_clone()?), Some((file, path.to_owned()))))
    }

    /// Opens a file of an earlier run and continues it. An incomplete last line is moved to a file
    /// next to it. The message of that line is still in the queue, because its line was never on
    /// the disk. A file that is not one of `replay save` stays unchanged.
    pub fn resume(path: &Path) -> Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        lock(&file)?;
        let SavedLines { saved, complete_bytes, incomplete, has_line_break } = SavedLines::read(&file)?;
        if !has_line_break {
            file.write_all(b"\n")?;
        }
        let mut incomplete_line = None;
        if !incomplete.is_empty() {
            let mut name = path.as_os_str().to_owned();
            name.push(".cut-off");
            let moved_to = PathBuf::from(name);
            let line = [incomplete.as_slice(), b"\n"].concat();
            private_file().create(true).append(true).open(&moved_to)?.write_all(&line)?;
            file.set_len(complete_bytes)?;
            incomplete_line = Some(moved_to);
        }
        let saved_before = saved.len();
        Ok(Self {
            saved,
            saved_before,
            incomplete_line,
            ..Self::new(Box::new(file.try_clone()?), Some((file, path.to_owned())))
        })
    }

    /// Checks for a dry run whether [`Self::create`] or [`Self::resume`] would succeed. Changes nothing.
    /// Returns the messages that the file has.
    pub fn check(path: &Path, resumes: bool) -> Result<HashSet<Uuid>> {
        if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            return Err(CommandError::invalid_input("--delete needs a file, and this is none"));
        }
        if resumes {
            let file = OpenOptions::new().read(true).append(true).open(path)?;
            return Ok(SavedLines::read(&file)?.saved);
        }
        match path.metadata() {
            Ok(_) => Err(CommandError::invalid_input(FILE_EXISTS)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                // The file has no name, and is gone when it is closed.
                tempfile::tempfile_in(folder.unwrap_or(Path::new(".")))?;
                Ok(HashSet::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns `true` for a pipe or a device, which may not keep what is written.
    pub fn is_stream(&self) -> bool {
        self.file.is_none()
    }

    /// Writes the messages that are not in the file yet, and returns their number. After an error,
    /// every later call fails: the next line would follow an incomplete one.
    pub fn write(&mut self, messages: &[Received], waits_for_disk: bool) -> anyhow::Result<usize> {
        if self.has_failed {
            bail!("an earlier write failed");
        }
        let (mut lines, mut written) = (Vec::new(), 0);
        for Received { message, .. } in messages {
            if !self.saved.contains(&message_uuid(&message.message_id)) {
                serde_json::to_writer(&mut lines, message)?;
                lines.push(b'\n');
                written += 1;
            }
        }
        self.has_failed = true;
        self.out.write_all(&lines)?;
        if waits_for_disk {
            self.flush()?;
            self.check_path()?;
        }
        self.has_failed = false;
        Ok(written)
    }

    /// Removes the file if it is empty. It is locked until then, so no other run can have begun to write
    /// to it.
    pub fn remove_if_empty(self) -> std::io::Result<()> {
        match &self.file {
            Some((file, path)) if file.metadata()?.len() == 0 => std::fs::remove_file(path),
            _ => Ok(()),
        }
    }

    /// Fails if the path does not name the open file any more, because it was removed or replaced. Its
    /// messages would be lost when it is closed.
    fn check_path(&self) -> anyhow::Result<()> {
        match &self.file {
            Some((file, path)) if !is_same_file(&file.metadata()?, path) => {
                bail!("it was removed or replaced while it was written")
            }
            _ => Ok(()),
        }
    }

    /// Waits until everything is on the disk.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush()?;
        self.file.as_ref().map_or(Ok(()), |(file, _)| file.sync_data())?;
        Ok(())
    }
}

/// True if the path names the open file. Only Unix has inode numbers.
#[cfg(unix)]
fn is_same_file(open: &Metadata, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    path.metadata().is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino()))
}

#[cfg(not(unix))]
fn is_same_file(_open: &Metadata, path: &Path) -> bool {
    path.is_file()
}

/// What a file of an earlier run contains.
struct SavedLines {
    saved: HashSet<Uuid>,
    complete_bytes: u64,
    /// The last line, if it is incomplete.
    incomplete: Vec<u8>,
    /// The last complete line ends with a line break.
    has_line_break: bool,
}

impl SavedLines {
    fn read(file: &File) -> Result<Self> {
        let mut found =
            Self { saved: HashSet::new(), complete_bytes: 0, incomplete: Vec::new(), has_line_break: true };
        let mut lines = Lines::new(file.try_clone()?);
        while let Some((number, line)) = lines.next()? {
            match parse_line(&line) {
                Ok(message) => {
                    found.saved.extend(message.map(|message| message_uuid(&message.message_id)));
                    found.has_line_break = line.ends_with(b"\n");
                    found.complete_bytes += line.len() as u64;
                }
                Err(_) if is_incomplete(&line) => found.incomplete = line,
                Err(reason) => {
                    return Err(CommandError::invalid_input(format!("line {number}: {reason}")));
                }
            }
        }
        Ok(found)
    }
}

/// Returns `true` for the beginning of a line of `replay save`, not for a line of another tool.
fn is_incomplete(line: &[u8]) -> bool {
    let is_eof = |text| serde_json::from_str::<serde_json::Value>(text).is_err_and(|error| error.is_eof());
    let has_our_start = line.starts_with(b"{\"messageId\":\"") || b"{\"messageId\":\"".starts_with(line);
    // The line can end within a character.
    let text = String::from_utf8_lossy(line);
    has_our_start && !line.ends_with(b"\n") && is_eof(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_line_is_one_of_replay_save() {
        for line in ["{", "{\"mess", "{\"messageId\":\"1\",\"body\":{\"a"] {
            assert!(is_incomplete(line.as_bytes()), "{line}");
        }
        assert!(
            is_incomplete(&"{\"messageId\":\"1\",\"body\":\"\u{e9}".as_bytes()[..27]),
            "within a character"
        );
        for line in [
            "secret",
            "{\"messageId\":\"1\",\"body\":{}}",
            "{\"messageId\":\"1\",\"bo\n",
            "{\"a\":",
            "{\"messageId\":\"1\" x",
        ] {
            assert!(!is_incomplete(line.as_bytes()), "{line}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn file_that_was_removed_or_replaced_takes_no_more_messages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters.ndjson");
        let mut target = SaveTarget::create(&path).unwrap();
        assert_eq!(target.write(&[], true).unwrap(), 0);
        std::fs::write(folder.path().join("edited"), "").unwrap();
        std::fs::rename(folder.path().join("edited"), &path).unwrap();
        let error = target.write(&[], true).unwrap_err().to_string();
        assert_eq!(error, "it was removed or replaced while it was written");
        assert!(target.write(&[], false).is_err(), "and every later write fails");
        assert!(target.remove_if_empty().is_ok());
    }

    #[test]
    fn resume_continues_files_of_replay_save_and_changes_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters.ndjson");
        let line = |id: &str| format!("{{\"messageId\":\"{id}\",\"body\":{{}}}}");
        let resumed = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let target = SaveTarget::resume(&path).map(|target| target.saved_before);
            (target.map_err(|error| error.to_string()), std::fs::read_to_string(&path).unwrap())
        };
        let (one, two) = (line("1"), line("2"));
        assert_eq!(
            resumed(&format!("{one}\n{two}")),
            (Ok(2), format!("{one}\n{two}\n")),
            "an editor removed the last line break"
        );
        assert_eq!(resumed(&format!("{one}\n{}", &two[..20])), (Ok(1), format!("{one}\n")));
        let moved = std::fs::read_to_string(folder.path().join("letters.ndjson.cut-off")).unwrap();
        assert_eq!(moved, format!("{}\n", &two[..20]));
        for other in ["one line", "{\"a\":1}", "x\n"] {
            let (error, text) = resumed(other);
            assert!(error.is_err() && text == other, "{other}");
        }
        let long = format!("{one}\n{}\n{two}\n", "x".repeat(17 * 1024 * 1024));
        let (error, text) = resumed(&long);
        assert!(error.unwrap_err().contains("more than 16 MiB") && text.len() == long.len());
    }
}
