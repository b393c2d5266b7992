//! Saving a queue to a file: a message a line, whole ([`QueuedMessage`]). A message is deleted from the queue, where that
//! is asked for, only once its line is on the disk.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use shared::time::Clock;
use uuid::Uuid;

use crate::filter::Filter;
use crate::inspect::refuse_source_queue;
use crate::messages::QueuedMessage;
use crate::queues::QueueDescription;
use crate::receiving::{Received, Receiving, delete, key};
use crate::stop::Stop;

/// How long messages that were received stay invisible.
const HOLD: Duration = Duration::from_secs(900);
/// A line is shorter: SQS's 1 MiB, with every character escaped, and attributes.
pub const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// A file that messages are saved to.
pub struct Target {
    out: BufWriter<Box<dyn Write>>,
    /// To wait until it is on the disk; `None` for a pipe.
    file: Option<File>,
    known: HashSet<Uuid>,
    /// Messages that the file had before.
    pub before: usize,
    /// Whether its last line was cut off, and has been taken off.
    pub was_cut_off: bool,
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
    /// Messages that could not be deleted: they are in the file and in the queue.
    pub undeleted: usize,
    /// Whether there may be more than were seen.
    pub may_be_more: bool,
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
        Self { out: BufWriter::new(out), file, known: HashSet::new(), before: 0, was_cut_off: false }
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
                bail!("is there already; with --resume it goes on where it ends")
            }
            file => file?,
        };
        Ok(Self::new(Box::new(file.try_clone()?), Some(file)))
    }

    /// A file of an earlier run, to go on where it ends. Where its last line was cut off, takes it off: its message is
    /// still in the queue, since its line never was on the disk.
    pub fn resume(path: &Path) -> Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let mut known = HashSet::new();
        let mut whole = 0;
        let mut was_cut_off = false;
        {
            let mut reader = BufReader::new(&mut file);
            let mut line = Vec::new();
            for number in 1_usize.. {
                line.clear();
                let read = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
                match QueuedMessage::from_line(&line) {
                    _ if read == 0 => break,
                    Ok(None) => {}
                    Ok(Some(message)) if line.ends_with(b"\n") => {
                        known.insert(key(&message.message_id));
                    }
                    Err(reason) if line.ends_with(b"\n") => bail!("line {number}: {reason}"),
                    // Cut off, perhaps right before its end.
                    _ => {
                        was_cut_off = true;
                        break;
                    }
                }
                whole += read as u64;
            }
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        let before = known.len();
        Ok(Self { known, before, was_cut_off, ..Self::new(Box::new(file.try_clone()?), Some(file)) })
    }

    /// Whether it is a pipe or a device, of which nobody knows whether it keeps what is written.
    pub fn is_fleeting(&self) -> bool {
        self.file.is_none()
    }

    /// Writes messages that are not there yet; answers how many.
    fn write(&mut self, messages: &[Received], onto_disk: bool) -> Result<usize> {
        let mut written = 0;
        for Received { message, .. } in messages {
            if self.known.contains(&key(&message.message_id)) {
                continue;
            }
            serde_json::to_writer(&mut self.out, message)?;
            self.out.write_all(b"\n")?;
            written += 1;
        }
        if onto_disk {
            self.sync()?;
        }
        Ok(written)
    }

    fn sync(&mut self) -> Result<()> {
        self.out.flush()?;
        self.file.as_ref().map_or(Ok(()), File::sync_data)?;
        Ok(())
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
                (Category::Eof, _) => "is cut off".to_owned(),
                (Category::Syntax | Category::Io, _) => {
                    format!("is no JSON from column {} on", error.inner().column())
                }
                (Category::Data, path) if FIELDS.contains(&path.split('.').next().unwrap_or_default()) => {
                    format!("{path}: is not as replay save writes it")
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

/// Writes the messages of a queue to a file, and gives them back, or deletes them once they are on the disk.
pub async fn save(
    (sqs, queue): (&Client, &QueueDescription),
    (target, deletes): (Target, bool),
    filter: &Filter,
    clock: &Clock,
    stop: &Stop,
    progress: &dyn Fn(usize),
) -> Saved {
    let receiving = match refuse_source_queue(queue).and_then(|()| Receiving::new(sqs, queue, HOLD, stop)) {
        Ok(receiving) => receiving,
        Err(error) => return Saved { error: Some(error), ..Saved::default() },
    };
    let outcome = RefCell::new(Saved::default());
    let target = RefCell::new(target);
    let work = async |receiving: &Receiving<'_>, received: Vec<Received>| {
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
    outcome.may_be_more = report.may_be_more;
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
        assert_eq!(reason(br#"{"messageId":"1","body":{"a""#), "is cut off");
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
}
