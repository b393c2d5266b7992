//! QueueReader all messages of a queue, several at a time, and giving back those that stay.
//!
//! A message that was received is invisible for a while; whoever looks at a queue keeps what they have seen invisible
//! until they have seen everything, and then makes it visible again. What must be kept for that (receipt handles of some
//! 400 bytes) lies in a temporary file: memory does not grow with the queue, but for 16 bytes of each message's id.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use futures_util::future::join_all;
use jiff::Timestamp;
use shared::queues::{MAX_BATCH_ENTRIES, Queue};
use shared::time::{Clock, plus_seconds};
use uuid::Uuid;

use crate::queue::message::QueuedMessage;
use crate::queue::description::{MAX_IN_FLIGHT, QueueDescription, told};
use crate::interrupt::StopSignal;

/// Receives under way at once. A FIFO queue has one: its groups keep their order.
const LANES: usize = 8;
/// A lane ends after so many receives in a row that brought nothing.
const EMPTY_RECEIVES: u32 = 2;
/// Receipt handles that are given back at a time.
const GIVEN_BACK_AT_ONCE: usize = 1_000;

/// Receives the messages of a queue.
pub struct QueueReader<'a> {
    sqs: &'a Client,
    queue: &'a QueueDescription,
    /// How long what was received stays invisible.
    hold: Duration,
    clock: &'a Clock,
    stop: &'a StopSignal,
    state: RefCell<State>,
}

/// A message that was received, and what it is deleted or given back by.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message.
    pub message: QueuedMessage,
    /// SQS's receipt handle.
    pub receipt: String,
    /// From then on, somebody else may receive it. By the clock on the wall: a machine that slept has missed it.
    pub visible_again: Timestamp,
}

struct State {
    seen: HashSet<Uuid>,
    /// Messages that were seen before and came again, since one came that was new.
    again: usize,
    held: BufWriter<File>,
    held_count: usize,
    is_limited: bool,
    /// Nothing more is received.
    finished: bool,
    /// Nothing more is begun.
    halted: bool,
    error: Option<anyhow::Error>,
}

impl State {
    /// Whether messages become visible again faster than all can be seen, so that it would never end.
    fn comes_back_too_soon(&self) -> bool {
        self.again > 2 * self.seen.len()
    }
}

/// How receiving went.
#[derive(Debug, Default)]
pub struct Report {
    /// Messages seen, each once.
    pub seen: usize,
    /// About so many that were visible before were not seen: the count was old, others have received them, or SQS does not
    /// show them (of a FIFO group it shows ten).
    pub unseen: usize,
    /// Whether SQS lends no more, or they came back faster than they could be looked at.
    pub is_limited: bool,
    /// Messages that are still invisible, because they could not be given back.
    pub still_invisible: usize,
    /// What ended it.
    pub error: Option<anyhow::Error>,
}

impl Report {
    /// Whether some of a FIFO queue's messages stand behind others of their group, or SQS lends no more.
    pub fn may_be_more(&self, queue: &QueueDescription) -> bool {
        self.is_limited || (queue.is_fifo && self.unseen > 0)
    }

    /// What was not seen, for people: a line for each thing to know. `hidden` were invisible before.
    pub fn unseen_text(&self, queue: &QueueDescription) -> String {
        let mut text = String::new();
        if self.may_be_more(queue) {
            let at_most = if queue.is_fifo { "ten of a group" } else { "120,000" };
            text += &format!("and more, about {}: SQS shows at most {at_most} at a time\n", self.unseen);
        } else if self.unseen > 0 {
            text +=
                &format!("of about {}: others are reading, or the number is old\n", self.seen + self.unseen);
        }
        if queue.invisible > 0 {
            text += &format!(
                "and about {} that are invisible now: somebody has received them, perhaps a run that was killed (they \
                 come back within 15 minutes)\n",
                queue.invisible
            );
        }
        text
    }
}

impl<'a> QueueReader<'a> {
    /// Nothing is received yet.
    pub fn new(
        (sqs, queue): (&'a Client, &'a QueueDescription),
        hold: Duration,
        clock: &'a Clock,
        stop: &'a StopSignal,
    ) -> Result<Self> {
        let held = tempfile::tempfile().context("a temporary file for receipt handles")?;
        let state = State {
            seen: HashSet::new(),
            again: 0,
            held: BufWriter::new(held),
            held_count: 0,
            is_limited: false,
            finished: false,
            halted: false,
            error: None,
        };
        Ok(Self { sqs, queue, hold, clock, stop, state: state.into() })
    }

    /// Receives until nothing comes any more, and hands over what is new, at most ten messages at a time. What `work`
    /// wants to give back, it hands to [`Self::hold`]. After an error no more is received; what other lanes are at is
    /// finished. In the end, gives back what is held.
    pub async fn each(self, work: impl AsyncFn(&Self, Vec<Received>) -> Result<()>) -> Report {
        let lanes = if self.queue.is_fifo { 1 } else { LANES };
        join_all((0..lanes).map(|_| async {
            if let Err(error) = self.lane(&work).await {
                let mut state = self.state.borrow_mut();
                state.error.get_or_insert(error);
                state.halted = true;
            }
        }))
        .await;
        self.finish().await
    }

    async fn lane(&self, work: &impl AsyncFn(&Self, Vec<Received>) -> Result<()>) -> Result<()> {
        let mut empty = 0;
        while empty < EMPTY_RECEIVES && !self.is_over() && !self.state.borrow().finished {
            let received = self.receive().await?;
            empty = if received.is_empty() { empty + 1 } else { 0 };
            let new = self.only_new(received)?;
            if !new.is_empty() {
                work(self, new).await?;
            }
        }
        Ok(())
    }

