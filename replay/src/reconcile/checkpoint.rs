//! The checkpoint: the records of a run, one per line of a file. Only subs, names of attributes and of
//! groups are in it.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use shared::text::printable;

use super::state::{Record, Start, State};
use crate::error::{CommandError, Result};
use crate::private_file::private_file;

/// The state of a run, and the file that keeps its records.
#[derive(Debug)]
pub struct Log {
    state: State,
    file: Option<(PathBuf, File)>,
}

impl Log {
    /// Reads the file if there is one, or begins it. Rejects the checkpoint of another user pool, table or
    /// rules, and other files. With `is_new`, a comparison that is complete starts over.
    pub fn open(path: Option<&Path>, start: Start, is_new: bool) -> Result<Self> {
        let mut log = Self { state: State::default(), file: None };
        if let Some(path) = path {
            log.read(path, &start)?;
        }
        if is_new && log.state.is_compared {
            log.clear()?;
        }
        if log.state.start.is_none() {
            log.add(Record::Start(start))?;
        }
        Ok(log)
    }

    /// Reads all complete lines. A crash can leave an incomplete one at the end, which is overwritten.
    fn read(&mut self, path: &Path, start: &Start) -> Result<()> {
        let name = path.display();
        let cannot = |error: std::io::Error| CommandError::invalid_input(format!("{name}: {error}"));
        let mut file = match private_file().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = private_file().read(true).write(true).create_new(true).open(path);
                self.file = Some((path.to_owned(), file.map_err(cannot)?));
                return Ok(());
            }
            Err(error) => return Err(cannot(error)),
        };
        let not_a_checkpoint = || {
            CommandError::invalid_input(format!(
                "{name}: not a checkpoint of replay reconcile. Pass another file"
            ))
        };
        let (mut reader, mut line, mut complete) = (BufReader::new(&mut file), Vec::new(), 0);
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line).map_err(cannot)?;
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let record: Record = serde_json::from_slice(text).map_err(|_| not_a_checkpoint())?;
            match (&record, &self.state.start) {
                (Record::Start(stored), None) => check_start(path, stored, start)?,
                (Record::Start(_), Some(_)) | (_, None) => return Err(not_a_checkpoint()),
                (_, Some(_)) => {}
            }
            self.state.apply(record);
            complete += u64::try_from(line.len()).unwrap_or_default();
        }
        // A file without any complete line is not one of this command, unless it is empty.
        if complete == 0 && !line.is_empty() {
            return Err(not_a_checkpoint());
        }
        file.set_len(complete).map_err(cannot)?;
        file.seek(SeekFrom::End(0)).map_err(cannot)?;
        self.file = Some((path.to_owned(), file));
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        if let Some((path, file)) = &mut self.file {
            let cleared = file.set_len(0).and_then(|()| file.rewind());
            cleared.with_context(|| format!("{}: cannot write the checkpoint", path.display()))?;
        }
        self.state = State::default();
        Ok(())
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Adds a record to the file, then to the state.
    pub fn add(&mut self, record: Record) -> anyhow::Result<()> {
        if let Some((path, file)) = &mut self.file {
            let mut line = serde_json::to_vec(&record)?;
            line.push(b'\n');
            file.write_all(&line)
                .with_context(|| format!("{}: cannot write the checkpoint", path.display()))?;
        }
        self.state.apply(record);
        Ok(())
    }

    /// Removes the file, because nothing is left to do.
    pub fn remove(self) -> anyhow::Result<()> {
        match self.file {
            Some((path, _)) => std::fs::remove_file(&path)
                .with_context(|| format!("{}: cannot remove the checkpoint", path.display())),
            None => Ok(()),
        }
    }
}

fn check_start(path: &Path, stored: &Start, given: &Start) -> Result<()> {
    let name = path.display();
    let named =
        [("user pool", &stored.user_pool_id, &given.user_pool_id), ("table", &stored.table, &given.table)];
    for (what, stored, given) in named {
        if stored != given {
            let stored = printable(stored);
            return Err(CommandError::invalid_input(format!(
                "{name}: the checkpoint is for the {what} {stored}, not {given}. Pass another file"
            )));
        }
    }
    if stored.group_rules != given.group_rules {
        return Err(CommandError::invalid_input(format!(
            "{name}: the checkpoint is for other group rules. Pass another file"
        )));
    }
    Ok(())
}
