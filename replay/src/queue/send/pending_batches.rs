//! Divides the messages of a file that were not sent yet into batches that SQS accepts.

use std::io::{Seek, SeekFrom};

use anyhow::{Context, Result};
use shared::queues::{MAX_BATCH_BYTES, Message};

use crate::queue::message_file::{Lines, parse_line};
use crate::queue::send::check::CheckedFile;
use crate::queue::send::checkpoint::SendCheckpoint;
use crate::queue::send::message_key::{MessageKey, MessageKeys};
use crate::rate::batch_entries;

pub struct PendingBatches {
    lines: Lines,
    keys: MessageKeys,
    /// A message that did not fit into the last batch.
    next: Option<(MessageKey, Message)>,
    max_entries: usize,
    /// Number of messages that may still be sent.
    remaining: usize,
    is_fifo: bool,
}

impl PendingBatches {
    pub fn new(checked: CheckedFile, is_fifo: bool, max: Option<usize>, rate: Option<u32>) -> Result<Self> {
        let mut file = checked.file;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self {
            lines: Lines::new(file),
            keys: MessageKeys::default(),
            next: None,
            max_entries: if is_fifo { 1 } else { batch_entries(rate) },
            remaining: max.unwrap_or(usize::MAX),
            is_fifo,
        })
    }

    pub fn next(&mut self, checkpoint: &SendCheckpoint) -> Result<Option<Vec<(MessageKey, Message)>>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.max_entries.min(self.remaining) {
            let Some((key, message)) = self.next_message(checkpoint)? else { break };
            bytes += message.bytes();
            if !batch.is_empty() && bytes > MAX_BATCH_BYTES {
                self.next = Some((key, message));
                break;
            }
            batch.push((key, message));
        }
        self.remaining -= batch.len();
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn next_message(&mut self, checkpoint: &SendCheckpoint) -> Result<Option<(MessageKey, Message)>> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        while let Some((number, line)) = self.lines.next()? {
            let message = parse_line(&line).with_context(|| format!("line {number}"))?;
            let Some(message) = message else { continue };
            let key = self.keys.next(&message);
            if checkpoint.is_accepted(key) {
                continue;
            }
            let deduplication_id = self.is_fifo.then(|| checkpoint.deduplication_id(key));
            return Ok(Some((key, message.to_message(deduplication_id)?)));
        }
        Ok(None)
    }
}
