//! Reading every message of a queue once, without removing it.
//!
//! A received message is invisible for a while. The reader keeps it invisible until it has seen all
//! messages, and then makes it visible again. The receipt handles for that, about 400 bytes each,
//! are in a temporary file: memory grows with the queue only by 16 bytes per message, for its id.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use futures_util::future::join_all;
use jiff::Timestamp;
use shared::queues::{MAX_BATCH_ENTRIES, Queue};
use shared::time::{Clock, plus_seconds};
use uuid::Uuid;

use crate::aws_error::{Service, aws_error};
use crate::interrupt::StopSignal;
use crate::queue::description::QueueDescription;
use crate::queue::message::QueuedMessage;

/// SQS: maximum number of invisible messages of a queue.
const MAX_INVISIBLE: usize = 120_000;
/// Concurrent ReceiveMessage calls. A FIFO queue gets one call at a time, so that its groups keep
/// their order.
const CONCURRENT_RECEIVES: usize = 8;
/// A receive loop ends after this many empty answers in a row.
const MAX_EMPTY_RECEIVES: u32 = 2;
/// Number of receipt handles in memory while messages are released.
const RELEASED_AT_ONCE: usize = 1_000;

pub struct QueueReader<'a> {
    sqs: &'a Client,
    queue: &'a QueueDescription,
    visibility_timeout: Duration,
    clock: &'a Clock,
    stop: &'a StopSignal,
    state: RefCell<State>,
}

#[derive(Clone, Debug)]
pub struct Received {
    pub message: QueuedMessage,
    /// SQS's receipt handle, to delete the message or to change its visibility.
    pub receipt: String,
    /// From this time on, another consumer may receive the message. Wall-clock time, so that it is
    /// correct after the machine has slept.
    pub visible_again: Timestamp,
}

struct State {
    seen: HashSet<Uuid>,
    /// Number of messages in a row that were seen before.
    repeats: usize,
    /// Receipt handles of the messages to release, one per line.
    held: BufWriter<File>,
    held_count: usize,
    /// SQS returned OverLimit: too many messages are invisible.
    is_over_limit: bool,
    /// No further receives.
    is_finished: bool,
    /// No further receives, and no further work on received messages.
    is_halted: bool,
    error: Option<anyhow::Error>,
}

impl State {
    /// Whether messages become visible again before all are seen. Reading would never end.
    fn is_repeating(&self) -> bool {
        self.repeats > 2 * self.seen.len()
    }
}

#[derive(Debug, Default)]
pub struct ReadReport {
    pub unseen: Unseen,
    /// Messages that could not be released. They stay invisible until their visibility timeout
    /// ends.
    pub still_invisible: usize,
    /// The error that ended the reading.
    pub error: Option<anyhow::Error>,
}

/// What a reader saw of a queue, and what it did not. SQS's counts are approximations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Messages that were seen, each counted once.
    pub seen: usize,
    /// Messages that were visible at the start and were not seen.
    pub missing: usize,
    /// Messages that were invisible at the start.
    pub invisible: usize,
    /// Messages that were delayed at the start. SQS returns them after their delay.
    pub delayed: usize,
    /// Why the reader could not see all visible messages, if it knows.
    pub limit: Option<ReadLimit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLimit {
    /// SQS allows 120,000 invisible messages per queue.
    InvisibleMessages,
    /// SQS returns at most ten messages of a FIFO group while the first of them are invisible.
    FifoGroup,
    /// Messages became visible again before all were seen.
    VisibilityTimeout,
}

impl Unseen {
    /// Whether the reader saw all messages.
    pub fn is_empty(&self) -> bool {
        self.missing == 0 && self.invisible == 0 && self.delayed == 0 && self.limit.is_none()
    }
}

