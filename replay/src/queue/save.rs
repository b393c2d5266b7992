//! Saving a queue to a file: a message a line, whole ([`QueuedMessage`]). A message is deleted from the queue, where that
//! is asked for, only once its line is on the disk.

pub mod command;

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use shared::time::Clock;
use uuid::Uuid;

use crate::queue::filter::Filter;
use crate::error::InvalidInput;
use crate::queue::message::QueuedMessage;
use crate::queue::description::QueueDescription;
use crate::queue::reader::{Received, QueueReader, delete, key};
use crate::interrupt::StopSignal;

/// How long messages that were received stay invisible.
const HOLD: Duration = Duration::from_secs(900);
/// A line is shorter: SQS's 1 MiB, with every character escaped, and attributes.
pub const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// A file that messages are saved to.
pub struct Target {
    out: Box<dyn Write>,
    /// To wait until it is on the disk; `None` for a pipe.
    file: Option<File>,
    known: HashSet<Uuid>,
    is_broken: bool,
    /// Messages that the file had before.
    pub before: usize,
    /// Where its last line lies now, which was cut off.
    pub cut_off: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Saved {
    /// Messages written.
    pub saved: usize,
    /// Messages that the file had before.
    pub known: usize,
    /// Messages that were not meant.
    pub others: usize,
    /// Messages deleted from the queue.
    pub deleted: usize,
    /// Messages that were perhaps not deleted: they are in the file, and perhaps in the queue.
    pub undeleted: usize,
    /// What was not seen, for people.
    pub unseen_text: String,
    /// Messages that could not be made visible at once, and will be in 15 minutes at most.
    pub still_invisible: usize,
    /// What ended it before its time.
    pub error: Option<anyhow::Error>,
}

impl Target {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::new(Box::new(std::io::stdout()), None)
    }

    fn new(out: Box<dyn Write>, file: Option<File>) -> Self {
        Self { out, file, known: HashSet::new(), is_broken: false, before: 0, cut_off: None }
    }

    /// A new file, readable by its owner alone: it holds personal data.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(path) {
            // A device, such as a pipe with a name.
            Err(_) if path.metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) => {
                return Ok(Self::new(Box::new(OpenOptions::new().write(true).open(path)?), None));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return InvalidInput::err("is there already; with --resume it goes on where it ends");
            }
            file => file?,
        };
        lock(&file)?;
        Ok(Self::new(Box::new(file.try_clone()?), Some(file)))
    }

    /// A file of an earlier run, to go on where it ends. A last line that was cut off is moved to a file beside it; its
    /// message is still in the queue, since its line never was on the disk. Nothing is done to a file that is not of
    /// `replay save`.
    pub fn resume(path: &Path) -> Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        lock(&file)?;
        let mut known = HashSet::new();
        let mut whole = 0;
        let mut tail = Vec::new();
        let mut lines = Lines::new(file.try_clone()?);
        while let Some((number, line)) = lines.next()? {
            match QueuedMessage::from_line(&line) {
                Ok(message) => {
                    known.extend(message.map(|message| key(&message.message_id)));
                    if !line.ends_with(b"\n") {
                        file.write_all(b"\n")?;
                    }
                    whole += line.len() as u64;
                }
                Err(_) if is_cut_off(&line) => tail = line,
                Err(reason) => return InvalidInput::err(format!("line {number}: {reason}")),
            }
        }
        let mut cut_off = None;
        if !tail.is_empty() {
            let mut name = path.as_os_str().to_owned();
            name.push(".cut-off");
            let beside = PathBuf::from(name);
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&beside)?
                .write_all(&[&tail[..], b"\n"].concat())?;
            file.set_len(whole)?;
            cut_off = Some(beside);
        }
        let before = known.len();
        Ok(Self { known, before, cut_off, ..Self::new(Box::new(file.try_clone()?), Some(file)) })
    }

    /// Whether it is a pipe or a device, of which nobody knows whether it keeps what is written.
    pub fn is_fleeting(&self) -> bool {
        self.file.is_none()
    }

    /// Writes messages that are not there yet; answers how many. After an error it writes no more: what follows would stand
    /// behind half a line.
    fn write(&mut self, messages: &[Received], onto_disk: bool) -> Result<usize> {
        if self.is_broken {
            bail!("could not be written before");
        }
        let (mut lines, mut written) = (Vec::new(), 0);
        for Received { message, .. } in messages {
            if !self.known.contains(&key(&message.message_id)) {
                serde_json::to_writer(&mut lines, message)?;
                lines.push(b'\n');
                written += 1;
            }
        }
        self.is_broken = true;
        self.out.write_all(&lines)?;
        if onto_disk {
            self.sync()?;
        }
        self.is_broken = false;
        Ok(written)
    }

    fn sync(&mut self) -> Result<()> {
        self.out.flush()?;
        self.file.as_ref().map_or(Ok(()), File::sync_data)?;
        Ok(())
    }
}