    /// Whether nothing more is to be begun.
    pub fn is_over(&self) -> bool {
        self.stop.is_requested() || self.state.borrow().halted
    }

    /// Messages seen so far, each once.
    pub fn seen(&self) -> usize {
        self.state.borrow().seen.len()
    }

    /// Receives no more. What was received is worked on to its end.
    pub fn finish_receiving(&self) {
        self.state.borrow_mut().finished = true;
    }

    /// Receives no more, and begins nothing more.
    pub fn halt(&self) {
        self.state.borrow_mut().halted = true;
    }

    async fn receive(&self) -> Result<Vec<Received>> {
        // From before the call on: rather too early than too late.
        let hold = i64::try_from(self.hold.as_secs()).unwrap_or(i64::MAX);
        let visible_again = plus_seconds(self.clock.now(), hold);
        let call = self.sqs.receive_message().queue_url(&self.queue.url).max_number_of_messages(10);
        // Waiting a second asks all of SQS's servers, and not some.
        let call = call.wait_time_seconds(1);
        let call = call.visibility_timeout(i32::try_from(self.hold.as_secs()).unwrap_or(i32::MAX));
        let call = call.message_attribute_names("All");
        let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
        let messages = match call.send().await {
            Ok(output) => output.messages.unwrap_or_default(),
            // It lends no more: they are with us, or with others.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_over_limit()) => {
                self.state.borrow_mut().is_limited = true;
                Vec::new()
            }
            Err(error) => return Err(told("ReceiveMessage")(error)),
        };
        let received = messages.into_iter().map(|mut message| {
            let receipt = message.receipt_handle.take().context("a message without a receipt handle")?;
            let message = QueuedMessage::received(message).context("a message without an id or a body")?;
            Ok(Received { message, receipt, visible_again })
        });
        received.collect()
    }

    /// Holds what was seen before: its time is over, and it came again.
    fn only_new(&self, received: Vec<Received>) -> Result<Vec<Received>> {
        let (mut new, mut again) = (Vec::new(), Vec::new());
        {
            let mut state = self.state.borrow_mut();
            for received in received {
                if state.seen.insert(key(&received.message.message_id)) {
                    new.push(received);
                } else {
                    again.push(received);
                }
            }
            state.again = if new.is_empty() { state.again + again.len() } else { 0 };
            state.halted |= state.comes_back_too_soon();
        }
        self.hold(again)?;
        Ok(new)
    }

    /// Takes a message as one that was not seen: where it is visible again, it comes again.
    pub fn forget(&self, received: &Received) {
        self.state.borrow_mut().seen.remove(&key(&received.message.message_id));
    }

    /// Keeps messages to give them back in the end.
    pub fn hold(&self, received: impl IntoIterator<Item = Received>) -> Result<()> {
        let mut state = self.state.borrow_mut();
        for Received { receipt, .. } in received {
            writeln!(state.held, "{receipt}").context("the temporary file for receipt handles")?;
            state.held_count += 1;
        }
        Ok(())
    }

    async fn finish(self) -> Report {
        let state = self.state.into_inner();
        let is_limited = state.is_limited || state.held_count >= MAX_IN_FLIGHT || state.comes_back_too_soon();
        let State { seen, held, held_count, error, .. } = state;
        let unseen = self.queue.visible.saturating_sub(seen.len());
        let queue = Queue::new(self.sqs.clone(), &self.queue.url);
        let (still_invisible, unreadable) = match release(&queue, held).await {
            Ok(failed) => (failed, None),
            Err(error) => (held_count, Some(error)),
        };
        Report { seen: seen.len(), unseen, is_limited, still_invisible, error: error.or(unreadable) }
    }
}

/// Makes messages visible again, whose receipt handles lie in the file, one a line. Answers for how many it failed.
async fn release(queue: &Queue, held: BufWriter<File>) -> Result<usize> {
    const FILE: &str = "the temporary file for receipt handles";
    let mut file = held.into_inner().map_err(|error| error.into_error()).context(FILE)?;
    file.seek(SeekFrom::Start(0)).context(FILE)?;
    let mut lines = BufReader::new(file).lines();
    let mut failed = 0;
    loop {
        let receipts =
            lines.by_ref().take(GIVEN_BACK_AT_ONCE).collect::<Result<Vec<_>, _>>().context(FILE)?;
        if receipts.is_empty() {
            return Ok(failed);
        }
        let receipts = receipts.into_iter().map(|receipt| (receipt, Duration::ZERO)).collect();
        failed += queue.delay(receipts, Duration::MAX).await;
    }
}

/// SQS's ids are UUIDs.
pub fn key(message_id: &str) -> Uuid {
    message_id.parse().unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, message_id.as_bytes()))
}

/// Deletes messages of a queue: ten at a time, in one call. Answers with the indexes of those that could not be deleted.
pub async fn delete(sqs: &Client, url: &str, receipts: &[&str]) -> Result<Vec<usize>> {
    use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;

    let mut failed = Vec::new();
    for (batch, receipts) in receipts.chunks(MAX_BATCH_ENTRIES).enumerate() {
        let first = batch * MAX_BATCH_ENTRIES;
        let entries = receipts.iter().enumerate().map(|(index, receipt)| {
            let id = (first + index).to_string();
            DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(*receipt).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>().context("DeleteMessageBatch")?;
        let call = sqs.delete_message_batch().queue_url(url).set_entries(Some(entries));
        let output = call.send().await.map_err(told("DeleteMessageBatch"))?;
        failed.extend(output.failed().iter().filter_map(|entry| entry.id().parse::<usize>().ok()));
    }
    Ok(failed)
}