impl<'a> QueueReader<'a> {
    /// `visibility_timeout` applies to every message that is received.
    pub fn new(
        (sqs, queue): (&'a Client, &'a QueueDescription),
        visibility_timeout: Duration,
        clock: &'a Clock,
        stop: &'a StopSignal,
    ) -> Result<Self> {
        let held = tempfile::tempfile().context("temporary file for receipt handles")?;
        let state = State {
            seen: HashSet::new(),
            repeats: 0,
            held: BufWriter::new(held),
            held_count: 0,
            is_over_limit: false,
            is_finished: false,
            is_halted: false,
            error: None,
        };
        Ok(Self { sqs, queue, visibility_timeout, clock, stop, state: state.into() })
    }

    /// Receives until SQS returns nothing more, and passes new messages to `work`, at most ten at a
    /// time. `work` hands over messages to release with [`Self::hold`]. After an error, nothing
    /// more is received, and concurrent work is completed. At the end, all held messages become
    /// visible again.
    pub async fn for_each_batch(self, work: impl AsyncFn(&Self, Vec<Received>) -> Result<()>) -> ReadReport {
        let loops = if self.queue.is_fifo { 1 } else { CONCURRENT_RECEIVES };
        join_all((0..loops).map(|_| async {
            if let Err(error) = self.receive_loop(&work).await {
                let mut state = self.state.borrow_mut();
                state.error.get_or_insert(error);
                state.is_halted = true;
            }
        }))
        .await;
        self.release_all().await
    }

    async fn receive_loop(&self, work: &impl AsyncFn(&Self, Vec<Received>) -> Result<()>) -> Result<()> {
        let mut empty_receives = 0;
        while empty_receives < MAX_EMPTY_RECEIVES && !self.is_stopping() && !self.state.borrow().is_finished {
            let received = self.receive().await?;
            empty_receives = if received.is_empty() { empty_receives + 1 } else { 0 };
            let new = self.take_new(received)?;
            if !new.is_empty() {
                work(self, new).await?;
            }
        }
        Ok(())
    }

    /// Returns `true` if no further work may start.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_requested() || self.state.borrow().is_halted
    }

    /// Number of messages seen so far, each counted once.
    pub fn seen(&self) -> usize {
        self.state.borrow().seen.len()
    }

    /// Ends receiving. Received messages are processed to the end.
    pub fn finish_receiving(&self) {
        self.state.borrow_mut().is_finished = true;
    }

    /// Ends receiving, and starts no further work on received messages.
    pub fn halt(&self) {
        self.state.borrow_mut().is_halted = true;
    }

    async fn receive(&self) -> Result<Vec<Received>> {
        // Measured before the call, so that the time is too early rather than too late.
        let timeout = self.visibility_timeout.as_secs();
        let visible_again = plus_seconds(self.clock.now(), i64::try_from(timeout).unwrap_or(i64::MAX));
        let call = self.sqs.receive_message().queue_url(&self.queue.url).max_number_of_messages(10);
        // Long polling: with a wait time, SQS asks all of its servers, and not a sample.
        let call = call.wait_time_seconds(1);
        let call = call.visibility_timeout(i32::try_from(timeout).unwrap_or(i32::MAX));
        let call = call.message_attribute_names("All");
        let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
        let messages = match call.send().await {
            Ok(output) => output.messages.unwrap_or_default(),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_over_limit()) => {
                self.state.borrow_mut().is_over_limit = true;
                Vec::new()
            }
            Err(error) => return Err(aws_error(Service::Sqs, "ReceiveMessage")(error)),
        };
        let received = messages.into_iter().map(|mut message| {
            let receipt =
                message.receipt_handle.take().context("SQS returned a message without a receipt handle")?;
            let message =
                QueuedMessage::received(message).context("SQS returned a message without an id or a body")?;
            Ok(Received { message, receipt, visible_again })
        });
        received.collect()
    }

    /// Returns the messages that were not seen before. Holds the others: their visibility timeout
    /// had ended.
    fn take_new(&self, received: Vec<Received>) -> Result<Vec<Received>> {
        let (mut new, mut repeated) = (Vec::new(), Vec::new());
        {
            let mut state = self.state.borrow_mut();
            for received in received {
                if state.seen.insert(message_uuid(&received.message.message_id)) {
                    new.push(received);
                } else {
                    repeated.push(received);
                }
            }
            state.repeats = if new.is_empty() { state.repeats + repeated.len() } else { 0 };
            state.is_halted |= state.is_repeating();
        }
        self.hold(repeated)?;
        Ok(new)
    }

    /// Treats a message as new if it is received again.
    pub fn mark_unseen(&self, received: &Received) {
        self.state.borrow_mut().seen.remove(&message_uuid(&received.message.message_id));
    }

    /// Keeps messages invisible, and releases them at the end.
    pub fn hold(&self, received: impl IntoIterator<Item = Received>) -> Result<()> {
        let mut state = self.state.borrow_mut();
        for Received { receipt, .. } in received {
            writeln!(state.held, "{receipt}").context("temporary file for receipt handles")?;
            state.held_count += 1;
        }
        Ok(())
    }

    async fn release_all(self) -> ReadReport {
        let state = self.state.into_inner();
        let missing = self.queue.visible.saturating_sub(state.seen.len());
        let is_over_limit = state.is_over_limit || state.held_count >= MAX_INVISIBLE;
        let limit = match () {
            () if state.is_repeating() => Some(ReadLimit::VisibilityTimeout),
            () if self.queue.is_fifo && (is_over_limit || missing > 0) => Some(ReadLimit::FifoGroup),
            () if is_over_limit => Some(ReadLimit::InvisibleMessages),
            () => None,
        };
        let unseen = Unseen {
            seen: state.seen.len(),
            missing,
            invisible: self.queue.invisible,
            delayed: self.queue.delayed,
            limit,
        };
        let queue = Queue::new(self.sqs.clone(), &self.queue.url);
        let (still_invisible, file_error) = match release(&queue, state.held).await {
            Ok(failed) => (failed, None),
            Err(error) => (state.held_count, Some(error)),
        };
        ReadReport { unseen, still_invisible, error: state.error.or(file_error) }
    }
}