/// Nobody else may write to a file meanwhile.
pub(crate) fn lock(file: &File) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(std::fs::TryLockError::WouldBlock) => bail!("another replay is at work on it"),
        // A file system without locks.
        Err(std::fs::TryLockError::Error(_)) => Ok(()),
    }
}

/// Whether a last line begins as ours do, and ends too early.
fn is_cut_off(line: &[u8]) -> bool {
    let is_eof = |text| serde_json::from_str::<serde_json::Value>(text).is_err_and(|error| error.is_eof());
    let begins_as_ours = line.starts_with(b"{\"messageId\":\"") || b"{\"messageId\":\"".starts_with(line);
    // Perhaps in the middle of a character.
    let text = String::from_utf8_lossy(line);
    begins_as_ours && !line.ends_with(b"\n") && is_eof(&text)
}

/// The lines of a file, from 1 on, with their ends. Memory holds one at a time.
pub struct Lines {
    reader: BufReader<File>,
    number: usize,
}

impl Lines {
    /// Of the file at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self::new(File::open(path)?))
    }

    pub(crate) fn new(file: File) -> Self {
        Self { reader: BufReader::new(file), number: 0 }
    }

    /// The next one. An error where it is longer than any message.
    #[expect(clippy::should_implement_trait, reason = "it can fail")]
    pub fn next(&mut self) -> Result<Option<(usize, Vec<u8>)>> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        self.number += 1;
        if read as u64 == MAX_LINE_BYTES {
            return InvalidInput::err(format!(
                "line {}: more than 16 MiB: is it a file of replay save?",
                self.number
            ));
        }
        Ok((read > 0).then_some((self.number, line)))
    }
}

/// The fields of a line.
const FIELDS: [&str; 4] = ["messageId", "attributes", "messageAttributes", "body"];

