//! The checkpoint: a file next to the sent file that records which messages were sent to which
//! queue.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use shared::events::unique_id;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::private_file::private_file;
use crate::queue::description::QueueDescription;
use crate::queue::message_file::{Lines, lock};
use crate::queue::send::message_key::MessageKey;

/// What was sent to a queue. The file gets an entry before each call and another one after it. No
/// entry waits for the disk, so that the last ones may be missing after the machine crashed.
#[derive(Debug)]
pub struct SendCheckpoint {
    path: PathBuf,
    header: Header,
    states: HashMap<MessageKey, State>,
    /// `None` in a dry run.
    file: Option<File>,
    /// The header is not written yet.
    is_new: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    /// The run ended before SQS's answer was written down.
    InDoubt,
    Accepted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    queue: String,
    /// Part of the deduplication ids. Stays the same after an interruption.
    run: String,
}

/// Keys in hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    Begun(Vec<String>),
    Accepted(Vec<String>),
    /// SQS accepted none of them, so they are as new.
    Refused(Vec<String>),
}

impl SendCheckpoint {
    /// Opens the checkpoint of the file `path`, empty if there is none. For sending, the checkpoint
    /// is locked against other processes. Rejects the checkpoint of another queue.
    pub fn open(path: &Path, queue: &QueueDescription, is_dry_run: bool, clock: &Clock) -> Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".checkpoint");
        let path = PathBuf::from(name);
        let header = Header { queue: queue.arn.clone(), run: unique_id(clock.now()) };
        let mut checkpoint = Self { path, header, states: HashMap::new(), file: None, is_new: true };
        let name = checkpoint.path.display().to_string();
        checkpoint.read(!is_dry_run).map_err(|error| error.context(name))?;
        Ok(checkpoint)
    }

    fn read(&mut self, writes: bool) -> Result<()> {
        let other_file = || {
            CommandError::invalid_input(
                "not a checkpoint of replay send. Remove it, or rename the file to send",
            )
        };
        let opened = private_file().read(true).append(writes).create(writes).open(&self.path);
        let file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        if !file.metadata()?.is_file() {
            return Err(other_file());
        }
        if writes {
            lock(&file)?;
        }
        let mut complete_bytes = 0;
        let mut lines = Lines::new(file.try_clone()?);
        while let Some((number, line)) = lines.next()? {
            let is_complete = line.ends_with(b"\n");
            if number == 1 {
                let header = serde_json::from_slice::<Header>(&line).ok().filter(|_| is_complete);
                let header = header.ok_or_else(other_file)?;
                if header.queue != self.header.queue {
                    return Err(CommandError::invalid_input(format!(
                        "messages of this file were sent to {}. To send them to another queue too, remove the \
                         checkpoint",
                        header.queue
                    )));
                }
                self.header = header;
                self.is_new = false;
            } else if is_complete {
                match serde_json::from_slice(&line) {
                    Ok(Entry::Begun(keys)) => self.set(&keys, State::InDoubt),
                    Ok(Entry::Accepted(keys)) => self.set(&keys, State::Accepted),
                    Ok(Entry::Refused(keys)) => self.set(&keys, State::New),
                    Err(_) => return Err(other_file()),
                }
            } else {
                // An incomplete last line. The entry before it says that the messages are in doubt.
                break;
            }
            complete_bytes += line.len() as u64;
        }
        if writes {
            file.set_len(complete_bytes)?;
            self.file = Some(file);
        }
        Ok(())
    }

    fn set(&mut self, keys: &[String], state: State) {
        let keys = keys.iter().filter_map(|key| MessageKey::from_str_radix(key, 16).ok());
        self.states.extend(keys.map(|key| (key, state)));
    }

    fn count(&self, keys: &[MessageKey], state: State) -> usize {
        keys.iter().filter(|key| self.states.get(key) == Some(&state)).count()
    }

    /// Number of messages that SQS accepted in an earlier run.
    pub fn accepted(&self, keys: &[MessageKey]) -> usize {
        self.count(keys, State::Accepted)
    }

    /// Number of messages that SQS may have accepted in an earlier run. They are sent again.
    pub fn in_doubt(&self, keys: &[MessageKey]) -> usize {
        self.count(keys, State::InDoubt)
    }

    pub fn is_accepted(&self, key: MessageKey) -> bool {
        self.states.get(&key) == Some(&State::Accepted)
    }

    /// The deduplication id of a message: the same in every run.
    pub fn deduplication_id(&self, key: MessageKey) -> String {
        format!("{}-{key:032x}", self.header.run)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn write(
        &mut self,
        entry: impl FnOnce(Vec<String>) -> Entry,
        keys: &[MessageKey],
    ) -> anyhow::Result<()> {
        let keys = keys.iter().map(|key| format!("{key:032x}")).collect();
        self.append(&entry(keys)).with_context(|| self.path.display().to_string())
    }

    fn append(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let mut lines = String::new();
        if self.is_new {
            lines += &format!("{}\n", serde_json::to_string(&self.header)?);
        }
        lines += &format!("{}\n", serde_json::to_string(entry)?);
        let mut file = self.file.as_ref().context("the checkpoint is not open")?;
        file.write_all(lines.as_bytes())?;
        self.is_new = false;
        Ok(())
    }
}