/// Makes the messages visible again whose receipt handles are in the file. Returns the number of
/// failures.
async fn release(queue: &Queue, held: BufWriter<File>) -> Result<usize> {
    const FILE: &str = "temporary file for receipt handles";
    let mut file = held.into_inner().map_err(|error| error.into_error()).context(FILE)?;
    file.seek(SeekFrom::Start(0)).context(FILE)?;
    let mut lines = BufReader::new(file).lines();
    let mut failed = 0;
    loop {
        let receipts = lines.by_ref().take(RELEASED_AT_ONCE).collect::<Result<Vec<_>, _>>().context(FILE)?;
        if receipts.is_empty() {
            return Ok(failed);
        }
        let receipts = receipts.into_iter().map(|receipt| (receipt, Duration::ZERO)).collect();
        failed += queue.change_visibility(receipts, Duration::MAX).await;
    }
}

/// SQS's message ids are UUIDs.
pub fn message_uuid(message_id: &str) -> Uuid {
    message_id.parse().unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, message_id.as_bytes()))
}

/// Deletes messages in batches of ten. Returns the indexes of the messages whose deletion SQS did not
/// confirm.
pub async fn delete(sqs: &Client, url: &str, receipts: &[&str]) -> Result<Vec<usize>> {
    let mut failed = Vec::new();
    for (batch, receipts) in receipts.chunks(MAX_BATCH_ENTRIES).enumerate() {
        let first = batch * MAX_BATCH_ENTRIES;
        let entries = receipts.iter().enumerate().map(|(index, receipt)| {
            let id = (first + index).to_string();
            DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(*receipt).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>().context("DeleteMessageBatch")?;
        let call = sqs.delete_message_batch().queue_url(url).set_entries(Some(entries));
        let output = call.send().await.map_err(aws_error(Service::Sqs, "DeleteMessageBatch"))?;
        let deleted: HashSet<&str> = output.successful().iter().map(|entry| entry.id()).collect();
        let indexes = first..first + receipts.len();
        failed.extend(indexes.filter(|index| !deleted.contains(index.to_string().as_str())));
    }
    Ok(failed)
}