impl QueuedMessage {
    /// The message of a line; `None` of one that is empty. The reason quotes nothing of it.
    pub fn from_line(line: &[u8]) -> Result<Option<Self>, String> {
        let text = std::str::from_utf8(line).map_err(|_| "is no text in UTF-8".to_owned())?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
        if text.is_empty() {
            return Ok(None);
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let message: Result<Self, _> = serde_path_to_error::deserialize(&mut deserializer);
        let message = message.map_err(|error| {
            use serde_json::error::Category;
            match (error.inner().classify(), error.path().to_string().as_str()) {
                (Category::Eof, _) => "is no whole message; each line is one (jq -c)".to_owned(),
                (Category::Syntax | Category::Io, _) => {
                    format!("is no JSON from column {} on", error.inner().column())
                }
                // The rest of the path may be anybody's key.
                (Category::Data, path) if FIELDS.contains(&field(path)) => {
                    format!("{}: is not as replay save writes it", field(path))
                }
                (Category::Data, _) => {
                    format!("is no message of replay save: expected {}", FIELDS.join(", "))
                }
            }
        })?;
        deserializer.end().map_err(|_| "has something behind the message".to_owned())?;
        Ok(Some(message))
    }
}

fn field(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// Writes the messages of a queue to a file, and gives them back, or deletes them once they are on the disk.
pub async fn save(
    (sqs, queue): (&Client, &QueueDescription),
    (target, deletes): (Target, bool),
    filter: &Filter,
    clock: &Clock,
    stop: &StopSignal,
    progress: &dyn Fn(usize),
) -> Saved {
    let receiving = match QueueReader::new((sqs, queue), HOLD, clock, stop) {
        Ok(receiving) => receiving,
        Err(error) => return Saved { error: Some(error), ..Saved::default() },
    };
    let outcome = RefCell::new(Saved::default());
    let target = RefCell::new(target);
    let work = async |receiving: &QueueReader<'_>, received: Vec<Received>| {
        let (meant, others): (Vec<_>, Vec<_>) =
            received.into_iter().partition(|received| filter.is_met_by(&received.message, clock));
        outcome.borrow_mut().others += others.len();
        receiving.hold(others)?;
        let written = match target.borrow_mut().write(&meant, deletes) {
            Ok(written) => written,
            Err(error) => {
                receiving.hold(meant)?;
                return Err(error.context("the file"));
            }
        };
        {
            let mut outcome = outcome.borrow_mut();
            outcome.saved += written;
            outcome.known += meant.len() - written;
            progress(outcome.saved + outcome.known);
        }
        if !deletes {
            return receiving.hold(meant);
        }
        let receipts: Vec<&str> = meant.iter().map(|received| received.receipt.as_str()).collect();
        let undeleted = delete(sqs, &queue.url, &receipts).await;
        let failed = undeleted.as_ref().map_or(meant.len(), Vec::len);
        outcome.borrow_mut().undeleted += failed;
        outcome.borrow_mut().deleted += meant.len() - failed;
        if failed > 0 {
            receiving.hold(meant)?;
            undeleted?;
            bail!("SQS did not delete all that was saved");
        }
        Ok(())
    };
    let report = receiving.each(work).await;
    let mut outcome = outcome.into_inner();
    if !stop.is_requested() && report.error.is_none() {
        outcome.unseen_text = report.unseen_text(queue);
    }
    outcome.still_invisible = report.still_invisible;
    let synced = target.into_inner().sync().context("the file").err();
    outcome.error = report.error.or(synced);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_message_is_told_why() {
        let reason = |line: &[u8]| QueuedMessage::from_line(line).unwrap_err();
        assert_eq!(
            reason(br#"{"messageId":"1","body":{"a""#),
            "is no whole message; each line is one (jq -c)"
        );
        assert_eq!(reason(b"a,b,c"), "is no JSON from column 1 on");
        assert!(reason(br#"{"Messages": []}"#).starts_with("is no message of replay save"));
        assert!(reason(br#"{"body": {}}"#).starts_with("is no message of replay save"));
        assert_eq!(reason(br#"{"messageId":"1","body":7}"#), "body: is not as replay save writes it");
        assert_eq!(reason(br#"{"messageId":"1","body":{}} {}"#), "has something behind the message");
        assert_eq!(reason(&[0x1f, 0x8b]), "is no text in UTF-8");
        let unknown = br#"{"messageId":"1","messageAttribute":{},"body":{}}"#;
        assert_eq!(
            reason(unknown),
            "is no message of replay save: expected messageId, attributes, messageAttributes, body"
        );
        assert_eq!(QueuedMessage::from_line(b" \r\n"), Ok(None));
    }

    #[test]
    fn a_line_that_was_cut_off_is_one_of_ours() {
        for line in ["{", "{\"mess", "{\"messageId\":\"1\",\"body\":{\"a"] {
            assert!(is_cut_off(line.as_bytes()), "{line}");
        }
        assert!(is_cut_off(&"{\"messageId\":\"1\",\"body\":\"\u{e9}".as_bytes()[..27]), "in a character");
        for line in [
            "secret",
            "{\"messageId\":\"1\",\"body\":{}}",
            "{\"messageId\":\"1\",\"bo\n",
            "{\"a\":",
            "{\"messageId\":\"1\" x",
        ] {
            assert!(!is_cut_off(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_file_of_ours_is_gone_on_with_and_no_other_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters.ndjson");
        let line = |id: &str| format!("{{\"messageId\":\"{id}\",\"body\":{{}}}}");
        let resumed = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let target = Target::resume(&path).map(|target| target.before);
            (target.map_err(|error| error.to_string()), std::fs::read_to_string(&path).unwrap())
        };
        let (one, two) = (line("1"), line("2"));
        assert_eq!(
            resumed(&format!("{one}\n{two}")),
            (Ok(2), format!("{one}\n{two}\n")),
            "an editor took the end"
        );
        assert_eq!(resumed(&format!("{one}\n{}", &two[..20])), (Ok(1), format!("{one}\n")));
        let aside = std::fs::read_to_string(folder.path().join("letters.ndjson.cut-off")).unwrap();
        assert_eq!(aside, format!("{}\n", &two[..20]));
        for other in ["one line", "{\"a\":1}", "x\n"] {
            let (error, text) = resumed(other);
            assert!(error.is_err() && text == other, "{other}");
        }
        let long = format!("{one}\n{}\n{two}\n", "x".repeat(17 * 1024 * 1024));
        let (error, text) = resumed(&long);
        assert!(error.unwrap_err().contains("more than 16 MiB") && text.len() == long.len());
    }
}
